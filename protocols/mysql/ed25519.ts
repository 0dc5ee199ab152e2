/**
 * MariaDB's client_ed25519: an Ed25519 signature (RFC 8032, section 5.1.6) whose secret scalar comes from
 * SHA-512 of the password itself. node:crypto hashes a seed of 32 bytes and takes nothing else, so the curve is
 * here, plainly. Its time depends on its numbers; it runs once per login, at the gateway, with a fresh nonce.
 */
import { createHash } from 'node:crypto'
import { concat } from '../bytes.ts'

const P = 2n ** 255n - 19n
/** Order of the base point. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n
const D = mod(-121665n * power(121666n, P - 2n))

/** X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z. */
type Point = readonly [bigint, bigint, bigint, bigint]

const BASE_Y = mod(4n * power(5n, P - 2n))
const BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202n
const BASE: Point = [BASE_X, BASE_Y, 1n, mod(BASE_X * BASE_Y)]
const NEUTRAL: Point = [0n, 1n, 1n, 0n]

export function signEd25519(password: Uint8Array, message: Uint8Array): Uint8Array {
  const hash = sha512(password)
  const scalar = secretScalar(hash)
  const nonce = mod(fromBytes(sha512(hash.subarray(32), message)), L)
  const commitment = encodePoint(multiply(BASE, nonce))
  const publicKey = encodePoint(multiply(BASE, scalar))
  const challenge = mod(fromBytes(sha512(commitment, publicKey, message)), L)
  return concat([commitment, toBytes(mod(nonce + challenge * scalar, L))])
}

/** What MariaDB stores for a password. */
export function ed25519PublicKey(password: Uint8Array): Uint8Array {
  return encodePoint(multiply(BASE, secretScalar(sha512(password))))
}

function secretScalar(hash: Uint8Array): bigint {
  const bytes = hash.slice(0, 32)
  bytes[0] = (bytes[0] ?? 0) & 0xf8
  bytes[31] = ((bytes[31] ?? 0) & 0x7f) | 0x40
  return fromBytes(bytes)
}

function multiply(point: Point, scalar: bigint): Point {
  let sum = NEUTRAL
  let doubled = point
  for (let rest = scalar; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) sum = add(sum, doubled)
    doubled = add(doubled, doubled)
  }
  return sum
}

/** The complete addition of RFC 8032, section 5.1.4: it doubles as well. */
function add(a: Point, b: Point): Point {
  const [x1, y1, z1, t1] = a
  const [x2, y2, z2, t2] = b
  const minus = mod((y1 - x1) * (y2 - x2))
  const plus = mod((y1 + x1) * (y2 + x2))
  const cross = mod(2n * t1 * D * t2)
  const scale = mod(2n * z1 * z2)
  const e = plus - minus
  const f = scale - cross
  const g = scale + cross
  const h = plus + minus
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)]
}

function encodePoint([x, y, z]: Point): Uint8Array {
  const inverse = power(z, P - 2n)
  const bytes = toBytes(mod(y * inverse))
  if ((mod(x * inverse) & 1n) === 1n) bytes[31] = (bytes[31] ?? 0) | 0x80
  return bytes
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  let square = mod(base)
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = mod(result * square)
    square = mod(square * square)
  }
  return result
}

function mod(value: bigint, by = P): bigint {
  const rest = value % by
  return rest < 0n ? rest + by : rest
}

function fromBytes(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)
}

function toBytes(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))
}

function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha512')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
