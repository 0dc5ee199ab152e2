import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RelayEvent } from '../../../protocols/events.ts'
import type { Statement, Verdict } from '../../../protocols/relay.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/cli/demo/postgres.ts'
import { type GatewayOptions, RawClient, TestGateway } from '../../support/postgres-gateway.ts'
import { front as f } from '../../support/postgres-messages.ts'

const PASSWORD = 'open sesame'
let server: EmbeddedPostgres

beforeAll(async () => {
  server = await startEmbeddedPostgres('target password')
  await direct(async (client) => {
    await client.query('create table item (id int primary key, name text)')
    await client.query("insert into item select n, 'item ' || n from generate_series(1, 10) n")
    await client.query('create table written (what text)')
    await client.query('create table parent (id int primary key)')
    await client.query('create table child (id int references parent deferrable initially deferred)')
    await client.query(
      'create function sneaky(text) returns int immutable language sql as $$ insert into written values ($1) returning 1 $$',
    )
  })
}, 60_000)

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

async function direct<T>(use: (client: pg.Client) => Promise<T>): Promise<T> {
  return connected(server.port, 'postgres', 'target password', use)
}

async function connected<T>(
  port: number,
  user: string,
  password: string,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ host: '127.0.0.1', port, user, password, database: 'postgres' })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

function gateway(options: Partial<GatewayOptions> = {}): Promise<TestGateway> {
  const target = { port: server.port, user: 'postgres', password: 'target password' }
  return TestGateway.start({ target, password: PASSWORD, ...options })
}

/** Runs psql; gives all that it wrote and its exit code. */
async function psql(
  port: number,
  script: string,
  { password = PASSWORD, args = [] as string[], user = 'alice~orders' } = {},
): Promise<string> {
  const options = ['-X', '-q', '-h', '127.0.0.1', '-p', String(port), '-U', user, '-d', 'postgres', ...args]
  // One pipe for both: of two, what came first could not be told.
  const child = spawn('sh', ['-c', 'exec psql "$@" 2>&1', 'psql', ...options, '-f', '-'], {
    env: { ...process.env, PGPASSWORD: password },
  })
  let told = ''
  child.stdout.on('data', (chunk: Buffer) => {
    told += chunk.toString()
  })
  child.stdin.end(script)
  const code = await new Promise((resolve) => child.once('close', resolve))
  return `${told}[${code}]`
}

/** Each operation on a line: act, text or arguments, outcome. */
function operations(events: readonly RelayEvent[]): string[] {
  const begun = new Map<number, string>()
  const told: string[] = []
  for (const event of events) {
    if (event.type === 'begin' || event.type === 'decision') {
      const texts = event.payloads.filter(({ type }) => type === 'sql' || type === 'args')
      const words = texts.map(({ body }) => Buffer.from(body).toString().trim())
      const line = [event.act, ...words].join(' | ')
      if (event.type === 'decision') told.push(`${line} -> denied`)
      else begun.set(event.op, line)
    }
    if (event.type === 'end') {
      const facts = [event.outcome, event.code, event.rows].filter((fact) => fact !== undefined)
      told.push(`${begun.get(event.op)} -> ${facts.join(' ')}`)
    }
  }
  return told
}

