/**
 * Proving a password to a target, at the login and again at COM_CHANGE_USER: the plugins we can answer, what
 * each may be told and where, and the packets until the target says OK or ERR.
 */
import { decodeLossy, duplicate, encodeText, ProtocolError, Reader, Writer } from '../bytes.ts'
import type { Conversation } from '../conversation.ts'
import { answerNative, answerSha2, clearPassword, encryptPassword } from './auth.ts'
import { type Capabilities, FLAG, has } from './capabilities.ts'
import { signEd25519 } from './ed25519.ts'
import {
  type Attribute,
  decodeAuthSwitch,
  encodeAttributes,
  type Hello,
  SCRAMBLE_BYTES,
} from './handshake.ts'
import type { Wire } from './packets.ts'
import { decodeError, decodeOk, type Ok, OUTCOME_BYTES_MAX } from './results.ts'

/** More packets than any honest authentication takes. */
const ROUNDS_MAX = 8
const ED25519_SCRAMBLE_BYTES = 32
const COM_CHANGE_USER = 0x11

/** What the gateway itself uses at a target. */
export interface Credential {
  readonly user: string
  readonly password: string
  /** PEM of the target's RSA key, pinned: lets the password pass encrypted where there is no TLS. */
  readonly rsaKey?: string
  /** Whether the target may have the password in clear, inside TLS, because it checks it elsewhere (PAM, LDAP). */
  readonly clear?: boolean
}

/** What a target asked last, and by which plugin. */
export interface Challenge {
  readonly plugin: string
  readonly scramble: Uint8Array
}

export interface Link {
  readonly credential: Credential
  /** Inside TLS, with a certificate that the runner accepted. */
  readonly secure: boolean
  readonly random: (length: number) => Uint8Array
}

/** Ends a conversation with a target from within; never leaves `connect` and `changeUser`. */
export class Failed extends Error {
  readonly why: 'refused' | 'no-tls' | 'insecure' | 'unsupported' | 'lacking'
  readonly code: number | undefined

  constructor(why: Failed['why'], message: string, code?: number) {
    super(message)
    this.why = why
    this.code = code
  }
}

/** The answer that goes with the first packet: to the greeting's scramble, by its plugin or the oldest one. */
export function answerGreeting({ password }: Credential, hello: Hello): Challenge & { response: Uint8Array } {
  const bytes = encodeText(password)
  const { scramble } = hello
  if (hello.greeting.plugin === 'caching_sha2_password') {
    return { plugin: 'caching_sha2_password', scramble, response: answerSha2(bytes, scramble) }
  }
  return { plugin: 'mysql_native_password', scramble, response: answerNative(bytes, scramble) }
}

/** From behind the first answer until the target's OK. */
export function* logIn(
  wire: Wire,
  asked: Challenge,
  agreed: Capabilities,
  link: Link,
): Conversation<{ ok: Ok; challenge: Challenge }> {
  let challenge = asked
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const payload = yield* wire.read(OUTCOME_BYTES_MAX)
    const r = new Reader(payload)
    switch (r.uint8()) {
      case 0x00:
        return { ok: decodeOk(payload, agreed), challenge }
      case 0xff:
        throw refused(payload)
      case 0xfe: {
        const { plugin, data } = decodeAuthSwitch(r)
        // The scramble is kept beyond the packet.
        challenge = { plugin, scramble: duplicate(data) }
        yield* wire.send(answer(challenge, link))
        break
      }
      case 0x01: {
        const more = answerMore(challenge, r.rest(), link)
        if (more !== undefined) yield* wire.send(more)
        break
      }
      default:
        throw new ProtocolError(`an authentication packet that begins with 0x${payload[0]?.toString(16)}`)
    }
  }
  throw new ProtocolError(`the target has not decided after ${ROUNDS_MAX} packets`)
}

function refused(payload: Uint8Array): Failed {
  const { code, message } = decodeError(payload)
  return new Failed('refused', decodeLossy(message), code)
}

