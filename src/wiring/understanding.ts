/** What statements do and what terminals show, for the reading side: it knows no dialect and no escape sequence itself. */
import { createHash } from 'node:crypto'
import * as mysql from '../../protocols/mysql/index.ts'
import { maskSql, SqlReader } from '../../protocols/postgres/index.ts'
import type { StatementFacts } from '../../protocols/statement-facts.ts'
import type { Understanding, Understood } from '../read/derive.ts'
import { plainText } from './playback.ts'

/** Shapes that are remembered: their texts differ in literals only, so they are read once. */
const SHAPES_KEPT = 20_000

export async function loadUnderstanding(): Promise<Understanding> {
  const reader = await SqlReader.load()
  const known = new Map<string, Understood>()
  const postgres = (text: Buffer): Understood => {
    const masked = maskSql(text.toString('utf8'))
    const found = known.get(masked)
    if (found !== undefined) return found
    const understood = understoodOf(masked, reader.read(text, true))
    // What was cut may go on in many ways.
    if (masked.endsWith('…')) return understood
    if (known.size >= SHAPES_KEPT) known.clear()
    known.set(masked, understood)
    return understood
  }
  return {
    statement: (dialect, text) => {
      if (dialect === 'postgres') return postgres(text)
      const facts = mysql.readText(text)
      return understoodOf(facts.masked, facts)
    },
    terminal: plainText,
  }
}

function understoodOf(masked: string, { parts }: Pick<StatementFacts, 'parts'>): Understood {
  const named = parts.flatMap((part) => part.tables)
  const verbs = [...new Set(parts.map(({ verb }) => verb))]
  const tables = [
    ...new Set(named.map(({ schema, name }) => (schema === undefined ? name : `${schema}.${name}`))),
  ]
  const noWhere = parts.some(({ where }) => where === false)
  // With what was read: of long texts only the beginning is masked, and two of one shape must not differ in tables.
  const whole = JSON.stringify([masked.replaceAll(/\s+/g, ' ').trim(), verbs, tables, noWhere])
  return { shape: createHash('sha256').update(whole).digest('hex').slice(0, 16), verbs, tables, noWhere }
}
