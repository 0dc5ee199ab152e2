import { describe, expect, test } from 'vitest'
import { Kek } from '../../../src/book/keys.ts'
import { Indexing } from '../../../src/read/follow-index.ts'
import type { Asker } from '../../../src/read/questions.ts'
import { Reader } from '../../../src/read/reader.ts'
import { OWN_SESSIONS_ONLY, type Rights } from '../../../src/read/rights.ts'
import { loadUnderstanding } from '../../../src/wiring/understanding.ts'
import { KEK_BYTES } from '../../support/books.ts'
import { LABELS, NOW, randomQuery } from '../../support/random-query.ts'
import { pick, playReading, subOf } from '../../support/reading-book.ts'
import { newBook } from '../../support/recorder.ts'
import { rounds } from '../../support/rounds.ts'
import { seeded } from '../../support/seeded.ts'
import { sees, slowRows, slowSearch } from '../../support/slow-search.ts'

const EVERYTHING: Rights = { ...OWN_SESSIONS_ONLY, all: true, verify: true, end: true }
const RIGHTS: readonly Rights[] = [
  EVERYTHING,
  EVERYTHING,
  OWN_SESSIONS_ONLY,
  { ...OWN_SESSIONS_ONLY, metadata: ['orders*'], content: ['orders'] },
  { ...OWN_SESSIONS_ONLY, metadata: ['*'], content: ['web-*', 'shop'], replay: ['web-1'] },
]

const understanding = await loadUnderstanding()

function catchUp(directory: string): Reader {
  const kek = new Kek(Buffer.from(KEK_BYTES))
  const indexing = Indexing.open({ directory, kek, understanding })
  while (indexing.turn());
  indexing.close()
  return new Reader({ directory, kek, understanding, now: () => NOW, scatteredRowsMax: 30 })
}

describe('every answer is that of a slow search over the decrypted book', () => {
  test.each([1, 2, 3])(
    'book %i',
    (seed) => {
      const directory = newBook()
      const { book, sids } = playReading(directory, 60, seed)
      const rows = slowRows(directory, understanding)
      const reader = catchUp(directory)
      const random = seeded(seed * 1000)
      const asked = rounds(250)
      let found = 0
      for (let k = 0; k < asked; k++) {
        const text = randomQuery(random, sids, rows.length)
        const asker: Asker = {
          sub: subOf(pick({ random }, ['alice', 'bob', 'nobody'])),
          rights: pick({ random }, RIGHTS),
        }
        const expected = slowSearch(rows, text, asker, { now: NOW, labels: LABELS })
        const limit = 1 + Math.floor(random() * 200)
        const answered: number[] = []
        let cursor: number | undefined
        do {
          const page = reader.answer(
            { type: 'search', query: text, limit, ...(cursor === undefined ? {} : { cursor }) },
            asker,
            LABELS,
          )
          answered.push(...page.rows.map(({ id }) => id))
          cursor = page.next
        } while (cursor !== undefined)
        expect(answered, text).toEqual(expected)
        const { count } = reader.answer({ type: 'summary', query: text }, asker, LABELS)
        expect(count, `count of ${text}`).toBe(expected.length)
        const fitting = new Set(expected)
        const people = rows.filter(
          ({ id, session }) => fitting.has(id) && session !== undefined && session.proto !== 'gateway',
        )
        const sessions = reader.answer({ type: 'sessions', query: text, limit: 1000 }, asker, LABELS).sessions
        const visible = new Set(
          people.filter((row) => sees(row, asker, false)).map(({ session }) => session?.sid),
        )
        expect(new Set(sessions.map(({ session }) => session)), `sessions of ${text}`).toEqual(visible)
        found += expected.length
      }
      expect(found, 'the queries find something').toBeGreaterThan(asked)
      reader.close()
      book.stop()
    },
    300_000,
  )
})
