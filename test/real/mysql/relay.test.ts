import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type ConnectionOptions, createConnection, type ResultSetHeader } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Gateway,
  learnGreeting,
  recorded,
  SECRET,
  type Session,
  type Setting,
  startGateway,
} from './gateway.ts'
import { type Server, startServer } from './server.ts'

const run = promisify(execFile)
let server: Server

beforeAll(async () => {
  server = await startServer()
}, 60_000)

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

/** MariaDB's own client, batch mode. */
async function client(gateway: Gateway, sql: string, ...more: readonly string[]) {
  const args = [
    '--no-defaults',
    '-h127.0.0.1',
    `-P${gateway.port}`,
    '-ualice~shop',
    `-p${SECRET}`,
    ...more,
    'shop',
  ]
  const done = await run('mariadb', [...args, '-e', sql]).catch(
    (problem: { stdout: string; stderr: string }) => problem,
  )
  return { out: done.stdout, err: done.stderr }
}

function open(gateway: Gateway, more: ConnectionOptions = {}) {
  return createConnection({
    host: '127.0.0.1',
    port: gateway.port,
    user: 'alice~shop',
    password: SECRET,
    database: 'shop',
    ...more,
  })
}

async function last(gateway: Gateway): Promise<Session> {
  const session = gateway.sessions.at(-1)
  if (session === undefined) throw new Error('nobody has come')
  await session.ended
  return session
}

/**
 * The statements in the server's own log, and those in ours, in the same words. The server writes down neither a
 * COM_PING nor a COM_STMT_PREPARE that fails.
 */
async function witness(gateway: Gateway): Promise<{ log: string[]; book: string[] }> {
  const session = await last(gateway)
  const log = server
    .statementsOf(session.ready.threadId)
    .filter((line) => /^(?:Query|Prepare|Execute|Init DB):/.test(line))
    .map((line) => line.replace(/^Execute: [\s\S]*/, 'Execute'))
  const book = recorded(session)
    .filter((one) => !('denied' in one) && !(one['act'] === 'db.prepare' && one['outcome'] === 'error'))
    .flatMap(inWordsOfTheLog)
  return { log, book }
}

function inWordsOfTheLog({ act, sql, cmd }: Record<string, unknown>): string[] {
  if (act === 'db.query') return [`Query: ${sql}`]
  if (act === 'db.prepare') return [`Prepare: ${sql}`]
  if (act === 'db.execute') return ['Execute']
  return String(cmd).startsWith('COM_INIT_DB') ? [`Init DB: ${String(cmd).slice(12)}`] : []
}

async function through(setting: Setting, use: (gateway: Gateway) => Promise<void>): Promise<void> {
  await using gateway = await startGateway(server, setting)
  await use(gateway)
}

describe("MariaDB's client", () => {
  test('gets results and errors as without us, and each statement is in both logs', () =>
    through({}, async (gateway) => {
      const { out, err } = await client(
        gateway,
        "create table a (i int primary key auto_increment, s text); insert into a (s) values ('x'), ('é'), (null); select * from a; select * from missing; select 'not reached'",
      )
      expect(out).toBe('i\ts\n1\tx\n2\té\n3\tNULL\n')
      expect(err).toContain("ERROR 1146 (42S02) at line 1: Table 'shop.missing' doesn't exist")
      const { log, book } = await witness(gateway)
      expect(book).toEqual(log)
      expect(recorded(await last(gateway)).map(({ outcome, code, rows }) => [outcome, code, rows])).toEqual([
        ['ok', undefined, 0],
        ['ok', undefined, 3],
        ['ok', undefined, 3],
        ['error', '1146', undefined],
      ])
    }))

  test('is greeted as by its target, and falls back from compression', () =>
    through({}, async (gateway) => {
      const { out } = await client(gateway, 'select version(), @@version_comment', '--compress')
      const { version } = await learnGreeting(server)
      expect(out).toContain(version.replace('5.5.5-', ''))
    }))

  test('is inside TLS on both legs, by either of the methods', async () => {
    for (const methods of [['mysql_native_password'], ['caching_sha2_password']] as const) {
      await through({ tls: 'require', targetTls: true, methods }, async (gateway) => {
        const { out, err } = await client(
          gateway,
          "show status like 'Ssl_cipher'",
          '--ssl',
          '--skip-ssl-verify-server-cert',
        )
        expect(err).toBe('')
        expect(out).toMatch(/Ssl_cipher\tTLS_/)
        expect((await last(gateway)).login.tls).toBeDefined()
      })
    }
  })

  test('shows the reason of a wrong secret', () =>
    through({}, async (gateway) => {
      const { err } = await client(gateway, 'select 1', '-pwrong')
      expect(err).toContain('ERROR 1045 (28000): access denied\nwhy : no such secret')
    }))

  test('loads a file that its statement names, and only then', () =>
    through({ options: { localFiles: true } }, async (gateway) => {
      const file = join(server.folder, 'rows.csv')
      const content = Array.from({ length: 50_000 }, (_, i) => `${i}\n`).join('')
      writeFileSync(file, content)
      await client(gateway, 'create table loaded (i int)')
      const { err } = await client(
        gateway,
        `load data local infile '${file}' into table loaded`,
        '--local-infile=1',
      )
      expect(err).toBe('')
      const [load] = recorded(await last(gateway))
      const sha256 = createHash('sha256').update(content).digest('hex')
      expect(load).toMatchObject({
        outcome: 'ok',
        rows: 50_000,
        meta: { file: { name: file, bytes: content.length, sha256 } },
      })
    }))

  test('is told that there are no local files, where they are not allowed', () =>
    through({}, async (gateway) => {
      const { err } = await client(
        gateway,
        "load data local infile '/etc/passwd' into table a",
        '--local-infile=1',
      )
      expect(err).toContain('ERROR 1235 (42000) at line 1: LOAD DATA LOCAL is not allowed here')
      const { log, book } = await witness(gateway)
      expect(book).toEqual(log)
    }))

  test('reads several results of a procedure', () =>
    through({}, async (gateway) => {
      await client(gateway, 'delimiter //\ncreate procedure two() begin select 1 as a; select 2 as b; end//')
      const { out } = await client(gateway, 'call two()')
      expect(out).toBe('a\n1\nb\n2\n')
      const [call] = recorded(await last(gateway))
      expect(call).toMatchObject({ outcome: 'ok', res: [{ rows: 1 }, { rows: 1 }, { rows: 0 }] })
    }))
})

