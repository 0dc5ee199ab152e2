import { describe, expect, test } from 'vitest'
import { FLAG } from '../../../protocols/mysql/capabilities.ts'
import { hex, join, packet, text } from '../../support/mysql-play.ts'
import { begin, client, eof, error, ok, play, query, relayOptions, rows, target } from './relay-setting.ts'

const META = { database: 'shop', transaction: 'none', charset: 'utf8mb4', pid: 4711 }

describe('a query', () => {
  test('begins before it is forwarded; its rows pass; its end is recorded and held before the last packet', () => {
    const answer = rows(1, ['x', 'yz'])
    const { done } = play(relayOptions(), [client(query('select a from t')), target(...answer)])
    expect(done).toEqual([
      { event: 'begin', op: 1, act: 'db.query', sql: 'select a from t', meta: META },
      { to: 'target', hex: hex(query('select a from t')) },
      { to: 'client', hex: hex(join(...answer.slice(0, -1))) },
      { event: 'end', op: 1, outcome: 'ok', rows: 2, bytes: 5 },
      { step: 'hold' },
      { to: 'client', hex: hex(answer.at(-1) ?? text('')) },
    ])
  })

  test('tells how many rows it changed, its warnings, and that a transaction is open behind it', () => {
    const { done } = play(relayOptions(), [
      client(query('update t set a = 1')),
      target(ok(1, 3, 3, 2)),
      client(query('commit')),
      target(ok(1)),
    ])
    expect(done).toMatchObject([
      { event: 'begin', sql: 'update t set a = 1', meta: META },
      { to: 'target' },
      { event: 'end', outcome: 'ok', rows: 3, res: [{ outcome: 'ok', rows: 3, warnings: 2 }] },
      { step: 'hold' },
      { to: 'client' },
      { event: 'begin', sql: 'commit', meta: { ...META, transaction: 'open' } },
      { to: 'target' },
      { event: 'end', outcome: 'ok', rows: 0 },
      { step: 'hold' },
      { to: 'client' },
    ])
  })

  test('that fails, at once or between rows, ends with the number and the text of the error', () => {
    const broken = [...rows(1, ['x']).slice(0, -1), error(5, 1317, 'Query execution was interrupted')]
    const { done } = play(relayOptions(), [
      client(query('frob')),
      target(error(1, 1064, 'no such thing')),
      client(query('select 1')),
      target(...broken),
    ])
    expect(done.filter((one) => 'event' in one && one.event === 'end')).toEqual([
      { event: 'end', op: 1, outcome: 'error', code: '1064', msg: 'ERROR 1064 (42000): no such thing' },
      {
        event: 'end',
        op: 2,
        outcome: 'error',
        code: '1317',
        rows: 1,
        bytes: 2,
        msg: 'ERROR 1317 (42000): Query execution was interrupted',
      },
    ])
  })

  test('with several results holds each end by itself, and lists them all', () => {
    const first = rows(1, ['x'], 2 | 8)
    const second = [ok(6, 1, 2 | 8)]
    const third = rows(7, [])
    const { done } = play(relayOptions(), [
      client(query('select 1; insert into t values (1); select 2')),
      target(...first, ...second, ...third),
    ])
    expect(done.slice(2)).toEqual([
      { to: 'client', hex: hex(join(...first.slice(0, -1))) },
      { event: 'result', op: 1, outcome: 'ok', rows: 1, bytes: 2 },
      { step: 'hold' },
      { to: 'client', hex: hex(first.at(-1) ?? text('')) },
      { event: 'result', op: 1, outcome: 'ok', rows: 1 },
      { step: 'hold' },
      { to: 'client', hex: hex(join(...second, ...third.slice(0, -1))) },
      {
        event: 'end',
        op: 1,
        outcome: 'ok',
        rows: 2,
        bytes: 2,
        res: [
          { outcome: 'ok', rows: 1, bytes: 2 },
          { outcome: 'ok', rows: 1 },
          { outcome: 'ok', rows: 0 },
        ],
      },
      { step: 'hold' },
      { to: 'client', hex: hex(third.at(-1) ?? text('')) },
    ])
  })

  test('with EOF deprecated ends with an OK in its place, however its rows begin', () => {
    const long = new Uint8Array(0x400).fill(0x61)
    // Rows that begin with 00, fb and fe: an empty text, a NULL, a text behind a length of eight bytes.
    const odd = [packet(3, 0, 1, 'x'), packet(4, 0xfb, 0xfb), packet(5, 0xfc, 0x00, 0x04, long)]
    const end = packet(6, 0xfe, 0, 0, 2, 0, 0, 0)
    const { done } = play(relayOptions({}, { flags: FLAG.DEPRECATE_EOF }), [
      client(query('select')),
      target(packet(1, 1), packet(2, '\x03def'), ...odd, end),
    ])
    expect(done.slice(3)).toEqual([
      { event: 'end', op: 1, outcome: 'ok', rows: 3, bytes: 3 + 2 + 3 + 0x400 },
      { step: 'hold' },
      { to: 'client', hex: hex(end) },
    ])
  })

  test('with EOF deprecated may end with an OK of any length', () => {
    const flags = FLAG.DEPRECATE_EOF | FLAG.SESSION_TRACK
    const end = packet(4, 0xfe, 0, 0, 2, 0x40, 0, 0, '\x04done', '\x08\x01\x06\x05other')
    const { done } = play(relayOptions({}, { flags }), [
      client(query('select')),
      target(packet(1, 1), packet(2, '\x03def'), packet(3, '\x01a'), end),
      client(query('select')),
    ])
    expect(done[3]).toEqual({ event: 'end', op: 1, outcome: 'ok', rows: 1, bytes: 2 })
    expect(done.at(-2)).toMatchObject({ meta: { database: 'other' } })
  })

  test('without definitions, where they may be left out, goes on with rows at once', () => {
    const flags = FLAG.OPTIONAL_RESULTSET_METADATA | FLAG.DEPRECATE_EOF
    const { done } = play(relayOptions({}, { flags }), [
      client(query('select')),
      target(packet(1, 2, 0), packet(2, '\x01a\x01b'), packet(3, 0xfe, 0, 0, 2, 0, 0, 0)),
    ])
    expect(done.slice(3)[0]).toEqual({ event: 'end', op: 1, outcome: 'ok', rows: 1, bytes: 4 })
  })

  test('reports of progress pass, where they were agreed on', () => {
    const progress = packet(1, 0xff, 0xff, 0xff, 1, 2, 3)
    const { done } = play(relayOptions({}, { extended: 1 }), [
      client(query('alter table t add b int')),
      target(progress, ok(2)),
    ])
    expect(done.slice(2)).toMatchObject([
      { to: 'client', hex: hex(progress) },
      { event: 'end', outcome: 'ok' },
      { step: 'hold' },
      { to: 'client', hex: hex(ok(2)) },
    ])
  })

  test('carries its attributes, which are not taken for its text (T-MY-09)', () => {
    const bytes = packet(
      0,
      3,
      2,
      1,
      0,
      1,
      0xfe,
      0,
      '\x01a',
      0xfe,
      0,
      '\x0btraceparent',
      '\x03xyz',
      '\x04sent',
      'do 1',
    )
    const { done } = play(relayOptions({}, { flags: FLAG.QUERY_ATTRIBUTES }), [client(bytes), target(ok(1))])
    expect(done[0]).toMatchObject({
      sql: 'do 1',
      args: [
        { name: 'a', value: 'xyz' },
        { name: 'traceparent', value: 'sent' },
      ],
      meta: { ...META, trace: 'sent' },
    })
    expect(done[1]).toEqual({ to: 'target', hex: hex(bytes) })
  })

  test('names the trace of a comment', () => {
    const trace = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    const { done } = play(relayOptions(), [
      client(query(`select 1 /*traceparent='${trace}'*/`)),
      target(ok(1)),
    ])
    expect(done[0]).toMatchObject({ meta: { ...META, trace } })
  })

  test('is recorded as the bytes that were sent, whatever they are', () => {
    const sql = Uint8Array.of(0x73, 0xff, 0x00, 0xe9, 0x5c)
    const { done } = play(relayOptions(), [client(packet(0, 3, sql)), target(ok(1))])
    expect(done[0]).toMatchObject({ sql: Buffer.from(sql).toString() })
    expect(done[1]).toEqual({ to: 'target', hex: `060000000373ff00e95c` })
  })
})

