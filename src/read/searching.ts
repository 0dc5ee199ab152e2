/** Searches over the index: rows in pages, counts, completion. */
import type { Database } from 'better-sqlite3-multiple-ciphers'
import {
  type CompleteAnswer,
  FACET_VALUES_MAX,
  type FacetKey,
  type FacetValue,
  type FollowAnswer,
  HISTOGRAM_BARS_MAX,
  PAGE_ROWS_MAX,
  type SearchAnswer,
  SUMMARY_ROWS_MAX,
  type SummaryAnswer,
} from './answers.ts'
import { PLACES, spanOf } from './derive.ts'
import { markOf, rowsMarked } from './marks.ts'
import type { Asker, CompleteQuestion, FollowQuestion, SearchQuestion, SummaryQuestion } from './questions.ts'
import { NoAnswer } from './questions.ts'
import type { Rows } from './rows.ts'
import { type Compiled, type CompileParts, type Condition, compile, scopeOf } from './search/compile.ts'
import { KEYS, OUTCOMES, PROTOCOLS } from './search/keys.ts'
import { parseQuery } from './search/parse.ts'
import { type Plan, plan, type Wanted } from './search/plan.ts'
import { Sight } from './sight.ts'

export const PAGE_ROWS = 50
/** Rows that completion looks at, the newest first. */
const COMPLETION_ROWS = 20_000
const CHOICES_MAX = 20

/** Of so many rows all sessions are collected before a page of them is shown. */
export const SCATTERED_ROWS_MAX = 20_000

export interface SearchingParts {
  /** SCATTERED_ROWS_MAX, but for tests. */
  readonly scatteredRowsMax: number
  readonly index: Database
  readonly rows: Rows
  readonly compiling: () => CompileParts
  /** Of the book, and of what the index has of it. */
  readonly sizes: () => { readonly size: number; readonly indexed: number }
}

export class Searching {
  readonly #parts: SearchingParts
  #patterns: readonly RegExp[] = []

  constructor(parts: SearchingParts) {
    this.#parts = parts
    parts.index.function('text_matches', (id: unknown, k: unknown) => {
      const text = parts.rows.textOf(Number(id))
      return text !== undefined && this.#patterns[Number(k)]?.test(text) === true ? 1 : 0
    })
  }

  search({ query, cursor, limit = PAGE_ROWS, order = 'newest' }: SearchQuestion, asker: Asker): SearchAnswer {
    const wanted = Math.max(1, Math.min(limit, PAGE_ROWS_MAX))
    const behind =
      order === 'newest' ? { to: (cursor ?? Number.MAX_SAFE_INTEGER) - 1 } : { from: (cursor ?? -1) + 1 }
    const ids = this.ids(query, asker, { rows: wanted + 1, ...behind }, order === 'newest' ? 'DESC' : 'ASC')
    const page = ids.slice(0, wanted)
    const next = ids.length > wanted ? page.at(-1) : undefined
    const { size, indexed } = this.#parts.sizes()
    const rows = this.#parts.rows.shown(page, new Sight(asker))
    return { rows, ...(next === undefined ? {} : { next }), size, behind: size - indexed }
  }

  follow({ query, from, cursor }: FollowQuestion, asker: Asker): FollowAnswer {
    const last = this.#parts.compiling().lookup.ends.last
    const after = cursor ?? (from === undefined ? last : from * PLACES - 1)
    const ids = this.ids(query, asker, { rows: PAGE_ROWS, from: after + 1 }, 'ASC')
    const reached = ids.length < PAGE_ROWS ? Math.max(last, after) : (ids.at(-1) ?? after)
    return { rows: this.#parts.rows.shown(ids, new Sight(asker)), cursor: reached }
  }

  /** Ids of what a query finds, under the asker's rights. */
  ids(query: string, asker: Asker, wanted: Wanted, order: 'ASC' | 'DESC'): number[] {
    const { from, order: by, bySpans } = this.#plan(query, asker, wanted)
    const ordered = `${from} ORDER BY ${by.map((one) => `${one} ${order}`).join(', ')}`
    if (bySpans) return this.#idsBySpans(ordered, wanted.rows, order)
    const limit = Number.isFinite(wanted.rows) ? ` LIMIT ${wanted.rows}` : ''
    return this.#parts.index.prepare(`SELECT e.id ${ordered}${limit}`).pluck().all() as number[]
  }

  /** Reads whole spans until there are enough, and puts them in order. */
  #idsBySpans(from: string, wanted: number, order: 'ASC' | 'DESC'): number[] {
    const ids: number[] = []
    let span: number | undefined
    const rows = this.#parts.index
      .prepare(`SELECT e.id ${from}`)
      .pluck()
      .iterate() as IterableIterator<number>
    for (const id of rows) {
      if (ids.length >= wanted && spanOf(id) !== span) break
      span = spanOf(id)
      ids.push(id)
    }
    ids.sort((a, b) => (order === 'ASC' ? a - b : b - a))
    return ids.slice(0, wanted)
  }

