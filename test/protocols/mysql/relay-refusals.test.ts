import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { answerNative } from '../../../protocols/mysql/auth.ts'
import { FLAG } from '../../../protocols/mysql/capabilities.ts'
import type { Step } from '../../../protocols/relay.ts'
import { type Done, hex, join, packet, text } from '../../support/mysql-play.ts'
import {
  begin,
  client,
  error,
  execute,
  ok,
  play,
  prepare,
  prepared,
  query,
  REFUSAL,
  relayOptions,
  rows,
  SCRAMBLE,
  target,
  u32,
} from './relay-setting.ts'

const events = (done: readonly Done[], type: string) => done.filter(({ event }) => event === type)
const sent = (done: readonly Done[], to: 'client' | 'target') =>
  done
    .filter((one) => one.to === to)
    .map((one) => one.hex)
    .join('')
const judge = (sql: string) => (/delete/i.test(sql) ? REFUSAL : undefined)
const judged = relayOptions({ judge: true })

/** What the person reads, naming the record of the decision. */
const refusal = (sequence: number, record: string) =>
  packet(
    sequence,
    0xff,
    0x76,
    0x04,
    `#42000no bare DELETE\nwhy : DELETE needs a WHERE here\nnext: add one\nid  : ${record}`,
  )
const SUBSTITUTE = '* gatebook refused this statement *'

describe('a refused statement', () => {
  test('is decided first, replaced by one that the target rejects, and answered in its place', () => {
    const { done } = play(judged, [client(query('delete from t')), target(error(1, 1064, 'near *'))], judge)
    expect(done).toEqual([
      { step: 'judge', text: 'delete from t', database: 'shop', dependable: true },
      { event: 'decision', op: 1, act: 'db.query', rule: 'no', sql: 'delete from t', meta: META },
      {
        event: 'begin',
        op: 2,
        act: 'db.query',
        parent: 1,
        sql: SUBSTITUTE,
        meta: { ...META, gateway: true },
      },
      { to: 'target', hex: hex(query(SUBSTITUTE)) },
      { event: 'end', op: 2, outcome: 'error', code: '1064' },
      { step: 'hold' },
      { to: 'client', hex: hex(refusal(1, 'k3v5.1')) },
    ])
  })

  test('keeps its place in a pipeline, and what is allowed runs under its rule', () => {
    const { done } = play(
      judged,
      [
        client(query('select 1'), query('delete from t'), query('select 2')),
        target(...rows(1, ['1']), error(1, 1064, 'near *'), ...rows(1, ['2'])),
      ],
      judge,
    )
    expect(events(done, 'begin').map(({ sql, rule }) => [sql, rule])).toEqual([
      ['select 1', 'r'],
      [SUBSTITUTE, undefined],
      ['select 2', 'r'],
    ])
    expect(sent(done, 'client')).toBe(hex(join(...rows(1, ['1']), refusal(1, 'k3v5.2'), ...rows(1, ['2']))))
  })

  test('of several statements is refused whole, whatever the first of them does (T-MY-07)', () => {
    const { done } = play(judged, [client(query('select 1; delete from t'))], judge)
    expect(sent(done, 'target')).toBe(hex(query(SUBSTITUTE)))
  })

  test('that is prepared fails as a prepared one does; an execution fails by an unknown number', () => {
    const later = (sql: string) => (events.length > 0 && sql === 'select ?' ? undefined : judge(sql))
    const { done } = play(judged, [client(prepare('delete from t')), target(error(1, 1064, 'near *'))], later)
    expect(sent(done, 'target')).toBe(hex(prepare(SUBSTITUTE)))
    let allowed = 1
    const { machine, ledger } = begin(judged)
    const feed = (from: 'client' | 'target', bytes: Uint8Array) => {
      for (const step of ledger.take(machine.receive(from, bytes))) {
        if (step.type !== 'judge') continue
        ledger.take(machine.verdict(allowed-- > 0 ? { allow: true } : { allow: false, refusal: REFUSAL }))
      }
    }
    feed('client', prepare('select 1'))
    for (const bytes of prepared(5, 0, 1)) feed('target', bytes)
    feed('client', execute(5))
    feed('target', error(1, 1243, 'unknown statement'))
    expect(events(ledger.done, 'decision')).toMatchObject([{ act: 'db.execute', sql: 'select 1' }])
    expect(sent(ledger.done, 'target')).toBe(hex(join(prepare('select 1'), execute(0))))
    expect(ledger.done.at(-1)?.hex).toBe(hex(refusal(1, 'k3v5.2')))
  })

  test('carries no attributes of the person, where the target expects some', () => {
    const options = relayOptions({ judge: true }, { flags: FLAG.QUERY_ATTRIBUTES })
    const { done } = play(options, [client(packet(0, 3, 0, 1, 'delete from t'))], judge)
    expect(sent(done, 'target')).toBe(hex(packet(0, 3, 0, 1, SUBSTITUTE)))
  })

  test('commands without a text are judged as the statement that does the same', () => {
    const { done } = play(judged, [client(packet(0, 6, 'a`delete')), target(error(1, 1064, 'near *'))], judge)
    expect(done[0]).toMatchObject({ step: 'judge', text: 'DROP DATABASE `a``delete`' })
    expect(events(done, 'decision')).toMatchObject([{ act: 'db.other', cmd: 'COM_DROP_DB a`delete' }])
    expect(sent(done, 'client')).toBe(hex(refusal(1, 'k3v5.1')))
  })

  test('a target that takes the substitute is left at once', () => {
    const { done } = play(judged, [client(query('delete from t')), target(ok(1))], judge)
    expect(done.at(-1)).toMatchObject({ step: 'close', why: 'target' })
  })

  test('is judged and forwarded as it was, whatever its owner does with the chunk meanwhile', () => {
    const { machine, ledger } = begin(judged)
    const chunk = query('select 1')
    ledger.take(machine.receive('client', chunk))
    chunk.fill(0xee)
    ledger.take(machine.verdict({ allow: true }))
    expect(sent(ledger.done, 'target')).toBe(hex(query('select 1')))
    expect(events(ledger.done, 'begin')).toMatchObject([{ sql: 'select 1' }])
  })

  test('while a verdict is awaited the client waits, and the target goes on', () => {
    const { machine, ledger } = begin(judged)
    const feed = (bytes: Uint8Array) => ledger.take(machine.receive('client', bytes))
    feed(join(query('select 1'), query('select 2')))
    expect([machine.full, machine.idle]).toEqual([true, false])
    feed(packet(0, 14))
    ledger.take(machine.verdict({ allow: true }))
    expect(machine.full).toBe(true)
    ledger.take(machine.receive('target', join(...rows(1, ['1']))))
    ledger.take(machine.verdict({ allow: true }))
    expect(machine.full).toBe(false)
    expect(events(ledger.done, 'begin').map(({ sql, cmd }) => sql ?? cmd)).toEqual([
      'select 1',
      'select 2',
      'COM_PING',
    ])
  })
})

