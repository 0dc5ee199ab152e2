/**
 * Public keys and signatures (RFC 4253 section 6.6, RFC 5656, RFC 8332, RFC 8709, OpenSSH's PROTOCOL.u2f).
 * A blob is a stranger's until its signature is checked: every length in it is.
 */
import { createHash, createPublicKey, type KeyObject, type RawPublicKeyInput, verify } from 'node:crypto'
import { concat, ProtocolError, Reader, sameBytes } from '../bytes.ts'
import { decodeForm, decodeWhole, encodeForm, mpint, string, text, uint8, uint32 } from './wire.ts'

export interface PublicKey {
  /** The key's own type, which for RSA is not a signature's algorithm. */
  readonly type: string
  readonly blob: Uint8Array
  /** What a FIDO key was made for; undefined for all others. */
  readonly application: string | undefined
  readonly key: KeyObject
}

/** What a FIDO authenticator says in a signature. */
export interface Touch {
  readonly present: boolean
  readonly verified: boolean
  readonly counter: number
}

export interface Signed {
  readonly touch: Touch | undefined
}

interface KeyType {
  /** The signature algorithms that this type of key makes. SHA-1 is none of them. */
  readonly algorithms: readonly string[]
  /** Reads the fields behind the type's name. */
  read(from: Reader): { readonly key: KeyObject; readonly application?: string }
}

const RSA_BITS_MIN = 2048
/** OpenSSL checks a signature by a larger modulus for longer than a stranger may make us work. */
const RSA_BITS_MAX = 16_384
const RSA_EXPONENT_LENGTH_MAX = 8
const KEY_BLOB_LENGTH_MAX = 16 * 1024

const CURVES = {
  nistp256: { namedCurve: 'prime256v1', length: 32, hash: 'sha256' },
  nistp384: { namedCurve: 'secp384r1', length: 48, hash: 'sha384' },
  nistp521: { namedCurve: 'secp521r1', length: 66, hash: 'sha512' },
} as const
type CurveName = keyof typeof CURVES

const TYPES: ReadonlyMap<string, KeyType> = new Map<string, KeyType>([
  ['ssh-ed25519', { algorithms: ['ssh-ed25519'], read: (from) => ({ key: readEd25519(from) }) }],
  ['ecdsa-sha2-nistp256', ecdsaType('nistp256')],
  ['ecdsa-sha2-nistp384', ecdsaType('nistp384')],
  ['ecdsa-sha2-nistp521', ecdsaType('nistp521')],
  ['ssh-rsa', { algorithms: ['rsa-sha2-512', 'rsa-sha2-256'], read: (from) => ({ key: readRsa(from) }) }],
  [
    'sk-ssh-ed25519@openssh.com',
    {
      algorithms: ['sk-ssh-ed25519@openssh.com'],
      read: (from) => ({ key: readEd25519(from), application: text.read(from) }),
    },
  ],
  [
    'sk-ecdsa-sha2-nistp256@openssh.com',
    {
      algorithms: ['sk-ecdsa-sha2-nistp256@openssh.com'],
      read: (from) => ({ key: readEcdsa('nistp256', from), application: text.read(from) }),
    },
  ],
])

/** For `server-sig-algs`: RFC 8308, section 3.1. */
export const SIGNATURE_ALGORITHMS: readonly string[] = [...TYPES.values()].flatMap((type) => type.algorithms)

export function algorithmsOf(type: string): readonly string[] {
  return TYPES.get(type)?.algorithms ?? []
}

export function parsePublicKey(blob: Uint8Array): PublicKey {
  if (blob.length > KEY_BLOB_LENGTH_MAX) throw new ProtocolError(`a key of ${blob.length} bytes`)
  const from = new Reader(blob)
  const type = text.read(from)
  const found = readKeyFields(type, from)
  from.end()
  return { type, blob, ...found }
}

/** The fields behind the type's name, as they stand in a certificate too. */
export function readKeyFields(type: string, from: Reader): Pick<PublicKey, 'key' | 'application'> {
  const known = TYPES.get(type)
  if (known === undefined) throw new ProtocolError(`a key of the unknown type ${type.slice(0, 64)}`)
  try {
    const { key, application } = known.read(from)
    return { key, application }
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    throw new ProtocolError(`a malformed ${type} key`, { cause })
  }
}

/** `SHA256:` and base64 without padding, as ssh-keygen -l shows it. */
export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

/** A line of authorized_keys or known_hosts from the key's type on: `type base64 comment`. */
export function parseKeyLine(line: string): PublicKey {
  const [type = '', base64 = ''] = line.trim().split(/\s+/)
  const key = parsePublicKey(decodeBase64(base64))
  if (key.type !== type) throw new ProtocolError(`a ${key.type} key that is called ${type.slice(0, 64)}`)
  return key
}

