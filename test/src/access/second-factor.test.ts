import { describe, expect, test } from 'vitest'
import { codeAt, parseCodeSecret, SecondFactor } from '../../../src/access/second-factor.ts'
import { TestClock } from '../../support/clock.ts'

const SECRET = Buffer.from('12345678901234567890')

// RFC 6238, appendix B, the last six of its eight digits.
test.each([
  [59, '287082'],
  [1_111_111_109, '081804'],
  [1_111_111_111, '050471'],
  [1_234_567_890, '005924'],
  [2_000_000_000, '279037'],
  [20_000_000_000, '353130'],
])('at %s seconds the code is %s', (seconds, code) => {
  expect(codeAt(SECRET, Math.floor(seconds / 30))).toBe(code)
})

describe('a secret', () => {
  test('is base32, however it is written', () => {
    const written = 'gezd gnbv-GY3TQOJQ GEZDGNBVGY3TQOJQ===='
    expect(Buffer.from(parseCodeSecret(written, 'totp')).toString()).toBe('12345678901234567890')
  })

  test.each(['GEZDGNBV0', 'GEZDGNBV', ''])('%j is none', (text) => {
    expect(() => parseCodeSecret(text, 'users.alice.totp')).toThrow(/^users\.alice\.totp: expected/)
  })
})

describe('a code', () => {
  const start = 1_800_000_000_000
  const at = (clock: TestClock, drift = 0) => codeAt(SECRET, Math.floor(clock.now() / 30_000) + drift)
  const begin = () => {
    const clock = new TestClock(start)
    const factor = new SecondFactor(clock)
    const check = (code: string, address = '10.0.0.1') =>
      factor.check('alice', SECRET, code, 'key A', address)
    return { clock, factor, check }
  }

  test('counts once, a step early or late, and no further', () => {
    const { clock, check } = begin()
    expect(check(at(clock, -2))).toBe(false)
    expect(check(at(clock, -1))).toBe(true)
    expect(check(at(clock, -1))).toBe(false)
    expect(check(at(clock))).toBe(true)
    expect(check(at(clock, 1))).toBe(true)
    expect(check(at(clock))).toBe(false)
  })

  test.each(['', '12345', '1234567', 'abcdef'])('%j is none', (code) => {
    expect(begin().check(code)).toBe(false)
  })

  test('is remembered for the same proof from the same address, for ten minutes', () => {
    const { clock, factor, check } = begin()
    expect(factor.isRemembered('alice', 'key A', '10.0.0.1')).toBe(false)
    expect(check(at(clock))).toBe(true)
    expect(factor.isRemembered('alice', 'key A', '10.0.0.1')).toBe(true)
    expect(factor.isRemembered('alice', 'key B', '10.0.0.1')).toBe(false)
    expect(factor.isRemembered('alice', 'key A', '10.0.0.2')).toBe(false)
    expect(factor.isRemembered('bob', 'key A', '10.0.0.1')).toBe(false)
    clock.advance(10 * 60_000)
    expect(factor.isRemembered('alice', 'key A', '10.0.0.1')).toBe(false)
  })
})
