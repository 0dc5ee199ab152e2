import { expect, test } from 'vitest'
import type { Leaf } from '../../../../src/book/format.ts'
import { Spans } from '../../../../src/book/verify/limits.ts'

const SECOND = 1_000_000
const leaf = (kind: string, seq: number, more: Partial<Leaf> = {}): Leaf => ({
  ...{ kind, ts: Date.UTC(2027, 0, 4) * 1000 + seq * SECOND, log: 'gw1.example/book', seq, v: 1 },
  ...{ prev: '', salt: '' },
  ...more,
})

function told(...leaves: readonly Leaf[]): string[] {
  const spans = new Spans()
  for (const one of leaves) spans.see(one)
  return spans.list().map(({ text }) => text)
}

test('a suspension ends with its resumption, or with the process that was suspended', () => {
  expect(
    told(leaf('boot', 0), leaf('suspend', 1, { why: 'disk' }), leaf('resume', 5, { why: 'disk' })),
  ).toEqual(['new work was refused: 2027-01-04 00:00:01 UTC to 2027-01-04 00:00:05 UTC (disk), record 5'])
  expect(
    told(
      leaf('suspend', 1, { why: 'disk' }),
      leaf('suspend', 2, { why: 'store' }),
      leaf('boot', 9),
      leaf('suspend', 10, { why: 'disk' }),
    ),
  ).toEqual([
    'new work was refused: 2027-01-04 00:00:01 UTC to 2027-01-04 00:00:09 UTC (disk), record 9; since 2027-01-04 00:00:10 UTC (disk), record 10',
  ])
  expect(told(leaf('boot', 0), leaf('boot', 1))).toEqual([])
})
