/**
 * Host keys, the half that signs: PEM of node:crypto's kinds, or OpenSSH's own private key file without a
 * passphrase (OpenSSH's PROTOCOL.key), since that is what ssh-keygen writes.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { decodeText, ProtocolError, Reader } from '../bytes.ts'
import { algorithmsOf, base64url, decodeBase64, parsePublicKey } from './keys.ts'
import { decodeForm, encodeForm, fixed, mpint, string, text, uint32 } from './wire.ts'

export interface HostKey {
  readonly algorithms: readonly string[]
  /** The public key as the client sees and pins it. */
  readonly blob: Uint8Array
  /** A signature blob over `data`: algorithm and signature. */
  sign(algorithm: string, data: Uint8Array): Uint8Array
}

export function hostKey(privateKey: KeyObject): HostKey {
  const blob = publicBlob(createPublicKey(privateKey))
  const { type } = parsePublicKey(blob)
  return {
    algorithms: algorithmsOf(type),
    blob,
    sign: (algorithm, data) =>
      encodeForm(
        { algorithm: text, signature: string },
        { algorithm, signature: rawSignature(privateKey, algorithm, data) },
      ),
  }
}

const HASHES = new Map([
  ['rsa-sha2-256', 'sha256'],
  ['rsa-sha2-512', 'sha512'],
  ['ecdsa-sha2-nistp256', 'sha256'],
  ['ecdsa-sha2-nistp384', 'sha384'],
  ['ecdsa-sha2-nistp521', 'sha512'],
])

function rawSignature(key: KeyObject, algorithm: string, data: Uint8Array): Uint8Array {
  if (algorithm === 'ssh-ed25519') return sign(null, data, key)
  const hash = HASHES.get(algorithm)
  if (hash === undefined) throw new Error(`no host key signs with ${algorithm}`)
  if (!algorithm.startsWith('ecdsa-')) return sign(hash, data, key)
  const both = sign(hash, data, { key, dsaEncoding: 'ieee-p1363' })
  const half = both.length / 2
  return encodeForm({ r: mpint, s: mpint }, { r: both.subarray(0, half), s: both.subarray(half) })
}

/** The SSH form of a public key of node:crypto's. */
export function publicBlob(key: KeyObject): Uint8Array {
  const jwk = key.export({ format: 'jwk' })
  const part = (name: string): Uint8Array => decodeBase64url(String(jwk[name]))
  if (jwk.kty === 'RSA') {
    return encodeForm({ type: text, e: mpint, n: mpint }, { type: 'ssh-rsa', e: part('e'), n: part('n') })
  }
  if (jwk.crv === 'Ed25519') {
    return encodeForm({ type: text, key: string }, { type: 'ssh-ed25519', key: part('x') })
  }
  const curve = new Map([
    ['P-256', 'nistp256'],
    ['P-384', 'nistp384'],
    ['P-521', 'nistp521'],
  ]).get(String(jwk.crv))
  if (curve === undefined) throw new ProtocolError(`a host key of the unsupported kind ${jwk.kty} ${jwk.crv}`)
  const point = Uint8Array.of(4, ...part('x'), ...part('y'))
  return encodeForm({ type: text, curve: text, point: string }, { type: `ecdsa-sha2-${curve}`, curve, point })
}

function decodeBase64url(value: string): Uint8Array {
  return decodeBase64(value.replaceAll('-', '+').replaceAll('_', '/'))
}

const OPENSSH =
  /^-----BEGIN OPENSSH PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----\s*$/
const MAGIC = 'openssh-key-v1\0'

/** Throws when the file is not an unencrypted private key of a kind that we sign with. */
export function parsePrivateKey(file: string): KeyObject {
  const base64 = OPENSSH.exec(file.trim())?.[1]
  if (base64 === undefined) return createPrivateKey(file)
  const from = new Reader(decodeBase64(base64))
  const head = decodeForm(
    { magic: fixed(MAGIC.length), cipher: text, kdf: text, options: string, keys: uint32 },
    from,
  )
  if (decodeText(head.magic) !== MAGIC) throw new ProtocolError('not a private key of OpenSSH')
  if (head.cipher !== 'none') throw new ProtocolError('the private key has a passphrase')
  if (head.keys !== 1) throw new ProtocolError(`${head.keys} keys in one file`)
  const { secret } = decodeForm({ blob: string, secret: string }, from)
  from.end()
  return readSecret(new Reader(secret))
}

/** The key's fields in OpenSSH's order become a JWK, from which node:crypto checks what belongs together. */
function readSecret(from: Reader): KeyObject {
  const head = decodeForm({ check: uint32, again: uint32, type: text }, from)
  if (head.check !== head.again) throw new ProtocolError('a damaged private key')
  switch (head.type) {
    case 'ssh-ed25519': {
      const { publicKey, both } = decodeForm({ publicKey: string, both: string }, from)
      return jwk({ kty: 'OKP', crv: 'Ed25519' }, { x: publicKey, d: both.subarray(0, 32) })
    }
    case 'ssh-rsa': {
      const f = decodeForm({ n: mpint, e: mpint, d: mpint, qi: mpint, p: mpint, q: mpint }, from)
      return jwk({ kty: 'RSA' }, { ...f, dp: remainder(f.d, f.p), dq: remainder(f.d, f.q) })
    }
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521': {
      const { point, d } = decodeForm({ curve: text, point: string, d: mpint }, from)
      const length = (point.length - 1) / 2
      const scalar = new Uint8Array(length)
      scalar.set(d, length - d.length)
      const crv = head.type.replace('ecdsa-sha2-nistp', 'P-')
      return jwk(
        { kty: 'EC', crv },
        { x: point.subarray(1, 1 + length), y: point.subarray(1 + length), d: scalar },
      )
    }
    default:
      throw new ProtocolError(`a private key of the unsupported type ${head.type.slice(0, 64)}`)
  }
}

function jwk(head: Record<string, string>, parts: Record<string, Uint8Array>): KeyObject {
  const key: Record<string, string> = { ...head }
  for (const name in parts) key[name] = base64url(parts[name] ?? new Uint8Array(0))
  return createPrivateKey({ key, format: 'jwk' })
}

/** d mod (prime - 1), which OpenSSH does not store. */
function remainder(d: Uint8Array, prime: Uint8Array): Uint8Array {
  const number = (bytes: Uint8Array): bigint => bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
  const bytes: number[] = []
  for (let left = number(d) % (number(prime) - 1n); left > 0n; left >>= 8n)
    bytes.unshift(Number(left & 0xffn))
  return Uint8Array.from(bytes)
}
