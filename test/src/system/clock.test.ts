import { expect, test } from 'vitest'
import { systemClock, systemSchedule } from '../../../src/system/clock.ts'

test('the two readings of the machine’s time agree to the two milliseconds that the finer one may be off', () => {
  const before = systemClock.now()
  const micros = systemClock.nowMicros()
  expect(Number.isSafeInteger(micros)).toBe(true)
  expect(Math.floor(micros / 1000)).toBeGreaterThanOrEqual(before - 2)
  expect(Math.floor(micros / 1000)).toBeLessThanOrEqual(systemClock.now() + 2)
})

test('a timer runs once, and not at all when it was disposed of', async () => {
  const ran: string[] = []
  systemClock.after(1, () => ran.push('dropped'))[Symbol.dispose]()
  systemClock.after(2, () => ran.push('kept'))
  systemSchedule.soon(() => ran.push('soon'))
  expect(ran).toEqual([])
  await expect.poll(() => ran).toEqual(['soon', 'kept'])
})

test('a timer beyond the reach of Node is refused instead of running at once', () => {
  expect(() => systemClock.after(2 ** 31, () => {})).toThrow('a timer of 2147483648 ms')
})
