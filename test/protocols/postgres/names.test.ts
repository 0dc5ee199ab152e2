/** Which text really ran: names of prepared statements and portals, followed through failures and pipelines. */
import { describe, expect, test } from 'vitest'
import { scan } from '../../../protocols/postgres/lexer.ts'
import { nameKey } from '../../../protocols/postgres/names.ts'
import { nameChanges } from '../../../protocols/postgres/statements.ts'
import { back as b, bytes, front as f } from '../../support/postgres-messages.ts'
import { check, client, target } from './scenario.ts'

const run = (name: string) => client(f.bind('', name), f.execute(), f.sync)
const ran = target(b.bindComplete, b.complete('DELETE 1'), b.ready())
const failed = target(b.error('26000', 'no such statement'), b.ready())
const unknown = (name: string) =>
  `meta({"database":"orders","transaction":"none","pid":4711,"unknown":"statement","name":"${name}"})`

/** Statement `s` deletes, and the server knows it. */
const prepared = [client(f.parse('s', 'delete'), f.sync), target(b.parseComplete, b.ready())]
const begun = ['1 begin db.prepare sql(delete) none', '1 end ok']

describe('a Parse that fails changes nothing', () => {
  test('told before the Bind', () => {
    check({
      pieces: [
        ...prepared,
        client(f.parse('s', 'select 1'), f.sync),
        target(b.error('42P05', 'exists'), b.ready()),
        run('s'),
        ran,
      ],
      events: [
        ...begun,
        '2 begin db.prepare sql(select 1) none',
        '2 end error 42P05 msg(exists)',
        '3 begin db.execute sql(delete) none',
        '3 end ok rows=1',
      ],
    })
  })

  test('pipelined with the Bind, which waits until the name has one meaning', () => {
    const { order } = check({
      pieces: [
        ...prepared,
        client(f.parse('s', 'select 1'), f.sync, f.bind('', 's'), f.execute(), f.sync),
        target(b.error('42P05', 'exists'), b.ready()),
        ran,
      ],
      events: [
        ...begun,
        '2 begin db.prepare sql(select 1) none',
        '2 end error 42P05 msg(exists)',
        '3 begin db.execute sql(delete) none',
        '3 end ok rows=1',
      ],
    })
    // The Bind goes out only after the failed Parse was answered.
    expect(order.slice(4)).toEqual([
      'begin 2',
      'to target',
      'end 2',
      'begin 3',
      'hold',
      'to client',
      'to target',
      'to target',
      'end 3',
      'hold',
      'to client',
    ])
  })

  test('skipped behind another failure, the unnamed statement being the one before', () => {
    check({
      pieces: [
        client(f.parse('', 'delete'), f.sync),
        target(b.parseComplete, b.ready()),
        client(f.parse('z', 'bad'), f.parse('', 'select 1'), f.sync, f.bind('', ''), f.execute(), f.sync),
        target(b.error('42601', 'no'), b.ready()),
        ran,
      ],
      events: [
        ...begun,
        '2 begin db.prepare sql(bad) none',
        '3 begin db.prepare sql(select 1) none',
        '2 end error 42601 msg(no)',
        '3 end skipped',
        '4 begin db.execute sql(delete) none',
        '4 end ok rows=1',
      ],
    })
  })

  test('but ends the unnamed statement', () => {
    check({
      pieces: [
        client(f.parse('', 'delete'), f.sync),
        target(b.parseComplete, b.ready()),
        client(f.parse('', 'bad'), f.sync),
        target(b.error('42601', 'no'), b.ready()),
        run(''),
        failed,
      ],
      events: [
        ...begun,
        '2 begin db.prepare sql(bad) none',
        '2 end error 42601 msg(no)',
        `3 begin db.execute ${unknown('')}`,
        '3 end error 26000 msg(no such statement)',
      ],
    })
  })
})

