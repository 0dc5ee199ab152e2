/**
 * AES-256-GCM (NIST SP 800-38D) for many short messages under one key. Node makes an object for each message, which
 * takes longer than all the rest of sealing fifty bytes. AES stays OpenSSL's here: one cipher of single blocks for each
 * key, asked for the key stream of many messages at once, since their nonces count up. Ours are the exclusive or, and
 * the polynomial of the tag.
 *
 * That one is looked up in a table by what is secret. Whoever could watch this process's cache might in the end forge a
 * tag, which a leaf's hash of the ciphertext forbids already; nothing can be read by it.
 */
import assert from 'node:assert/strict'
import { type Cipheriv, createCipheriv, type KeyObject } from 'node:crypto'

const BLOCK = 16
/** One block of key stream is for the tag. */
const BLOCKS = 8
export const SHORT_BYTES_MAX = (BLOCKS - 1) * BLOCK
export const TAG_BYTES = BLOCK
/** Messages whose key stream is made at once: 2 KiB. */
const AHEAD = 16

/** What is shifted out at the right, four bits, comes in again at the left. */
const REDUCED = Int32Array.from(
  [
    0, 0x1c20, 0x3840, 0x2460, 0x7080, 0x6ca0, 0x48c0, 0x54e0, 0xe100, 0xfd20, 0xd940, 0xc560, 0x9180, 0x8da0,
    0xa9c0, 0xb5e0,
  ],
  (bits) => bits << 16,
)

/** The counter blocks of a window: only the messages' numbers in them change. None of it is secret. */
const counters = Buffer.alloc(AHEAD * BLOCKS * BLOCK)
for (let block = 0; block < AHEAD * BLOCKS; block++) {
  counters.writeUInt32BE((block % BLOCKS) + 1, block * BLOCK + 12)
}

export class ShortGcm {
  readonly #aes: Cipheriv
  readonly #polynomial: Polynomial
  readonly #prefix: Uint8Array
  /** Where the polynomial stands behind the whole blocks of the prefix. */
  readonly #behindPrefix: Int32Array
  /** The rest of the prefix, then what is a message's own. */
  readonly #associated = Buffer.alloc(4 * BLOCK)
  readonly #lengths = Buffer.alloc(BLOCK)
  #stream: Uint8Array = new Uint8Array(0)
  #first = 0

  /** All associated data of this key begins with `prefix`. */
  constructor(key: KeyObject, prefix: Uint8Array) {
    this.#aes = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false)
    const point = this.#aes.update(Buffer.alloc(BLOCK))
    this.#polynomial = new Polynomial(point)
    point.fill(0)
    this.#prefix = prefix
    const whole = prefix.length - (prefix.length % BLOCK)
    this.#polynomial.add(prefix, 0, whole)
    this.#behindPrefix = this.#polynomial.state.slice()
    this.#associated.set(prefix.subarray(whole), 0)
  }

