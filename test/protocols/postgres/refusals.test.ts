import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { relay } from '../../../protocols/postgres/index.ts'
import type { Refusal, Statement, Verdict } from '../../../protocols/relay.ts'
import { playRelay } from '../../support/play.ts'
import { back as b, bytes, front as f, message } from '../../support/postgres-messages.ts'
import { check, client, relayOptions, target, UNGUESSABLE } from './scenario.ts'

const refusal: Refusal = {
  cause: 'statement',
  what: 'DELETE is not allowed',
  why: 'By policy "no-delete".',
  next: 'Ask for approval.',
  record: '',
}
const deny = (statement: Statement): Verdict =>
  /delete/i.test(Buffer.from(statement.text).toString())
    ? { allow: false, rule: 'no-delete', refusal }
    : { allow: true, rule: 'developer' }

const told = (record: number) =>
  b.error('42501', 'DELETE is not allowed', {
    D: 'By policy "no-delete".',
    H: `Ask for approval.\nRecord k3v5o2n7q4w6x2za.${record}.`,
  })
const SUBSTITUTE = 'gatebook refused this statement'
const syntaxError = b.error('42601', 'syntax error at or near "gatebook"', { P: '1' })
const own = 'meta({"gateway":true})'
const judged = { options: { judge: true }, judge: deny } as const

