/** SET in all its forms, and what settings guards rest on. */
import { find, type Rule, type StatementPart, type Touch, UNKNOWN, withQueries } from './reading.ts'
import { type Token, tokenize } from './tokens.ts'

const READING: ReadonlySet<string> = new Set([
  'SQL_MODE',
  'CHARACTER_SET_CLIENT',
  'CHARACTER_SET_CONNECTION',
  'COLLATION_CONNECTION',
])
const WRITING: ReadonlySet<string> = new Set([
  'TRANSACTION_READ_ONLY',
  'TX_READ_ONLY',
  'READ_ONLY',
  'SUPER_READ_ONLY',
])

export const readSet: Rule = (statement) => {
  const { tokens, at, inner } = statement
  const [first = ''] = tokens.slice(at + 1, at + 2).map(({ key }) => key)
  const touches = touchesOf(tokens.slice(at))
  if (first === 'STATEMENT') {
    const end = find(tokens, at, 'FOR')
    const reading = end === -1 ? UNKNOWN : inner(tokens.slice(end + 1))
    return { parts: reading.parts, touches: [...touches, ...reading.touches] }
  }
  const global = tokens.some(
    ({ key, text }) => /^(?:GLOBAL|PERSIST|PERSIST_ONLY)$/.test(key) || /^@@(?:global|persist)/i.test(text),
  )
  const { parts } = withQueries(statement, at + 1, { verb: global ? 'ALTER SYSTEM' : 'SET', tables: [] })
  return { parts: [...parts, ...accountsSet(tokens.slice(at))], touches }
}

/** Passwords and roles may stand anywhere in MariaDB's lists of assignments. */
function accountsSet(tokens: readonly Token[]): StatementPart[] {
  const parts: StatementPart[] = []
  let depth = 0
  for (const [i, { key }] of tokens.entries()) {
    if (key === '(') depth++
    if (key === ')') depth--
    if (depth > 0 || (i > 0 && key !== ',')) continue
    const [first, second] = [tokens[i + 1]?.key, tokens[i + 2]?.key]
    if (first === 'PASSWORD') parts.push({ verb: 'ALTER ROLE', tables: [] })
    if (first === 'ROLE' || (first === 'DEFAULT' && second === 'ROLE'))
      parts.push({ verb: 'SET ROLE', tables: [] })
  }
  return parts
}

export function touchesOf(tokens: readonly Token[]): Touch[] {
  const names = tokens.map(settingName)
  const touches: Touch[] = []
  const writes = names.some((name, i) => WRITING.has(name) || (name === 'WRITE' && names[i - 1] === 'READ'))
  if (writes) touches.push('read-only')
  const reads = names.some(
    (name) => READING.has(name) || name === 'NAMES' || name === 'CHARACTER' || name === 'CHARSET',
  )
  if (reads) touches.push('text-reading')
  return touches
}

/** What a word says where a setting is named: settings may be quoted like any name. */
export function settingName({ kind, key, text }: Token): string {
  if (kind === 'variable') return variableName(text)
  return kind === 'name' ? text.slice(1, -1).toUpperCase() : key
}

/** `@@session.sql_mode` is SQL_MODE; `@sql_mode` is a person's own variable and nothing here. */
function variableName(text: string): string {
  return text.startsWith('@@') ? (text.split('.').at(-1) ?? '').replace(/^@@/, '').trim().toUpperCase() : ''
}

/** A hint may set a variable for its statement. */
export function touchesOfHints(hints: string): Touch[] {
  return hints.includes('SET_VAR') ? touchesOf(tokenize(hints).tokens) : []
}
