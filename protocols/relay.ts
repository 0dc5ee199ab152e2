/**
 * The steady state of a connection: bytes from either side in, steps out. A relay knows the protocol and
 * nothing else; src/gate/pump.ts carries its steps out, in their order, and adds what the durability mode
 * demands of each.
 */
import type { RelayEvent } from './events.ts'

export type Side = 'client' | 'target'

export type Step =
  /** Write this down. Every `send` to the target behind it waits until it is where the mode says. */
  | { readonly type: 'record'; readonly event: RelayEvent }
  /** Hand these bytes on. They may be a view of the chunk that was received: no copy is made of what only passes. */
  | { readonly type: 'send'; readonly to: Side; readonly bytes: Uint8Array }
  /**
   * Everything sent to the client after this waits until all that was recorded before it is as durable as the
   * mode demands. It stands before the first message that tells an operation's outcome.
   */
  | { readonly type: 'hold' }
  /**
   * Ask whether a statement may run. The relay takes no further bytes from the client until `verdict` is called;
   * the pump stops reading there. Bytes of the target pass meanwhile.
   */
  | { readonly type: 'judge'; readonly statement: Statement }
  /** Ask the target, by its own means, to stop what runs now: a limit was passed. */
  | { readonly type: 'cancel' }
  /** Both sides end once everything before it is out. */
  | { readonly type: 'close'; readonly reason: CloseReason }

/** Why a connection ended, as the book's `session.close` says it, and what was seen. */
export interface CloseReason {
  readonly why: 'client' | 'target' | 'limit'
  readonly message: string
}

/** What a policy decides on. The text is as the client sent it. */
export interface Statement {
  readonly text: Uint8Array
  readonly database: string
  /** The text is a prepared statement's, which never changes and is asked about at each use as the same object. */
  readonly kept?: boolean
  /** False where parsers may read the text differently (odd string settings, encodings): then it is unknown. */
  readonly dependable: boolean
}

/** Four lines for the person: what, why, what next; the record's id is added by whoever numbers it. */
export interface Refusal {
  /** Which row of the protocol's error table: see docs in each protocol's `refuse`. */
  readonly cause:
    | 'access' // no role, outside the hours
    | 'credential' // bad credential, lock-out
    | 'statement' // refused by policy or role
    | 'limit' // rows, time
    | 'ended' // by an administrator
    | 'busy' // rate limit, draining
    | 'recorder' // cannot record
    | 'unsupported'
    | 'target' // cannot be reached, or failed
  readonly what: string
  readonly why: string
  readonly next: string
  /** `<session>.<number>` of the record, or empty where there is none. */
  readonly record: string
}

export type Verdict =
  | { readonly allow: true; readonly rule?: string }
  | { readonly allow: false; readonly rule?: string; readonly refusal: Refusal }

export interface Relay {
  /** `chunk` is the caller's again once the returned steps are carried out or copied. */
  receive(from: Side, chunk: Uint8Array): readonly Step[]
  /** Answers the last `judge`; goes on with what had been kept back. */
  verdict(verdict: Verdict): readonly Step[]
  /** A side has sent its last byte. Open operations end as `aborted`. */
  end(from: Side): readonly Step[]
  /** The gateway ends the session: tells the client why, where the protocol has a way to say it. */
  stop(refusal: Refusal): readonly Step[]
  /**
   * The `cancel` that was asked for first has been carried out, or could not be. Until then no further statement
   * is forwarded: a cancel that comes late would hit the next one. A relay that never asks for one has none.
   */
  cancelled?(outcome: 'ok' | 'error'): readonly Step[]
  /** Whether no operation is under way: a draining gateway closes here. */
  readonly idle: boolean
  /**
   * Whether the client has to wait: the pump reads no more from it until a later call has made this false. What it
   * hands over all the same is kept, not refused. A relay that bounds what is unanswered in another way has none.
   */
  readonly full?: boolean
}
