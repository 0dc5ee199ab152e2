import { expect, test } from 'vitest'
import type { Leaf, Ref } from '../../../src/book/format.ts'
import { Deriver, INDEXED_CHARACTERS_MAX, type Understanding } from '../../../src/read/derive.ts'
import type { Opened, Unsealer } from '../../../src/read/unseal.ts'

const PART = 1 << 20
const PARTS = 15
/** In UTF-8 it takes four bytes, the most that a character can. */
const WIDE = '𝛑'

const leaf = {
  kind: 'op',
  act: 'db.query',
  sid: 'a'.repeat(16),
  op: 1,
  seq: 7,
  ts: 1,
  ref: Array.from({ length: PARTS }, (_, i): Ref => ({ h: '', i, n: PART, t: 'sql' })),
} as unknown as Leaf

function deriving() {
  const body = Buffer.from(WIDE.repeat(PART / 4))
  const seen = { opened: 0, read: 0 }
  const open = (): Opened => {
    seen.opened++
    return { type: 'opened', body }
  }
  const understanding = {
    statement: (_: string, text: Buffer) => {
      seen.read = text.length
      return { shape: 'x', verbs: [], tables: [], noWhere: false }
    },
    terminal: String,
  }
  return { seen, deriver: new Deriver({ open } as unknown as Unsealer, understanding as Understanding) }
}

test('of a long statement no more is opened than what is searched of it, and what says that it is long', () => {
  const { deriver, seen } = deriving()
  const [row] = deriver.rows(leaf, { protocol: 'postgres', roles: [] })
  expect(seen.opened).toBe(5)
  expect(seen.read, 'more than any dialect reads').toBe(5 * PART)
  expect([...(row?.text ?? '')].length).toBeGreaterThanOrEqual(INDEXED_CHARACTERS_MAX)
  expect(deriver.text(leaf)?.length, 'shown whole').toBe((PARTS * PART) / 2)
  expect(seen.opened).toBe(5 + PARTS)
})

test('it has no words as soon as any part of it is gone', () => {
  const { deriver } = deriving()
  const [row] = deriver.rows(leaf, { protocol: 'postgres', roles: [] }, (_, i) => i === PARTS - 1)
  expect([row?.text, row?.understood]).toEqual([undefined, undefined])
})