describe('psql', () => {
  const script = `
    select id, name from item order by id limit 2;
    select * from nowhere;
    begin; insert into item values (100, 'x'); savepoint s; select 1/0; rollback to s; rollback;
    \\copy (select id from item order by id limit 3) to stdout
    copy item from stdin;
201\tcopied
202\tcopied
\\.
    delete from item where id > 200;
    select 1 \\; select 2;
    listen news; notify news, 'hello';
    do $$ begin raise notice 'a notice'; end $$;
    prepare p as select $1::int; execute p(7); deallocate p;
    \\d item
    show server_version;
  `

  test('sees through the gateway what it sees without', async () => {
    await using gate = await gateway()
    const through = await psql(gate.port, script)
    const without = await psql(server.port, script, { password: 'target password', user: 'postgres' })
    // The process that notified is another one each time.
    const processes = /PID \d+/g
    expect(through.replace(processes, 'PID')).toBe(without.replace(processes, 'PID'))
    expect(gate.problems).toEqual([])
  })

  test('leaves in the book what it did, in order', async () => {
    await using gate = await gateway()
    await psql(gate.port, script.replace('\\d item', ''))
    const { events, over } = await gate.session(0)
    await over
    expect(operations(events)).toEqual([
      'db.query | select id, name from item order by id limit 2; -> ok 2',
      'db.query | select * from nowhere; -> error 42P01',
      'db.query | begin; -> ok',
      "db.query | insert into item values (100, 'x'); -> ok 1",
      'db.query | savepoint s; -> ok',
      'db.query | select 1/0; -> error 22012',
      'db.query | rollback to s; -> ok',
      'db.query | rollback; -> ok',
      'db.copy -> ok 3',
      'db.query | COPY  ( select id from item order by id limit 3 ) TO STDOUT -> ok 3',
      'db.copy -> ok 2',
      'db.query | copy item from stdin; -> ok 2',
      'db.query | delete from item where id > 200; -> ok 2',
      'db.query | select 1 ; select 2; -> ok 2',
      'db.query | listen news; -> ok',
      "db.query | notify news, 'hello'; -> ok",
      "db.query | do $$ begin raise notice 'a notice'; end $$; -> ok",
      'db.query | prepare p as select $1::int; -> ok',
      'db.query | execute p(7); -> ok 1',
      'db.query | deallocate p; -> ok',
      'db.query | show server_version; -> ok 1',
    ])
  })

  test('is cancelled by ^C, which is an operation of the session', async () => {
    await using gate = await gateway()
    const child = spawn(
      'psql',
      ['-X', `postgres://alice@127.0.0.1:${gate.port}/postgres`, '-c', 'select pg_sleep(60)'],
      {
        env: { ...process.env, PGPASSWORD: PASSWORD },
      },
    )
    let told = ''
    child.stderr.on('data', (chunk: Buffer) => {
      told += chunk.toString()
    })
    const { events, over } = await gate.session(0)
    const asleep = "select 1 from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'"
    await expect.poll(() => direct(async (client) => (await client.query(asleep)).rowCount)).toBe(1)
    child.kill('SIGINT')
    await new Promise((resolve) => child.once('close', resolve))
    await over
    expect(told).toContain('canceling statement due to user request')
    expect(operations(events).sort()).toEqual([
      'db.cancel -> ok',
      'db.query | select pg_sleep(60) -> error 57014',
    ])
  })

  test('with a wrong password is told what the server would say, and reaches no target', async () => {
    await using gate = await gateway()
    expect(await psql(gate.port, 'select 1', { password: 'wrong' })).toContain('[2]')
    expect(gate.sessions).toHaveLength(0)
  })
})

describe('node-postgres', () => {
  test('prepared statements, arrays, NULLs and errors, with their parameters in the book', async () => {
    await using gate = await gateway()
    await connected(gate.port, 'alice', PASSWORD, async (client) => {
      const named = { name: 'by-id', text: 'select name from item where id = $1' }
      expect((await client.query({ ...named, values: [3] })).rows).toEqual([{ name: 'item 3' }])
      expect((await client.query({ ...named, values: [null] })).rows).toEqual([])
      expect((await client.query('select $1::int[] as a', [[1, null, 3]])).rows).toEqual([
        { a: [1, null, 3] },
      ])
      await expect(client.query('select $1::int', ['x'])).rejects.toThrow('invalid input syntax')
      expect((await client.query('select 1 as a')).rows).toEqual([{ a: 1 }])
    })
    const { events, over } = await gate.session(0)
    await over
    expect(operations(events)).toEqual([
      'db.prepare | select name from item where id = $1 -> ok',
      'db.execute | select name from item where id = $1 | ["3"] -> ok 1',
      'db.execute | select name from item where id = $1 | [null] -> ok 0',
      'db.prepare | select $1::int[] as a -> ok',
      'db.execute | select $1::int[] as a | ["{\\"1\\",NULL,\\"3\\"}"] -> ok 1',
      'db.prepare | select $1::int -> ok',
      'db.execute | select $1::int | ["x"] -> error 22P02',
      'db.query | select 1 as a -> ok 1',
    ])
  })
})

