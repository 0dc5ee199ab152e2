/** Both handshakes against peers that others have written: libpq on one side, PostgreSQL 15 and 18 on the other. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DebianPostgres, startDebianPostgres } from '../../support/debian-postgres.ts'
import { type GatewayOptions, TestGateway } from '../../support/postgres-gateway.ts'

const PASSWORD = 'open sésame'
let folder: string
let certificate: { cert: string; key: string }
let server: DebianPostgres

/** Each role logs in by the method of its name; `md5` keeps its password as the hash that md5 needs. */
const HBA = `
hostssl all tls_only 127.0.0.1/32 scram-sha-256
hostssl all clear 127.0.0.1/32 password
host all trusted 127.0.0.1/32 trust
host all hashed 127.0.0.1/32 md5
hostnossl all clear 127.0.0.1/32 password
host all all 127.0.0.1/32 scram-sha-256
`

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatebook-tls-'))
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert]
  spawnSync('openssl', [...request, '-days', '2', '-subj', '/CN=localhost'])
  certificate = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  server = await startDebianPostgres({ password: PASSWORD, hba: HBA, tls: certificate })
  const roles = ['tls_only', 'clear', 'trusted'].map(
    (role) => `create role ${role} login password '${PASSWORD}'`,
  )
  const hashed = `set password_encryption = md5; create role hashed login password '${PASSWORD}'`
  const made = await psql(server.port, [...roles, hashed].join('; '), 'postgres')
  if (!made.endsWith('[0]')) throw new Error(made)
}, 60_000)

afterAll(() => {
  server[Symbol.dispose]()
  rmSync(folder, { recursive: true })
})

async function psql(port: number, sql: string, user: string, parameters = ''): Promise<string> {
  const target = `host=127.0.0.1 port=${port} user=${user} dbname=postgres ${parameters}`
  const child = spawn('psql', ['-X', '-A', '-t', '-c', sql, target], {
    env: { ...process.env, PGPASSWORD: PASSWORD },
  })
  let told = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      told += chunk.toString()
    })
  }
  const code = await new Promise((resolve) => child.once('close', resolve))
  return `${told}[${code}]`
}

function gateway(
  user: string,
  options: Partial<GatewayOptions> & { tls?: boolean } = {},
): Promise<TestGateway> {
  const { tls = false, ...rest } = options
  return TestGateway.start({
    target: { port: server.port, user, password: PASSWORD, tls },
    password: PASSWORD,
    ...rest,
  })
}

describe('people', () => {
  test.each([
    ['by SCRAM in clear', 'sslmode=disable', {}],
    ['by SCRAM inside TLS', 'sslmode=require channel_binding=disable', { tls: true }],
    ['by SCRAM bound to the channel', 'sslmode=require channel_binding=require', { tls: true }],
    ['asking for GSS encryption first', 'gssencmode=prefer sslmode=prefer', { tls: true }],
    ['by a password inside TLS', 'sslmode=require', { tls: true, method: 'password' }],
  ] as const)(
    'log in %s',
    async (_, parameters, {
      tls = false,
      method = 'scram',
    }: { tls?: boolean; method?: 'scram' | 'password' }) => {
      await using gate = await gateway('postgres', { method, ...(tls ? { certificate } : {}) })
      expect(await psql(gate.port, 'select current_user', 'alice~orders', parameters)).toBe('postgres\n[0]')
      expect(gate.problems).toEqual([])
    },
  )

  test('are told where a password would go out in clear', async () => {
    await using gate = await gateway('postgres', { method: 'password', certificate })
    const told = await psql(gate.port, 'select 1', 'alice', 'sslmode=disable')
    expect(told).toContain('FATAL:  this gateway accepts logins inside TLS only')
    expect(told).toContain('HINT:  Connect with sslmode=verify-full.')
  })

  test('pass their harmless settings on', async () => {
    await using gate = await gateway('postgres')
    const parameters = "application_name=mine options='-c search_path=mine -c statement_timeout=7s'"
    const sql =
      "select string_agg(current_setting(n), ',') from unnest(array['application_name', 'search_path', 'statement_timeout']) n"
    expect(await psql(gate.port, sql, 'alice', parameters)).toBe('mine,mine,7s\n[0]')
  })
})

describe('targets', () => {
  test.each([
    ['SCRAM in clear', 'postgres', false],
    ['SCRAM bound to the channel', 'tls_only', true],
    ['md5', 'hashed', false],
    ['a password in clear, inside TLS', 'clear', true],
    ['nothing', 'trusted', false],
  ])('let us in by %s', async (_, user, tls) => {
    await using gate = await gateway(user, { tls })
    const sql = 'select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()'
    expect(await psql(gate.port, sql, 'alice')).toBe(`${user}|${tls ? 't' : 'f'}\n[0]`)
    // PostgreSQL 15 knows no 3.2 and says so.
    expect((await gate.session(0)).ready.version).toBe(0x30000)
  })

  test('that want a password in clear outside TLS do not get it', async () => {
    await using gate = await gateway('clear')
    await psql(gate.port, 'select 1', 'alice')
    expect(String(gate.problems[0])).toContain('the target wants the password in clear, outside TLS')
  })

  test('that refuse are quoted', async () => {
    await using gate = await gateway('nobody_there')
    await psql(gate.port, 'select 1', 'alice')
    expect(String(gate.problems[0])).toContain('password authentication failed for user "nobody_there"')
  })
})
