/**
 * One-time codes (RFC 6238: SHA-1, six digits, thirty seconds). A code counts once, and one that held is remembered
 * for the same proof from the same address, since git, Ansible and editors open many connections.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../system/clock.ts'
import { OperatorError } from '../system/operator-error.ts'

const STEP_MS = 30_000
/** Clocks of phones are a step early or late. */
const DRIFT_STEPS = 1
const REMEMBERED_MS = 10 * 60_000
const REMEMBERED_MAX = 4096
/** RFC 4226 demands 128 bits; many apps make 80. */
const SECRET_BYTES_MIN = 10

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** Base32, as apps show it: with spaces, in small letters, with or without padding. */
export function parseCodeSecret(text: string, what: string): Uint8Array {
  const letters = text.toUpperCase().replace(/[\s=-]/g, '')
  const bytes: number[] = []
  let bits = 0
  let value = 0
  for (const letter of letters) {
    const five = ALPHABET.indexOf(letter)
    if (five === -1)
      throw new OperatorError('secret', `${what}: expected base32, letters and the digits 2 to 7`)
    value = ((value << 5) | five) & 0xfff
    bits += 5
    if (bits < 8) continue
    bits -= 8
    bytes.push((value >> bits) & 0xff)
  }
  if (bytes.length < SECRET_BYTES_MIN) {
    throw new OperatorError('secret', `${what}: expected at least ${SECRET_BYTES_MIN} bytes in base32`)
  }
  return Uint8Array.from(bytes)
}

export function codeAt(secret: Uint8Array, step: number): string {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(step))
  const hash = createHmac('sha1', secret).update(counter).digest()
  const at = (hash.at(-1) ?? 0) & 0xf
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}

export class SecondFactor {
  readonly #clock: Clock
  /** The last step whose code was used, by user. */
  readonly #used = new Map<string, number>()
  /** When the memory of a code ends, oldest first. */
  readonly #remembered = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `proof` tells the first factor: the key, the token, the password. */
  isRemembered(user: string, proof: string, address: string): boolean {
    const end = this.#remembered.get(keyOf(user, proof, address))
    return end !== undefined && end > this.#clock.steady()
  }

  check(user: string, secret: Uint8Array, code: string, proof: string, address: string): boolean {
    const now = Math.floor(this.#clock.now() / STEP_MS)
    const given = Buffer.from(code.replace(/\s/g, '').padEnd(6).slice(0, 6))
    const used = this.#used.get(user) ?? Number.NEGATIVE_INFINITY
    let held: number | undefined
    for (let step = now - DRIFT_STEPS; step <= now + DRIFT_STEPS; step++) {
      const wanted = Buffer.from(codeAt(secret, step))
      if (given.length === wanted.length && timingSafeEqual(given, wanted) && step > used) held = step
    }
    if (held === undefined || code.replace(/\s/g, '').length !== 6) return false
    this.#used.set(user, held)
    this.#remembered.delete(keyOf(user, proof, address))
    this.#remembered.set(keyOf(user, proof, address), this.#clock.steady() + REMEMBERED_MS)
    const [oldest] = this.#remembered.keys()
    if (this.#remembered.size > REMEMBERED_MAX && oldest !== undefined) this.#remembered.delete(oldest)
    return true
  }
}

function keyOf(...parts: readonly string[]): string {
  return JSON.stringify(parts)
}
