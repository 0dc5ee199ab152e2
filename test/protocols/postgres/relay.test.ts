import { describe, expect, test } from 'vitest'
import { back as b, bytes, front as f } from '../../support/postgres-messages.ts'
import { check, client, lines, target } from './scenario.ts'

const row = b.row('1')
const one = bytes(b.rows('a'), row, b.complete('SELECT 1'))

describe('a simple Query', () => {
  test('is one operation, begun before it is forwarded and ended before its result is told', () => {
    const { order } = check({
      pieces: [client(f.query('select 1')), target(one, b.ready())],
      events: ['1 begin db.query sql(select 1) none', '1 end ok rows=1 bytes=7'],
    })
    expect(order).toEqual(['begin 1', 'to target', 'end 1', 'hold', 'to client'])
  })

  test('with several statements is one operation with a result for each', () => {
    check({
      pieces: [
        client(f.query('select 1; insert into t values (1),(2); show x')),
        target(one, b.complete('INSERT 0 2'), b.rows('x'), row, b.complete('SHOW'), b.ready()),
      ],
      events: [
        '1 begin db.query sql(select 1; insert into t values (1),(2); show x) none',
        '1 end ok rows=4 bytes=14 res([{"outcome":"ok","tag":"SELECT 1","rows":1},{"outcome":"ok","tag":"INSERT 0 2","rows":2},{"outcome":"ok","tag":"SHOW","rows":1}])',
      ],
    })
  })

  test('fails as a whole when one of its statements fails', () => {
    check({
      pieces: [
        client(f.query('select 1; bad')),
        target(one, b.error('42601', 'syntax error', { D: 'near "bad"', H: 'be good' }), b.ready()),
      ],
      events: [
        '1 begin db.query sql(select 1; bad) none',
        '1 end error 42601 rows=1 bytes=7 res([{"outcome":"ok","tag":"SELECT 1","rows":1},{"outcome":"error","code":"42601"}]) msg(syntax error\nDETAIL:  near "bad"\nHINT:  be good)',
      ],
    })
  })

  test('tells each result by itself when the network does, before the client may see it', () => {
    const { events, order } = check({
      pieces: [client(f.query('select 1; select 1')), target(one), target(one), target(b.ready())],
      events: [
        '1 begin db.query sql(select 1; select 1) none',
        '1 end ok rows=2 bytes=14 res([{"outcome":"ok","tag":"SELECT 1","rows":1},{"outcome":"ok","tag":"SELECT 1","rows":1}])',
      ],
    })
    expect(lines(events).slice(1, 3)).toEqual(['1 result ok rows=1', '1 result ok rows=1'])
    expect(order.slice(2)).toEqual([
      'result 1',
      'hold',
      'to client',
      'result 1',
      'hold',
      'to client',
      'end 1',
      'to client',
    ])
  })

  test('T-PG-16: a COMMIT is held at its CommandComplete, a second before ReadyForQuery', () => {
    const { order, events } = check({
      pieces: [client(f.query('commit')), target(b.complete('COMMIT')), target(b.ready())],
      events: ['1 begin db.query sql(commit) none', '1 end ok'],
    })
    expect(order).toEqual(['begin 1', 'to target', 'result 1', 'hold', 'to client', 'end 1', 'to client'])
    expect(lines(events)[1]).toBe('1 result ok')
  })

  test('that is empty has an outcome too', () => {
    check({
      pieces: [client(f.query('')), target(b.emptyQuery, b.ready())],
      events: ['1 begin db.query sql() none', '1 end ok'],
    })
  })

  test('says in which transaction it came, and which trace it belongs to', () => {
    const trace = '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01'
    const sql = `select 1 /*traceparent='${trace}'*/`
    check({
      pieces: [
        client(f.query('begin')),
        target(b.complete('BEGIN'), b.ready('T')),
        client(f.query('bad')),
        target(b.error('42601', 'no'), b.ready('E')),
        client(f.query(sql)),
        target(b.error('25P02', 'aborted'), b.ready('E')),
      ],
      events: [
        '1 begin db.query sql(begin) none',
        '1 end ok',
        '2 begin db.query sql(bad) open',
        '2 end error 42601 msg(no)',
        `3 begin db.query sql(${sql}) meta({"database":"orders","transaction":"failed","pid":4711,"trace":"${trace}"})`,
        '3 end error 25P02 msg(aborted)',
      ],
    })
  })

  test('of several pipelined ones each gets its own answer', () => {
    check({
      pieces: [
        client(f.query('select 1'), f.query('bad'), f.query('select 2')),
        target(one, b.ready(), b.error('42601', 'no'), b.ready(), one, b.ready()),
      ],
      events: [
        '1 begin db.query sql(select 1) none',
        '2 begin db.query sql(bad) none',
        '3 begin db.query sql(select 2) none',
        '1 end ok rows=1 bytes=7',
        '2 end error 42601 msg(no)',
        '3 end ok rows=1 bytes=7',
      ],
    })
  })
})

