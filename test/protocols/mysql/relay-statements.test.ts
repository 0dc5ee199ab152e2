import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { FLAG } from '../../../protocols/mysql/capabilities.ts'
import { type Done, hex, packet, text } from '../../support/mysql-play.ts'
import {
  begin,
  client,
  definition,
  eof,
  error,
  execute,
  ok,
  play,
  prepare,
  prepared,
  query,
  relayOptions,
  rows,
  target,
  u32,
} from './relay-setting.ts'

const events = (done: readonly Done[], type: string) => done.filter(({ event }) => event === type)
const LAST = 0xffffffff
const INT = '\x03\x00'

/** Bound values of one 4-byte integer, with its type and without. */
const one = (value: number) => [0, 1, INT, u32(value)] as const
const again = (value: number) => [0, 0, u32(value)] as const

describe('a prepared statement', () => {
  test('is an operation; its outcome is the first packet, and its definitions follow', () => {
    const answer = prepared(5, 1, 1)
    const { done } = play(relayOptions(), [client(prepare('select ?')), target(...answer)])
    expect(done.slice(2)).toEqual([
      { event: 'end', op: 1, outcome: 'ok' },
      { step: 'hold' },
      { to: 'client', hex: answer.map(hex).join('') },
    ])
    expect(done[0]).toMatchObject({ act: 'db.prepare', sql: 'select ?' })
  })

  test('may come without its definitions, where that was agreed on', () => {
    const flags = FLAG.OPTIONAL_RESULTSET_METADATA
    const { done } = play(relayOptions({}, { flags }), [
      client(prepare('select ?'), query('do 1')),
      target(packet(1, 0, u32(5), 1, 0, 1, 0, 0, 0, 0, 0), eof(2), eof(3), ok(1)),
    ])
    expect(events(done, 'end')).toMatchObject([
      { op: 1, outcome: 'ok' },
      { op: 2, outcome: 'ok' },
    ])
  })

  test('is executed with its text and its parameters, whose types hold until others are sent', () => {
    const { done } = play(relayOptions(), [
      client(prepare('select ?')),
      target(...prepared(5, 1, 1)),
      client(execute(5, ...one(7))),
      target(...rows(1, ['7'])),
      client(execute(5, ...again(8)), execute(5, 1, 0)),
      target(...rows(1, ['8']), error(1, 1064, 'no')),
    ])
    expect(events(done, 'begin').slice(1)).toMatchObject([
      { op: 2, act: 'db.execute', sql: 'select ?', args: [7] },
      { op: 3, act: 'db.execute', sql: 'select ?', args: [8] },
      { op: 4, act: 'db.execute', sql: 'select ?', args: [null] },
    ])
    expect(events(done, 'end').slice(1)).toMatchObject([
      { op: 2, outcome: 'ok', rows: 1 },
      { op: 3, outcome: 'ok', rows: 1 },
      { op: 4, outcome: 'error', code: '1064' },
    ])
  })

  test('shows of its parameters only the types, where they are redacted', () => {
    const { done } = play(relayOptions({ parameters: 'redact' }), [
      client(prepare('select ?')),
      target(...prepared(5, 1, 0)),
      client(execute(5, ...one(7))),
    ])
    expect(events(done, 'begin')[1]).toMatchObject({ args: [{ type: 'LONG' }] })
  })

  test('that the target does not know is recorded as unknown, with the bytes as they are', () => {
    const { done } = play(relayOptions(), [client(execute(9, 0xab, 0xcd)), target(error(1, 1243, 'unknown'))])
    expect(events(done, 'begin')[0]).toMatchObject({
      args: [{ undecoded: 'abcd' }],
      meta: { unknown: 'statement', name: '9' },
    })
  })

  test('that is closed, or lost with the session, is not known any more; closing is not recorded', () => {
    const { done } = play(relayOptions(), [
      client(prepare('select 1'), prepare('select 2')),
      target(...prepared(1, 0, 0), ...prepared(2, 0, 0)),
      client(packet(0, 0x19, u32(1)), execute(1), packet(0, 0x1f)),
      target(error(1, 1243, 'unknown'), ok(1)),
      client(execute(2)),
    ])
    expect(events(done, 'begin').slice(2)).toMatchObject([
      { act: 'db.execute', meta: { unknown: 'statement', name: '1' } },
      { cmd: 'COM_RESET_CONNECTION' },
      { act: 'db.execute', meta: { unknown: 'statement', name: '2' } },
    ])
  })

  test('with a cursor is answered without rows; each fetch is an operation of its own within it', () => {
    const cursor = [packet(1, 1), definition(2), eof(3, 2 | 0x40)]
    const row = (sequence: number) => packet(sequence, 0, 0, 'x')
    const { done } = play(relayOptions(), [
      client(prepare('select a')),
      target(...prepared(5, 0, 1)),
      client(packet(0, 0x17, u32(5), 1, u32(1))),
      target(...cursor),
      client(packet(0, 0x1c, u32(5), u32(2))),
      target(row(1), row(2), eof(3, 2 | 0x40)),
      client(packet(0, 0x1c, u32(5), u32(2))),
      target(row(1), eof(2, 2 | 0x80)),
    ])
    expect(events(done, 'end').slice(1)).toMatchObject([
      { op: 2, outcome: 'ok', rows: 0 },
      { op: 3, outcome: 'ok', rows: 2 },
      { op: 4, outcome: 'ok', rows: 1 },
    ])
    expect(events(done, 'begin')[2]).toMatchObject({ parent: 2, sql: 'select a', meta: { fetch: 2 } })
  })

  test('a cursor with EOF deprecated ends with an OK right behind its definitions', () => {
    const { done } = play(relayOptions({}, { flags: FLAG.DEPRECATE_EOF }), [
      client(prepare('select a')),
      target(packet(1, 0, u32(5), 1, 0, 0, 0, 0, 0, 0), definition(2)),
      client(packet(0, 0x17, u32(5), 1, u32(1))),
      target(packet(1, 1), definition(2), packet(3, 0xfe, 0, 0, 0x42, 0, 0, 0)),
    ])
    expect(events(done, 'end')[1]).toMatchObject({ outcome: 'ok', rows: 0 })
  })

  test('that the target refuses is none', () => {
    const { done } = play(relayOptions(), [
      client(prepare('frob')),
      target(error(1, 1064, 'no')),
      client(execute(LAST)),
    ])
    expect(events(done, 'end')[0]).toMatchObject({ outcome: 'error', code: '1064' })
    expect(events(done, 'begin')[1]).toMatchObject({ meta: { unknown: 'statement', name: '4294967295' } })
  })
})

