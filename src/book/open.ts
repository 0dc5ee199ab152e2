/**
 * Opening a book for writing, in the order of FORMAT.md's section on boot. What should exist is never created in
 * silence: a book that lost a part of itself is refused, with the name of what is missing.
 */
import { existsSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Database } from 'better-sqlite3'
import { removeFileDurably, syncFolder } from '../system/durable.ts'
import {
  type Checkpoint,
  CheckpointError,
  parseCheckpoint,
  type Signer,
  signersOf,
  verifyNote,
} from './checkpoint.ts'
import { readSigner } from './create.ts'
import { BookError, holdLock, openForWriting, sqliteCode } from './database.ts'
import { type BookFiles, bookFiles } from './files.ts'
import { decodeBundle, encodeBase64, FormatError, type Leaf, parseLeaf } from './format.ts'
import { bookHashes, StoredHashes } from './hashes.ts'
import { FORMAT } from './kinds.ts'
import { APPLICATION_ID } from './schema.ts'
import { Sidecar } from './sidecar.ts'
import type { Head } from './store.ts'
import { leafHash, readEdge, TILE_HASHES } from './tree.ts'

/** These are checked one by one at each start; `gatebook verify` checks all. */
const LEAVES_CHECKED = 1024
/** A larger file is checked as a copy: its check would hold up the start. */
const QUICK_CHECK_BYTES_MAX = 2 ** 31
const ZERO_HASH = encodeBase64(new Uint8Array(32))

export interface OpenedBook extends Disposable {
  readonly files: BookFiles
  readonly db: Database
  readonly keys: Database
  readonly origin: string
  readonly head: Head
  readonly signer: Signer
  readonly sidecar: Sidecar
  /** Whether the last stop left nothing open. */
  readonly clean: boolean
}

/** Takes the lock, opens, checks; the caller goes on with the journal (src/record/recovery.ts). */
export function openBook(directory: string, signingKey?: string): OpenedBook {
  const files = bookFiles(directory, signingKey)
  const opened: { close(): void }[] = []
  try {
    refuseMissing(files)
    opened.push(holdLock(files.lock))
    const db = openForWriting(files.book, true, (found) => checkFormat(found, files))
    opened.unshift(db)
    const keys = openForWriting(files.keys, true)
    opened.unshift(keys)
    const { checkpoint, note } = readHead(db, files)
    const signer = settleSigningKey(files, checkpoint)
    const { head, last } = checkHead(db, files, checkpoint, note)
    const sidecar = new Sidecar(files.head)
    checkSidecar(files, sidecar, db, head, checkpoint.origin)
    const clean = head.size === 0 || (last?.kind === 'session.close' && last.why === 'stop')
    if (!clean) quickCheck(db, files)
    return {
      files,
      db,
      keys,
      origin: checkpoint.origin,
      head,
      signer,
      sidecar,
      clean,
      [Symbol.dispose]: () => {
        for (const one of opened) one.close()
      },
    }
  } catch (cause) {
    for (const one of opened) one.close()
    throw explained(cause, files)
  }
}

/** What the book's bytes were found to be is the operator's to know, and where. Errors of the disk stay what they are. */
function explained(cause: unknown, files: BookFiles): unknown {
  const isDamage =
    cause instanceof CheckpointError ||
    cause instanceof FormatError ||
    cause instanceof RangeError ||
    sqliteCode(cause)?.startsWith('SQLITE_CORRUPT')
  if (!isDamage || !(cause instanceof Error)) return cause
  return new BookError('damaged', `${files.book}: ${cause.message}`, { cause })
}

function refuseMissing(files: BookFiles): void {
  if (!existsSync(files.directory)) {
    throw new BookError('missing', `${files.directory}: there is no book here; \`gatebook init\` makes one`)
  }
  for (const path of [files.book, files.keys, files.signingKey, files.head]) {
    if (!existsSync(path)) {
      throw new BookError('missing', `${path} is missing: restore it, for nothing is created in its place`)
    }
  }
}

function checkFormat(db: Database, files: BookFiles): void {
  if (db.pragma('application_id', { simple: true }) !== APPLICATION_ID) {
    throw new BookError('foreign', `${files.book} is not a book`)
  }
  const version = Number(db.pragma('user_version', { simple: true }))
  if (version > FORMAT)
    throw new BookError('newer', `${files.book} was written by a newer release (format ${version})`)
}

function readHead(db: Database, files: BookFiles): { checkpoint: Checkpoint; note: string } {
  const note = db.prepare('SELECT note FROM head').pluck().get()
  if (typeof note !== 'string') throw new BookError('damaged', `${files.book} has no head`)
  return { checkpoint: parseNoteOf(files.book, note), note }
}