describe('a pipeline', () => {
  test('is answered in order, each answer counting from its own command', () => {
    const { done } = play(relayOptions(), [
      client(query('select 1'), packet(0, 14), query('frob'), query('select 2')),
      target(...rows(1, ['1']), ok(1), error(1, 1064, 'no'), ...rows(1, ['2'])),
    ])
    expect(done.filter((one) => 'event' in one)).toMatchObject([
      { event: 'begin', op: 1, sql: 'select 1' },
      { event: 'begin', op: 2, cmd: 'COM_PING' },
      { event: 'begin', op: 3, sql: 'frob' },
      { event: 'begin', op: 4, sql: 'select 2' },
      { event: 'end', op: 1, outcome: 'ok', rows: 1 },
      { event: 'end', op: 2, outcome: 'ok' },
      { event: 'end', op: 3, outcome: 'error', code: '1064' },
      { event: 'end', op: 4, outcome: 'ok', rows: 1 },
    ])
  })

  test('is idle before and behind, not between, nor in a transaction or half a command', () => {
    const { machine } = begin(relayOptions())
    const states = [machine.idle]
    machine.receive('client', query('begin').subarray(0, 3))
    states.push(machine.idle)
    machine.receive('client', query('begin').subarray(3))
    states.push(machine.idle)
    machine.receive('target', ok(1, 0, 3))
    states.push(machine.idle)
    machine.receive('client', query('commit'))
    machine.receive('target', ok(1))
    states.push(machine.idle)
    expect(states).toEqual([true, false, false, false, true])
  })
})

