/**
 * The same few names and command tags come over and over. Comparing bytes with those of last time is cheaper than
 * making a string of them and hashing that, which is what a map would do.
 */
import { duplicate } from '../bytes.ts'

/** A power of two. Two that fall together take turns, and are only made again. */
const SLOTS = 256
/** Longer ones are not remembered, so a memo never holds more than SLOTS of this. */
const BYTES_MAX = 128

interface Remembered<T> {
  readonly bytes: Uint8Array
  readonly value: T
}

/** Remembers what `make` made of bytes. `make` sees a view, and must be a function of the bytes alone. */
export class Memo<T> {
  readonly #make: (bytes: Uint8Array) => T
  readonly #slots: (Remembered<T> | undefined)[] = new Array(SLOTS).fill(undefined)

  constructor(make: (bytes: Uint8Array) => T) {
    this.#make = make
  }

  /** Of bytes[start..end). */
  of(bytes: Uint8Array, start = 0, end = bytes.length): T {
    const length = end - start
    if (length > BYTES_MAX) return this.#make(bytes.subarray(start, end))
    let slot = length
    for (let at = start; at < end; at++) slot = (slot * 31 + (bytes[at] ?? 0)) | 0
    slot &= SLOTS - 1
    const found = this.#slots[slot]
    if (found !== undefined && isSame(found.bytes, bytes, start, length)) return found.value
    const own = duplicate(bytes, start, end)
    const value = this.#make(own)
    this.#slots[slot] = { bytes: own, value }
    return value
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (known.length !== length) return false
  for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return false
  return true
}
