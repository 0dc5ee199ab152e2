/**
 * Proof -> Identity. The protocols check what only they can (a SCRAM proof against verifiers, a signature by a
 * key); whose proof it is, and whether it may count, is decided here. A user who does not exist takes the same
 * steps as one who does: no answer tells who is known before somebody has proved to be one of them.
 */
import { randomBytes, X509Certificate } from 'node:crypto'
import type { User } from '../config/schema.ts'
import type { Clock } from '../system/clock.ts'
import { type Accounts, type StoredToken, TOKEN_PREFIX, TOKENS_MAX } from './accounts.ts'
import type { Directory } from './directory.ts'
import { type Door, type LoginEvent, type LoginFailure, NAME_SHOWN_MAX } from './events.ts'
import { Lockout } from './lockout.ts'
import { PasswordCheck } from './password-check.ts'
import { SecondFactor } from './second-factor.ts'
import { Tally } from './tally.ts'
import { type StoredPassword, scramVerifier, type Verifier } from './verifier.ts'

/** How somebody proved who they are. */
export type Method = 'password' | 'token' | 'ssh-key' | 'ssh-certificate' | 'certificate'

/** Who vouches for the user. Single sign-on becomes a second kind, which brings groups of its own. */
export type IdentitySource = { readonly type: 'configuration' }

export interface IdentityFacts {
  readonly user: string
  /** The pseudonym under which the book speaks of the user. */
  readonly sub: string
  readonly kind: User['kind']
  readonly source: IdentitySource
  readonly method: Method
  /** The id of the token that was used. */
  readonly token?: string
  /** The fingerprint of the SSH key that was used, and what a certificate calls it. */
  readonly key?: string
  /** Whether a one-time code was given too, or one given lately still counts. */
  readonly code?: 'given' | 'remembered'
}

let prove: (facts: IdentityFacts) => Identity

/** Somebody who has proved who they are: only an Attempt makes one, and what looks alike does not pass. */
export class Identity {
  readonly #facts: IdentityFacts

  private constructor(facts: IdentityFacts) {
    this.#facts = facts
  }

  static {
    prove = (facts) => new Identity(facts)
  }

  get facts(): IdentityFacts {
    return this.#facts
  }

  get user(): string {
    return this.#facts.user
  }
}

/** `code` is for the book alone: the client learns no more than that it was refused. */
export type LoginResult =
  | { readonly type: 'identity'; readonly identity: Identity }
  | { readonly type: 'refused'; readonly code: LoginFailure }
  /** The first factor holds, and a one-time code is needed too: `code` takes it. */
  | { readonly type: 'code' }

/** Always as many verifiers, so that trying them takes the same time for everybody. */
export const VERIFIERS_TRIED = TOKENS_MAX + 1

export interface AttemptRequest {
  readonly door: Door
  /** Whoever has a one-time code can be asked for it here. */
  readonly asksForCode?: true
  /** As split from the login; need not be anybody. */
  readonly user: string
  readonly address: string
}

export interface AuthenticatorParts {
  readonly accounts: Accounts
  readonly clock: Clock
  /** Failed logins, repeated ones as one. */
  readonly tell: (event: LoginEvent) => void
}

export class Authenticator {
  readonly #accounts: Accounts
  readonly #clock: Clock
  readonly #lockout: Lockout
  readonly #passwords: PasswordCheck
  readonly #codes: SecondFactor
  readonly #failures: ReadonlyMap<Door, Tally>
  #directory: Directory

