import { expect, test } from 'vitest'
import {
  ago,
  bytes,
  exactMoment,
  flat,
  moment,
  number,
  offset,
  quoted,
  span,
  visible,
} from '../../src/console/format.ts'
import {
  asCommand,
  termsOf,
  valueIn,
  withOnly,
  withoutTerm,
  withTerm,
} from '../../src/console/parts/query-text.ts'
import { castEvents, transcriptOf } from '../../src/console/parts/transcript.ts'

test.each([
  ['plain', 'plain'],
  ['two\nlines\tand a tab', 'two\nlines\tand a tab'],
  ['\u0000\u001b[31m\u007f', '␀␛[31m␡'],
  ['\u009b31m', '⟨U+009B⟩31m'],
  ['\u202eevil\u202c \u2066x\u2069', '⟨U+202E⟩evil⟨U+202C⟩ ⟨U+2066⟩x⟨U+2069⟩'],
  ['zero\u200bwidth\ufeff\u00ad', 'zero⟨U+200B⟩width⟨U+FEFF⟩⟨U+00AD⟩'],
  ['a\u2028b', 'a⟨U+2028⟩b'],
  ['tag\u{e0041}', 'tag⟨U+E0041⟩'],
  ['\ud800 alone', '⟨U+D800⟩ alone'],
  ['שלום مرحبا', 'שלום مرحبا'],
  ['<b>&amp;</b>', '<b>&amp;</b>'],
])('%j is shown as %j', (text, shown) => {
  expect(visible(text)).toBe(shown)
})

test('one line of many', () => {
  expect(flat('  SELECT\n\t1 \r\n FROM x ')).toBe('SELECT 1 FROM x')
})

test('times, spans and sizes', () => {
  expect(moment(1_795_832_170_910_308)).toBe('2026-11-28 02:16:10')
  expect(exactMoment(1_795_832_170_910_308)).toBe('2026-11-28T02:16:10.910308Z')
  expect([90, 1200, 45_000, 2_100_000, 271_000_000, 7_500_000_000].map(span)).toEqual([
    '90 µs',
    '1.2 ms',
    '45 ms',
    '2.1 s',
    '4m 31s',
    '2h 05m',
  ])
  expect([36_000, 271_250_000, 3_871_000_000].map(offset)).toEqual(['0:00.036', '4:31.250', '1:04:31'])
  expect([999, 4100, 2_500_000].map(bytes)).toEqual(['999 B', '4.1 kB', '2.5 MB'])
  expect(number(184_511)).toBe('184\u202f511')
  expect(ago(0, 120_000)).toBe('2 m ago')
})

test('the terms of a search', () => {
  const query = String.raw`actor:alice "two words" -(a OR b) note:"x\" y"`
  expect(termsOf(query).map(({ text }) => text)).toEqual([
    'actor:alice',
    '"two words"',
    '-(a OR b)',
    String.raw`note:"x\" y"`,
  ])
  const [first] = termsOf(query)
  if (first === undefined) throw new Error('no term')
  expect(withoutTerm(query, first)).toBe(String.raw`"two words" -(a OR b) note:"x\" y"`)
  expect(withTerm('a', 'a')).toBe('a')
  expect(withTerm('a', 'b')).toBe('a b')
  expect(withOnly('a since:1h b', 'since', '7d')).toBe('a b since:7d')
  expect(withOnly('a since:1h b', 'since', undefined)).toBe('a b')
  expect(valueIn('a since:1h', 'since')).toBe('1h')
  expect([quoted('orders-prod'), quoted('a b'), quoted('say "hi"')]).toEqual([
    'orders-prod',
    '"a b"',
    String.raw`"say \"hi\""`,
  ])
  expect(asCommand("it's")).toBe(String.raw`gatebook query 'it'\''s'`)
})

test('a transcript is what stands there in the end', () => {
  const cast = [
    JSON.stringify({ version: 3 }),
    JSON.stringify([0.5, 'o', '\u001b[1mbold\u001b[0m\r\n']),
    JSON.stringify([0.5, 'o', '10%\r100%\r\n\u001b]0;title\u0007ab\bc\r\n']),
    JSON.stringify([0.5, 'm', '{}']),
  ].join('\n')
  expect(castEvents(cast).map(({ at, kind }) => [at, kind])).toEqual([
    [0.5, 'o'],
    [1, 'o'],
    [1.5, 'm'],
  ])
  expect(transcriptOf(castEvents(cast))).toBe('bold\n100%\nac\n')
})
