/** Under `relaxed` an operation that has ended before its begin is written is said in one entry of the journal. */
import assert from 'node:assert/strict'
import { expect, test, vi } from 'vitest'
import type { RelayEvent } from '../../../protocols/events.ts'
import { REFS_MAX } from '../../../src/book/format.ts'
import type { RecordedSession } from '../../../src/record/session.ts'
import { checkBook } from '../../support/check-book.ts'
import { newBook, plaintexts, startLocal, text } from '../../support/recorder.ts'

type PayloadOf = Extract<RelayEvent, { type: 'begin' }>['payloads'][number]
const one = (type: PayloadOf['type'], body: string): PayloadOf => ({ type, body: text(body) })
const begin = (op: number, ...payloads: PayloadOf[]): RelayEvent => ({
  type: 'begin',
  op,
  act: 'db.query',
  payloads: payloads.length === 0 ? [one('sql', `SELECT ${op}`)] : payloads,
})
const end = (op: number, ...payloads: PayloadOf[]): RelayEvent => ({
  type: 'end',
  op,
  outcome: 'ok',
  rows: op,
  payloads,
})

/** The kinds of the journal's entries that `run` leaves behind its opening, and the leaves that the book makes of them. */
function journalled(run: (session: RecordedSession, write: () => void, turn: () => void) => void) {
  const directory = newBook()
  const local = startLocal(directory)
  const session = local.open('relaxed')
  const append = vi.spyOn(local.log, 'append')
  run(
    session,
    () => local.log.flush(),
    () => local.schedule.turn(),
  )
  local.log.flush()
  const entries = append.mock.calls.map(([members]) => /"kind":"([a-z.]+)"/.exec(members)?.[1])
  session.close('client')
  local.drain()
  local.stop()
  const leaves = checkBook(directory, { closed: true }).leaves.filter(({ sid }) => sid === session.sid)
  const texts = (k: number): Record<string, string> => {
    const leaf = leaves[k]
    assert(leaf !== undefined)
    const plain = plaintexts(directory, leaf, String(leaves[0]?.['com']))
    return Object.fromEntries(Object.entries(plain).map(([type, body]) => [type, body.toString()]))
  }
  return { entries, leaves, texts }
}

test('begin and end are one entry, with all that both carry', () => {
  const { entries, leaves, texts } = journalled((session) => {
    session.record(begin(1, one('sql', 'SELECT $1'), one('args', '7')))
    session.record(begin(2))
    session.record(end(1, one('res', 'a result')))
    session.record(end(2))
  })
  expect(entries).toEqual(['op', 'op'])
  expect(leaves.slice(1, 3).map(({ op, out, rows }) => [op, out, rows])).toEqual([
    [1, 'ok', 1],
    [2, 'ok', 2],
  ])
  expect(texts(1)).toEqual({ sql: 'SELECT $1', args: '7', res: 'a result' })
  expect(texts(2)).toEqual({ sql: 'SELECT 2' })
})

test('an end whose begin is written already is an entry of its own', () => {
  const { entries } = journalled((session, write) => {
    session.record(begin(1))
    write()
    session.record(end(1))
  })
  expect(entries).toEqual(['op.begin', 'op.end'])
})

test('the write of what came before leaves alone what has been put off since', () => {
  const { entries } = journalled((session, write, turn) => {
    session.record(begin(1))
    write()
    session.record(begin(2))
    turn()
    session.record(end(2))
  })
  expect(entries).toEqual(['op.begin', 'op'])
})

test('what is told in between stays in between', () => {
  const { entries } = journalled((session) => {
    session.record(begin(1))
    session.record({ type: 'result', op: 1, outcome: 'ok', payloads: [one('meta', 'one of two')] })
    session.record(end(1))
  })
  expect(entries).toEqual(['op.begin', 'op.result', 'op.end'])
  const streamed = journalled((session) => {
    session.record(begin(1))
    session.record({ type: 'data', op: 1, stream: 'out', frame: 'o', bytes: text('rows') })
    session.record(end(1))
  })
  expect(streamed.entries).toEqual(['op.begin', 'data', 'op.end'])
})

test('one record says neither a kind of payload twice nor more payloads than a record has', () => {
  const { entries, leaves } = journalled((session) => {
    session.record(begin(1, one('sql', 'a'), one('msg', 'before')))
    session.record(end(1, one('msg', 'after')))
    session.record(begin(2, ...Array.from({ length: REFS_MAX }, () => one('args', 'x'))))
    session.record(end(2, one('res', 'y')))
  })
  expect(entries).toEqual(['op.begin', 'op.end', 'op.begin', 'op.end'])
  expect(leaves.map(({ kind }) => kind)).toEqual([
    'session.open',
    ...['op.begin', 'op.end', 'op.begin', 'op.end'],
    'session.close',
  ])
})

test('what an end carries counts toward what has gathered', () => {
  const { entries } = journalled((session) => {
    for (let op = 1; op <= 40; op++) session.record(begin(op))
    for (let op = 1; op <= 40; op++) session.record(end(op, one('msg', 'x'.repeat(10_000))))
  })
  expect(entries.length).toBeGreaterThan(40)
  expect(entries.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 'op'))
})
