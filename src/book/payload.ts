/**
 * FORMAT.md, section 4: what is sensitive is sealed under its session's data key, once, in the process that made
 * the key. Nothing here can encrypt under a key that was unwrapped: `DataKey` seals, `OpenedKey` opens.
 */
import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, createSecretKey, hash, type KeyObject } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { Ref } from './format.ts'
import { SHORT_BYTES_MAX, ShortGcm, TAG_BYTES } from './short-gcm.ts'

export const PAYLOAD_BODY_MAX = 1 << 20
/** blind, codec and tag around the body. */
export const PAYLOAD_OVERHEAD = 33
/** What one key may seal. A session that comes near to either is closed. */
export interface KeyLimits {
  readonly payloads: number
  readonly bytes: number
}

export const KEY_LIMITS: KeyLimits = { payloads: 2 ** 32, bytes: 2 ** 40 }
/** Kept of both for what a session that ends still has to seal: the streams that its operations are filling. */
export const KEY_RESERVE: KeyLimits = { payloads: 2 ** 18, bytes: 2 ** 34 }

const KEY_BYTES = 32
const BLIND_BYTES = 16
const CODEC_AS_IS = 0
const CODEC_DEFLATE = 1
/** Below this, DEFLATE saves less than the call costs. */
const DEFLATE_FROM = 512
/** Of a body longer than four of these, one tells whether the whole is worth it: trying costs 30 ms a MiB. */
const SAMPLE_BYTES = 4096
/** A key that has sealed so many seals more: what is short is sealed in a way that has to be prepared, and keeps 3 KiB. */
const SHORT_WAY_FROM = 32

/** Fresh bytes of the system's generator, whose one copy is the caller's. Drawn in bulk by whoever hands it in. */
export type Random = (length: number) => Uint8Array

export interface Sealed {
  readonly ref: Ref
  readonly bytes: Uint8Array
}

/** The key was wrong, the bytes are not those the leaf names, or they do not open. */
export class PayloadError extends Error {
  override readonly name = 'PayloadError'
  readonly code: 'commitment' | 'payload' | 'decrypt'

