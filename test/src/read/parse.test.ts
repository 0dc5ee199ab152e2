import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NoAnswer } from '../../../src/read/questions.ts'
import { parseQuery } from '../../../src/read/search/parse.ts'
import { hoursOf, sinceOf, spanOf, timesOf } from '../../../src/read/search/values.ts'

function fault(query: string): string {
  try {
    parseQuery(query)
  } catch (error) {
    if (error instanceof NoAnswer) return `${error.column}: ${error.message}`
    throw error
  }
  throw new Error(`${query} was taken`)
}

const value = (text: string) => ({ text, quoted: false, column: 1 })

describe('a search', () => {
  test('is terms that must all hold, with alternatives in parentheses', () => {
    expect(parseQuery('actor:alice -is:denied ("card number" OR /x y/ table:a,"b c")')).toMatchObject({
      type: 'and',
      of: [
        { type: 'key', key: 'actor', values: [{ text: 'alice', quoted: false }] },
        { type: 'not', of: { type: 'key', key: 'is' } },
        {
          type: 'or',
          of: [
            { type: 'text', words: { tokens: ['card', 'number'], prefix: false } },
            {
              type: 'and',
              of: [
                { type: 'regex', pattern: /x y/u },
                { type: 'key', key: 'table', values: [{ text: 'a' }, { text: 'b c', quoted: true }] },
              ],
            },
          ],
        },
      ],
    })
  })

  test.each([
    ['acter:alice', '1: unknown key "acter": did you mean actor?'],
    ['is:live zzz:1', '9: unknown key "zzz": quote it to search for the text'],
    ['group:dev', '1: unknown key "group": groups are not recorded; search by role: or actor:'],
    ['actor:', '7: actor: wants a value'],
    ['a OR b', '3: OR stands in parentheses: (a OR b)'],
    ['x (a OR b', '3: this parenthesis is not closed'],
    ['a )', '3: nothing was opened that this closes'],
    ['(a OR )', '6: a term was expected'],
    ['"never closed', '1: this quotation mark is not closed'],
    ['/(/', '1: not a regular expression: Unterminated group'],
    ['a - b', '4: what should not be there?'],
    ['pa*ment', '1: texts are found by whole words or their beginnings: pay*; for more, use /…/'],
    ['=', '1: no letter and no digit to search for; for signs, use /…/'],
    ['a'.repeat(5000), '1: a search has at most 4096 characters'],
  ])('%s', (query, said) => {
    expect(fault(query)).toBe(said)
  })

  test('takes a path for text, and what stands between slashes for a pattern', () => {
    expect(parseQuery('/etc/passwd')).toMatchObject({ type: 'text', words: { tokens: ['etc', 'passwd'] } })
    expect(parseQuery('/etc/')).toMatchObject({ type: 'regex' })
    expect(parseQuery('"/etc/"')).toMatchObject({ type: 'text' })
  })

  test('is read, or refused with a column, whatever it is', () => {
    const piece = fc.constantFrom(
      'actor:',
      'a',
      '(',
      ')',
      ' ',
      'OR',
      '-',
      '"',
      '/',
      ',',
      '*',
      '..',
      '>',
      '\u202e',
      ':',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          parseQuery(pieces.join(''))
        } catch (error) {
          expect(error).toBeInstanceOf(NoAnswer)
          expect((error as NoAnswer).column).toBeGreaterThan(0)
        }
      }),
    )
  })
})

describe('values', () => {
  test.each([
    ['number', '>10', { from: 11 }],
    ['number', '5', { from: 5, to: 5 }],
    ['size', '1KiB..2MB', { from: 1024, to: 2e6 }],
    ['duration', '<=1.5s', { to: 1.5e6 }],
    ['duration', '..2m', { to: 120e6 }],
  ] as const)('%s %s', (kind, text, span) => {
    expect(spanOf(kind, value(text))).toEqual(span)
  })

  test('times name days, minutes and instants, and end with them', () => {
    const day = Date.UTC(2026, 10, 20) * 1000
    expect(timesOf(value('2026-11-20'))).toEqual({ from: day, to: day + 86_400e6 - 1 })
    expect(timesOf(value('2026-11-19..2026-11-20T00:00'))).toEqual({
      from: day - 86_400e6,
      to: day + 60e6 - 1,
    })
    expect(() => timesOf(value('2026-02-30'))).toThrow('is no time')
    expect(() => timesOf(value('2026-11-21..2026-11-20'))).toThrow('ends before it begins')
  })

  test('since counts back, and down to the beginning of a day or week', () => {
    const now = Date.UTC(2026, 10, 20, 15, 30) * 1000
    expect(sinceOf(value('24h'), now)).toBe(now - 86_400e6)
    expect(sinceOf(value('now-1h'), now)).toBe(now - 3600e6)
    expect(sinceOf(value('now/d'), now)).toBe(Date.UTC(2026, 10, 20) * 1000)
    expect(sinceOf(value('7d/d'), now)).toBe(Date.UTC(2026, 10, 13) * 1000)
    expect(sinceOf(value('now/w'), now)).toBe(Date.UTC(2026, 10, 16) * 1000)
    expect(sinceOf(value('2026-11-01'), now)).toBe(Date.UTC(2026, 10, 1) * 1000)
    expect(() => sinceOf(value('yesterday'), now)).toThrow('is no time to count from')
  })

  test('hours of the day', () => {
    expect(hoursOf(value('08:00-19:30'))).toEqual({ from: 480, to: 1170 })
    expect(() => hoursOf(value('8-19'))).toThrow('is no time of day')
  })
})
