/** A request -> who makes it: by the cookie of a session, or by a personal token in its header. */
import type { Accounts } from '../access/accounts.ts'
import type { Authenticator, Identity, LoginResult } from '../access/authenticate.ts'
import { personOf } from '../access/authorize.ts'
import type { LoginEvent, Who } from '../access/events.ts'
import type { Person } from '../access/rights.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Clock } from '../system/clock.ts'
import { ProblemError } from './errors.ts'
import { RateLimit, SIGN_IN_RATE } from './rate.ts'
import { sameSecret, type WebSession, type WebSessions } from './web-sessions.ts'

const SECRET_MAX = 512
const AGENT_MAX = 200

/** Who asks, and from where. */
export interface Caller {
  readonly identity: Identity
  readonly person: Person
  readonly address: string
  /** The name under which this gateway was reached, without the port. */
  readonly host: string
  /** Undefined for a request with a token in its header, which needs no session. */
  readonly session: WebSession | undefined
  /** Why they want to see what asks for a reason. */
  readonly reason?: string
}

type From = Pick<Caller, 'address' | 'host'>

/** What of a request tells who makes it. */
export interface Credentials {
  readonly cookie: string | undefined
  readonly authorization: string | undefined
  readonly address: string
  readonly host: string
}

export interface Presented {
  readonly user: string
  readonly password: string
  /** A one-time code, where they have been asked for it. */
  readonly code: string | undefined
  readonly address: string
  readonly host: string
  readonly agent: string | undefined
}

export interface SignInParts {
  readonly authenticator: Authenticator
  readonly accounts: Accounts
  readonly sessions: WebSessions
  readonly clock: Clock
  readonly loaded: () => LoadedConfig
  /** Resolves when it is in the book for good. */
  readonly note: (event: LoginEvent) => Promise<string>
  /** The id of the record of the last refused login from there. */
  readonly refusedRecord: (address: string) => string
}

export class SignIn {
  readonly #parts: SignInParts
  readonly #rate: RateLimit

  constructor(parts: SignInParts) {
    this.#parts = parts
    this.#rate = new RateLimit(parts.clock, SIGN_IN_RATE)
  }

  /** Opens a session for whoever proves to be somebody; the login is in the book before that is told. */
  async signIn({
    user,
    password,
    code,
    address,
    host,
    agent,
  }: Presented): Promise<{ token: string; caller: Caller }> {
    this.#rate.take(address)
    const attempt = this.#parts.authenticator.begin({ door: 'web', user, address, asksForCode: true })
    const first = await attempt.password(password)
    if (first.type === 'code' && code === undefined) {
      // Somebody knows the password: that is a record, whether or not they come back with a code.
      attempt.refuse('abandoned')
      throw new ProblemError('code-needed', {
        what: 'A one-time code is needed too.',
        next: 'Enter the six digits that your app shows now. Each counts once.',
      })
    }
    const result = first.type === 'code' && code !== undefined ? attempt.code(code) : first
    const identity = this.#accepted(result, address)
    const { facts } = identity
    const who: Who = {
      ...{ name: facts.user, address, method: facts.method },
      ...(facts.token === undefined ? {} : { token: facts.token }),
      ...(facts.code === undefined ? {} : { code: facts.code }),
      claims: agent === undefined ? {} : { agent: agent.slice(0, AGENT_MAX) },
    }
    await this.#parts.note({ type: 'login', act: 'web', outcome: 'ok', sub: facts.sub, private: who })
    const { token, session } = this.#parts.sessions.open(identity, this.#lastsMs(identity))
    return { token, caller: this.#caller(identity, { address, host }, session) }
  }

  signOut(token: string): void {
    this.#parts.sessions.close(token)
  }

  /** Undefined: nobody. What was right once and is no longer, is nobody too. */
  async identify({ cookie, authorization, ...from }: Credentials): Promise<Caller | undefined> {
    if (authorization !== undefined) return this.#bearer(authorization, from)
    const session = cookie === undefined ? undefined : this.#parts.sessions.find(cookie, this.#rules())
    if (session === undefined || !this.isStillSomebody(session.identity)) return undefined
    return this.#caller(session.identity, from, session)
  }

  /** Of somebody who is being answered for long. */
  isStillThere({ identity, session }: Caller): boolean {
    return (session === undefined || this.#parts.sessions.isOpen(session)) && this.isStillSomebody(identity)
  }

  /** Whether the account and the token that somebody signed in with are still there. */
  isStillSomebody({ user, facts }: Identity): boolean {
    const { loaded, accounts, clock } = this.#parts
    if (!loaded().config.users.has(user)) return false
    if (facts.token === undefined) return true
    const token = accounts.tokens(user).find(({ id }) => id === facts.token)
    return token !== undefined && token.revoked === undefined && token.expires > clock.now()
  }

  /** A cookie goes along by itself, so what changes something must also repeat what only our pages can know. */
  demandCsrf({ session }: Caller, header: string | undefined): void {
    if (session === undefined || (header !== undefined && sameSecret(header, session.csrf))) return
    throw new ProblemError('bad-csrf', {
      what: 'This request does not carry the secret of your session.',
      next: 'Reload the page and try again.',
    })
  }

  async #bearer(authorization: string, from: From): Promise<Caller> {
    const [, secret = ''] = /^Bearer ([!-~]{1,512})$/i.exec(authorization) ?? []
    const owner = secret.length > SECRET_MAX ? undefined : this.#parts.accounts.ownerOf(secret)
    const { address } = from
    const attempt = this.#parts.authenticator.begin({ door: 'web', user: owner?.user ?? '', address })
    if (owner === undefined) this.#rate.take(address)
    const result = owner === undefined ? attempt.refuse() : await attempt.password(secret)
    return this.#caller(this.#accepted(result, address), from, undefined)
  }

  #accepted(result: LoginResult, address: string): Identity {
    if (result.type === 'identity') return result.identity
    if (result.type === 'refused' && result.code === 'busy') {
      throw new ProblemError('busy', {
        what: 'Too many people sign in at once.',
        next: 'Try again in a few seconds.',
        retryAfterSeconds: 5,
      })
    }
    const record = this.#parts.refusedRecord(address)
    throw new ProblemError('bad-credential', {
      what: 'Signing in failed.',
      why: 'The name and the password or token do not go together, the one-time code is not right where there is one, or they have been tried too often.',
      next: 'Check them. A personal token works in place of the password; a one-time code counts once.',
      ...(record === '' ? {} : { record }),
    })
  }

  #caller(identity: Identity, from: From, session: WebSession | undefined): Caller {
    return { identity, person: personOf(identity, this.#parts.loaded().config), ...from, session }
  }

  #rules() {
    return this.#parts.loaded().config.auth.sessions
  }

  /** A session made with a token ends with it. */
  #lastsMs({ user, facts }: Identity): number {
    const { max } = this.#rules()
    const token = this.#parts.accounts.tokens(user).find(({ id }) => id === facts.token)
    return token === undefined ? max : Math.min(max, token.expires - this.#parts.clock.now())
  }
}
