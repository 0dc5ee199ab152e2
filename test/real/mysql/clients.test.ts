/**
 * Clients of other people's making, through the gateway and without it: they must print the same, and what they ran
 * is in the book as the server's own log has it. MariaDB Connector/C is in here twice, under the `mariadb` programs
 * and under Perl's DBD::MariaDB.
 */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Connection, type ConnectionOptions, createConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../../support/gateway.ts'
import type { Session } from '../../support/gateway-book.ts'
import { type Server, startServer } from './server.ts'
import { shopBehindGateway } from './shop.ts'
import { compareTexts } from './witness.ts'

const run = promisify(execFile)
const OUTPUT_BYTES_MAX = 64 << 20
const programs = join(import.meta.dirname, 'clients')

let server: Server
let gateway: TestGateway
let token: string
let folder: string

beforeAll(async () => {
  server = await startServer()
  gateway = await TestGateway.start(shopBehindGateway(server))
  token = gateway.createToken('alice').secret
  folder = mkdtempSync(join(tmpdir(), 'gatebook-clients-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

/** Where a client goes, and as whom. */
interface Way {
  readonly port: number
  readonly user: string
  readonly password: string
}

const direct = (): Way => ({ port: server.port, user: 'app', password: 'app secret' })
const through = (listener = 'free'): Way => ({ port: gateway.port(listener), user: 'alice', password: token })

function options({ port, user, password }: Way): string[] {
  return ['--no-defaults', '-h127.0.0.1', `-P${port}`, `-u${user}`, `-p${password}`]
}

async function output(command: string, args: readonly string[], input?: string): Promise<string> {
  const running = run(command, args, { maxBuffer: OUTPUT_BYTES_MAX })
  if (input !== undefined) running.child.stdin?.end(input)
  const { stdout, stderr } = await running.catch((problem: { stdout: string; stderr: string }) => problem)
  return `${stdout}\n${stderr}`.replace(/^.*Using a password on the command line.*$/m, '')
}

/** The sessions that came since `before`, all ended, each as its server's log has it. */
async function sessionsBehind(before: number): Promise<readonly Session[]> {
  const book = await gateway.readWhen(
    ({ sessions }) => sessions.length > before && sessions.every(({ why }) => why !== undefined),
  )
  const sessions = book.sessions.slice(before)
  for (const session of sessions) {
    const pid = Number(session.operations[0]?.meta['pid'])
    await server.outcomesOf(pid)
    expect(compareTexts(session, server.statementsOf(pid))).toEqual([])
  }
  return sessions
}

/** Runs a client both ways. */
async function both(ask: (way: Way) => Promise<string>): Promise<readonly Session[]> {
  const before = gateway.read().sessions.length
  const expected = await ask(direct())
  expect(await ask(through())).toBe(expected)
  expect(expected).not.toBe('')
  return sessionsBehind(before)
}

describe('the mariadb programs', () => {
  const script = `
    create or replace table batch (id int primary key auto_increment, t text, n decimal(10,2), b blob);
    insert into batch (t, n, b) values ('ä', 1.5, x'00ff'), (null, -2, ''), ('o''b\\\\', 3, 'x');
    select * from batch order by id; select * from nowhere; frob;
    begin; update batch set n = n + 1; select row_count(); rollback;
    delimiter //
    create or replace procedure one_two() begin select 1 as one; select 2 as two; end//
    create or replace trigger batch_in before insert on batch for each row set new.t = upper(new.t)//
    delimiter ;
    call one_two(); insert into batch (t) values ('loud'); select t from batch order by id desc limit 1;
    show warnings; select cast('x' as int); show warnings; show create table batch\\G
    use mysql; select database(); use shop; select repeat('z', 2000000) as long_one into @z; select length(@z);
    select 1/0, now() > '2020-01-01', 0x41, b'101', json_array(1, 'x'), st_astext(point(1, 2));`

  test.each(['-vvv', '-t', '--quick -X', '--compress -B'])('mariadb %s', async (flags) => {
    const clean = (text: string): string => text.replace(/\(\d+\.\d+ sec\)|\d+ (?=rows? in set)/g, '')
    await both(async (way) =>
      clean(
        await output(
          'mariadb',
          [...options(way), '--force', ...flags.split(' '), '--comments', 'shop'],
          script,
        ),
      ),
    )
  })

  test('mariadb-dump, and its restore, give the same database', async () => {
    const dump = (way: Way, database: string): Promise<string> =>
      output('mariadb-dump', [
        ...options(way),
        ...['--single-transaction', '--routines', '--triggers', '--hex-blob', '--skip-comments', database],
      ])
    const setUp = `create or replace table shop.dumped as select seq, repeat(char(65 + seq % 26), seq % 300) as t,
      unhex(sha2(seq, 256)) as b from seq_1_to_20000; create database copy`
    await output('mariadb', [...options(direct()), '-e', setUp, 'shop'])
    await both((way) => dump(way, 'shop'))
    const dumped = await dump(direct(), 'shop')
    const restored = await output('mariadb', [...options(through()), 'copy'], dumped)
    expect(restored.trim()).toBe('')
    const same = (text: string): string => text.replaceAll('`shop`', '`copy`')
    expect(same(await dump(direct(), 'copy'))).toBe(same(dumped))
  })

  test('mariadb-import --local loads the file that it names, where the target allows it', async () => {
    const content = Array.from({ length: 50_000 }, (_, i) => `${i}\tline ${i}\n`).join('')
    const file = join(folder, 'imported.txt')
    writeFileSync(file, content)
    const create = 'create or replace table imported (i int, t text)'
    const sessions = await both(async (way) => {
      await output('mariadb', [...options(direct()), '-e', create, 'shop'])
      return output('mariadb-import', [...options(way), '--local', 'shop', file])
    })
    const load = sessions.flatMap(({ operations }) => operations).find(({ text }) => text?.startsWith('LOAD'))
    const sha256 = createHash('sha256').update(content).digest('hex')
    expect(load).toMatchObject({
      out: 'ok',
      rows: 50_000,
      meta: { file: { name: file, bytes: content.length, sha256 } },
    })
    const refused = await output('mariadb-import', [...options(through('mariadb')), '--local', 'shop', file])
    expect(refused).toContain('1235, LOAD DATA LOCAL is not allowed here')
  })

  test('mariadb stops what runs at ctrl-C, by a KILL that finds its own session', async () => {
    const before = gateway.read().sessions.length
    const child = spawn('mariadb', [...options(through()), '-e', 'select sleep(3000) as slept', 'shop'])
    const ended = new Promise((resolve) => child.once('close', resolve))
    await runs('select sleep(3000) as slept')
    child.kill('SIGINT')
    await ended
    const sessions = await sessionsBehind(before)
    const [kill] = sessions.flatMap(({ operations }) =>
      operations.filter(({ text }) => text?.startsWith('KILL')),
    )
    expect(kill).toMatchObject({ out: 'ok', meta: { kill: { target: expect.any(Number) } } })
    expect(kill?.text).toMatch(/^KILL QUERY \d+/)
  })
})

/** Resolves once the target runs `text`. */
async function runs(text: string): Promise<void> {
  const watch = await createConnection({ host: '127.0.0.1', ...direct() })
  const seen = async (): Promise<number> => {
    const [rows] = await watch.query('select id from information_schema.processlist where info = ?', [text])
    return (rows as unknown[]).length
  }
  await expect.poll(seen).toBe(1)
  await watch.end()
}

describe('MariaDB Connector/J', () => {
  const java = (way: Way, what: string): string[] => [
    ...['-XX:TieredStopAtLevel=1', '-cp', `/usr/share/java/mariadb-java-client.jar:${folder}`, 'Connector'],
    ...[String(way.port), way.user, way.password, what],
  ]

  beforeAll(async () => {
    await run('javac', ['-proc:none', '-d', folder, join(programs, 'Connector.java')])
  })

  test('batches, pipelines, streams and several results', async () => {
    const sessions = await both((way) => output('java', java(way, 'all')))
    const operations = sessions.flatMap((session) => session.operations)
    expect(operations.filter(({ act }) => act === 'db.execute').length).toBeGreaterThan(60)
  })

  test('stops what runs by the number that it was given', async () => {
    const text = 'select count(*) from seq_1_to_1000000000 a where sqrt(seq) < 0'
    const child = spawn('java', java(through(), 'cancel'))
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    const ended = new Promise((resolve) => child.once('close', resolve))
    await runs(text)
    child.stdin.end('\n')
    await ended
    expect(said).toMatch(/^1317 70100 .*interrupted/)
    expect(said).toContain('still here')
  })
})

test('PyMySQL: texts, streams, several results, a local file, a packet of 16 MB', async () => {
  const file = join(folder, 'python.txt')
  writeFileSync(file, '1000\n1001\n')
  const sessions = await both((way) =>
    output('/usr/bin/python3', [
      ...['-W', 'ignore', join(programs, 'pymysql_client.py')],
      ...[String(way.port), way.user, way.password, file],
    ]),
  )
  const files = sessions.flatMap(({ operations }) => operations.flatMap(({ meta }) => meta['file'] ?? []))
  expect(files).toEqual([
    { name: file, bytes: 10, sha256: createHash('sha256').update(readFileSync(file)).digest('hex') },
    { name: '/does/not/exist', bytes: 0, sha256: createHash('sha256').digest('hex') },
  ])
})

test('DBD::MariaDB: server-side statements with parameters', async () => {
  await both((way) =>
    output('perl', [join(programs, 'dbd_mariadb.pl'), String(way.port), way.user, way.password]),
  )
})

describe('mysql2', () => {
  /** What a session of its own is told, in words. */
  async function tellAll(connection: Connection, way: Way): Promise<string> {
    const told: unknown[] = []
    const tell = async (act: () => Promise<unknown>): Promise<void> => {
      const [answer] = (await act().catch((problem: { errno: number; message: string }) => [
        [problem.errno, problem.message],
      ])) as [unknown]
      told.push(answer)
    }
    await tell(() =>
      connection.query('create or replace table node (i bigint, t text, j json, b blob, d date)'),
    )
    const values = ['9223372036854775807', 'naïve', '{"a":1}', Buffer.alloc(3), '2024-02-29']
    await tell(() => connection.execute('insert into node values (?, ?, ?, ?, ?)', values))
    await tell(() => connection.execute('select * from node where i > ?', [5]))
    await tell(() => connection.query('select 1 as a; insert into node (i) values (1), (2); select 3 as b'))
    await tell(() => connection.execute('insert into nowhere values (?)', [1]))
    await tell(() => connection.query('select ? as v', [repeat(1_000_000)]).then(summary))
    await tell(() => connection.execute('select ? as v', [repeat(1_000_000)]).then(summary))
    for (const size of [16_777_209, 16_777_210, 16_777_211, 33_554_430])
      await tell(() => connection.query(`select repeat('r', ${size}) as v`).then(summary))
    await connection.changeUser({ user: way.user, password: way.password, database: 'mysql' })
    await tell(() => connection.query('select database() as d, @@transaction_isolation as i'))
    await connection.ping()
    return JSON.stringify(told, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
  }

  const repeat = (length: number): string => 'é'.repeat(length >> 2)
  const summary = (answer: unknown): [string] => {
    const [[row]] = answer as [[{ v: string }]]
    return [`${row.v.length} ${createHash('sha256').update(row.v).digest('hex')}`]
  }

  test('both protocols, several statements, packets of 16 MB and exact multiples of one, another login', async () => {
    const open = (way: Way): ConnectionOptions => ({
      ...{ host: '127.0.0.1', database: 'shop', multipleStatements: true, dateStrings: true, ...way },
      supportBigNumbers: true,
    })
    await both(async (way) => {
      const connection = await createConnection(open(way))
      const told = await tellAll(connection, way)
      await connection.end()
      return told
    })
  })
})

test('and the book of it all verifies', async () => {
  const { sessions } = await gateway.finish()
  const open = sessions.flatMap(({ operations }) => operations.filter(({ out }) => out === undefined))
  expect(open).toEqual([])
})
