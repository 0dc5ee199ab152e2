/**
 * The conversation with a target, until it is ready for a first query. The target may be anybody: what it makes
 * us send, compute and keep is bounded, and a password goes out in clear inside TLS only.
 */
import { hash } from 'node:crypto'
import { concat, encodeText, ProtocolError } from '../bytes.ts'
import { type Conversation, read, send, startTls, type TlsFacts } from '../conversation.ts'
import {
  type Authentication,
  type BackendMessage,
  decodeBackend,
  encodeBackendKey,
  type Fields,
} from './backend.ts'
import { endpointHash } from './endpoint.ts'
import { type Message, message, readMessage } from './frames.ts'
import { encodePassword, encodeSaslInitial, encodeSaslResponse } from './frontend.ts'
import * as scram from './scram.ts'
import { encodeSslRequest, encodeStartup, PROTOCOL_3_0, type PROTOCOL_3_2 } from './startup.ts'

/** Authentication and settings are small; a notice at login may be a text of some length. */
const MESSAGE_MAX = 65_536
/** Messages before the target is ready: a real one sends about twenty. */
const MESSAGES_MAX = 1000

export interface ConnectOptions {
  /** `require`: ask for TLS and end when it is refused. What the certificate must be is the runner's policy. */
  readonly tls: 'require' | 'off'
  /** The version to ask for; a target may agree on 3.0. */
  readonly version: typeof PROTOCOL_3_0 | typeof PROTOCOL_3_2
  readonly user: string
  readonly database: string
  /** Of the client what settings.ts passes, then ours. */
  readonly parameters: ReadonlyMap<string, string>
  /** Undefined: none is known, so a target that asks for one is a failure. */
  readonly password: string | undefined
  /** Random for this connection: 18 bytes or more in base64. */
  readonly nonce: string
  /** The cancel secret that the client gets instead of the target's: 4 bytes for 3.0, 32 for 3.2. */
  readonly clientSecret: Uint8Array
}

/** PBKDF2 takes milliseconds; the answer is `saltPassword` of the same arguments, off the thread or remembered. */
export interface ConnectQuestion {
  readonly type: 'salt-password'
  readonly password: string
  readonly salt: Uint8Array
  readonly iterations: number
}

export interface Ready {
  readonly type: 'ready'
  /** The target's real process, told to the client too: pg_cancel_backend and `%p` must mean the same. */
  readonly pid: number
  /** What a CancelRequest to the target needs. Never told to the client; empty where the target has none. */
  readonly secret: Uint8Array
  /** As the target reported them: server_version, client_encoding and so on. */
  readonly parameters: ReadonlyMap<string, string>
  readonly version: number
  /** For the client, behind its authentication: settings and notices verbatim, its own secret, ReadyForQuery. */
  readonly welcome: Uint8Array
}

export interface ConnectFailure {
  readonly type: 'failure'
  /** `refused`: the target's own error, in `fields`. The others are ours, and a matter of configuration. */
  readonly why: 'refused' | 'no-tls' | 'insecure' | 'unsupported' | 'no-password'
  readonly message: string
  readonly fields?: Fields
}

type Connecting<T> = Conversation<T, ConnectQuestion>

/** Ends a conversation from within; never leaves this file. */
class Failed extends Error {
  readonly failure: ConnectFailure

  constructor(why: ConnectFailure['why'], text: string, fields?: Fields) {
    super(text)
    this.failure = { type: 'failure', why, message: text, ...(fields === undefined ? {} : { fields }) }
  }
}

export function* connect(options: ConnectOptions): Connecting<Ready | ConnectFailure> {
  try {
    const tls = options.tls === 'require' ? yield* secure() : undefined
    const own = new Map([['user', options.user], ['database', options.database], ...options.parameters])
    yield* send(encodeStartup(options.version, own))
    const version = yield* authenticate(options, tls)
    return yield* settle(options, version)
  } catch (problem) {
    if (problem instanceof Failed) return problem.failure
    throw problem
  }
}

/** One byte is the answer; anything behind it was not encrypted and must not be taken for what was. */
function* secure(): Connecting<TlsFacts> {
  yield* send(encodeSslRequest())
  const answer = String.fromCharCode((yield* read(1))[0] ?? 0)
  if (answer === 'N') throw new Failed('no-tls', 'the target does not offer TLS')
  if (answer !== 'S')
    throw new ProtocolError(`the target answers a request for TLS with ${JSON.stringify(answer)}`)
  return yield* startTls(undefined, ['postgresql'])
}

function decode({ tag, body }: Message): BackendMessage {
  const found = decodeBackend(tag, body)
  if (found.type !== 'error') return found
  const text = new TextDecoder().decode(found.fields.get('M'))
  throw new Failed('refused', text, found.fields)
}

/** Up to AuthenticationOk. Which version the target agrees on comes before or not at all. */
function* authenticate(options: ConnectOptions, tls: TlsFacts | undefined): Connecting<number> {
  let version: number = options.version
  let answered = false
  while (true) {
    const found = decode(yield* readMessage(MESSAGE_MAX))
    if (found.type === 'auth-ok') return version
    if (found.type === 'negotiate') {
      version = agreed(found.version, options.version)
      continue
    }
    // A second demand for the password would be for another purpose than to let us in.
    if (answered) throw new ProtocolError(`the target sends ${found.type} when it has the password`)
    answered = true
    yield* answer(found, options, tls)
  }
}

