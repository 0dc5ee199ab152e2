/** Who comes to a database: one attempt at proving it, in the time that a login may take, whichever database it is. */
import { splitLogin } from '../access/address.ts'
import type { Attempt, LoginResult } from '../access/authenticate.ts'
import { HangUpError } from './converse.ts'
import { deadline } from './deadline.ts'
import type { Gate } from './gate.ts'
import type { Accepted } from './listen.ts'

/** PostgreSQL's own limit from the first byte to the end of the login. */
export const LOGIN_MS_MAX = 60_000

export class Doorkeeper {
  readonly #gate: Gate
  readonly #door: 'pg' | 'mysql'
  readonly #accepted: Accepted
  #attempt: Attempt | undefined
  /** What a question about a password or a certificate came to. */
  #proved: LoginResult | undefined

  constructor(gate: Gate, door: 'pg' | 'mysql', accepted: Accepted) {
    this.#gate = gate
    this.#door = door
    this.#accepted = accepted
  }

  /** Runs the conversation with the client until it has said who it is. */
  async asks<Said>(conversation: (signal: AbortSignal) => Promise<Said>): Promise<Said> {
    const { socket } = this.#accepted.talker
    using limit = deadline(this.#gate.parts.clock, LOGIN_MS_MAX)
    const { signal } = limit
    signal.addEventListener('abort', () => socket.destroy(), { once: true })
    try {
      return await conversation(signal)
    } catch (error) {
      // Somebody who had named a user and then went away, or broke the protocol, has tried and failed.
      this.#attempt?.refuse('abandoned')
      throw error
    }
  }

  /** `typed`: the login as the client wrote it, perhaps with its target. */
  begin(typed: string): Attempt {
    const { user } = splitLogin(typed, this.#gate.inForce.loaded.config.targets)
    const { address } = this.#accepted.peer
    this.#attempt = this.#gate.parts.authenticator.begin({ door: this.#door, user, address })
    return this.#attempt
  }

  async password(attempt: Attempt, password: Uint8Array): Promise<'password' | undefined> {
    this.#proved = await attempt.password(Buffer.from(password).toString('utf8'))
    return this.#proved.type === 'identity' ? 'password' : undefined
  }

  certificate(attempt: Attempt, certificate: Uint8Array): boolean {
    this.#proved = attempt.certificate(certificate)
    return this.#proved?.type === 'identity'
  }

  /** `secret`: which of the verifiers that were handed out the client has proved to know. */
  resultOf(secret: string | undefined): LoginResult {
    const attempt = this.#attempt
    if (attempt === undefined) throw new HangUpError('a login without a proof')
    if (this.#proved !== undefined) return this.#proved
    return secret === undefined ? attempt.refuse() : attempt.provedBy(Number(secret))
  }
}
