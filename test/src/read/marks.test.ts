import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Kek } from '../../../src/book/keys.ts'
import { PLACES } from '../../../src/read/derive.ts'
import { Entries } from '../../../src/read/entries.ts'
import { IndexFile, indexFiles } from '../../../src/read/index-file.ts'
import { type MarkedRow, Marks, markOf, ROWS_SAYING, rowsMarked } from '../../../src/read/marks.ts'
import { KEK_BYTES, ORIGIN } from '../../support/books.ts'
import { seeded } from '../../support/seeded.ts'

const NOTHING = {
  par: null,
  sub: null,
  db: null,
  trace: null,
  code: null,
  rows: null,
  bytes: null,
  dur: null,
}
const RECORDS = 1000

test.each([1, 2, 3])('marks lead to the rows that have a value, once each, and to no others: %i', (seed) => {
  const directory = mkdtempSync(join(tmpdir(), 'gatebook-'))
  const { db } = IndexFile.openForWriting(
    indexFiles(directory),
    new Kek(Buffer.from(KEK_BYTES)),
    ORIGIN,
    true,
  )
  const random = seeded(seed)
  const below = (count: number): number => Math.floor(random() * count)
  const entries = new Entries(db)
  let marks = new Marks(db)
  const said = new Map<number, number>()
  const row = (id: number) => {
    // Mostly one name, a few others, and some that are rare.
    const name = (): number => (random() < 0.7 ? 1 : 2 + below(random() < 0.8 ? 3 : 300))
    const text = Math.floor(id / (256 * PLACES)) * 10 + below(10)
    const first = said.get(text) ?? id
    said.set(text, first)
    const named = {
      action: name(),
      actor: name(),
      target: name(),
      addr: name(),
      shape: name(),
      session: name(),
    }
    return { ...NOTHING, ...named, id, ts: id, op: id, proto: 0, flags: 0, out: 1, said: first }
  }
  const expectSame = (): void => {
    entries.flush()
    marks.flush()
    for (const column of ['action', 'actor', 'target', 'addr', 'shape', 'session'] as const) {
      for (const value of [1, 2, 3, 4, 100, 200]) {
        const sql = `SELECT e.id FROM ${rowsMarked(column)} WHERE m.what = ${markOf(column, '?')} ORDER BY m.span, e.id`
        const plain = `SELECT id FROM entry WHERE ${column} = ? ORDER BY id`
        expect(db.prepare(sql).pluck().all(value)).toEqual(db.prepare(plain).pluck().all(value))
      }
    }
  }

  for (let seq = 0; seq < RECORDS; seq++) {
    const places = random() < 0.1 ? 3 : 1
    if (random() < 0.1) continue
    for (let place = 0; place < places; place++) {
      const added = row(seq * PLACES + place)
      entries.add(added)
      marks.add(added)
      if (added.said === added.id)
        db.prepare('INSERT INTO words(rowid, text) VALUES (?,?)').run(added.id, 'x')
    }
    if (random() < 0.05) expectSame()
    // As after a restart: what the span has already is in the index alone.
    if (random() < 0.02) {
      expectSame()
      marks = new Marks(db)
    }
  }
  expectSame()
  const saying = db.prepare(`SELECT e.id FROM ${ROWS_SAYING} WHERE words MATCH 'x' ORDER BY e.id`).pluck()
  expect(saying.all()).toEqual(db.prepare('SELECT id FROM entry ORDER BY id').pluck().all())

  for (const one of db
    .prepare('SELECT * FROM entry WHERE actor IN (2, 3) AND session = 1')
    .all() as MarkedRow[]) {
    marks.touch(one)
    if (random() < 0.5) db.prepare('DELETE FROM entry WHERE id = ?').run(one.id)
    else {
      db.prepare('UPDATE entry SET actor = 4 WHERE id = ?').run(one.id)
      marks.touch({ id: one.id, actor: 4 })
    }
  }
  marks.settle()
  expectSame()
  const idle =
    db.prepare(`SELECT count(*) FROM mark m WHERE m.what % 4 = 0 AND NOT EXISTS (SELECT 1 FROM entry e
    WHERE e.id BETWEEN m.span * ${256 * PLACES} AND (m.span + 1) * ${256 * PLACES} - 1
    AND m.what / 4 IN (e.action, e.actor, e.target, e.addr))`)
  expect(idle.pluck().get(), 'marks of names that nothing has there any more').toBe(0)
  db.close()
  rmSync(directory, { recursive: true })
})
