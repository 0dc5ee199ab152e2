/**
 * What readers of the book may ask: one shape for the console, the commands and everything else that looks
 * (answers.ts has what they are told). Both are plain JSON, so that they cross threads and sockets as they are. Every
 * question is small, and what is long is asked for in pages; library.ts makes loops of them.
 */
import type { Answers, FacetKey, RecordingRow } from './answers.ts'
import type { Rights } from './rights.ts'

/** Who asks. The rights are worked out anew for each question: grants expire. */
export interface Asker {
  /** The pseudonym under which the question is recorded; `local` for an operator on the gateway. */
  readonly sub: string
  readonly rights: Rights
  /** In the person's own words; recordings of sensitive targets are opened for a reason only. */
  readonly reason?: string
}

export const QUERY_CHARACTERS_MAX = 4096

export interface SearchQuestion {
  readonly type: 'search'
  readonly query: string
  /** Rows behind this one: `next` of the page before. */
  readonly cursor?: number
  readonly limit?: number
  /** Newest first unless this is `oldest`. */
  readonly order?: 'newest' | 'oldest'
}

/** Counts and shares of all rows that a query finds. */
export interface SummaryQuestion {
  readonly type: 'summary'
  readonly query: string
  readonly facets?: readonly FacetKey[]
  /** How many bars of equal width; none unless given. */
  readonly bars?: number
}

/** What may be typed next in a search: keys, then values with their counts. */
export interface CompleteQuestion {
  readonly type: 'complete'
  readonly query: string
  /** Where the caret stands, in characters. */
  readonly at: number
}

export interface SessionsQuestion {
  readonly type: 'sessions'
  /** A search; sessions in which something fits it. All that may be seen, where it is empty. */
  readonly query: string
  readonly cursor?: number
  readonly limit?: number
}

export interface SessionQuestion {
  readonly type: 'session'
  readonly session: string
}

/** What happened in a session, in its order. */
export interface TimelineQuestion {
  readonly type: 'timeline'
  readonly session: string
  readonly cursor?: number
  readonly limit?: number
}

/** Everything recorded about one thing. */
export interface RecordQuestion {
  readonly type: 'record'
  /** `184302-9f2c1b77`, `184302`, or `k3v5o2n7q4w6x2za.3` */
  readonly record: string
}

/** Frames of a recording, oldest first. */
export interface FramesQuestion {
  readonly type: 'frames'
  readonly session: string
  readonly op: number
  readonly stream: RecordingRow['stream']
  /** As which it is recorded; `replay` unless given. */
  readonly purpose?: 'export'
  /** Behind this one: `next` of the page before; the first where it is absent. */
  readonly cursor?: number
}

/** Where in the recording a time or a command stands, with all that must be drawn before. */
export interface CommandsQuestion {
  readonly type: 'commands'
  readonly session: string
  readonly op?: number
}

export interface FilesQuestion {
  readonly type: 'files'
  readonly session: string
}

/** New rows that fit a query, oldest first; the same as a search from there on, recorded once. */
export interface FollowQuestion {
  readonly type: 'follow'
  readonly query: string
  /** Rows of records from this index on; the book's size where it is absent. */
  readonly from?: number
  /** Of a following that has begun: not recorded again. */
  readonly cursor?: number
}

export interface OverviewQuestion {
  readonly type: 'overview'
  /** How far back. */
  readonly micros: number
}

/** The proof of one record, as `gatebook proof` writes it. */
export interface ProofQuestion {
  readonly type: 'proof'
  readonly record: string
  /** With the ciphertexts that the record names. */
  readonly payloads?: boolean
}

/** A session's evidence: its records with proofs, and the payloads that the asker may open, in pages. */
export interface EvidenceQuestion {
  readonly type: 'evidence'
  readonly session: string
  readonly cursor?: number
  /** Of the page before: all proofs are under one checkpoint. */
  readonly size?: number
}

/** State of the index, and of the book as a reader sees it. */
export interface StateQuestion {
  readonly type: 'state'
}

export type Question =
  | SearchQuestion
  | SummaryQuestion
  | CompleteQuestion
  | SessionsQuestion
  | SessionQuestion
  | TimelineQuestion
  | RecordQuestion
  | FramesQuestion
  | CommandsQuestion
  | FilesQuestion
  | FollowQuestion
  | OverviewQuestion
  | ProofQuestion
  | EvidenceQuestion
  | StateQuestion

export type AnswerTo<Q extends Question> = Answers[Q['type']]

/**
 * Why there is no answer. `query`: the search is not one, `column` says where (from 1). `right`: not this asker's to
 * see. `reason`: only for a reason. `none`: there is no such thing, or none that the asker may know of. `late`: it
 * would take too long. `evidence`: the book does not prove it.
 */
export type NoAnswerCode = 'query' | 'right' | 'reason' | 'none' | 'late' | 'evidence'

export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  readonly code: NoAnswerCode
  readonly column: number | undefined

  constructor(code: NoAnswerCode, message: string, column?: number) {
    super(message)
    this.code = code
    this.column = column
  }
}

/** What each member of a question is, whatever its type. Numbers get into SQL, so nothing else may pass for one. */
const FORMS: Readonly<Record<string, (value: unknown) => boolean>> = {
  type: isText,
  query: isText,
  session: isText,
  record: isText,
  stream: isText,
  order: isText,
  purpose: isText,
  cursor: Number.isSafeInteger,
  limit: Number.isSafeInteger,
  bars: Number.isSafeInteger,
  at: Number.isSafeInteger,
  op: Number.isSafeInteger,
  from: Number.isSafeInteger,
  size: Number.isSafeInteger,
  micros: Number.isSafeInteger,
  payloads: (value) => typeof value === 'boolean',
  facets: (value) => Array.isArray(value) && value.every(isText),
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

/** Questions come from sockets: this is where their form is looked at, once. */
export function requireForm(question: Question): void {
  for (const [name, value] of Object.entries(question)) {
    const form = Object.hasOwn(FORMS, name) ? FORMS[name] : undefined
    if (form?.(value) !== true) throw new NoAnswer('query', `${name} of a question is not of its form`)
  }
}
