/** Reading a book: leaves from an index on, payloads, the head. Never holds the writer up: each slice is its own read. */
import type { Database } from 'better-sqlite3'
import { decodeBundle, type Leaf, parseLeaf, type Ref } from './format.ts'

/** Bundles that one slice reads. A longer read would keep the write-ahead log from being reset. */
const BUNDLES_A_SLICE = 64

interface BundleRow {
  first: number
  count: number
  codec: number
  crc: number
  leaves: Buffer
}

/** The bytes of the leaves from `from` on, with their index, up to the end as it is when the reading gets there. */
export function* readLeafBytes(db: Database, from: number): Generator<readonly [number, Uint8Array]> {
  const slice = db.prepare(
    'SELECT first, count, codec, crc, leaves FROM bundle WHERE first + count > ? AND first >= ? ORDER BY first LIMIT ?',
  )
  let at = from
  for (;;) {
    // A commit holds at most 512 records: the one that `at` lies in begins no further back.
    const rows = slice.all(at, at - 511, BUNDLES_A_SLICE) as BundleRow[]
    for (const row of rows) {
      const leaves = decodeBundle(row)
      for (const [k, leaf] of leaves.entries()) if (row.first + k >= at) yield [row.first + k, leaf]
    }
    const last = rows.at(-1)
    if (last === undefined) return
    at = last.first + last.count
  }
}

export function* readLeaves(db: Database, from: number): Generator<Leaf> {
  for (const [, bytes] of readLeafBytes(db, from)) yield parseLeaf(bytes)
}

export function readPayload(db: Database, sid: string, { i }: Ref): Buffer | undefined {
  return db.prepare('SELECT data FROM payload WHERE sid = ? AND i = ?').pluck().get(sid, i) as
    | Buffer
    | undefined
}

export function readHeadNote(db: Database): string | undefined {
  return db.prepare('SELECT note FROM head').pluck().get() as string | undefined
}
