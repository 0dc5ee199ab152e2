/** How often one address or one person may ask: a bucket each, that fills by itself. */
import type { Clock } from '../system/clock.ts'
import { ProblemError } from './errors.ts'

/** Buckets kept at once; beyond that the one asked longest ago is forgotten. */
export const BUCKETS_MAX = 4096

export interface Rate {
  readonly burst: number
  readonly perSecond: number
}

/** Of one address: before anybody is known, and for the console's own files. */
export const ADDRESS_RATE: Rate = { burst: 400, perSecond: 100 }
export const SIGN_IN_RATE: Rate = { burst: 10, perSecond: 0.2 }
/** Of one person, over all their sessions. */
export const PERSON_RATE: Rate = { burst: 120, perSecond: 20 }

interface Bucket {
  left: number
  at: number
}

export class RateLimit {
  readonly #clock: Clock
  readonly #rate: Rate
  readonly #buckets = new Map<string, Bucket>()

  constructor(clock: Clock, rate: Rate) {
    this.#clock = clock
    this.#rate = rate
  }

  /** Takes one from the bucket of `who`, or refuses and says for how long. */
  take(who: string): void {
    const { burst, perSecond } = this.#rate
    const now = this.#clock.steady()
    const bucket = this.#buckets.get(who) ?? { left: burst, at: now }
    bucket.left = Math.min(burst, bucket.left + ((now - bucket.at) / 1000) * perSecond)
    bucket.at = now
    this.#buckets.delete(who)
    this.#buckets.set(who, bucket)
    const [oldest] = this.#buckets.keys()
    if (this.#buckets.size > BUCKETS_MAX && oldest !== undefined) this.#buckets.delete(oldest)
    if (bucket.left < 1) {
      const retryAfterSeconds = Math.ceil((1 - bucket.left) / perSecond)
      throw new ProblemError('too-many', {
        what: 'Too many requests.',
        next: `Wait ${retryAfterSeconds} s and try again.`,
        retryAfterSeconds,
      })
    }
    bucket.left -= 1
  }
}
