/**
 * A search as SQL over the index. Each term becomes a condition on one row; those that must hold all and name few
 * rows also say what leads to them. What a reader may not see is a condition like any other, so that
 * rows, counts and shares agree.
 */
import { globMatches } from '../../config/selectors.ts'
import { PLACES } from '../derive.ts'
import { FLAG } from '../index-file.ts'
import type { MarkedColumn } from '../marks.ts'
import { NoAnswer } from '../questions.ts'
import type { Rights } from '../rights.ts'
import { CONTENT_STATES, KEYS, nearestWord, OUTCOMES, PROTOCOLS } from './keys.ts'
import type { Found, Lookup } from './lookup.ts'
import type { Qualifier, Query, Value, Words } from './parse.ts'
import { hoursOf, type Span, sinceOf, spanOf, timesOf } from './values.ts'

export interface CompileParts {
  readonly lookup: Lookup
  /** Microseconds since 1970. */
  readonly now: number
  /** Labels of the targets that are configured now. */
  readonly labels: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** The hash of a record in hex, where there is one. */
  readonly hashOf: (seq: number) => string | undefined
}

/** What leads to rows: the marks of these values of a column, or the index of what went wrong. */
export type Lead = { readonly column: MarkedColumn; readonly values: readonly number[] } | 'by_trouble'

export interface Way {
  readonly sql: string
  readonly lead: Lead
}

/** One condition on the row `e`. */
export interface Condition {
  readonly sql: string
  /** How many rows it lets pass, where that is known. */
  readonly count?: number
  readonly lead?: Lead
  /** Whether the lead gives its rows in their order. */
  readonly ordered?: boolean
  /** What leads to all of its rows together, each to a part. */
  readonly ways?: readonly Way[]
  /** For the index of words, which can be come by as well. */
  readonly match?: string
  readonly from?: number
  readonly to?: number
}

export interface Compiled {
  /** All must hold. */
  readonly conditions: readonly Condition[]
  readonly patterns: readonly RegExp[]
  /** Whether it tells of contents: then only rows count whose contents the asker may see. */
  readonly content: boolean
}

export function compile(query: Query, parts: CompileParts): Compiled {
  const compiler = new Compiler(parts)
  const terms = query.type === 'and' ? query.of : [query]
  const conditions = terms.map((term) => compiler.condition(term))
  // What terminals showed is found by its words: otherwise each second of it would be a row of every answer.
  if (!compiler.asksForWords) conditions.push({ sql: `e.flags & ${FLAG.quiet} = 0` })
  return { conditions, patterns: compiler.patterns, content: compiler.content }
}

class Compiler {
  readonly patterns: RegExp[] = []
  content = false
  asksForWords = false
  readonly #parts: CompileParts
  #negated = false

  constructor(parts: CompileParts) {
    this.#parts = parts
  }

  condition(query: Query): Condition {
    switch (query.type) {
      case 'and':
      case 'or': {
        if (query.of.length === 0) return { sql: EVERY_ROW }
        const parts = query.of.map((one) => this.condition(one))
        return query.type === 'and' ? all(parts) : any(parts)
      }
      case 'not': {
        const before = this.#negated
        this.#negated = !before
        const { sql } = this.condition(query.of)
        this.#negated = before
        // What is unknown does not hold, so its opposite does.
        return { sql: `NOT ifnull(${sql}, 0)` }
      }
      case 'text':
        return this.#words(query.words)
      case 'regex': {
        this.#asks()
        this.patterns.push(query.pattern)
        return { sql: `text_matches(e.id, ${this.patterns.length - 1})` }
      }
      case 'key':
        return this.#key(query)
    }
  }

  #asks(): void {
    this.content = true
    if (!this.#negated) this.asksForWords = true
  }

