/**
 * SCRAM-SHA-256 (RFC 5802, 7677) as PostgreSQL speaks it: the user name in the exchange is ignored, no
 * extensions. Both roles; the caller carries the messages and draws the nonces.
 */
import { createHmac, hash, pbkdf2Sync } from 'node:crypto'
import { concat, decodeText, encodeText, ProtocolError, sameBytes } from '../bytes.ts'

export const SCRAM = 'SCRAM-SHA-256'
export const SCRAM_PLUS = 'SCRAM-SHA-256-PLUS'

/** Of one person all secrets are salted alike, so that several can be tried against one proof. */
export const VERIFIERS_MAX = 16

/** PostgreSQL sends 24 characters; beyond a kilobyte somebody is up to something. */
const NONCE_CHARS_MAX = 1024
const SALT_BYTES_MAX = 1024
const ITERATIONS_MIN = 4096
const ITERATIONS_MAX = 100_000
const KEY_BYTES = 32

export interface Verifier {
  /** What the caller knows it by, told back when it matches. */
  readonly id: string
  readonly storedKey: Uint8Array
  readonly serverKey: Uint8Array
}

export interface Verifiers {
  readonly salt: Uint8Array
  readonly iterations: number
  readonly verifiers: readonly Verifier[]
}

export interface ClientFirst {
  /** `n,,`, `y,,` or `p=tls-server-end-point,,`: comes again, with the binding's data, in the client's last message. */
  readonly gs2Header: string
  readonly binding: 'none' | 'unoffered' | 'endpoint'
  readonly bare: string
  readonly nonce: string
}

export interface ClientFinal {
  readonly channelBinding: Uint8Array
  readonly nonce: string
  readonly proof: Uint8Array
  readonly withoutProof: string
}

/** Printable ASCII without a comma, RFC 5802's `printable`. */
const NONCE = /^[!-+\--~]{1,1024}$/

function nonceOf(text: string): string {
  if (!NONCE.test(text)) throw new ProtocolError('SCRAM: malformed nonce')
  return text
}

export function decodeClientFirst(data: Uint8Array): ClientFirst {
  const text = decodeText(data)
  const found = /^(n|y|p=([^,]*)),([^,]*),(n=([^,]*),r=([^,]*)(,.*)?)$/s.exec(text)
  const [, flag = '', channel, authzid, bare = '', , nonce = '', extensions] = found ?? []
  if (found === null || authzid !== '' || extensions !== undefined) {
    throw new ProtocolError('SCRAM: malformed first message of the client')
  }
  if (channel !== undefined && channel !== 'tls-server-end-point') {
    throw new ProtocolError('SCRAM: unsupported channel binding')
  }
  const binding = channel !== undefined ? 'endpoint' : flag === 'y' ? 'unoffered' : 'none'
  return { gs2Header: `${flag},,`, binding, bare, nonce: nonceOf(nonce) }
}

export function decodeClientFinal(data: Uint8Array): ClientFinal {
  const text = decodeText(data)
  const found = /^(c=([^,]*),r=([^,]*)),p=([^,]*)$/.exec(text)
  if (found === null) throw new ProtocolError('SCRAM: malformed last message of the client')
  const [, withoutProof = '', binding = '', nonce = '', proof = ''] = found
  return {
    channelBinding: fromBase64(binding),
    nonce: nonceOf(nonce),
    proof: key(fromBase64(proof)),
    withoutProof,
  }
}

/** Strict: what does not encode back to itself is refused, so that one message has one reading. */
function fromBase64(text: string): Uint8Array {
  let binary: string
  try {
    binary = atob(text)
  } catch (cause) {
    throw new ProtocolError('SCRAM: malformed base64', { cause })
  }
  if (btoa(binary) !== text) throw new ProtocolError('SCRAM: malformed base64')
  return Uint8Array.from(binary, (character) => character.charCodeAt(0))
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
}

function key(bytes: Uint8Array): Uint8Array {
  if (bytes.length !== KEY_BYTES) throw new ProtocolError(`SCRAM: a proof of ${bytes.length} bytes`)
  return bytes
}

export function encodeServerFirst(nonce: string, salt: Uint8Array, iterations: number): string {
  return `r=${nonce},s=${toBase64(salt)},i=${iterations}`
}

/**
 * Tries every verifier, and always as many: how long it takes tells neither how many a person has nor whether
 * there is such a person.
 */
export function matchProof(found: Verifiers, authMessage: string, proof: Uint8Array): Verifier | undefined {
  let match: Verifier | undefined
  for (let i = 0; i < VERIFIERS_MAX; i++) {
    const verifier = found.verifiers[i]
    const storedKey = verifier?.storedKey ?? NO_KEY
    const clientKey = xor(proof, hmac(storedKey, authMessage))
    if (sameBytes(sha256(clientKey), storedKey) && verifier !== undefined) match ??= verifier
  }
  return match
}

const NO_KEY = new Uint8Array(KEY_BYTES)

export function encodeServerFinal(serverKey: Uint8Array, authMessage: string): Uint8Array {
  return encodeText(`v=${toBase64(hmac(serverKey, authMessage))}`)
}