describe('a raw client', () => {
  test('T-PG-11: pipelines with failures in them', async () => {
    await using gate = await gateway()
    await using client = await RawClient.open(gate.port, PASSWORD)
    client.send(f.parse('', 'bad'), f.bind('', ''), f.query('select 1'), f.sync, f.query('select 2'))
    expect(await client.until(2)).toEqual([
      'E 42601 syntax error at or near "bad"',
      'Z I',
      'T',
      'D',
      'C SELECT 1',
      'Z I',
    ])
    expect(operations((await gate.session(0)).events)).toEqual([
      'db.prepare | bad -> error 42601',
      'db.execute | bad -> skipped',
      'db.query | select 1 -> skipped',
      'db.query | select 2 -> ok 1',
    ])
  })

  test('T-PG-17: a function labelled IMMUTABLE runs at the Bind, and the book has it as bound', async () => {
    await using gate = await gateway()
    await using client = await RawClient.open(gate.port, PASSWORD)
    client.send(f.parse('', 'select sneaky($1)'), f.bind('', '', ['planned']), f.sync)
    const told = await client.until(1)
    const { events } = await gate.session(0)
    expect(events.at(-1)).toMatchObject({ type: 'end', op: 2 })
    // Whether planning may write differs between servers; that it was begun before the Bind does not.
    expect(operations(events)[1]).toMatch(
      /^db.execute \| select sneaky\(\$1\) \| \["planned"\] -> (skipped|error)/,
    )
    expect(told.at(-1)).toBe('Z I')
  })

  test('COPY by the extended protocol, with the Sync that the server ignores, and failing', async () => {
    await using gate = await gateway()
    await using client = await RawClient.open(gate.port, PASSWORD)
    const copy = [
      f.parse('', 'copy written from stdin'),
      f.bind('', ''),
      f.describe('P'),
      f.execute(),
      f.sync,
    ]
    client.send(...copy)
    client.send(f.copyData('one\n'), f.sync, f.copyDone, f.sync)
    expect(await client.until(1)).toEqual(['1', '2', 'n', 'G', 'C COPY 1', 'Z I'])
    client.send(...copy)
    client.send(f.copyData('a\tb\n'), f.sync, f.copyDone, f.sync, f.query('select 1'))
    const failed = await client.until(3)
    expect(failed.filter((line) => /^[EC]/.test(line))).toEqual([
      'E 22P04 extra data after last expected column',
      'C SELECT 1',
    ])
    const { events } = await gate.session(0)
    expect(operations(events).slice(3)).toEqual([
      'db.prepare | copy written from stdin -> ok',
      'db.copy -> error 22P04',
      'db.execute | copy written from stdin -> error 22P04',
      'db.query | select 1 -> ok 1',
    ])
    const sha256 = createHash('sha256').update('one\n').digest('hex')
    const end = events.find((event) => event.type === 'end' && event.op === 3)
    expect(Buffer.from(end?.type === 'end' ? (end.payloads?.[0]?.body ?? []) : []).toString()).toBe(
      `{"in":{"bytes":4,"sha256":"${sha256}"}}`,
    )
  })

  test('a commit that fails at the Sync is in the book', async () => {
    await using gate = await gateway()
    await using client = await RawClient.open(gate.port, PASSWORD)
    client.send(f.parse('', 'insert into child values (1)'), f.bind('', ''), f.execute(), f.sync)
    expect(await client.until(1)).toEqual([
      '1',
      '2',
      'C INSERT 0 1',
      'E 23503 insert or update on table "child" violates foreign key constraint "child_id_fkey"',
      'Z I',
    ])
    expect(operations((await gate.session(0)).events).at(-1)).toBe('db.other -> error 23503')
  })

  test('portions of a portal, and cursors of SQL', async () => {
    await using gate = await gateway()
    await using client = await RawClient.open(gate.port, PASSWORD)
    client.send(
      f.query('begin'),
      f.parse('', 'select id from item'),
      f.bind('p', ''),
      f.execute('p', 4),
      f.sync,
    )
    client.send(
      f.execute('p', 4),
      f.execute('p', 4),
      f.query('declare c cursor for select 1'),
      f.execute('c'),
      f.sync,
    )
    client.send(f.query('rollback'))
    const told = (await client.until(5)).filter((line) => line !== 'D')
    expect(told).toEqual([
      ...['C BEGIN', 'Z T', '1', '2', 's', 'Z T'],
      ...['s', 'C SELECT 2', 'C DECLARE CURSOR', 'Z T', 'C SELECT 1', 'Z T'],
      ...['C ROLLBACK', 'Z I'],
    ])
    expect(operations((await gate.session(0)).events)).toEqual([
      'db.query | begin -> ok',
      'db.prepare | select id from item -> ok',
      'db.execute | select id from item -> ok 4',
      'db.execute | select id from item -> ok 4',
      'db.execute | select id from item -> ok 2',
      'db.query | declare c cursor for select 1 -> ok',
      'db.execute -> ok 1',
      'db.query | rollback -> ok',
    ])
  })

  test('T-PG-15: a target killed in a pipeline gives one FATAL', async () => {
    await using gate = await gateway()
    await using client = await RawClient.open(gate.port, PASSWORD)
    client.send(
      f.parse('', 'select pg_terminate_backend(pg_backend_pid())'),
      f.bind('', ''),
      f.execute(),
      f.sync,
      f.query('select 1'),
    )
    expect(await client.until(1)).toEqual([
      '1',
      '2',
      'D',
      'E 57P01 terminating connection due to administrator command',
      'closed',
    ])
    const { events, over } = await gate.session(0)
    await over
    expect(operations(events)).toEqual([
      'db.prepare | select pg_terminate_backend(pg_backend_pid()) -> ok',
      'db.execute | select pg_terminate_backend(pg_backend_pid()) -> aborted 57P01 1',
      'db.query | select 1 -> aborted',
    ])
  })
})

