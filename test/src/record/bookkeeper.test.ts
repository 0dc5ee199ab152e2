import { randomBytes } from 'node:crypto'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { parseCheckpoint } from '../../../src/book/checkpoint.ts'
import { checkBook } from '../../support/check-book.ts'
import { newBook, startBookkeeper, startLocal, text } from '../../support/recorder.ts'

describe('draining', () => {
  test('takes whole batches, many in a commit, and joins across them', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const session = local.open()
    for (let op = 1; op <= 20; op++) {
      session.record({ type: 'begin', op, act: 'db.query', payloads: [] })
      local.schedule.turn()
      session.record({ type: 'end', op, outcome: 'ok' })
      local.schedule.turn()
    }
    expect(local.keeper.turn()).toBe('idle')
    const { leaves } = checkBook(directory)
    expect(leaves.map(({ kind }) => kind)).toEqual([
      'boot',
      'session.open',
      ...Array.from({ length: 20 }, () => 'op'),
    ])
    local.stop()
  })

  test('takes at most 2,048 records or 4 MiB into a commit', () => {
    const directory = newBook({ journalBytes: 32 << 20 })
    const local = startLocal(directory)
    const session = local.open()
    for (let op = 1; op <= 2100; op++) {
      session.record({ type: 'begin', op, act: 'db.query', payloads: [] })
      if (op % 50 === 0) local.schedule.turn()
    }
    for (let op = 2101; op <= 2106; op++) {
      const body = randomBytes(1 << 20)
      session.record({ type: 'begin', op, act: 'db.query', payloads: [{ type: 'sql', body }] })
      local.schedule.turn()
    }
    // Only a commit that left something behind is followed by another at once.
    expect([1, 2, 3].map(() => local.keeper.turn())).toEqual(['busy', 'busy', 'idle'])
    const db = new Sqlite(join(directory, 'book.db'), { readonly: true })
    const counts = db.prepare('SELECT count FROM bundle ORDER BY first').pluck().all()
    db.close()
    // 2,001 are forty batches of 50 with the opening, in rows of 512; then 100 and three of the large ones.
    expect(counts).toEqual([1, 512, 512, 512, 465, 103, 3])
    checkBook(directory)
    local.stop()
  })

  test('lets half a commit wait for the next look, once, and only where nobody asks for it', () => {
    const local = startLocal(newBook({ journalBytes: 32 << 20 }))
    const session = local.open()
    local.settle()
    let op = 0
    const record = (count: number): void => {
      for (let k = 0; k < count; k++) {
        const payloads = [{ type: 'sql' as const, body: randomBytes(1000) }]
        session.record({ type: 'begin', op: ++op, act: 'db.query', payloads })
      }
      local.schedule.turn()
    }
    const isBehind = (): boolean => {
      local.keeper.turn(true)
      return local.log.backlog > 0
    }
    record(100)
    expect([isBehind(), isBehind()]).toEqual([true, false])
    record(10)
    expect(isBehind(), 'little is no half of a commit').toBe(false)
    record(1100)
    expect(isBehind(), 'more than half fills no second look').toBe(false)
    record(100)
    local.keeper.handle(1, { type: 'committed', batch: local.log.written })
    expect(isBehind()).toBe(false)
    local.stop()
  })

  test('gives the journal its space back when the commit has returned, and not when it failed', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const session = local.open()
    local.drain()
    session.append({ kind: 'alert', rule: 'r', sev: 'info' })
    local.schedule.turn()
    const { backlog } = local.log
    expect(backlog).toBe(512)
    const db = new Sqlite(join(directory, 'book.db'))
    db.exec("CREATE TRIGGER broken BEFORE INSERT ON bundle BEGIN SELECT RAISE(ABORT, 'no'); END")
    for (let k = 0; k < 2; k++) expect(() => local.keeper.turn()).toThrow('no')
    expect(local.log.backlog).toBe(512)
    db.exec('DROP TRIGGER broken')
    db.close()
    local.settle()
    expect(local.log.backlog).toBe(0)
    expect(checkBook(directory).leaves.at(-1)?.kind).toBe('alert')
    local.stop()
  })

  test('goes round the ring many times', () => {
    const directory = newBook({ journalBytes: 64 << 10 })
    const local = startLocal(directory)
    const session = local.open()
    for (let op = 1; op <= 400; op++) {
      const body = text(`SELECT ${'x'.repeat((op * 37) % 900)} ${op}`)
      session.record({ type: 'begin', op, act: 'db.query', payloads: [{ type: 'sql', body }] })
      local.schedule.turn()
      if (op % 7 === 0) local.settle()
    }
    local.settle()
    expect(checkBook(directory).leaves.filter(({ kind }) => kind === 'op.begin')).toHaveLength(400)
    local.stop()
  })
})