describe('other commands', () => {
  test('are recorded by their names, with what they are about, and answered as they are', () => {
    const { done } = play(relayOptions(), [
      client(packet(0, 2, 'other')),
      target(ok(1)),
      client(packet(0, 5, 'made'), packet(0, 6, 'made'), packet(0, 9), packet(0, 0x1b, 0, 0)),
      target(ok(1), error(1, 1008, 'no database'), packet(1, 'Uptime: 1'), eof(1)),
      client(packet(0, 4, 't\0', '%'), packet(0, 10)),
      target(packet(1, '\x03def'), packet(2, '\x03def'), eof(3), ...rows(1, ['process'])),
    ])
    const events = done.filter((one) => 'event' in one)
    expect(events.filter(({ event }) => event === 'begin')).toMatchObject([
      { cmd: 'COM_INIT_DB other', meta: { database: 'shop' }, act: 'db.other' },
      { cmd: 'COM_CREATE_DB made', meta: { database: 'other' } },
      { cmd: 'COM_DROP_DB made' },
      { cmd: 'COM_STATISTICS' },
      { cmd: 'COM_SET_OPTION 0' },
      { cmd: 'COM_FIELD_LIST t %' },
      { cmd: 'COM_PROCESS_INFO' },
    ])
    expect(events.filter(({ event }) => event === 'end').map(({ op, outcome }) => [op, outcome])).toEqual([
      [1, 'ok'],
      [2, 'ok'],
      [3, 'error'],
      [4, 'ok'],
      [5, 'ok'],
      [6, 'ok'],
      [7, 'ok'],
    ])
    expect(done.filter((one) => 'step' in one && one.step === 'hold')).toHaveLength(7)
  })

  test('SET NAMES is told of what runs behind it, once the target has taken it', () => {
    const charsets = (answer: Uint8Array): unknown[] => {
      const parts = [client(query("set names 'latin1'"), query('do 1')), target(answer), target(ok(1))]
      const begun = play(relayOptions(), parts).done.filter(({ event }) => event === 'begin')
      return begun.map(({ meta }) => (meta as { charset: string }).charset)
    }
    expect(charsets(ok(1))).toEqual(['utf8mb4', 'latin1'])
    expect(charsets(error(1, 1115, 'unknown'))).toEqual(['utf8mb4', 'utf8mb4'])
  })

  test('a command behind USE waits until it is known where it runs', () => {
    const { done } = play(relayOptions({ judge: true }), [
      client(query('use other'), query('drop table t')),
      target(ok(1)),
      target(ok(1)),
    ])
    expect(done.flatMap(({ step, database }) => (step === 'judge' ? database : []))).toEqual([
      'shop',
      'other',
    ])
    expect(done.filter(({ event }) => event === 'begin').at(-1)).toMatchObject({
      meta: { database: 'other' },
    })
  })

  test('USE moves to a database, and so does what the target tells of its session', () => {
    const tracked = packet(1, 0, 0, 0, 2, 0x40, 0, 0, 0, 9, 1, 7, '\x06second')
    const first = play(relayOptions(), [client(query('use `first`')), target(ok(1)), client(packet(0, 14))])
    const second = play(relayOptions({}, { flags: FLAG.SESSION_TRACK }), [
      client(query('call move()')),
      target(tracked),
      client(packet(0, 14)),
    ])
    const failed = play(relayOptions(), [
      client(query('use nowhere')),
      target(error(1, 1049, 'unknown database')),
      client(packet(0, 14)),
    ])
    const databases = [first, second, failed].map(
      ({ done }) => done.filter((one) => 'event' in one).at(-1)?.['meta'],
    )
    expect(databases).toMatchObject([{ database: 'first' }, { database: 'second' }, { database: 'shop' }])
  })

  test('COM_QUIT ends it once what is under way is answered', () => {
    const { done } = play(relayOptions(), [
      client(query('select 1'), packet(0, 1)),
      target(...rows(1, ['1'])),
    ])
    expect(done.slice(-2)).toMatchObject([
      { to: 'client' },
      { step: 'close', why: 'client', message: 'COM_QUIT' },
    ])
    expect(play(relayOptions(), [client(packet(0, 1))]).done).toEqual([
      { to: 'target', hex: '0100000001' },
      { step: 'close', why: 'client', message: 'COM_QUIT' },
    ])
  })
})

