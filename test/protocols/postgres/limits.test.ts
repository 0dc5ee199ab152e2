import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { relay } from '../../../protocols/postgres/index.ts'
import { playRelay } from '../../support/play.ts'
import { back as b, bytes, front as f, message } from '../../support/postgres-messages.ts'
import { check, client, lines, relayOptions, target } from './scenario.ts'

const row = b.row('1')
const gateway = 'meta({"database":"orders","transaction":"none","pid":4711,"gateway":true})'
const tooMany = (record: number) =>
  b.error('57014', 'more than 2 rows', {
    D: 'Your role allows 2 rows of one statement; the rest was withheld.',
    H: `Narrow the query, or ask for another role.\nRecord k3v5o2n7q4w6x2za.${record}.`,
  })
const cancelled = b.error('57014', 'canceling statement due to user request')
const rowsMax = { options: { rowsMax: 2 } } as const

describe('a limit of rows', () => {
  test('lets exactly so many pass', () => {
    check({
      ...rowsMax,
      pieces: [client(f.query('select')), target(b.rows('a'), row, row, b.complete('SELECT 2'), b.ready())],
      events: ['1 begin db.query sql(select) none', '1 end ok rows=2 bytes=14'],
    })
  })

  test('asks the target to stop, and puts our error in place of its own', () => {
    const { cancels, order } = check({
      ...rowsMax,
      pieces: [
        client(f.query('select')),
        target(b.rows('a'), row, row, row, row, b.notice('still'), row),
        target(cancelled, b.ready()),
        { cancelled: 'ok' },
      ],
      toClient: bytes(b.rows('a'), row, row, b.notice('still'), tooMany(1), b.ready()),
      events: [
        '1 begin db.query sql(select) none',
        `2 begin db.cancel in 1 ${gateway}`,
        '1 end error 57014 rows=2 bytes=14 msg(canceling statement due to user request)',
        '2 end ok',
      ],
    })
    expect(cancels).toBe(1)
    expect(order.slice(2, 5)).toEqual(['begin 2', 'to client', 'cancel'])
  })

  test('is an error also when the target was faster than the cancel', () => {
    check({
      ...rowsMax,
      pieces: [
        client(f.query('select')),
        target(b.rows('a'), row, row, row, b.complete('SELECT 3'), b.ready()),
        { cancelled: 'ok' },
      ],
      toClient: bytes(b.rows('a'), row, row, tooMany(1), b.ready()),
      events: [
        '1 begin db.query sql(select) none',
        `2 begin db.cancel in 1 ${gateway}`,
        '1 end ok rows=2 bytes=14',
        '2 end ok',
      ],
    })
  })

  test('holds the next statement back until the cancel is out, lest it hits that', () => {
    const { order } = check({
      ...rowsMax,
      pieces: [
        client(f.query('select')),
        target(b.rows('a'), row, row, row, b.complete('SELECT 3'), b.ready()),
        client(f.query('select 1')),
        { cancelled: 'error' },
        target(b.complete('SELECT 1'), b.ready()),
      ],
      toClient: bytes(b.rows('a'), row, row, tooMany(1), b.ready(), b.complete('SELECT 1'), b.ready()),
      events: [
        '1 begin db.query sql(select) none',
        `2 begin db.cancel in 1 ${gateway}`,
        '1 end ok rows=2 bytes=14',
        '2 end error',
        '3 begin db.query sql(select 1) none',
        '3 end ok rows=1',
      ],
    })
    expect(order.slice(order.indexOf('end 2'))).toEqual([
      ...['end 2', 'begin 3', 'to target'],
      ...['end 3', 'hold', 'to client'],
    ])
  })

  test('of a text with several statements counts them together, and tells one error', () => {
    check({
      ...rowsMax,
      pieces: [
        client(f.query('select; select')),
        target(b.rows('a'), row, row, b.complete('SELECT 2'), b.rows('a'), row, b.complete('SELECT 1')),
        target(b.rows('a'), row, b.complete('SELECT 1'), b.ready()),
        { cancelled: 'ok' },
      ],
      toClient: bytes(b.rows('a'), row, row, b.complete('SELECT 2'), b.rows('a'), tooMany(1), b.ready()),
      events: [
        '1 begin db.query sql(select; select) none',
        `2 begin db.cancel in 1 ${gateway}`,
        '1 end ok rows=2 bytes=14 res([{"outcome":"ok","tag":"SELECT 2","rows":2},{"outcome":"ok","tag":"SELECT 1"},{"outcome":"ok","tag":"SELECT 1"}])',
        '2 end ok',
      ],
    })
  })

  test('counts portions of a portal together', () => {
    check({
      ...rowsMax,
      pieces: [
        client(f.query('begin')),
        target(b.complete('BEGIN'), b.ready('T')),
        client(f.parse('', 'select'), f.bind('p', ''), f.execute('p', 2), f.sync),
        target(b.parseComplete, b.bindComplete, row, row, b.suspended, b.ready('T')),
        client(f.execute('p', 2), f.sync),
        target(row, row, b.suspended, b.ready('T')),
        { cancelled: 'ok' },
      ],
      toClient: bytes(
        b.complete('BEGIN'),
        b.ready('T'),
        b.parseComplete,
        b.bindComplete,
        row,
        row,
        b.suspended,
        b.ready('T'),
        tooMany(4),
        b.ready('T'),
      ),
      events: [
        '1 begin db.query sql(begin) none',
        '1 end ok',
        '2 begin db.prepare sql(select) open',
        '3 begin db.execute sql(select) open',
        '2 end ok',
        '3 end ok rows=2 bytes=14 res([{"outcome":"ok","suspended":true,"rows":2}])',
        '4 begin db.execute in 3 sql(select) open',
        '5 begin db.cancel in 4 meta({"database":"orders","transaction":"open","pid":4711,"gateway":true})',
        '4 end ok rows=0 res([{"outcome":"ok","suspended":true,"rows":0}])',
        '5 end ok',
      ],
    })
  })

  test('holds for COPY TO STDOUT', () => {
    check({
      ...rowsMax,
      pieces: [
        client(f.query('copy t to stdout')),
        target(
          b.copyOut,
          b.copyData('1'),
          b.copyData('2'),
          b.copyData('3'),
          b.copyDone,
          b.complete('COPY 3'),
          b.ready(),
        ),
        { cancelled: 'ok' },
      ],
      toClient: bytes(b.copyOut, b.copyData('1'), b.copyData('2'), tooMany(1), b.ready()),
      events: [
        '1 begin db.query sql(copy t to stdout) none',
        '2 begin db.copy in 1',
        `3 begin db.cancel in 1 ${gateway}`,
        '2 end ok rows=2 bytes=2 meta({"out":{"bytes":2,"sha256":"6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918"}})',
        '1 end ok rows=2 bytes=2',
        '3 end ok',
      ],
    })
  })

  test('that is passed before a COPY of the same text: TO is withheld as well, FROM cannot be asked for', () => {
    const rows = [b.rows('a'), row, row, row, b.complete('SELECT 3')]
    check({
      ...rowsMax,
      pieces: [
        client(f.query('select; copy t to stdout')),
        target(...rows, b.copyOut, b.copyData('1'), b.copyDone, b.complete('COPY 1'), b.ready()),
      ],
      toClient: bytes(b.rows('a'), row, row, tooMany(1), b.ready()),
      events: [
        '1 begin db.query sql(select; copy t to stdout) none',
        `2 begin db.cancel in 1 ${gateway}`,
        '3 begin db.copy in 1',
        `3 end ok meta({"out":{"bytes":0,"sha256":"${createHash('sha256').digest('hex')}"}})`,
        '1 end ok rows=2 bytes=14 res([{"outcome":"ok","tag":"SELECT 3","rows":2},{"outcome":"ok","tag":"COPY 1"}])',
      ],
    })
    const { closed } = playRelay(relay({ ...relayOptions, ...rowsMax.options }), [
      client(f.query('select; copy t from stdin')),
      target(...rows, b.copyIn),
    ])
    expect(closed).toEqual({ why: 'limit', message: 'more rows than allowed, before a COPY' })
  })

  test('that is passed in a pipeline the server has run through ends the connection', () => {
    check({
      ...rowsMax,
      pieces: [
        client(f.parse('', 'select'), f.bind('', ''), f.execute(), f.parse('', 'insert'), f.sync),
        target(
          b.parseComplete,
          b.bindComplete,
          row,
          row,
          row,
          b.complete('SELECT 3'),
          b.parseComplete,
          b.ready(),
        ),
      ],
      toClient: bytes(
        b.parseComplete,
        b.bindComplete,
        row,
        row,
        b.fatal('57014', 'more rows than your role allows', {
          D: 'The rest was withheld, and statements were already under way behind it.',
          H: 'Narrow the query, or ask for another role.',
        }),
      ),
      events: [
        '1 begin db.prepare sql(select) none',
        '2 begin db.execute sql(select) none',
        '3 begin db.prepare sql(insert) none',
        '1 end ok',
        `4 begin db.cancel in 2 ${gateway}`,
        '2 end ok rows=2 bytes=14',
        '3 end aborted',
        '4 end aborted',
      ],
      closed: { why: 'limit', message: 'more rows than allowed, in the middle of a pipeline' },
    })
  })
})