describe('refusals by substitute: the server and the client go on agreeing', () => {
  const judge = ({ text }: Statement): Verdict => {
    const refusal = {
      cause: 'statement',
      what: 'DELETE is not allowed',
      why: 'By policy.',
      next: '',
      record: '',
    } as const
    return /delete/.test(Buffer.from(text).toString())
      ? { allow: false, rule: 'no-delete', refusal }
      : { allow: true }
  }
  const DENIED = 'E 42501 DELETE is not allowed'
  const rows = () => direct(async (client) => (await client.query('select what from written')).rows)

  test('T-PG-18: outside and inside a transaction, behind a savepoint, in a failed one', async () => {
    await direct((client) => client.query('truncate written'))
    await using gate = await gateway({ judge })
    await using client = await RawClient.open(gate.port, PASSWORD)
    const say = async (sql: string): Promise<string[]> => {
      client.send(f.query(sql))
      return client.until(1)
    }
    expect(await say('delete from written')).toEqual([DENIED, 'Z I'])
    await say('begin')
    await say("insert into written values ('before')")
    await say('savepoint s')
    expect(await say('delete from written')).toEqual([DENIED, 'Z E'])
    expect(await say('delete from written')).toEqual([DENIED, 'Z E'])
    expect(await say('select 1')).toEqual([
      'E 25P02 current transaction is aborted, commands ignored until end of transaction block',
      'Z E',
    ])
    expect(await say('rollback to s')).toEqual(['C ROLLBACK', 'Z T'])
    expect(await say('commit')).toEqual(['C COMMIT', 'Z I'])
    expect(await rows()).toEqual([{ what: 'before' }])
  })

  test('T-PG-18: in a pipeline behind a write nothing is committed', async () => {
    await direct((client) => client.query('truncate written'))
    await using gate = await gateway({ judge })
    await using client = await RawClient.open(gate.port, PASSWORD)
    const run = (sql: string) => [f.parse('', sql), f.bind('', ''), f.execute()]
    client.send(
      ...run("insert into written values ('lost')"),
      ...run('delete from written'),
      ...run('select 1'),
      f.sync,
    )
    expect(await client.until(1)).toEqual(['1', '2', 'C INSERT 0 1', DENIED, 'Z I'])
    expect(await rows()).toEqual([])
    expect(operations((await gate.session(0)).events)).toEqual([
      'db.prepare | delete from written -> denied',
      "db.prepare | insert into written values ('lost') -> ok",
      "db.execute | insert into written values ('lost') -> ok 1",
      'db.prepare | gatebook refused this statement -> error 42601',
      'db.execute -> skipped',
      'db.prepare | select 1 -> skipped',
      // With its text, unless the failure was told before it came.
      expect.stringMatching(/^db.execute( \| select 1)? -> skipped$/),
    ])
  })

  test('a Bind, whose substitute the server does not know', async () => {
    let allow = true
    await using gate = await gateway({
      judge: (statement) => (allow ? { allow: true } : judge(statement)),
    })
    await using client = await RawClient.open(gate.port, PASSWORD)
    client.send(f.query('begin'), f.parse('d', 'delete from written'), f.sync)
    await client.until(2)
    allow = false
    client.send(f.bind('', 'd'), f.describe('P'), f.execute(), f.sync, f.query('commit'))
    expect(await client.until(2)).toEqual([DENIED, 'Z E', 'C ROLLBACK', 'Z I'])
    expect(operations((await gate.session(0)).events).slice(2)).toEqual([
      'db.execute | delete from written -> denied',
      'db.execute -> error 26000',
      'db.query | commit -> ok',
    ])
  })

  test('T-PG-19: FunctionCall on a read-only session, inside a transaction and out of it', async () => {
    await using gate = await gateway({ relay: { readOnly: true } })
    await using client = await RawClient.open(gate.port, PASSWORD)
    const denied = 'E 42501 a function call by the fastpath protocol is not allowed on a read-only session'
    client.send(f.call(1598), f.query('begin'), f.call(1598), f.call(1598), f.query('rollback'))
    expect(await client.until(5)).toEqual([
      ...[denied, 'Z I', 'C BEGIN', 'Z T'],
      ...[denied, 'Z E', denied, 'Z E', 'C ROLLBACK', 'Z I'],
    ])
  })

  test('and where it is allowed it is answered', async () => {
    await using gate = await gateway()
    await using client = await RawClient.open(gate.port, PASSWORD)
    // random(), then pg_backend_pid() with one argument too many.
    client.send(f.call(1598), f.call(2026, ['1']))
    expect(await client.until(2)).toEqual(['V', 'Z I', expect.stringMatching(/^E 08P01 /), 'Z I'])
  })

  test('a statement above the limit', async () => {
    await using gate = await gateway({ relay: { statementBytesMax: 1000 } })
    await using client = await RawClient.open(gate.port, PASSWORD)
    const long = `select '${'x'.repeat(1000)}'`
    client.send(f.query(long), f.parse('', long), f.bind('', ''), f.sync, f.query('select 1'))
    const told = await client.until(3)
    expect(told.filter((line) => line !== 'T' && line !== 'D')).toEqual([
      ...['E 54000 a statement of 1010 bytes is too long to be recorded', 'Z I'],
      ...['E 54000 a statement of 1013 bytes is too long to be recorded', 'Z I'],
      ...['C SELECT 1', 'Z I'],
    ])
  })
})