describe('the end', () => {
  test.each([
    ['client', { why: 'client', message: 'the client went without COM_QUIT' }],
    ['target', { why: 'target', message: 'the target closed the connection' }],
  ] as const)('of the %s leaves open operations aborted', (side, reason) => {
    const { machine, ledger } = begin(relayOptions())
    ledger.take(machine.receive('client', join(query('select 1'), query('select 2'))))
    ledger.take(machine.receive('target', join(...rows(1, ['1']).slice(0, 4))))
    ledger.take(machine.end(side))
    const tail = ledger.done.slice(-5)
    expect(tail.filter((one) => 'event' in one)).toEqual([
      { event: 'end', op: 1, outcome: 'aborted' },
      { event: 'end', op: 2, outcome: 'aborted' },
    ])
    expect(tail.at(-1)).toEqual({ step: 'close', ...reason })
    // Between two packets the client can be told, in the answer's own count.
    const told = ledger.done.at(-2)
    if (side === 'target')
      expect(told).toMatchObject({ to: 'client', hex: expect.stringMatching(/^......05ff/) })
    expect(machine.receive('client', query('select 3'))).toEqual([])
  })

  test('in the middle of a packet is not told to the client, who could not read it', () => {
    const { machine, ledger } = begin(relayOptions())
    ledger.take(machine.receive('client', query('select 1')))
    const cut = join(...rows(1, ['long row'])).subarray(0, 40)
    ledger.take(machine.receive('target', cut))
    ledger.take(machine.end('target'))
    expect(hex(ledger.bytes('client'))).toBe(hex(cut))
  })

  test('told by the target passes, and is the reason', () => {
    const killed = packet(0, 0xff, 0x87, 0x07, '#70100Connection was killed')
    const { machine, ledger } = begin(relayOptions())
    ledger.take(machine.receive('target', killed))
    ledger.take(machine.end('target'))
    expect(ledger.done).toEqual([
      { to: 'client', hex: hex(killed) },
      { step: 'close', why: 'target', message: 'ERROR 1927 (70100): Connection was killed' },
    ])
  })

  test('by an administrator is told to the client, once the records are safe', () => {
    const { machine, ledger } = begin(relayOptions())
    ledger.take(machine.receive('client', query('select sleep(100)')))
    const refusal = {
      cause: 'ended',
      what: 'ended by bob',
      why: 'maintenance',
      next: 'later',
      record: 'k3v5.9',
    } as const
    ledger.take(machine.stop(refusal))
    const message = 'ended by bob\nwhy : maintenance\nnext: later\nid  : k3v5.9'
    expect(ledger.done.slice(2)).toEqual([
      { event: 'end', op: 1, outcome: 'aborted' },
      { step: 'hold' },
      { to: 'client', hex: hex(packet(1, 0xff, 0x1d, 0x04, `#08S01${message}`)) },
      { step: 'close', why: 'limit', message: 'ended by bob' },
    ])
  })
})
