import { expect, test } from 'vitest'
import { microseconds } from '../../../src/system/microseconds.ts'

test('is the wall clock, to the microsecond', () => {
  const before = Date.now()
  const times = Array.from({ length: 2000 }, microseconds)
  const after = Date.now()
  expect(times.every(Number.isSafeInteger)).toBe(true)
  // Two milliseconds are what it lets pass before it follows the wall clock.
  expect((times[0] ?? 0) / 1000).toBeGreaterThan(before - 3)
  expect((times.at(-1) ?? 0) / 1000).toBeLessThan(after + 3)
  expect(times.filter((at) => at % 1000 !== 0).length, 'finer than a millisecond').toBeGreaterThan(1000)
  expect(times).toEqual(times.toSorted((a, b) => a - b))
})
