/** Records of the book by their index, for whoever shows a few of them: the bundles they lie in are kept for a while. */
import type { Database, Statement } from 'better-sqlite3'
import { decodeBundle, type Leaf, parseLeaf } from '../book/format.ts'
import { readHeadNote } from '../book/reader.ts'
import { leafHash } from '../book/tree.ts'

const BUNDLES_KEPT = 64

export interface FoundRecord {
  readonly leaf: Leaf
  readonly bytes: Uint8Array
  /** Hex. */
  readonly hash: string
}

interface BundleRow {
  readonly first: number
  readonly count: number
  readonly codec: number
  readonly crc: number
  readonly leaves: Buffer
}

export class Records {
  readonly #db: Database
  readonly #bundle: Statement
  readonly #kept: Statement
  readonly #decoded = new Map<number, readonly Uint8Array[]>()

  constructor(db: Database) {
    this.#db = db
    this.#bundle = db.prepare(
      'SELECT first, count, codec, crc, leaves FROM bundle WHERE first <= ? ORDER BY first DESC LIMIT 1',
    )
    this.#kept = db.prepare('SELECT leaf FROM kept WHERE seq = ?').pluck()
  }

  /** Undefined for one that is not there yet, or was removed. */
  find(seq: number): FoundRecord | undefined {
    const bytes = this.#bytes(seq)
    if (bytes === undefined) return undefined
    return { leaf: parseLeaf(bytes), bytes, hash: Buffer.from(leafHash(bytes)).toString('hex') }
  }

  get size(): number {
    const end = this.#db.prepare('SELECT first + count FROM bundle ORDER BY first DESC LIMIT 1').pluck().get()
    return Number(end ?? 0)
  }

  get head(): string {
    return readHeadNote(this.#db) ?? ''
  }

  #bytes(seq: number): Uint8Array | undefined {
    for (const [first, leaves] of this.#decoded) {
      if (seq >= first && seq < first + leaves.length) return leaves[seq - first]
    }
    const row = this.#bundle.get(seq) as BundleRow | undefined
    if (row === undefined || seq >= row.first + row.count) return this.#kept.get(seq) as Buffer | undefined
    const leaves = decodeBundle(row)
    this.#decoded.set(row.first, leaves)
    const [oldest] = this.#decoded.keys()
    if (this.#decoded.size > BUNDLES_KEPT && oldest !== undefined) this.#decoded.delete(oldest)
    return leaves[seq - row.first]
  }
}
