/** What the gate's thread and the recorder's thread say to each other; both sides check nothing: it is one program. */
import type { WrappedKey } from '../book/keys.ts'

export interface DiskPolicy {
  /** Below this share of the disk a warning is due. */
  readonly warnShare: number
  /** Below this share or this many bytes no new work is taken. */
  readonly closeShare: number
  readonly closeBytes: number
  readonly ballastBytes: number
}

export interface ThreadOptions {
  readonly directory: string
  readonly signingKey?: string
  readonly release: string
  readonly acceptJournalLoss: boolean
  readonly keepCheckpoint: { readonly records: number; readonly micros: number }
  readonly signingKeyMaxAgeMs: number
  readonly disk: DiskPolicy
}

export type Request =
  /** Answered when these are durable in keys.db. */
  | { readonly type: 'keys'; readonly keys: readonly WrappedKey[] }
  /** Answered when this batch is committed to the book. */
  | { readonly type: 'committed'; readonly batch: number }
  | { readonly type: 'rotate-signing-key' }
  | { readonly type: 'retention-point'; readonly below: number }
  /** The first of these of which there is neither a key nor a payload. */
  | { readonly type: 'unknown-sessions'; readonly sids: readonly string[] }
  /** Answered when all ordered deletions are carried out in the book, up to the order of record `through`. */
  | { readonly type: 'deleted' }
  /** The journal's free space has been written over since. */
  | { readonly type: 'scrubbed'; readonly through: number }
  | { readonly type: 'status' }
  /** The journal has failed: what it holds is drained, and the book says that no new work is taken. */
  | { readonly type: 'suspend' }
  /** The next rows that the KEK named does not wrap; then the same rows, wrapped under it. */
  | { readonly type: 'keys-not-under'; readonly kek: string; readonly limit: number }
  | { readonly type: 'rewrapped'; readonly keys: readonly WrappedKey[] }
  /** Drains what is there, keeps the last checkpoint, closes the files. */
  | { readonly type: 'stop' }

export interface BookStatus {
  readonly origin: string
  readonly size: number
  readonly head: string
  readonly undrained: number
  readonly state: BookState
}

export interface Answers {
  keys: undefined
  committed: { size: number }
  'rotate-signing-key': { vkey: string }
  'retention-point': { below: number | undefined }
  'unknown-sessions': { unknown: string | undefined }
  deleted: { through: number }
  scrubbed: undefined
  status: BookStatus
  suspend: undefined
  'keys-not-under': { keys: readonly WrappedKey[] }
  rewrapped: undefined
  stop: undefined
}

export type Answer = Answers[Request['type']]

/** `low`: warn. `suspended`: no new work, running work ends at its next step. */
export type BookState = 'open' | 'low' | 'suspended'

export interface Ready {
  readonly type: 'ready'
  readonly origin: string
  /** The first one, where verifying begins; the present one where nobody left the first. */
  readonly vkey: string
  readonly size: number
  readonly journalPath: string
  /** Highest batch number ever used in that file. */
  readonly lastBatch: number
  readonly marks: SharedArrayBuffer
  readonly recovered: number
  readonly closedAsUnknown: number
  readonly clean: boolean
}

/** What the thread says once it is ready. */
export type Said =
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly type: 'state'; readonly state: BookState; readonly freeBytes: number }
  /** The store has failed: nothing is acknowledged any more. */
  | { readonly type: 'failed'; readonly code: string; readonly message: string }

export type ToGate = Ready | Said

export interface ToThread {
  readonly id: number
  readonly request: Request
}