test('in a batch of its own a new text is used at once, without waiting', () => {
  const batch = (sql: string) => [f.parse('', sql), f.bind('', ''), f.execute(), f.sync]
  const answer = [b.parseComplete, b.bindComplete, b.complete('DELETE 1'), b.ready()]
  const { order } = check({
    pieces: [client(...batch('delete'), ...batch('delete 2')), target(...answer, ...answer)],
    events: [
      '1 begin db.prepare sql(delete) none',
      '2 begin db.execute sql(delete) none',
      '3 begin db.prepare sql(delete 2) none',
      '4 begin db.execute sql(delete 2) none',
      '1 end ok',
      '2 end ok rows=1',
      '3 end ok',
      '4 end ok rows=1',
    ],
  })
  expect(order.filter((step) => step === 'to target')).toHaveLength(1)
})

test('T-PG-12: a re-Parse under an open portal leaves the portal its text', () => {
  check({
    pieces: [
      client(f.query('begin')),
      target(b.complete('BEGIN'), b.ready('T')),
      client(f.parse('', 'delete'), f.bind('p', ''), f.parse('', 'select 1'), f.execute('p'), f.sync),
      target(b.parseComplete, b.bindComplete, b.parseComplete, b.complete('DELETE 1'), b.ready('T')),
    ],
    events: [
      '1 begin db.query sql(begin) none',
      '1 end ok',
      '2 begin db.prepare sql(delete) open',
      '3 begin db.execute sql(delete) open',
      '4 begin db.prepare sql(select 1) open',
      '2 end ok',
      '4 end ok',
      '3 end ok rows=1',
    ],
  })
})

describe('a simple Query ends the unnamed statement', () => {
  test('and the unnamed portal', () => {
    check({
      pieces: [
        client(f.parse('', 'delete'), f.sync),
        target(b.parseComplete, b.ready()),
        client(f.query('')),
        target(b.emptyQuery, b.ready()),
        run(''),
        failed,
      ],
      events: [
        ...begun,
        '2 begin db.query sql() none',
        '2 end ok',
        `3 begin db.execute ${unknown('')}`,
        '3 end error 26000 msg(no such statement)',
      ],
    })
  })
})

