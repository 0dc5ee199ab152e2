/**
 * What can have happened at a target: half of the vocabulary of the book (src/access/events.ts has the other).
 * A relay emits these; src/record/ writes them down. They carry no clock: whoever records them adds the time.
 */

export type Outcome = 'ok' | 'error' | 'denied' | 'aborted' | 'unknown' | 'skipped'

export type Act =
  | 'db.query'
  | 'db.prepare'
  | 'db.execute'
  | 'db.copy'
  | 'db.call'
  | 'db.cancel'
  | 'db.other'
  | 'ssh.exec'
  | 'ssh.shell'
  | 'ssh.subsystem'
  | 'ssh.forward'
  | 'sftp.open'
  | 'sftp.remove'
  | 'sftp.rename'
  | 'sftp.mkdir'
  | 'sftp.rmdir'
  | 'sftp.setstat'
  | 'sftp.symlink'
  | 'sftp.list'
  | 'sftp.other'

/** What a payload holds; the book's FORMAT.md describes each body. */
export type PayloadType =
  | 'who'
  | 'sql'
  | 'args'
  | 'cmd'
  | 'path'
  | 'addr'
  | 'msg'
  | 'conf'
  | 'note'
  | 'res'
  | 'meta'
  | 'tty'
  | 'out'
  | 'in'
  | 'rows'

/**
 * Something too private for a leaf: it is sealed under the session's key. `body` may be a view of bytes that
 * change after the call, so the recorder seals or copies at once, unless it is `kept`. `repeats` tells that the same text is likely
 * to come again in this session (a statement's text), so that it is worth finding again.
 */
export interface Payload {
  readonly type: PayloadType
  readonly body: Uint8Array
  readonly repeats?: boolean
  /** The bytes are nobody's to change. */
  readonly kept?: boolean
}

/** An operation is about to reach the target. Stands before the bytes that may start it. */
export interface BeginEvent {
  readonly type: 'begin'
  /** Counts up by one within a session, over begins and decisions. */
  readonly op: number
  readonly act: Act
  /** The operation this one happens in. */
  readonly parent?: number | undefined
  /** The role or policy that let it pass. */
  readonly rule?: string | undefined
  readonly payloads: readonly Payload[]
}

/** An operation was refused: nothing of it is forwarded. It takes a number like a begin. */
export interface DecisionEvent {
  readonly type: 'decision'
  readonly op: number
  readonly act: Act
  readonly rule?: string
  readonly payloads: readonly Payload[]
}

export interface OutcomeFacts {
  readonly outcome: Outcome
  /** SQLSTATE, MySQL error number, exit status or signal, SFTP status; at most 32 printable characters. */
  readonly code?: string | undefined
  readonly rows?: number | undefined
  readonly bytes?: number | undefined
  readonly payloads?: readonly Payload[] | undefined
}

/** One of several results, while the operation goes on. */
export interface ResultEvent extends OutcomeFacts {
  readonly type: 'result'
  readonly op: number
}

export interface EndEvent extends OutcomeFacts {
  readonly type: 'end'
  readonly op: number
}

/** A piece of a stream. Pieces become chunks in the recorder, which adds the time. */
export interface DataEvent {
  readonly type: 'data'
  readonly op: number
  readonly stream: 'tty' | 'out' | 'in' | 'rows'
  /** o output, e error output, i input, r resize as text "80x24", m marker, x exit status as text */
  readonly frame: 'o' | 'e' | 'i' | 'r' | 'm' | 'x'
  readonly bytes: Uint8Array
}

export type RelayEvent = BeginEvent | DecisionEvent | ResultEvent | EndEvent | DataEvent
