import fc from 'fast-check'
import { loadModule, scanSync } from 'libpg-query'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  hasDisputedLiteral,
  MASKED_MAX,
  maskSql,
  nestingBound,
  pieces,
} from '../../../protocols/postgres/sql-text.ts'

beforeAll(loadModule)

const cut = (text: string) => [...pieces(text)].map(({ kind, start, end }) => [kind, text.slice(start, end)])

describe('a text is cut as PostgreSQL cuts it', () => {
  test.each([
    ["'it''s'", [['plain', "'it''s'"]]],
    ["'a\\'", [['plain', "'a\\'"]]],
    ["E'a\\'b'", [['literal', "E'a\\'b'"]]],
    [
      "fooE'a'",
      [
        ['word', 'fooE'],
        ['plain', "'a'"],
      ],
    ],
    ["n'a'", [['plain', "n'a'"]]],
    ["U&'\\0061'", [['literal', "U&'\\0061'"]]],
    ["x'ff'", [['literal', "x'ff'"]]],
    ["'a'\n'b'", [['plain', "'a'\n'b'"]]],
    ["E'a' -- c\n 'b\\''", [['literal', "E'a' -- c\n 'b\\''"]]],
    [
      "'a' 'b'",
      [
        ['plain', "'a'"],
        ['space', ' '],
        ['plain', "'b'"],
      ],
    ],
    ['$$a$$', [['literal', '$$a$$']]],
    ['$x$ $$ $y$ $x$', [['literal', '$x$ $$ $y$ $x$']]],
    ['a$x$', [['word', 'a$x$']]],
    [
      '1$x$a$x$',
      [
        ['number', '1'],
        ['literal', '$x$a$x$'],
      ],
    ],
    [
      '$1$x$a$x$',
      [
        ['parameter', '$1'],
        ['literal', '$x$a$x$'],
      ],
    ],
    ['"a""b"', [['quoted-name', '"a""b"']]],
    [
      '/* a /* b */ c */d',
      [
        ['comment', '/* a /* b */ c */'],
        ['word', 'd'],
      ],
    ],
    [
      '--a\rb',
      [
        ['comment', '--a'],
        ['space', '\r'],
        ['word', 'b'],
      ],
    ],
    ['1.5e3', [['number', '1.5e3']]],
    ["'open", [['plain', "'open"]]],
    ['/* open', [['comment', '/* open']]],
    ['$x$ open $x', [['literal', '$x$ open $x']]],
  ])('%j', (text, expected) => {
    expect(cut(text)).toEqual(expected)
  })

  test('nothing is left out and nothing comes twice', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab\'"\\$-/*\n E1,().é😀') }), (text) => {
        expect(
          cut(text)
            .map(([, part]) => part)
            .join(''),
        ).toBe(text)
      }),
      { numRuns: 300 },
    )
  })

  test('literals end where its own scanner ends them', () => {
    const unit = fc.constantFrom(
      "'",
      "'",
      "''",
      '\\',
      '$$',
      '$a$',
      'E',
      'e',
      'U&',
      'x',
      'n',
      'b1',
      '"',
      '--',
      '\n',
      '/*',
      '*/',
      ' ',
      'a',
      '1',
      '1.',
      ',',
      '$1',
    )
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 14 }), (parts) => {
        const text = parts.join('')
        // libpg-query takes comments for tokens, so that unlike PostgreSQL it does not go on behind them.
        fc.pre(!/'\s*--/.test(text))
        const scanned = literalsByScanner(text)
        fc.pre(scanned !== undefined)
        const ours = [...pieces(text)].filter(({ kind }) => kind === 'plain' || kind === 'literal')
        expect(ours.map(({ end }) => end)).toEqual(scanned)
      }),
      { numRuns: 3000 },
    )
  })
})

/** Where each ends; undefined where PostgreSQL's scanner refuses the text. It gives the N of N'…' as a word of its own. */
function literalsByScanner(text: string): number[] | undefined {
  try {
    const { tokens } = scanSync(text)
    return tokens
      .filter(({ text: token }) => /^([eEbBxX]|[uU]&)?'/.test(token) || /^\$[^0-9]*\$/.test(token))
      .map(({ end }) => end)
  } catch {
    return undefined
  }
}

describe('what is shown of a text', () => {
  test.each([
    ["SELECT * FROM t WHERE a = 'x' AND b = 12", 'SELECT * FROM t WHERE a = ? AND b = ?'],
    ['select /* secret */ 1 -- secret', 'select ?'],
    ["ALTER USER x PASSWORD 'secret'", 'ALTER USER x PASSWORD ?'],
    ['DO $$ secret $$', 'DO ?'],
    ["selec 'secret", 'selec ?'],
    ['select  $1,\n "Name"', 'select $1, "Name"'],
    ["select 'a\\' , secret, '", 'select ?…'],
    ['', ''],
  ])('%j', (text, masked) => {
    expect(maskSql(text)).toBe(masked)
  })

  test('is cut where it is long', () => {
    expect(maskSql(`select ${'a,'.repeat(1 << 20)}`)).toHaveLength(MASKED_MAX + 1)
    expect(maskSql('a'.repeat(1 << 20))).toHaveLength(MASKED_MAX)
  })

  test('never holds what stands in a literal, whatever stands around it', () => {
    const around = fc.string({ unit: fc.constantFrom(...'ab ,()=1\n'), maxLength: 20 })
    const quote = fc.constantFrom(["'", "'"], ["E'", "'"], ['$x$', '$x$'], ["x'", "'"], ["'", ''], ['$$', ''])
    fc.assert(
      fc.property(around, quote, around, (before, [open, close], after) => {
        expect(maskSql(`${before} ${open}SECRET${close} ${after}`)).not.toContain('SECRET')
      }),
    )
  })
})

test('a backslash is disputed in a plain literal and nowhere else', () => {
  const disputed = ["'\\'", "n'\\d'", "'a'\n'\\'", "'a\\"]
  const plain = ["E'\\''", '$$\\$$', '"\\"', "U&'\\0041'", '-- \\', '/* \\ */', 'a \\ b', "'a'"]
  expect([disputed.map(hasDisputedLiteral), plain.map(hasDisputedLiteral)]).toEqual([
    disputed.map(() => true),
    plain.map(() => false),
  ])
})

test('the bound of nesting counts chains and brackets, and forgets what a comma ends', () => {
  expect(nestingBound('1+1+1')).toBe(5)
  expect(nestingBound('1, 1, 1')).toBe(1)
  expect(nestingBound('f(a, b+c), d')).toBe(5)
  expect(nestingBound('((1)+1)')).toBeGreaterThanOrEqual(4)
  expect(nestingBound('((((')).toBe(4)
  expect(nestingBound('))))1')).toBe(5)
  expect(nestingBound(`insert into t values ${'(1, 2, 3),'.repeat(10_000)}(1,2,3)`)).toBeLessThan(20)
})
