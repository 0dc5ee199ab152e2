/** What is answered instead of what was asked for: one form for all of it, and the only place that catches. */
import type { ProblemBody } from './api.ts'

export type ProblemCode = ProblemBody['error']['code']

const STATUS: Readonly<Record<ProblemCode, 400 | 401 | 403 | 404 | 409 | 413 | 421 | 429 | 500 | 503>> = {
  'bad-request': 400,
  'bad-query': 400,
  'not-signed-in': 401,
  'bad-credential': 401,
  'code-needed': 401,
  forbidden: 403,
  'bad-origin': 403,
  'bad-csrf': 403,
  'reason-needed': 403,
  'not-found': 404,
  gone: 409,
  'too-large': 413,
  'wrong-host': 421,
  'too-many': 429,
  fault: 500,
  busy: 503,
}

export interface ProblemWords {
  /** What was refused, why, and what to do next; what is empty is left out. */
  readonly what: string
  readonly why?: string
  readonly next?: string
  /** The id of the record that tells of it. */
  readonly record?: string
  /** Of a search: where in its text, from 1. */
  readonly column?: number
  readonly retryAfterSeconds?: number
}

/** The request is refused; these words are the answer. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError'
  readonly code: ProblemCode
  readonly words: ProblemWords

  constructor(code: ProblemCode, words: ProblemWords) {
    super(words.what)
    this.code = code
    this.words = words
  }

  get status(): (typeof STATUS)[ProblemCode] {
    return STATUS[this.code]
  }

  get body(): ProblemBody {
    const { retryAfterSeconds: _, ...words } = this.words
    return { error: { code: this.code, ...words } }
  }
}

/** A fault of ours is told to the log with all it has, and to the person as no more than that. */
export function problemOf(error: unknown, onFault: (error: unknown) => void): ProblemError {
  if (error instanceof ProblemError) return error
  onFault(error)
  return new ProblemError('fault', {
    what: 'The gateway failed to answer this.',
    next: 'Its log says why. Try again; tell whoever administers it.',
  })
}