describe('T-PG-08: no length of any message goes unchecked', () => {
  const TAGS = Array.from({ length: 256 }, (_, tag) => tag)
  const LENGTHS = [0, 1, 3, 0x7fffffff, 0xffffffff]

  test.each(['client', 'target'] as const)('from the %s, under every tag', (from) => {
    for (const tag of TAGS) {
      for (const length of LENGTHS) {
        const header = Uint8Array.of(tag, ...new Uint8Array(new Uint32Array([length]).buffer).reverse())
        const { closed, client: got } = playRelay(relay(relayOptions), [{ from, bytes: header }])
        expect(closed?.why, `${tag} ${length}`).toBe(from)
        expect(Buffer.from(got).toString('latin1')).toContain('C08P01')
      }
    }
  })

  test.each([
    ['H', 1],
    ['S', 1],
    ['X', 1],
    ['D', 10_001],
    ['E', 10_001],
    ['C', 10_001],
    ['f', 10_001],
    ['Q', 0x3fffffff],
    ['d', 0x3fffffff],
  ])('a message %s of a client of %i bytes is more than PostgreSQL takes', (tag, length) => {
    const header = bytes(tag, new Uint8Array(new Uint32Array([length + 4]).buffer).reverse())
    const problem = `invalid message length ${length + 4}`
    const played = playRelay(relay(relayOptions), [client(header)])
    expect(played.closed).toEqual({ why: 'client', message: problem })
  })
})