  #words({ tokens, prefix }: Words): Condition {
    this.#asks()
    const match = `"${tokens.join(' ')}"${prefix ? ' *' : ''}`
    return { sql: `e.said IN (SELECT rowid FROM words WHERE words MATCH ${literal(match)})`, match }
  }

  #key({ key, label, values }: Qualifier): Condition {
    const { lookup } = this.#parts
    if (key !== 'label' && 'content' in KEYS[key]) this.content = true
    switch (key) {
      case 'label':
        return this.#label(label ?? '', values)
      case 'actor':
        return among('actor', lookup.names('actor', values))
      case 'target':
        return among('target', lookup.names('target', values))
      case 'action':
        return among('action', lookup.names('action', values))
      case 'db':
        return { sql: `e.db IN (${lookup.names('db', values).ids.join(',')})` }
      case 'trace':
        return among('trace', lookup.names('trace', values))
      case 'ip':
        return among('addr', lookup.addresses(values))
      case 'verb':
      case 'table':
        return among('shape', lookup.shapes(key, values))
      case 'fp':
        return among('shape', lookup.fingerprints(values))
      case 'role': {
        const { ids } = lookup.names('role', values)
        return { sql: `e.session IN (SELECT session FROM session_role WHERE name IN (${ids.join(',')}))` }
      }
      case 'proto':
        return { sql: `e.proto IN (${values.map((value) => placeIn(PROTOCOLS, value, key)).join(',')})` }
      case 'status':
        return statusOf(values.map((value) => placeIn(OUTCOMES, value, key) + 1))
      case 'session':
        return this.#session(values)
      case 'record':
        return any(values.map((value) => this.#record(value)))
      case 'rows':
      case 'bytes':
      case 'duration':
        return this.#measured(key, values)
      case 'ts':
      case 'since':
        return this.#time(key, values)
      case 'outside':
        return any(values.map((value) => outside(value)))
      case 'is':
      case 'has':
        return any(values.map((value) => this.#state(key, value)))
      case 'text':
        throw new NoAnswer('query', 'text: is read as text')
    }
  }

  #label(label: string, values: readonly Value[]): Condition {
    const { labels, lookup } = this.#parts
    const wanted = Object.entries(labels)
      .filter(([, own]) => Object.hasOwn(own, label))
      .filter(([, own]) => values.some(({ text, quoted }) => fits(text, own[label] ?? '', quoted)))
      .map(([target]) => target)
    return among(
      'target',
      lookup.listed('target', (value) => wanted.includes(value)),
    )
  }

  #session(values: readonly Value[]): Condition {
    const numbers = values.map(({ text, column }) => {
      if (!/^[a-z2-7]{16}$/.test(text)) throw new NoAnswer('query', `"${text}" is no id of a session`, column)
      return this.#parts.lookup.session(text)
    })
    return among('session', { ids: numbers, count: 1000 })
  }

  #record({ text, column }: Value): Condition {
    const [, seq, digits = ''] = /^(\d{1,12})(?:-([0-9a-f]{1,64}))?$/.exec(text) ?? []
    if (seq === undefined)
      throw new NoAnswer('query', `"${text}" is no record such as 184302-9f2c1b77`, column)
    if (digits !== '' && this.#parts.hashOf(Number(seq))?.startsWith(digits) !== true) return NONE
    const from = Number(seq) * PLACES
    return { sql: `e.id BETWEEN ${from} AND ${from + PLACES - 1}`, from, to: from + PLACES - 1 }
  }

  #measured(key: 'rows' | 'bytes' | 'duration', values: readonly Value[]): Condition {
    const kind = { rows: 'number', bytes: 'size', duration: 'duration' } as const
    const column = key === 'duration' ? 'e.dur' : `e.${key}`
    return any(values.map((value) => ({ sql: within(column, spanOf(kind[key], value)) })))
  }

  #time(key: 'ts' | 'since', values: readonly Value[]): Condition {
    const { lookup, now } = this.#parts
    const spans = values.map((value): Span => (key === 'ts' ? timesOf(value) : { from: sinceOf(value, now) }))
    return any(
      spans.map(({ from, to }) => {
        const places = {
          ...(from === undefined ? {} : { from: lookup.placeOf(from) }),
          ...(to === undefined ? {} : { to: lookup.placeOf(to + 1) - 1 }),
        }
        return { sql: within('e.id', places), ...places }
      }),
    )
  }

  #state(key: 'is' | 'has', value: Value): Condition {
    const { text } = value
    const word = text.toLowerCase()
    if (CONTENT_STATES.has(word)) this.content = true
    placeIn(KEYS[key].words, value, key)
    switch (word) {
      case 'live':
        return { sql: `e.session IN (SELECT n FROM session WHERE closed IS NULL AND proto <> ${GATEWAY})` }
      case 'denied':
        return statusOf([OUTCOMES.indexOf('denied') + 1])
      case 'admin': {
        const { lookup } = this.#parts
        return among(
          'action',
          lookup.listed('action', (action) => /^(?:admin|config|book)\./.test(action)),
        )
      }
      case 'params':
        return { sql: `e.flags & ${FLAG.params} <> 0` }
      case 'recording':
        return { sql: `e.flags & ${FLAG.recording} <> 0` }
      case 'trace':
        return { sql: 'e.trace IS NOT NULL' }
      default:
        return among('shape', this.#parts.lookup.shapesWithoutWhere())
    }
  }
}

