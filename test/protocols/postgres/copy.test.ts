import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { relay } from '../../../protocols/postgres/index.ts'
import { playRelay } from '../../support/play.ts'
import { back as b, bytes, front as f } from '../../support/postgres-messages.ts'
import { check, client, lines, relayOptions, target } from './scenario.ts'

/** What the record says of data that passed one way. */
function carried(way: 'in' | 'out', data: string): string {
  const sha256 = createHash('sha256').update(data).digest('hex')
  return `meta({"${way}":{"bytes":${data.length},"sha256":"${sha256}"}})`
}

describe('COPY FROM STDIN', () => {
  test('is an operation within its statement, with bytes, rows and hash', () => {
    check({
      pieces: [
        client(f.query('copy t from stdin')),
        target(b.copyIn),
        client(f.copyData('1\n'), f.copyData('2\n'), f.copyDone),
        target(b.complete('COPY 2'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(copy t from stdin) none',
        '2 begin db.copy in 1',
        `2 end ok rows=2 bytes=4 ${carried('in', '1\n2\n')}`,
        '1 end ok rows=2',
      ],
    })
  })

  test('keeps the data itself where that is asked for, before it is forwarded', () => {
    const { order } = check({
      options: { copyBodies: true },
      pieces: [
        client(f.query('copy t from stdin')),
        target(b.copyIn),
        client(f.copyData('1\n'), f.copyDone),
        target(b.complete('COPY 1'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(copy t from stdin) none',
        '2 begin db.copy in 1',
        '2 data in i "1\\n"',
        `2 end ok rows=1 bytes=2 ${carried('in', '1\n')}`,
        '1 end ok rows=1',
      ],
    })
    expect(order.slice(4, 6)).toEqual(['data 2', 'to target'])
  })

  test('T-PG-16: behind another result in one text does not stand still', () => {
    const { order } = check({
      pieces: [
        client(f.query('select 1; copy t from stdin')),
        target(b.rows('a'), b.row('1'), b.complete('SELECT 1'), b.copyIn),
        client(f.copyDone),
        target(b.complete('COPY 0'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(select 1; copy t from stdin) none',
        '2 begin db.copy in 1',
        `2 end ok rows=0 ${carried('in', '')}`,
        '1 end ok rows=1 bytes=7 res([{"outcome":"ok","tag":"SELECT 1","rows":1},{"outcome":"ok","tag":"COPY 0","rows":0}])',
      ],
    })
    expect(order.slice(2, 6)).toEqual(['begin 2', 'result 1', 'hold', 'to client'])
  })

  test('twice in one text are two operations', () => {
    check({
      pieces: [
        client(f.query('copy a from stdin; copy b from stdin')),
        target(b.copyIn),
        client(f.copyData('1\n'), f.copyDone),
        target(b.complete('COPY 1'), b.copyIn),
        client(f.copyData('22\n'), f.copyDone),
        target(b.complete('COPY 1'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(copy a from stdin; copy b from stdin) none',
        '2 begin db.copy in 1',
        `2 end ok rows=1 bytes=2 ${carried('in', '1\n')}`,
        '3 begin db.copy in 1',
        `3 end ok rows=1 bytes=3 ${carried('in', '22\n')}`,
        '1 end ok rows=2 res([{"outcome":"ok","tag":"COPY 1","rows":1},{"outcome":"ok","tag":"COPY 1","rows":1}])',
      ],
    })
  })

  test('whose data is sent ahead of the consent is recorded before it is forwarded', () => {
    check({
      pieces: [
        client(
          f.query('copy a from stdin; copy b from stdin'),
          f.copyData('1\n'),
          f.copyDone,
          f.copyData('22\n'),
          f.copyDone,
        ),
        target(b.copyIn, b.complete('COPY 1'), b.copyIn, b.complete('COPY 1'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(copy a from stdin; copy b from stdin) none',
        '2 begin db.copy in 1',
        '3 begin db.copy in 1',
        `2 end ok rows=1 bytes=2 ${carried('in', '1\n')}`,
        `3 end ok rows=1 bytes=3 ${carried('in', '22\n')}`,
        '1 end ok rows=2 res([{"outcome":"ok","tag":"COPY 1","rows":1},{"outcome":"ok","tag":"COPY 1","rows":1}])',
      ],
    })
  })

  test('that the server never agreed to was ignored by it', () => {
    check({
      pieces: [
        client(f.query('select 1'), f.copyData('1\n'), f.copyDone),
        target(b.complete('SELECT 1'), b.ready()),
        client(f.copyData('late'), f.copyFail('late'), f.query('select 2')),
        target(b.complete('SELECT 1'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(select 1) none',
        '2 begin db.copy in 1',
        `2 end skipped bytes=2 ${carried('in', '1\n')}`,
        '1 end ok rows=1',
        '3 begin db.query sql(select 2) none',
        '3 end ok rows=1',
      ],
    })
  })

  test('that the client gives up fails', () => {
    check({
      pieces: [
        client(f.query('copy t from stdin')),
        target(b.copyIn),
        client(f.copyData('1\n'), f.copyFail('no')),
        target(b.error('57014', 'COPY from stdin failed: no'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(copy t from stdin) none',
        '2 begin db.copy in 1',
        `2 end error 57014 bytes=2 ${carried('in', '1\n')}`,
        '1 end error 57014 msg(COPY from stdin failed: no)',
      ],
    })
  })

  test('with the client gone says how much had passed', () => {
    check({
      pieces: [
        client(f.query('copy t from stdin')),
        target(b.copyIn),
        client(f.copyData('1\n')),
        { ends: 'client' },
      ],
      events: [
        '1 begin db.query sql(copy t from stdin) none',
        '2 begin db.copy in 1',
        `2 end aborted bytes=2 ${carried('in', '1\n')}`,
        '1 end aborted',
      ],
      closed: { why: 'client', message: 'the client went without Terminate' },
    })
  })
})

describe('T-PG-11: Sync and Flush inside COPY data', () => {
  const begun = [
    '1 begin db.prepare sql(copy t from stdin) none',
    '2 begin db.execute sql(copy t from stdin) none',
  ]
  const start = [f.parse('', 'copy t from stdin'), f.bind('', ''), f.describe('P'), f.execute()]
  const started = [b.parseComplete, b.bindComplete, b.noData, b.copyIn]
  const next = [client(f.query('select 1')), target(b.complete('SELECT 1'), b.ready())]
  const after = ['4 begin db.query sql(select 1) none', '4 end ok rows=1']
  const done = [
    '1 end ok',
    '3 begin db.copy in 2',
    `3 end ok rows=1 bytes=2 ${carried('in', '1\n')}`,
    '2 end ok rows=1',
  ]

  test('the Sync that a library sends behind its Execute is ignored by the server', () => {
    check({
      pieces: [
        client(...start, f.sync),
        target(...started),
        client(f.copyData('1\n'), f.copyDone, f.sync),
        target(b.complete('COPY 1'), b.ready()),
        ...next,
      ],
      events: [...begun, ...done, ...after],
    })
  })

  test('and so are those between the data', () => {
    check({
      pieces: [
        client(...start, f.flush),
        target(...started),
        client(f.sync, f.copyData('1\n'), f.flush, f.sync, f.copyDone, f.sync),
        target(b.complete('COPY 1'), b.ready()),
        ...next,
      ],
      events: [...begun, ...done, ...after],
    })
  })

  const failure = b.error('22P02', 'invalid input syntax')
  const failed = [
    '1 end ok',
    '3 begin db.copy in 2',
    `3 end error 22P02 bytes=2 ${carried('in', 'x\n')}`,
    '2 end error 22P02 msg(invalid input syntax)',
  ]

  test('behind a failure the server answers the one that it met there', () => {
    // The first Sync was read as COPY data's; the second and third came behind the failure.
    check({
      pieces: [
        client(...start, f.sync),
        target(...started),
        client(f.copyData('x\n'), f.sync, f.copyDone, f.sync),
        target(failure, b.ready(), b.ready()),
        ...next,
      ],
      events: [...begun, ...failed, ...after],
    })
  })

  test('or not, if it met it before', () => {
    check({
      pieces: [
        client(...start, f.sync),
        target(...started),
        client(f.sync, f.copyData('x\n'), f.copyDone, f.sync),
        target(failure, b.ready()),
        ...next,
      ],
      events: [...begun, ...failed, ...after],
    })
  })

  test('also when a next statement is on its way already', () => {
    check({
      pieces: [
        client(f.query('copy t from stdin')),
        target(b.copyIn),
        client(f.copyData('x\n'), f.sync, f.copyDone, f.query('select 1')),
        target(failure),
        target(b.ready(), b.ready(), b.complete('SELECT 1'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(copy t from stdin) none',
        '2 begin db.copy in 1',
        `2 end error 22P02 bytes=2 ${carried('in', 'x\n')}`,
        '3 begin db.query sql(select 1) none',
        '1 end error 22P02 msg(invalid input syntax)',
        '3 end ok rows=1',
      ],
    })
  })

  test('what is sent behind waits until it is clear whether it is skipped', () => {
    const { order } = check({
      pieces: [
        client(...start, f.sync),
        target(...started),
        client(f.sync, f.copyData('x\n'), f.copyDone, f.sync, f.query('select 1')),
        target(failure),
        target(b.ready()),
        target(b.ready(), b.complete('SELECT 1'), b.ready()),
      ],
      events: [...begun, ...failed, ...after],
    })
    // The Query is begun and forwarded only behind the ReadyForQuery.
    expect(order.slice(order.indexOf('end 2'))).toEqual([
      ...['end 2', 'hold', 'to client'],
      ...['begin 4', 'to client', 'to target'],
      ...['end 4', 'hold', 'to client'],
    ])
  })

  test('a client that never ends the failure by a Sync cannot be followed', () => {
    const problem = 'a Sync must follow failed COPY data, not parse'
    check({
      pieces: [
        client(...start, f.sync),
        target(...started),
        client(f.copyData('x\n'), f.copyDone),
        target(failure),
        client(f.parse('', 'select 1')),
      ],
      events: [...begun, ...failed],
      toTarget: bytes(...start, f.sync, f.copyData('x\n'), f.copyDone),
      toClient: bytes(...started, failure, b.fatal('08P01', problem)),
      closed: { why: 'client', message: problem },
    })
  })

  test('a server that answers one more is not believed', () => {
    check({
      pieces: [
        client(f.query('copy t from stdin')),
        target(b.copyIn),
        client(f.copyData('x\n'), f.copyDone),
        target(failure, b.ready(), b.ready()),
      ],
      events: [
        '1 begin db.query sql(copy t from stdin) none',
        '2 begin db.copy in 1',
        `2 end error 22P02 bytes=2 ${carried('in', 'x\n')}`,
        '1 end error 22P02 msg(invalid input syntax)',
      ],
      toClient: bytes(
        b.copyIn,
        failure,
        b.ready(),
        b.fatal('08P01', 'the server sent ReadyForQuery that nothing had asked for'),
      ),
      closed: { why: 'target', message: 'the server sent ReadyForQuery that nothing had asked for' },
    })
  })

  test('another message than the data is the end, as it is for PostgreSQL', () => {
    check({
      pieces: [client(f.query('copy t from stdin')), target(b.copyIn), client(f.query('select 1'))],
      events: [
        '1 begin db.query sql(copy t from stdin) none',
        '2 begin db.copy in 1',
        `2 end aborted ${carried('in', '')}`,
        '1 end aborted',
      ],
      toTarget: f.query('copy t from stdin'),
      toClient: bytes(b.copyIn, b.fatal('08P01', 'unexpected message during COPY from stdin: query')),
      closed: { why: 'client', message: 'unexpected message during COPY from stdin: query' },
    })
  })
})

describe('COPY TO STDOUT', () => {
  test('is counted and hashed as it passes, and kept where that is asked for', () => {
    check({
      options: { copyBodies: true },
      pieces: [
        client(f.query('copy t to stdout')),
        target(b.copyOut, b.copyData('1\n'), b.copyData('2\n'), b.copyDone, b.complete('COPY 2'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(copy t to stdout) none',
        '2 begin db.copy in 1',
        '2 data out o "1\\n2\\n"',
        `2 end ok rows=2 bytes=4 ${carried('out', '1\n2\n')}`,
        '1 end ok rows=2 bytes=4',
      ],
    })
  })

  test('may fail in its middle', () => {
    check({
      pieces: [
        client(f.query('copy t to stdout')),
        target(b.copyOut, b.copyData('1\n'), b.error('22012', 'division by zero'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(copy t to stdout) none',
        '2 begin db.copy in 1',
        `2 end error 22012 rows=1 bytes=2 ${carried('out', '1\n')}`,
        '1 end error 22012 rows=1 bytes=2 msg(division by zero)',
      ],
    })
  })

  test('of a gigabyte takes no memory: what is announced is not waited for', () => {
    const room = relay(relayOptions)
    const header = bytes('d', Uint8Array.of(0x3f, 0xff, 0xff, 0xff))
    const chunk = new Uint8Array(65_536).fill(0x61)
    const played = playRelay(room, [client(f.query('copy t to stdout')), target(b.copyOut, header, chunk)])
    expect(lines(played.events)).toHaveLength(2)
    expect(played.client).toHaveLength(b.copyOut.length + header.length + chunk.length)
    const steps = room.receive('target', chunk)
    expect(steps).toEqual([{ type: 'send', to: 'client', bytes: chunk }])
    const [step] = steps
    expect(step?.type === 'send' && step.bytes.buffer === chunk.buffer, 'a view, not a copy').toBe(true)
  })
})

test('COPY BOTH, which replication uses, is counted and hashed in both directions', () => {
  check({
    pieces: [
      client(f.query('start_replication 0/0')),
      target(b.copyBoth, b.copyData('wal')),
      client(f.copyData('status'), f.copyDone),
      target(b.copyDone, b.complete('START_REPLICATION'), b.ready()),
    ],
    events: [
      '1 begin db.query sql(start_replication 0/0) none',
      '2 begin db.copy in 1',
      `2 end ok bytes=9 meta(${JSON.stringify({
        in: { bytes: 6, sha256: createHash('sha256').update('status').digest('hex') },
        out: { bytes: 3, sha256: createHash('sha256').update('wal').digest('hex') },
        content: 'not recorded',
      })})`,
      '1 end ok',
    ],
  })
})

describe('COPY data from a server that is not copying', () => {
  test.each([
    ['data', b.copyData('1\n'), 'the server sent COPY data that nothing had asked for'],
    ['an end', b.copyDone, 'the server sent the end of COPY data that nothing had asked for'],
    ['a consent', b.copyIn, 'the server sent COPY that nothing had asked for'],
  ])('%s ends the connection', (_, message, problem) => {
    check({
      pieces: [target(message)],
      events: [],
      toClient: b.fatal('08P01', problem),
      closed: { why: 'target', message: problem },
    })
  })
})
