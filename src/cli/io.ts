/** What a command writes: data on stdout, talk on stderr. Nothing recorded or foreign reaches a terminal raw. */
import { existsSync } from 'node:fs'
import { formatFault } from '../config/faults.ts'
import type { LoadedConfig } from '../config/load.ts'
import { readConfig } from '../config/read.ts'
import { OperatorError } from '../system/operator-error.ts'

export interface Io {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
}

/** What a command ends with. */
export const EXIT = { ok: 0, error: 1, usage: 2, denied: 3, broken: 4, drift: 5 } as const

export type OutputFormat = 'text' | 'json'

export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

export function printLines(io: Io, lines: readonly string[]): void {
  for (const line of lines) io.stdout.write(`${visible(line)}\n`)
}

/** Columns as wide as they need to be; the last one runs free. */
export function printTable(io: Io, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => visible(row[column] ?? '').length)))
  const cell = (text: string, column: number) => visible(text).padEnd(widths[column] ?? 0)
  printLines(
    io,
    all.map((row) => row.map(cell).join('  ').trimEnd()),
  )
}

/** Control characters, which may move a terminal's cursor or recolour it, become pictures of themselves. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0
    return code < 0x20
      ? String.fromCodePoint(0x2400 + code)
      : `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`
  })
}

/** Commands that cannot do anything without a sound configuration. */
export async function configOrFail(file: string): Promise<LoadedConfig> {
  const loaded = await readConfig(file)
  if (loaded.type === 'config') return loaded
  const lines = loaded.faults.map(formatFault)
  if (!existsSync(file))
    lines.push('  next: --config FILE names another; gatebook init DIR --name NAME writes a first one')
  throw new OperatorError('config', lines.join('\n'))
}