export function decodeBase64(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  } catch (cause) {
    throw new ProtocolError('malformed base64', { cause })
  }
}

const SIGNATURE = { algorithm: text, signature: string }

/** Whether `signature` is by `key` over `data` under exactly `algorithm`; undefined when it is not. */
export function verifySignature(
  key: PublicKey,
  algorithm: string,
  signature: Uint8Array,
  data: Uint8Array,
): Signed | undefined {
  if (!algorithmsOf(key.type).includes(algorithm)) return undefined
  const from = new Reader(signature)
  const { algorithm: claimed, signature: raw } = decodeForm(SIGNATURE, from)
  if (claimed !== algorithm) return undefined
  if (key.application !== undefined) return verifyTouched(key, key.application, raw, from, data)
  from.end()
  return verifyRaw(key.key, algorithm, raw, data) ? { touch: undefined } : undefined
}

/** PROTOCOL.u2f: the authenticator signs hashes of application and data, between them its flags and counter. */
function verifyTouched(
  key: PublicKey,
  application: string,
  raw: Uint8Array,
  from: Reader,
  data: Uint8Array,
): Signed | undefined {
  const { flags, counter } = decodeForm({ flags: uint8, counter: uint32 }, from)
  from.end()
  const signed = concat([
    createHash('sha256').update(application).digest(),
    encodeForm({ flags: uint8, counter: uint32 }, { flags, counter }),
    createHash('sha256').update(data).digest(),
  ])
  const algorithm = key.type === 'sk-ssh-ed25519@openssh.com' ? 'ssh-ed25519' : 'ecdsa-sha2-nistp256'
  if (!verifyRaw(key.key, algorithm, raw, signed)) return undefined
  return { touch: { present: (flags & 0x01) !== 0, verified: (flags & 0x04) !== 0, counter } }
}

function verifyRaw(key: KeyObject, algorithm: string, raw: Uint8Array, data: Uint8Array): boolean {
  if (algorithm === 'ssh-ed25519') return raw.length === 64 && verify(null, data, key, raw)
  if (algorithm === 'rsa-sha2-256') return verify('sha256', data, key, raw)
  if (algorithm === 'rsa-sha2-512') return verify('sha512', data, key, raw)
  const { length, hash } = CURVES[algorithm.slice('ecdsa-sha2-'.length) as CurveName]
  const { r, s } = decodeWhole({ r: mpint, s: mpint }, raw)
  if (r.length > length || s.length > length) return false
  const fixed = new Uint8Array(2 * length)
  fixed.set(r, length - r.length)
  fixed.set(s, 2 * length - s.length)
  return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, fixed)
}

function ecdsaType(curve: CurveName): KeyType {
  return { algorithms: [`ecdsa-sha2-${curve}`], read: (from) => ({ key: readEcdsa(curve, from) }) }
}

function readEd25519(from: Reader): KeyObject {
  const key = string.read(from)
  if (key.length !== 32) throw new ProtocolError(`an Ed25519 key of ${key.length} bytes`)
  return rawPublicKey(key, 'ed25519')
}

/** OpenSSL refuses a point that is not on the curve. */
function readEcdsa(curve: CurveName, from: Reader): KeyObject {
  const { name, point } = decodeForm({ name: text, point: string }, from)
  const { namedCurve, length } = CURVES[curve]
  if (name !== curve || point.length !== 1 + 2 * length || point[0] !== 4) {
    throw new ProtocolError(`a malformed point on ${curve}`)
  }
  return rawPublicKey(point, 'ec', namedCurve)
}

function readRsa(from: Reader): KeyObject {
  const { e, n } = decodeForm({ e: mpint, n: mpint }, from)
  const bits = n.length * 8 - Math.clz32(n[0] ?? 0) + 24
  if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) throw new ProtocolError(`an RSA key of ${bits} bits`)
  if (e.length > RSA_EXPONENT_LENGTH_MAX || ((e.at(-1) ?? 0) & 1) === 0 || sameBytes(e, Uint8Array.of(1))) {
    throw new ProtocolError('an RSA key with an impossible exponent')
  }
  return createPublicKey({ key: { kty: 'RSA', e: base64url(e), n: base64url(n) }, format: 'jwk' })
}

export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
}

type RawKeyType = RawPublicKeyInput['asymmetricKeyType']

/** Node takes any view of bytes here; its types ask for a Buffer. */
export function rawPublicKey(key: Uint8Array, asymmetricKeyType: RawKeyType, namedCurve?: string): KeyObject {
  const raw = key as RawPublicKeyInput['key']
  const input = { key: raw, format: 'raw-public', asymmetricKeyType } as const
  return createPublicKey(namedCurve === undefined ? input : { ...input, namedCurve })
}
