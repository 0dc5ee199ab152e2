import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Connection, createConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../../support/gateway.ts'
import type { ReadBook } from '../../support/gateway-book.ts'
import { type Server, startServer } from './server.ts'
import { shopBehindGateway } from './shop.ts'

const run = promisify(execFile)

let server: Server
let gateway: TestGateway
let token: string

beforeAll(async () => {
  server = await startServer()
  gateway = await TestGateway.start(shopBehindGateway(server))
  token = gateway.createToken('alice').secret
}, 90_000)

afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

function connect(more: object = {}): Promise<Connection> {
  return createConnection({
    host: '127.0.0.1',
    port: gateway.port('mariadb'),
    user: 'alice',
    password: token,
    database: 'shop',
    ...more,
  })
}

/** The session that ran `text`, once it has ended. */
async function sessionWith(text: string): Promise<ReadBook['sessions'][number]> {
  const has = (book: ReadBook) =>
    book.sessions.find(
      ({ why, operations }) => why !== undefined && operations.some((one) => one.text === text),
    )
  const found = has(await gateway.readWhen((book) => has(book) !== undefined))
  if (found === undefined) throw new Error('it was there a moment ago')
  return found
}

describe('a MariaDB server behind the gateway', () => {
  test('answers the mariadb client as it does directly', async () => {
    const script =
      'CREATE TABLE IF NOT EXISTS t1 (a INT, b TEXT); INSERT INTO t1 VALUES (1, "ä"), (2, NULL); SELECT * FROM t1 ORDER BY a; DROP TABLE t1'
    const args = (port: number, user: string, password: string): string[] => [
      ...['--no-defaults', '-h', '127.0.0.1', '-P', String(port), '-u', user, `-p${password}`],
      ...['--default-character-set=utf8mb4', '-vv', '-e', script, 'shop'],
    ]
    const direct = await run('mariadb', args(server.port, 'app', 'app secret'))
    const through = await run('mariadb', args(gateway.port('mariadb'), 'alice', token))
    expect(through.stdout).toBe(direct.stdout)
  })

  test('has every statement and parameter in the book, as its own general log has them', async () => {
    const connection = await connect()
    const [[{ id }]] = (await connection.query('SELECT connection_id() AS id')) as unknown as [
      [{ id: number }],
    ]
    await connection.query('CREATE TABLE t2 (a INT PRIMARY KEY, b VARCHAR(20))')
    await connection.execute('INSERT INTO t2 VALUES (?, ?)', [7, "o'brien"])
    await expect(connection.execute('INSERT INTO t2 VALUES (?, ?)', [7, 'again'])).rejects.toMatchObject({
      errno: 1062,
    })
    await connection.query('DROP TABLE t2')
    await connection.end()

    const session = await sessionWith('CREATE TABLE t2 (a INT PRIMARY KEY, b VARCHAR(20))')
    const logged = server.statementsOf(id)
    const texts = session.operations.filter(({ act }) => act === 'db.query').map(({ text }) => text)
    for (const text of texts)
      expect(logged, 'what the book says ran is in the log').toContain(`Query: ${text}`)
    expect(session.operations.filter(({ act }) => act === 'db.execute')).toEqual([
      expect.objectContaining({ text: 'INSERT INTO t2 VALUES (?, ?)', out: 'ok' }),
      expect.objectContaining({ text: 'INSERT INTO t2 VALUES (?, ?)', out: 'error', code: '1062' }),
    ])
    expect(JSON.stringify(session.operations.find(({ act }) => act === 'db.execute')?.args)).toContain(
      "o'brien",
    )
    expect(session).toMatchObject({ act: 'mysql', target: 'shop', who: { name: 'alice', method: 'token' } })
  })

  test('a refused statement is not run, the transaction around it stays the server’s, the id leads to its record', async () => {
    const connection = await connect()
    await connection.query('CREATE TABLE t3 (a INT) ENGINE=InnoDB')
    await connection.query('BEGIN')
    await connection.query('INSERT INTO t3 VALUES (1)')
    const refusal = await connection
      .query('DELETE FROM t3')
      .catch((error: { errno: number; message: string }) => error)
    expect(refusal).toMatchObject({
      errno: 1142,
      message: expect.stringContaining('not allowed by policy "no-bare-delete"'),
    })
    await connection.query('COMMIT')
    const [rows] = await connection.query('SELECT * FROM t3')
    expect(rows).toEqual([{ a: 1 }])
    await connection.query('DROP TABLE t3')
    await connection.end()
    const session = await sessionWith('CREATE TABLE t3 (a INT) ENGINE=InnoDB')
    const denied = session.operations.find(({ out }) => out === 'denied')
    expect(denied).toMatchObject({ text: 'DELETE FROM t3', rule: 'no-bare-delete' })
    expect((refusal as { message: string }).message).toContain(`${session.sid}.${denied?.op}`)
  })

  test('KILL reaches one’s own sessions by the number one was given, and nobody else’s', async () => {
    const [mine, other, strangers] = await Promise.all([
      connect(),
      connect(),
      connect({ user: 'dave', password: gateway.createToken('dave').secret }),
    ])
    const sleeping = mine.query('SELECT sleep(20)')
    const outcome = sleeping.then(
      ([rows]) => rows,
      (error: { errno: number }) => error.errno,
    )
    await new Promise((resolve) => setTimeout(resolve, 200))
    await expect(strangers.query(`KILL QUERY ${mine.threadId}`)).rejects.toMatchObject({ errno: 1142 })
    await other.query(`KILL QUERY ${mine.threadId}`)
    expect([1317, [{ 'sleep(20)': 1 }]]).toContainEqual(await outcome)
    for (const connection of [mine, other, strangers]) await connection.end()
  })

  test('lets nobody in with a wrong secret, in MySQL’s own words, and records it', async () => {
    await expect(connect({ password: 'wrong' })).rejects.toMatchObject({ errno: 1045 })
    const book = await gateway.readWhen(({ notes }) =>
      notes.some(({ kind, out }) => kind === 'login' && out === 'denied'),
    )
    expect(book.notes.find(({ kind, out }) => kind === 'login' && out === 'denied')).toMatchObject({
      act: 'mysql',
      code: 'bad-credential',
    })
  })

  test('is reached through the shared listener too, inside TLS, by user~target', async () => {
    const connection = await connect({
      port: gateway.port('shared'),
      user: 'alice~shop',
      ssl: { rejectUnauthorized: false },
    })
    const [rows] = await connection.query('SELECT 1 AS one')
    expect(rows).toEqual([{ one: 1 }])
    await connection.end()
    await expect(connect({ port: gateway.port('shared'), user: 'alice~shop' })).rejects.toThrow()
  })
})

test('and the book of it all verifies', async () => {
  const { sessions } = await gateway.finish()
  expect(sessions.filter(({ why }) => why === undefined)).toEqual([])
})
