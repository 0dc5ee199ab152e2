import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Ref } from '../../../src/book/format.ts'
import { REPEATED_TEXT_MAX, REPEATS_BYTES_MAX, Repeats, WINDOW } from '../../../src/record/repeats.ts'

/** Seals texts as a session does, and keeps what a verifier keeps: the last 256 payloads first named. */
class Sealing {
  readonly repeats = new Repeats()
  readonly #first: number[] = []
  #next = 0

  /** Seals `body` in `parts` payloads, or names it again; gives the indexes. */
  put(type: string, body: Uint8Array, repeats: boolean, parts = 1): number[] {
    const known = repeats ? this.repeats.find(type, body) : undefined
    if (known !== undefined) {
      for (const { i } of known) {
        if (!this.#first.includes(i)) throw new Error(`${i} is named again beyond the last 256`)
      }
      return known.map(({ i }) => i)
    }
    const refs = Array.from({ length: parts }, () => this.#seal(type))
    if (repeats) this.repeats.keep(type, body, refs)
    return refs.map(({ i }) => i)
  }

  #seal(type: string): Ref {
    const i = this.#next++
    this.#first.push(i)
    if (this.#first.length > 256) this.#first.shift()
    this.repeats.advance(i)
    return { h: '', i, n: 33, t: type }
  }
}

const words = (text: string): Buffer => Buffer.from(text)

describe('a text that comes again', () => {
  test('is named by the same payload, under its own type only', () => {
    const sealing = new Sealing()
    expect(sealing.put('sql', words('SELECT 1'), true)).toEqual([0])
    expect(sealing.put('sql', words('SELECT 1'), true)).toEqual([0])
    expect(sealing.put('cmd', words('SELECT 1'), true)).toEqual([1])
    expect(sealing.put('sql', words('SELECT 2'), true)).toEqual([2])
    expect(sealing.put('sql', words('SELECT 1'), true)).toEqual([0])
  })

  test('is found by its bytes, whatever they encode', () => {
    const sealing = new Sealing()
    expect(sealing.put('sql', Buffer.of(0xff, 0xfe), true)).toEqual([0])
    expect(sealing.put('sql', Buffer.of(0xff, 0xfd), true)).toEqual([1])
    expect(sealing.put('sql', words('\ufffd\ufffd'), true)).toEqual([2])
    expect(sealing.put('sql', new Uint8Array([9, 0xff, 0xfe, 9]).subarray(1, 3), true)).toEqual([0])
  })

  test('is stored again when nobody said that it may come again', () => {
    const sealing = new Sealing()
    expect(sealing.put('args', words('[1]'), false)).toEqual([0])
    expect(sealing.put('args', words('[1]'), false)).toEqual([1])
    expect(sealing.put('args', words('[1]'), true)).toEqual([2])
  })

  test('in several parts is named by all of them', () => {
    const sealing = new Sealing()
    expect(sealing.put('sql', words('long'), true, 3)).toEqual([0, 1, 2])
    expect(sealing.put('sql', words('long'), true, 3)).toEqual([0, 1, 2])
  })
})

describe('the window', () => {
  test('is the last 256 payloads first named, whatever their type', () => {
    const sealing = new Sealing()
    sealing.put('sql', words('SELECT 1'), true)
    for (let k = 1; k < WINDOW; k++) sealing.put('tty', words(`${k}`), false)
    expect(sealing.put('sql', words('SELECT 1'), true), '255 others since').toEqual([0])
    sealing.put('tty', words('one more'), false)
    expect(sealing.put('sql', words('SELECT 1'), true), '256 others since').toEqual([257])
    expect(sealing.put('sql', words('SELECT 1'), true)).toEqual([257])
  })

  test('holds for a text in parts when the first part leaves it', () => {
    const sealing = new Sealing()
    sealing.put('sql', words('long'), true, 3)
    for (let k = 3; k < WINDOW; k++) sealing.put('tty', words(`${k}`), false)
    expect(sealing.put('sql', words('long'), true, 3)).toEqual([0, 1, 2])
    sealing.put('tty', words('one more'), false)
    expect(sealing.put('sql', words('long'), true, 3)).toEqual([257, 258, 259])
  })

  test('a verifier that counts for itself never sees a payload named again beyond it', () => {
    const put = fc.record({
      type: fc.constantFrom('sql', 'args'),
      text: fc.nat(400).map((n) => words(`text ${n}`)),
      repeats: fc.boolean(),
      parts: fc.constantFrom(1, 1, 1, 2, 5),
    })
    fc.assert(
      fc.property(fc.array(put, { minLength: 300, maxLength: 900, size: 'max' }), (all) => {
        const sealing = new Sealing()
        for (const { type, text, repeats, parts } of all) sealing.put(type, text, repeats, parts)
        expect(true).toBe(true)
      }),
      { numRuns: 30 },
    )
  })
})

describe('memory', () => {
  const long = (k: number): Buffer => Buffer.alloc(REPEATED_TEXT_MAX, `${k} `)

  test('is bounded: the oldest texts are forgotten first', () => {
    const sealing = new Sealing()
    const kept = Math.floor(REPEATS_BYTES_MAX / (REPEATED_TEXT_MAX + 'sql\n'.length))
    for (let k = 0; k <= kept; k++) sealing.put('sql', long(k), true)
    expect(sealing.put('sql', long(1), true), 'the second is still there').toEqual([1])
    expect(sealing.put('sql', long(0), true), 'the first made room').toEqual([kept + 1])
  })

  test('a text that is stored again because it left the window is not counted twice', () => {
    const sealing = new Sealing()
    const kept = Math.floor(REPEATS_BYTES_MAX / (REPEATED_TEXT_MAX + 'sql\n'.length))
    for (let round = 0; round < 3; round++) {
      for (let k = 0; k < WINDOW; k++) sealing.put('tty', words('x'), false)
      for (let k = 0; k < kept; k++) sealing.put('sql', long(k), true)
      const again = Array.from({ length: kept }, (_, k) => sealing.put('sql', long(k), true)[0])
      const first = (round + 1) * WINDOW + round * kept
      expect(again).toEqual(Array.from({ length: kept }, (_, k) => first + k))
    }
  })

  test('takes no text beyond 64 KiB', () => {
    const sealing = new Sealing()
    const text = Buffer.alloc(REPEATED_TEXT_MAX + 1)
    expect([sealing.put('sql', text, true), sealing.put('sql', text, true)]).toEqual([[0], [1]])
  })
})
