import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Step } from '../../../protocols/relay.ts'
import { hex, join, packet, text } from '../../support/mysql-play.ts'
import { events, SUBSTITUTE, sent } from './refusal-setting.ts'
import {
  begin,
  client,
  error,
  ok,
  play,
  prepare,
  query,
  relayOptions,
  rows,
  target,
  u32,
} from './relay-setting.ts'

describe('KILL (T-MY-10)', () => {
  test('of a thread of the same person goes to the number that the target knows', () => {
    const { done } = play(relayOptions(), [
      client(query('kill query 78'), packet(0, 12, u32(78)), prepare('KILL 78')),
    ])
    expect(sent(done, 'target')).toBe(
      hex(join(query('KILL QUERY 4712'), packet(0, 12, u32(4712)), prepare('KILL 4712'))),
    )
    expect(events(done, 'begin')).toMatchObject([
      { sql: 'kill query 78', meta: { kill: { given: 78, target: 4712 } } },
      { cmd: 'COM_PROCESS_KILL 78', meta: { kill: { given: 78, target: 4712 } } },
      { sql: 'KILL 78', meta: { kill: { given: 78, target: 4712 } } },
    ])
  })

  test.each([
    'KILL 79',
    'KILL 4712',
    'kill hard connection 79',
    'KILL USER app',
    'KILL QUERY ID 78',
    'KILL 78 + 0',
    'KILL @x',
    'KILL -78',
    'KILL (SELECT 78)',
    'KILL 78; SELECT 1',
    'SELECT 1; KILL 78',
    '/*!50000 KILL */ 79',
    '/*!99999 KILL */ 78',
    'BEGIN NOT ATOMIC KILL 5; END',
    "PREPARE s FROM 'KILL 5'",
    "EXECUTE IMMEDIATE 'kill 5'",
    'SET STATEMENT max_statement_time = 1 FOR KILL 5',
    'SELECT "a\\"; KILL 5 -- "',
    'KILL ?',
  ])('%s is refused', (sql) => {
    const { done } = play(relayOptions(), [client(query(sql), prepare(sql))])
    expect(sent(done, 'target')).toBe(hex(join(query(SUBSTITUTE), prepare(SUBSTITUTE))))
    expect(events(done, 'decision').map((one) => one['sql'])).toEqual([sql, sql])
  })

  test.each([
    "SELECT 'kill 5'",
    'SELECT t.kill FROM t',
    'SELECT `kill`',
    '-- kill 5\nSELECT 1',
    'SELECT @kill',
  ])('%s kills nobody', (sql) => {
    const { done } = play(relayOptions(), [client(query(sql))])
    expect(sent(done, 'target')).toBe(hex(query(sql)))
  })

  test('of a thread that ends while a verdict is awaited goes to the number it had', () => {
    const numbers = [4712]
    const { machine, ledger } = begin(relayOptions({ judge: true, findThread: () => numbers.pop() }))
    ledger.take(machine.receive('client', packet(0, 12, u32(78))))
    ledger.take(machine.verdict({ allow: true }))
    expect(sent(ledger.done, 'target')).toBe(hex(packet(0, 12, u32(4712))))
  })

  test("COM_PROCESS_KILL of another's number, or of the target's own, is refused", () => {
    const { done } = play(relayOptions(), [client(packet(0, 12, u32(4712)))])
    expect(sent(done, 'target')).toBe(hex(query(SUBSTITUTE)))
    expect(events(done, 'decision')).toMatchObject([{ act: 'db.other', cmd: 'COM_PROCESS_KILL 4712' }])
  })
})

describe('commands that never pass', () => {
  test.each([
    [7, 'COM_REFRESH'],
    [8, 'COM_SHUTDOWN'],
    [13, 'COM_DEBUG'],
    [18, 'COM_BINLOG_DUMP'],
    [30, 'COM_BINLOG_DUMP_GTID'],
    [21, 'COM_REGISTER_SLAVE'],
    [0xfa, 'COM_STMT_BULK_EXECUTE'],
  ])('%i is denied by name, in its turn (T-MY-06)', (code, name) => {
    const { done } = play(relayOptions(), [
      client(query('select 1'), packet(0, code, 1, 2, 3)),
      target(...rows(1, ['1'])),
    ])
    expect(sent(done, 'target')).toBe(hex(query('select 1')))
    expect(events(done, 'decision')).toMatchObject([{ op: 2, cmd: name }])
    const told = Buffer.from(done.at(-1)?.hex ?? '', 'hex').toString('latin1')
    expect([told.includes(`${name} does not pass this gateway`), told.includes('k3v5.2')]).toEqual([
      true,
      true,
    ])
    expect(done.at(-2)).toEqual({ step: 'hold' })
  })

  test('an unknown one is answered with 1047', () => {
    const { done } = play(relayOptions(), [client(packet(0, 0x77, 'frob'))])
    expect(sent(done, 'target')).toBe('')
    expect(sent(done, 'client')).toBe(hex(packet(1, 0xff, 0x17, 0x04, '#08S01unknown command\nid  : k3v5.1')))
  })

  test('one that is too long is refused by its hash, and the next one runs', () => {
    const options = relayOptions({ statementBytesMax: 100 })
    const sql = 'x'.repeat(70_000)
    const { machine, ledger } = begin(options)
    const stream = join(query(sql), query('select 1'))
    for (let at = 0; at < stream.length; at += 1000)
      ledger.take(machine.receive('client', stream.slice(at, at + 1000)))
    ledger.take(machine.receive('target', join(error(1, 1064, 'near *'), ...rows(1, ['1']))))
    const sha256 = createHash('sha256').update('\x03').update(sql).digest('hex')
    expect(events(ledger.done, 'decision')).toMatchObject([
      { act: 'db.query', meta: { bytes: 70_001, sha256 } },
    ])
    expect(sent(ledger.done, 'target')).toBe(hex(join(query(SUBSTITUTE), query('select 1'))))
    expect(sent(ledger.done, 'client')).toContain(hex(text('too long to be recorded')))
  })

  test('the limit counts the bytes of the text', () => {
    const options = relayOptions({ statementBytesMax: 10 })
    const { done } = play(options, [
      client(query('0123456789'), query('0123456789a')),
      target(ok(1), error(1, 1064, 'near')),
    ])
    expect(sent(done, 'target')).toBe(hex(join(query('0123456789'), query(SUBSTITUTE))))
    expect(events(done, 'decision')).toMatchObject([{ op: 2, sql: '0123456789a' }])
  })

  test('a short one that is too long ends the connection', () => {
    const { done } = play(relayOptions(), [client(packet(0, 2, 'x'.repeat(5000)).subarray(0, 100))])
    expect(done.at(-1)).toMatchObject({
      step: 'close',
      why: 'client',
      message: 'a command longer than 4096 bytes',
    })
  })
})

