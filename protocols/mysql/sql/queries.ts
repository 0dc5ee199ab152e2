/** The statements that read and change rows. */
import { find, NO_NAMES, type Rule, type StatementPart, skip, UNKNOWN, withQueries } from './reading.ts'
import { readName, readNames, type TableName, walkTables } from './tables.ts'
import type { Token } from './tokens.ts'

export const readSelect: Rule = ({ tokens, known = NO_NAMES }) => {
  const walk = walkTables(tokens, { tables: [], due: false }, known)
  if (walk.file) return UNKNOWN
  const locks: StatementPart[] = walk.locks ? [{ verb: 'LOCK', tables: walk.read }] : []
  return { parts: [{ verb: 'SELECT', tables: walk.read }, ...locks], touches: [] }
}

/** A name holds behind its own query, and inside it only with RECURSIVE: there it hides the table of that name. */
export const readWith: Rule = ({ tokens, at, inner }) => {
  const known = new Set<string>()
  const read: TableName[] = []
  const recursive = tokens[at + 1]?.key === 'RECURSIVE'
  let next = recursive ? at + 2 : at + 1
  while (true) {
    const [name, behind] = readName(tokens, next)
    const open = find(tokens, behind, 'AS') + 1
    const close = closing(tokens, open)
    if (name === undefined || open === 0 || close === -1) return UNKNOWN
    if (recursive) known.add(name.name.toLowerCase())
    const walk = walkTables(tokens.slice(open, close), { tables: [], due: false }, known)
    read.push(...walk.read)
    known.add(name.name.toLowerCase())
    next = close + 1
    // MariaDB's CYCLE clause stands between a query and what follows it.
    if (tokens[next]?.key === 'CYCLE') next = find(tokens, next, 'RESTRICT') + 1
    if (tokens[next]?.key !== ',') break
    next++
  }
  const start = tokens.findIndex(({ key }, i) => i >= next && key !== '(')
  const rule = next === 0 || start === -1 ? undefined : AFTER_WITH.get(tokens[start]?.key ?? '')
  if (rule === undefined) return UNKNOWN
  const { parts, touches } = rule({ tokens: tokens.slice(next), at: start - next, inner, known })
  return { parts: mergeRead(parts, read), touches }
}

/** What the queries of a WITH read belongs to the statement's SELECT, or makes one. */
function mergeRead(parts: readonly StatementPart[], read: readonly TableName[]): StatementPart[] {
  const at = parts.findIndex(({ verb }) => verb === 'SELECT')
  if (at === -1) return [...parts, { verb: 'SELECT', tables: read }]
  return parts.map((part, i) => (i === at ? { ...part, tables: [...read, ...part.tables] } : part))
}

/** The position of the parenthesis that closes the one at `open`; -1 where there is none. */
function closing(tokens: readonly Token[], open: number): number {
  if (tokens[open]?.key !== '(') return -1
  let depth = 0
  for (let at = open; at < tokens.length; at++) {
    const key = tokens[at]?.key
    if (key === '(') depth++
    else if (key === ')' && --depth === 0) return at
  }
  return -1
}

/** INSERT and REPLACE: the table right behind the words, then whatever fills it. */
export function readInsert(verb: 'INSERT' | 'REPLACE'): Rule {
  return (statement) => {
    const { tokens, at } = statement
    const start = skip(tokens, at + 1, 'LOW_PRIORITY', 'DELAYED', 'HIGH_PRIORITY', 'IGNORE', 'INTO')
    const [name, next] = readName(tokens, start)
    if (name === undefined) return UNKNOWN
    const reading = withQueries(statement, next, { verb, tables: [name] })
    if (reading === UNKNOWN || !updatesDuplicates(tokens)) return reading
    // Only the row that is in the way: a condition of a kind.
    return { ...reading, parts: [...reading.parts, { verb: 'UPDATE', tables: [name], where: true }] }
  }
}

function updatesDuplicates(tokens: readonly Token[]): boolean {
  return tokens.some(
    ({ key }, i) => key === 'DUPLICATE' && tokens[i - 1]?.key === 'ON' && tokens[i + 1]?.key === 'KEY',
  )
}

export const readUpdate: Rule = (statement) => {
  const start = skip(statement.tokens, statement.at + 1, 'LOW_PRIORITY', 'IGNORE')
  return withQueries(statement, start, { verb: 'UPDATE', tables: [], due: true, where: true })
}

/**
 * `DELETE FROM t …`, `DELETE a, b FROM t AS a JOIN u AS b …`, `DELETE FROM a, b USING t AS a JOIN u AS b …`. What
 * stands before the tables may be their aliases, and counts among them.
 */
export const readDelete: Rule = (statement) => {
  const { tokens, at } = statement
  const start = skip(tokens, at + 1, 'LOW_PRIORITY', 'QUICK', 'IGNORE')
  const from = find(tokens, start, 'FROM')
  if (from === -1) return UNKNOWN
  const tables = from === start ? [] : readNames(tokens.slice(0, from), start, [','])
  const using = tokens.findIndex(({ key }, i) => i > from && key === 'USING' && tokens[i + 1]?.key !== '(')
  if (using !== -1) tables.push(...walkNames(tokens.slice(using + 1)))
  return withQueries(statement, from, { verb: 'DELETE', tables, where: true })
}

function walkNames(tokens: readonly Token[]): TableName[] {
  const tables: TableName[] = []
  walkTables(tokens, { tables, due: true }, NO_NAMES)
  return tables
}

const AFTER_WITH: ReadonlyMap<string, Rule> = new Map([
  ['SELECT', readSelect],
  ['TABLE', readSelect],
  ['VALUES', readSelect],
  ['UPDATE', readUpdate],
  ['DELETE', readDelete],
])