describe('T-PG-12: SQL shares the names', () => {
  const sql = (text: string, ...tags: string[]) => [
    client(f.query(text)),
    target(...tags.map((tag) => b.complete(tag)), b.ready()),
  ]

  test('PREPARE, then Bind by the protocol', () => {
    check({
      pieces: [...sql('prepare s as delete', 'PREPARE'), run('s'), ran],
      events: [
        '1 begin db.query sql(prepare s as delete) none',
        '1 end ok',
        '2 begin db.execute sql(prepare s as delete) none',
        '2 end ok rows=1',
      ],
    })
  })

  test.each([
    ['deallocate s', 'DEALLOCATE'],
    ['DEALLOCATE PREPARE "s"', 'DEALLOCATE'],
    ['deallocate all', 'DEALLOCATE ALL'],
    ['discard all', 'DISCARD ALL'],
    ['deallocate u&"\\0073"', 'DEALLOCATE'],
  ])('%s ends it', (text, tag) => {
    check({
      pieces: [...prepared, ...sql(text, tag), run('s'), failed],
      events: [
        ...begun,
        `2 begin db.query sql(${text}) none`,
        '2 end ok',
        `3 begin db.execute ${unknown('s')}`,
        '3 end error 26000 msg(no such statement)',
      ],
    })
  })

  test('a name that changes its meaning inside one text is followed', () => {
    const text = 'deallocate s; prepare s as truncate'
    check({
      pieces: [...prepared, ...sql(text, 'DEALLOCATE', 'PREPARE'), run('s'), ran],
      events: [
        ...begun,
        `2 begin db.query sql(${text}) none`,
        '2 end ok res([{"outcome":"ok","tag":"DEALLOCATE"},{"outcome":"ok","tag":"PREPARE"}])',
        `3 begin db.execute sql(${text}) none`,
        '3 end ok rows=1',
      ],
    })
  })

  test('and a Bind that is pipelined behind waits for it', () => {
    const text = 'deallocate s; prepare s as truncate'
    check({
      pieces: [
        ...prepared,
        client(f.query(text), f.bind('', 's'), f.execute(), f.sync),
        target(b.complete('DEALLOCATE'), b.error('42601', 'no'), b.ready()),
        failed,
      ],
      events: [
        ...begun,
        `2 begin db.query sql(${text}) none`,
        '2 end error 42601 res([{"outcome":"ok","tag":"DEALLOCATE"},{"outcome":"error","code":"42601"}]) msg(no)',
        `3 begin db.execute ${unknown('s')}`,
        '3 end error 26000 msg(no such statement)',
      ],
    })
  })

  test('through the extended protocol as well', () => {
    check({
      pieces: [
        ...prepared,
        client(f.parse('', 'discard all'), f.bind('', ''), f.execute(), f.sync, f.bind('', 's'), f.sync),
        target(b.parseComplete, b.bindComplete, b.complete('DISCARD ALL'), b.ready()),
        failed,
      ],
      events: [
        ...begun,
        '2 begin db.prepare sql(discard all) none',
        '3 begin db.execute sql(discard all) none',
        '2 end ok',
        '3 end ok',
        `4 begin db.execute ${unknown('s')}`,
        '4 end error 26000 msg(no such statement)',
      ],
    })
  })

  test('in a text too long to be read through, whatever the server says of it counts', () => {
    const long = `select '${'close '.repeat(50_000)}'`
    for (const [tag, known] of [
      ['SELECT 1', true],
      ['PREPARE', false],
    ] as const) {
      check({
        pieces: [...prepared, ...sql(long, tag), run('s'), ran],
        events: [
          ...begun,
          `2 begin db.query sql(${long}) none`,
          known ? '2 end ok rows=1' : '2 end ok',
          `3 begin db.execute ${known ? 'sql(delete) none' : unknown('s')}`,
          '3 end ok rows=1',
        ],
      })
    }
  })

  test('where the server reads a text otherwise than we do, nothing is known any more', () => {
    // With standard_conforming_strings off this is one literal and no DEALLOCATE.
    const text = "select '\\'; deallocate s; --'"
    check({
      pieces: [...prepared, ...sql(text, 'PREPARE'), run('s'), ran],
      events: [
        ...begun,
        `2 begin db.query sql(${text}) none`,
        '2 end ok',
        `3 begin db.execute ${unknown('s')}`,
        '3 end ok rows=1',
      ],
    })
  })
})

