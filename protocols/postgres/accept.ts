/**
 * The conversation with a client, until it has shown who it is and where it wants to go. It ends before the
 * client is told of success: what it shows must first be judged, recorded, and the target reached.
 *
 * Nothing that is sent before the proof depends on the user: method, salt, iterations and the number of steps
 * are the same for people who do not exist.
 */
import { concat, decodeText, encodeText, ProtocolError, Reader, sameBytes } from '../bytes.ts'
import { type Conversation, send, startTls, type TlsFacts, type Want } from '../conversation.ts'
import { encodeAuthentication, encodeMechanisms, encodeNegotiate } from './backend.ts'
import { endpointHash } from './endpoint.ts'
import { readMessage } from './frames.ts'
import { encodeError, refuseProtocol } from './refusal.ts'
import * as scram from './scram.ts'
import { replicationOf } from './settings.ts'
import {
  type CancelRequest,
  PROTOCOL_3_0,
  PROTOCOL_3_2,
  readStartupPacket,
  type StartupMessage,
} from './startup.ts'

/** PostgreSQL's PG_MAX_AUTH_TOKEN_LENGTH. */
const AUTH_MESSAGE_MAX = 65_535
const ALPN = 'postgresql'

export interface AcceptOptions {
  /** What TLS showed, where the connection began inside it (direct TLS); else undefined. */
  readonly tls: TlsFacts | undefined
  /** `off`: there is no certificate to offer. */
  readonly tlsPolicy: 'require' | 'allow' | 'off'
  /** How everybody on this listener logs in. A clear password is taken inside TLS only. */
  readonly method: 'scram' | 'password'
  /** Random for this connection: 18 bytes or more in base64. */
  readonly nonce: string
  /** For users that do not exist: a lasting secret, and the iterations that real ones have. */
  readonly mock: { readonly secret: Uint8Array; readonly iterations: number }
}

/**
 * `verifiers` is answered with Verifiers, or undefined for a user without any (or unknown). `password` is
 * answered with the id of the secret it is, or undefined; taking equally long for both is the answerer's part.
 * `certificate`, one that TLS has verified, is answered with true where it is this user's: then nothing more is asked.
 */
export type AcceptQuestion =
  | { readonly type: 'verifiers'; readonly user: string }
  | { readonly type: 'password'; readonly user: string; readonly password: Uint8Array }
  | { readonly type: 'certificate'; readonly user: string; readonly certificate: Uint8Array }

export interface Login {
  readonly type: 'login'
  /** As typed, with its `~target`. */
  readonly user: string
  /** Undefined where the client names none, or repeats the user's name, which is libpq's way of naming none. */
  readonly database: string | undefined
  /** The startup packet whole: claims, to be recorded. settings.ts says what may be passed on. */
  readonly parameters: ReadonlyMap<string, string>
  readonly replication: 'physical' | 'database' | undefined
  /** What is spoken with this client. */
  readonly version: typeof PROTOCOL_3_0 | typeof PROTOCOL_3_2
  readonly tls: TlsFacts | undefined
  readonly method: 'scram-sha-256' | 'scram-sha-256-plus' | 'password' | 'certificate'
  /** Which secret fitted; undefined: none, and the login is refused. */
  readonly secret: string | undefined
  /** Tells the client that it is authenticated. Sent only once all else has succeeded; empty without a secret. */
  readonly success: Uint8Array
}

type Accepting<T> = Conversation<T, AcceptQuestion>

/** A client's fault is told to it before it is thrown. */
export function* accept(options: AcceptOptions): Accepting<Login | CancelRequest> {
  try {
    return yield* converse(options)
  } catch (problem) {
    if (problem instanceof ProtocolError && !(problem instanceof OutsideTls)) {
      yield* send(refuseProtocol(problem.message))
    }
    throw problem
  }
}

/** The one fault that has a text of its own, which is sent before this is thrown. */
class OutsideTls extends ProtocolError {}