describe('what cannot be framed is not forwarded', () => {
  test.each([
    ['an unknown tag', message('!'), 'invalid frontend message type 33'],
    ['a password out of place', message('p', 'x\0'), 'invalid frontend message type 112'],
    ['bytes behind the NUL of a Query', message('Q', 'a\0b\0'), '2 bytes behind the end of a message'],
    ['bytes behind a Parse', message('P', '\0a\0\0\0x'), '1 bytes behind the end of a message'],
  ])('%s of the client', (_, request, problem) => {
    check({
      pieces: [client(f.query('select 1'), request, f.query('select 2'))],
      events: ['1 begin db.query sql(select 1) none', '1 end aborted'],
      toTarget: f.query('select 1'),
      toClient: b.fatal('08P01', problem),
      closed: { why: 'client', message: problem },
    })
  })

  /** CVE-2024-27304 and its like: in the client a length of 4 GiB and more became a small one. */
  test('what a client’s wrapped length leaves over is further messages, which are recorded as they run', () => {
    // A text that holds messages, with a header that ends where the first of them begins.
    const [begun, inside] = [f.query('select '), bytes(f.query('delete from a'), f.query('select 1'))]
    check({
      pieces: [client(begun, inside)],
      events: [
        '1 begin db.query sql(select ) none',
        '2 begin db.query sql(delete from a) none',
        '3 begin db.query sql(select 1) none',
      ],
    })
  })

  test.each([
    ['an unknown tag', message('!'), 'the server sent a message of unknown type 33'],
    ['authentication out of place', b.authentication(0), 'the server sent a message of unknown type 82'],
    [
      'its own cancel key',
      b.backendKey(1, Uint8Array.of(1, 2, 3, 4)),
      'the server sent a message of unknown type 75',
    ],
    ['T-PG-10: a negotiation', b.negotiate(0x30000), 'the server sent a message of unknown type 118'],
    ['T-PG-06: an error without its last NUL', message('E', 'SERROR\0'), '1 bytes wanted where 0 are left'],
    ['a tag without its NUL', message('C', 'SELECT'), 'a command tag without its NUL'],
    ['a tag with two', message('C', 'SEL\0ECT\0'), 'a command tag with a NUL in it'],
    ['an unknown state', message('Z', 'X'), 'unknown transaction status "X"'],
    ['a row for nobody', b.row('1'), 'the server sent a row that nothing had asked for', ''],
    [
      'an answer to something else',
      b.parseComplete,
      'the server sent an answer to parse that nothing had asked for',
    ],
  ])('%s of the server', (_, answer, problem, request = 'x') => {
    const asked = request === '' ? [] : [client(f.query('select 1'))]
    const found = playRelay(relay(relayOptions), [
      ...asked,
      target(b.notice('before'), answer, b.notice('behind')),
    ])
    expect(Buffer.from(found.client)).toEqual(
      Buffer.from(bytes(b.notice('before'), b.fatal('08P01', problem))),
    )
    expect(found.closed).toEqual({ why: 'target', message: problem })
  })

  test('T-PG-06: an error with no SQLSTATE, or an odd one, is passed and named `other`', () => {
    const odd = message('E', 'SERROR\0', 'C\x07é\0', 'Mno\0', '\0')
    const none = message('E', '\0')
    check({
      pieces: [client(f.query('a'), f.query('b')), target(odd, b.ready(), none, b.ready())],
      events: [
        '1 begin db.query sql(a) none',
        '2 begin db.query sql(b) none',
        '1 end error other msg(no)',
        '2 end error msg()',
      ],
    })
  })
})

