/** By which way to come to the rows of a search: by its rarest name, by its words, or past all rows in their order. */
import { SPAN_IDS, spanOf } from '../derive.ts'
import { markOf, ROWS_SAYING, rowsMarked } from '../marks.ts'
import type { Condition, Lead, Way } from './compile.ts'
import type { Lookup } from './lookup.ts'

export interface Plan {
  /** `FROM … WHERE …` over the row `e`, without an order. */
  readonly from: string
  /** Expressions that order rows as they are ordered: the way that was chosen gives them in this order, where it can. */
  readonly order: readonly string[]
  /** Where that is their own order only from one span to the next. */
  readonly bySpans: boolean
  /** The same as a condition alone, where the way is known already. */
  readonly every: string
  /** How many rows it will find, as far as the counts tell. */
  readonly rows: number
}

export interface Wanted {
  /** As many rows as will be read before the answer is full; all of them where it is infinite. */
  readonly rows: number
  /** Rows from and to, both included. */
  readonly from?: number | undefined
  readonly to?: number | undefined
}

/** What a row costs: read in its order, led to one by one, with a look at the words. */
const ROW_COST = 0.3
const LED_ROW_COST = 1.2
const WORD_COST = 12
const WORDS_ROW_COST = 2.5
/** Nothing is known of such a condition. */
const GUESS = 0.3

export function plan(conditions: readonly Condition[], lookup: Lookup, wanted: Wanted): Plan {
  const total = Math.max(1, lookup.total)
  const { first, last } = lookup.ends
  const from = Math.max(first, wanted.from ?? first, ...conditions.map((one) => one.from ?? first))
  const to = Math.min(last, wanted.to ?? last, ...conditions.map((one) => one.to ?? last))
  const share = Math.max(0, to - from + 1) / Math.max(1, last - first + 1)
  const range = `BETWEEN ${from} AND ${to}`
  const words = conditions.filter(({ match }) => match !== undefined)
  const selectivity = conditions.reduce((product, one) => product * passing(one, total), 1)

  const where = conditions.map(({ sql, match }) => (match === undefined ? sql : hasWords(match)))
  const every = [`e.id ${range}`, ...where].join(' AND ')
  const rows = total * share * selectivity

  let best: { cost: number; lead: Lead | undefined } = {
    cost: readBefore(selectivity, total * share, wanted.rows) * (ROW_COST + words.length * WORD_COST),
    lead: undefined,
  }
  for (const { lead, ...one } of conditions) {
    if (lead === undefined) continue
    const some = total * share * passing(one, total)
    const read =
      one.ordered === true ? readBefore(selectivity / passing(one, total), some, wanted.rows) : some
    const cost = read * (LED_ROW_COST + words.length * WORD_COST)
    if (cost < best.cost) best = { cost, lead }
  }
  const several = conditions
    .filter(({ ways }) => ways !== undefined)
    .sort((a, b) => (a.count ?? 0) - (b.count ?? 0))[0]
  const severalCost =
    total * share * passing(several ?? { sql: '' }, total) * (2 * LED_ROW_COST + words.length * WORD_COST)
  const isUnion = several !== undefined && severalCost < best.cost
  if (isUnion) best = { cost: severalCost, lead: undefined }
  if (words.length > 0) {
    const cost =
      readBefore(selectivity / GUESS ** words.length, total * share * GUESS, wanted.rows) * WORDS_ROW_COST
    // The words of a rare name are looked up row by row; otherwise the words themselves are the shorter way.
    if (cost < best.cost) return { ...byWords(conditions, words, { from, to }), every, rows }
  }
  if (isUnion) {
    const union = `e.id IN (${unionOf(several.ways ?? [], { from, to })})`
    const all = [union, ...where].join(' AND ')
    return { from: `FROM entry e NOT INDEXED WHERE ${all}`, order: ['e.id'], bySpans: false, every, rows }
  }
  const led = ledBy(best.lead, { from, to })
  return { from: [led.from, ...where].join(' AND '), order: led.order, bySpans: false, every, rows }
}

interface Range {
  readonly from: number
  readonly to: number
}

/** The rows of a range that something leads to, or all of them. */
function ledBy(lead: Lead | undefined, { from, to }: Range): Pick<Plan, 'from' | 'order'> {
  const range = `BETWEEN ${from} AND ${to}`
  if (lead === undefined || lead === 'by_trouble') {
    const way = lead === undefined ? 'NOT INDEXED' : `INDEXED BY ${lead}`
    return { from: `FROM entry e ${way} WHERE e.id ${range}`, order: ['e.id'] }
  }
  const { column, values } = lead
  const marks = values.map((value) => markOf(column, String(value))).join(',')
  const spans = `BETWEEN ${spanOf(from)} AND ${spanOf(to)}`
  return {
    // The range of a run is narrower, so it is the one to be sought by.
    from: `FROM ${rowsMarked(column)} WHERE m.what IN (${marks}) AND m.span ${spans} AND +e.id ${range}`,
    order: ['m.span', 'e.id'],
  }
}

function unionOf(ways: readonly Way[], range: Range): string {
  if (ways.length === 0) return 'SELECT id FROM entry WHERE id < 0'
  const one = ({ sql, lead }: Way): string => `SELECT e.id ${ledBy(lead, range).from} AND ${sql}`
  return ways.map(one).join(' UNION ALL ')
}

function byWords(
  conditions: readonly Condition[],
  words: readonly Condition[],
  { from, to }: Range,
): Pick<Plan, 'from' | 'order' | 'bySpans'> {
  const match = words.map((one) => one.match).join(' AND ')
  const where = conditions.filter((one) => one.match === undefined).map(({ sql }) => sql)
  const all = [
    `words MATCH '${match.replaceAll("'", "''")}'`,
    `words.rowid BETWEEN ${spanOf(from) * SPAN_IDS} AND ${to}`,
    `+e.id BETWEEN ${from} AND ${to}`,
    ...where,
  ]
  return {
    from: `FROM ${ROWS_SAYING} WHERE ${all.join(' AND ')}`,
    order: ['words.rowid'],
    bySpans: true,
  }
}

function hasWords(match: string): string {
  // A row without words must not get there: for FTS5 a rowid that is NULL is any rowid.
  return `(e.said IS NOT NULL AND EXISTS (SELECT 1 FROM words WHERE words MATCH '${match.replaceAll("'", "''")}' AND words.rowid = e.said))`
}

function passing({ count, sql }: Omit<Condition, 'lead'>, total: number): number {
  if (sql.startsWith('e.out IN (') && count === undefined) return 0.02
  return count === undefined ? GUESS : Math.min(1, Math.max(count, 0.5) / total)
}

/** Rows that are read before enough have been found. */
function readBefore(selectivity: number, rows: number, wanted: number): number {
  return Math.min(rows, wanted / Math.max(selectivity, 1e-12))
}