describe('a refused statement is replaced by one that the server refuses by itself', () => {
  test('a Query; the decision stands before the substitute, and only the error is ours', () => {
    const { order, judged: asked } = check({
      ...judged,
      pieces: [client(f.query('delete from t')), target(syntaxError, b.ready())],
      toTarget: f.query(SUBSTITUTE),
      toClient: bytes(told(1), b.ready()),
      events: [
        '1 decision db.query by no-delete sql(delete from t)',
        `2 begin db.query in 1 sql(${SUBSTITUTE}) ${own}`,
        '2 end error 42601 msg(syntax error at or near "gatebook")',
      ],
    })
    expect(asked).toEqual([
      { text: new Uint8Array(Buffer.from('delete from t')), database: 'orders', dependable: true },
    ])
    expect(order).toEqual([
      'judge',
      'decision 1',
      'begin 2',
      'to target',
      'end 2',
      'hold',
      'to client',
      'to client',
    ])
  })

  test('what is allowed says by which rule, and its executions do', () => {
    check({
      ...judged,
      pieces: [
        client(f.parse('s', 'select 1'), f.bind('', 's'), f.execute(), f.sync),
        target(b.parseComplete, b.bindComplete, b.complete('SELECT 1'), b.ready()),
        client(f.query('select 2')),
        target(b.complete('SELECT 1'), b.ready()),
      ],
      events: [
        '1 begin db.prepare by developer sql(select 1) none',
        '2 begin db.execute by developer sql(select 1) none',
        '1 end ok',
        '2 end ok rows=1',
        '3 begin db.query by developer sql(select 2) none',
        '3 end ok rows=1',
      ],
    })
  })

  test('a Parse, and what is pipelined behind it is skipped by the server', () => {
    check({
      ...judged,
      pieces: [
        client(f.parse('s', 'delete from t'), f.describe('S', 's'), f.sync),
        target(syntaxError, b.ready()),
      ],
      toTarget: bytes(f.parse(UNGUESSABLE, SUBSTITUTE), f.describe('S', 's'), f.sync),
      toClient: bytes(told(1), b.ready()),
      events: [
        '1 decision db.prepare by no-delete sql(delete from t)',
        `2 begin db.prepare in 1 sql(${SUBSTITUTE}) ${own}`,
        '2 end error 42601 msg(syntax error at or near "gatebook")',
      ],
    })
  })

  test('an unnamed Parse ends the unnamed statement, as a failed one does', () => {
    check({
      ...judged,
      pieces: [
        client(f.parse('', 'select 1'), f.sync),
        target(b.parseComplete, b.ready()),
        client(f.parse('', 'delete from t'), f.sync),
        target(syntaxError, b.ready()),
        client(f.bind('', ''), f.sync),
        target(b.error('26000', 'unnamed prepared statement does not exist'), b.ready()),
      ],
      toTarget: bytes(
        f.parse('', 'select 1'),
        f.sync,
        f.parse('', SUBSTITUTE),
        f.sync,
        f.bind('', ''),
        f.sync,
      ),
      toClient: bytes(
        b.parseComplete,
        b.ready(),
        told(2),
        b.ready(),
        b.error('26000', 'unnamed prepared statement does not exist'),
        b.ready(),
      ),
      events: [
        '1 begin db.prepare by developer sql(select 1) none',
        '1 end ok',
        '2 decision db.prepare by no-delete sql(delete from t)',
        `3 begin db.prepare in 2 sql(${SUBSTITUTE}) ${own}`,
        '3 end error 42601 msg(syntax error at or near "gatebook")',
        '4 begin db.execute by developer meta({"database":"orders","transaction":"none","pid":4711,"unknown":"statement","name":""})',
        '4 end error 26000 msg(unnamed prepared statement does not exist)',
      ],
    })
  })

  test('a Bind, since what is allowed may change between Parse and Bind', () => {
    let allowed = true
    const judge = (): Verdict => {
      const verdict: Verdict = allowed ? { allow: true } : { allow: false, refusal }
      allowed = false
      return verdict
    }
    const played = playRelay(
      relay({ ...relayOptions, judge: true }),
      [
        client(f.parse('s', 'select $1'), f.sync),
        target(b.parseComplete, b.ready()),
        client(f.bind('', 's', ['7']), f.execute(), f.sync),
        target(b.error('26000', 'no such statement'), b.ready()),
      ],
      { judge },
    )
    expect(Buffer.from(played.target)).toEqual(
      Buffer.from(
        bytes(f.parse('s', 'select $1'), f.sync, f.bind(UNGUESSABLE, UNGUESSABLE), f.execute(), f.sync),
      ),
    )
    expect(Buffer.from(played.client)).toEqual(
      Buffer.from(bytes(b.parseComplete, b.ready(), told(2), b.ready())),
    )
  })

  test('T-PG-18: in a failed transaction the refusal stands for whatever error the server gives', () => {
    check({
      ...judged,
      pieces: [
        client(f.query('begin')),
        target(b.complete('BEGIN'), b.ready('T')),
        client(f.query('bad')),
        target(b.error('42601', 'no'), b.ready('E')),
        client(f.query('delete from t')),
        target(b.error('25P02', 'current transaction is aborted'), b.ready('E')),
      ],
      toTarget: bytes(f.query('begin'), f.query('bad'), f.query(SUBSTITUTE)),
      toClient: bytes(
        b.complete('BEGIN'),
        b.ready('T'),
        b.error('42601', 'no'),
        b.ready('E'),
        told(3),
        b.ready('E'),
      ),
      events: [
        '1 begin db.query by developer sql(begin) none',
        '1 end ok',
        '2 begin db.query by developer sql(bad) open',
        '2 end error 42601 msg(no)',
        '3 decision db.query by no-delete sql(delete from t)',
        `4 begin db.query in 3 sql(${SUBSTITUTE}) ${own}`,
        '4 end error 25P02 msg(current transaction is aborted)',
      ],
    })
  })

  test('T-PG-18: in a pipeline behind a write nothing is committed: the server skips up to the Sync', () => {
    check({
      ...judged,
      pieces: [
        client(
          f.parse('', 'insert'),
          f.bind('', ''),
          f.execute(),
          f.parse('', 'delete from t'),
          f.bind('', ''),
          f.execute(),
          f.sync,
        ),
        target(b.parseComplete, b.bindComplete, b.complete('INSERT 0 1'), syntaxError, b.ready()),
      ],
      toTarget: bytes(
        f.parse('', 'insert'),
        f.bind('', ''),
        f.execute(),
        f.parse('', SUBSTITUTE),
        f.bind('', ''),
        f.execute(),
        f.sync,
      ),
      toClient: bytes(b.parseComplete, b.bindComplete, b.complete('INSERT 0 1'), told(3), b.ready()),
      events: [
        '1 begin db.prepare by developer sql(insert) none',
        '2 begin db.execute by developer sql(insert) none',
        '3 decision db.prepare by no-delete sql(delete from t)',
        `4 begin db.prepare in 3 sql(${SUBSTITUTE}) ${own}`,
        '5 begin db.execute by developer meta({"database":"orders","transaction":"none","pid":4711,"unknown":"statement","name":""})',
        '1 end ok',
        '2 end ok rows=1',
        '4 end error 42601 msg(syntax error at or near "gatebook")',
        '5 end skipped',
      ],
    })
  })

  test('behind a failure that the server has told, nothing is judged and nothing runs', () => {
    const { judged: asked } = check({
      ...judged,
      pieces: [
        client(f.bind('', 'nope'), f.flush),
        target(b.error('26000', 'no such statement')),
        client(f.query('delete from t'), f.sync),
        target(b.ready()),
      ],
      events: [
        '1 begin db.execute by developer meta({"database":"orders","transaction":"none","pid":4711,"unknown":"statement","name":"nope"})',
        '1 end error 26000 msg(no such statement)',
        '2 begin db.query sql(delete from t) none',
        '2 end skipped',
      ],
    })
    expect(asked).toEqual([{ text: new Uint8Array(0), database: 'orders', dependable: false }])
  })

  test('a FATAL of the server is passed as it is', () => {
    check({
      ...judged,
      pieces: [client(f.query('delete from t')), target(b.fatal('57P01', 'shutdown'))],
      toTarget: f.query(SUBSTITUTE),
      toClient: b.fatal('57P01', 'shutdown'),
      events: [
        '1 decision db.query by no-delete sql(delete from t)',
        `2 begin db.query in 1 sql(${SUBSTITUTE}) ${own}`,
      ],
    })
  })

  test.each([
    [
      'a Query',
      f.query('delete'),
      b.complete('DELETE 1'),
      'the server ran what it was to refuse: the end of a statement',
    ],
    ['a Parse', f.parse('', 'delete'), b.parseComplete, 'the server parsed what it was to refuse'],
  ])('a server that carries out the substitute of %s is not believed', (_, request, answer, problem) => {
    const played = playRelay(relay({ ...relayOptions, judge: true }), [client(request), target(answer)], {
      judge: deny,
    })
    expect(Buffer.from(played.client)).toEqual(Buffer.from(b.fatal('08P01', problem)))
    expect(played.closed).toEqual({ why: 'target', message: problem })
  })
})

