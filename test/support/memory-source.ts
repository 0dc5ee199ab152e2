/** A book's rows in memory, to be changed at will and verified quickly. */
import Database from 'better-sqlite3'
import { decodeBundle } from '../../src/book/format.ts'
import type { Commit, KeptCheckpoint, KeptLeaf, PayloadRows, Source } from '../../src/book/verify/source.ts'
import { type BundleRow, readBundles } from './book-builder.ts'

type Writable<T> = { -readonly [K in keyof T]: T[K] }

export interface Rows {
  bundles: Writable<BundleRow>[]
  tiles: { level: number; n: number; hashes: Uint8Array }[]
  payloads: { sid: string; i: number; data: Uint8Array }[]
  head: Uint8Array | undefined
  checkpoints: Writable<KeptCheckpoint>[]
  kept: Writable<KeptLeaf>[]
}

export function readRows(file: string): Rows {
  const db = new Database(file, { readonly: true })
  const rows = rowsOf(db)
  db.close()
  return rows
}

export function rowsOf(db: Database.Database): Rows {
  const head = db.prepare('SELECT CAST(note AS BLOB) AS note FROM head').pluck().get() as
    | Uint8Array
    | undefined
  return {
    bundles: readBundles(db),
    tiles: db.prepare('SELECT level, n, hashes FROM tile ORDER BY level, n').all() as Rows['tiles'],
    payloads: db.prepare('SELECT sid, i, data FROM payload ORDER BY sid, i').all() as Rows['payloads'],
    head,
    checkpoints: db
      .prepare('SELECT size, CAST(note AS BLOB) AS note FROM ckpt ORDER BY size')
      .all() as KeptCheckpoint[],
    kept: db.prepare('SELECT seq, leaf FROM kept ORDER BY seq').all() as KeptLeaf[],
  }
}

export class MemorySource implements Source {
  readonly #rows: Rows
  readonly payloads: PayloadRows

  constructor(rows: Rows) {
    this.#rows = rows
    const taken = new Set<number>()
    const places = new Map(rows.payloads.map(({ sid, i }, at) => [`${sid}/${i}`, at]))
    this.payloads = {
      take: (sid, i) => {
        const at = places.get(`${sid}/${i}`)
        if (at === undefined) return undefined
        taken.add(at)
        return rows.payloads[at]?.data
      },
      rest: () => rows.payloads.filter((_, at) => !taken.has(at)),
    }
  }

  get first(): number {
    return this.#rows.bundles[0]?.first ?? 0
  }

  get end(): number {
    const last = this.#rows.bundles.at(-1)
    return last === undefined ? 0 : last.first + last.count
  }

  get head(): Uint8Array | undefined {
    return this.#rows.head
  }

  *commits(from: number): Iterable<Commit> {
    const start = this.#rows.bundles.findLastIndex(({ first }) => first <= from)
    for (const row of this.#rows.bundles.slice(from === 0 ? 0 : start)) {
      yield { first: row.first, count: row.count, leaves: () => decodeBundle(row) }
    }
  }

  checkpoints(): Iterable<KeptCheckpoint> {
    return this.#rows.checkpoints
  }

  kept(): Iterable<KeptLeaf> {
    return this.#rows.kept
  }

  get tiles(): number {
    return this.#rows.tiles.length
  }

  tile(level: number, n: number): Uint8Array | undefined {
    return this.#rows.tiles.find((tile) => tile.level === level && tile.n === n)?.hashes
  }
}