describe('the extended protocol', () => {
  const prepare = [
    client(f.parse('s', 'select $1', [23]), f.describe('S', 's'), f.sync),
    target(b.parseComplete, b.parameters(23), b.rows('a'), b.ready()),
  ]
  const prepared = ['1 begin db.prepare sql(select $1) none', '1 end ok']

  test('records a prepared statement with its text and parameters each time it runs', () => {
    const { order } = check({
      pieces: [
        ...prepare,
        client(f.bind('', 's', ['42']), f.describe('P'), f.execute(), f.sync),
        target(b.bindComplete, one, b.ready()),
        client(f.bind('', 's', [null]), f.execute(), f.sync),
        target(b.bindComplete, row, b.complete('SELECT 1'), b.ready()),
      ],
      events: [
        ...prepared,
        '2 begin db.execute sql(select $1) none args([42])',
        '2 end ok rows=1 bytes=7',
        '3 begin db.execute sql(select $1) none args([null])',
        '3 end ok rows=1 bytes=7',
      ],
    })
    expect(order.slice(4, 9)).toEqual(['begin 2', 'to target', 'end 2', 'hold', 'to client'])
  })

  test('keeps one payload for a text that runs again and again', () => {
    const { events } = check({
      pieces: [...prepare, client(f.bind('', 's', ['1'])), client(f.bind('', 's', ['2']))],
      events: [
        ...prepared,
        '2 begin db.execute sql(select $1) none args([1])',
        '3 begin db.execute sql(select $1) none args([2])',
      ],
    })
    const begun = events.filter((event) => event.type === 'begin').map(({ payloads }) => payloads)
    expect(begun.map((payloads) => payloads.map(({ type, repeats }) => [type, repeats]))).toEqual([
      [
        ['sql', true],
        ['meta', true],
      ],
      [
        ['sql', true],
        ['meta', true],
        ['args', undefined],
      ],
      [
        ['sql', true],
        ['meta', true],
        ['args', undefined],
      ],
    ])
  })

  test('a fetch in portions is an operation for each portion, in the first', () => {
    check({
      pieces: [
        client(f.query('begin')),
        target(b.complete('BEGIN'), b.ready('T')),
        client(f.parse('', 'select * from t'), f.bind('p', ''), f.execute('p', 2), f.flush),
        target(b.parseComplete, b.bindComplete, row, row, b.suspended),
        client(f.execute('p', 2), f.execute('p', 2), f.sync),
        target(row, row, b.suspended, row, b.complete('SELECT 1'), b.ready('T')),
      ],
      events: [
        '1 begin db.query sql(begin) none',
        '1 end ok',
        '2 begin db.prepare sql(select * from t) open',
        '3 begin db.execute sql(select * from t) open',
        '2 end ok',
        '3 end ok rows=2 bytes=14 res([{"outcome":"ok","suspended":true,"rows":2}])',
        '4 begin db.execute in 3 sql(select * from t) open',
        '5 begin db.execute in 3 sql(select * from t) open',
        '4 end ok rows=2 bytes=14 res([{"outcome":"ok","suspended":true,"rows":2}])',
        '5 end ok rows=1 bytes=7',
      ],
    })
  })

  test('T-PG-17: what is bound and never executed ends as such, for planning may have run its functions', () => {
    check({
      pieces: [
        client(f.parse('', 'select f($1)'), f.bind('', '', ['1']), f.sync),
        target(b.parseComplete, b.bindComplete, b.ready()),
      ],
      events: [
        '1 begin db.prepare sql(select f($1)) none',
        '2 begin db.execute sql(select f($1)) none args(["1"])',
        '1 end ok',
        '2 end skipped res([{"outcome":"skipped","bound":true}])',
      ],
    })
  })

  test.each([
    ['closed', f.close('P', 'p'), b.closeComplete, 'p'],
    ['bound anew', f.bind('', 's'), b.bindComplete, ''],
  ])('a portal that is %s before it was executed ends too', (_, message, answered, portal) => {
    const scenario = [
      client(f.query('begin')),
      target(b.complete('BEGIN'), b.ready('T')),
      client(f.parse('s', 'select 1'), f.bind(portal, 's'), f.sync),
      target(b.parseComplete, b.bindComplete, b.ready('T')),
      client(message, f.sync),
      target(answered, b.ready('T')),
    ]
    const begun = portal === '' ? ['4 begin db.execute sql(select 1) open'] : []
    check({
      pieces: scenario,
      events: [
        '1 begin db.query sql(begin) none',
        '1 end ok',
        '2 begin db.prepare sql(select 1) open',
        '3 begin db.execute sql(select 1) open',
        '2 end ok',
        ...begun,
        '3 end skipped res([{"outcome":"skipped","bound":true}])',
      ],
    })
  })

  test('T-PG-11: a failure skips all up to the Sync, a simple Query among it, and nothing behind', () => {
    check({
      pieces: [
        client(f.parse('', 'bad'), f.bind('', ''), f.query('select 1'), f.sync, f.query('select 2')),
        target(b.error('42601', 'no'), b.ready(), one, b.ready()),
      ],
      events: [
        '1 begin db.prepare sql(bad) none',
        '2 begin db.execute sql(bad) none',
        '3 begin db.query sql(select 1) none',
        '4 begin db.query sql(select 2) none',
        '1 end error 42601 msg(no)',
        '2 end skipped',
        '3 end skipped',
        '4 end ok rows=1 bytes=7',
      ],
    })
  })

  test('what comes after the failure is known to be skipped, up to the Sync', () => {
    check({
      pieces: [
        client(f.parse('', 'bad'), f.flush),
        target(b.error('42601', 'no')),
        client(f.bind('', ''), f.execute(), f.query('select 1'), f.close('S', 's')),
        client(f.sync, f.query('select 2')),
        target(b.ready(), one, b.ready()),
      ],
      events: [
        '1 begin db.prepare sql(bad) none',
        '1 end error 42601 msg(no)',
        '2 begin db.execute meta({"database":"orders","transaction":"none","pid":4711,"unknown":"statement","name":""})',
        '2 end skipped',
        '3 begin db.query sql(select 1) none',
        '3 end skipped',
        '4 begin db.query sql(select 2) none',
        '4 end ok rows=1 bytes=7',
      ],
    })
  })

  test('a portal outlives a skipped Execute inside a transaction, and waits for another', () => {
    check({
      pieces: [
        client(f.query('begin')),
        target(b.complete('BEGIN'), b.ready('T')),
        client(f.parse('', 'select 1'), f.bind('p', ''), f.sync),
        target(b.parseComplete, b.bindComplete, b.ready('T')),
        client(f.describe('S', 'nope'), f.execute('p'), f.sync),
        target(b.error('26000', 'no such statement'), b.ready('E')),
        client(f.query('rollback to s')),
        target(b.complete('ROLLBACK'), b.ready('T')),
        client(f.execute('p'), f.sync),
        target(row, b.complete('SELECT 1'), b.ready('T')),
      ],
      events: [
        '1 begin db.query sql(begin) none',
        '1 end ok',
        '2 begin db.prepare sql(select 1) open',
        '3 begin db.execute sql(select 1) open',
        '2 end ok',
        '4 begin db.query sql(rollback to s) failed',
        '4 end ok',
        '3 end ok rows=1 bytes=7',
      ],
    })
  })

  test('a failed Describe skips the Execute; its portal was bound all the same', () => {
    check({
      pieces: [
        ...prepare,
        client(f.bind('', 's', ['1']), f.describe('S', 'nope'), f.execute(), f.sync),
        target(b.bindComplete, b.error('26000', 'no such statement'), b.ready()),
      ],
      events: [
        ...prepared,
        '2 begin db.execute sql(select $1) none args([1])',
        '2 end skipped res([{"outcome":"skipped","bound":true}])',
      ],
    })
  })

  test('a failed Bind is an error, for its functions may have run', () => {
    check({
      pieces: [
        ...prepare,
        client(f.bind('', 's', ['x']), f.execute(), f.sync),
        target(b.error('22P02', 'invalid input syntax'), b.ready()),
      ],
      events: [
        ...prepared,
        '2 begin db.execute sql(select $1) none args(["x"])',
        '2 end error 22P02 msg(invalid input syntax)',
      ],
    })
  })

  test('T-PG-11: a segment that begins with a Sync is no different', () => {
    check({
      pieces: [
        client(f.parse('', 'select 1'), f.bind('', ''), f.execute()),
        client(f.sync, f.query('select 2')),
        target(b.parseComplete, b.bindComplete, row, b.complete('SELECT 1'), b.ready(), one, b.ready()),
      ],
      events: [
        '1 begin db.prepare sql(select 1) none',
        '2 begin db.execute sql(select 1) none',
        '3 begin db.query sql(select 2) none',
        '1 end ok',
        '2 end ok rows=1 bytes=7',
        '3 end ok rows=1 bytes=7',
      ],
    })
  })

  test('a commit that fails at the Sync has a record, since the statements before it were told to be fine', () => {
    check({
      pieces: [
        client(f.parse('', 'insert'), f.bind('', ''), f.execute(), f.sync),
        target(
          b.parseComplete,
          b.bindComplete,
          b.complete('INSERT 0 1'),
          b.error('23503', 'violates foreign key constraint'),
          b.ready(),
        ),
      ],
      events: [
        '1 begin db.prepare sql(insert) none',
        '2 begin db.execute sql(insert) none',
        '1 end ok',
        '2 end ok rows=1',
        '3 begin db.other meta({"database":"orders","transaction":"none","pid":4711,"commit":"sync"})',
        '3 end error 23503 msg(violates foreign key constraint)',
      ],
    })
  })

  test('T-PG-12: 65,535 parameters are counted unsigned', () => {
    const values = Array.from({ length: 65_535 }, () => '1')
    check({
      pieces: [
        client(f.parse('', 'insert'), f.bind('', '', values), f.execute(), f.sync),
        target(b.parseComplete, b.bindComplete, b.complete('INSERT 0 1'), b.ready()),
      ],
      events: [
        '1 begin db.prepare sql(insert) none',
        `2 begin db.execute sql(insert) none args([${values.map((value) => `"${value}"`).join(',')}])`,
        '1 end ok',
        '2 end ok rows=1',
      ],
    })
  })

  test('parameters that are to be redacted leave their count and types only', () => {
    check({
      options: { parameters: 'redact' },
      pieces: [...prepare, client(f.bind('', 's', ['4242424242424242']))],
      events: [...prepared, '2 begin db.execute sql(select $1) none args({"count":1,"types":[23]})'],
    })
  })
})

