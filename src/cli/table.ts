/** Tables that fit the terminal, and rows for programs. Everything recorded is text: nothing of it acts on anything. */
import type { Io } from './io.ts'
import { visible } from './io.ts'

export interface Column {
  readonly head: string
  /** Gives way first when the terminal is narrow; at most one. */
  readonly elastic?: true
  readonly right?: true
}

const GAP = '  '
const ELASTIC_MIN = 12

/** Undefined where the output is no terminal: then nothing is cut. */
export function widthOf(io: Io): number | undefined {
  const { stdout } = io as { stdout: { isTTY?: boolean; columns?: number } }
  return stdout.isTTY === true ? stdout.columns : undefined
}

/** Columns as wide as they must be; the elastic one gets what is left. */
export function writeTable(io: Io, columns: readonly Column[], rows: readonly (readonly string[])[]): void {
  const lines = tableLines(columns, rows, widthOf(io))
  for (const line of lines) io.stdout.write(`${line}\n`)
}

export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number | undefined,
): string[] {
  const shown = [columns.map(({ head }) => head), ...rows.map((row) => row.map(flat))]
  const widths = columns.map((_, k) => Math.max(...shown.map((row) => displayWidth(row[k] ?? ''))))
  const elastic = columns.findIndex((column) => column.elastic === true)
  const whole = widths.reduce((sum, one) => sum + one, GAP.length * (columns.length - 1))
  if (width !== undefined && whole > width && elastic !== -1) {
    widths[elastic] = Math.max(ELASTIC_MIN, (widths[elastic] ?? 0) - (whole - width))
  }
  return shown.map((row) => {
    const cells = row.map((text, k) => fit(text, widths[k] ?? 0, columns[k]?.right === true))
    const line = cells.join(GAP).trimEnd()
    return width === undefined ? line : cut(line, width)
  })
}

/** On one line, with its control characters made visible. */
export function flat(text: string): string {
  return visible(text.replaceAll(/\s+/g, ' ').trim())
}

function fit(text: string, width: number, right: boolean): string {
  const shown = cut(text, width)
  const padding = ' '.repeat(Math.max(0, width - displayWidth(shown)))
  return right ? padding + shown : shown + padding
}

export function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text
  let shown = ''
  let taken = 0
  for (const character of text) {
    taken += displayWidth(character)
    if (taken > width - 1) break
    shown += character
  }
  return `${shown}…`
}

const ZERO = /^\p{M}$/u
const WIDE =
  /^(?:[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|[\u{20000}-\u{3fffd}])$/u

/** Columns that a terminal takes for it, as well as can be known from here. */
export function displayWidth(text: string): number {
  let width = 0
  for (const character of text) {
    if (character < '\u0300') width++
    else if (!ZERO.test(character)) width += WIDE.test(character) ? 2 : 1
  }
  return width
}

/** One JSON object on one line. What could turn or hide text in a terminal is written as an escape of JSON's own. */
export function jsonLine(value: unknown): string {
  const spelled = (character: string): string =>
    [...Array(character.length).keys()]
      .map((k) => `\\u${character.charCodeAt(k).toString(16).padStart(4, '0')}`)
      .join('')
  return JSON.stringify(value).replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, spelled)
}

/** RFC 4180; what a spreadsheet would take for a formula is kept from being one. */
export function csvLine(cells: readonly (string | number | undefined)[]): string {
  return cells.map((cell) => csvCell(cell === undefined ? '' : String(cell))).join(',')
}

function csvCell(text: string): string {
  const shown = visible(text)
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${shown}` : shown
  return /[",'\n\r]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}
