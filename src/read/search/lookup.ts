/** Names, shapes and places of the index that the values of a search stand for, and how many rows have them. */
import { BlockList, isIP } from 'node:net'
import type { Database, Statement } from 'better-sqlite3-multiple-ciphers'
import { globMatches } from '../../config/selectors.ts'
import { NAME_KINDS, type NameKind } from '../index-file.ts'
import { NoAnswer } from '../questions.ts'
import type { Value } from './parse.ts'

export interface Found {
  readonly ids: readonly number[]
  /** Rows that have one of them. */
  readonly count: number
}

interface NameRow {
  readonly id: number
  readonly value: string
  readonly count: number
}

export class Lookup {
  readonly #names: Statement
  readonly #exact: Statement
  readonly #place: Statement
  readonly #total: Statement
  readonly #ends: Statement
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
    this.#names = db.prepare('SELECT id, value, count FROM name WHERE kind = ?')
    this.#exact = db.prepare('SELECT id, value, count FROM name WHERE kind = ? AND value = ?')
    this.#place = db.prepare('SELECT id, ts FROM entry WHERE id >= ? ORDER BY id LIMIT 1')
    this.#total = db.prepare('SELECT sum(count) FROM name WHERE kind = ?').pluck()
    this.#ends = db.prepare(
      'SELECT (SELECT min(id) FROM entry) AS first, (SELECT max(id) FROM entry) AS last',
    )
  }

  /** Rows in all. */
  get total(): number {
    return Number(this.#total.get(NAME_KINDS.action) ?? 0)
  }

  get ends(): { readonly first: number; readonly last: number } {
    const { first, last } = this.#ends.get() as { first: number | null; last: number | null }
    return { first: first ?? 0, last: last ?? 0 }
  }

  names(kind: NameKind, values: readonly Value[]): Found {
    if (kind === 'trace' && values.every(isPlain)) {
      const rows = values.map(({ text }) => this.#exact.get(NAME_KINDS[kind], text) as NameRow | undefined)
      return found(rows.filter((row) => row !== undefined))
    }
    const fits = values.map(({ text, quoted }) => patternOf(kind, text.toLowerCase(), quoted))
    const rows = (this.#names.all(NAME_KINDS[kind]) as NameRow[]).filter(({ value }) =>
      fits.some((fit) => fit(value.toLowerCase())),
    )
    return found(rows)
  }

  /** Names of one kind that stand in the list, however they are written here. */
  listed(kind: NameKind, wanted: (value: string) => boolean): Found {
    return found((this.#names.all(NAME_KINDS[kind]) as NameRow[]).filter(({ value }) => wanted(value)))
  }

  addresses(values: readonly Value[]): Found {
    const list = new BlockList()
    const globs: string[] = []
    for (const { text, column } of values) {
      const [, base = text, bits] = /^(.*)\/(\d{1,3})$/.exec(text) ?? []
      const family = isIP(base)
      if (family === 0 && bits === undefined && text.includes('*')) globs.push(text)
      else if (family === 0 || Number(bits ?? 0) > (family === 4 ? 32 : 128)) {
        throw new NoAnswer('query', `"${text}" is no address and no network such as 10.0.0.0/24`, column)
      } else if (bits === undefined) list.addAddress(base, family === 4 ? 'ipv4' : 'ipv6')
      else list.addSubnet(base, Number(bits), family === 4 ? 'ipv4' : 'ipv6')
    }
    return this.listed('ip', (value) => {
      const family = isIP(value)
      const inList = family !== 0 && list.check(value, family === 4 ? 'ipv4' : 'ipv6')
      return inList || globs.some((glob) => globMatches(glob, value))
    })
  }

  /** Shapes that have one of these verbs or tables. */
  shapes(kind: 'verb' | 'table', values: readonly Value[]): Found {
    const { ids } = this.names(kind, values)
    const rows = this.#db
      .prepare(
        `SELECT id, fp AS value, count FROM shape WHERE id IN
         (SELECT shape FROM shape_${kind} WHERE name IN (SELECT value FROM json_each(?)))`,
      )
      .all(JSON.stringify(ids)) as NameRow[]
    return found(rows)
  }

  fingerprints(values: readonly Value[]): Found {
    const fits = values.map(({ text, quoted }) => patternOf('code', text.toLowerCase(), quoted))
    const rows = this.#db.prepare('SELECT id, fp AS value, count FROM shape').all() as NameRow[]
    return found(rows.filter(({ value }) => fits.some((fit) => fit(value))))
  }

  shapesWithoutWhere(): Found {
    return found(
      this.#db.prepare('SELECT id, fp AS value, count FROM shape WHERE nowhere = 1').all() as NameRow[],
    )
  }

  session(sid: string): number {
    return (
      (this.#db.prepare('SELECT n FROM session WHERE sid = ?').pluck().get(sid) as number | undefined) ?? -1
    )
  }

  /** The first row at or after that time; times never go back from one record to the next. */
  placeOf(ts: number): number {
    const { first, last } = this.ends
    let low = first
    let high = last + 1
    while (low < high) {
      const middle = low + Math.floor((high - low) / 2)
      const row = this.#place.get(middle) as { id: number; ts: number } | undefined
      if (row === undefined || row.ts >= ts) high = middle
      else low = row.id + 1
    }
    return low
  }
}

function found(rows: readonly NameRow[]): Found {
  return {
    ids: rows.map(({ id }) => id),
    count: rows.reduce((sum, { count }) => sum + Math.max(0, count), 0),
  }
}

function isPlain({ text, quoted }: Value): boolean {
  return quoted || !text.includes('*')
}

function patternOf(kind: NameKind, text: string, quoted: boolean): (value: string) => boolean {
  const fits = (value: string): boolean =>
    quoted || !text.includes('*') ? value === text : globMatches(text, value)
  if (kind !== 'table' || text.includes('.')) return fits
  // `payments` is the table in whatever schema.
  return (value) => fits(value.slice(value.lastIndexOf('.') + 1))
}
