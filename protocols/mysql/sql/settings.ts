/** SET in all its forms, and what settings guards rest on. */
import { find, one, type Rule, type Touch, UNKNOWN, withQueries } from './reading.ts'
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
  const [first = '', second = ''] = tokens.slice(at + 1, at + 3).map(({ key }) => key)
  if (first === 'PASSWORD') return one('ALTER ROLE')
  if (first === 'ROLE' || (first === 'DEFAULT' && second === 'ROLE')) return one('SET ROLE')
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
  return { parts, touches }
}

export function touchesOf(tokens: readonly Token[]): Touch[] {
  const names = tokens.map(({ kind, key, text }) =>
    kind === 'variable' ? variableName(text) : kind === 'name' ? text.slice(1, -1).toUpperCase() : key,
  )
  const touches: Touch[] = []
  const writes = names.some((name, i) => WRITING.has(name) || (name === 'WRITE' && names[i - 1] === 'READ'))
  if (writes) touches.push('read-only')
  const reads = names.some(
    (name) => READING.has(name) || name === 'NAMES' || name === 'CHARACTER' || name === 'CHARSET',
  )
  if (reads) touches.push('text-reading')
  return touches
}

/** `@@session.sql_mode` is SQL_MODE; `@sql_mode` is a person's own variable and nothing here. */
export function variableName(text: string): string {
  return text.startsWith('@@') ? (text.split('.').at(-1) ?? '').replace(/^@@/, '').trim().toUpperCase() : ''
}

/** A hint may set a variable for its statement. */
export function touchesOfHints(hints: string): Touch[] {
  return hints.includes('SET_VAR') ? touchesOf(tokenize(hints).tokens) : []
}