describe('the read-only guard (T-MY-13)', () => {
  const GUARD = 'SET SESSION TRANSACTION READ ONLY'

  test('goes ahead of the first command, as a statement of our own that the client never sees', () => {
    const { done } = play(relayOptions({ readOnly: true }), [
      client(query('select 1')),
      target(ok(1), ...rows(1, ['1'])),
    ])
    expect(done.slice(0, 4)).toMatchObject([
      { event: 'begin', op: 1, sql: GUARD, meta: { gateway: true } },
      { to: 'target', hex: hex(query(GUARD)) },
      { event: 'begin', op: 2, sql: 'select 1' },
      { to: 'target' },
    ])
    expect(sent(done, 'client')).toBe(hex(join(...rows(1, ['1']))))
    expect(events(done, 'end')).toMatchObject([{ op: 1, outcome: 'ok' }, { op: 2 }])
  })

  test('goes again behind COM_RESET_CONNECTION, ahead of what follows it', () => {
    const { done } = play(relayOptions({ readOnly: true }), [
      client(packet(0, 0x1f), query('select 1')),
      target(ok(1), ok(1), ok(1)),
    ])
    expect(sent(done, 'target')).toBe(
      hex(join(query(GUARD), packet(0, 0x1f), query(GUARD), query('select 1'))),
    )
  })

  test('a target that refuses it is left', () => {
    const { done } = play(relayOptions({ readOnly: true }), [
      client(query('select 1')),
      target(error(1, 1064, 'no')),
    ])
    expect(done.at(-1)).toMatchObject({
      step: 'close',
      why: 'target',
      message: expect.stringContaining('read-only guard'),
    })
  })
})

describe('the limit of rows', () => {
  const LIMIT = packet(6, 0xff, 0x25, 0x05, '#70100more than 2 rows')

  test('ends a statement for the client, whatever more the target sends', () => {
    const many = rows(1, ['1', '2', '3', '4'], 2 | 8)
    const { done } = play(relayOptions({ rowsMax: 2 }), [
      client(query('select a'), query('select 2')),
      target(...many, ...rows(9, ['x']), ...rows(1, ['2'])),
    ])
    expect(done.slice(4)).toMatchObject([
      { to: 'client', hex: hex(join(...many.slice(0, 5))) },
      { event: 'begin', op: 3, act: 'db.cancel', parent: 1, meta: { gateway: true } },
      { step: 'cancel' },
      { event: 'end', op: 1, outcome: 'error', code: '1317', rows: 2, msg: 'more than 2 rows' },
      { step: 'hold' },
      { to: 'client', hex: expect.stringContaining(hex(LIMIT).slice(8)) },
      { event: 'end', op: 2, outcome: 'ok', rows: 1 },
      { step: 'hold' },
      { to: 'client' },
    ])
    expect(done[9]?.hex?.slice(6, 8)).toBe('06')
  })

  test('lets nothing follow until the cancel cannot hit it any more', () => {
    const { machine, ledger } = begin(relayOptions({ rowsMax: 1 }))
    const take = (steps: readonly Step[]): void => void ledger.take(steps)
    take(machine.receive('client', query('select a')))
    take(machine.receive('target', join(...rows(1, ['1', '2']))))
    expect(machine.full).toBe(true)
    take(machine.receive('client', query('select 2')))
    expect(Buffer.from(ledger.bytes('target')).includes('select 2')).toBe(false)
    take(machine.cancelled('ok'))
    expect(machine.full).toBe(false)
    expect(Buffer.from(ledger.bytes('target')).includes('select 2')).toBe(true)
    expect(ledger.events().filter(({ op }) => op === 2)).toMatchObject([
      { act: 'db.cancel' },
      { outcome: 'ok' },
    ])
  })

  test('counts the rows of all results, and only rows', () => {
    const two = [...rows(1, ['1'], 2 | 8), ...rows(6, ['2'])]
    const { done } = play(relayOptions({ rowsMax: 1 }), [client(query('select 1; select 2')), target(...two)])
    // The second result's definitions have passed, and its row has not.
    expect(sent(done, 'client')).toContain(hex(join(...two.slice(0, 8))))
    expect(sent(done, 'client')).not.toContain(hex(join(...two.slice(0, 9))))
    expect(events(done, 'end').at(-1)).toMatchObject({ op: 1, outcome: 'error', code: '1317', rows: 1 })
  })

  test('is no limit for as many rows as it says', () => {
    const { done } = play(relayOptions({ rowsMax: 2 }), [
      client(query('select a')),
      target(...rows(1, ['1', '2'])),
    ])
    expect(events(done, 'end')).toMatchObject([{ outcome: 'ok', rows: 2 }])
  })
})
