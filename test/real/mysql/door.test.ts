/** Logins and what a session stands on, through the whole gateway: who one is, as whom one writes, how one is greeted. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PASSWORD, TestGateway } from '../../support/gateway.ts'
import type { Operation } from '../../support/gateway-book.ts'
import { packet, text } from '../../support/mysql-play.ts'
import { RawMysql } from '../../support/mysql-raw.ts'
import { type Server, startServer } from './server.ts'
import { shopBehindGateway } from './shop.ts'

const run = promisify(execFile)
const TLS = { rejectUnauthorized: false }

let server: Server
let gateway: TestGateway
const tokens = new Map<string, string>()

beforeAll(async () => {
  server = await startServer()
  gateway = await TestGateway.start(shopBehindGateway(server))
  for (const user of ['alice', 'bob', 'dave']) tokens.set(user, gateway.createToken(user).secret)
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

function connect(user: string, more: object = {}): Promise<Connection> {
  const login = { host: '127.0.0.1', port: gateway.port('mariadb'), database: 'shop' }
  return createConnection({ ...login, user, password: tokens.get(user) ?? '', ...more })
}

async function operationsOf(marked: string): Promise<readonly Operation[]> {
  const find = (sessions: readonly { operations: readonly Operation[]; why: string | undefined }[]) =>
    sessions.find(({ operations, why }) => why !== undefined && operations.some((one) => one.text === marked))
  const { sessions } = await gateway.readWhen((book) => find(book.sessions) !== undefined)
  return find(sessions)?.operations ?? []
}

describe('a person', () => {
  test('logs in with a token: by mysql_native_password, and inside TLS by caching_sha2_password', async () => {
    for (const more of [{}, { port: gateway.port('shared'), user: 'alice~free', ssl: TLS }]) {
      const connection = await connect('alice', more)
      const [rows] = await connection.query('SELECT 1 AS one')
      expect(rows).toEqual([{ one: 1 }])
      await connection.end()
    }
  })

  test('logs in with the own password inside TLS, where the long way asks for it, and not outside', async () => {
    const shared = { port: gateway.port('shared'), user: 'alice~free', password: PASSWORD }
    const connection = await connect('alice', { ...shared, ssl: TLS })
    await connection.query('SELECT 1')
    await connection.end()
    await expect(connect('alice', { password: PASSWORD })).rejects.toMatchObject({ errno: 1045 })
  })

  test('comes inside TLS with the mariadb client, and may not come without where that is demanded', async () => {
    const args = (port: number, more: readonly string[]): string[] => [
      ...['--no-defaults', '-h127.0.0.1', `-P${port}`, '-ualice~free', `-p${tokens.get('alice')}`],
      ...['-N', '-e', 'SELECT 6 * 7', ...more],
    ]
    const port = gateway.port('shared-mariadb')
    const { stdout } = await run('mariadb', args(port, ['--ssl']))
    expect(stdout).toBe('42\n')
    await expect(run('mariadb', args(port, ['--skip-ssl']))).rejects.toMatchObject({
      stderr: expect.stringContaining('inside TLS only'),
    })
  })

  test('may not become another by COM_CHANGE_USER, whose secret is right (T-MY-12)', async () => {
    const connection = await connect('alice')
    await connection.query('SELECT 1 /* T-MY-12 */')
    await expect(
      connection.changeUser({ user: 'dave', password: tokens.get('dave') ?? '' }),
    ).rejects.toMatchObject({ errno: 1045 })
    connection.destroy()
    const refused = (await operationsOf('SELECT 1 /* T-MY-12 */')).at(-1)
    expect(refused).toMatchObject({ act: 'db.other', command: 'COM_CHANGE_USER dave shop', out: 'denied' })
  })
})

