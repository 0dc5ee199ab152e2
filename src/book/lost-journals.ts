/**
 * Journals that were set aside with their damage when their loss was accepted. They are kept as evidence, and so they
 * keep copies of ciphertexts: what is erased as a single payload must go from them too, for its key lives on.
 */
import { existsSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { overwrite } from '../system/durable.ts'
import { type BookFiles, journalPath } from './files.ts'

/** Of random bytes, more than enough. */
const KNOWN_BY_BYTES = 32
const LOST = /^\d+\.lost-\d+$/

export function setJournalAside(files: BookFiles, file: number, now: number): void {
  const path = journalPath(files, file)
  if (existsSync(path)) renameSync(path, `${path}.lost-${now}`)
}

/** Writes zeros over every copy of this ciphertext. */
export function blotOut(files: BookFiles, ciphertext: Uint8Array): void {
  const names = readdirSync(files.journal).filter((name) => LOST.test(name))
  for (const path of names.map((name) => join(files.journal, name))) {
    const parts = placesOf(readFileSync(path), ciphertext)
    if (parts.length > 0) overwrite(path, parts)
  }
}

/** Known by its first bytes or its last: some of it may be the damage for which the journal was set aside. */
function placesOf(journal: Buffer, ciphertext: Uint8Array): { at: number; length: number }[] {
  const { length } = ciphertext
  const places: { at: number; length: number }[] = []
  for (const from of [0, Math.max(0, length - KNOWN_BY_BYTES)]) {
    const end = ciphertext.subarray(from, from + KNOWN_BY_BYTES)
    for (let found = journal.indexOf(end); found !== -1; found = journal.indexOf(end, found + 1)) {
      const at = Math.max(0, found - from)
      places.push({ at, length: Math.min(length, journal.length - at) })
    }
  }
  return places
}
