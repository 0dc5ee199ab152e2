/**
 * Who came, was refused, looked, changed something: half of the vocabulary of the book (protocols/events.ts has
 * the other). src/record/ writes these down and adds the time; only counts of the past carry their own.
 *
 * A member called `private` never stands in a record as it is: it is sealed under a session's key.
 */

/** Through which door: `act` of a login and of a session's opening. */
export type Door = 'pg' | 'mysql' | 'ssh' | 'web'

/** What is personal about a connection. */
export interface Who {
  /** As the client wrote it, at most NAME_SHOWN_MAX characters; absent where several names were counted. */
  readonly name?: string
  /** The client's address, without its port; absent where several were counted. */
  readonly address?: string
  /** How it was proved: see Method in authenticate.ts. */
  readonly method?: string
  /** The token that was used, by its id. */
  readonly token?: string
  /** The SSH key that was used, by its fingerprint. */
  readonly key?: string
  /** Whether a one-time code was given too, or one given lately still counted. */
  readonly code?: 'given' | 'remembered'
  /** The roles in force when the session was opened. */
  readonly roles?: readonly string[]
  /** What the client says of itself: program, version, connection attributes. Claims, nothing more. */
  readonly claims?: Readonly<Record<string, string>>
}

/** Longer names cannot be anybody's, and strangers choose them. */
export const NAME_SHOWN_MAX = 128

export type LoginFailure =
  | 'bad-credential'
  | 'unknown-user'
  | 'locked-out'
  | 'expired'
  | 'busy'
  /** The client went away, or broke its protocol, before it had proved anything. */
  | 'abandoned'
  /** No login: a request to cancel, with a secret that is nobody's. */
  | 'bad-cancel'

export interface LoginEvent {
  readonly type: 'login'
  readonly act: Door
  readonly outcome: 'ok' | 'denied'
  /** The pseudonym of a user that exists. */
  readonly sub?: string
  readonly code?: LoginFailure
  /** Repeated failures are one record: how many, and when the first of them was. */
  readonly repeated?: { readonly count: number; readonly firstMicros: number }
  readonly private: Who
}

/** Access refused after a login: no role, outside the hours, no such target. */
export interface AccessDeniedEvent {
  readonly type: 'access.denied'
  readonly act: Door
  readonly sub: string
  /** Only a target that is configured; what else was named is private. */
  readonly target?: string
  readonly private: Who & { readonly reason: string; readonly lines: readonly string[] }
}

export interface SessionOpenEvent {
  readonly type: 'session.open'
  readonly act: Door | 'gateway'
  readonly sub?: string
  readonly target?: string
  readonly private?: Who
}

export type SessionEnd = 'client' | 'target' | 'idle' | 'limit' | 'admin' | 'stop' | 'crash' | 'renew'

export interface SessionCloseEvent {
  readonly type: 'session.close'
  readonly why: SessionEnd
}

export type AdminAct = 'token.create' | 'token.revoke' | 'session.kill' | 'kek.change' | 'gateway.hand-over'

/** The operator on the gateway itself, whom no account names. */
export const LOCAL_SUBJECT = 'local'

export interface AdminEvent {
  readonly type: 'admin'
  readonly act: AdminAct
  readonly sub: string
  readonly outcome: 'ok' | 'error' | 'denied'
  /** The session it was done to. */
  readonly about?: string
  readonly private?: Readonly<Record<string, string>>
}

export interface ConfigEvent {
  readonly type: 'config'
  readonly act: 'load' | 'reload'
  readonly private: {
    /** Canonical text of what is in force; see config/effective.ts. */
    readonly effective: string
    /** What a reload changed, in words. */
    readonly changes: readonly string[]
  }
}

/** Somebody looks at the book: recorded before the answer is shown. */
export interface AuditReadEvent {
  readonly type: 'audit.read'
  readonly act: 'search' | 'view' | 'replay' | 'export' | 'reveal' | 'verify'
  readonly sub: string
  readonly about?: string
  readonly rows?: number
  readonly private?: Readonly<Record<string, string>>
}

export type AccessEvent =
  | LoginEvent
  | AccessDeniedEvent
  | SessionOpenEvent
  | SessionCloseEvent
  | AdminEvent
  | ConfigEvent
  | AuditReadEvent
