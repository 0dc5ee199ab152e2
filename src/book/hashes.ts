/** Node hashes of the tree: from full tiles where there are, and behind the last full one from the leaves. */
import type { Database } from 'better-sqlite3'
import { decodeBundle } from './format.ts'
import { HASH_BYTES, type HashReader, leafHash, nodeHash, TILE_HASHES } from './tree.ts'
import { type Source, SourceError } from './verify/source.ts'

/** A tile holds the nodes of one height; the next level's stand this much higher. */
const TILE_HEIGHT = Math.log2(TILE_HASHES)

/** What hashes are taken from. */
export interface HashStore {
  /** 256 hashes, or undefined where there is no such tile. */
  tile(level: number, n: number): Uint8Array | undefined
  /** Of the leaves from `from` to before `to`; throws where one is not there. */
  leafHashes(from: number, to: number): readonly Uint8Array[]
}

export class StoredHashes implements HashReader {
  readonly #store: HashStore

  constructor(store: HashStore) {
    this.#store = store
  }

  /** The root of the complete subtree of 2^`level` leaves that is the `index`-th of its height. */
  hash(level: number, index: number): Uint8Array {
    const height = level % TILE_HEIGHT
    return fold(this.nodes((level - height) / TILE_HEIGHT, index * 2 ** height, 2 ** height))
  }

  /** Nodes at the level of a tile's hashes, as far as they stand in one tile. */
  nodes(tileLevel: number, first: number, count: number): readonly Uint8Array[] {
    const n = Math.floor(first / TILE_HASHES)
    const at = first - n * TILE_HASHES
    const tile = this.#store.tile(tileLevel, n)
    if (tile !== undefined) {
      return Array.from({ length: count }, (_, k) =>
        tile.subarray((at + k) * HASH_BYTES, (at + k + 1) * HASH_BYTES),
      )
    }
    if (tileLevel === 0) return count === 0 ? [] : this.#store.leafHashes(first, first + count)
    return Array.from({ length: count }, (_, k) =>
      fold(this.nodes(tileLevel - 1, (first + k) * TILE_HASHES, TILE_HASHES)),
    )
  }
}

interface BundleRow {
  first: number
  count: number
  codec: number
  crc: number
  leaves: Buffer
}

/** Of a book that is open, as it is at each call. */
export function bookHashes(db: Database): HashStore {
  const tile = db.prepare('SELECT hashes FROM tile WHERE level = ? AND n = ?').pluck()
  const bundles = db.prepare(
    'SELECT first, count, codec, crc, leaves FROM bundle WHERE first + count > ? AND first < ? ORDER BY first',
  )
  return {
    tile: (level, n) => tile.get(level, n) as Buffer | undefined,
    leafHashes(from, to) {
      const hashes: Uint8Array[] = []
      for (const row of bundles.iterate(from, to) as IterableIterator<BundleRow>) {
        decodeBundle(row).forEach((leaf, k) => {
          if (row.first + k >= from && row.first + k < to) hashes.push(leafHash(leaf))
        })
      }
      if (hashes.length !== to - from) throw new RangeError(`leaves ${from} to ${to} are not all in the book`)
      return hashes
    },
  }
}

/** Of a book as it was when it was opened for reading, or of an export. */
export function sourceHashes(source: Source): HashStore {
  const tailStart = Math.floor(source.end / TILE_HASHES) * TILE_HASHES
  let tail: Uint8Array[] | undefined
  const readTail = (): Uint8Array[] => {
    const hashes: Uint8Array[] = []
    for (const commit of source.commits(tailStart)) {
      commit.leaves().forEach((leaf, at) => {
        if (commit.first + at >= tailStart) hashes.push(leafHash(leaf))
      })
    }
    return hashes
  }
  return {
    tile: (level, n) => source.tile(level, n),
    leafHashes(from, to) {
      tail ??= readTail()
      const hashes = tail.slice(from - tailStart, to - tailStart)
      if (from < tailStart || hashes.length !== to - from)
        throw new SourceError('damaged', `tile ${Math.floor(from / TILE_HASHES)} of level 0 is missing`)
      return hashes
    },
  }
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