describe('requests', () => {
  test('to know that a record is committed are answered when it is, and not before', () => {
    const local = startLocal(newBook())
    const session = local.open()
    local.drain()
    const mark = session.append({ kind: 'alert', rule: 'r', sev: 'info' })
    local.schedule.turn()
    const answered = (id: number) => local.answers.filter((one) => one.id === id).map(({ answer }) => answer)
    local.keeper.handle(90, { type: 'committed', batch: mark })
    expect(answered(90)).toEqual([])
    local.keeper.turn()
    expect(answered(90)).toEqual([{ size: 3 }])
    local.keeper.handle(91, { type: 'committed', batch: mark })
    expect(answered(91)).toEqual([{ size: 3 }])
    local.stop()
  })

  test('for the state of things tell size, head and what is not drained', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const session = local.open()
    local.schedule.turn()
    session.append({ kind: 'alert', rule: 'r', sev: 'info' })
    local.schedule.turn()
    local.keeper.handle(90, { type: 'status' })
    expect(local.answers.at(-1)?.answer).toMatchObject({
      origin: 'gw1.example/book',
      size: 1,
      undrained: 2,
      state: 'open',
    })
    local.settle()
    const status = local.ask({ type: 'status' }) as { head: string }
    expect(status).toMatchObject({ size: 3, undrained: 0 })
    expect(parseCheckpoint(status.head).size).toBe(3)
    local.stop()
  })

  test('to keep keys are answered when these are in keys.db, with the size of the book as their floor', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const [first, second] = [local.open(), local.open()]
    local.drain()
    const third = local.open()
    const db = new Sqlite(join(directory, 'keys.db'), { readonly: true })
    const floor = (sid: string) => db.prepare('SELECT floor FROM data_key WHERE sid = ?').pluck().get(sid)
    expect([first, second, third].map(({ sid }) => floor(sid))).toEqual([1, 1, 3])
    first.close('client')
    local.drain()
    expect(db.prepare('SELECT sid FROM data_key WHERE closed = 1').pluck().all()).toEqual([first.sid])
    db.close()
    local.stop()
  })
})

test('a stop takes everything into the book, keeps its last checkpoint and leaves it beside', () => {
  const directory = newBook()
  const local = startLocal(directory)
  const session = local.open()
  session.close('stop')
  local.schedule.turn()
  local.stop()
  const { size } = checkBook(directory, { closed: true })
  expect(size).toBe(3)
  expect(parseCheckpoint(readFileSync(join(directory, 'head.note'), 'utf8')).size).toBe(3)
  const db = new Sqlite(join(directory, 'book.db'), { readonly: true })
  expect(db.prepare('SELECT max(size) FROM ckpt').pluck().get()).toBe(3)
  db.close()
  // All is in the file itself: nothing is lost with the log.
  rmSync(join(directory, 'book.db-wal'), { force: true })
  const again = startBookkeeper(directory)
  expect(again.keeper.ready).toMatchObject({ clean: true, size: 4 })
  again.stop()
})

test('the head beside the book is never ahead of it', () => {
  const directory = newBook()
  const local = startLocal(directory)
  const session = local.open()
  for (let k = 0; k < 30; k++) {
    session.append({ kind: 'alert', rule: 'r', sev: 'info' })
    local.schedule.turn()
    local.keeper.turn()
    local.clock.now += 400_000
    const beside = parseCheckpoint(readFileSync(join(directory, 'head.note'), 'utf8')).size
    const { size } = checkBook(directory)
    expect(beside).toBeLessThanOrEqual(size)
    expect(size - beside, 'and not far behind').toBeLessThanOrEqual(4)
  }
  local.stop()
})