describe('names as the server sees them', () => {
  const long = 'a'.repeat(63)

  test('are cut to 63 bytes, so two that begin alike are one', () => {
    check({
      pieces: [
        client(f.parse(`${long}x`, 'delete'), f.sync),
        target(b.parseComplete, b.ready()),
        run(`${long}y`),
        ran,
      ],
      events: [...begun, '2 begin db.execute sql(delete) none', '2 end ok rows=1'],
    })
  })

  test('beyond ASCII hang on the encoding, and are unknown rather than another', () => {
    check({
      pieces: [client(f.parse('é', 'delete'), f.sync), target(b.parseComplete, b.ready()), run('é'), ran],
      events: [...begun, `2 begin db.execute ${unknown('é')}`, '2 end ok rows=1'],
    })
    expect(nameKey(Buffer.from('é'))).toBeUndefined()
    expect(nameKey(Buffer.from(`${long}é`))).toBe(long)
  })

  test('of portals beyond ASCII leave no operation open', () => {
    check({
      pieces: [
        client(f.query('begin')),
        target(b.complete('BEGIN'), b.ready('T')),
        client(f.parse('', 'delete'), f.bind('é', ''), f.execute('é'), f.sync),
        target(b.parseComplete, b.bindComplete, b.complete('DELETE 1'), b.ready('T')),
      ],
      events: [
        '1 begin db.query sql(begin) none',
        '1 end ok',
        '2 begin db.prepare sql(delete) open',
        '3 begin db.execute sql(delete) open',
        '4 begin db.execute meta({"database":"orders","transaction":"open","pid":4711,"unknown":"portal","name":"é"})',
        '2 end ok',
        '3 end skipped res([{"outcome":"skipped","bound":true}])',
        '4 end ok rows=1',
      ],
    })
  })

  test('of cursors that SQL declared are portals nobody bound', () => {
    check({
      pieces: [
        client(f.query('begin; declare c cursor for select 1')),
        target(b.complete('BEGIN'), b.complete('DECLARE CURSOR'), b.ready('T')),
        client(f.execute('c'), f.sync),
        target(b.row('1'), b.complete('FETCH 1'), b.ready('T')),
      ],
      events: [
        '1 begin db.query sql(begin; declare c cursor for select 1) none',
        '1 end ok res([{"outcome":"ok","tag":"BEGIN"},{"outcome":"ok","tag":"DECLARE CURSOR"}])',
        '2 begin db.execute meta({"database":"orders","transaction":"open","pid":4711,"unknown":"portal","name":"c"})',
        '2 end ok rows=1 bytes=7',
      ],
    })
  })

  test('of portals that SQL closes and declares anew are not taken for the old ones, waiting if need be', () => {
    const text = 'close p; declare p cursor for select evil()'
    check({
      pieces: [
        client(f.query('begin')),
        target(b.complete('BEGIN'), b.ready('T')),
        client(f.parse('', 'select 1'), f.bind('p', ''), f.sync),
        target(b.parseComplete, b.bindComplete, b.ready('T')),
        client(f.query(text), f.execute('p'), f.sync),
        target(b.complete('CLOSE CURSOR'), b.complete('DECLARE CURSOR'), b.ready('T')),
        target(b.row('1'), b.complete('FETCH 1'), b.ready('T')),
      ],
      events: [
        '1 begin db.query sql(begin) none',
        '1 end ok',
        '2 begin db.prepare sql(select 1) open',
        '3 begin db.execute sql(select 1) open',
        '2 end ok',
        `4 begin db.query sql(${text}) open`,
        '3 end skipped res([{"outcome":"skipped","bound":true}])',
        '4 end ok res([{"outcome":"ok","tag":"CLOSE CURSOR"},{"outcome":"ok","tag":"DECLARE CURSOR"}])',
        '5 begin db.execute meta({"database":"orders","transaction":"open","pid":4711,"unknown":"portal","name":"p"})',
        '5 end ok rows=1 bytes=7',
      ],
    })
  })

  test('like those of object prototypes are names and nothing else', () => {
    check({
      pieces: [
        client(f.parse('__proto__', 'delete'), f.bind('', 'constructor'), f.sync),
        target(b.parseComplete, b.error('26000', 'no'), b.ready()),
        run('__proto__'),
        ran,
      ],
      events: [
        '1 begin db.prepare sql(delete) none',
        `2 begin db.execute ${unknown('constructor')}`,
        '1 end ok',
        '2 end error 26000 msg(no)',
        '3 begin db.execute sql(delete) none',
        '3 end ok rows=1',
      ],
    })
  })
})

/** Read by another setting it prepares `a`, and read by ours `b`; the server tells no more than PREPARE. */
const TWO_WAYS = "select '\\'' ; prepare a as select 1; --'; prepare b as select 1"
const PLAIN = { plainStrings: true, asciiSafe: true, settled: true }

describe('texts that parsers may read differently', () => {
  test('tell no names', () => {
    const unread = [
      { of: 'statement', tag: '' },
      { of: 'portal', tag: '' },
    ]
    expect(nameChanges(Buffer.from(TWO_WAYS), PLAIN)).toEqual(unread)
    expect(nameChanges(Buffer.from('deallocate a'), { ...PLAIN, asciiSafe: false })).toEqual(unread)
  })

  test('leave every name without a meaning, once they have changed one', () => {
    check({
      pieces: [
        ...prepared,
        client(f.query(TWO_WAYS)),
        target(b.complete('SELECT 1'), b.complete('PREPARE'), b.ready()),
        run('s'),
        ran,
      ],
      events: [
        ...begun,
        `2 begin db.query sql(${TWO_WAYS}) none`,
        '2 end ok rows=1 res([{"outcome":"ok","tag":"SELECT 1","rows":1},{"outcome":"ok","tag":"PREPARE"}])',
        `3 begin db.execute ${unknown('s')}`,
        '3 end ok rows=1',
      ],
    })
  })
})

