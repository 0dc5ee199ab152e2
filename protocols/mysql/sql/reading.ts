/** What one statement says of itself, and the tools that the rules for its verbs share. */
import { type TableName, walkTables } from './tables.ts'
import type { Token } from './tokens.ts'

export type Verb =
  | ('SELECT' | 'SHOW' | 'DESCRIBE' | 'EXPLAIN')
  | ('INSERT' | 'UPDATE' | 'DELETE' | 'REPLACE' | 'TRUNCATE' | 'LOAD DATA')
  | ('LOCK' | 'CALL' | 'DO' | 'HANDLER')
  | ('CREATE' | 'ALTER' | 'DROP' | 'RENAME' | 'ANALYZE' | 'OPTIMIZE' | 'REPAIR')
  | ('GRANT' | 'REVOKE' | 'CREATE ROLE' | 'ALTER ROLE' | 'DROP ROLE' | 'SET ROLE')
  | ('BEGIN' | 'COMMIT' | 'ROLLBACK' | 'SAVEPOINT' | 'RELEASE')
  | ('SET' | 'USE' | 'PREPARE' | 'EXECUTE' | 'DEALLOCATE')
  | ('ALTER SYSTEM' | 'FLUSH' | 'KILL' | 'SHUTDOWN')
  | 'unknown'

export interface StatementPart {
  readonly verb: Verb
  readonly tables: readonly TableName[]
  readonly where?: boolean
}

/** Settings on which a guard rests: whether a transaction may write, how the server reads texts. */
export type Touch = 'read-only' | 'text-reading'

export interface Reading {
  readonly parts: readonly StatementPart[]
  readonly touches: readonly Touch[]
}

export const UNKNOWN: Reading = { parts: [{ verb: 'unknown', tables: [] }], touches: [] }

/** Every word, from its verb to the semicolon. */
export interface Statement {
  readonly tokens: readonly Token[]
  /** Where the verb stands. */
  readonly at: number
  /** Reads a statement inside this one. */
  readonly inner: (tokens: readonly Token[]) => Reading
  /** Names that a WITH in front of it gave. */
  readonly known?: ReadonlySet<string>
}

export type Rule = (statement: Statement) => Reading

export const NO_NAMES: ReadonlySet<string> = new Set()

export function one(verb: Verb, tables: readonly TableName[] = [], touches: readonly Touch[] = []): Reading {
  return { parts: [{ verb, tables }], touches }
}

/** A verb that needs no more than its name, and takes no query. */
export function plain(verb: Verb): Rule {
  return ({ tokens }) => (tokens.some(({ key }) => key === 'SELECT') ? UNKNOWN : one(verb))
}

/** The position of the first word that is none of these. */
export function skip(tokens: readonly Token[], from: number, ...words: readonly string[]): number {
  let at = from
  while (words.includes(tokens[at]?.key ?? '')) at++
  return at
}

/** The position of a word at `from` or behind it; -1 where there is none. */
export function find(tokens: readonly Token[], from: number, word: string): number {
  return tokens.findIndex(({ key }, i) => i >= from && key === word)
}

/** The statement's own part, and one for what its queries read. */
export function withQueries(
  { tokens, known = NO_NAMES }: Statement,
  from: number,
  own: { verb: Verb; tables: TableName[]; due?: boolean; where?: boolean },
): Reading {
  const walk = walkTables(tokens.slice(from), { tables: own.tables, due: own.due === true }, known)
  if (walk.file) return UNKNOWN
  const main: StatementPart = {
    verb: own.verb,
    tables: own.tables,
    ...(own.where ? { where: walk.where } : {}),
  }
  const select: StatementPart[] = walk.queries ? [{ verb: 'SELECT', tables: walk.read }] : []
  const locks: StatementPart[] = walk.locks ? [{ verb: 'LOCK', tables: [] }] : []
  return { parts: [main, ...select, ...locks], touches: [] }
}