/** Some servers answer with the minor number alone. */
function agreed(told: number, asked: number): number {
  const version = told < 0x10000 ? PROTOCOL_3_0 | told : told
  if (version >= PROTOCOL_3_0 && version <= asked) return version
  throw new ProtocolError(`the target wants to speak version 0x${told.toString(16)}`)
}

function* answer(
  found: BackendMessage,
  options: ConnectOptions,
  tls: TlsFacts | undefined,
): Connecting<void> {
  switch (found.type) {
    case 'auth-sasl':
      yield* answerScram(found.mechanisms, options, tls)
      return
    case 'auth-md5':
      yield* send(encodePassword(md5(options.user, passwordOf(options), found.salt)))
      return
    case 'auth-cleartext':
      if (tls === undefined)
        throw new Failed('insecure', 'the target wants the password in clear, outside TLS')
      yield* send(encodePassword(encodeText(passwordOf(options))))
      return
    case 'auth-unsupported':
      throw new Failed('unsupported', `the target wants authentication by method ${found.code}`)
    default:
      throw new ProtocolError(`the target sends ${found.type} before it has let us in`)
  }
}

function passwordOf(options: ConnectOptions): string {
  if (options.password !== undefined) return options.password
  throw new Failed('no-password', 'the target wants a password and none is configured')
}

/** `md5` and the hash of (the hash of password and user, in hex) and salt, in hex. */
function md5(user: string, password: string, salt: Uint8Array): Uint8Array {
  const inner = encodeText(hash('md5', encodeText(password + user)))
  return encodeText(`md5${hash('md5', concat([inner, salt]))}`)
}

function* answerScram(mechanisms: readonly string[], options: ConnectOptions, tls: TlsFacts | undefined) {
  const password = passwordOf(options)
  const certificate = tls?.peerCertificate
  const endpoint = certificate === undefined ? undefined : endpointHash(certificate)
  const plus = endpoint !== undefined && mechanisms.includes(scram.SCRAM_PLUS)
  if (!plus && !mechanisms.includes(scram.SCRAM)) {
    throw new Failed('unsupported', `the target offers ${mechanisms.join(', ')}, none of which is known here`)
  }
  // `y` tells the target that we could have bound the channel: if it did offer that, somebody removed it.
  const gs2Header = plus ? 'p=tls-server-end-point,,' : endpoint === undefined ? 'n,,' : 'y,,'
  const bare = `n=,r=${options.nonce}`
  yield* send(encodeSaslInitial(plus ? scram.SCRAM_PLUS : scram.SCRAM, encodeText(gs2Header + bare)))

  const first = yield* saslData('auth-sasl-continue')
  const { nonce, salt, iterations } = scram.decodeServerFirst(first, options.nonce)
  const salted = yield* saltedPassword({ type: 'salt-password', password, salt, iterations })
  const binding = scram.channelBinding(gs2Header, plus ? endpoint : undefined)
  const withoutProof = scram.clientFinalWithoutProof(binding, nonce)
  const transcript = scram.authMessage(bare, new TextDecoder().decode(first), withoutProof)
  const { proof, serverSignature } = scram.prove(salted, transcript)
  yield* send(encodeSaslResponse(scram.encodeClientFinal(withoutProof, proof)))
  scram.checkServerFinal(yield* saslData('auth-sasl-final'), serverSignature)
}

function* saltedPassword(question: ConnectQuestion): Connecting<Uint8Array> {
  const salted = yield { type: 'ask', question }
  if (!(salted instanceof Uint8Array))
    throw new TypeError('the runner answered a question with something else')
  return salted
}

function* saslData(type: Extract<Authentication, { data: unknown }>['type']): Connecting<Uint8Array> {
  const found = decode(yield* readMessage(MESSAGE_MAX))
  if (found.type !== type) throw new ProtocolError(`the target sends ${found.type} where ${type} belongs`)
  return 'data' in found ? found.data : new Uint8Array(0)
}

/** From AuthenticationOk to ReadyForQuery. */
function* settle(options: ConnectOptions, version: number): Connecting<Ready> {
  const parameters = new Map<string, string>()
  const welcome: Uint8Array[] = []
  let pid = 0
  let secret: Uint8Array = new Uint8Array(0)
  for (let count = 0; count < MESSAGES_MAX; count++) {
    const raw = yield* readMessage(MESSAGE_MAX)
    const found = decode(raw)
    switch (found.type) {
      case 'parameter-status':
        parameters.set(found.name, found.value)
        welcome.push(frame(raw))
        break
      case 'notice':
        welcome.push(frame(raw))
        break
      case 'backend-key':
        pid = found.pid
        secret = found.secret
        welcome.push(encodeBackendKey(pid, options.clientSecret))
        break
      case 'ready':
        welcome.push(frame(raw))
        return { type: 'ready', pid, secret, parameters, version, welcome: concat(welcome) }
      default:
        throw new ProtocolError(`the target sends ${found.type} before it is ready`)
    }
  }
  throw new ProtocolError(`${MESSAGES_MAX} messages of the target, and it is not ready`)
}

function frame({ tag, body }: Message): Uint8Array {
  return message(tag, (w) => w.bytes(body))
}
