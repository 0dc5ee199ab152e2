/**
 * The server's side of authentication, at a login and again at COM_CHANGE_USER: which method, which packets,
 * and which stored secret the client's answer fits. Who may be asked is settled by the listener; what is asked
 * of the world outside is the list of a user's verifiers, or whether a password in clear is right.
 */
import { ProtocolError } from '../bytes.ts'
import type { Conversation } from '../conversation.ts'
import { makeVerifier, provesNative, provesSha2, type Verifier } from './auth.ts'
import { AUTH_BYTES_MAX, encodeAuthMore, encodeAuthSwitch } from './handshake.ts'
import type { Wire } from './packets.ts'

export type Method = 'caching_sha2_password' | 'mysql_native_password' | 'mysql_clear_password' | 'dialog'

/** How many secrets one person may have; more are not looked at. */
export const VERIFIERS_MAX = 16

/** `verifiers` is answered with a list, empty for an unknown user; `password` with an id, or undefined. */
export type Question =
  | { readonly type: 'verifiers'; readonly user: string }
  | { readonly type: 'password'; readonly user: string; readonly password: Uint8Array }

export interface ProveOptions {
  readonly methods: readonly Method[]
  readonly user: string
  /** The plugin that the client says its response is for; undefined where it says nothing. */
  readonly announced: string | undefined
  readonly response: Uint8Array
  readonly scramble: Uint8Array
  readonly secure: boolean
}

export interface Proof {
  readonly method: Method
  readonly verifier: Verifier | undefined
}

const FAST_OK = Uint8Array.of(3)
const FULL = Uint8Array.of(4)
/** The last question of a dialog, and a password: not echoed, answered from the command line where given there. */
const DIALOG_PROMPT = new Uint8Array([5, ...new TextEncoder().encode('Password: '), 0])

export function* prove(wire: Wire, options: ProveOptions): Conversation<Proof, Question> {
  const [first] = options.methods
  if (first === undefined) throw new Error('a listener without methods')
  const announced = options.methods.find((method) => method === options.announced)
  const method = announced ?? first
  const ready = announced !== undefined && answersAtOnce(announced, options.response)
  const response = ready ? options.response : yield* switchTo(wire, method, options.scramble)
  switch (method) {
    case 'mysql_native_password':
      return { method, verifier: yield* fitting(options, response, 'sha1') }
    case 'caching_sha2_password':
      return { method, verifier: yield* sha2(wire, options, response) }
    case 'mysql_clear_password':
    case 'dialog':
      return { method, verifier: yield* checkPassword(options.user, response) }
  }
}

export function isClear(method: Method): boolean {
  return method === 'mysql_clear_password' || method === 'dialog'
}

/**
 * Whether a first response can be an answer to our scramble. Clients send an empty one where they expect to be
 * asked again; whoever really has no password then answers the switch with nothing as well.
 */
function answersAtOnce(method: Method, response: Uint8Array): boolean {
  if (method === 'mysql_native_password') return response.length === 20
  if (method === 'caching_sha2_password') return response.length === 32
  return false
}

function* switchTo(wire: Wire, plugin: Method, scramble: Uint8Array): Conversation<Uint8Array> {
  const challenge = new Uint8Array([...scramble, 0])
  const data =
    plugin === 'dialog' ? DIALOG_PROMPT : plugin === 'mysql_clear_password' ? new Uint8Array(0) : challenge
  yield* wire.send(encodeAuthSwitch({ plugin, data }))
  return yield* wire.read(AUTH_BYTES_MAX)
}

function* sha2(
  wire: Wire,
  options: ProveOptions,
  response: Uint8Array,
): Conversation<Verifier | undefined, Question> {
  const verifier = yield* fitting(options, response, 'sha256')
  if (verifier !== undefined) {
    yield* wire.send(encodeAuthMore(FAST_OK))
    return verifier
  }
  // Outside TLS the client would ask for an RSA key and send the password under it; we have none to show.
  if (!options.secure || response.length === 0) return undefined
  yield* wire.send(encodeAuthMore(FULL))
  return yield* checkPassword(options.user, yield* wire.read(AUTH_BYTES_MAX))
}

/** All of a user's secrets are tried, whichever fits first, so that the time tells only how many there are. */
function* fitting(
  { user, scramble }: ProveOptions,
  response: Uint8Array,
  hash: 'sha1' | 'sha256',
): Conversation<Verifier | undefined, Question> {
  const answer = yield { type: 'ask', question: { type: 'verifiers', user } }
  const known = answer as readonly Verifier[]
  const proves = hash === 'sha1' ? provesNative : provesSha2
  let fit: Verifier | undefined
  for (const verifier of known.slice(0, VERIFIERS_MAX)) {
    const stored = verifier[hash]
    if (stored !== undefined && proves(response, scramble, stored)) fit ??= verifier
  }
  return fit
}

/** `response` is the password with its NUL, which some clients leave out. */
function* checkPassword(user: string, response: Uint8Array): Conversation<Verifier | undefined, Question> {
  const password = response.at(-1) === 0 ? response.subarray(0, -1) : response
  if (password.includes(0)) throw new ProtocolError('a password with a NUL inside')
  const id = yield { type: 'ask', question: { type: 'password', user, password } }
  return typeof id === 'string' ? makeVerifier(id, password) : undefined
}
