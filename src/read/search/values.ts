/** What the values of a search mean: numbers, sizes, durations, times. Each error names its column. */
import { NoAnswer } from '../questions.ts'
import type { Value } from './parse.ts'

/** Closed at both ends; an absent end is open. */
export interface Span {
  readonly from?: number
  readonly to?: number
}

const SIZES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1000,
  kb: 1000,
  m: 1e6,
  mb: 1e6,
  g: 1e9,
  gb: 1e9,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
}
/** In microseconds. */
const DURATIONS: Readonly<Record<string, number>> = {
  us: 1,
  µs: 1,
  ms: 1000,
  s: 1e6,
  m: 60e6,
  h: 3600e6,
}
const SINCE: Readonly<Record<string, number>> = { ...DURATIONS, d: 86_400e6, w: 7 * 86_400e6 }
const UNITS = { number: { '': 1 }, size: SIZES, duration: DURATIONS } as const

/** `5`, `>2s`, `1..10`, `..1MiB` */
export function spanOf(kind: 'number' | 'size' | 'duration', value: Value): Span {
  const one = (text: string): number => amount(kind, text, value.column)
  const [, sign, bound = ''] = /^(>=|<=|>|<)(.*)$/.exec(value.text) ?? []
  switch (sign) {
    case '>':
      return { from: one(bound) + 1 }
    case '>=':
      return { from: one(bound) }
    case '<':
      return { to: one(bound) - 1 }
    case '<=':
      return { to: one(bound) }
    default:
  }
  const ends = rangeOf(value)
  if (ends === undefined) return { from: one(value.text), to: one(value.text) }
  return ordered(value, {
    ...(ends.from === '' ? {} : { from: one(ends.from) }),
    ...(ends.to === '' ? {} : { to: one(ends.to) }),
  })
}

function rangeOf({ text, column }: Value): { from: string; to: string } | undefined {
  const at = text.indexOf('..')
  if (at === -1) return undefined
  const [from, to] = [text.slice(0, at), text.slice(at + 2)]
  if (from === '' && to === '') throw new NoAnswer('query', 'a range has at least one end', column)
  return { from, to }
}

function ordered({ text, column }: Value, span: Span): Span {
  if (span.from !== undefined && span.to !== undefined && span.from > span.to) {
    throw new NoAnswer('query', `${text} ends before it begins`, column)
  }
  return span
}

function amount(kind: keyof typeof UNITS, text: string, column: number): number {
  const [, count, unit = ''] = /^(\d{1,15}(?:\.\d{1,6})?)([A-Za-zµ]*)$/.exec(text) ?? []
  const factor = (UNITS[kind] as Readonly<Record<string, number>>)[
    kind === 'size' ? unit.toLowerCase() : unit
  ]
  if (count === undefined || factor === undefined) {
    const wanted = {
      number: 'a number',
      size: 'a size such as 10MiB',
      duration: 'a time such as 2s or 150ms',
    }
    throw new NoAnswer('query', `"${text}" is not ${wanted[kind]}`, column)
  }
  return Math.round(Number(count) * factor)
}

/** `2026-11-20`, `2026-11-01..2026-11-20`, `2026-11-20T08:00..`: a day or a minute means all of it. */
export function timesOf(value: Value): Span {
  const ends = rangeOf(value)
  if (ends === undefined) return periodOf(value.text, value.column)
  const from = ends.from === '' ? {} : { from: periodOf(ends.from, value.column).from }
  const to = ends.to === '' ? {} : { to: periodOf(ends.to, value.column).to }
  return ordered(value, { ...from, ...to })
}

const TIME = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?Z?)?$/

function periodOf(text: string, column: number): { from: number; to: number } {
  const [, day, minute, second, fraction] = TIME.exec(text) ?? []
  const ms = Date.parse(`${day}T${minute ?? '00:00'}:${second ?? '00'}Z`)
  // Date.parse rolls 2026-02-30 over into March.
  const isReal = day !== undefined && !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(day)
  if (!isReal)
    throw new NoAnswer('query', `"${text}" is no time such as 2026-11-20 or 2026-11-20T08:00`, column)
  const from = ms * 1000 + Number((fraction ?? '').padEnd(6, '0'))
  if (fraction !== undefined) return { from, to: from + 10 ** (6 - fraction.length) - 1 }
  const length = minute === undefined ? 86_400e6 : second === undefined ? 60e6 : 1e6
  return { from, to: from + length - 1 }
}

/** `24h`, `now-1h`, `now/d`, `2026-11-01` */
export function sinceOf({ text, column }: Value, now: number): number {
  if (TIME.test(text)) return periodOf(text, column).from
  const [, minus, unit, floor] =
    /^(?:now)?(?:-?(\d{1,6})(us|µs|ms|[smhdw]))?(?:\/([mhdw]))?$/.exec(text) ?? []
  const isEmpty = minus === undefined && floor === undefined && text !== 'now'
  if (isEmpty)
    throw new NoAnswer('query', `"${text}" is no time to count from: 24h, now/d, 2026-11-01`, column)
  const at = now - Number(minus ?? 0) * (SINCE[unit ?? 's'] ?? 0)
  if (floor === undefined) return at
  const length = SINCE[floor] ?? 1
  // The epoch was a Thursday; weeks begin on Mondays.
  const shift = floor === 'w' ? 4 * 86_400e6 : 0
  return Math.floor((at - shift) / length) * length + shift
}

/** Minutes of the day, the second one excluded. */
export function hoursOf({ text, column }: Value): { from: number; to: number } {
  const [, h1 = '', m1 = '', h2 = '', m2 = ''] =
    /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)$/.exec(text) ?? []
  const from = Number(h1) * 60 + Number(m1)
  const to = Number(h2) * 60 + Number(m2)
  if (h1 === '' || to > 1440 || from === to) {
    throw new NoAnswer('query', `"${text}" is no time of day such as 08:00-19:00`, column)
  }
  return { from, to }
}