describe('while a statement is judged', () => {
  test('the client waits, what it sent is kept, and the server goes on', () => {
    const room = relay({ ...relayOptions, judge: true })
    const request = bytes(f.query('select 1'), f.query('select 2'))
    expect(room.receive('client', request).map(({ type }) => type)).toEqual(['judge'])
    expect(room.full).toBe(true)
    request.fill(0)
    expect(room.receive('client', f.query('select 3'))).toEqual([])
    expect(room.receive('target', b.notice('x'))).toHaveLength(1)
    const sent: string[] = []
    for (let i = 0; i < 3; i++) {
      for (const step of room.verdict({ allow: true })) {
        if (step.type === 'send') sent.push(Buffer.from(step.bytes).toString())
      }
    }
    expect(sent).toEqual(
      ['select 1', 'select 2', 'select 3'].map((sql) => Buffer.from(f.query(sql)).toString()),
    )
    expect(room.full).toBe(false)
    expect(() => room.verdict({ allow: true })).toThrow('a verdict that was not asked for')
  })

  test('a verdict that comes after the end is of no consequence', () => {
    const room = relay({ ...relayOptions, judge: true })
    room.receive('client', f.query('select 1'))
    room.end('client')
    expect(room.verdict({ allow: true })).toEqual([])
  })
})