describe('a statement whose number is guessed', () => {
  test('is waited for, so that its execution is recorded with its text', () => {
    const { done } = play(relayOptions(), [
      client(prepare('select ?'), execute(5, ...one(7)), packet(0, 0x19, u32(5)), execute(5, ...again(8))),
      target(...prepared(5, 1, 1)),
      target(...rows(1, ['7'])),
    ])
    expect(events(done, 'begin').slice(1)).toMatchObject([
      { sql: 'select ?', args: [7] },
      { meta: { unknown: 'statement' } },
    ])
  })
})

describe('the statement prepared last, by -1 (T-MY-09)', () => {
  test('is the one behind COM_RESET_CONNECTION, which waits for it to be over', () => {
    const { done } = play(relayOptions(), [
      client(packet(0, 0x1f), prepare('select ?'), execute(LAST, ...one(7))),
      target(ok(1)),
      target(...prepared(6, 1, 1), ...rows(1, ['7'])),
    ])
    expect(events(done, 'begin')[2]).toMatchObject({ sql: 'select ?', args: [7] })
  })

  test('may be executed before its number is known, its parameters counted in its text', () => {
    const { done } = play(relayOptions(), [
      client(prepare("select ?, '?' -- ?"), execute(LAST, ...one(7)), packet(0, 0x19, u32(LAST))),
      target(...prepared(5, 1, 1), ...rows(1, ['7'])),
    ])
    expect(events(done, 'begin')[1]).toMatchObject({ sql: "select ?, '?' -- ?", args: [7] })
    expect(events(done, 'end')).toMatchObject([{ outcome: 'ok' }, { outcome: 'ok', rows: 1 }])
  })

  test('whose text may be read otherwise is recorded by its bytes', () => {
    const { done } = play(relayOptions(), [client(prepare('select /*!99999 ? */ 1'), execute(LAST, 1, 2))])
    expect(events(done, 'begin')[1]).toMatchObject({ args: [{ undecoded: '0102' }] })
  })

  test('whose parameters were miscounted ends the connection, so that no wrong record goes on', () => {
    const { done } = play(relayOptions(), [
      client(prepare('select ?'), execute(LAST, ...one(7))),
      target(...prepared(5, 2, 1)),
    ])
    expect(done.at(-1)).toMatchObject({
      step: 'close',
      why: 'target',
      message: expect.stringContaining('2 parameters'),
    })
  })

  test('is refused behind a refused one, and never an older one instead', () => {
    const judge = (sql: string) =>
      sql.includes('drop')
        ? ({ cause: 'statement', what: 'no', why: '', next: '', record: '' } as const)
        : undefined
    const { done } = play(
      relayOptions({ judge: true }),
      [
        client(prepare('select 1')),
        target(...prepared(5, 0, 1)),
        client(prepare('drop table t'), execute(LAST)),
        target(error(1, 1064, 'syntax'), error(1, 1243, 'unknown')),
      ],
      judge,
    )
    expect(events(done, 'decision')).toMatchObject([
      { act: 'db.prepare', sql: 'drop table t', rule: 'no' },
      { act: 'db.execute' },
    ])
    const sent = done.filter(({ to }) => to === 'target').map((one) => one.hex)
    expect(sent[1]).not.toContain(hex(text('drop')))
    expect(sent.slice(1).join('')).toContain(hex(packet(0, 0x17, u32(0), 0, u32(1))))
    expect(sent.join('')).not.toContain('17ffffffff')
  })
})

