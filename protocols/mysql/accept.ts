/**
 * The conversation with a client, until it has shown who it is and where it wants to go. It ends before the
 * client is told of success: what it shows must first be judged, recorded, and the target reached.
 *
 * The server speaks first, so version and flags are told before anything is known of the person. What happens
 * then depends on the listener and on the client's own choices, never on the user named.
 */
import { ProtocolError, Reader } from '../bytes.ts'
import { type Conversation, startEarlyTls, type TlsFacts } from '../conversation.ts'
import { signCertificate, type Verifier } from './auth.ts'
import {
  type Capabilities,
  capabilities,
  has,
  isMariaDb,
  offerable,
  UNREADABLE_FLAGS,
} from './capabilities.ts'
import {
  type Attribute,
  decodeResponse,
  decodeResponseHead,
  encodeGreeting,
  type Greeting,
  type HandshakeResponse,
  type Hello,
  isSslRequest,
  RESPONSE_BYTES_MAX,
  SCRAMBLE_BYTES,
} from './handshake.ts'
import { Wire } from './packets.ts'
import { isClear, type Method, type Proof, prove, type Question } from './prove.ts'
import { encodeError } from './results.ts'

export interface AcceptOptions {
  /** The target's, as kept from the last login there, or the one configured for a shared listener. */
  readonly greeting: Greeting
  /** Ours, from 1 to 2^31 - 1: above, Connector/J asks to kill a negative one. */
  readonly threadId: number
  /** 20 random bytes, none of them NUL. */
  readonly scramble: Uint8Array
  /** `off`: there is no certificate to offer. */
  readonly tlsPolicy: 'require' | 'allow' | 'off'
  /** What this listener takes; a client that announces another is asked to switch to the first. */
  readonly methods: readonly Method[]
  /** Whether LOAD DATA LOCAL is allowed; otherwise clients are told that there is no such thing. */
  readonly localFiles: boolean
}

/** Who came, before anything is promised. */
export interface Login {
  readonly type: 'login'
  /** As typed, with its `~target`. */
  readonly user: string
  readonly database: string | undefined
  /** What both sides agreed on and the target must honour. */
  readonly capabilities: Capabilities
  readonly charset: number
  /** Claims: for the record only. */
  readonly attributes: readonly Attribute[]
  readonly tls: TlsFacts | undefined
  readonly method: Method
  /** Which secret fitted; undefined: none, and the login is refused. */
  readonly secret: string | undefined
  /** What COM_CHANGE_USER must show again. Lives in memory with the connection, and nowhere else. */
  readonly proven: Verifier | undefined
  readonly threadId: number
  /** Where the client's count of packets stands: the packet that ends the login carries it. */
  readonly sequence: number
  /** What the OK that ends the login says beside it, to vouch for our certificate; empty where it cannot. */
  readonly signature: Uint8Array
}

type Accepting<T> = Conversation<T, Question>

/** A client's fault is told to it before it is thrown. */
export function* accept(options: AcceptOptions): Accepting<Login> {
  const wire = new Wire(0)
  try {
    return yield* converse(wire, options)
  } catch (problem) {
    if (problem instanceof ProtocolError) yield* wire.send(encodeError(1043, '08S01', problem.message))
    throw problem
  }
}

function* converse(wire: Wire, options: AcceptOptions): Accepting<Login> {
  const hello = helloOf(options)
  const offered = hello.greeting.capabilities
  yield* wire.send(encodeGreeting(hello))
  const { payload, tls } = yield* secured(wire, options.tlsPolicy, offered)
  const response = decodeResponse(payload, offered)
  if (has(response.capabilities, UNREADABLE_FLAGS)) throw new ProtocolError('compression was not offered')
  const methods = options.methods.filter((method) => tls !== undefined || !isClear(method))
  if (methods.length === 0 || (tls === undefined && options.tlsPolicy === 'require')) {
    throw new ProtocolError('this gateway accepts logins inside TLS only')
  }
  const proof = yield* prove(wire, {
    methods,
    user: response.user,
    announced: response.plugin,
    response: response.response,
    scramble: options.scramble,
    secure: tls !== undefined,
  })
  return loginOf(options, offered, response, proof, tls, wire.sequence)
}

function helloOf({ greeting, scramble, threadId, methods, tlsPolicy, localFiles }: AcceptOptions): Hello {
  if (scramble.length !== SCRAMBLE_BYTES || scramble.includes(0)) throw new Error('not a scramble')
  if (threadId < 1 || threadId >= 2 ** 31) throw new Error(`thread id ${threadId}`)
  // The method named here is the one most clients answer at once.
  const plugin = methods[0] ?? 'caching_sha2_password'
  const offered = offerable(greeting.capabilities, { tls: tlsPolicy !== 'off', localFiles })
  return { greeting: { ...greeting, capabilities: offered, plugin }, threadId, scramble }
}

/** Reads the HandshakeResponse, through TLS where the client asks for it first. */
function* secured(
  wire: Wire,
  policy: AcceptOptions['tlsPolicy'],
  offered: Capabilities,
): Conversation<{ payload: Uint8Array; tls: TlsFacts | undefined }> {
  const first = yield* wire.read(RESPONSE_BYTES_MAX)
  if (!isSslRequest(first)) return { payload: first, tls: undefined }
  if (policy === 'off') throw new ProtocolError('TLS was not offered')
  // Clients do not wait for an answer: what came behind the request is their ClientHello or nothing we read.
  const tls = yield* startEarlyTls()
  const payload = yield* wire.read(RESPONSE_BYTES_MAX)
  const before = decodeResponseHead(new Reader(first), offered).capabilities
  const after = decodeResponseHead(new Reader(payload), offered).capabilities
  if (before.flags !== after.flags || before.extended !== after.extended) {
    throw new ProtocolError('the flags inside TLS differ from those before it')
  }
  return { payload, tls }
}

function loginOf(
  options: AcceptOptions,
  offered: Capabilities,
  response: HandshakeResponse,
  { method, verifier }: Proof,
  tls: TlsFacts | undefined,
  sequence: number,
): Login {
  const { flags, extended } = response.capabilities
  const agreed = capabilities(flags & offered.flags, extended & offered.extended)
  return {
    type: 'login',
    user: response.user,
    database: response.database,
    capabilities: agreed,
    charset: response.charset,
    attributes: response.attributes,
    tls,
    method,
    secret: verifier?.id,
    proven: verifier,
    threadId: options.threadId,
    sequence,
    signature: signatureOf(method, verifier, agreed, options.scramble, tls),
  }
}

/**
 * Only a MariaDB client leaves CLIENT_MYSQL unset, and only such a one can check this. Of our methods only the
 * native one has a stored hash that both sides know. What is expected is taken from MariaDB Connector/C; no
 * client of 11.4 or later was at hand to try it on.
 */
function signatureOf(
  method: Method,
  verifier: Verifier | undefined,
  agreed: Capabilities,
  scramble: Uint8Array,
  tls: TlsFacts | undefined,
): Uint8Array {
  const certificate = tls?.ownCertificate
  const stored = verifier?.sha1
  const possible = method === 'mysql_native_password' && isMariaDb(agreed)
  if (!possible || certificate === undefined || stored === undefined) return new Uint8Array(0)
  return signCertificate(stored, scramble, certificate)
}
