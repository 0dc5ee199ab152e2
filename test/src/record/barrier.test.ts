import { expect, test } from 'vitest'
import { BARRIERS } from '../../../src/record/barrier.ts'

test('each mode waits for what the format says', () => {
  expect(BARRIERS).toEqual({
    strict: { forward: 'durable', release: 'durable', stream: 'durable' },
    standard: { forward: 'written', release: 'durable', stream: undefined },
    relaxed: { forward: undefined, release: undefined, stream: undefined },
  })
})
