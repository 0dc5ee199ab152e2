/**
 * The gateway's own passwords as targets salt them. Salting one takes milliseconds of this thread by design, and a
 * target asks for the same salt at every login: it is the account's. What is remembered is worth as much as the
 * password and goes with it, when a reload reads another.
 */
import type { DatabaseCredential } from '../access/credentials.ts'

type SaltPassword = (password: string, salt: Uint8Array, iterations: number) => Uint8Array

interface Salted {
  readonly salt: Uint8Array
  readonly iterations: number
  readonly key: Uint8Array
}

export class SaltedPasswords {
  readonly #saltPassword: SaltPassword
  /** One each: a target that changes its salt at will costs time and no memory. */
  readonly #kept = new WeakMap<DatabaseCredential, Salted>()

  constructor(saltPassword: SaltPassword) {
    this.#saltPassword = saltPassword
  }

  of(credential: DatabaseCredential, salt: Uint8Array, iterations: number): Uint8Array {
    const kept = this.#kept.get(credential)
    if (kept?.iterations === iterations && Buffer.from(kept.salt).equals(salt)) return kept.key
    const key = this.#saltPassword(credential.password.text(), salt, iterations)
    this.#kept.set(credential, { salt: new Uint8Array(salt), iterations, key })
    return key
  }
}
