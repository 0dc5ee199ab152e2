/** How things are written on the screen. Whatever was recorded passes through `visible` first: it is hostile. */

/** Characters that would hide, reorder or draw over others: controls, marks of direction, what has no shape. */
const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu

function shown(character: string): string {
  const code = character.codePointAt(0) ?? 0
  if (code < 0x20) return String.fromCodePoint(0x2400 + code)
  if (code === 0x7f) return '\u2421'
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`
}

/** Line ends and tabs stay. */
export function visible(text: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll(HIDDEN, shown)
}

/** For one line: runs of white space are one space. */
export function flat(text: string): string {
  return visible(text.replaceAll(/[\s]+/g, ' ').trim())
}

const two = (value: number): string => String(value).padStart(2, '0')

/** 2026-11-20 18:01:40, UTC, as everything here. */
export function moment(micros: number): string {
  return new Date(micros / 1000).toISOString().slice(0, 19).replace('T', ' ')
}

/** To the microsecond, for copying and comparing. */
export function exactMoment(micros: number): string {
  const whole = Math.floor(micros / 1_000_000)
  return `${new Date(whole * 1000).toISOString().slice(0, 19)}.${String(micros - whole * 1_000_000).padStart(6, '0')}Z`
}

export function timeOfDay(micros: number): string {
  return new Date(micros / 1000).toISOString().slice(11, 19)
}

/** 3 m, 2 h, 5 d: how long ago. */
export function ago(micros: number, now = Date.now()): string {
  const seconds = Math.max(0, Math.round(now / 1000 - micros / 1_000_000))
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < 3600) return `${Math.round(seconds / 60)} m ago`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`
  return `${Math.round(seconds / 86_400)} d ago`
}

/** Of microseconds: 1.2 ms, 2.1 s, 4m 31s, 2h 05m. */
export function span(micros: number): string {
  if (micros < 1000) return `${micros} µs`
  if (micros < 1_000_000) return `${(micros / 1000).toFixed(micros < 10_000 ? 1 : 0)} ms`
  const seconds = micros / 1_000_000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`
}

/** 0:00.036, 4:31.250, 1:04:31: how long after the beginning. */
export function offset(micros: number): string {
  const whole = Math.floor(micros / 1_000_000)
  const hours = Math.floor(whole / 3600)
  if (hours > 0) return `${hours}:${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`
  const thousandths = String(Math.floor((micros % 1_000_000) / 1000)).padStart(3, '0')
  return `${Math.floor(whole / 60)}:${two(whole % 60)}.${thousandths}`
}

/** 00:04:31, for places in a recording. */
export function clockSpan(micros: number): string {
  const whole = Math.floor(micros / 1_000_000)
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`
}

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`
  for (const unit of ['kB', 'MB', 'GB', 'TB']) {
    count /= 1000
    if (count < 1000 || unit === 'TB') return `${count.toFixed(count < 10 ? 1 : 0)} ${unit}`
  }
  return ''
}

/** 184 511, with a narrow space that does not break. */
export function number(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, '\u202f')
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : many}`
}

/** A value as the search language takes it. */
export function quoted(value: string): string {
  return /^[\w.@/:*-]+$/.test(value) && !value.includes('..')
    ? value
    : `"${value.replaceAll(/["\\]/g, '\\$&')}"`
}
