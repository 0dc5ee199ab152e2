/**
 * User authentication (RFC 4252, RFC 4256), the server's side. What the person offers becomes a `Proof`, a plain
 * value; whoever knows the accounts answers it, one at a time. A signature is checked before the proof is
 * handed on, so a proof of the type `key` means that the person holds this key and no other.
 *
 * Until a first factor has succeeded nothing here depends on the user: the methods are the listener's.
 */
import { ProtocolError, Reader, Writer } from '../bytes.ts'
import { type Certificate, certifiedName, parseCertificate } from './certificates.ts'
import { algorithmsOf, type PublicKey, parsePublicKey, type Touch, verifySignature } from './keys.ts'
import { decodeAs, type Message, type MessageOf, NUMBER } from './messages.ts'
import { boolean, decodeForm, decodeWhole, encodeForm, string, text, uint8 } from './wire.ts'

/** Failed signatures, passwords and answers: OpenSSH's default. */
const FAILURES_MAX = 6
/** Requests that prove nothing, above all queries for keys: people load many into their agents. */
const QUERIES_MAX = 64
const PROMPTS_MAX = 16

export type Method = 'publickey' | 'password' | 'keyboard-interactive'

export interface OfferedKey {
  readonly algorithm: string
  /** The key that signs; with a certificate, the one in it. */
  readonly key: PublicKey
  readonly certificate: Certificate | undefined
}

export type Proof =
  /** Would this key do? Nothing is proved by it; answered by `known` or `reject`. */
  | { readonly type: 'key-query'; readonly user: string; readonly offered: OfferedKey }
  | {
      readonly type: 'key'
      readonly user: string
      readonly offered: OfferedKey
      readonly touch: Touch | undefined
    }
  | { readonly type: 'password'; readonly user: string; readonly password: string }
  /** The person is ready to be asked; answered by `prompt` as a rule. */
  | { readonly type: 'interactive'; readonly user: string }
  | { readonly type: 'responses'; readonly user: string; readonly responses: readonly string[] }

export interface Prompt {
  readonly text: string
  readonly echo: boolean
}

export type ProofAnswer =
  | { readonly type: 'accept' }
  | { readonly type: 'known' }
  /** No prompts at all are allowed: the instruction is shown, and an empty answer comes back. */
  | {
      readonly type: 'prompt'
      readonly name: string
      readonly instruction: string
      readonly prompts: readonly Prompt[]
    }
  /** One factor is proved, another is needed: only methods that can succeed for this person. */
  | { readonly type: 'partial'; readonly methods: readonly Method[]; readonly notice?: string }
  | { readonly type: 'reject'; readonly notice?: string }

const PROVED = ['accept', 'partial', 'reject'] as const

/** What may be answered to what. */
const ANSWERS: Readonly<Record<Proof['type'], readonly ProofAnswer['type'][]>> = {
  'key-query': ['known', 'reject'],
  key: PROVED,
  password: PROVED,
  interactive: [...PROVED, 'prompt'],
  responses: [...PROVED, 'prompt'],
}

export interface AuthOptions {
  /** The same for everybody on a listener. */
  readonly methods: readonly Method[]
  /** Shown before anything is asked; empty for none. */
  readonly banner: string
}

interface Channel {
  send(message: Message): void
  readonly sessionId: Uint8Array
}

const PUBLICKEY = { signed: boolean, algorithm: text, blob: string }
const SIGNED_DATA = {
  sessionId: string,
  number: uint8,
  user: text,
  service: text,
  method: text,
  signed: boolean,
  algorithm: text,
  blob: string,
}

export class Authentication {
  readonly #transport: Channel
  readonly #banner: string
  #methods: readonly Method[]
  #started = false
  #done = false
  #user: string | undefined
  #pending: Proof | undefined
  /** How many responses the last USERAUTH_INFO_REQUEST asked for. */
  #prompted: number | undefined
  #failures = 0
  #queries = 0

  constructor(transport: Channel, options: AuthOptions) {
    this.#transport = transport
    this.#methods = options.methods
    this.#banner = options.banner
  }

  get done(): boolean {
    return this.#done
  }

  /** Nothing further of the client's is read while a proof waits for its answer. */
  get pending(): boolean {
    return this.#pending !== undefined
  }

