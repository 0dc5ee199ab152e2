import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Scope } from '../../../src/book/format.ts'
import { Kek } from '../../../src/book/keys.ts'
import { Indexing } from '../../../src/read/follow-index.ts'
import { IndexFile, indexFiles } from '../../../src/read/index-file.ts'
import type { Asker } from '../../../src/read/questions.ts'
import { Reader } from '../../../src/read/reader.ts'
import { OWN_SESSIONS_ONLY } from '../../../src/read/rights.ts'
import { loadUnderstanding } from '../../../src/wiring/understanding.ts'
import { KEK_BYTES, ORIGIN } from '../../support/books.ts'
import { LABELS, NOW, randomQuery } from '../../support/random-query.ts'
import { type Play, playReading } from '../../support/reading-book.ts'
import { newBook } from '../../support/recorder.ts'
import { rounds } from '../../support/rounds.ts'
import { seeded } from '../../support/seeded.ts'
import { slowRows, slowSearch } from '../../support/slow-search.ts'

const understanding = await loadUnderstanding()
const kek = new Kek(Buffer.from(KEK_BYTES))
const ASKER: Asker = { sub: 'local', rights: { ...OWN_SESSIONS_ONLY, all: true } }

/** Brings the index to the head and reads it, as a gateway's threads do. */
function caughtUp(directory: string): Reader {
  const indexing = Indexing.open({ directory, kek, understanding })
  while (indexing.turn());
  indexing.close()
  return new Reader({ directory, kek, understanding, now: () => NOW })
}

function order({ book }: Play, scope: Scope | number): void {
  const gateway = book.open('standard', { act: 'gateway' })
  if (typeof scope === 'number') gateway.append({ kind: 'retain', below: scope, sub: 'local' })
  else gateway.append({ kind: 'erase', scope, sub: 'local' })
  book.drain()
  book.ask({ type: 'deleted' })
}

/** Everything that a slow search finds is found, and nothing else; from the index as it is, and from a new one. */
function expectSame(directory: string, sids: readonly string[], seed: number): void {
  const rows = slowRows(directory, understanding)
  for (const anew of [false, true]) {
    if (anew) rmSync(indexFiles(directory).key)
    const reader = caughtUp(directory)
    const random = seeded(seed)
    for (let k = 0; k < rounds(150); k++) {
      const query = randomQuery(random, sids, rows.length)
      const page = reader.answer({ type: 'search', query, limit: 1000 }, ASKER, LABELS)
      const expected = slowSearch(rows, query, ASKER, { now: NOW, labels: LABELS })
      expect(
        page.rows.map(({ id }) => id),
        `${query}${anew ? ' (rebuilt)' : ''}`,
      ).toEqual(expected.slice(0, 1000))
    }
    reader.close()
  }
}

describe('the index forgets what the book lets be gone', () => {
  test('whole sessions', () => {
    const directory = newBook()
    const play = playReading(directory, 40, 11)
    caughtUp(directory).close()
    order(play, { sids: play.sids.slice(0, 12) })
    expectSame(directory, play.sids, 110)
    play.book.stop()
  }, 120_000)

  test('single payloads: a person, a statement, a chunk of a terminal', () => {
    const directory = newBook()
    const play = playReading(directory, 40, 12)
    caughtUp(directory).close()
    const refs = play.sids.slice(0, 30).map((sid, k) => [sid, k % 6] as const)
    order(play, { refs })
    expectSame(directory, play.sids, 120)
    play.book.stop()
  }, 120_000)

  test('everything that closed below a record, and then the records', () => {
    const directory = newBook()
    const play = playReading(directory, 60, 13)
    caughtUp(directory).close()
    const size = slowRows(directory, understanding).length
    order(play, { below: Math.floor(size / 2) })
    expectSame(directory, play.sids, 130)
    const { below } = play.book.ask({ type: 'retention-point', below: size }) as { below: number }
    expect(below).toBeGreaterThan(0)
    order(play, below)
    expectSame(directory, play.sids, 131)
    play.book.stop()
  }, 120_000)

  test('and leaves no name behind in its tables', () => {
    const directory = newBook()
    const play = playReading(directory, 30, 14)
    caughtUp(directory).close()
    const names = (): string[] => {
      const { db } = IndexFile.openForReading(indexFiles(directory), kek, ORIGIN)
      const found = db.prepare('SELECT value FROM name').pluck().all() as string[]
      db.close()
      return found
    }
    expect(names()).toContain('alice')
    order(play, { sids: play.sids })
    const reader = caughtUp(directory)
    const found = reader.answer({ type: 'search', query: 'payments card_number', limit: 1000 }, ASKER, LABELS)
    expect(found.rows).toEqual([])
    reader.close()
    expect(names()).not.toContain('shop.payments')
    expect(names()).not.toContain('payments')
    expect(names()).not.toContain('reports')
    play.book.stop()
  }, 120_000)
})
