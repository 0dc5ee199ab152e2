/** `gatebook stats`: what has happened lately, in numbers. */
import type { FacetValue } from '../../read/answers.ts'
import { NoAnswer } from '../../read/questions.ts'
import { sinceOf } from '../../read/search/values.ts'
import type { Io } from '../io.ts'
import { flat, jsonLine, writeTable } from '../table.ts'
import { type ReadOptions, reading } from './library.ts'
import { cellsOf, ROW_COLUMNS } from './query.ts'

export interface StatsOptions extends ReadOptions {
  readonly since: string
  readonly output: 'table' | 'json'
}

const BARS = ' ▁▂▃▄▅▆▇█'

export async function stats(options: StatsOptions, io: Io, now = Date.now()): Promise<number> {
  return reading(options, io, options.since, async ({ library, asker }) => {
    const from = sinceOf({ text: options.since, quoted: false, column: 1 }, now * 1000)
    if (from >= now * 1000) throw new NoAnswer('query', `${options.since} is not in the past`, 1)
    const found = await library.overview(asker, now * 1000 - from)
    if (options.output === 'json') {
      io.stdout.write(`${jsonLine(found)}\n`)
      return 0
    }
    const line = (name: string, value: string): void => void io.stdout.write(`${name.padEnd(14)}${value}\n`)
    line('since', new Date(found.from / 1000).toISOString().slice(0, 19).replace('T', ' '))
    line('sessions', `${found.sessions}, ${found.open} open now`)
    line(
      'operations',
      `${found.operations}: ${found.errors} failed, ${found.denied} refused, ${found.rows} rows`,
    )
    line('logins', `${found.failedLogins} failed`)
    line('over time', sparkline(found.histogram.counts))
    line('people', top(found.actors))
    line('targets', top(found.targets))
    if (found.verbs.length > 0) line('verbs', top(found.verbs))
    if (found.attention.length > 0) {
      io.stdout.write('\n')
      writeTable(io, ROW_COLUMNS, found.attention.map(cellsOf))
    }
    io.stderr.write(
      `book of ${found.size} records${found.behind > 0 ? `, the index ${found.behind} behind` : ''}\n`,
    )
    return 0
  })
}

function top(values: readonly FacetValue[]): string {
  return values.map(({ value, count }) => `${flat(value)} ${count}`).join(' · ')
}

export function sparkline(counts: readonly number[]): string {
  const most = Math.max(1, ...counts)
  return counts
    .map((count) => BARS[Math.ceil((count / most) * (BARS.length - 1))] ?? ' ')
    .join('')
    .trimEnd()
}
