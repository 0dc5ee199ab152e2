/**
 * The conversation with a target, until it is ready for a first command: the gateway as a client. The target
 * may be anybody: what it makes us send, compute and keep is bounded, plugins it names are looked up in a short
 * list, and a password goes out in clear inside TLS only.
 */
import { decodeLossy } from '../bytes.ts'
import { type Conversation, startTls } from '../conversation.ts'
import type { Login } from './accept.ts'
import { type Capabilities, capabilities, FLAG, has, lacking, offerable, ofSession } from './capabilities.ts'
import {
  type Attribute,
  decodeGreeting,
  encodeResponse,
  encodeResponseHead,
  GREETING_BYTES_MAX,
  type Greeting,
  type Hello,
} from './handshake.ts'
import { answerGreeting, type Challenge, type Credential, Failed, logIn } from './log-in.ts'
import { encodePacket, Wire } from './packets.ts'
import { decodeError, encodeOk, type Ok, STATUS } from './results.ts'

export interface ConnectOptions {
  /** `require`: end where the target does not offer TLS. What its certificate must be is the runner's policy. */
  readonly tls: 'require' | 'off'
  readonly credential: Credential
  /** The client's login, whose flags the target must honour; undefined for a login of the gateway's own. */
  readonly login: Login | undefined
  readonly database: string | undefined
  /** What the gateway says of itself. */
  readonly attributes: readonly Attribute[]
  readonly random: (length: number) => Uint8Array
}

export interface Ready {
  readonly type: 'ready'
  /** Plain data, to be kept: the next client is greeted with it before the target is dialled. */
  readonly greeting: Greeting
  /** The target's own, which no client is told. */
  readonly threadId: number
  readonly status: number
  readonly capabilities: Capabilities
  readonly secure: boolean
  /** What the target asked last: COM_CHANGE_USER begins with an answer to it. */
  readonly challenge: Challenge
  /** For the client: the OK that ends its login. Empty without a client. */
  readonly welcome: Uint8Array
}

export interface ConnectFailure {
  readonly type: 'failure'
  /** `refused`: the target's own error, with its number. The others are ours, and a matter of configuration. */
  readonly why: 'refused' | 'no-tls' | 'insecure' | 'unsupported' | 'lacking'
  readonly message: string
  readonly code?: number
}

const UTF8MB4_GENERAL_CI = 45
/** What the gateway's own logins say they can read; a client's login says what the client said. */
const PACKET_MAX = 0x1000000

export function* connect(options: ConnectOptions): Conversation<Ready | ConnectFailure> {
  try {
    return yield* converse(options)
  } catch (problem) {
    if (!(problem instanceof Failed)) throw problem
    const { why, message, code } = problem
    return { type: 'failure', why, message, ...(code === undefined ? {} : { code }) }
  }
}

function* converse(options: ConnectOptions): Conversation<Ready> {
  const { login, credential } = options
  const wire = new Wire(0)
  const hello = yield* greeted(wire)
  const { greeting } = hello
  const agreed = agree(options, greeting.capabilities)
  const head = { capabilities: agreed, packetMax: PACKET_MAX, charset: login?.charset ?? UTF8MB4_GENERAL_CI }
  const secure = options.tls === 'require'
  // The runner takes care that nothing the target sent in clear is read as if it came inside TLS.
  if (secure) yield* startTls(wire.frame(encodeResponseHead(head)))
  const { response, ...asked } = answerGreeting(credential, hello)
  const { user } = credential
  const { database, attributes } = options
  yield* wire.send(encodeResponse({ ...head, user, response, database, plugin: asked.plugin, attributes }))
  const link = { credential, secure, random: options.random }
  const { ok, challenge } = yield* logIn(wire, asked, agreed, link)
  return {
    type: 'ready',
    greeting,
    threadId: hello.threadId,
    status: ok.status,
    capabilities: agreed,
    secure,
    challenge,
    welcome: login === undefined ? new Uint8Array(0) : welcome(login, ok),
  }
}

/** A target that is full or does not know us answers with an ERR in place of its greeting. */
function* greeted(wire: Wire): Conversation<Hello> {
  const payload = yield* wire.read(GREETING_BYTES_MAX)
  if (payload[0] !== 0xff) return decodeGreeting(payload)
  const { code, message } = decodeError(payload)
  throw new Failed('refused', decodeLossy(message), code)
}

/** The client's flags as they are, so that answers need no rewriting; those of the handshake are this leg's own. */
function agree(options: ConnectOptions, target: Capabilities): Capabilities {
  if (options.tls === 'require' && !has(target, FLAG.SSL)) {
    throw new Failed('no-tls', 'the target does not offer TLS')
  }
  const offered = offerable(target, { tls: false, localFiles: true })
  const wanted = ofSession(options.login?.capabilities ?? offered)
  const missing = lacking(wanted, target)
  if (missing.length > 0) {
    throw new Failed('lacking', `the target lacks what its greeting once offered: ${missing.join(', ')}`)
  }
  let flags = wanted.flags | FLAG.PROTOCOL_41 | FLAG.SECURE_CONNECTION
  flags |= target.flags & (FLAG.MYSQL | FLAG.PLUGIN_AUTH | FLAG.PLUGIN_AUTH_LENENC | FLAG.CONNECT_ATTRS)
  if (options.tls === 'require') flags |= FLAG.SSL
  if (options.database !== undefined) flags |= FLAG.CONNECT_WITH_DB
  return capabilities(flags, wanted.extended)
}

/** In the client's own count of packets. What the target tracked of its session's state stays with us. */
function welcome(login: Login, { status }: Ok): Uint8Array {
  const told = status & ~STATUS.SESSION_STATE_CHANGED
  return encodePacket(login.sequence, encodeOk(told, login.signature, login.capabilities))
}
