/** What a prepared statement or a portal is to us: the text that runs when it is used. */
import { encodeText, find } from '../bytes.ts'
import type { Payload } from '../events.ts'
import { decodeLatin, scan, UNREADABLE } from './lexer.ts'
import { type Names, nameKey } from './names.ts'
import type { Operation } from './operations.ts'

export class Statement {
  /** Undefined once the session keeps too much text: then the operation that prepared it is named instead. */
  readonly sql: Payload | undefined
  readonly preparedBy: number
  /** OIDs of the parameters; 0 or missing: not known. Completed by the server's ParameterDescription. */
  types: readonly number[]
  /** What the text does to names when it runs; most do nothing. */
  readonly changes: readonly NameChange[]
  readonly trace: string | undefined
  /** What let it pass when it was judged. */
  readonly rule: string | undefined

  constructor(
    sql: Payload | undefined,
    facts: Pick<Statement, 'preparedBy' | 'types' | 'changes' | 'trace' | 'rule'>,
  ) {
    this.sql = sql
    this.preparedBy = facts.preparedBy
    this.types = facts.types
    this.changes = facts.changes
    this.trace = facts.trace
    this.rule = facts.rule
  }
}

export class Portal {
  readonly statement: Statement | undefined
  /** Begun with the Bind; the first Execute completes it. */
  readonly operation: Operation
  /** An Execute for it was sent. */
  claimed = false
  /** The server has confirmed it, so planning it may have run functions. */
  bound = false
  /** Over all its executions. */
  rows = 0

  constructor(statement: Statement | undefined, operation: Operation) {
    this.statement = statement
    this.operation = operation
  }
}

/**
 * A statement in SQL that changes which prepared statements or portals there are. Without a name it concerns all of
 * that kind. (CLOSE does so too: which of the portals are cursors of SQL is not worth knowing.)
 */
export interface NameChange {
  readonly of: 'statement' | 'portal'
  /** What the server says when it has done it. */
  readonly tag: string
  readonly name?: string
}

const CANDIDATE = /prepare|deallocate|discard|declare|close/i
const NO_CHANGES: readonly NameChange[] = []

/** A longer text is not read through, for that would hold up everybody else; it is taken for unreadable. */
const SCAN_BYTES_MAX = 256 * 1024
/** No server says this, so any tag that changes names is one too many, and all names lose their meaning. */
const UNREAD: readonly NameChange[] = [
  { of: 'statement', tag: '' },
  { of: 'portal', tag: '' },
]

/** In their order in the text. What was read is compared with the server's tags later. */
export function nameChanges(text: Uint8Array, reading: Reading): readonly NameChange[] {
  if (find(text, CANDIDATE) === null) return NO_CHANGES
  // The tags do not tell names: whoever gets another name read than the server reads would hide what runs by it.
  if (text.length > SCAN_BYTES_MAX || !dependable(text, reading)) return UNREAD
  return scan(decodeLatin(text)).statements.flatMap((words) => changeOf(words) ?? [])
}

function changeOf([verb, first, second]: readonly string[]): NameChange | undefined {
  switch (verb) {
    case 'discard':
      return first === 'all' ? { of: 'statement', tag: 'DISCARD ALL' } : undefined
    case 'close':
      return { of: 'portal', tag: first === 'all' ? 'CLOSE CURSOR ALL' : 'CLOSE CURSOR' }
    case 'declare':
      // A name that was a portal's was free again, since ROLLBACK TO ends portals without a word about them.
      return named('portal', 'DECLARE CURSOR', first)
    case 'prepare':
      return first === 'transaction' ? undefined : named('statement', 'PREPARE', first)
    case 'deallocate': {
      const name = first === 'prepare' && second !== undefined ? second : first
      return name === 'all'
        ? { of: 'statement', tag: 'DEALLOCATE ALL' }
        : named('statement', 'DEALLOCATE', name)
    }
    default:
      return undefined
  }
}

function named(of: NameChange['of'], tag: string, name: string | undefined): NameChange | undefined {
  if (name === undefined) return undefined
  if (name === UNREADABLE) return { of, tag }
  // A name beyond ASCII is followed nowhere, so nothing about it can be wrong.
  return { of, tag, name: nameKey(encodeText(name)) ?? UNREADABLE }
}

export function announceChanges(
  names: { readonly statements: Names<Statement>; readonly portals: Names<Portal> },
  changes: readonly NameChange[],
  statement: Statement,
): void {
  for (const { of, tag, name } of changes) {
    if (name === undefined) (of === 'portal' ? names.portals : names.statements).announceEnding()
    else if (of === 'portal') names.portals.announce(name, undefined, -1)
    else names.statements.announce(name, tag === 'PREPARE' ? statement : undefined, -1)
  }
}

/**
 * `tags` are those that the server told for this text, in order. Where the text was read otherwise than the server
 * read it, nothing is known about any name any more: what is unknown is recorded as such, never as another. Gives
 * what names have lost their meaning.
 */
export function settleChanges<T>(
  names: Names<T>,
  of: NameChange['of'],
  changes: readonly NameChange[],
  tags: readonly string[],
): readonly T[] {
  const own = changes.filter((change) => change.of === of)
  const told = tags.filter((tag) => changedBy(tag) === of)
  const agree = told.every((tag, i) => own[i]?.tag === tag)
  const lost = own.flatMap(({ name }, i) => {
    const applied = agree && i < told.length
    if (name === undefined) return names.settleEnding(applied)
    return names.settle(name, applied) ?? []
  })
  return agree ? lost : [...lost, ...names.clear()]
}

/** Whether the tag is of a statement that changes names, and whose. */
export function changedBy(tag: string): NameChange['of'] | undefined {
  switch (tag) {
    case 'PREPARE':
    case 'DEALLOCATE':
    case 'DEALLOCATE ALL':
    case 'DISCARD ALL':
      return 'statement'
    case 'DECLARE CURSOR':
    case 'CLOSE CURSOR':
    case 'CLOSE CURSOR ALL':
      return 'portal'
    default:
      return undefined
  }
}

const HIGH_BIT = 0x80

/** How the server reads texts now. */
export interface Reading {
  readonly plainStrings: boolean
  readonly asciiSafe: boolean
  readonly settled: boolean
}

/**
 * Whether any parser reads the text as the server will. `settled`: no answer is outstanding that could change how
 * it reads. A backslash in a plain literal, and a byte that an encoding may take for half a character, are undecided.
 */
export function dependable(text: Uint8Array, reading: Reading): boolean {
  if (!reading.plainStrings || !reading.asciiSafe) return false
  if (!reading.settled && text.some((byte) => byte >= HIGH_BIT)) return false
  if (!text.includes(BACKSLASH)) return true
  return text.length <= SCAN_BYTES_MAX && !scan(decodeLatin(text)).backslash
}

const BACKSLASH = 0x5c