  constructor(directory: Directory, { accounts, clock, tell }: AuthenticatorParts) {
    this.#directory = directory
    this.#accounts = accounts
    this.#clock = clock
    this.#lockout = new Lockout(clock)
    this.#passwords = new PasswordCheck(clock)
    this.#codes = new SecondFactor(clock)
    const doors: readonly Door[] = ['pg', 'mysql', 'ssh', 'web']
    this.#failures = new Map(
      doors.map((door) => [door, new Tally(clock, (counted) => tell(this.#event(door, counted)))]),
    )
  }

  /** From the next attempt on. What is locked out stays so. */
  reload(directory: Directory): void {
    this.#directory = directory
  }

  /** One connection's attempt; it goes on under the directory it began with. */
  begin(request: AttemptRequest): Attempt {
    return new Attempt(request, this.#directory, {
      accounts: this.#accounts,
      clock: this.#clock,
      lockout: this.#lockout,
      passwords: this.#passwords,
      codes: this.#codes,
      failed: (what) =>
        this.#failures
          .get(request.door)
          ?.add({ what, name: request.user.slice(0, NAME_SHOWN_MAX), address: request.address }),
    })
  }

  /** A request to cancel that is nobody's. It names nobody, so it is counted by its address. */
  cancelRefused(door: Door, address: string): void {
    this.#failures.get(door)?.add({ what: 'bad-cancel', name: '', address })
  }

  /** Tells the failures counted so far; before the process stops. */
  flush(): void {
    for (const tally of this.#failures.values()) tally.flush()
  }

  #event(door: Door, { what, name, address, count, firstMicros }: Counted): LoginEvent {
    const known = name !== undefined && this.#directory.config.users.has(name)
    return {
      type: 'login',
      act: door,
      outcome: 'denied',
      code: what as LoginFailure,
      ...(known ? { sub: this.#accounts.subjectOf(name) } : {}),
      ...(count > 1 ? { repeated: { count, firstMicros } } : {}),
      private: { ...(name ? { name } : {}), ...(address === undefined ? {} : { address }) },
    }
  }
}

type Counted = Parameters<ConstructorParameters<typeof Tally>[1]>[0]

interface AttemptParts {
  readonly accounts: Accounts
  readonly clock: Clock
  readonly lockout: Lockout
  readonly passwords: PasswordCheck
  readonly codes: SecondFactor
  readonly failed: (code: LoginFailure) => void
}

type Candidate = Verifier & { readonly token?: StoredToken }

export class Attempt {
  readonly #request: AttemptRequest
  readonly #directory: Directory
  readonly #parts: AttemptParts
  readonly #user: User | undefined
  readonly #stored: StoredPassword | undefined
  #candidates: readonly (Candidate | undefined)[] = []
  /** Proved, and not enough. */
  #first: IdentityFacts | undefined

  constructor(request: AttemptRequest, directory: Directory, parts: AttemptParts) {
    this.#request = request
    this.#directory = directory
    this.#parts = parts
    this.#user = directory.config.users.get(request.user)
    this.#stored = this.#user === undefined ? undefined : directory.passwords.get(request.user)
  }

  /** For SCRAM: the one salt a challenge can name, and what the proof is tried against. */
  scramChallenge(): { readonly salt: Uint8Array; readonly verifiers: readonly Verifier[] } {
    const { accounts } = this.#parts
    const password = this.#stored?.type === 'scram' ? this.#stored : undefined
    const salt = password?.salt ?? accounts.saltOf(this.#request.user)
    const tokens = this.#tokens().filter((token) => sameSalt(token.salt, salt))
    const chosen = password === undefined || this.#isLocked() ? [] : [{ ...random(), ...password }]
    return { salt, verifiers: this.#offer([...chosen, ...tokens.map((token) => ({ ...token, token }))]) }
  }

  /** For MySQL's challenges: tokens alone, since nothing unsalted is kept of a chosen password. */
  tokenVerifiers(): readonly Verifier[] {
    return this.#offer(this.#tokens().map((token) => ({ ...token, token })))
  }

  /** The proof fitted the verifier at `index` of the last ones handed out. */
  provedBy(index: number): LoginResult {
    const candidate = this.#candidates[index]
    if (candidate === undefined) return this.refuse()
    return candidate.token === undefined ? this.#accept('password') : this.#acceptToken(candidate.token)
  }

  /** The proof fitted none, or the client broke off: counts against its name and address. */
  refuse(code: 'bad-credential' | 'abandoned' = 'bad-credential'): LoginResult {
    if (this.#isLocked()) return this.#refused('locked-out')
    const { user, address } = this.#request
    if (code === 'bad-credential')
      this.#parts.lockout.failed(user, address, this.#directory.config.auth.lockout)
    return this.#refused(this.#user === undefined && code === 'bad-credential' ? 'unknown-user' : code)
  }

  /** A secret in clear, which the caller has taken inside TLS only. */
  async password(secret: string): Promise<LoginResult> {
    if (secret.startsWith(TOKEN_PREFIX)) return this.#tokenInClear(secret)
    const cost = this.#stored?.type === 'argon2id' ? this.#stored.cost : this.#directory.usualCost
    const answer = await this.#parts.passwords.check(
      secret,
      this.#isLocked() ? undefined : this.#stored,
      cost,
    )
    if (answer === 'busy') return this.#refused('busy')
    return answer === 'right' ? this.#accept('password') : this.refuse()
  }

  /** Whether a signature by this key would count. Being asked is no attempt: people carry many keys. */
  knowsKey(blob: Uint8Array): boolean {
    const wanted = Buffer.from(blob).toString('base64')
    return this.#user?.ssh_keys.some((line) => line.split(' ')[1] === wanted) ?? false
  }

  /** The caller has verified a signature by this key over this very connection. */
  signedBy(blob: Uint8Array, key: string): LoginResult {
    return this.knowsKey(blob) ? this.#accept('ssh-key', { key }) : this.refuse()
  }

  /** The caller has verified the signature, and a certificate for it of an authority that is trusted here. */
  certifiedBy(key: string): LoginResult {
    return this.#accept('ssh-certificate', { key })
  }

  /** Behind a first factor that held. Whoever is locked out is told the same as with a wrong code. */
  code(text: string): LoginResult {
    const { user, address, door } = this.#request
    const secret = this.#directory.codes.get(user)
    const facts = this.#first
    if (facts === undefined || secret === undefined || this.#isLocked()) return this.refuse()
    if (!this.#parts.codes.check(user, secret, text, proofOf(door, facts), address)) return this.refuse()
    return this.#enter({ ...facts, code: 'given' })
  }

  /** A certificate that TLS has verified. Undefined when it is not this user's: it then counts for nothing. */
  certificate(der: Uint8Array): LoginResult | undefined {
    if (this.#user === undefined || this.#user.certificates.length === 0) return undefined
    const shown = new X509Certificate(der)
    const fingerprint = shown.fingerprint256.replaceAll(':', '').toLowerCase()
    // Node escapes commas inside a value, so that the joined lines cannot be read in two ways.
    const subject = shown.subject.replaceAll('\n', ',')
    const known = this.#user.certificates.some((wanted) =>
      'fingerprint' in wanted ? wanted.fingerprint === fingerprint : wanted.subject === subject,
    )
    return known ? this.#accept('certificate') : undefined
  }

  /** Only the form of the secret decides that no password is checked, so its time tells nothing of the user. */
  #tokenInClear(secret: string): LoginResult {
    const usual = this.#parts.accounts.saltOf(this.#request.user)
    const tokens = this.#tokens()
    const salts = new Map([usual, ...tokens.map(({ salt }) => salt)].map((salt) => [hex(salt), salt]))
    const keys = new Map([...salts].map(([text, salt]) => [text, hex(scramVerifier(secret, salt).storedKey)]))
    const token = tokens.find(({ salt, storedKey }) => keys.get(hex(salt)) === hex(storedKey))
    return token === undefined
      ? this.#refused(this.#user === undefined ? 'unknown-user' : 'bad-credential')
      : this.#acceptToken(token)
  }

  /** Of a configured user; expired ones too, so that the book can say why they were refused. */
  #tokens(): readonly StoredToken[] {
    if (this.#user === undefined) return []
    const now = this.#parts.clock.now()
    const tokens = this.#parts.accounts.tokensOf(this.#request.user)
    return [
      ...tokens.filter(({ expires }) => expires > now),
      ...tokens.filter(({ expires }) => expires <= now),
    ]
  }

  #offer(real: readonly Candidate[]): readonly Verifier[] {
    const tried = real.slice(0, VERIFIERS_TRIED)
    this.#candidates = tried
    return [...tried, ...Array.from({ length: VERIFIERS_TRIED - tried.length }, random)]
  }

  #isLocked(): boolean {
    return this.#parts.lockout.isLocked(this.#request.user, this.#request.address)
  }

  #acceptToken(token: StoredToken): LoginResult {
    if (token.expires <= this.#parts.clock.now()) return this.#refused('expired')
    this.#parts.accounts.tokenUsed(token)
    return this.#accept('token', { token: token.id })
  }

  #accept(method: Method, by: { readonly token?: string; readonly key?: string } = {}): LoginResult {
    const { user, address, door } = this.#request
    const account = this.#user
    if (account === undefined) return this.refuse()
    const sub = this.#parts.accounts.subjectOf(user)
    const source = { type: 'configuration' } as const
    const facts: IdentityFacts = { user, sub, kind: account.kind, source, method, ...by }
    if (!this.#needsCode) return this.#enter(facts)
    // A page is signed in to once: only what connects again and again goes without a code for a while.
    if (door === 'ssh' && this.#parts.codes.isRemembered(user, proofOf(door, facts), address)) {
      return this.#enter({ ...facts, code: 'remembered' })
    }
    this.#first = facts
    return { type: 'code' }
  }

  get #needsCode(): boolean {
    return this.#request.asksForCode === true && this.#directory.codes.has(this.#request.user)
  }

  #enter(facts: IdentityFacts): LoginResult {
    // A first factor alone does not end the count: codes are short, and could be guessed behind it.
    if (facts.method !== 'token') this.#parts.lockout.succeeded(this.#request.user, this.#request.address)
    return { type: 'identity', identity: prove(facts) }
  }

  #refused(code: LoginFailure): LoginResult {
    this.#parts.failed(code)
    return { type: 'refused', code }
  }
}

/** Verifiers that no proof fits. */
function random(): Verifier {
  const [storedKey, serverKey, sha256Twice] = [randomBytes(32), randomBytes(32), randomBytes(32)]
  return { storedKey, serverKey, sha256Twice, sha1Twice: randomBytes(20) }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function sameSalt(a: Uint8Array, b: Uint8Array): boolean {
  return hex(a) === hex(b)
}

/** What the first factor was, for a code to be remembered with. */
function proofOf(door: Door, { method, token = '', key = '' }: IdentityFacts): string {
  return `${door} ${method} ${token} ${key}`
}