function* converse(options: AcceptOptions): Accepting<Login | CancelRequest> {
  if (options.tls !== undefined && options.tls.protocol !== ALPN) {
    throw new ProtocolError(`direct TLS without the ALPN protocol ${ALPN}`)
  }
  const { packet, tls } = yield* begin(options)
  if (packet.type === 'cancel') return packet
  const version = yield* negotiate(packet)
  if (tls === undefined && (options.tlsPolicy === 'require' || options.method === 'password')) {
    yield* send(TLS_REQUIRED)
    throw new OutsideTls('a login outside TLS')
  }
  const user = packet.parameters.get('user') ?? ''
  if (user === '') throw new ProtocolError('no PostgreSQL user name specified in startup packet')
  const database = packet.parameters.get('database')
  const proof = (yield* showCertificate(user, tls)) ?? (yield* proveBySecret(user, tls, options))
  return {
    type: 'login',
    user,
    database: database === user || database === '' ? undefined : database,
    parameters: packet.parameters,
    replication: replicationOf(packet.parameters),
    version,
    tls,
    ...proof,
  }
}

const TLS_REQUIRED = encodeError('FATAL', '28000', {
  M: 'this gateway accepts logins inside TLS only',
  D: 'The connection is not encrypted.',
  H: 'Connect with sslmode=verify-full.',
})

interface Begun {
  readonly packet: StartupMessage | CancelRequest
  readonly tls: TlsFacts | undefined
}

/** Up to the first packet that is neither of the two requests for encryption; each may come once. */
function* begin(options: AcceptOptions): Conversation<Begun> {
  let tls = options.tls
  const asked = new Set<string>()
  while (true) {
    const packet = yield* readStartupPacket()
    if (packet.type === 'startup' || packet.type === 'cancel') return { packet, tls }
    if (tls !== undefined || asked.has(packet.type))
      throw new ProtocolError(`unexpected ${packet.type} request`)
    asked.add(packet.type)
    if (packet.type === 'ssl' && options.tlsPolicy !== 'off') {
      tls = yield* startTls(encodeText('S'), [ALPN])
      if (tls.protocol !== undefined && tls.protocol !== ALPN)
        throw new ProtocolError('unknown ALPN protocol')
    } else {
      yield { type: 'send', bytes: encodeText('N'), quiet: true } satisfies Want
    }
  }
}

/** 3.0 and 3.2 are spoken. Exactly one NegotiateProtocolVersion, and only where something is not as asked. */
function* negotiate(packet: StartupMessage): Conversation<Login['version']> {
  const [major, minor] = [packet.version >>> 16, packet.version & 0xffff]
  if (major !== 3) throw new ProtocolError(`unsupported frontend protocol ${major}.${minor}`)
  const unknown = [...packet.parameters.keys()].filter((name) => name.startsWith('_pq_.'))
  const version = minor >= 2 ? PROTOCOL_3_2 : PROTOCOL_3_0
  if (minor > 2 || unknown.length > 0) yield* send(encodeNegotiate(version, unknown))
  return version
}

type Proof = Pick<Login, 'method' | 'secret' | 'success'>

/** A client certificate that is this user's is proof enough; any other counts for nothing. */
function* showCertificate(user: string, tls: TlsFacts | undefined): Accepting<Proof | undefined> {
  const certificate = tls?.peerCertificate
  if (certificate === undefined) return undefined
  const answer = yield { type: 'ask', question: { type: 'certificate', user, certificate } }
  if (answer !== true) return undefined
  return { method: 'certificate', secret: 'certificate', success: encodeAuthentication(0) }
}

function proveBySecret(user: string, tls: TlsFacts | undefined, options: AcceptOptions): Accepting<Proof> {
  return options.method === 'scram' ? proveByScram(user, tls, options) : takePassword(user)
}