describe('mysql2', () => {
  test('prepares, executes with every type it has, several statements, and pings', () =>
    through({ methods: ['caching_sha2_password'] }, async (gateway) => {
      const connection = await open(gateway, { multipleStatements: true })
      await connection.query('create table types (i bigint, d double, s text, b blob, t datetime(3), n int)')
      const values = [
        9007199254740991,
        1.5,
        'é',
        Buffer.from('ff00', 'hex'),
        new Date('2024-02-29T12:34:56.789Z'),
        null,
      ]
      const [made] = await connection.execute<ResultSetHeader>(
        'insert into types values (?, ?, ?, ?, ?, ?)',
        values,
      )
      expect(made.affectedRows).toBe(1)
      const [found] = await connection.execute('select i, d, s, b, n from types where i > ?', [1])
      expect(found).toEqual([{ i: 9007199254740991, d: 1.5, s: 'é', b: Buffer.from('ff00', 'hex'), n: null }])
      const [both] = await connection.query('select 1 as a; select 2 as b')
      expect(both).toEqual([[{ a: 1 }], [{ b: 2 }]])
      await connection.ping()
      await expect(connection.query('frob')).rejects.toMatchObject({ errno: 1064 })
      await connection.end()
      const { log, book } = await witness(gateway)
      expect(book).toEqual(log)
      const [, , insert, , select] = recorded(await last(gateway))
      expect(insert).toMatchObject({ act: 'db.execute', outcome: 'ok', rows: 1 })
      expect(JSON.stringify(insert?.['args'])).toContain('"é",{"hex":"ff00"}')
      expect(select).toMatchObject({ act: 'db.execute', args: [1], outcome: 'ok', rows: 1 })
    }))

  test('sends and reads more than a packet holds', () =>
    through({ options: { statementBytesMax: 32 << 20 } }, async (gateway) => {
      const connection = await open(gateway)
      await connection.query('create table big (v longtext)')
      const value = 'x'.repeat((16 << 20) + 5)
      await connection.query(`insert into big values ('${value}')`)
      const [[row]] = (await connection.query('select v from big')) as unknown as [[{ v: string }]]
      expect(row.v === value).toBe(true)
      await connection.end()
      const [, insert, select] = recorded(await last(gateway))
      expect(insert).toMatchObject({ outcome: 'ok', rows: 1 })
      expect(String(insert?.['sql']).length).toBe(value.length + 27)
      expect(select).toMatchObject({ outcome: 'ok', rows: 1, bytes: value.length + 9 })
    }))

  test('is refused a statement that is too long, and works on', () =>
    through({ options: { statementBytesMax: 1 << 20 } }, async (gateway) => {
      const connection = await open(gateway)
      await expect(connection.query(`select '${'x'.repeat(2 << 20)}'`)).rejects.toMatchObject({
        errno: 1235,
        message: expect.stringContaining('too long to be recorded'),
      })
      const [rows] = await connection.query('select 1 as a')
      expect(rows).toEqual([{ a: 1 }])
      await connection.end()
      const { log, book } = await witness(gateway)
      expect(book).toEqual(log)
    }))

  test('kills its own query by the number it was given, and nobody else by any', () =>
    through({}, async (gateway) => {
      const [busy, other] = [await open(gateway), await open(gateway)]
      const [given = 0, own = 0] = gateway.sessions.map(({ login }) => login.threadId)
      expect([busy.threadId, other.threadId]).toEqual([given, own])
      const sleeping = busy
        .query('select sleep(20) as interrupted')
        .catch((problem: { errno: number }) => problem.errno)
      await new Promise((resolve) => setTimeout(resolve, 100))
      await other.query(`kill query ${given}`)
      const outcome = await sleeping
      // MariaDB ends a sleep with an error, or with 1 for its result.
      expect(
        [1317, 1969].includes(outcome as number) || JSON.stringify(outcome).includes('"interrupted":1'),
      ).toBe(true)
      const real = gateway.sessions[0]?.ready.threadId
      await expect(other.query(`kill query ${real}`)).rejects.toMatchObject({ errno: 1142 })
      await expect(other.query('kill query connection_id()')).rejects.toMatchObject({ errno: 1142 })
      await Promise.all([busy.end(), other.end()])
    }))

  test('gets no more rows than its role allows, and the server stops making them', () =>
    through({ options: { rowsMax: 100 } }, async (gateway) => {
      const connection = await open(gateway)
      // Minutes of rows, if nobody stopped it.
      await expect(connection.query('select seq from seq_1_to_10000000000')).rejects.toMatchObject({
        errno: 1317,
        message: expect.stringContaining('more than 100 rows'),
      })
      const [rows] = await connection.query('select 1 as a')
      expect(rows).toEqual([{ a: 1 }])
      await connection.end()
      expect(recorded(await last(gateway)).map(({ act, outcome, rows: n }) => [act, outcome, n])).toEqual([
        ['db.query', 'error', 100],
        ['db.cancel', 'ok', undefined],
        ['db.query', 'ok', 1],
      ])
    }))

  test('changes its user to itself: the session begins anew', () =>
    through({ options: { readOnly: true } }, async (gateway) => {
      const connection = await open(gateway)
      await connection.query('set @a = 1')
      await connection.changeUser({ user: 'alice~shop', password: SECRET, database: 'shop' })
      const [rows] = await connection.query('select @a as a, @@tx_read_only as r, database() as d')
      expect(rows).toEqual([{ a: null, r: 1, d: 'shop' }])
      await connection.end()
      const { log, book } = await witness(gateway)
      expect(book).toEqual(log)
    }))

  test('may not change to another user', () =>
    through({}, async (gateway) => {
      const connection = await open(gateway)
      await expect(connection.changeUser({ user: 'root', password: SECRET })).rejects.toMatchObject({
        errno: 1045,
      })
      connection.destroy()
    }))
})