describe('what answers nothing', () => {
  test('notices, notifications and settings pass anywhere, and keep their place behind what is held', () => {
    const { order } = check({
      pieces: [
        target(b.notice('early'), b.notification(1, 'c', 'p')),
        client(f.query('select 1')),
        target(
          b.notice('a'),
          b.rows('a'),
          row,
          b.parameter('x', 'y'),
          b.complete('SELECT 1'),
          b.notification(1, 'c', ''),
        ),
        target(b.ready(), b.notice('late')),
      ],
      events: ['1 begin db.query sql(select 1) none', '1 end ok rows=1 bytes=7'],
    })
    expect(order).toEqual([
      'to client',
      'begin 1',
      'to target',
      'result 1',
      'hold',
      'to client',
      'end 1',
      'to client',
    ])
  })

  test('Flush is forwarded and expects nothing', () => {
    check({ pieces: [client(f.flush, f.flush)], events: [] })
  })
})

describe('FunctionCall', () => {
  test('is recorded with its function and arguments', () => {
    check({
      pieces: [client(f.call(1598, ['x', null])), target(b.callResult('r'), b.ready())],
      events: ['1 begin db.call args({"function":1598,"args":["x",null]}) none', '1 end ok'],
    })
    check({
      pieces: [client(f.call(1598)), target(b.error('42883', 'no such function'), b.ready())],
      events: [
        '1 begin db.call args({"function":1598,"args":[]}) none',
        '1 end error 42883 msg(no such function)',
      ],
    })
  })
})