describe('memory is bounded by what came, not by what was announced', () => {
  test('a client that sends without waiting is told to wait, and nothing is lost', () => {
    const room = relay(relayOptions)
    const syncs = bytes(...Array.from({ length: 16_384 }, () => f.sync))
    playRelay(room, [client(syncs.slice(5))])
    expect(room.full).toBe(false)
    playRelay(room, [client(f.sync)])
    expect(room.full).toBe(true)
    playRelay(room, [target(b.ready())])
    expect(room.full).toBe(false)
  })

  test('results of one text beyond ten thousand are counted together, but for what they say of names', () => {
    const many = 10_050
    const room = relay(relayOptions)
    const answers = Array.from({ length: many }, (_, i) =>
      b.complete(i === 10_020 ? 'DEALLOCATE' : 'INSERT 0 1'),
    )
    const text = 'insert;'.repeat(many)
    const { events } = playRelay(room, [client(f.query(text)), target(...answers), target(b.ready())])
    const end = events.at(-1)
    if (end?.type !== 'end') throw new Error('no end')
    const res: unknown[] = JSON.parse(Buffer.from(end.payloads?.[0]?.body ?? []).toString())
    expect(end.rows).toBe(many - 1)
    expect(res).toHaveLength(10_003)
    expect(res.slice(10_000)).toEqual([
      { outcome: 'ok', count: 20, rows: 20 },
      { outcome: 'ok', tag: 'DEALLOCATE' },
      { outcome: 'ok', count: 29, rows: 29 },
    ])
  })

  test('ends of COPY data that nobody asked for are so many and no more', () => {
    const room = relay(relayOptions)
    const ends = Array.from({ length: 1001 }, () => f.copyDone)
    const { closed } = playRelay(room, [client(f.query('select 1'), ...ends)])
    expect(closed).toEqual({ why: 'client', message: 'more than 1000 COPYs in one statement' })
  })

  test('texts of prepared statements beyond 64 MiB are named by the operation that prepared them', () => {
    const room = relay({ ...relayOptions, statementBytesMax: 32 << 20 })
    const text = (letter: string) => letter.repeat((20 << 20) + 1)
    const prepare = (name: string) => [
      client(f.parse(name, text(name)), f.sync),
      target(b.parseComplete, b.ready()),
    ]
    playRelay(room, ['a', 'b', 'c', 'd'].flatMap(prepare))
    const { events } = playRelay(room, [client(f.bind('', 'd'), f.sync), client(f.close('S', 'a'), f.sync)])
    expect(lines(events)).toEqual([
      '5 begin db.execute meta({"database":"orders","transaction":"none","pid":4711,"prepared":4})',
    ])
    // What is closed makes room again.
    playRelay(room, [target(b.bindComplete, b.ready(), b.closeComplete, b.ready()), ...prepare('e')])
    const next = playRelay(room, [client(f.bind('', 'e'), f.sync)])
    expect(lines(next.events)[0]?.slice(0, 30)).toBe('7 begin db.execute sql(eeeeeee')
  })
})
