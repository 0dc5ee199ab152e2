/**
 * Where in the book a name, a shape, a session or a text comes again and again: for each span of 256 records in which
 * it does, the runs of records among which it stands. This is what an index over the rows would be for, and costs a
 * tenth of it: few names occur in a span, so it is entered some dozens of times, not once for each row and column.
 * A run leads to rows and says nothing of them: whoever comes by it holds each row against what it looks for.
 */
import type { Database, Statement } from 'better-sqlite3-multiple-ciphers'
import { PLACES, SPAN_IDS, spanOf } from './derive.ts'

/** Columns of `entry` whose values are marked, and whose numbers those are: names of all kinds are numbered together. */
const NUMBERED = { action: 0, actor: 0, target: 0, addr: 0, trace: 0, shape: 1, session: 2, said: 3 } as const

export type MarkedColumn = keyof typeof NUMBERED

export interface MarkedRow extends Readonly<Partial<Record<MarkedColumn, number | null>>> {
  readonly id: number
}

const COLUMNS = Object.keys(NUMBERED) as MarkedColumn[]
const NUMBERINGS = 4
/** So many records further on is still the same run: to read a few rows in vain costs less than another run. */
const GAP = 4
/** A run is one number: the first of its records, and the last, each by its place in the span. */
const FIRST = 256

/** A column's value as the table of marks has it; in SQL as well. */
export function markOf(column: MarkedColumn, value: string): string {
  return `${value} * ${NUMBERINGS} + ${NUMBERED[column]}`
}

/** The rows `e` that some marks `m` lead to, in order from one span to the next. */
export function rowsMarked(column: MarkedColumn): string {
  return `mark m CROSS JOIN ${rowsOfRuns('m.runs', 'm.span')} AND e.${column} = m.what / ${NUMBERINGS}`
}

/** Those of one session, whose number is the first parameter. */
export const ROWS_OF_SESSION = `${rowsMarked('session')} WHERE m.what = ${markOf('session', '?')}`

/** Rows whose words stand at a row of `words`: that one, unless its text comes again in the span. */
export const ROWS_SAYING = `words LEFT JOIN mark m ON m.what = ${markOf('said', 'words.rowid')} AND m.span = words.rowid / ${SPAN_IDS}
  CROSS JOIN ${rowsOfRuns(
    `ifnull(m.runs, json_array(words.rowid / ${PLACES} % ${FIRST} * ${FIRST + 1}))`,
    `(words.rowid / ${SPAN_IDS})`,
  )} AND e.said = words.rowid`

function rowsOfRuns(runs: string, span: string): string {
  const place = (record: string): string => `${span} * ${SPAN_IDS} + ${record} * ${PLACES}`
  return `json_each(${runs}) r CROSS JOIN entry e NOT INDEXED
    ON e.id BETWEEN ${place(`r.value / ${FIRST}`)} AND ${place(`r.value % ${FIRST}`)} + ${PLACES - 1}`
}

export class Marks {
  readonly #find: Statement
  readonly #put: Statement
  readonly #remove: Statement
  readonly #rows: Statement
  /** Runs of the span whose rows come now, as far as they are not written. */
  readonly #runs = new Map<number, number[]>()
  #span = -1
  /** The last span that something was written of. */
  #written: number
  /** What was or is in rows that changed, by spans. */
  readonly #touched = new Map<number, Set<number>>()

  constructor(db: Database) {
    this.#find = db.prepare('SELECT runs FROM mark WHERE what = ? AND span = ?').pluck()
    this.#put = db.prepare('INSERT OR REPLACE INTO mark VALUES (?,?,?)')
    this.#remove = db.prepare('DELETE FROM mark WHERE what = ? AND span = ?')
    this.#rows = db.prepare(
      `SELECT id, ${COLUMNS.join(', ')} FROM entry WHERE id BETWEEN ? AND ? ORDER BY id`,
    )
    this.#written = spanOf(Number(db.prepare('SELECT max(id) FROM entry').pluck().get() ?? -1))
  }

  /** A new row, behind all others. */
  add(row: MarkedRow): void {
    const span = spanOf(row.id)
    if (span !== this.#span) {
      this.flush()
      this.#span = span
    }
    for (const column of COLUMNS) {
      const value = row[column]
      if (value !== null && value !== undefined) this.#mark(column, value, row.id)
    }
  }

  #mark(column: MarkedColumn, value: number, id: number): void {
    // A text that stands once is found where it stands.
    if (column === 'said' && value === id) return
    const what = numberOf(column, value)
    let runs = this.#runs.get(what)
    if (runs === undefined) {
      runs = this.#span <= this.#written ? this.#stored(what) : []
      this.#runs.set(what, runs)
    }
    if (column === 'said') extend(runs, recordOf(value))
    extend(runs, recordOf(id))
  }

  #stored(what: number): number[] {
    const runs = this.#find.get(what, this.#span) as string | undefined
    return runs === undefined ? [] : (JSON.parse(runs) as number[])
  }

  /** Before anything looks for a row by its marks, and at the end of a batch. */
  flush(): void {
    for (const [what, runs] of this.#runs) this.#put.run(what, this.#span, `[${runs.join(',')}]`)
    this.#runs.clear()
    this.#written = Math.max(this.#written, this.#span)
  }

  /** A row that is changed or removed, as it was and as it is: nothing shall lead there that is no longer true. */
  touch(row: MarkedRow): void {
    const span = spanOf(row.id)
    const touched = this.#touched.get(span) ?? new Set()
    this.#touched.set(span, touched)
    for (const column of COLUMNS) {
      const value = row[column]
      if (value !== null && value !== undefined) touched.add(numberOf(column, value))
    }
  }

  /** Marks of what was touched are made anew from the rows as they are. */
  settle(): void {
    this.flush()
    for (const [span, touched] of this.#touched) {
      for (const what of touched) this.#remove.run(what, span)
      this.#span = span
      const rows = this.#rows.all(span * SPAN_IDS, (span + 1) * SPAN_IDS - 1) as MarkedRow[]
      for (const row of rows) {
        for (const column of COLUMNS) {
          const value = row[column]
          if (value === null || value === undefined || !touched.has(numberOf(column, value))) continue
          this.#mark(column, value, row.id)
        }
      }
      this.flush()
    }
    this.#touched.clear()
  }
}

function numberOf(column: MarkedColumn, value: number): number {
  return value * NUMBERINGS + NUMBERED[column]
}

/** The place of a row's record in its span. */
function recordOf(id: number): number {
  return Math.floor(id / PLACES) % FIRST
}

/** Records come in their order, so it is the last run that grows. */
function extend(runs: number[], record: number): void {
  const run = runs.at(-1)
  const last = run === undefined ? -1 : run % FIRST
  if (record <= last) return
  if (run !== undefined && record - last <= GAP) runs[runs.length - 1] = run - last + record
  else runs.push(record * FIRST + record)
}
