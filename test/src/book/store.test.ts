import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { encodeBase64, type Ref } from '../../../src/book/format.ts'
import type { openBook } from '../../../src/book/open.ts'
import { readLeaves, readPayload } from '../../../src/book/reader.ts'
import { BookMovedError, type NewRecord, newRecord, Store } from '../../../src/book/store.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { checkBook } from '../../support/check-book.ts'
import { newBook } from '../../support/recorder.ts'
import { heartbeats, openStore } from '../../support/store.ts'

const SID = 'k3v5o2n7q4w6x2za'
const com = encodeBase64(Buffer.alloc(32, 1))
const opening = newRecord({ kind: 'session.open', ts: 5, sid: SID, act: 'pg', com })

function payload(i: number): { ref: Ref; bytes: Buffer } {
  const bytes = Buffer.alloc(40 + i, i)
  return {
    ref: { h: createHash('sha256').update(bytes).digest('base64'), i, n: bytes.length, t: 'sql' },
    bytes,
  }
}

function statement(op: number): NewRecord {
  const { ref, bytes } = payload(op)
  const members = { kind: 'op', ts: 6, sid: SID, op, act: 'db.query', out: 'ok', ref: [ref] }
  return newRecord(members, [{ i: op, bytes }])
}

describe('a commit', () => {
  test('gives each record its place, and is there for readers when it returns', () => {
    const directory = newBook()
    using open = openStore(directory)
    const head = open.store.append([opening, statement(1), statement(2)])
    expect(head.size).toBe(3)
    expect(open.store.head).toBe(head)
    const { leaves } = checkBook(directory)
    expect(leaves.map(({ kind, seq, op, log }) => [seq, kind, op, log])).toEqual([
      [0, 'session.open', undefined, 'gw1.example/book'],
      [1, 'op', 1, 'gw1.example/book'],
      [2, 'op', 2, 'gw1.example/book'],
    ])
    expect(new Set(leaves.map(({ salt }) => salt)).size, 'each has a salt of its own').toBe(3)
    expect(readPayload(open.book.db, SID, payload(2).ref)).toEqual(payload(2).bytes)
  })

  test('never lets time run back, whatever the clock did', () => {
    const directory = newBook()
    using open = openStore(directory)
    for (const ts of [100, 50, 200, 150]) open.store.append(heartbeats(1, ts))
    open.store.append([...heartbeats(1, 180), ...heartbeats(1, 300), ...heartbeats(1, 250)])
    expect([...readLeaves(open.book.db, 0)].map(({ ts }) => ts)).toEqual([100, 100, 200, 200, 200, 300, 300])
    checkBook(directory)
  })

  test('holds at most 2,048 records, in rows of 512', () => {
    const directory = newBook()
    using open = openStore(directory)
    expect(() => open.store.append(heartbeats(2049))).toThrow(RangeError)
    expect(open.store.append(heartbeats(2048)).size).toBe(2048)
    expect(open.store.append(heartbeats(700)).size).toBe(2748)
    const counts = open.book.db.prepare('SELECT count FROM bundle ORDER BY first').pluck().all()
    expect(counts).toEqual([512, 512, 512, 512, 512, 188])
    checkBook(directory)
  })

  test('refuses what no leaf can say, and goes on', () => {
    const directory = newBook()
    using open = openStore(directory)
    const before = open.store.append(heartbeats(1))
    const heartbeat = { kind: 'heartbeat', ts: 9, why: 'disk' }
    expect(() => newRecord(heartbeat)).toThrow('there is no member why')
    const long = { ...payload(1).ref, t: '\\'.repeat(128) }
    const ref = Array.from({ length: 64 }, () => long)
    const wrong = newRecord({ kind: 'op.begin', ts: 9, sid: SID, op: 1, act: 'db.query', ref })
    expect(() => open.store.append([...heartbeats(1), wrong])).toThrow('op.begin: too long')
    expect(open.store.head).toBe(before)
    open.store.append(heartbeats(1))
    expect(checkBook(directory).size).toBe(2)
  })

  test('says how far the journal is drained, and refuses when the book does not know that file', () => {
    const directory = newBook()
    using open = openStore(directory)
    const batch = () => open.book.db.prepare('SELECT batch FROM journal WHERE file = 1').pluck().get()
    open.store.append(heartbeats(1), { journal: { file: 1, batch: 7 } })
    expect(batch()).toBe(7)
    open.store.append([], { journal: { file: 1, batch: 9 } })
    expect([batch(), open.store.head.size]).toEqual([9, 1])
    expect(() => open.store.append(heartbeats(1), { journal: { file: 2, batch: 1 } })).toThrow('no journal 2')
    expect(checkBook(directory).size).toBe(1)
  })

  test('is refused when another writer has been there', () => {
    const directory = newBook()
    using open = openStore(directory)
    const { db, origin, signer, head } = open.book
    const other = new Store(db, origin, signer, head, {
      random: systemRandom(),
      keep: { records: 1e9, micros: 1e15 },
    })
    other.append(heartbeats(1))
    expect(() => open.store.append(heartbeats(1))).toThrow(BookMovedError)
    expect(checkBook(directory).size).toBe(1)
  })
})

