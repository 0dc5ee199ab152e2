/**
 * What a statement does, by its verb: each verb of both dialects that applications use has its rule here or in
 * the files beside; a statement without a rule is `unknown`.
 */
import { readAlter, readCreate, readDrop, readRename, readTruncate } from './definitions.ts'
import { callsEffectful } from './functions.ts'
import { readDelete, readInsert, readSelect, readUpdate, readWith } from './queries.ts'
import {
  one,
  plain,
  type Reading,
  type Rule,
  type StatementPart,
  skip,
  UNKNOWN,
  withQueries,
} from './reading.ts'
import { readSet } from './settings.ts'
import { readName, readNames } from './tables.ts'
import { type Token, tokenize, unquote } from './tokens.ts'

/** `PREPARE p FROM 'PREPARE q FROM …'`, and other statements inside statements. */
const DEPTH_MAX = 8

/** One statement: the words between two semicolons. */
export function readStatement(tokens: readonly Token[], depth = 0): Reading {
  // A query may stand in parentheses.
  const at = tokens.findIndex(({ key }) => key !== '(')
  const rule = depth > DEPTH_MAX ? undefined : RULES.get(tokens[at]?.key ?? '')
  if (rule === undefined || (at > 0 && rule !== readSelect)) return UNKNOWN
  return withCalls(rule({ tokens, at, inner: (words) => readStatement(words, depth + 1) }), tokens)
}

/** Wherever in a statement such a function is called, but for one that is only planned. */
function withCalls(reading: Reading, tokens: readonly Token[]): Reading {
  const isSaid = reading.parts.some(({ verb }) => verb === 'CALL' || verb === 'EXPLAIN' || verb === 'unknown')
  if (isSaid || !callsEffectful(tokens)) return reading
  return { ...reading, parts: [...reading.parts, { verb: 'CALL', tables: [] }] }
}

/** `ANALYZE TABLE a, b` and its like. MariaDB's `ANALYZE <statement>` executes the statement. */
function readMaintenance(verb: 'ANALYZE' | 'OPTIMIZE' | 'REPAIR'): Rule {
  return ({ tokens, at, inner }) => {
    const object = skip(tokens, at + 1, 'LOCAL', 'NO_WRITE_TO_BINLOG')
    const key = tokens[object]?.key
    if (key === 'TABLE' || key === 'TABLES') return one(verb, readNames(tokens, object + 1, [',']))
    const words = explained(tokens, at)
    return verb === 'ANALYZE' && words !== undefined ? inner(words) : UNKNOWN
  }
}

const EXPLAINABLE: ReadonlySet<string> = new Set([
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'REPLACE',
  'WITH',
  'TABLE',
  '(',
])

/** The statement that is explained, behind options; undefined where it is a table. */
function explained(tokens: readonly Token[], at: number): readonly Token[] | undefined {
  for (let i = at + 1; i < tokens.length; i++) {
    const key = tokens[i]?.key ?? ''
    if (EXPLAINABLE.has(key)) return tokens.slice(i)
    const option = ['EXTENDED', 'PARTITIONS', 'ANALYZE', 'FORMAT', '=', 'INTO', 'FOR', 'SCHEMA', 'DATABASE']
    const value = ['FORMAT', '=', 'INTO', 'SCHEMA', 'DATABASE'].includes(tokens[i - 1]?.key ?? '')
    if (!option.includes(key) && !value) return undefined
  }
  return undefined
}

const readExplain: Rule = ({ tokens, at, inner }) => {
  const words = explained(tokens, at)
  if (words === undefined) {
    const [table] = readName(tokens, at + 1)
    if (tokens.some(({ key }) => key === 'CONNECTION')) return one('EXPLAIN')
    return table === undefined ? UNKNOWN : one('DESCRIBE', [table])
  }
  const reading = inner(words)
  const executes = tokens.slice(at, tokens.length - words.length).some(({ key }) => key === 'ANALYZE')
  if (executes || reading === UNKNOWN) return reading
  return one(
    'EXPLAIN',
    reading.parts.flatMap(({ tables }) => tables),
  )
}

const readLoad: Rule = (statement) => {
  const { tokens, at } = statement
  const kind = tokens[at + 1]?.key
  const into = tokens.findIndex(({ key }, i) => key === 'INTO' && tokens[i + 1]?.key === 'TABLE')
  if ((kind !== 'DATA' && kind !== 'XML') || into === -1) return UNKNOWN
  const [table, next] = readName(tokens, into + 2)
  return table === undefined ? UNKNOWN : withQueries(statement, next, { verb: 'LOAD DATA', tables: [table] })
}

