/**
 * What a text does, as far as its words tell: our own reading of both dialects, because a parser that takes an
 * executable comment for nothing is a way round every policy. What is not known here is `unknown`. The shape is
 * that of every SQL protocol's facts.
 */
import { decodeLossy } from '../../bytes.ts'
import type { StatementFacts } from '../../statement-facts.ts'
import type { StatementPart, Touch } from './reading.ts'
import { touchesOfHints } from './settings.ts'
import { readStatement } from './statements.ts'
import { splitStatements, type Token, tokenize } from './tokens.ts'

export interface Facts extends StatementFacts {
  readonly touches: readonly Touch[]
  /** The text with its literals replaced, fit to be shown and grouped. Never decide anything on it. */
  readonly masked: string
}

/** A longer text is unknown. */
const TEXT_BYTES_MAX = 4 << 20
const MASKED_CHARS_MAX = 16 << 10

export function readText(text: Uint8Array): Facts {
  if (text.length > TEXT_BYTES_MAX) {
    const disputed = 'a text too long to be read'
    return { parts: UNKNOWN, touches: [], liftsReadOnly: false, disputed, masked: '?' }
  }
  const { tokens, hints, disputed } = tokenize(decodeLossy(text))
  const reading = readAll(tokens)
  const touches = [...new Set([...reading.touches, ...touchesOfHints(hints)])]
  const liftsReadOnly = touches.includes('read-only')
  const facts = { parts: reading.parts, touches, liftsReadOnly, masked: mask(tokens) }
  const why = disputed ?? reading.disputed ?? readOtherwise(tokens, reading.parts)
  return why === undefined ? facts : { ...facts, disputed: why }
}

const UNKNOWN: readonly StatementPart[] = [{ verb: 'unknown', tables: [] }]

interface Whole {
  readonly parts: readonly StatementPart[]
  readonly touches: readonly Touch[]
  readonly disputed?: string
}

function readAll(tokens: readonly Token[]): Whole {
  const statements = splitStatements(tokens)
  const readings = statements.map((statement) => readStatement(statement))
  const parts = readings.flatMap((reading) => reading.parts)
  const touches = readings.flatMap((reading) => reading.touches)
  // Nothing is half known: a role that may do the known half must not do the other.
  if (parts.some(({ verb }) => verb === 'unknown')) return { parts: UNKNOWN, touches }
  const body = statements.length > 1 && statements.some(hasBody)
  return body ? { parts, touches, disputed: 'a routine with statements of its own' } : { parts, touches }
}

/** Where an executable comment is left out by the server, the text must do the same. */
function readOtherwise(tokens: readonly Token[], parts: readonly StatementPart[]): string | undefined {
  if (!tokens.some(({ optional }) => optional)) return undefined
  const without = readAll(tokens.filter(({ optional }) => !optional)).parts
  const same = JSON.stringify(without) === JSON.stringify(parts)
  return same ? undefined : 'a comment that only some servers execute'
}

/** Whether it creates something whose body may hold semicolons, so that the text was cut where it should not. */
function hasBody(statement: readonly Token[]): boolean {
  if (statement[0]?.key !== 'CREATE' && statement[0]?.key !== 'ALTER') return false
  return statement.some(({ key }) => /^(?:PROCEDURE|FUNCTION|TRIGGER|EVENT|PACKAGE)$/.test(key))
}

/** Like performance_schema's digest: literals are `?`, lists of them `...`, white space is single. */
function mask(tokens: readonly Token[]): string {
  let text = ''
  let before = ''
  for (const { kind, text: written, key } of tokens) {
    if (text.length > MASKED_CHARS_MAX) return `${text} …`
    const shown = kind === 'string' || kind === 'number' || kind === 'param' ? '?' : written
    const glued = before === '' || before === '.' || before === '(' || /^[.,;)]$/.test(key)
    text += glued || (key === '(' && kind === 'sign' && before !== ',') ? shown : ` ${shown}`
    before = shown
  }
  return text.replaceAll(/\?(?:, \?)+/g, '?, ...').replaceAll(/(\([^()]*\))(?:, \1)+/g, '$1, ...')
}
