/** The log as a person reads it on a terminal; what collects logs gets the JSON as it is. */
import type { DestinationStream } from 'pino'

const LEVELS: ReadonlyMap<unknown, string> = new Map([
  [20, 'debug'],
  [30, 'info '],
  [40, 'warn '],
  [50, 'error'],
])

interface Line {
  readonly time: string
  readonly level: number
  readonly msg: string
  readonly err?: { readonly message?: string }
  readonly [name: string]: unknown
}

/** `18:02:11 info  listening listener=postgres address=127.0.0.1:6432` */
export function readableLines(out: { write(text: string): unknown }): DestinationStream {
  return {
    write(text) {
      const { time, level, msg, err, ...facts } = JSON.parse(text) as Line
      const told = Object.entries(facts).map(([name, value]) => `${name}=${plain(value)}`)
      const problem = err?.message === undefined ? [] : [`error=${plain(err.message)}`]
      out.write(
        `${time.slice(11, 19)} ${LEVELS.get(level) ?? level} ${[msg, ...told, ...problem].join(' ')}\n`,
      )
    },
  }
}

/** Nothing in a fact may act on the terminal: JSON escapes what could. */
function plain(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return /^[\x21-\x7e]+$/.test(text) ? text : JSON.stringify(text)
}