test('answers that a message waits for are asked for, where the client has not done so', () => {
  const first = bytes(f.parse('', 'deallocate s'), f.bind('', ''), f.execute())
  const second = bytes(f.bind('', 's'), f.execute(), f.sync)
  check({
    pieces: [
      ...prepared,
      client(first, second),
      target(b.parseComplete, b.bindComplete, b.complete('DEALLOCATE')),
      target(b.error('26000', 'gone'), b.ready()),
    ],
    toTarget: bytes(f.parse('s', 'delete'), f.sync, first, f.flush, second),
    events: [
      ...begun,
      '2 begin db.prepare sql(deallocate s) none',
      '3 begin db.execute sql(deallocate s) none',
      '2 end ok',
      '3 end ok',
      `4 begin db.execute ${unknown('s')}`,
      '4 end error 26000 msg(gone)',
    ],
  })
})

describe('the lexer finds where statements begin', () => {
  test.each([
    ['select 1; ; prepare x as y', [['select'], ['prepare', 'x', 'as', 'y']]],
    ['select \'a;b\'\'c\', "d;""e"; b', [['select', 'd;"e'], ['b']]],
    ["select E'it\\'s; x'; b", [['select'], ['b']]],
    ["select U&'x'; b", [['select', 'u'], ['b']]],
    ['/* a /* b; */ c; */ d -- e; f\n; g', [['d'], ['g']]],
    ['do $$ begin; end $$; a $x$ ; $$ ; $x$; b', [['do'], ['a'], ['b']]],
    ['select $1; b$1$; c', [['select'], ['b$1$'], ['c']]],
    ['select a$b$c; d', [['select', 'a$b$c'], ['d']]],
    ["select 'unended; a", [['select']]],
    ['/* unended; a', []],
    ['$$ unended; a', []],
    ['SELECT Größe', [['select', 'größe']]],
  ])('%s', (text, statements) => {
    expect(scan(text).statements).toEqual(statements)
  })

  test.each([
    ["select 'a\\b'", true],
    ["select e'a\\b'", false],
    ['select "a\\b"', false],
    ['select $$a\\b$$ -- \\', false],
    ["select U&'\\0041'", true],
    ["select E'a' '\\'", true],
    ["select '\\' 'a' 'b'", true],
  ])('whether %s has a backslash that parsers read differently: %s', (text, backslash) => {
    expect(scan(text).backslash).toBe(backslash)
  })

  test('and changes of names among them', () => {
    const text =
      'prepare transaction \'x\'; PREPARE A(int) as b; execute a; deallocate "A"; discard plans; discard all'
    expect(nameChanges(Buffer.from(text), PLAIN)).toEqual([
      { of: 'statement', tag: 'PREPARE', name: 'a' },
      { of: 'statement', tag: 'DEALLOCATE', name: 'A' },
      { of: 'statement', tag: 'DISCARD ALL' },
    ])
    expect(nameChanges(Buffer.from('deallocate prepare; close c; close all'), PLAIN)).toEqual([
      { of: 'statement', tag: 'DEALLOCATE', name: 'prepare' },
      { of: 'portal', tag: 'CLOSE CURSOR' },
      { of: 'portal', tag: 'CLOSE CURSOR ALL' },
    ])
    expect(nameChanges(Buffer.from('declare "C" cursor for select 1'), PLAIN)).toEqual([
      { of: 'portal', tag: 'DECLARE CURSOR', name: 'C' },
    ])
    expect(nameChanges(bytes(), PLAIN)).toEqual([])
  })
})
