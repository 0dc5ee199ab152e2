/**
 * What a statement's text does, as far as a parser can tell. Each SQL protocol reads its own dialect and
 * returns this shape; policies are decided on it without knowing which dialect it was. Nothing here knows what
 * a view, a trigger or a function of the person's own does behind the text: the database role is the real
 * limit, and these facts are guard rails in front of it.
 */

/** Every verb a text can have, by what it does to the target. A person writes these words into a policy. */
export const VERBS_OF = {
  /** Reads and leaves nothing behind. */
  read: ['SELECT', 'SHOW', 'DESCRIBE', 'EXPLAIN', 'COPY TO'],
  /** Changes rows, takes locks that others feel, or runs code of which the text does not tell the effect. */
  write: [
    'INSERT',
    'UPDATE',
    'DELETE',
    'MERGE',
    'REPLACE',
    'TRUNCATE',
    'COPY FROM',
    'LOAD DATA',
    'LOCK',
    'CALL',
    'DO',
    'HANDLER',
  ],
  /** Changes what there is. */
  define: [
    'CREATE',
    'ALTER',
    'DROP',
    'RENAME',
    'COMMENT',
    'IMPORT',
    'REFRESH',
    'REINDEX',
    'CLUSTER',
    'VACUUM',
    'ANALYZE',
    'OPTIMIZE',
    'REPAIR',
  ],
  /** Changes who may do what, or as whom the session acts. */
  grant: ['GRANT', 'REVOKE', 'CREATE ROLE', 'ALTER ROLE', 'DROP ROLE', 'SET ROLE'],
  /** Concerns the session alone: no application works without these, so they need no role's leave. */
  session: [
    'BEGIN',
    'COMMIT',
    'ROLLBACK',
    'SAVEPOINT',
    'RELEASE',
    'SET',
    'RESET',
    'DISCARD',
    'USE',
    'DECLARE',
    'FETCH',
    'CLOSE',
    'PREPARE',
    'EXECUTE',
    'DEALLOCATE',
    'LISTEN',
    'UNLISTEN',
  ],
  /** Reaches the server itself, its files or its other sessions. */
  admin: [
    'ALTER SYSTEM',
    'CHECKPOINT',
    'LOAD',
    'NOTIFY',
    'COPY FILE',
    'COPY PROGRAM',
    'FLUSH',
    'KILL',
    'SHUTDOWN',
    'REPLICATION',
  ],
  /** A text nobody should trust their reading of. To every decision it is a write. */
  unknown: ['unknown'],
} as const

export type VerbClass = keyof typeof VERBS_OF
export type Verb = (typeof VERBS_OF)[VerbClass][number]

export const VERB_CLASSES = Object.keys(VERBS_OF) as readonly VerbClass[]
export const VERBS: readonly Verb[] = Object.values(VERBS_OF).flat()

const CLASS_OF: ReadonlyMap<Verb, VerbClass> = new Map(
  VERB_CLASSES.flatMap((name) => VERBS_OF[name].map((verb) => [verb, name] as const)),
)

export function classOf(verb: Verb): VerbClass {
  return CLASS_OF.get(verb) ?? 'unknown'
}

/** A table as the text names it. Without a schema, the search path decides, and only the target knows it. */
export interface TableName {
  readonly schema?: string
  readonly name: string
}

/**
 * One thing a text does. `WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone, c` has three
 * parts: INSERT of b, SELECT of c, DELETE of a. `EXPLAIN` without ANALYZE has one, over all the tables inside.
 */
export interface StatementPart {
  readonly verb: Verb
  readonly tables: readonly TableName[]
  /** Only UPDATE and DELETE have it: whether a WHERE stands there. It may still be true for every row. */
  readonly where?: boolean
}

export interface StatementFacts {
  /** Outer before inner. Exactly one part, `unknown`, where nothing is known. */
  readonly parts: readonly StatementPart[]
  /** Whether it sets, or may set, what keeps a transaction from writing. */
  readonly liftsReadOnly: boolean
  /**
   * Why another parser might read the text differently, in words for the person; absent where none does. The
   * parts are then one reading among several.
   */
  readonly disputed?: string
  /** The text with its literals replaced, fit to be shown and grouped. Never decide anything on it. */
  readonly masked: string
}