test('a role that may not write is another account, and is guarded anew after each reset (T-MY-13)', async () => {
  const connection = await connect('bob')
  const readsOnly = async (): Promise<unknown> => {
    const [rows] = await connection.query('SELECT @@tx_read_only AS r, CURRENT_USER() AS u')
    return rows
  }
  const expected = [{ r: 1, u: 'reader@127.0.0.1' }]
  expect(await readsOnly()).toEqual(expected)
  await connection.changeUser({ user: 'bob', password: tokens.get('bob') ?? '', database: 'shop' })
  expect(await readsOnly()).toEqual(expected)
  await connection.reset()
  expect(await readsOnly()).toEqual(expected)
  for (const statement of ['BEGIN', 'COMMIT', 'START TRANSACTION', 'ROLLBACK'])
    await connection.query(statement)
  expect(await readsOnly()).toEqual(expected)
  await expect(connection.query('CREATE TABLE shop.never (i int)')).rejects.toMatchObject({ errno: 1142 })
  await expect(connection.query('SET SESSION TRANSACTION READ WRITE')).rejects.toMatchObject({ errno: 1142 })
  await connection.end()
  const operations = await operationsOf('START TRANSACTION')
  const guards = operations.filter(({ text: sql }) => sql === 'SET SESSION TRANSACTION READ ONLY')
  expect(guards.map(({ meta, out }) => [meta['gateway'], out])).toEqual([
    [true, 'ok'],
    [true, 'ok'],
    [true, 'ok'],
  ])
})

/** The version, and whether clients are to take the server for a MySQL. */
async function greetingAt(port: number): Promise<{ version: string; mysql: boolean }> {
  const raw = RawMysql.open(port)
  const greeting = (await raw.packet()) ?? Buffer.alloc(0)
  raw.destroy()
  const end = greeting.indexOf(0, 1)
  return { version: greeting.toString('latin1', 1, end), mysql: (greeting.readUInt16LE(end + 14) & 1) === 1 }
}

test('a listener greets as its one target, or as the family and version that it is configured for', async () => {
  const own = await greetingAt(server.port)
  expect(own).toEqual({ version: expect.stringMatching(/^5\.5\.5-10\.11\..*MariaDB/), mysql: false })
  expect(await greetingAt(gateway.port('mariadb'))).toEqual(own)
  const shared = { version: '5.5.5-11.4.2-MariaDB', mysql: false }
  expect(await greetingAt(gateway.port('shared-mariadb'))).toEqual(shared)
  expect(await greetingAt(gateway.port('shared'))).toEqual({ version: '8.4.6', mysql: true })
})

test('what was not offered ends a connection that uses it: bulk execution and compression (T-MY-01)', async () => {
  const login = { port: gateway.port('mariadb'), user: 'alice', password: tokens.get('alice') ?? '' }
  const raw = await RawMysql.logIn({ ...login, database: 'shop' })
  const refused = await raw.ask(packet(0, 0xfa, text('anything')))
  expect(refused?.toString('latin1')).toContain('COM_STMT_BULK_EXECUTE does not pass this gateway')
  raw.destroy()
  const COMPRESS = 0x20
  await expect(RawMysql.logIn({ ...login, database: 'shop', flags: COMPRESS })).rejects.toThrow(
    'compression was not offered',
  )
})

test('no handshake is left half done at the target, which would count against us there', async () => {
  const direct = await createConnection({
    ...{ host: '127.0.0.1', port: server.port, user: 'app', password: 'app secret' },
  })
  const aborted = async (): Promise<number> => {
    const [rows] = await direct.query<RowDataPacket[]>("SHOW GLOBAL STATUS LIKE 'Aborted_connects'")
    return Number(rows[0]?.['Value'])
  }
  const first = await aborted()
  await greetingAt(server.port)
  await expect.poll(aborted, { message: 'a greeting taken and left is counted' }).toBe(first + 1)
  for (let i = 0; i < 3; i++) {
    await greetingAt(gateway.port('mariadb'))
    await expect(connect('alice', { password: `wrong ${i}` })).rejects.toMatchObject({ errno: 1045 })
    const connection = await connect('alice')
    await connection.query('SELECT 1')
    // Without a goodbye.
    connection.destroy()
  }
  expect(await aborted()).toBe(first + 1)
  await direct.end()
})

test('after a restart with the target down, the greeting is the one that was kept (T-MY-14)', async () => {
  await using other = await startServer({ witness: false })
  const shop = shopBehindGateway(other)
  const first = await TestGateway.start(shop)
  const token = first.createToken('alice').secret
  const login = { port: first.port('mariadb'), user: 'alice', password: token, database: 'shop' }
  const raw = await RawMysql.logIn(login)
  raw.destroy()
  const known = await greetingAt(first.port('mariadb'))
  await first.stop()
  await other.stop()
  await using second = await TestGateway.start({ ...shop, folder: first.folder })
  expect(await greetingAt(second.port('mariadb'))).toEqual(known)
  await expect(RawMysql.logIn({ ...login, port: second.port('mariadb') })).rejects.toThrow(
    'cannot be reached',
  )
})
