/**
 * What is refused, and what goes to the target instead: a command that it rejects by itself, with nothing of the
 * person's in it. Transactions, warnings and the order of answers so stay the target's own, and only the text of
 * its ERR is replaced on the way back.
 */
import { encodeText } from '../bytes.ts'
import type { Act } from '../events.ts'
import type { Refusal } from '../relay.ts'
import type { AnswerKind } from './answer.ts'
import type { Capabilities } from './capabilities.ts'
import { encodeExecute, encodePrepare, encodeQuery } from './commands.ts'
import { encodePacket } from './packets.ts'
import { encodeRefusal } from './results.ts'

export interface Substitute {
  readonly act: Act
  readonly kind: AnswerKind
  readonly text: Uint8Array | undefined
  readonly payload: Uint8Array
}

/** No statement of either dialect begins so, in any sql_mode. */
const SYNTAX_ERROR = encodeText('* gatebook refused this statement *')
/** Targets number statements from 1. */
const NO_STATEMENT = 0

export function substituteFor(
  refused: 'query' | 'prepare' | 'execute' | 'other',
  agreed: Capabilities,
): Substitute {
  switch (refused) {
    case 'prepare': {
      // In its own kind: a failed COM_STMT_PREPARE also makes -1 mean no statement.
      const payload = encodePrepare(SYNTAX_ERROR)
      return { act: 'db.prepare', kind: 'prepared', text: SYNTAX_ERROR, payload }
    }
    case 'execute':
      return { act: 'db.execute', kind: 'results', text: undefined, payload: encodeExecute(NO_STATEMENT) }
    default: {
      const payload = encodeQuery(SYNTAX_ERROR, agreed)
      return { act: 'db.query', kind: 'results', text: SYNTAX_ERROR, payload }
    }
  }
}

/** The ERR that refuses: before the greeting with sequence 0, at a login with the login's. */
export function refuse(refusal: Refusal, sequence: number): Uint8Array {
  return encodePacket(sequence, encodeRefusal(refusal))
}

/** A refusal that lacks only the name of its record. */
export type Reason = Omit<Refusal, 'record'>

export const REASONS = {
  oversized: (bytes: number, bytesMax: number): Reason => ({
    cause: 'unsupported',
    what: `a command of ${bytes} bytes is too long to be recorded`,
    why: `this gateway records up to ${bytesMax} bytes, parameters included, and passes no more`,
    next: 'send it in parts',
  }),
  kill: {
    cause: 'statement',
    what: 'this KILL is not allowed',
    why: 'only KILL with the number of a connection of your own, through this gateway, alone in its text',
    next: 'take the number that your client was given when it connected',
  },
  lastPrepared: {
    cause: 'statement',
    what: 'there is no statement prepared last',
    why: 'the one before was refused',
    next: 'prepare another',
  },
  incomplete: {
    cause: 'unsupported',
    what: 'a parameter was too long to be recorded',
    why: 'it was sent ahead, and not forwarded',
    next: 'send it in smaller pieces',
  },
  localFile: {
    cause: 'unsupported',
    what: 'LOAD DATA LOCAL is not allowed here',
    why: 'this target may not ask for files of yours (local_infile)',
    next: 'insert the rows, or ask whoever administers this gateway',
  },
  denied: (name: string): Reason => ({
    cause: 'unsupported',
    what: `${name} does not pass this gateway`,
    why: 'it reaches the server itself, its replication, or what was not agreed on',
    next: '',
  }),
  rows: (rowsMax: number): Reason => ({
    cause: 'limit',
    what: `more than ${rowsMax} rows`,
    why: 'your role ends a statement there, and the rest was withheld',
    next: 'narrow the query, or ask for another role',
  }),
  account: {
    cause: 'credential',
    what: 'access denied',
    why: 'COM_CHANGE_USER works for the user who is connected, with the secret used to connect',
    next: 'open a connection of its own',
  },
} as const satisfies Record<string, Reason | ((...args: never[]) => Reason)>