describe('a limit of rows', () => {
  test('stops a long result at the target, and tells our error', async () => {
    await using gate = await gateway({ relay: { rowsMax: 10 } })
    await connected(gate.port, 'alice', PASSWORD, async (client) => {
      const error = await client
        .query('select generate_series(1, 100000000)')
        .catch((problem: unknown) => problem)
      expect(error).toMatchObject({ code: '57014', message: 'more than 10 rows' })
      expect((await client.query('select 1 as a')).rows).toEqual([{ a: 1 }])
      await expect(client.query('select n from generate_series(1, $1::int) n', [11])).rejects.toThrow(
        'more than 10 rows',
      )
      expect((await client.query('select n from generate_series(1, 10) n')).rows).toHaveLength(10)
    })
  })
})

describe('names', () => {
  test('T-PG-12: SQL PREPARE, then Bind; a failed Parse pipelined with a Bind of the older statement', async () => {
    await using gate = await gateway()
    await using client = await RawClient.open(gate.port, PASSWORD)
    client.send(f.query('prepare s as select 1'), f.bind('', 's'), f.execute(), f.sync)
    await client.until(2)
    client.send(f.parse('s', 'select 2'), f.sync, f.bind('', 's'), f.execute(), f.sync)
    expect(await client.until(2)).toEqual([
      'E 42P05 prepared statement "s" already exists',
      'Z I',
      '2',
      'D',
      'C SELECT 1',
      'Z I',
    ])
    expect(operations((await gate.session(0)).events)).toEqual([
      'db.query | prepare s as select 1 -> ok',
      'db.execute | prepare s as select 1 -> ok 1',
      'db.prepare | select 2 -> error 42P05',
      'db.execute | prepare s as select 1 -> ok 1',
    ])
  })

  test('longer than the server keeps are one where they begin alike', async () => {
    await using gate = await gateway()
    await using client = await RawClient.open(gate.port, PASSWORD)
    const long = 'n'.repeat(63)
    client.send(f.parse(`${long}-a`, 'select 1'), f.bind('', `${long}-b`), f.execute(), f.sync)
    expect(await client.until(1)).toEqual(['1', '2', 'D', 'C SELECT 1', 'Z I'])
    expect(operations((await gate.session(0)).events)[1]).toBe('db.execute | select 1 -> ok 1')
  })
})