/** A salt for users that do not exist: the same at each attempt, and not to be told from a real one. */
export function mockSalt(secret: Uint8Array, user: string): Uint8Array {
  return hmac(secret, `gatebook/scram-salt/v1\0${user}`).subarray(0, 16)
}

// The client's role, towards targets.

export interface ServerFirst {
  readonly nonce: string
  readonly salt: Uint8Array
  readonly iterations: number
}

/** The target may be anybody, so what it may make us compute is bounded on both sides. */
export function decodeServerFirst(data: Uint8Array, ownNonce: string): ServerFirst {
  const found = /^r=([^,]*),s=([^,]*),i=([1-9][0-9]{0,9})$/.exec(decodeText(data))
  if (found === null) throw new ProtocolError('SCRAM: malformed first message of the server')
  const [, nonce = '', salt = '', count = ''] = found
  if (nonce.length > NONCE_CHARS_MAX) throw new ProtocolError(`SCRAM: a nonce of ${nonce.length} characters`)
  if (!nonceOf(nonce).startsWith(ownNonce) || nonce.length === ownNonce.length) {
    throw new ProtocolError("SCRAM: the server's nonce does not continue ours")
  }
  const iterations = Number(count)
  if (iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX) {
    throw new ProtocolError(
      `SCRAM: ${iterations} iterations, allowed are ${ITERATIONS_MIN} to ${ITERATIONS_MAX}`,
    )
  }
  const salted = fromBase64(salt)
  if (salted.length === 0 || salted.length > SALT_BYTES_MAX) {
    throw new ProtocolError(`SCRAM: a salt of ${salted.length} bytes`)
  }
  return { nonce, salt: salted, iterations }
}

export interface Proof {
  readonly proof: Uint8Array
  /** What the server must show in its last message. */
  readonly serverSignature: Uint8Array
}

export function prove(saltedPassword: Uint8Array, authMessage: string): Proof {
  const clientKey = hmac(saltedPassword, 'Client Key')
  return {
    proof: xor(clientKey, hmac(sha256(clientKey), authMessage)),
    serverSignature: hmac(hmac(saltedPassword, 'Server Key'), authMessage),
  }
}

export function checkServerFinal(data: Uint8Array, serverSignature: Uint8Array): void {
  const found = /^v=([^,]*)$/.exec(decodeText(data))
  if (found === null || !sameBytes(fromBase64(found[1] ?? ''), serverSignature)) {
    throw new ProtocolError('SCRAM: the server does not know the password either')
  }
}

/** The slow step, some milliseconds: a gate does it off its thread, or remembers the result. */
export function saltPassword(password: string, salt: Uint8Array, iterations: number): Uint8Array {
  return pbkdf2Sync(saslPrep(password), salt, iterations, KEY_BYTES, 'sha256')
}

/** What is stored for a secret: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` in PostgreSQL's spelling. */
export function makeVerifier(id: string, saltedPassword: Uint8Array): Verifier {
  return {
    id,
    storedKey: sha256(hmac(saltedPassword, 'Client Key')),
    serverKey: hmac(saltedPassword, 'Server Key'),
  }
}

/**
 * SASLprep (RFC 4013) as far as it changes anything: spaces become a space, what is invisible goes, NFKC. A text
 * with prohibited characters is taken as it stands, as PostgreSQL does on both sides.
 */
export function saslPrep(password: string): string {
  const mapped = password.replace(SPACES, ' ').replace(INVISIBLE, '').normalize('NFKC')
  return mapped === '' || PROHIBITED.test(mapped) ? password : mapped
}

const SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g
// biome-ignore lint/suspicious/noMisleadingCharacterClass: single code points of RFC 3454's table B.1, nothing is joined
const INVISIBLE = /[\u00ad\u034f\u1806\u180b-\u180d\u200c\u200d\u2060\ufe00-\ufe0f\ufeff]/g
const PROHIBITED =
  /[\p{Cc}\p{Co}\p{Cs}\p{Cn}\u2028\u2029\u200e\u200f\u202a-\u202e\u206a-\u206f\ufff9-\ufffd]/u

export function authMessage(
  clientFirstBare: string,
  serverFirst: string,
  clientFinalWithoutProof: string,
): string {
  return `${clientFirstBare},${serverFirst},${clientFinalWithoutProof}`
}

/** The client's last message; `withoutProof` is what `authMessage` wants of it. */
export function encodeClientFinal(withoutProof: string, proof: Uint8Array): Uint8Array {
  return encodeText(`${withoutProof},p=${toBase64(proof)}`)
}

export function clientFinalWithoutProof(binding: Uint8Array, nonce: string): string {
  return `c=${toBase64(binding)},r=${nonce}`
}

export function channelBinding(gs2Header: string, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  return concat([encodeText(gs2Header), data])
}

function hmac(secret: Uint8Array, data: string): Uint8Array {
  return createHmac('sha256', secret).update(data).digest()
}

function sha256(data: Uint8Array): Uint8Array {
  return hash('sha256', data, 'buffer')
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] ?? 0))
}