  /** One message of the client's before it is authenticated; all others than these disconnect. */
  take(payload: Uint8Array): Proof | undefined {
    if (this.#pending !== undefined) throw new Error('a proof has not been answered yet')
    const number = payload[0]
    if (!this.#started && number === NUMBER.SERVICE_REQUEST) {
      this.#start(payload)
      return undefined
    }
    if (this.#started && number === NUMBER.USERAUTH_REQUEST) {
      this.#pending = this.#request(decodeAs('USERAUTH_REQUEST', payload))
      return this.#pending
    }
    if (this.#prompted !== undefined && number === NUMBER.USERAUTH_INFO_RESPONSE) {
      this.#pending = this.#responses(payload, this.#prompted)
      return this.#pending
    }
    throw new ProtocolError(`message ${number} before authentication`)
  }

  answer(answer: ProofAnswer): void {
    const proof = this.#pending
    if (proof === undefined) throw new Error('no proof waits for an answer')
    if (!ANSWERS[proof.type].includes(answer.type))
      throw new Error(`${answer.type} is no answer to ${proof.type}`)
    this.#pending = undefined
    switch (answer.type) {
      case 'accept':
        this.#done = true
        this.#transport.send({ type: 'USERAUTH_SUCCESS' })
        return
      case 'known':
        if (proof.type === 'key-query') this.#sendPkOk(proof.offered)
        return
      case 'prompt':
        this.#prompt(answer.name, answer.instruction, answer.prompts)
        return
      case 'partial':
        this.#methods = answer.methods
        this.#fail(true, answer.notice)
        return
      case 'reject':
        if (proof.type !== 'key-query') this.#countFailure()
        this.#fail(false, answer.notice)
    }
  }

  #start(payload: Uint8Array): void {
    const { service } = decodeAs('SERVICE_REQUEST', payload)
    if (service !== 'ssh-userauth')
      throw new ProtocolError(`the service ${service.slice(0, 64)} before authentication`)
    this.#started = true
    this.#transport.send({ type: 'SERVICE_ACCEPT', service })
    if (this.#banner !== '') this.#show(this.#banner)
  }

  #request(request: MessageOf<'USERAUTH_REQUEST'>): Proof | undefined {
    this.#prompted = undefined
    if (request.service !== 'ssh-connection') {
      throw new ProtocolError(`authentication for the service ${request.service.slice(0, 64)}`)
    }
    this.#user ??= request.user
    if (this.#user !== request.user) throw new ProtocolError('the user changed during authentication')
    const { user, fields } = request
    const method = this.#methods.find((name) => name === request.method)
    switch (method) {
      case 'publickey':
        return this.#publickey(user, fields)
      case 'password': {
        const from = new Reader(fields)
        const { change, password } = decodeForm({ change: boolean, password: text }, from)
        // Changing a password is not done here; what the client would change it to is not looked at.
        if (change) return this.#refuse()
        from.end()
        return { type: 'password', user, password }
      }
      case 'keyboard-interactive':
        decodeWhole({ language: text, submethods: text }, fields)
        return { type: 'interactive', user }
      case undefined:
        return this.#refuse()
    }
  }

  #publickey(user: string, fields: Uint8Array): Proof | undefined {
    const from = new Reader(fields)
    const { signed, algorithm, blob } = decodeForm(PUBLICKEY, from)
    const signature = signed ? string.read(from) : undefined
    from.end()
    const offered = readOffered(algorithm, blob)
    if (offered === undefined) return this.#refuse()
    if (signature === undefined) {
      this.#countQuery()
      return { type: 'key-query', user, offered }
    }
    const data = encodeForm(SIGNED_DATA, {
      sessionId: this.#transport.sessionId,
      number: NUMBER.USERAUTH_REQUEST,
      user,
      service: 'ssh-connection',
      method: 'publickey',
      signed: true,
      algorithm,
      blob,
    })
    const proved = verifySignature(offered.key, certifiedName(algorithm) ?? algorithm, signature, data)
    // A touch is always demanded: a key that signs unattended is not what its owner was sold.
    if (proved === undefined || proved.touch?.present === false) {
      this.#countFailure()
      this.#fail(false)
      return undefined
    }
    return { type: 'key', user, offered, touch: proved.touch }
  }

  #responses(payload: Uint8Array, prompted: number): Proof {
    const from = new Reader(decodeAs('USERAUTH_INFO_RESPONSE', payload).responses)
    const count = from.uint32()
    if (count !== prompted) throw new ProtocolError(`${count} responses to ${prompted} prompts`)
    const responses = Array.from({ length: count }, () => text.read(from))
    from.end()
    this.#prompted = undefined
    return { type: 'responses', user: this.#user ?? '', responses }
  }

  #prompt(name: string, instruction: string, prompts: readonly Prompt[]): void {
    if (prompts.length > PROMPTS_MAX) throw new Error(`more than ${PROMPTS_MAX} prompts`)
    const fields = new Writer().uint32(prompts.length)
    for (const prompt of prompts) {
      text.write(fields, prompt.text)
      boolean.write(fields, prompt.echo)
    }
    this.#prompted = prompts.length
    this.#transport.send({
      type: 'USERAUTH_INFO_REQUEST',
      name,
      instruction,
      language: '',
      prompts: fields.done(),
    })
  }

  #sendPkOk({ algorithm, key, certificate }: OfferedKey): void {
    this.#transport.send({ type: 'USERAUTH_PK_OK', algorithm, key: certificate?.blob ?? key.blob })
  }

  /** A request that is answered by FAILURE without asking anybody: `none`, methods and keys that are not ours. */
  #refuse(): undefined {
    this.#countQuery()
    this.#fail(false)
    return undefined
  }

  #fail(partial: boolean, notice?: string): void {
    if (notice !== undefined) this.#show(notice)
    this.#transport.send({ type: 'USERAUTH_FAILURE', methods: this.#methods, partial })
  }

  #show(message: string): void {
    this.#transport.send({ type: 'USERAUTH_BANNER', message, language: '' })
  }

  #countFailure(): void {
    if (++this.#failures >= FAILURES_MAX) throw new ProtocolError('too many authentication failures')
  }

  #countQuery(): void {
    if (++this.#queries > QUERIES_MAX) throw new ProtocolError('too many authentication requests')
  }
}

/** Undefined for a key that we do not take: too short, of another type, malformed. The client has others. */
function readOffered(algorithm: string, blob: Uint8Array): OfferedKey | undefined {
  const certified = certifiedName(algorithm)
  try {
    const certificate = certified === undefined ? undefined : parseCertificate(blob)
    const key = certificate?.key ?? parsePublicKey(blob)
    if (!algorithmsOf(key.type).includes(certified ?? algorithm)) return undefined
    return { algorithm, key, certificate }
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}
