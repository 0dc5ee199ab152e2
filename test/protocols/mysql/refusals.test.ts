import { expect, test } from 'vitest'
import { refuse } from '../../../protocols/mysql/index.ts'
import type { Refusal } from '../../../protocols/relay.ts'
import { hex, packet } from '../../support/mysql-play.ts'

const REFUSAL: Refusal = { cause: 'access', what: 'what', why: 'why', next: 'next', record: 'k3v5.7' }

function textOf(refusal: Partial<Refusal>): string {
  return Buffer.from(refuse({ ...REFUSAL, ...refusal }, 3).subarray(4 + 9)).toString()
}

test.each([
  ['access', 1045, '28000'],
  ['credential', 1045, '28000'],
  ['statement', 1142, '42000'],
  ['limit', 1317, '70100'],
  ['ended', 1053, '08S01'],
  ['busy', 1040, '08004'],
  ['recorder', 1105, 'HY000'],
  ['unsupported', 1235, '42000'],
  ['target', 1429, 'HY000'],
] as const)('%s is told with error %i (%s) and four lines', (cause, code, state) => {
  const message = 'what\nwhy : why\nnext: next\nid  : k3v5.7'
  const expected = packet(3, 0xff, code & 0xff, code >> 8, `#${state}${message}`)
  expect(hex(refuse({ ...REFUSAL, cause }, 3))).toBe(hex(expected))
})

test('lines that are empty are left out', () => {
  expect(textOf({ why: '', record: '' })).toBe('what\nnext: next')
})

test('whatever is long, the text ends within 509 bytes, behind a whole character, with the id', () => {
  const long = 'é'.repeat(400)
  for (const refusal of [
    { what: long },
    { why: long },
    { next: long },
    { what: long, why: long, next: long },
  ]) {
    const text = textOf(refusal)
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(509)
    expect(Buffer.byteLength(text)).toBeGreaterThan(505)
    expect(text).not.toContain('\ufffd')
    expect(text.endsWith('\nid  : k3v5.7')).toBe(true)
  }
  // Of the rest, what comes before next, and next before why.
  expect(textOf({ why: long })).toContain('\nnext: next')
  expect(textOf({ next: long })).toContain('what\n')
})