function answer({ plugin, scramble }: Challenge, link: Link): Uint8Array {
  const password = encodeText(link.credential.password)
  switch (plugin) {
    case 'mysql_native_password':
      return answerNative(password, ofLength(scramble, SCRAMBLE_BYTES))
    case 'caching_sha2_password':
      return answerSha2(password, ofLength(scramble, SCRAMBLE_BYTES))
    case 'sha256_password':
      return protectedPassword(password, scramble, link)
    case 'client_ed25519':
      return signEd25519(password, ofLength(scramble, ED25519_SCRAMBLE_BYTES))
    case 'mysql_clear_password':
      if (!link.secure || link.credential.clear !== true) {
        throw new Failed('insecure', 'the target wants the password in clear, which is not allowed here')
      }
      return clearPassword(password)
    default:
      throw new Failed('unsupported', `the target wants authentication by ${JSON.stringify(plugin)}`)
  }
}

/** A short scramble would let a hostile target choose what we hash, and compare the answers of many. */
function ofLength(scramble: Uint8Array, length: number): Uint8Array {
  if (scramble.length === length) return scramble
  throw new ProtocolError(`a scramble of ${scramble.length} bytes`)
}

function answerMore({ plugin, scramble }: Challenge, data: Uint8Array, link: Link): Uint8Array | undefined {
  if (plugin !== 'caching_sha2_password' || data.length !== 1) {
    throw new ProtocolError(`the target asks on, in ${JSON.stringify(plugin)}, for nothing that is known`)
  }
  switch (data[0]) {
    case 3:
      return undefined
    case 4:
      return protectedPassword(encodeText(link.credential.password), scramble, link)
    default:
      throw new ProtocolError(`caching_sha2_password goes on with ${data[0]}`)
  }
}

/** The password itself: inside TLS as it is, else under the pinned key, else not at all. */
function protectedPassword(password: Uint8Array, scramble: Uint8Array, link: Link): Uint8Array {
  if (password.length === 0) return new Uint8Array(1)
  if (link.secure) return clearPassword(password)
  const { rsaKey } = link.credential
  if (rsaKey === undefined) {
    throw new Failed('insecure', 'the target wants the password itself, outside TLS and without a pinned key')
  }
  return encryptPassword(password, ofLength(scramble, SCRAMBLE_BYTES), rsaKey, link.random)
}

export interface ChangeUser {
  readonly database: string | undefined
  readonly charset: number
  readonly attributes: readonly Attribute[]
}

/** COM_CHANGE_USER to the account that is logged in already: its session begins anew. */
export function* changeUser(
  wire: Wire,
  change: ChangeUser,
  asked: Challenge,
  agreed: Capabilities,
  link: Link,
): Conversation<{ ok: Ok; challenge: Challenge } | Failed> {
  const { user, password } = link.credential
  const scrambled = asked.plugin === 'caching_sha2_password' ? answerSha2 : answerNative
  const plugin = asked.plugin === 'caching_sha2_password' ? asked.plugin : 'mysql_native_password'
  // Targets answer with a scramble of their own; this one only opens the exchange.
  const known = asked.scramble.length === SCRAMBLE_BYTES
  const response = known ? scrambled(encodeText(password), asked.scramble) : new Uint8Array(0)
  const w = new Writer().uint8(COM_CHANGE_USER).cstring(user).uint8(response.length).bytes(response)
  w.cstring(change.database ?? '').uint16LE(change.charset)
  if (has(agreed, FLAG.PLUGIN_AUTH)) w.cstring(plugin)
  if (has(agreed, FLAG.CONNECT_ATTRS)) encodeAttributes(w, change.attributes)
  try {
    yield* wire.send(w.done())
    return yield* logIn(wire, { plugin, scramble: asked.scramble }, agreed, link)
  } catch (problem) {
    if (problem instanceof Failed) return problem
    throw problem
  }
}