function parseNoteOf(path: string, note: string): Checkpoint {
  try {
    return parseCheckpoint(note)
  } catch (cause) {
    throw new BookError('damaged', `${path}: its head is no checkpoint`, { cause })
  }
}

/** Finishes or takes back a change of the signing key that was interrupted. */
function settleSigningKey(files: BookFiles, head: Checkpoint): Signer {
  const next = `${files.signingKey}.next`
  if (existsSync(next)) {
    const signer = readSigner(next, head.origin)
    if (signersOf(head, [signer.vkey]).length > 0) {
      renameSync(next, files.signingKey)
      syncFolder(dirname(files.signingKey))
    } else {
      removeFileDurably(next)
    }
  }
  const signer = readSigner(files.signingKey, head.origin)
  try {
    verifyNote(head, [signer.vkey])
  } catch (cause) {
    // Which of the two is wrong nobody can tell from here.
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new BookError(
      'damaged',
      `${files.signingKey} did not sign the head of ${files.book} (${why}): put the book's own key back, or the book`,
      { cause },
    )
  }
  return signer
}

function checkHead(
  db: Database,
  files: BookFiles,
  { size, root }: Checkpoint,
  note: string,
): { head: Head; last: Leaf | undefined } {
  const end = db.prepare('SELECT first + count FROM bundle ORDER BY first DESC LIMIT 1').pluck().get() ?? 0
  if (end !== size)
    throw new BookError('damaged', `${files.book}: its head is of ${size} records and it holds ${end}`)
  const stored = new StoredHashes(bookHashes(db))
  const edge = readEdge(size, stored)
  if (Buffer.compare(edge.root(), root) !== 0) {
    throw new BookError('damaged', `${files.book}: its records do not give the root that its head signs`)
  }
  const last = checkLastLeaves(db, files, size)
  const prev = last === undefined ? ZERO_HASH : encodeBase64(last.hash)
  return {
    head: { size, edge, prev, ts: last?.leaf.ts ?? 0, note, partial: partialTiles(stored, size) },
    last: last?.leaf,
  }
}

/** The chain over the last leaves; the tree's root already vouches for their hashes. */
function checkLastLeaves(
  db: Database,
  files: BookFiles,
  size: number,
): { leaf: Leaf; hash: Uint8Array } | undefined {
  const rows = db
    .prepare('SELECT count, codec, crc, leaves FROM bundle WHERE first + count > ? ORDER BY first')
    .iterate(size - LEAVES_CHECKED) as IterableIterator<{
    count: number
    codec: number
    crc: number
    leaves: Buffer
  }>
  let last: { leaf: Leaf; hash: Uint8Array } | undefined
  for (const row of rows) {
    for (const bytes of decodeBundle(row)) {
      const leaf = parseLeaf(bytes)
      if (last !== undefined && leaf.prev !== encodeBase64(last.hash)) {
        throw new BookError('damaged', `${files.book}: record ${leaf.seq} does not follow the one before it`)
      }
      last = { leaf, hash: leafHash(bytes) }
    }
  }
  return last
}

/** Per tile level, the hashes behind the last full tile. */
function partialTiles(stored: StoredHashes, size: number): Uint8Array[][] {
  const levels: Uint8Array[][] = []
  for (let level = 0, count = size; count > 0; level++) {
    const full = Math.floor(count / TILE_HASHES)
    const from = full * TILE_HASHES
    levels.push([...stored.nodes(level, from, count - from)])
    count = full
  }
  return levels
}

/** The sidecar and the book must agree at the sidecar's size: what SQLite lost or somebody put back shows here. */
function checkSidecar(files: BookFiles, sidecar: Sidecar, db: Database, head: Head, origin: string): void {
  const note = sidecar.read()
  if (note === undefined) return
  const kept = parseNoteOf(files.head, note)
  if (kept.origin !== origin) {
    throw new BookError('foreign', `head.note speaks of ${kept.origin}, and this book is ${origin}`)
  }
  if (kept.size > head.size) {
    throw new BookError(
      'behind-sidecar',
      `the book ends at ${head.size} and head.note signs ${kept.size}: records ${head.size} to ${kept.size - 1} are missing`,
    )
  }
  if (Buffer.compare(readEdge(kept.size, new StoredHashes(bookHashes(db))).root(), kept.root) !== 0) {
    throw new BookError(
      'behind-sidecar',
      `the book and head.note differ within the first ${kept.size} records`,
    )
  }
}

function quickCheck(db: Database, files: BookFiles): void {
  const bytes =
    Number(db.pragma('page_count', { simple: true })) * Number(db.pragma('page_size', { simple: true }))
  if (bytes > QUICK_CHECK_BYTES_MAX) return
  const verdict = db.pragma('quick_check(1)', { simple: true })
  if (verdict !== 'ok') throw new BookError('damaged', `${files.book}: ${String(verdict)}`)
}
