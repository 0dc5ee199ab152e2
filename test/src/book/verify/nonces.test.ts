import { describe, expect, test } from 'vitest'
import type { Ref } from '../../../../src/book/format.ts'
import { PartialNonces, REPEAT_WINDOW, StrictNonces } from '../../../../src/book/verify/nonces.ts'

const ref = (i: number, t = 'sql'): Ref => ({ h: Buffer.alloc(32, i).toString('base64'), i, n: 40, t })

describe('of a session that was read from its beginning', () => {
  test('the last 256 may be named again, and none before them', () => {
    const nonces = new StrictNonces(1)
    for (let i = 0; i < REPEAT_WINDOW; i++) expect(nonces.meet(ref(i), 1)).toBe('first')
    expect(nonces.meet(ref(0), 1)).toBe('again')
    expect(nonces.meet(ref(REPEAT_WINDOW), 1)).toBe('first')
    expect([nonces.meet(ref(0), 1), nonces.meet(ref(1), 1)]).toEqual(['wrong', 'again'])
  })

  test('naming again does not make a payload recent', () => {
    const nonces = new StrictNonces(1)
    for (let i = 0; i < REPEAT_WINDOW; i++) nonces.meet(ref(i), 1)
    nonces.meet(ref(0), 1)
    nonces.meet(ref(REPEAT_WINDOW), 1)
    expect(nonces.meet(ref(0), 1)).toBe('wrong')
  })
})

describe('of a session whose beginning was not read', () => {
  test('they come in any order, and always mean the same', () => {
    const nonces = new PartialNonces()
    expect([5, 3, 9, 3].map((i) => nonces.meet(ref(i)))).toEqual(['first', 'first', 'first', 'again'])
    expect(nonces.meet(ref(9, 'cmd'))).toBe('wrong')
  })

  test('one below the 256 highest is refused', () => {
    const nonces = new PartialNonces()
    for (let i = 1; i <= REPEAT_WINDOW; i++) nonces.meet(ref(10 * i))
    expect(nonces.meet(ref(5))).toBe('wrong')
    expect(nonces.meet(ref(15))).toBe('first')
    expect([nonces.meet(ref(10)), nonces.meet(ref(15))]).toEqual(['wrong', 'again'])
  })
})