  constructor(code: PayloadError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export function commitment(key: Uint8Array): string {
  return hash('sha256', Buffer.concat([Buffer.from('gatebook/data-key/v1\0', 'latin1'), key]), 'base64')
}

function associatedPrefix(origin: string, sid: string): string {
  return `gatebook/payload/v1\n${origin}\n${sid}\n`
}

/** The one key of one session, in the one thread that owns it. It never leaves this object but wrapped. */
export class DataKey {
  readonly sid: string
  readonly commitment: string
  readonly #bytes: Uint8Array
  #key: KeyObject | undefined
  #short: ShortGcm | undefined
  readonly #prefix: string
  readonly #random: Random
  readonly #limits: KeyLimits
  readonly #nonce = Buffer.alloc(12)
  #next = 0
  #sealed = 0

  constructor(origin: string, sid: string, random: Random, limits = KEY_LIMITS) {
    this.sid = sid
    this.#limits = limits
    // A copy: what is drawn shares memory with what others draw, and would hold all of it as long as the session lives.
    const drawn = random(KEY_BYTES)
    this.#bytes = new Uint8Array(drawn)
    drawn.fill(0)
    this.#key = createSecretKey(this.#bytes)
    this.#prefix = associatedPrefix(origin, sid)
    this.#random = random
    this.commitment = commitment(this.#bytes)
  }

  /** Whether so much more may be sealed and the reserve is left. Where it may not, the session has to end. */
  hasRoom(payloads: number, bytes: number): boolean {
    return this.#fits(payloads + KEY_RESERVE.payloads, bytes + KEY_RESERVE.bytes)
  }

  #fits(payloads: number, bytes: number): boolean {
    return this.#next + payloads <= this.#limits.payloads && this.#sealed + bytes <= this.#limits.bytes
  }

  /** Hands the key's bytes to `wrap`, which must not keep them. */
  wrap<Wrapped>(wrap: (key: Uint8Array) => Wrapped): Wrapped {
    return wrap(this.#bytes)
  }

  /** Seals one body of at most 1 MiB. The index is taken before encrypting and never given back. */
  seal(type: string, body: Uint8Array, compress: boolean): Sealed {
    if (body.length > PAYLOAD_BODY_MAX)
      throw new RangeError(`a payload of ${body.length} bytes is not cut in parts`)
    assert(this.#key !== undefined, 'a destroyed key seals nothing')
    if (!this.#fits(1, body.length)) throw new RangeError(`the data key of session ${this.sid} is used up`)
    const i = this.#next++
    this.#sealed += body.length

    let codec = CODEC_AS_IS
    let stored = body
    if (compress && body.length >= DEFLATE_FROM && isWorthDeflating(body)) {
      const deflated = deflateRawSync(body, { level: 1 })
      if (deflated.length < body.length) {
        codec = CODEC_DEFLATE
        stored = deflated
      }
    }
    const head = Buffer.allocUnsafe(BLIND_BYTES + 1)
    head.set(this.#random(BLIND_BYTES), 0)
    head[BLIND_BYTES] = codec
    const bytes = this.#encipher(i, `${i}\n${type}\n`, head, stored)
    return { ref: { h: hash('sha256', bytes, 'base64'), i, n: bytes.length, t: type }, bytes }
  }

  #encipher(i: number, associated: string, head: Uint8Array, body: Uint8Array): Uint8Array {
    assert(this.#key !== undefined, 'a destroyed key seals nothing')
    if (i >= SHORT_WAY_FROM && head.length + body.length <= SHORT_BYTES_MAX) {
      this.#short ??= new ShortGcm(this.#key, Buffer.from(this.#prefix, 'latin1'))
      const bytes = Buffer.allocUnsafe(body.length + PAYLOAD_OVERHEAD)
      bytes.set(head, 0)
      bytes.set(body, head.length)
      this.#short.seal(i, associated, bytes)
      return bytes
    }
    this.#nonce.writeUInt32BE(Math.floor(i / 2 ** 32), 4)
    this.#nonce.writeUInt32BE(i >>> 0, 8)
    const cipher = createCipheriv('aes-256-gcm', this.#key, this.#nonce)
    cipher.setAAD(Buffer.from(this.#prefix + associated, 'latin1'))
    const sealed = [cipher.update(head), cipher.update(body)]
    cipher.final()
    return Buffer.concat([...sealed, cipher.getAuthTag()])
  }

  /** Overwrites the key. The KeyObject's copy goes with the object: no interface of Node's overwrites that one. */
  destroy(): void {
    this.#bytes.fill(0)
    this.#short?.destroy()
    this.#short = undefined
    this.#key = undefined
  }
}

/** Whether these are the bytes that a leaf names, which needs no key. */
export function requireNamed(ref: Ref, bytes: Uint8Array): void {
  if (bytes.length !== ref.n || hash('sha256', bytes, 'base64') !== ref.h) {
    throw new PayloadError('payload', `payload ${ref.i} is not the one its leaf names`)
  }
}

/** A key that came out of keys.db or of a proof: it has been held against its commitment, and it only opens. */
export class OpenedKey {
  readonly #key: KeyObject
  readonly #prefix: string

  constructor(origin: string, sid: string, key: Uint8Array, com: string) {
    if (key.length !== KEY_BYTES || commitment(key) !== com) {
      throw new PayloadError('commitment', `the key of session ${sid} is not the one its opening leaf names`)
    }
    this.#key = createSecretKey(key)
    this.#prefix = associatedPrefix(origin, sid)
  }

  /** First the bytes against the leaf, then the cipher: one leaf opens to one plaintext. */
  open(ref: Ref, bytes: Uint8Array): Buffer {
    requireNamed(ref, bytes)
    const nonce = Buffer.alloc(12)
    nonce.writeBigUInt64BE(BigInt(ref.i), 4)
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce)
    decipher.setAAD(Buffer.from(`${this.#prefix}${ref.i}\n${ref.t}\n`, 'latin1'))
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES))
    try {
      const plain = Buffer.concat([decipher.update(bytes.subarray(0, -TAG_BYTES)), decipher.final()])
      const body = plain.subarray(BLIND_BYTES + 1)
      const codec = plain[BLIND_BYTES]
      if (codec === CODEC_AS_IS) return body
      if (codec === CODEC_DEFLATE) return inflateRawSync(body, { maxOutputLength: PAYLOAD_BODY_MAX })
      throw new RangeError(`unknown codec ${codec}`)
    } catch (cause) {
      throw new PayloadError('decrypt', `payload ${ref.i} does not open`, { cause })
    }
  }
}

function isWorthDeflating(body: Uint8Array): boolean {
  if (body.length <= 4 * SAMPLE_BYTES) return true
  const middle = Math.floor((body.length - SAMPLE_BYTES) / 2)
  return deflateRawSync(body.subarray(middle, middle + SAMPLE_BYTES), { level: 1 }).length < SAMPLE_BYTES
}
