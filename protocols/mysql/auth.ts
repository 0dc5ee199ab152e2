/**
 * Proofs of a password, both roles: what a client answers to a scramble, and how an answer is checked against
 * a stored hash. The hashes are unsalted by the protocol's design, so they are sound for random secrets only.
 */
import { createHash, createPublicKey, publicEncrypt, constants as rsa } from 'node:crypto'
import { concat, encodeText, ProtocolError, sameBytes } from '../bytes.ts'

/** What is kept of one secret. A missing hash means that its method cannot succeed with it. */
export interface Verifier {
  readonly id: string
  /** SHA256(SHA256(secret)) */
  readonly sha256: Uint8Array | undefined
  /** SHA1(SHA1(secret)) */
  readonly sha1: Uint8Array | undefined
}

export function makeVerifier(id: string, secret: Uint8Array): Verifier {
  return { id, sha256: sha256(sha256(secret)), sha1: sha1(sha1(secret)) }
}

/** mysql_native_password: SHA1(password) XOR SHA1(scramble, SHA1(SHA1(password))); empty for an empty one. */
export function answerNative(password: Uint8Array, scramble: Uint8Array): Uint8Array {
  if (password.length === 0) return new Uint8Array(0)
  const once = sha1(password)
  return xor(once, sha1(scramble, sha1(once)))
}

export function provesNative(answer: Uint8Array, scramble: Uint8Array, stored: Uint8Array): boolean {
  if (answer.length !== stored.length) return false
  return sameBytes(sha1(xor(answer, sha1(scramble, stored))), stored)
}

/** caching_sha2_password, the short way: SHA256(password) XOR SHA256(SHA256(SHA256(password)), scramble). */
export function answerSha2(password: Uint8Array, scramble: Uint8Array): Uint8Array {
  if (password.length === 0) return new Uint8Array(0)
  const once = sha256(password)
  return xor(once, sha256(sha256(once), scramble))
}

export function provesSha2(answer: Uint8Array, scramble: Uint8Array, stored: Uint8Array): boolean {
  if (answer.length !== stored.length) return false
  return sameBytes(sha256(xor(answer, sha256(stored, scramble))), stored)
}

/**
 * The password for a server's RSA key, as caching_sha2_password and sha256_password send it outside TLS:
 * NUL-ended, XOR the scramble, RSA-OAEP with SHA-1. The key must be pinned: one that the server shows proves
 * nothing. The padding is made here because its randomness is an argument.
 */
export function encryptPassword(
  password: Uint8Array,
  scramble: Uint8Array,
  publicKey: string,
  random: (length: number) => Uint8Array,
): Uint8Array {
  const clear = clearPassword(password)
  const hidden = clear.map((byte, i) => byte ^ (scramble[i % scramble.length] ?? 0))
  const key = createPublicKey(publicKey)
  const modulusBytes = (key.asymmetricKeyDetails?.modulusLength ?? 0) / 8
  const padded = padOaep(hidden, modulusBytes, random(20))
  return new Uint8Array(publicEncrypt({ key, padding: rsa.RSA_NO_PADDING }, padded))
}

/** EME-OAEP of RFC 8017, section 7.1.1, with SHA-1 and an empty label. */
function padOaep(message: Uint8Array, length: number, seed: Uint8Array): Uint8Array {
  const zeros = length - message.length - 2 * seed.length - 2
  if (zeros < 0) throw new ProtocolError(`a password of ${message.length} bytes for a key of ${length}`)
  const block = concat([sha1(), new Uint8Array(zeros), Uint8Array.of(1), message])
  const maskedBlock = xor(block, mask(seed, block.length))
  const maskedSeed = xor(seed, mask(maskedBlock, seed.length))
  return concat([Uint8Array.of(0), maskedSeed, maskedBlock])
}

/** MGF1 with SHA-1. */
function mask(seed: Uint8Array, length: number): Uint8Array {
  const parts: Uint8Array[] = []
  for (let i = 0; i * 20 < length; i++) parts.push(sha1(seed, Uint8Array.of(i >>> 24, i >>> 16, i >>> 8, i)))
  return concat(parts).subarray(0, length)
}

/** A password as it stands in a packet that carries it in clear. */
export function clearPassword(password: Uint8Array): Uint8Array {
  return concat([password, new Uint8Array(1)])
}

/**
 * What a MariaDB server of 11.4 and later puts into the OK that ends a login inside TLS, so that a client
 * without a trusted certificate can tell that the other side knows the password and shows this certificate:
 * 0x01 and, in upper-case hex, SHA256(stored hash, scramble, SHA256 of the certificate's DER).
 */
export function signCertificate(
  stored: Uint8Array,
  scramble: Uint8Array,
  certificate: Uint8Array,
): Uint8Array {
  const digest = sha256(stored, scramble, sha256(certificate))
  const hex = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return concat([Uint8Array.of(1), encodeText(hex.toUpperCase())])
}

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

function sha1(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha1')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] ?? 0))
}