const META = { database: 'shop', transaction: 'none', charset: 'utf8mb4', pid: 4711 }

describe('a text is not dependable', () => {
  const dependable = (before: string, flags = {}) => {
    const { done } = play(relayOptions({ judge: true }, flags), [
      client(query(before)),
      target(ok(1)),
      client(query('select 1')),
    ])
    return done.filter(({ step }) => step === 'judge').map((one) => one['dependable'])
  }

  test.each([
    ['set names gbk', {}, [true, false]],
    ['set character_set_client = @x', {}, [true, false]],
    ["set sql_mode = 'ANSI_QUOTES'", {}, [true, false]],
    ["set sql_mode = concat('a')", {}, [true, false]],
    ['set names utf8mb4', {}, [true, true]],
    ["set sql_mode = 'STRICT_TRANS_TABLES', names latin1", {}, [true, true]],
    ["prepare s from 'set names gbk'", {}, [true, false]],
    ["execute immediate 'set nam\\es gbk'", {}, [true, false]],
    ['set @@session.`character_set_client` = gbk', {}, [true, false]],
    ["set `sql_mode` = 'NO_BACKSLASH_ESCAPES'", {}, [true, false]],
    ['set @old = @@character_set_client, @mode = @@sql_mode', {}, [true, true]],
    ['select 1', { charset: 28 }, [false, false]],
    ['select 1', { status: 0x202 }, [false, true]],
    ['select 1', { status: 0x8002 }, [false, true]],
  ])('by %s %j', (before, flags, expected) => {
    expect(dependable(before, flags)).toEqual(expected)
  })

  test('prepared by the binary protocol', () => {
    const { done } = play(relayOptions({ judge: true }), [
      client(packet(0, 0x16, 'set names gbk')),
      target(packet(1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
      client(query('select 1')),
    ])
    expect(done.filter(({ step }) => step === 'judge').map((one) => one['dependable'])).toEqual([true, false])
  })

  test.each([
    ['utf8mb4', 45, 'select 1', true],
    ['latin1', 8, 'select 1', false],
    ['utf8mb4, then another', 45, 'set names latin1', false],
    ['utf8mb4, then another among others', 45, 'set @a = 1, names latin1', false],
    ['utf8mb4, then perhaps another', 45, 'set names default', false],
    ['latin1, then UTF-8', 8, 'set names utf8mb4 collate utf8mb4_bin', true],
    ['latin1, then UTF-8 and back', 8, 'set names utf8mb4; set names latin1', false],
  ])('beyond ASCII, where its bytes may be white space: %s', (_, charset, before, expected) => {
    const { done } = play(relayOptions({ judge: true }, { charset }), [
      client(query(before)),
      target(ok(1)),
      client(query('select 1 from à')),
    ])
    expect(done.filter(({ step }) => step === 'judge').map((one) => one['dependable'])).toEqual([
      true,
      expected,
    ])
  })

  test('once the target tells of an unsafe character set, until the session begins anew', () => {
    const tracked = packet(1, 0, 0, 0, 2, 0x40, 0, 0, 0, 28, 0, 26, '\x14character_set_client', '\x04gbk\x20')
    const safe = packet(1, 0, 0, 0, 2, 0x40, 0, 0, 0, 27, 0, 25, '\x14character_set_client', '\x03gbk')
    const { done } = play(relayOptions({ judge: true }, { flags: FLAG.SESSION_TRACK }), [
      client(query('call p()')),
      target(safe),
      client(query('select 1')),
      target(ok(1)),
      client(packet(0, 0x1f)),
      target(ok(1)),
      client(query('select 1')),
    ])
    expect(done.filter(({ step }) => step === 'judge').map((one) => one['dependable'])).toEqual([
      true,
      false,
      true,
    ])
    expect(tracked).toHaveLength(41)
  })
})

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

describe('LOAD DATA LOCAL', () => {
  const LOAD = "load data local infile 'a.csv' into table t"
  const asked = packet(1, 0xfb, 'a.csv')
  const options = relayOptions({ localFiles: true })

  test('passes the file that the statement names, counted and hashed', () => {
    const { done } = play(options, [
      client(query(LOAD)),
      target(asked),
      client(packet(2, '1,2\n'), packet(3, '3,4\n'), packet(4)),
      target(ok(5, 2)),
      client(query('select 1')),
      target(...rows(1, ['1'])),
    ])
    const sha256 = createHash('sha256').update('1,2\n3,4\n').digest('hex')
    expect(done).toMatchObject([
      { event: 'begin', sql: LOAD },
      { to: 'target' },
      { to: 'client', hex: hex(asked) },
      { to: 'target', hex: hex(join(packet(2, '1,2\n'), packet(3, '3,4\n'), packet(4))) },
      { event: 'end', outcome: 'ok', rows: 2, meta: { file: { name: 'a.csv', bytes: 8, sha256 } } },
      { step: 'hold' },
      { to: 'client', hex: hex(ok(5, 2)) },
      ...Array(6).fill({}),
    ])
  })

  test('is refused where files are not allowed, and a target that asks all the same is left', () => {
    const { done } = play(relayOptions(), [client(query(LOAD)), target(packet(1, 0xfb, 'a.csv'))])
    expect(events(done, 'decision')).toMatchObject([{ act: 'db.query', sql: LOAD }])
    expect(sent(done, 'target')).not.toContain(hex(text('infile')))
    expect(done.at(-1)).toMatchObject({ step: 'close', why: 'target' })
    expect(sent(done, 'client')).not.toContain(hex(text('a.csv')))
  })

  test('records the file whole, where that is wanted', () => {
    const { done } = play(relayOptions({ localFiles: true, copyBodies: true }), [
      client(query(LOAD)),
      target(asked),
      client(packet(2, 'abc'), packet(3)),
      target(ok(4)),
    ])
    expect(events(done, 'data')).toEqual([
      { event: 'data', op: 1, stream: 'in', frame: 'i', bytes: hex(text('abc')) },
    ])
  })

  test.each([
    ['SELECT 1', 'a.csv'],
    [LOAD, '/etc/passwd'],
    ["load data infile 'a.csv' into table t", 'a.csv'],
    ["select 'load data local infile', 'a.csv'", 'a.csv'],
  ])(
    'a target that answers %s by asking for %s is left, and the client is not asked (T-MY-04)',
    (sql, name) => {
      const { done } = play(relayOptions({ localFiles: true }), [
        client(query(sql)),
        target(packet(1, 0xfb, name)),
      ])
      expect(done.at(-1)).toMatchObject({
        step: 'close',
        why: 'target',
        message: expect.stringContaining(name),
      })
      expect(sent(done, 'client')).not.toContain(hex(packet(1, 0xfb, name)))
      expect(events(done, 'end')).toMatchObject([{ outcome: 'aborted' }])
    },
  )

  test('with commands sent ahead of the file is left', () => {
    const { done } = play(options, [client(query(LOAD), query('select 1')), target(asked)])
    expect(done.at(-1)).toMatchObject({ step: 'close', message: 'commands were sent ahead of a file' })
  })

  test('with half a command sent ahead of the file is left', () => {
    const { done } = play(options, [
      client(query(LOAD), query('select 1').subarray(0, 3)),
      target(asked),
      client(packet(2)),
    ])
    expect(done.at(-1)).toMatchObject({
      step: 'close',
      why: 'client',
      message: expect.stringContaining('half a command'),
    })
  })

  test('a file of another count of packets is left', () => {
    const { done } = play(options, [client(query(LOAD)), target(asked), client(packet(0, '1,2\n'))])
    expect(done.at(-1)).toMatchObject({ step: 'close', why: 'client' })
  })
})

describe('COM_CHANGE_USER (T-MY-12)', () => {
  const FRESH = new Uint8Array(20).fill(9)
  const change = (user: string) =>
    packet(0, 0x11, `${user}\0`, 0, 'other\0', 45, 0, 'mysql_native_password\0')
  const asks = packet(1, 0xfe, 'mysql_native_password\0', FRESH, 0)
  const proof = (password: string) => packet(2, answerNative(text(password), FRESH))
  const own = packet(
    0,
    0x11,
    'app\0',
    20,
    answerNative(text('secret'), SCRAMBLE),
    'other\0',
    45,
    0,
    'mysql_native_password\0',
  )

  test('proves the person to us anew, us to the target, and begins the session anew', () => {
    const { done } = play(relayOptions({ readOnly: true }), [
      client(query('select 1')),
      target(ok(1), ...rows(1, ['1'])),
      client(change('alice~shop')),
      client(proof('right')),
      target(packet(1, 0xfe, 'mysql_native_password\0', SCRAMBLE, 0)),
      target(ok(3)),
      client(query('select 2')),
    ])
    expect(done.slice(8)).toMatchObject([
      { to: 'client', hex: expect.stringContaining(hex(asks)) },
      { event: 'begin', op: 3, act: 'db.other', cmd: 'COM_CHANGE_USER alice~shop other' },
      { to: 'target', hex: hex(join(own, packet(2, answerNative(text('secret'), SCRAMBLE)))) },
      { event: 'end', op: 3, outcome: 'ok' },
      { step: 'hold' },
      { to: 'client', hex: hex(ok(3)) },
      { event: 'begin', op: 4, sql: 'SET SESSION TRANSACTION READ ONLY' },
      { to: 'target' },
      { event: 'begin', op: 5, sql: 'select 2', meta: { database: 'other' } },
      { to: 'target' },
    ])
  })

  test.each([
    ['alice~shop', 'wrong'],
    ['bob~shop', 'right'],
  ])('as %s with a secret that is %s ends the connection', (user, password) => {
    const { done } = play(relayOptions(), [client(change(user)), client(proof(password))])
    expect(done.slice(1)).toMatchObject([
      { event: 'decision', op: 1, cmd: `COM_CHANGE_USER ${user} other` },
      { step: 'hold' },
      { to: 'client', hex: expect.stringMatching(/^......03ff1504/) },
      { step: 'close', why: 'client' },
    ])
    expect(sent(done, 'target')).toBe('')
  })

  test('waits for what is under way, and what comes behind it waits too', () => {
    const { machine, ledger } = begin(relayOptions())
    ledger.take(machine.receive('client', join(query('select 1'), change('alice~shop'))))
    expect([machine.full, sent(ledger.done, 'client')]).toEqual([true, ''])
    ledger.take(machine.receive('target', join(...rows(1, ['1']))))
    expect(sent(ledger.done, 'client')).toBe(hex(join(...rows(1, ['1']), asks)))
    ledger.take(machine.receive('client', join(proof('right'), query('select 2'))))
    ledger.take(machine.receive('client', query('select 3')))
    ledger.take(machine.receive('target', packet(1, 0xfe, 'mysql_native_password\0', SCRAMBLE, 0)))
    expect(events(ledger.done, 'begin')).toHaveLength(2)
    ledger.take(machine.receive('target', ok(3)))
    expect(events(ledger.done, 'begin').map(({ sql, cmd }) => sql ?? cmd)).toEqual([
      'select 1',
      'COM_CHANGE_USER alice~shop other',
      'select 2',
      'select 3',
    ])
  })

  test('leaves no prepared statement, and forgets how texts were read', () => {
    const { done } = play(relayOptions({ judge: true }), [
      client(prepare('select 1'), query('set names gbk')),
      target(...prepared(5, 0, 1), ok(1)),
      client(change('alice~shop')),
      client(proof('right')),
      target(ok(1)),
      client(query('select 2'), execute(5)),
    ])
    expect(done.filter(({ step }) => step === 'judge').map((one) => one['dependable'])).toEqual([
      true,
      true,
      true,
      false,
    ])
    expect(events(done, 'begin').at(-1)).toMatchObject({ meta: { unknown: 'statement', name: '5' } })
  })

  test('that the target refuses ends the connection, with its number', () => {
    const { done } = play(relayOptions(), [
      client(change('alice~shop')),
      client(proof('right')),
      target(error(1, 1045, 'Access denied')),
    ])
    expect(done.slice(3)).toMatchObject([
      { event: 'end', outcome: 'error', code: '1045', msg: 'Access denied' },
      { step: 'hold' },
      { to: 'client' },
      { step: 'close', why: 'target' },
    ])
  })
})

describe('an end in the middle is told in the count of packets that the client awaits', () => {
  const ENDED = { cause: 'ended', what: 'ended', why: '', next: '', record: '' } as const
  const guarded = relayOptions({ readOnly: true })
  const files = relayOptions({ localFiles: true })
  const load = query("load data local infile 'f' into table t")
  const chosen = packet(0, 0x11, 'alice~shop\0', 0, '\0')

  test.each([
    ['before any answer', relayOptions(), [client(query('select 1'))], 1],
    [
      'between two rows',
      relayOptions(),
      [client(query('select 1')), target(...rows(1, ['1', '2']).slice(0, 4))],
      5,
    ],
    [
      'inside a row',
      relayOptions(),
      [client(query('select 1')), target(join(...rows(1, ['1', '2'])).subarray(0, 43))],
      undefined,
    ],
    ['behind our guard', guarded, [client(query('select 1')), target(packet(1).subarray(0, 2))], 1],
    ['at a refusal', judged, [client(query('delete')), target(error(1, 1064, 'x').subarray(0, 9))], 1],
    [
      'behind the limit of rows',
      relayOptions({ rowsMax: 1 }),
      [client(query('s')), target(...rows(1, ['1', '2']).slice(0, 5))],
      5,
    ],
    ['in a file', files, [client(load), target(packet(1, 0xfb, 'f')), client(packet(2, 'half'))], undefined],
    ['in a change of user', relayOptions(), [client(chosen)], 2],
  ] as const)('%s', (_, options, parts, sequence) => {
    const { machine, ledger } = begin(options)
    for (const { from, bytes } of parts) {
      for (const step of ledger.take(machine.receive(from, bytes))) {
        if (step.type === 'judge') ledger.take(machine.verdict({ allow: false, refusal: REFUSAL }))
      }
    }
    const before = ledger.bytes('client').length
    ledger.take(machine.stop(ENDED))
    const told = ledger.bytes('client').subarray(before)
    expect(hex(told)).toBe(
      sequence === undefined ? '' : hex(packet(sequence, 0xff, 0x1d, 0x04, '#08S01ended')),
    )
  })
})

describe('a hostile target', () => {
  test.each([
    ['speaks unasked', [ok(1)], 'unasked'],
    ['counts wrong', [query('select 1'), ok(2)], 'packet 2 where 1 was due'],
    ['sends an empty packet', [query('select 1'), packet(1)], 'an empty packet'],
    ['has no columns', [query('select 1'), packet(1, 0xfc, 0, 0)], 'no columns'],
    ['has columns without end', [query('select 1'), packet(1, 0xfd, 0, 0, 0xff)], '16711680 columns'],
    [
      'ends its definitions with a row',
      [query('s'), packet(1, 1), packet(2, 'def'), packet(3, 1, 'x')],
      'definitions',
    ],
    ['answers a PING with rows', [packet(0, 14), packet(1, 1)], 'without a result'],
    ['answers a PREPARE with rows', [prepare('x'), packet(1, 1)], 'COM_STMT_PREPARE'],
    [
      'sends an ERR of a megabyte',
      [query('s'), packet(1, 0xff, new Uint8Array(1_100_000))],
      'tells an outcome',
    ],
    ['sends an OK that is cut', [query('s'), packet(1, 0, 0)], 'bytes wanted'],
  ])('that %s is left; the process is not', (_, [first = ok(1), ...more], problem) => {
    const asksFirst = first[4] !== 0 || first.length < 6
    const { machine, ledger } = begin(relayOptions())
    if (more.length > 0 && asksFirst) ledger.take(machine.receive('client', first))
    else ledger.take(machine.receive('target', first))
    for (const bytes of more) ledger.take(machine.receive('target', bytes))
    expect(ledger.done.at(-1)).toMatchObject({
      step: 'close',
      why: 'target',
      message: expect.stringContaining(problem),
    })
  })

  test('names of columns and plugins are never keys (T-MY-03)', () => {
    const named = rows(1, ['x'])
    named[1] = packet(2, '\x03def\x09__proto__\x0bconstructor')
    const { done } = play(relayOptions(), [client(query('select 1')), target(...named)])
    expect(events(done, 'end')).toMatchObject([{ outcome: 'ok', rows: 1 }])
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })
})

describe('a hostile client', () => {
  test.each([
    ['counts wrong', packet(1, 14), 'packet 1 where 0 was due'],
    ['sends nothing as a command', packet(0), 'bytes wanted'],
    ['adds to a command', packet(0, 14, 0), 'behind the end'],
    ['binds an unknown type', execute(5, 0, 1, 0xf4, 0, 1), 'type 0xf4'],
    ['binds less than it says', execute(5, 0, 1, 0xfe, 0, 9, 'x'), '9 bytes wanted'],
    ['asks for two iterations', packet(0, 0x17, u32(5), 0, u32(2)), '2 iterations'],
  ])('that %s is left, and nothing of it forwarded', (_, bytes, problem) => {
    const { done } = play(relayOptions(), [
      client(prepare('do ?')),
      target(...prepared(5, 1, 0)),
      client(bytes),
    ])
    expect(done.at(-1)).toMatchObject({
      step: 'close',
      why: 'client',
      message: expect.stringContaining(problem),
    })
    expect(sent(done, 'target')).toBe(hex(prepare('do ?')))
  })

  test('may not have too many commands unanswered: it has to wait', () => {
    const { machine, ledger } = begin(relayOptions())
    const pings = join(...Array.from({ length: 10_000 }, () => packet(0, 14)))
    ledger.take(machine.receive('client', pings))
    expect([machine.full, events(ledger.done, 'begin').length]).toEqual([true, 8192])
    ledger.take(machine.receive('target', join(...Array.from({ length: 8192 }, () => ok(1)))))
    expect([machine.full, events(ledger.done, 'begin').length]).toEqual([false, 10_000])
  })
})