/** SQLite refuses to be told an index where a bare constant settles the matter. */
const EVERY_ROW = 'e.id >= 0'
const NO_ROW = 'e.id < 0'
/** Its range is empty, so that nothing is read to find nothing. */
const NONE: Condition = { sql: NO_ROW, count: 0, to: -1 }
const GATEWAY = PROTOCOLS.indexOf('gateway')

/** What the asker may not see, as a condition; undefined where everything may be. */
export function scopeOf(
  { all, metadata, content, replay }: Rights,
  sub: string,
  ofContent: boolean,
  lookup: Lookup,
): Condition | undefined {
  if (all) return undefined
  const own = lookup.listed('sub', (value) => value === sub).ids[0] ?? -1
  const targets = (patterns: readonly string[]): string => {
    const { ids } = lookup.listed('target', (name) => patterns.some((pattern) => globMatches(pattern, name)))
    return `e.target IN (${ids.join(',')})`
  }
  if (!ofContent) return { sql: `(e.sub = ${own} OR ${targets([...metadata, ...content, ...replay])})` }
  const seen = `(${targets(content)} AND e.flags & ${FLAG.quiet} = 0) OR (${targets(replay)} AND e.flags & ${FLAG.quiet} <> 0)`
  return { sql: `(e.sub = ${own} OR ${seen})` }
}

function among(column: MarkedColumn, { ids, count }: Found): Condition {
  if (ids.length === 0) return NONE
  const sql = `e.${column} IN (${ids.join(',')})`
  return { sql, count, ordered: ids.length === 1, lead: { column, values: ids } }
}

/** Only what went wrong is worth an index of its own. */
function statusOf(places: readonly number[]): Condition {
  const sql = `e.out IN (${places.join(',')})`
  if (places.includes(1)) return { sql }
  return { sql: `${sql} AND e.out > 1`, lead: 'by_trouble', ordered: places.length === 1 }
}

function any(conditions: readonly Condition[]): Condition {
  const [only] = conditions
  if (only !== undefined && conditions.length === 1) return only
  const sql = `(${conditions.map((one) => one.sql).join(' OR ')})`
  const ways = conditions.map(waysOf)
  if (!ways.every((some) => some !== undefined)) return { sql }
  return { sql, count: conditions.reduce((sum, { count = 0 }) => sum + count, 0), ways: ways.flat() }
}

/** Come to by the rarest of its parts. */
function all(conditions: readonly Condition[]): Condition {
  const sql = `(${conditions.map((one) => one.sql).join(' AND ')})`
  const [rarest] = conditions
    .filter((one) => waysOf(one) !== undefined)
    .sort((a, b) => (a.count ?? 0) - (b.count ?? 0))
  if (rarest === undefined) return { sql }
  return {
    sql,
    count: rarest.count ?? 0,
    ways: waysOf(rarest)?.map((way) => ({ ...way, sql: `${way.sql} AND ${sql}` })) ?? [],
  }
}

/** Undefined where nothing but reading every row leads there. */
function waysOf({ sql, count, lead, ways }: Condition): readonly Way[] | undefined {
  if (count === undefined) return undefined
  if (ways !== undefined) return ways
  if (sql === NO_ROW) return []
  return lead === undefined ? undefined : [{ sql, lead }]
}

function within(column: string, { from, to }: Span): string {
  const ends = [
    ...(from === undefined ? [] : [`${column} >= ${from}`]),
    ...(to === undefined ? [] : [`${column} <= ${to}`]),
  ]
  return `(${ends.join(' AND ')})`
}

function outside(value: Value): Condition {
  const { from, to } = hoursOf(value)
  const minute = 'e.ts / 60000000 % 1440'
  const inside = from < to ? 'AND' : 'OR'
  return { sql: `NOT (${minute} >= ${from} ${inside} ${minute} < ${to})` }
}

function placeIn(words: readonly string[], { text, column }: Value, key: string): number {
  const place = words.indexOf(text.toLowerCase())
  if (place !== -1) return place
  const near = nearestWord(text.toLowerCase(), words)
  const hint = near === undefined ? `one of ${words.join(', ')}` : `did you mean ${near}?`
  throw new NoAnswer('query', `unknown ${key}:${text}: ${hint}`, column)
}

function fits(pattern: string, value: string, quoted: boolean): boolean {
  const [a, b] = [pattern.toLowerCase(), value.toLowerCase()]
  return quoted ? a === b : globMatches(a, b)
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