describe('refused statements', () => {
  test('leave the transaction as it was, and what is written in it', () =>
    through({ options: { judge: true } }, async (gateway) => {
      const connection = await open(gateway)
      await connection.query('create table kept (i int)')
      await connection.query('begin')
      await connection.query('insert into kept values (1)')
      gateway.refuse = (sql) => sql.startsWith('delete')
      await expect(connection.query('delete from kept')).rejects.toMatchObject({
        errno: 1142,
        sqlState: '42000',
        message: expect.stringMatching(
          /^no bare DELETE\nwhy : it needs a WHERE\nnext: add one\nid {2}: s\.\d+$/,
        ),
      })
      await expect(connection.execute('delete from kept')).rejects.toMatchObject({ errno: 1142 })
      await connection.query('commit')
      const [rows] = await connection.query('select count(*) as n from kept')
      expect(rows).toEqual([{ n: 1 }])
      await connection.end()
      const { log, book } = await witness(gateway)
      expect(book).toEqual(log)
      expect(log.filter((line) => line.includes('delete'))).toEqual([])
    }))

  test('read-only sessions write nothing, and the guard is in both logs', () =>
    through({ options: { readOnly: true } }, async (gateway) => {
      const connection = await open(gateway)
      await expect(connection.query('create table never (i int)')).rejects.toMatchObject({ errno: 1792 })
      await connection.query('begin')
      await connection.query('rollback')
      await expect(connection.query('insert into a (s) values (1)')).rejects.toMatchObject({ errno: 1792 })
      await connection.end()
      const { log, book } = await witness(gateway)
      expect(book).toEqual(log)
      expect(log[0]).toBe('Query: SET SESSION TRANSACTION READ ONLY')
    }))
})

test.each([
  ['curve', 'curve secret', false],
  ['nobody', '', true],
])(
  'the gateway logs in as %s, whose method is another than native with a password',
  async (user, password, targetTls) => {
    const greeting = await learnGreeting(server, { credential: { user, password }, targetTls })
    expect(greeting.plugin).toBe('mysql_native_password')
  },
)