function* takePassword(user: string): Accepting<Proof> {
  yield* send(encodeAuthentication(3))
  const r = new Reader(yield* authenticationMessage())
  const password = r.cbytes()
  r.end()
  const answer = yield { type: 'ask', question: { type: 'password', user, password } }
  const secret = typeof answer === 'string' ? answer : undefined
  return { method: 'password', secret, success: secret === undefined ? NOTHING : encodeAuthentication(0) }
}

function* authenticationMessage(): Conversation<Uint8Array> {
  const { tag, body } = yield* readMessage(AUTH_MESSAGE_MAX)
  if (tag !== 'p') throw new ProtocolError(`expected an authentication message, got ${JSON.stringify(tag)}`)
  return body
}

function* proveByScram(user: string, tls: TlsFacts | undefined, options: AcceptOptions): Accepting<Proof> {
  const endpoint = tls?.ownCertificate === undefined ? undefined : endpointHash(tls.ownCertificate)
  yield* send(encodeMechanisms(endpoint === undefined ? [scram.SCRAM] : [scram.SCRAM_PLUS, scram.SCRAM]))

  const { mechanism, first } = clientFirst(yield* authenticationMessage(), endpoint !== undefined)
  const answer = yield { type: 'ask', question: { type: 'verifiers', user } }
  const found = (answer as scram.Verifiers | undefined) ?? mockVerifiers(user, options.mock)
  const nonce = first.nonce + options.nonce
  const serverFirst = scram.encodeServerFirst(nonce, found.salt, found.iterations)
  yield* send(encodeAuthentication(11, encodeText(serverFirst)))

  const final = scram.decodeClientFinal(yield* authenticationMessage())
  const binding = scram.channelBinding(first.gs2Header, mechanism === scram.SCRAM_PLUS ? endpoint : undefined)
  if (!sameBytes(final.channelBinding, binding))
    throw new ProtocolError('SCRAM: channel binding check failed')
  if (final.nonce !== nonce) throw new ProtocolError('SCRAM: another nonce than before')
  const transcript = scram.authMessage(first.bare, serverFirst, final.withoutProof)
  const match = scram.matchProof(found, transcript, final.proof)
  return {
    method: mechanism === scram.SCRAM ? 'scram-sha-256' : 'scram-sha-256-plus',
    secret: match?.id,
    success:
      match === undefined
        ? NOTHING
        : concat([
            encodeAuthentication(12, scram.encodeServerFinal(match.serverKey, transcript)),
            encodeAuthentication(0),
          ]),
  }
}

function mockVerifiers(user: string, mock: AcceptOptions['mock']): scram.Verifiers {
  return { salt: scram.mockSalt(mock.secret, user), iterations: mock.iterations, verifiers: [] }
}

interface ClientChoice {
  readonly mechanism: typeof scram.SCRAM | typeof scram.SCRAM_PLUS
  readonly first: scram.ClientFirst
}

/** SASLInitialResponse. Somebody who strips PLUS from our offer is found out by the client's `y`. */
function clientFirst(body: Uint8Array, plusOffered: boolean): ClientChoice {
  const r = new Reader(body)
  const mechanism = decodeText(r.cbytes())
  const length = r.int32()
  if (length !== r.left) throw new ProtocolError(`SASL: ${length} bytes announced, ${r.left} there`)
  const first = scram.decodeClientFirst(r.rest())
  if (mechanism !== scram.SCRAM && (mechanism !== scram.SCRAM_PLUS || !plusOffered)) {
    throw new ProtocolError('SASL: a mechanism that was not offered')
  }
  if ((mechanism === scram.SCRAM_PLUS) !== (first.binding === 'endpoint')) {
    throw new ProtocolError('SCRAM: mechanism and channel binding contradict each other')
  }
  if (first.binding === 'unoffered' && plusOffered) {
    throw new ProtocolError('SCRAM: channel binding was offered, the client says it was not')
  }
  return { mechanism, first }
}

const NOTHING = new Uint8Array(0)
