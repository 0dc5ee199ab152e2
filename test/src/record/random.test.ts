import { expect, test } from 'vitest'
import { systemRandom } from '../../../src/record/random.ts'

test('bytes are as many as asked for, fresh each time, and the caller’s alone', () => {
  const random = systemRandom()
  const seen = new Set<string>()
  const kept: { bytes: Uint8Array; hex: string }[] = []
  for (let k = 0; k < 3000; k++) {
    const length = [16, 12, 32, 16][k % 4] ?? 16
    const bytes = random(length)
    expect(bytes).toHaveLength(length)
    const hex = Buffer.from(bytes).toString('hex')
    expect(seen.has(hex)).toBe(false)
    seen.add(hex)
    kept.push({ bytes, hex })
  }
  // The pool was drawn anew many times since: what was handed out is not part of it.
  expect(kept.filter(({ bytes, hex }) => Buffer.from(bytes).toString('hex') !== hex)).toEqual([])
  expect(new Set(random(5000)).size).toBeGreaterThan(250)
})
