import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { describeHours, withinHours } from '../../../src/access/hours.ts'

const WORK = { tz: 'Europe/Berlin', days: [1, 2, 3, 4, 5], from: 8 * 60, to: 19 * 60 }
const NIGHT = { tz: 'Europe/Berlin', days: [5], from: 22 * 60, to: 6 * 60 }
const at = (moment: string) => Date.parse(moment)

describe('hours hold by the clocks of their zone', () => {
  test.each([
    ['Monday, the first minute', WORK, '2027-01-04T07:00:00Z', true],
    ['Monday, a second before', WORK, '2027-01-04T06:59:59Z', false],
    ['Monday, the last second', WORK, '2027-01-04T17:59:59Z', true],
    ['Monday, the end', WORK, '2027-01-04T18:00:00Z', false],
    ['Saturday', WORK, '2027-01-09T10:00:00Z', false],
    ['in summer an hour earlier of UTC', WORK, '2027-07-05T06:00:00Z', true],
    ['in summer no longer at the winter’s end', WORK, '2027-07-05T17:30:00Z', false],
    ['Friday night', NIGHT, '2027-01-08T22:00:00Z', true],
    ['and the morning after', NIGHT, '2027-01-09T04:59:00Z', true],
    ['but not past it', NIGHT, '2027-01-09T05:00:00Z', false],
    ['nor the morning before', NIGHT, '2027-01-08T03:00:00Z', false],
    ['nor Saturday night', NIGHT, '2027-01-09T22:00:00Z', false],
    ['a whole day', { ...WORK, from: 0, to: 1440 }, '2027-01-04T22:59:00Z', true],
    ['equal ends are a day', { ...WORK, days: [1], from: 480, to: 480 }, '2027-01-05T06:59:00Z', true],
    ['and not two', { ...WORK, days: [1], from: 480, to: 480 }, '2027-01-05T07:00:00Z', false],
    ['a zone of half hours', { ...WORK, tz: 'Asia/Kolkata' }, '2027-01-04T02:30:00Z', true],
  ] as const)('%s', (_, hours, moment, expected) => {
    expect(withinHours(hours, at(moment))).toBe(expected)
  })

  // 28 March 2027, 02:00 becomes 03:00; 31 October 2027, 03:00 becomes 02:00.
  test('an hour that is left out is in no window', () => {
    const gap = { tz: 'Europe/Berlin', days: [0], from: 120, to: 180 }
    const minutes = Array.from({ length: 240 }, (_, i) => at('2027-03-28T00:00:00Z') + i * 60_000)
    expect(minutes.some((ms) => withinHours(gap, ms))).toBe(false)
  })

  test('an hour that comes twice is inside twice', () => {
    const twice = { tz: 'Europe/Berlin', days: [0], from: 120, to: 180 }
    const minutes = Array.from({ length: 240 }, (_, i) => at('2027-10-30T23:00:00Z') + i * 60_000)
    expect(minutes.filter((ms) => withinHours(twice, ms))).toHaveLength(120)
  })
})

test('a week has as many minutes inside as its windows say, wherever no clock is changed', () => {
  const window = fc.record({
    tz: fc.constantFrom('UTC', 'Asia/Kolkata', 'Asia/Tokyo', 'America/Phoenix'),
    days: fc.uniqueArray(fc.nat(6), { minLength: 1 }),
    from: fc.nat(1439),
    to: fc.nat({ max: 1439 }).map((to) => to + 1),
  })
  fc.assert(
    fc.property(window, (hours) => {
      const step = 13
      let inside = 0
      for (let i = 0; i < 7 * 1440; i += step)
        if (withinHours(hours, at('2027-01-04T00:00:00Z') + i * 60_000)) inside += step
      const length = hours.to <= hours.from ? hours.to - hours.from + 1440 : hours.to - hours.from
      expect(Math.abs(inside - length * hours.days.length)).toBeLessThanOrEqual(
        2 * step * hours.days.length + step,
      )
    }),
    { numRuns: 20 },
  )
})

test('hours are told as a person would', () => {
  expect(describeHours(WORK)).toBe('mon, tue, wed, thu, fri 08:00-19:00 Europe/Berlin')
  expect(describeHours({ ...NIGHT, to: 1440 })).toBe('fri 22:00-24:00 Europe/Berlin')
})
