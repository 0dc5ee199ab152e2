import { expect, test } from 'vitest'
import {
  type Counted,
  TALLY_ADDRESSES_MAX,
  TALLY_NAMES_MAX,
  TALLY_WINDOW_MS,
  Tally,
} from '../../../src/access/tally.ts'
import { TestClock } from '../../support/clock.ts'

function tally(): { clock: TestClock; told: Counted[]; tally: Tally } {
  const clock = new TestClock(1_000_000)
  const told: Counted[] = []
  return { clock, told, tally: new Tally(clock, (counted) => told.push(counted)) }
}

const failure = (name: string, address: string) => ({ what: 'bad-credential', name, address })

test('the first failure is told at once, the rest of its minute as one count', () => {
  const { clock, told, tally: counts } = tally()
  counts.add(failure('alice', '10.0.0.1'))
  expect(told).toEqual([{ ...failure('alice', '10.0.0.1'), count: 1, firstMicros: 1_000_000_000 }])
  clock.advance(1000)
  for (let i = 0; i < 500; i++) counts.add(failure('alice', '10.0.0.1'))
  expect(told).toHaveLength(1)
  clock.advance(TALLY_WINDOW_MS)
  expect(told.slice(1)).toEqual([{ ...failure('alice', '10.0.0.1'), count: 500, firstMicros: 1_001_000_000 }])
})

test('a failure that stays alone is told once', () => {
  const { clock, told, tally: counts } = tally()
  counts.add(failure('alice', '10.0.0.1'))
  clock.advance(TALLY_WINDOW_MS)
  expect(told).toHaveLength(1)
})

test('an address with many names is counted by itself', () => {
  const { clock, told, tally: counts } = tally()
  for (let i = 0; i < 1000; i++) counts.add(failure(`n${i}`, '10.0.0.1'))
  expect(told.map(({ name }) => name)).toEqual(['n0', 'n1', 'n2', 'n3', undefined])
  clock.advance(TALLY_WINDOW_MS)
  expect(told.slice(TALLY_NAMES_MAX + 1)).toEqual([
    {
      what: 'bad-credential',
      address: '10.0.0.1',
      count: 1000 - TALLY_NAMES_MAX - 1,
      firstMicros: 1_000_000_000,
    },
  ])
})

test('very many addresses are counted together', () => {
  const { told, tally: counts } = tally()
  for (let i = 0; i < 5000; i++) counts.add(failure('alice', `host-${i}`))
  expect(told).toHaveLength(TALLY_ADDRESSES_MAX + 1)
  counts.flush()
  expect(told.at(-1)).toEqual({
    what: 'bad-credential',
    count: 5000 - TALLY_ADDRESSES_MAX - 1,
    firstMicros: 1_000_000_000,
  })
})

test('nothing is counted twice and nothing is lost', () => {
  const { clock, told, tally: counts } = tally()
  for (let i = 0; i < 2000; i++) {
    counts.add(failure(`n${i % 7}`, `host-${i % 300}`))
    clock.advance(97)
  }
  counts.flush()
  expect(told.reduce((sum, { count }) => sum + count, 0)).toBe(2000)
})