  /**
   * Enciphers `message` in place but for its last 16 bytes, where the tag goes. Its nonce is 32 zero bits and `number`,
   * which is never used again; `own` is Latin-1, the associated data behind the prefix.
   */
  seal(number: number, own: string, message: Uint8Array): void {
    const length = message.length - TAG_BYTES
    assert(length >= 0 && length <= SHORT_BYTES_MAX, `a message of ${length} bytes is not short`)
    if (number < this.#first || (number - this.#first) * BLOCKS * BLOCK >= this.#stream.length)
      this.#run(number)
    const stream = this.#stream
    const tagAt = (number - this.#first) * BLOCKS * BLOCK
    for (let k = 0; k < length; k++) message[k] = byteAt(message, k) ^ byteAt(stream, tagAt + BLOCK + k)

    const polynomial = this.#polynomial
    polynomial.state.set(this.#behindPrefix)
    const rest = this.#prefix.length % BLOCK
    assert(rest + own.length <= this.#associated.length, 'associated data without end')
    polynomial.add(this.#associated, 0, rest + this.#associated.write(own, rest, 'latin1'))
    polynomial.add(message, 0, length)
    this.#lengths.writeUInt32BE(8 * (this.#prefix.length + own.length), 4)
    this.#lengths.writeUInt32BE(8 * length, 12)
    polynomial.add(this.#lengths, 0, BLOCK)
    for (let k = 0; k < TAG_BYTES; k++) {
      const word = polynomial.state[k >> 2] ?? 0
      message[length + k] = (word >>> (24 - 8 * (k & 3))) ^ byteAt(stream, tagAt + k)
    }
  }

  /** Overwrites what was made of the key and not used; OpenSSL's own copy goes with the object. */
  destroy(): void {
    this.#stream.fill(0)
    this.#behindPrefix.fill(0)
    this.#polynomial.destroy()
  }

  /** Makes the key stream of `number` and those behind it. */
  #run(number: number): void {
    this.#stream.fill(0)
    for (let at = 0; at < counters.length; at += BLOCK) {
      const counted = number + Math.floor(at / (BLOCKS * BLOCK))
      counters.writeUInt32BE(Math.floor(counted / 2 ** 32), at + 4)
      counters.writeUInt32BE(counted >>> 0, at + 8)
    }
    this.#stream = this.#aes.update(counters)
    this.#first = number
  }
}

/** GHASH: blocks are the coefficients of a polynomial over GF(2^128), whose value at `point` it keeps. */
class Polynomial {
  /** The value so far, four words, the leftmost bit first. */
  readonly state = new Int32Array(4)
  /** The products of the point with every four bits: four words each. */
  readonly #products = new Int32Array(64)

  constructor(point: Buffer) {
    const products = this.#products
    for (let word = 0; word < 4; word++) products[8 * 4 + word] = point.readInt32BE(4 * word)
    // One bit to the right is the product with x.
    for (let k = 4; k > 0; k >>= 1) {
      let carried = ((products[2 * k * 4 + 3] ?? 0) & 1) === 1 ? 0xe1 : 0
      for (let word = 0; word < 4; word++) {
        const before = products[2 * k * 4 + word] ?? 0
        products[k * 4 + word] = (before >>> 1) ^ (word === 0 ? carried << 24 : carried << 31)
        carried = before & 1
      }
    }
    for (let k = 2; k <= 8; k *= 2) {
      for (let j = 1; j < k; j++) {
        for (let word = 0; word < 4; word++) {
          products[(k + j) * 4 + word] = (products[k * 4 + word] ?? 0) ^ (products[j * 4 + word] ?? 0)
        }
      }
    }
  }

  /** Takes in the bytes from `start` to `end`, the last block filled up with zeros. */
  add(bytes: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; at += BLOCK) {
      for (let word = 0; word < 4; word++) {
        const k = at + 4 * word
        if (k + 4 <= end) this.#mix(word, wordAt(bytes, k))
        else if (k < end) {
          let last = 0
          for (let j = k; j < end; j++) last |= byteAt(bytes, j) << (24 - 8 * (j - k))
          this.#mix(word, last)
        }
      }
      this.#multiply()
    }
  }

  destroy(): void {
    this.#products.fill(0)
    this.state.fill(0)
  }

  #mix(word: number, bits: number): void {
    this.state[word] = (this.state[word] ?? 0) ^ bits
  }

  #multiply(): void {
    const products = this.#products
    let [a, b, c, d] = [0, 0, 0, 0]
    for (let word = 3; word >= 0; word--) {
      const bits = this.state[word] ?? 0
      for (let shift = 0; shift < 32; shift += 4) {
        const at = ((bits >>> shift) & 15) << 2
        const back = REDUCED[d & 15] ?? 0
        d = ((c << 28) | (d >>> 4)) ^ (products[at + 3] ?? 0)
        c = ((b << 28) | (c >>> 4)) ^ (products[at + 2] ?? 0)
        b = ((a << 28) | (b >>> 4)) ^ (products[at + 1] ?? 0)
        a = (a >>> 4) ^ back ^ (products[at] ?? 0)
      }
    }
    this.state[0] = a
    this.state[1] = b
    this.state[2] = c
    this.state[3] = d
  }
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (byteAt(bytes, at) << 24) |
    (byteAt(bytes, at + 1) << 16) |
    (byteAt(bytes, at + 2) << 8) |
    byteAt(bytes, at + 3)
  )
}
