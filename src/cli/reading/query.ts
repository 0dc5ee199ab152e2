/** `gatebook query`: what was recorded, found by a search. */
import type { Row } from '../../read/answers.ts'
import { PAGE_ROWS_MAX } from '../../read/answers.ts'
import type { Io } from '../io.ts'
import { type Column, csvLine, jsonLine, tableLines, widthOf, writeTable } from '../table.ts'
import { stamp, took } from '../times.ts'
import { type OpenLibrary, type ReadOptions, reading, untilInterrupted } from './library.ts'

export interface QueryOptions extends ReadOptions {
  readonly query: string
  readonly since?: string
  readonly limit: number
  readonly output: 'table' | 'json' | 'csv'
  readonly follow: boolean
}

export const ROW_COLUMNS: readonly Column[] = [
  { head: 'TIME (UTC)' },
  { head: 'WHO' },
  { head: 'TARGET' },
  { head: 'STATEMENT', elastic: true },
  { head: 'OUTCOME' },
  { head: 'ROWS', right: true },
  { head: 'TOOK', right: true },
  { head: 'RECORD' },
]

const CSV_COLUMNS = [
  'ts',
  'record',
  'session',
  'op',
  'actor',
  'target',
  'protocol',
  'address',
  'database',
  'action',
  'verbs',
  'tables',
  'text',
  'outcome',
  'code',
  'rows',
  'bytes',
  'duration',
] as const

export async function query(options: QueryOptions, io: Io): Promise<number> {
  const text = options.since === undefined ? options.query : `${options.query} since:${options.since}`
  return reading(options, io, text, async (open) => {
    if (options.follow) return followQuery(text, options, open, io)
    const found: Row[] = []
    let cursor: number | undefined
    let size = 0
    let behind = 0
    do {
      const limit = Math.min(options.limit - found.length, PAGE_ROWS_MAX)
      const page = await open.library.search(open.asker, {
        query: text,
        limit,
        ...(cursor === undefined ? {} : { cursor }),
      })
      if (options.output === 'table') found.push(...page.rows)
      else writeRows(page.rows, options.output, found.length === 0, io)
      if (options.output !== 'table') found.length += page.rows.length
      ;({ size, behind } = page)
      cursor = page.next
    } while (cursor !== undefined && found.length < options.limit)
    if (options.output === 'table') writeTable(io, ROW_COLUMNS, found.map(cellsOf))
    const more = cursor === undefined ? '' : ', and there are more (--limit)'
    const late = behind > 0 ? `; the index is ${behind} records behind` : ''
    io.stderr.write(
      `${found.length} ${found.length === 1 ? 'row' : 'rows'}${more} · book of ${size} records${late}\n`,
    )
    return 0
  })
}

async function followQuery(text: string, options: QueryOptions, open: OpenLibrary, io: Io): Promise<number> {
  const widths = [19, 12, 14, 44, 8, 7, 9, 16]
  let isFirst = true
  for await (const row of open.library.follow(open.asker, text, untilInterrupted())) {
    if (options.output === 'table') io.stdout.write(`${followLine(row, widths, io)}\n`)
    else writeRows([row], options.output, isFirst, io)
    isFirst = false
  }
  return 0
}

/** A line of its own: what comes later cannot widen a column that is on the screen. */
export function followLine(row: Row, widths: readonly number[], io: Io): string {
  const cells = cellsOf(row).map((cell, k) => (k === 3 ? cell : cell.padEnd(widths[k] ?? 0)))
  return tableLines(ROW_COLUMNS, [cells], widthOf(io))[1] ?? ''
}

function writeRows(rows: readonly Row[], output: 'json' | 'csv', head: boolean, io: Io): void {
  if (output === 'csv' && head) io.stdout.write(`${csvLine(CSV_COLUMNS)}\r\n`)
  for (const row of rows) io.stdout.write(output === 'json' ? `${jsonLine(row)}\n` : `${csvRow(row)}\r\n`)
}

function csvRow(row: Row): string {
  return csvLine(
    CSV_COLUMNS.map((name) => {
      const value = row[name]
      if (name === 'ts') return new Date(row.ts / 1000).toISOString()
      return typeof value === 'object' ? value.join(' ') : value
    }),
  )
}

export function cellsOf(row: Row): string[] {
  const { ts, actor = '', target = '', outcome = '', code, rows, duration, record } = row
  return [
    stamp(ts / 1000),
    actor,
    target,
    statementOf(row),
    outcome === ''
      ? row.kind === 'op.begin'
        ? 'open'
        : ''
      : code === undefined || outcome === 'ok'
        ? outcome
        : `${outcome} ${code}`,
    rows === undefined ? '' : String(rows),
    duration === undefined ? '' : took(duration),
    record,
  ]
}

/** What was run, or what happened; where it may not be seen, in which way. */
export function statementOf({ text, textCut, withheld, action, why }: Row): string {
  if (text !== undefined && text !== '') return textCut === true ? `${text} …` : text
  const said = why === undefined ? action : `${action} (${why})`
  if (withheld === 'erased') return `${said} [erased]`
  return withheld === 'reason' ? `${said} [sensitive: --reason]` : said
}