describe('T-PG-20: a text on which parsers disagree is not dependable', () => {
  const ask = (
    sql: string | Uint8Array,
    parameters: [string, string][] = [],
    before: Uint8Array = bytes(),
  ) => {
    const room = relay({ ...relayOptions, judge: true, ready: { pid: 1, parameters: new Map(parameters) } })
    const query = message('Q', sql, '\0')
    const played = playRelay(room, before.length === 0 ? [client(query)] : [client(before, query)])
    return played.judged.at(-1)?.dependable
  }

  test.each([
    ['plain', "select 'a'", [], true],
    ['a backslash in a plain literal', "select '\\'", [], false],
    ['a backslash in an E literal', "select E'\\''", [], true],
    ['standard_conforming_strings off', 'select 1', [['standard_conforming_strings', 'off']], false],
    [
      'SJIS, with 0x5c inside a character',
      bytes("select '", Uint8Array.of(0x83, 0x5c), "'"),
      [['client_encoding', 'SJIS']],
      false,
    ],
    ['GBK', 'select 1', [['client_encoding', 'GBK']], false],
    ['UTF-8 beyond ASCII', "select 'é'", [['client_encoding', 'UTF8']], true],
  ] as [string, string | Uint8Array, [string, string][], boolean][])(
    '%s',
    (_, sql, parameters, dependable) => {
      expect(ask(sql, parameters)).toBe(dependable)
    },
  )

  test('nor is one beyond ASCII behind an unanswered statement, which may change the encoding', () => {
    expect(ask("select 'é'", [], f.query("set client_encoding = 'SJIS'"))).toBe(false)
    expect(ask("select 'e'", [], f.query("set client_encoding = 'SJIS'"))).toBe(true)
  })

  test('and settings are followed as the server reports them', () => {
    const room = relay({ ...relayOptions, judge: true })
    const played = playRelay(room, [
      target(b.parameter('standard_conforming_strings', 'off')),
      client(f.query('select 1')),
      target(b.complete('SELECT 1'), b.ready(), b.parameter('standard_conforming_strings', 'on')),
      client(f.query('select 1')),
    ])
    expect(played.judged.map(({ dependable }) => dependable)).toEqual([false, true])
  })
})

describe('FunctionCall', () => {
  const refused = b.error(
    '42501',
    'a function call by the fastpath protocol is not allowed on a read-only session',
    {
      D: 'It names its function by a number, so nobody can tell here whether it writes.',
      H: 'Call the function in a SELECT.\nRecord k3v5o2n7q4w6x2za.1.',
    },
  )

  test('T-PG-19: is refused on a read-only session, by calling the function that does not exist', () => {
    check({
      options: { readOnly: true },
      pieces: [
        client(f.call(1598, ['x'])),
        target(b.error('42883', 'function with OID 0 does not exist'), b.ready()),
      ],
      toTarget: f.call(0),
      toClient: bytes(refused, b.ready()),
      events: [
        '1 decision db.call args({"function":1598,"args":["x"]})',
        `2 begin db.call in 1 ${own}`,
        '2 end error 42883 msg(function with OID 0 does not exist)',
      ],
    })
  })

  test('has no text to judge, and counts as one that cannot be read', () => {
    const { judged: asked } = check({
      options: { judge: true },
      pieces: [client(f.call(1598)), target(b.callResult(null), b.ready())],
      events: ['1 begin db.call args({"function":1598,"args":[]}) none', '1 end ok'],
    })
    expect(asked).toEqual([{ text: new Uint8Array(0), database: 'orders', dependable: false }])
  })
})

describe('a statement above the limit is refused, not truncated', () => {
  const sha256 = (body: Uint8Array) => createHash('sha256').update(body).digest('hex')
  const tooLong = (length: number) =>
    b.error('54000', `a statement of ${length} bytes is too long to be recorded`, {
      D: 'This gateway records statements of up to 100 bytes, parameters included, and passes no others.',
      H: 'Send it in parts, or its data by COPY.\nRecord k3v5o2n7q4w6x2za.1.',
    })
  const long = 'x'.repeat(100)

  test.each([
    ['Query', f.query(long), f.query(SUBSTITUTE), `db.query in 1 sql(${SUBSTITUTE}) ${own}`],
    [
      'Parse',
      f.parse('s', long),
      f.parse(UNGUESSABLE, SUBSTITUTE),
      `db.prepare in 1 sql(${SUBSTITUTE}) ${own}`,
    ],
    ['Bind', f.bind('', 's', [long]), f.bind(UNGUESSABLE, UNGUESSABLE), `db.execute in 1 ${own}`],
    ['FunctionCall', f.call(1598, [long]), f.call(0), `db.call in 1 ${own}`],
  ])('%s', (_, request, substitute, begun) => {
    const body = request.subarray(5)
    check({
      options: { statementBytesMax: 100 },
      pieces: [client(request), target(b.error('42601', 'no')), client(f.sync), target(b.ready())],
      toTarget: bytes(substitute, f.sync),
      toClient: bytes(tooLong(body.length), b.ready()),
      events: [
        `1 decision ${begun.split(' ')[0]} meta({"bytes":${body.length},"sha256":"${sha256(body)}"})`,
        `2 begin ${begun}`,
        '2 end error 42601 msg(no)',
      ],
    })
  })
})
