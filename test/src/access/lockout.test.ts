import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LOCKOUT_ADDRESSES_MAX, LOCKOUT_NAMES_MAX, Lockout } from '../../../src/access/lockout.ts'
import { TestClock } from '../../support/clock.ts'

const RULES = { failures: 3, window: 10_000, for: 60_000 }

function lockout(): {
  clock: TestClock
  lock: Lockout
  fail: (name: string, address: string, times?: number) => void
} {
  const clock = new TestClock()
  const lock = new Lockout(clock)
  const fail = (name: string, address: string, times = 1) => {
    for (let i = 0; i < times; i++) lock.failed(name, address, RULES)
  }
  return { clock, lock, fail }
}

describe('a name is locked out', () => {
  test('after so many failures, for its time and no longer', () => {
    const { clock, lock, fail } = lockout()
    fail('alice', '10.0.0.1', 2)
    expect(lock.isLocked('alice', '10.0.0.1')).toBe(false)
    fail('alice', '10.0.0.1')
    clock.advance(59_999)
    expect(lock.isLocked('alice', '10.0.0.1')).toBe(true)
    clock.advance(1)
    expect(lock.isLocked('alice', '10.0.0.1')).toBe(false)
  })

  test('from the address it failed from, and not from elsewhere', () => {
    const { lock, fail } = lockout()
    fail('alice', '10.0.0.1', 3)
    expect(lock.isLocked('alice', '10.0.0.2')).toBe(false)
    expect(lock.isLocked('bob', '10.0.0.1')).toBe(false)
  })

  test('only by failures within the window', () => {
    const { clock, lock, fail } = lockout()
    fail('alice', '10.0.0.1', 2)
    clock.advance(10_000)
    fail('alice', '10.0.0.1', 2)
    expect(lock.isLocked('alice', '10.0.0.1')).toBe(false)
  })

  test('not any longer by trying on', () => {
    const { clock, lock, fail } = lockout()
    fail('alice', '10.0.0.1', 3)
    clock.advance(59_000)
    fail('alice', '10.0.0.1', 50)
    clock.advance(1000)
    expect(lock.isLocked('alice', '10.0.0.1')).toBe(false)
  })

  test('from its whole network in IPv6, however it is written', () => {
    const { lock, fail } = lockout()
    fail('alice', '2001:db8::1')
    fail('alice', '2001:db8:0:0:ffff::2')
    fail('alice', '2001:0db8:0:0::3')
    expect(lock.isLocked('alice', '2001:db8::4:5:6:7')).toBe(true)
    expect(lock.isLocked('alice', '2001:db8:0:1::4')).toBe(false)
  })
})

test('a success ends the count', () => {
  const { lock, fail } = lockout()
  fail('alice', '10.0.0.1', 2)
  lock.succeeded('alice', '10.0.0.1')
  fail('alice', '10.0.0.1', 2)
  expect(lock.isLocked('alice', '10.0.0.1')).toBe(false)
  lock.succeeded('alice', '10.0.0.1')
  expect(lock.size).toBe(0)
})

describe('memory is bounded', () => {
  test('an address that tries many names locks out its further names together, and frees none it had locked', () => {
    const { lock, fail } = lockout()
    fail('alice', '10.0.0.1', 3)
    for (let i = 0; i < 1000; i++) fail(`name-${i}`, '10.0.0.1')
    expect(lock.isLocked('alice', '10.0.0.1')).toBe(true)
    expect(lock.isLocked('never-tried', '10.0.0.1')).toBe(true)
    expect(lock.isLocked('never-tried', '10.0.0.2')).toBe(false)
    expect(lock.size).toBe(LOCKOUT_NAMES_MAX + 1)
  })

  test('the address that has been quiet longest is forgotten first', () => {
    const { lock, fail } = lockout()
    for (let i = 0; i <= LOCKOUT_ADDRESSES_MAX; i++) fail('alice', `host-${i}`, 3)
    expect(lock.size).toBe(LOCKOUT_ADDRESSES_MAX)
    expect(lock.isLocked('alice', 'host-0')).toBe(false)
    expect(lock.isLocked('alice', 'host-1')).toBe(true)
  })

  test('names that are long share their beginning', () => {
    const { lock, fail } = lockout()
    fail('a'.repeat(10_000), '10.0.0.1', 3)
    expect(lock.isLocked('a'.repeat(128), '10.0.0.1')).toBe(true)
  })

  test('whatever strangers do, and time passes', () => {
    const step = fc.record({ name: fc.nat(200), address: fc.nat(3), pause: fc.nat(500) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400, size: 'max' }), (steps) => {
        const { clock, lock, fail } = lockout()
        for (const { name, address, pause } of steps) {
          fail(`n${name}`, `h${address}`)
          clock.advance(pause)
        }
        expect(lock.size).toBeLessThanOrEqual(4 * (LOCKOUT_NAMES_MAX + 1))
      }),
      { numRuns: 30 },
    )
  })
})
