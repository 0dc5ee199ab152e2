/**
 * What goes to the server in place of something refused: a statement that it rejects by itself, with nothing of the
 * person's in it. Whether it is in a transaction or behind a failure, the server then does what it does after any
 * error, and only the text of its ErrorResponse is replaced on the way back.
 */
import { encodeText } from '../bytes.ts'
import type { Act } from '../events.ts'
import { encodeBind, encodeCall, encodeParse, encodeQuery } from './frontend.ts'

export type Refusable = 'query' | 'parse' | 'unnamed parse' | 'bind' | 'call'

export interface Substitute {
  readonly kind: 'query' | 'parse' | 'bind' | 'call'
  readonly act: Act
  readonly text: Uint8Array | undefined
  readonly bytes: Uint8Array
}

const SYNTAX_ERROR = 'gatebook refused this statement'
const TEXT = encodeText(SYNTAX_ERROR)

/** `unguessable` is a name that no statement has: not even a client that expects to be refused can make one. */
export function substituteFor(refused: Refusable, unguessable: string): Substitute {
  const name = encodeText(unguessable)
  switch (refused) {
    case 'query':
      return { kind: 'query', act: 'db.query', text: TEXT, bytes: encodeQuery(SYNTAX_ERROR) }
    case 'parse':
      return { kind: 'parse', act: 'db.prepare', text: TEXT, bytes: encodeParse(name, SYNTAX_ERROR) }
    case 'unnamed parse':
      // A Parse of the unnamed statement ends the one before, even when it fails.
      return { kind: 'parse', act: 'db.prepare', text: TEXT, bytes: encodeParse(NOTHING, SYNTAX_ERROR) }
    case 'bind':
      return { kind: 'bind', act: 'db.execute', text: undefined, bytes: encodeBind(name, unguessable) }
    case 'call':
      // No function has the OID 0.
      return { kind: 'call', act: 'db.call', text: undefined, bytes: encodeCall(0) }
  }
}

const NOTHING = new Uint8Array(0)
