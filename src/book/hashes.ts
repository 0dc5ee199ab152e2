/** Node hashes of the tree, read from the book's full tiles and, behind the last full tile, from its leaves. */
import type { Database, Statement } from 'better-sqlite3'
import { decodeBundle } from './format.ts'
import { type HashReader, leafHash, nodeHash } from './tree.ts'

export const HASH_BYTES = 32
export const TILE_HASHES = 256

interface BundleRow {
  first: number
  count: number
  codec: number
  crc: number
  leaves: Buffer
}

/** Folds hashes of equal height, a power of two of them, to the node above them all. */
export function fold(hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes
  while (row.length > 1) {
    const above: Uint8Array[] = []
    for (let k = 0; k + 1 < row.length; k += 2) {
      above.push(nodeHash(row[k] ?? new Uint8Array(), row[k + 1] ?? new Uint8Array()))
    }
    row = above
  }
  const [top] = row
  if (top === undefined) throw new RangeError('nothing to fold')
  return top
}

export class StoredHashes implements HashReader {
  readonly #tile: Statement
  readonly #bundles: Statement

  constructor(db: Database) {
    this.#tile = db.prepare('SELECT hashes FROM tile WHERE level = ? AND n = ?').pluck()
    this.#bundles = db.prepare(
      `SELECT first, count, codec, crc, leaves FROM bundle WHERE first + count > ? AND first < ? ORDER BY first`,
    )
  }

  /** The root of the complete subtree of 2^`level` leaves that is the `index`-th of its height. */
  hash(level: number, index: number): Uint8Array {
    const height = Math.floor(level / 8)
    const span = 2 ** (level % 8)
    return fold(this.#row(height, index * span, span))
  }

  /** Hashes of the tiles' `height` from `from` on, as far as they stand in one tile. */
  #row(height: number, from: number, count: number): Uint8Array[] {
    const n = Math.floor(from / TILE_HASHES)
    const at = from % TILE_HASHES
    const tile = this.#tile.get(height, n) as Buffer | undefined
    if (tile !== undefined) {
      return Array.from({ length: count }, (_, k) =>
        tile.subarray((at + k) * HASH_BYTES, (at + k + 1) * HASH_BYTES),
      )
    }
    if (height === 0) return this.leafHashes(from, from + count)
    return Array.from({ length: count }, (_, k) =>
      fold(this.#row(height - 1, (from + k) * TILE_HASHES, TILE_HASHES)),
    )
  }

  leafHashes(from: number, to: number): Uint8Array[] {
    const hashes: Uint8Array[] = []
    for (const row of this.#bundles.iterate(from, to) as IterableIterator<BundleRow>) {
      decodeBundle(row).forEach((leaf, k) => {
        if (row.first + k >= from && row.first + k < to) hashes.push(leafHash(leaf))
      })
    }
    if (hashes.length !== to - from) throw new RangeError(`leaves ${from} to ${to} are not all in the book`)
    return hashes
  }
}
