/**
 * The sessions met so far. A book may have tens of millions, and a Set ends at 2^24; here each takes its 80 bits
 * and a mark. The place of a session is mixed with a random number, so that nobody can choose names that collide.
 */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'

const WORDS = 3
const USED = 2 ** 31

export class SidSet {
  readonly #mix = randomInt(1, 2 ** 32) | 1
  #slots = new Uint32Array(WORDS * 1024)
  #size = 0

  get size(): number {
    return this.#size
  }

  has(sid: string): boolean {
    return this.#slots[this.#find(word(sid, 0, 6), word(sid, 6, 12), word(sid, 12, 16) + USED) + 2] !== 0
  }

  /** False where it was there before. */
  add(sid: string): boolean {
    if (this.#put(word(sid, 0, 6), word(sid, 6, 12), word(sid, 12, 16) + USED)) {
      if (++this.#size * WORDS * 2 > this.#slots.length) this.#grow()
      return true
    }
    return false
  }

  #put(a: number, b: number, c: number): boolean {
    const at = this.#find(a, b, c)
    if (this.#slots[at + 2] !== 0) return false
    this.#slots[at] = a
    this.#slots[at + 1] = b
    this.#slots[at + 2] = c
    return true
  }

  /** Where it is, or the free slot where it belongs. Half of all slots are free, so there is one. */
  #find(a: number, b: number, c: number): number {
    const slots = this.#slots
    const count = slots.length / WORDS
    let hash = Math.imul(a ^ this.#mix, 0x9e3779b1)
    hash = Math.imul((hash >>> 15) ^ hash ^ b, 0x85ebca77)
    hash = Math.imul((hash >>> 13) ^ hash ^ c, 0xc2b2ae3d)
    let slot = ((hash ^ (hash >>> 16)) >>> 0) % count
    while (true) {
      const at = slot * WORDS
      if (slots[at + 2] === 0 || (slots[at] === a && slots[at + 1] === b && slots[at + 2] === c)) return at
      slot = (slot + 1) % count
    }
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Uint32Array(old.length * 2)
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at + 2] !== 0) this.#put(old[at] ?? 0, old[at + 1] ?? 0, old[at + 2] ?? 0)
    }
  }
}

/** Five bits a character, of a-z and 2-7. */
function word(sid: string, start: number, end: number): number {
  let value = 0
  for (let at = start; at < end; at++) {
    const code = sid.charCodeAt(at)
    value = value * 32 + (code < 0x61 ? code - 0x32 + 26 : code - 0x61)
  }
  assert(value >= 0 && value < 2 ** 30, 'a session is 16 characters a-z2-7')
  return value
}
