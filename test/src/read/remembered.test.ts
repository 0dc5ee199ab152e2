import { expect, test } from 'vitest'
import { RememberedPayloads } from '../../../src/read/remembered.ts'

test('what is remembered of a payload again counts once', () => {
  const remembered = new RememberedPayloads<string>(2)
  remembered.set('one', 0, 'said')
  for (let k = 0; k < 10; k++) remembered.set('two', 0, `said ${k}`)

  expect(remembered.get('one', 0)).toBe('said')
  expect(remembered.get('two', 0)).toBe('said 9')
})

test('of too many payloads those of the first session are forgotten, and room is left for others', () => {
  const remembered = new RememberedPayloads<number>(3)
  for (let i = 0; i < 2; i++) remembered.set('one', i, i)
  for (let i = 0; i < 2; i++) remembered.set('two', i, i)

  expect([remembered.get('one', 0), remembered.get('one', 1)]).toEqual([undefined, undefined])
  remembered.set('three', 0, 0)
  expect([remembered.get('two', 0), remembered.get('two', 1), remembered.get('three', 0)]).toEqual([0, 1, 0])
})
