import { expect, test } from 'vitest'
import { microseconds } from '../../../src/system/microseconds.ts'

test('is the wall clock, to the microsecond', () => {
  const times = Array.from({ length: 2000 }, microseconds)
  expect(times.every(Number.isSafeInteger)).toBe(true)
  expect(Math.abs((times[0] ?? 0) / 1000 - Date.now())).toBeLessThan(50)
  expect(times.filter((at) => at % 1000 !== 0).length, 'finer than a millisecond').toBeGreaterThan(1000)
  expect(times).toEqual(times.toSorted((a, b) => a - b))
})
