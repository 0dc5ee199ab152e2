/**
 * Checking a chosen password sent in clear inside TLS. Every try takes the same steps for everybody: one PBKDF2
 * and one argon2id, against what is stored or against nothing. A password that held is remembered for a few
 * minutes by an HMAC, so that a pool of connections pays argon2id once.
 */
import { argon2, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../system/clock.ts'
import { type Argon2Cost, SCRAM_SALT_BYTES, type StoredPassword, scramVerifier } from './verifier.ts'

const REMEMBERED_MS = 5 * 60_000
export const REMEMBERED_MAX = 1024
/** argon2id takes tens of MiB each, in the threads that also serve the disk. */
const RUNNING_MAX = 2
export const WAITING_MAX = 64

/** Nobody knows what it is the hash of. */
const NOTHING_SALT = new Uint8Array(SCRAM_SALT_BYTES)
const NOTHING_HASH = new Uint8Array(randomBytes(32))

export type PasswordAnswer = 'right' | 'wrong' | 'busy'

export class PasswordCheck {
  readonly #clock: Clock
  readonly #key = randomBytes(32)
  /** When the memory of a right password ends, oldest first. */
  readonly #remembered = new Map<string, number>()
  readonly #underWay = new Map<string, Promise<boolean>>()
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `stored` is undefined for whoever has none, does not exist or is locked out: the answer is then `wrong`. */
  async check(secret: string, stored: StoredPassword | undefined, cost: Argon2Cost): Promise<PasswordAnswer> {
    const scram = scramVerifier(secret, stored?.type === 'scram' ? stored.salt : NOTHING_SALT)
    if (stored?.type === 'scram' && timingSafeEqual(scram.storedKey, stored.storedKey)) return 'right'

    const argon =
      stored?.type === 'argon2id' ? stored : { text: '', cost, salt: NOTHING_SALT, hash: NOTHING_HASH }
    const key = this.#keyOf(secret, argon.text)
    if (this.#remembers(key)) return 'right'
    if (this.#waiting.length >= WAITING_MAX) return 'busy'
    const right = await this.#once(key, () => runArgon2(secret, argon.salt, argon.cost, argon.hash))
    if (!right) return 'wrong'
    this.#remember(key)
    return 'right'
  }

  /** The stored text is part of the key: a changed password is forgotten with its old one. */
  #keyOf(secret: string, stored: string): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([stored, secret]))
      .digest('base64')
  }

  #remembers(key: string): boolean {
    const end = this.#remembered.get(key)
    return end !== undefined && end > this.#clock.steady()
  }

  #remember(key: string): void {
    this.#remembered.delete(key)
    this.#remembered.set(key, this.#clock.steady() + REMEMBERED_MS)
    const [oldest] = this.#remembered.keys()
    if (this.#remembered.size > REMEMBERED_MAX && oldest !== undefined) this.#remembered.delete(oldest)
  }

  /** The same password tried at the same time is computed once. */
  async #once(key: string, compute: () => Promise<boolean>): Promise<boolean> {
    const already = this.#underWay.get(key)
    if (already !== undefined) return already
    const answer = this.#inTurn(compute)
    this.#underWay.set(key, answer)
    try {
      return await answer
    } finally {
      this.#underWay.delete(key)
    }
  }

  async #inTurn(compute: () => Promise<boolean>): Promise<boolean> {
    if (this.#running >= RUNNING_MAX) await new Promise<void>((go) => this.#waiting.push(go))
    else this.#running++
    try {
      return await compute()
    } finally {
      // The turn is handed on, so that nobody who comes later can take it.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}

function runArgon2(secret: string, salt: Uint8Array, cost: Argon2Cost, hash: Uint8Array): Promise<boolean> {
  const parameters = { message: secret, nonce: salt, tagLength: hash.length, ...cost }
  return new Promise((resolve, reject) => {
    argon2('argon2id', parameters, (error, derived) => {
      if (error !== null) reject(error)
      else resolve(timingSafeEqual(derived, hash))
    })
  })
}
