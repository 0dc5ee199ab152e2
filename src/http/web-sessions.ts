/**
 * Who is signed in at the console. A cookie is 32 random bytes, kept here by its hash alone; it is worth nothing
 * once it is signed out, too old, idle too long, or the gateway has started again.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Identity } from '../access/authenticate.ts'
import type { Clock } from '../system/clock.ts'

export const WEB_SESSIONS_MAX = 2000
/** Of one person; a further one ends the oldest. */
export const WEB_SESSIONS_OF_ONE_MAX = 16
const TOKEN_BYTES = 32

export interface WebSession {
  readonly identity: Identity
  /** What every request that changes something must repeat in a header. */
  readonly csrf: string
  /** By the steady clock, as all times here. */
  readonly until: number
  lastUsed: number
}

export interface SessionRules {
  /** Milliseconds. */
  readonly max: number
  readonly idle: number
}

export class WebSessions {
  readonly #clock: Clock
  readonly #random: (length: number) => Uint8Array
  readonly #byHash = new Map<string, WebSession>()

  constructor(clock: Clock, random: (length: number) => Uint8Array) {
    this.#clock = clock
    this.#random = random
  }

  /** Returns the cookie's value, which is told once. */
  open(identity: Identity, lastsMs: number): { readonly token: string; readonly session: WebSession } {
    this.#makeRoom(identity.user)
    const token = this.#secret()
    const now = this.#clock.steady()
    const session = { identity, csrf: this.#secret(), until: now + lastsMs, lastUsed: now }
    this.#byHash.set(hashOf(token), session)
    return { token, session }
  }

  find(token: string, rules: SessionRules): WebSession | undefined {
    const hash = hashOf(token)
    const session = this.#byHash.get(hash)
    if (session === undefined) return undefined
    const now = this.#clock.steady()
    if (now >= session.until || now - session.lastUsed >= rules.idle) {
      this.#byHash.delete(hash)
      return undefined
    }
    session.lastUsed = now
    return session
  }

  /** Looked at again and again by what goes on for long; being watched is no use of it. */
  isOpen(session: WebSession): boolean {
    return session.until > this.#clock.steady() && [...this.#byHash.values()].includes(session)
  }

  close(token: string): void {
    this.#byHash.delete(hashOf(token))
  }

  get size(): number {
    return this.#byHash.size
  }

  #makeRoom(user: string): void {
    const now = this.#clock.steady()
    for (const [hash, { until }] of this.#byHash) if (until <= now) this.#byHash.delete(hash)
    const own = [...this.#byHash].filter(([, { identity }]) => identity.user === user)
    const [oldestOwn] = own
    if (own.length >= WEB_SESSIONS_OF_ONE_MAX && oldestOwn !== undefined) this.#byHash.delete(oldestOwn[0])
    const [oldest] = this.#byHash.keys()
    if (this.#byHash.size >= WEB_SESSIONS_MAX && oldest !== undefined) this.#byHash.delete(oldest)
  }

  #secret(): string {
    return Buffer.from(this.#random(TOKEN_BYTES)).toString('base64url')
  }
}

export function sameSecret(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64')
}