const readLock: Rule = ({ tokens, at }) => {
  const object = tokens[at + 1]?.key
  if (object !== 'TABLE' && object !== 'TABLES') return one('LOCK')
  return one('LOCK', readNames(tokens, at + 2, [',']))
}

const readHandler: Rule = ({ tokens, at }) => {
  const [table] = readName(tokens, at + 1)
  return table === undefined ? UNKNOWN : one('HANDLER', [table])
}

/** Anything but a bare BEGIN opens a block of MariaDB's, with statements of its own. */
const readBegin: Rule = ({ tokens, at }) => {
  const end = skip(tokens, at + 1, 'WORK', 'TRANSACTION')
  return end === tokens.length ? one('BEGIN') : UNKNOWN
}

const readStart: Rule = ({ tokens, at }) => {
  if (tokens[at + 1]?.key !== 'TRANSACTION') return UNKNOWN
  const writes = tokens.some(({ key }, i) => key === 'WRITE' && tokens[i - 1]?.key === 'READ')
  return one('BEGIN', [], writes ? ['read-only'] : [])
}

/** The text that is prepared must be there: what a variable holds nobody can read here. */
const readPrepare: Rule = ({ tokens, at, inner }) => {
  const immediate = tokens[at]?.key === 'EXECUTE'
  if (immediate && tokens[at + 1]?.key !== 'IMMEDIATE') return one('EXECUTE')
  const literal = tokens[immediate ? at + 2 : at + 3]
  if (literal?.kind !== 'string' || (!immediate && tokens[at + 2]?.key !== 'FROM')) return UNKNOWN
  const behind = tokens[immediate ? at + 3 : at + 4]
  const text = tokenize(unquote(literal))
  // A concatenation says more than its first literal.
  if (text.disputed !== undefined || (behind !== undefined && behind.key !== 'USING')) return UNKNOWN
  const reading = inner(text.tokens)
  const own: StatementPart = { verb: immediate ? 'EXECUTE' : 'PREPARE', tables: [] }
  return reading === UNKNOWN ? UNKNOWN : { parts: [own, ...reading.parts], touches: reading.touches }
}

const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['SELECT', readSelect],
  ['TABLE', readSelect],
  ['VALUES', readSelect],
  ['WITH', readWith],
  ['INSERT', readInsert('INSERT')],
  ['REPLACE', readInsert('REPLACE')],
  ['UPDATE', readUpdate],
  ['DELETE', readDelete],
  ['EXPLAIN', readExplain],
  ['DESCRIBE', readExplain],
  ['DESC', readExplain],
  ['SHOW', plain('SHOW')],
  ['HELP', plain('SHOW')],
  ['TRUNCATE', readTruncate],
  ['LOAD', readLoad],
  ['CALL', (statement) => withQueries(statement, statement.at + 1, { verb: 'CALL', tables: [] })],
  ['DO', (statement) => withQueries(statement, statement.at + 1, { verb: 'DO', tables: [] })],
  ['HANDLER', readHandler],
  ['LOCK', readLock],
  ['UNLOCK', plain('LOCK')],
  ['CREATE', readCreate],
  ['ALTER', readAlter],
  ['DROP', readDrop],
  ['RENAME', readRename],
  ['ANALYZE', readMaintenance('ANALYZE')],
  ['CHECK', readMaintenance('ANALYZE')],
  ['CHECKSUM', readMaintenance('ANALYZE')],
  ['OPTIMIZE', readMaintenance('OPTIMIZE')],
  ['REPAIR', readMaintenance('REPAIR')],
  ['GRANT', plain('GRANT')],
  ['REVOKE', plain('REVOKE')],
  ['BEGIN', readBegin],
  ['START', readStart],
  ['COMMIT', plain('COMMIT')],
  ['ROLLBACK', plain('ROLLBACK')],
  ['SAVEPOINT', plain('SAVEPOINT')],
  ['RELEASE', plain('RELEASE')],
  ['SET', readSet],
  ['USE', plain('USE')],
  ['PREPARE', readPrepare],
  ['EXECUTE', readPrepare],
  ['DEALLOCATE', plain('DEALLOCATE')],
  ['FLUSH', plain('FLUSH')],
  ['KILL', plain('KILL')],
  ['SHUTDOWN', plain('SHUTDOWN')],
  ['RESTART', plain('SHUTDOWN')],
])