  /** Numbers of the sessions in which something fits; all that may be seen where the query is empty. */
  sessions(query: string, asker: Asker, before: number, limit: number): number[] {
    const { index } = this.#parts
    const { lookup } = this.#parts.compiling()
    const gateway = PROTOCOLS.indexOf('gateway')
    const scope = scopeOf(asker.rights, asker.sub, false, lookup)
    const seen = scope === undefined ? '' : `AND ${scope.sql.replaceAll('e.', 's.')}`
    const common = `s.seq < ${before} AND s.proto <> ${gateway} ${seen}`
    const tail = `ORDER BY s.seq DESC LIMIT ${limit}`
    if (query.trim() === '') {
      return index.prepare(`SELECT s.n FROM session s WHERE ${common} ${tail}`).pluck().all() as number[]
    }
    const { from, every, rows } = this.#plan(query, asker, { rows: Number.POSITIVE_INFINITY })
    // What nearly every session has is looked for in one after the other, until the page is full.
    const found =
      rows < this.#parts.scatteredRowsMax
        ? `s.n IN (SELECT e.session ${from})`
        : `EXISTS (SELECT 1 FROM ${rowsMarked('session')} WHERE m.what = ${markOf('session', 's.n')} AND ${every})`
    return index
      .prepare(`SELECT s.n FROM session s WHERE ${found} AND ${common} ${tail}`)
      .pluck()
      .all() as number[]
  }