// The head is what readers trust, so it must not move until the disk has moved.
describe('a failed write leaves nothing behind', () => {
  const scope = { sids: ['aaaaaaaaaaaaaaaa'] }
  const erase = newRecord({ kind: 'erase', ts: 7, sid: SID, scope, sub: 'local' })

  test.each([
    ['bundle', 'INSERT'],
    ['payload', 'INSERT'],
    ['tile', 'INSERT'],
    ['head', 'INSERT'],
    ['head', 'UPDATE'],
    ['ckpt', 'INSERT'],
    ['journal', 'UPDATE'],
    ['deletion', 'INSERT'],
  ])('to %s (%s)', (table, verb) => {
    const directory = newBook()
    using open = openStore(directory)
    const { db } = open.book
    open.store.append([opening])
    const before = open.store.append(heartbeats(250))
    const records = [statement(1), erase, ...heartbeats(10), statement(2)]
    const options = { keep: true, journal: { file: 1, batch: 3 } }
    const rows = () =>
      ['bundle', 'payload', 'tile', 'ckpt', 'deletion'].map((name) =>
        db.prepare(`SELECT count(*) FROM ${name}`).pluck().get(),
      )
    const untouched = rows()

    db.exec(
      `CREATE TEMP TRIGGER broken BEFORE ${verb} ON main.${table} BEGIN SELECT RAISE(ABORT, 'disk full'); END`,
    )
    expect(() => open.store.append(records, options)).toThrow('disk full')
    expect(open.store.head).toBe(before)
    expect(rows()).toEqual(untouched)
    expect(checkBook(directory).size).toBe(251)

    db.exec('DROP TRIGGER broken')
    expect(open.store.append(records, options).size).toBe(264)
    expect(checkBook(directory).size, 'an auditor sees the same book').toBe(264)
    expect(rows()).not.toEqual(untouched)
  })
})

describe('checkpoints', () => {
  const kept = (open: { book: { db: ReturnType<typeof openBook>['db'] } }) =>
    open.book.db.prepare('SELECT size FROM ckpt ORDER BY size').pluck().all()

  test('are kept for good every so many records, and every so many microseconds with activity', () => {
    const directory = newBook()
    using open = openStore(directory, { records: 10, micros: 1000 })
    open.store.append(heartbeats(9, 0))
    expect(kept(open), 'the first one always').toEqual([9])
    open.store.append(heartbeats(9, 10))
    open.store.append(heartbeats(1, 20))
    expect(kept(open)).toEqual([9, 19])
    open.store.append(heartbeats(1, 1019))
    expect(kept(open)).toEqual([9, 19])
    open.store.append(heartbeats(1, 1020))
    expect(kept(open)).toEqual([9, 19, 21])
    checkBook(directory)
  })

  test('are kept when asked for, once, and without a new record too', () => {
    const directory = newBook()
    using open = openStore(directory)
    open.store.append(heartbeats(1))
    open.store.append(heartbeats(1))
    open.store.append([], { keep: true })
    open.store.append([], { keep: true })
    expect(kept(open)).toEqual([1, 2])
    checkBook(directory)
  })
})

test('what is stored is not replaced by accident', () => {
  using open = openStore(newBook())
  const { db } = open.book
  open.store.append(heartbeats(1))
  db.prepare('INSERT INTO payload VALUES (?,?,?)').run('aaaaaaaaaaaaaaaa', 0, Buffer.alloc(40))
  for (const sql of [
    "REPLACE INTO payload VALUES ('aaaaaaaaaaaaaaaa', 0, x'00')",
    "INSERT INTO payload VALUES ('aaaaaaaaaaaaaaaa', 0, x'00')",
    'DELETE FROM payload',
    "UPDATE payload SET data = x'00'",
    'REPLACE INTO bundle SELECT first, count, codec, crc + 1, leaves FROM bundle',
    'UPDATE bundle SET crc = crc + 1',
    'DELETE FROM bundle',
  ])
    expect(() => db.exec(sql), sql).toThrow(/append-only|no erase record|UNIQUE|not the next record/)
})

test('tiles are written when they fill, at every level, and a book opened again goes on with them', () => {
  const directory = newBook()
  {
    using open = openStore(directory)
    for (let size = 0; size < 65_536 + 256; size += 512)
      open.store.append(heartbeats(Math.min(512, 65_792 - size)))
    const levels = open.book.db.prepare('SELECT level, count(*) AS count FROM tile GROUP BY level').all()
    expect(levels).toEqual([
      { level: 0, count: 257 },
      { level: 1, count: 1 },
    ])
    open.book.sidecar.write(open.store.head.note)
  }
  using open = openStore(directory)
  for (const count of [1, 254, 2, 300]) open.store.append(heartbeats(count))
  expect(checkBook(directory).size).toBe(65_792 + 557)
})