describe('values sent ahead (T-MY-09)', () => {
  test('stand in the record of the execution they are for, whole while they are short', () => {
    const { done } = play(relayOptions(), [
      client(prepare('insert into t values (?, ?)')),
      target(...prepared(5, 2, 0)),
      client(
        packet(0, 0x18, u32(5), 1, 0, 'long '),
        packet(0, 0x18, u32(5), 1, 0, 'value'),
        execute(5, 0, 1, INT, Uint8Array.of(0xfc, 0), u32(7)),
        execute(5, 2, 0, u32(8)),
      ),
      target(ok(1, 1), ok(1, 1)),
    ])
    expect(events(done, 'begin').slice(1)).toMatchObject([{ args: [7, 'long value'] }, { args: [8, null] }])
    expect(done.filter(({ to }) => to === 'target')[1]?.hex).toContain(hex(text('long ')))
  })

  test('are cleared by a reset', () => {
    const { done } = play(relayOptions(), [
      client(prepare('do ?')),
      target(...prepared(5, 1, 0)),
      client(packet(0, 0x18, u32(5), 0, 0, 'x'), packet(0, 0x1a, u32(5)), execute(5, ...one(3))),
    ])
    expect(events(done, 'begin').slice(1)).toMatchObject([{ cmd: 'COM_STMT_RESET 5' }, { args: [3] }])
  })

  test('show as length and hash when they are long', () => {
    const piece = new Uint8Array(600_000).fill(0x61)
    const { machine, ledger } = begin(relayOptions())
    ledger.take(machine.receive('client', prepare('do ?')))
    for (const bytes of prepared(5, 1, 0)) ledger.take(machine.receive('target', bytes))
    for (let i = 0; i < 2; i++) ledger.take(machine.receive('client', packet(0, 0x18, u32(5), 0, 0, piece)))
    ledger.take(machine.receive('client', execute(5, 0, 1, Uint8Array.of(0xfc, 0))))
    const sha256 = createHash('sha256').update(piece).update(piece).digest('hex')
    expect(events(ledger.done, 'begin')[1]).toMatchObject({ args: [{ bytes: 1_200_000, sha256 }] })
  })

  test('for a statement that is not known are not forwarded', () => {
    const { done } = play(relayOptions(), [client(packet(0, 0x18, u32(9), 0, 0, 'x'))])
    expect(done).toEqual([])
  })

  test('above the limit are refused, and so is the execution without them', () => {
    const options = relayOptions({ statementBytesMax: 10 })
    const huge = new Uint8Array(70_000).fill(1)
    const { machine, ledger } = begin(options)
    ledger.take(machine.receive('client', prepare('do ?')))
    for (const bytes of prepared(5, 1, 0)) ledger.take(machine.receive('target', bytes))
    ledger.take(machine.receive('client', packet(0, 0x18, u32(5), 0, 0, huge)))
    ledger.take(machine.receive('client', execute(5, ...one(3))))
    ledger.take(machine.receive('client', packet(0, 0x1a, u32(5))))
    ledger.take(machine.receive('client', execute(5, ...one(4))))
    expect(events(ledger.done, 'decision')).toMatchObject([
      { cmd: 'COM_STMT_SEND_LONG_DATA 5', meta: { bytes: 70_007 } },
      { act: 'db.execute', sql: 'do ?' },
    ])
    expect(events(ledger.done, 'begin').at(-1)).toMatchObject({ args: [4] })
    expect(hex(ledger.bytes('target'))).not.toContain('010101010101')
  })
})

test('cached definitions may be left out of an execution (MariaDB)', () => {
  const { done } = play(relayOptions({}, { flags: FLAG.DEPRECATE_EOF, extended: 0x10 }), [
    client(prepare('select a')),
    target(packet(1, 0, u32(5), 1, 0, 0, 0, 0, 0, 0), definition(2)),
    client(execute(5), query('select 1')),
    target(
      packet(1, 1, 0),
      packet(2, 0, 0, 'x'),
      packet(3, 0xfe, 0, 0, 2, 0, 0, 0),
      packet(1, 1, 1),
      definition(2),
      packet(3, 1, 'y'),
      packet(4, 0xfe, 0, 0, 2, 0, 0, 0),
    ),
  ])
  expect(events(done, 'end').slice(1)).toMatchObject([{ rows: 1 }, { rows: 1 }])
})

test('a statement whose text is no longer kept is named by the operation that prepared it', () => {
  const long = `select '${'x'.repeat(9 << 20)}'`
  const { machine, ledger } = begin(relayOptions())
  const framed = (sql: string) => packet(0, 0x16, sql)
  for (const id of [1, 2]) {
    ledger.take(machine.receive('client', framed(long)))
    for (const bytes of prepared(id, 0, 1)) ledger.take(machine.receive('target', bytes))
  }
  ledger.take(machine.receive('client', execute(1)))
  ledger.take(machine.receive('client', execute(2)))
  const [, , first, second] = events(ledger.done, 'begin')
  expect(first).toMatchObject({ sql: long })
  expect(second).toMatchObject({ op: 4, meta: { prepared: 2 } })
  expect(second).not.toHaveProperty('sql')
})
