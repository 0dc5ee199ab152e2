/** By which way to come to the rows of a search: by its rarest name, by its words, or past all rows in their order. */
import { SPAN_IDS, spanOf } from '../derive.ts'
import type { Condition, IndexName, Way } from './compile.ts'
import type { Lookup } from './lookup.ts'

export interface Plan {
  /** `FROM … WHERE …` over the row `e`, without an order. */
  readonly from: string
  /** What orders rows: the way that was chosen gives them in this order, where it can. */
  readonly id: string
  /** Whether that is their own order only from one span to the next. */
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

/** What a row costs: read in its order, by an index with a look at the table, with a look at the words. */
const ROW_COST = 0.3
const INDEXED_ROW_COST = 1.2
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

  let best: { cost: number; index: IndexName | undefined } = {
    cost: readBefore(selectivity, total * share, wanted.rows) * (ROW_COST + words.length * WORD_COST),
    index: undefined,
  }
  for (const { index, ...one } of conditions) {
    if (index === undefined) continue
    const some = total * share * passing(one, total)
    const read =
      one.ordered === true ? readBefore(selectivity / passing(one, total), some, wanted.rows) : some
    const cost = read * (INDEXED_ROW_COST + words.length * WORD_COST)
    if (cost < best.cost) best = { cost, index }
  }
  const several = conditions
    .filter(({ ways }) => ways !== undefined)
    .sort((a, b) => (a.count ?? 0) - (b.count ?? 0))[0]
  const severalCost =
    total * share * passing(several ?? { sql: '' }, total) * (2 * INDEXED_ROW_COST + words.length * WORD_COST)
  const isUnion = several !== undefined && severalCost < best.cost
  if (isUnion) best = { cost: severalCost, index: undefined }
  if (words.length > 0) {
    const cost =
      readBefore(selectivity / GUESS ** words.length, total * share * GUESS, wanted.rows) * WORDS_ROW_COST
    // The words of a rare name are looked up row by row; otherwise the words themselves are the shorter way.
    if (cost < best.cost) return { ...byWords(conditions, words, { from, to }), every, rows }
  }
  const way = best.index === undefined ? 'NOT INDEXED' : `INDEXED BY ${best.index}`
  const union = isUnion ? [`e.id IN (${unionOf(several.ways ?? [], range)})`] : []
  return {
    from: `FROM entry e ${way} WHERE ${[...(isUnion ? union : [`e.id ${range}`]), ...where].join(' AND ')}`,
    id: 'e.id',
    bySpans: false,
    every,
    rows,
  }
}

function unionOf(ways: readonly Way[], range: string): string {
  if (ways.length === 0) return 'SELECT id FROM entry WHERE id < 0'
  const one = ({ sql, index }: Way): string =>
    `SELECT e.id FROM entry e INDEXED BY ${index} WHERE e.id ${range} AND ${sql}`
  return ways.map(one).join(' UNION ALL ')
}

function byWords(
  conditions: readonly Condition[],
  words: readonly Condition[],
  { from, to }: { readonly from: number; readonly to: number },
): Pick<Plan, 'from' | 'id' | 'bySpans'> {
  const match = words.map((one) => one.match).join(' AND ')
  const where = conditions.filter((one) => one.match === undefined).map(({ sql }) => sql)
  const all = [
    `words MATCH '${match.replaceAll("'", "''")}'`,
    `words.rowid BETWEEN ${spanOf(from) * SPAN_IDS} AND ${to}`,
    `e.id BETWEEN ${from} AND ${to}`,
    ...where,
  ]
  return {
    from: `FROM words CROSS JOIN entry e INDEXED BY by_said ON e.said = words.rowid WHERE ${all.join(' AND ')}`,
    id: 'words.rowid',
    bySpans: true,
  }
}

function hasWords(match: string): string {
  // A row without words must not get there: for FTS5 a rowid that is NULL is any rowid.
  return `(e.said IS NOT NULL AND EXISTS (SELECT 1 FROM words WHERE words MATCH '${match.replaceAll("'", "''")}' AND words.rowid = e.said))`
}

function passing({ count, sql }: Omit<Condition, 'index'>, total: number): number {
  if (sql.startsWith('e.out IN (') && count === undefined) return 0.02
  return count === undefined ? GUESS : Math.min(1, Math.max(count, 0.5) / total)
}

/** Rows that are read before enough have been found. */
function readBefore(selectivity: number, rows: number, wanted: number): number {
  return Math.min(rows, wanted / Math.max(selectivity, 1e-12))
}