describe('an end of the connection', () => {
  test('Terminate is forwarded, and what was open is aborted', () => {
    check({
      pieces: [client(f.query('select 1'), f.terminate, f.query('behind')), target(one)],
      events: ['1 begin db.query sql(select 1) none', '1 end aborted'],
      toTarget: bytes(f.query('select 1'), f.terminate),
      toClient: bytes(),
      closed: { why: 'client', message: 'Terminate' },
    })
  })

  test('T-PG-15: the target is ended in a pipeline: one FATAL reaches the client, and all is aborted', () => {
    check({
      pieces: [
        client(f.parse('', 'select 1'), f.bind('', ''), f.execute(), f.sync),
        target(b.parseComplete, b.bindComplete, b.fatal('57P01', 'terminating connection')),
        { ends: 'target' },
      ],
      events: [
        '1 begin db.prepare sql(select 1) none',
        '2 begin db.execute sql(select 1) none',
        '1 end ok',
        '2 end aborted 57P01 msg(terminating connection)',
      ],
      closed: { why: 'target', message: 'the target closed the connection' },
    })
  })

  test('a target that goes without a word is explained to the client', () => {
    check({
      pieces: [client(f.query('select 1')), target(b.rows('a'), row), { ends: 'target' }],
      events: ['1 begin db.query sql(select 1) none', '1 end aborted rows=1 bytes=7'],
      toClient: bytes(
        b.rows('a'),
        row,
        b.fatal('08006', 'the connection to the target was lost', {
          D: 'The target closed it without saying why.',
          H: 'Connect again.',
        }),
      ),
      closed: { why: 'target', message: 'the target closed the connection' },
    })
  })

  test('but not in the middle of a message', () => {
    const half = row.slice(0, -1)
    check({
      pieces: [client(f.query('select 1')), target(half), { ends: 'target' }],
      events: ['1 begin db.query sql(select 1) none', '1 end aborted rows=1 bytes=7'],
      closed: { why: 'target', message: 'the target closed the connection' },
    })
  })

  test('a client that goes in the middle of a message leaves its open operations aborted', () => {
    check({
      pieces: [client(f.query('select 1'), f.query('select 2').slice(0, 9)), { ends: 'client' }, target(one)],
      events: ['1 begin db.query sql(select 1) none', '1 end aborted'],
      toTarget: f.query('select 1'),
      toClient: bytes(),
      closed: { why: 'client', message: 'the client went without Terminate' },
    })
  })

  test('an administrator who ends it is heard, and what runs is stopped', () => {
    const refusal = {
      cause: 'ended',
      what: 'this session was ended by bob',
      why: 'The grant has expired.',
      next: 'Ask for another.',
      record: 'k3v5o2n7q4w6x2za.9',
    } as const
    const { order } = check({
      pieces: [client(f.query('select 1; select 2')), target(one), { stop: refusal }],
      events: [
        '1 begin db.query sql(select 1; select 2) none',
        '2 begin db.cancel meta({"database":"orders","transaction":"none","pid":4711,"gateway":true})',
        '1 end aborted rows=1 bytes=7 res([{"outcome":"ok","tag":"SELECT 1","rows":1},{"outcome":"aborted"}])',
        '2 end aborted',
      ],
      toClient: bytes(
        one,
        b.fatal('57P01', 'this session was ended by bob', {
          D: 'The grant has expired.',
          H: 'Ask for another.\nRecord k3v5o2n7q4w6x2za.9.',
        }),
      ),
      closed: { why: 'limit', message: 'this session was ended by bob' },
    })
    expect(order.slice(-4)).toEqual(['end 2', 'hold', 'to client', 'close'])
  })
})