  summary({ query, facets = [], bars = 0 }: SummaryQuestion, asker: Asker): SummaryAnswer {
    const compiled = this.#compile(query)
    const allowed = facets.filter((key) => Object.hasOwn(COLUMNS, key) && mayFacet(key, asker))
    const scopes = this.#contentScope(asker, allowed, compiled.content)
    const { from, order } = this.#plan(query, asker, { rows: SUMMARY_ROWS_MAX })
    const columns = `e.ts, ${allowed
      .map((key) => COLUMNS[key])
      .concat('1')
      .join(', ')}, ${scopes}`
    const tail = `${newestFirst(order)} LIMIT ${SUMMARY_ROWS_MAX + 1}`
    const rows = this.#parts.index
      .prepare(`SELECT ${columns} ${from} ${tail}`)
      .raw()
      .iterate() as IterableIterator<(number | null)[]>
    const tally = new Tally(allowed)
    for (const row of rows) if (!tally.add(row)) break
    return {
      count: tally.count,
      complete: tally.complete,
      facets: Object.fromEntries(allowed.map((key, k) => [key, this.#facet(key, tally.counts[k])])),
      ...(bars > 0 ? { histogram: histogramOf(tally.times, Math.min(bars, HISTOGRAM_BARS_MAX)) } : {}),
      size: this.#parts.sizes().size,
    }
  }

  complete({ query, at }: CompleteQuestion, asker: Asker): CompleteAnswer {
    const before = query.slice(0, at)
    const [, sign = '', word = ''] = /(?:^|[\s(])(-?)((?:[^\s"()]|"[^"]*"?)*)$/.exec(before) ?? []
    const start = at - word.length
    const [, key, typed] = /^([a-z]+):(?:.*,)?([^,]*)$/.exec(word) ?? []
    if (key === undefined || typed === undefined) {
      const keys = Object.entries(KEYS).filter(
        ([name, one]) => name.startsWith(word) && (!('content' in one) || seesContent(asker)),
      )
      return { from: start, to: at, choices: keys.map(([name, { about }]) => ({ text: `${name}:`, about })) }
    }
    const from = at - typed.length
    const rest = `${query.slice(0, start - sign.length)} ${query.slice(at)}`
    return { from, to: at, choices: this.#values(key, typed.replaceAll('"', ''), rest, asker) }
  }

  #values(key: string, typed: string, rest: string, asker: Asker): CompleteAnswer['choices'] {
    const known = Object.hasOwn(KEYS, key) ? KEYS[key as keyof typeof KEYS] : undefined
    if (known === undefined) return []
    if ('words' in known)
      return known.words.filter((word) => word.startsWith(typed)).map((text) => ({ text }))
    if (!Object.hasOwn(COLUMNS, key) || !mayFacet(key as FacetKey, asker)) return []
    const summary = this.#newest(key as FacetKey, rest, asker)
    const fitting = summary.filter(({ value }) => value.toLowerCase().startsWith(typed.toLowerCase()))
    return fitting.slice(0, CHOICES_MAX).map(({ value, count }) => ({ text: quoted(value), count }))
  }

  /** Values of the newest rows that fit what else is asked for, where that can be read already. */
  #newest(key: FacetKey, rest: string, asker: Asker): readonly FacetValue[] {
    const query = isQuery(rest) ? rest : ''
    const scopes = this.#contentScope(asker, [key], this.#compile(query).content)
    const { from, order } = this.#plan(query, asker, { rows: COMPLETION_ROWS })
    const tally = new Tally([key])
    const sql = `SELECT e.ts, ${COLUMNS[key]}, 1, ${scopes} ${from} ${newestFirst(order)} LIMIT ${COMPLETION_ROWS}`
    for (const row of this.#parts.index.prepare(sql).raw().iterate() as IterableIterator<(number | null)[]>)
      tally.add(row)
    return this.#facet(key, tally.counts[0])
  }

  #compile(query: string): Compiled {
    return compile(parseQuery(query), this.#parts.compiling())
  }

  #plan(query: string, asker: Asker, wanted: Wanted): Plan {
    const compiled = this.#compile(query)
    if (compiled.content && !seesContent(asker)) {
      throw new NoAnswer(
        'right',
        'this searches in what was run, and you may see who did something where and when',
      )
    }
    const { lookup } = this.#parts.compiling()
    const scope = scopeOf(asker.rights, asker.sub, compiled.content, lookup)
    this.#patterns = compiled.patterns
    const conditions: readonly Condition[] =
      scope === undefined ? compiled.conditions : [...compiled.conditions, scope]
    return plan(conditions, lookup, wanted)
  }

  /** Whether a row's contents count for facets of contents: 1 where nothing keeps them back. */
  #contentScope(asker: Asker, facets: readonly FacetKey[], already: boolean): string {
    const needed = facets.some((key) => isContent(key)) && !already
    const scope = needed ? scopeOf(asker.rights, asker.sub, true, this.#parts.compiling().lookup) : undefined
    return scope === undefined ? '1' : `ifnull(${scope.sql}, 0)`
  }

  #facet(key: FacetKey, counts: ReadonlyMap<number, number> | undefined): FacetValue[] {
    const values = new Map<string, number>()
    for (const [id, count] of counts ?? []) {
      for (const value of this.#valuesOf(key, id)) values.set(value, (values.get(value) ?? 0) + count)
    }
    return [...values]
      .map(([value, count]) => ({ value, count }))
      .sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1))
      .slice(0, FACET_VALUES_MAX)
  }

  #valuesOf(key: FacetKey, id: number): readonly string[] {
    const { rows } = this.#parts
    if (key === 'verb') return rows.shape(id)?.verbs ?? []
    if (key === 'table') return rows.shape(id)?.tables ?? []
    const value =
      key === 'fp'
        ? rows.shape(id)?.fp
        : key === 'status'
          ? OUTCOMES[id - 1]
          : key === 'proto'
            ? PROTOCOLS[id]
            : rows.name(id)
    return value === undefined ? [] : [value]
  }
}

const COLUMNS: Readonly<Record<FacetKey, string>> = {
  actor: 'e.actor',
  target: 'e.target',
  verb: 'e.shape',
  table: 'e.shape',
  fp: 'e.shape',
  status: 'e.out',
  ip: 'e.addr',
  action: 'e.action',
  proto: 'e.proto',
  db: 'e.db',
}

/** Counts rows by the values they have. */
class Tally {
  count = 0
  complete = true
  readonly times: number[] = []
  readonly counts: Map<number, number>[]
  readonly #content: readonly boolean[]

  constructor(keys: readonly FacetKey[]) {
    this.counts = keys.map(() => new Map())
    this.#content = keys.map(isContent)
  }

  /** False where no more are counted. */
  add(row: readonly (number | null)[]): boolean {
    if (this.count >= SUMMARY_ROWS_MAX) {
      this.complete = false
      return false
    }
    this.count++
    this.times.push(row[0] ?? 0)
    const seen = row.at(-1) === 1
    for (const [k, counts] of this.counts.entries()) {
      const value = row[k + 1]
      if (value === null || value === undefined || (this.#content[k] === true && !seen)) continue
      counts.set(value, (counts.get(value) ?? 0) + 1)
    }
    return true
  }
}

export function histogramOf(times: readonly number[], bars: number): NonNullable<SummaryAnswer['histogram']> {
  const from = times.reduce((first, ts) => Math.min(first, ts), times[0] ?? 0)
  const to = times.reduce((last, ts) => Math.max(last, ts), from)
  const barMicros = Math.max(1, Math.ceil((to - from + 1) / bars))
  const counts = new Array<number>(bars).fill(0)
  for (const ts of times) {
    const bar = Math.floor((ts - from) / barMicros)
    counts[bar] = (counts[bar] ?? 0) + 1
  }
  return { from, barMicros, counts }
}

/** For counting: rows of one span may come in any order. */
function newestFirst([first]: readonly string[]): string {
  return `ORDER BY ${first} DESC`
}

function isContent(key: FacetKey): boolean {
  return key === 'verb' || key === 'table' || key === 'fp'
}

/** Somebody's own is always theirs to search in, so everybody may use every key; rows decide. */
function seesContent({ rights }: Asker): boolean {
  return rights.all || rights.content.length > 0 || rights.replay.length > 0 || rights.metadata.length === 0
}

function mayFacet(key: FacetKey, asker: Asker): boolean {
  return !isContent(key) || seesContent(asker)
}

function isQuery(text: string): boolean {
  try {
    parseQuery(text)
    return true
  } catch (error) {
    if (error instanceof NoAnswer) return false
    throw error
  }
}

function quoted(value: string): string {
  return /[\s",()*]/.test(value) ? `"${value.replaceAll(/["\\]/g, '\\$&')}"` : value
}
