import { expect, test } from 'vitest'
import { Nursery, youngCollection } from '../../../src/system/nursery.ts'

test('collects once for each seven megabytes, in whatever pieces they come', () => {
  let collected = 0
  const nursery = new Nursery(() => collected++)
  for (let i = 0; i < 69; i++) nursery.passed(100_000)
  expect(collected).toBe(0)
  nursery.passed(100_000)
  expect(collected).toBe(1)
  for (let i = 0; i < 170; i++) nursery.passed(100_000)
  expect(collected).toBe(3)
})

test('what dead objects held outside the heap is given back', () => {
  const collect = youngCollection()
  collect()
  leaveBehind(32 << 20)
  const before = process.memoryUsage().arrayBuffers
  collect()
  expect(before - process.memoryUsage().arrayBuffers).toBeGreaterThan(16 << 20)
})

function leaveBehind(bytes: number): void {
  for (let left = bytes; left > 0; left -= 32 << 10) new Uint8Array(32 << 10).fill(1)
}
