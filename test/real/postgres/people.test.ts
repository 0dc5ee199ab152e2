/**
 * Who is let in how, and put out when: client certificates, channel binding, a balancer before the gateway, accounts
 * at targets, verified targets; and refusals in the middle of what somebody does. psql is the client, a whole gateway
 * with its book between it and PostgreSQL.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { front, logIn, openRaw, RefusedError } from '../../support/clients-raw.ts'
import { PASSWORD, TestGateway } from '../../support/gateway.ts'
import { newAuthority, type TestAuthority } from '../../support/gateway-certificates.ts'
import { as, openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'
import { endedSession } from './bystander.ts'

let server: PostgresServer
let gateway: TestGateway
let people: string
let folder: string
let targets: TestAuthority

const LISTENERS = `encrypted: { type: postgres, address: "127.0.0.1:0", login: password }
  welcoming: { type: postgres, address: "127.0.0.1:0", require_tls: false, welcome: true }
  balanced: { type: postgres, address: "127.0.0.1:0", require_tls: false, proxy_protocol: { from: [127.0.0.8/32] } }`

beforeAll(async () => {
  targets = newAuthority('Targets')
  folder = mkdtempSync(join(tmpdir(), 'gatebook-people-'))
  people = newPeople(folder, 'people')
  // The server reads it as an account of its own.
  chmodSync(folder, 0o755)
  server = await startServer({
    tls: targets.issue('localhost'),
    hba: ['host all hashed 127.0.0.1/32 md5', 'hostssl all certified 127.0.0.1/32 cert'],
    settings: { ssl_ca_file: `${people}.pem` },
  })
  const shop = await openShop(server, { mode: 'verify-full', ca: targets.ca })
  await server.query(`
    set password_encryption = md5;
    create role hashed login password 'an old one';
    grant connect on database shop to hashed;
    create role certified login;
    grant connect on database shop to certified`)
  const certified = issue('certified', people)
  const hashed = `
hashed:
  type: postgres
  address: 127.0.0.1:${server.port}
  tls: { mode: verify-full, ca: target-ca.pem }
  credentials: { user: hashed, password: "file:hashed.password" }
  read_only_credentials: { user: gatebook_ro, password: "file:reader.password" }
certified:
  type: postgres
  address: 127.0.0.1:${server.port}
  database: shop
  tls: { mode: verify-full, ca: target-ca.pem, cert: certified.crt, key: "file:certified.key" }
  credentials: { user: certified, password: "file:hashed.password" }
  read_only_credentials: { user: gatebook_ro, password: "file:reader.password" }
otherwise:
  type: postgres
  address: 127.0.0.1:${server.port}
  tls: { mode: verify-full, ca: people-ca.pem }
  credentials: { user: hashed, password: "file:hashed.password" }
  read_only_credentials: { user: gatebook_ro, password: "file:reader.password" }`
  gateway = await TestGateway.start({
    targets: `${shop.targets}${hashed}`,
    files: {
      ...shop.files,
      'hashed.password': 'an old one',
      'people-ca.pem': readFileSync(`${people}.pem`, 'utf8'),
      'certified.crt': readFileSync(`${certified}.crt`, 'utf8'),
      'certified.key': readFileSync(`${certified}.key`, 'utf8'),
    },
    changes: [
      ['key: tls.key }', 'key: tls.key, client_ca: people-ca.pem }'],
      ['encrypted: { type: postgres, address: "127.0.0.1:0", login: password }', LISTENERS],
      [
        'carol: { groups: [], password: "file:password" }',
        'carol: { groups: [engineering], certificates: [{ subject: CN=carol }] }',
      ],
      [
        'policies: []',
        'policies: [{ id: no-drops, when: { verb: [DROP, ALTER ROLE] }, then: deny, message: Ask first. }]',
      ],
    ],
  })
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function psql(options: string, sql: string, port = gateway.port()): Promise<Ran> {
  const env = { ...process.env, PGPASSWORD: PASSWORD }
  const child = spawn('psql', ['-XAt', `host=localhost port=${port} dbname=shop ${options}`, '-c', sql], {
    env,
  })
  const told = { out: '', err: '' }
  child.stdout.on('data', (text: Buffer) => {
    told.out += text.toString()
  })
  child.stderr.on('data', (text: Buffer) => {
    told.err += text.toString()
  })
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...told })))
}

/** An authority of the machine's openssl, whose certificates are for clients. */
function newPeople(folder: string, name: string): string {
  const path = join(folder, name)
  openssl(
    'req',
    '-x509',
    ...KEY,
    '-keyout',
    `${path}.key`,
    '-out',
    `${path}.pem`,
    '-subj',
    `/CN=${name}`,
    '-days',
    '2',
  )
  return path
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** psql's options with a certificate of that authority's. */
function certificate(user: string, authority: string): string {
  const path = issue(user, authority)
  return `sslmode=verify-full sslrootcert=${gateway.caFile} sslcert=${path}.crt sslkey=${path}.key`
}

/** Gives the path of a certificate and its key, without their endings. */
function issue(user: string, authority: string): string {
  const path = `${authority}-${user}`
  openssl('req', ...KEY, '-keyout', `${path}.key`, '-out', `${path}.csr`, '-subj', `/CN=${user}`)
  writeFileSync(`${path}.ext`, 'extendedKeyUsage = clientAuth\n')
  const issuer = ['-CA', `${authority}.pem`, '-CAkey', `${authority}.key`, '-CAcreateserial']
  openssl(
    'x509',
    '-req',
    '-in',
    `${path}.csr`,
    '-out',
    `${path}.crt`,
    ...issuer,
    '-days',
    '2',
    '-extfile',
    `${path}.ext`,
  )
  return path
}

function openssl(...args: string[]): void {
  const { status, stderr } = spawnSync('openssl', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

describe('into the gateway', () => {
  test('by a client certificate, without a password', async () => {
    const carol = certificate('carol', people)
    expect(await psql(`user=carol~orders ${carol}`, 'select 1')).toEqual({ code: 0, out: '1\n', err: '' })
    const book = await gateway.readWhen(({ notes }) =>
      notes.some(({ who }) => who['method'] === 'certificate'),
    )
    expect(book.notes.find(({ who }) => who['method'] === 'certificate')?.who['name']).toBe('carol')
    // Of somebody else, or of an authority that nobody has named: then it is the password that counts, and carol has none.
    const mallory = certificate('mallory', people)
    const forged = certificate('carol', newPeople(folder, 'others'))
    for (const options of [mallory, forged]) {
      const { code, err } = await psql(`user=carol~orders ${options}`, 'select 1')
      expect(code).toBe(2)
      expect(err).toContain('login failed for "carol~orders"')
    }
  })

  test('by SCRAM bound to the channel, which psql demands', async () => {
    const bound = `sslmode=verify-full sslrootcert=${gateway.caFile} channel_binding=require`
    expect(await psql(`user=alice~orders ${bound}`, 'select 1')).toEqual({ code: 0, out: '1\n', err: '' })
  })

  test('with a welcome where there is one, for people in psql alone', async () => {
    const port = gateway.port('welcoming')
    const { out, err } = await psql('user=alice~orders', 'select 1', port)
    expect(out).toBe('1\n')
    const [, sid] =
      /^NOTICE: {2}session ([a-z2-7]{16}) is recorded as alice \(role writer, until .* UTC\)\n$/.exec(err) ??
      []
    expect(sid).toBeDefined()
    await gateway.readWhen(({ sessions }) => sessions.some((one) => one.sid === sid))
    const program = await logIn(as('alice~orders', port))
    expect(program.greeting.map(({ tag }) => tag)).not.toContain('N')
    program.destroy()
  })

  test('through a balancer, whose word counts for the address; from all others none is taken', async () => {
    const port = gateway.port('balanced')
    const header = Buffer.concat([
      Buffer.from('0d0a0d0a000d0a515549540a2111000c', 'hex'),
      Buffer.from([203, 0, 113, 7, 127, 0, 0, 1, 0x12, 0x34, 0x15, 0x38]),
    ])
    const balancer = createServer((client) => {
      const onward = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.8' })
      onward.write(header)
      // Either may be gone while the other still writes.
      for (const end of [client, onward]) end.on('error', () => end.destroy())
      client.pipe(onward).pipe(client)
    })
    balancer.listen(0, '127.0.0.1')
    await once(balancer, 'listening')
    const { port: balanced } = balancer.address() as AddressInfo
    expect((await psql('user=alice~orders', 'select 1', balanced)).out).toBe('1\n')
    balancer.close()
    await gateway.readWhen(({ sessions }) => sessions.some(({ who }) => who['address'] === '203.0.113.7'))
    const without = await openRaw({ port, from: '127.0.0.8' })
    without.send(front.startup(0x30000, { user: 'alice~orders' }), Buffer.alloc(8))
    expect(await without.rest()).toEqual([])
    const forged = await openRaw({ port, from: '127.0.0.9' })
    forged.send(header, front.startup(0x30000, { user: 'alice~orders' }))
    expect((await forged.rest()).map(({ tag }) => tag)).toEqual(['E'])
    ;(await logIn({ ...as('alice~orders', port), from: '127.0.0.9' })).destroy()
  })
})

describe('to targets', () => {
  test('by SCRAM bound to a verified channel, and by md5', async () => {
    const tls = 'select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()'
    const scram = await psql('user=alice~orders', tls)
    expect(scram).toEqual({ code: 0, out: 'gatebook_app|t\n', err: '' })
    const md5 = await psql('user=alice~hashed', tls)
    expect(md5).toEqual({ code: 0, out: 'hashed|t\n', err: '' })
  })

  test('with a certificate of the gateway, which the server knows it by', async () => {
    const shown = 'select current_user, client_dn from pg_stat_ssl where pid = pg_backend_pid()'
    expect(await psql('user=alice~certified', shown)).toEqual({
      ...{ code: 0, err: '' },
      out: 'certified|/CN=certified\n',
    })
  })

  test('whose certificate another authority has issued, nothing is sent', async () => {
    const { code, err } = await psql('user=alice~otherwise', 'select 1')
    expect(code).toBe(2)
    expect(err).toContain('FATAL:  the target "otherwise" cannot be used')
    expect(err).not.toContain('hashed')
  })
})

describe('in the middle of what somebody does', () => {
  test('a statement refused in a transaction: client and server agree, and the four lines say why', async () => {
    const { code, err } = await psql(
      'user=alice~orders',
      "begin; insert into products (name, price) values ('lost', 1); drop table products; commit",
    )
    expect(code).toBe(1)
    const [, record] = /Record ([a-z2-7]{16}\.\d+)\./.exec(err) ?? []
    expect(err.split('\n').slice(0, 3)).toEqual([
      'ERROR:  DROP on products is not allowed by policy "no-drops"',
      'DETAIL:  Ask first.',
      'HINT:  Ask the data people.',
    ])
    expect(record).toBeDefined()
    expect((await psql('user=alice~orders', "select count(*) from products where name = 'lost'")).out).toBe(
      '0\n',
    )
    const raw = await logIn(as('alice~orders', gateway.port()))
    await raw.query('begin')
    await raw.query("insert into products (name, price) values ('kept', 1)")
    await raw.query('savepoint s')
    expect(
      (await raw.query('drop table products')).map(({ tag, body }) => (tag === 'Z' ? body.toString() : tag)),
    ).toEqual(['E', 'E'])
    await raw.query('rollback to s')
    expect((await raw.query('commit')).at(-1)?.body.toString()).toBe('I')
    raw.destroy()
    expect((await psql('user=alice~orders', "select count(*) from products where name = 'kept'")).out).toBe(
      '1\n',
    )
  })

  test('a new password for the account that the gateway uses is refused where a policy says so', async () => {
    const { code, err } = await psql('user=alice~orders', "alter role current_user password 'taken over'")
    expect([code, err.split('\n')[0]]).toEqual([1, 'ERROR:  ALTER ROLE is not allowed by policy "no-drops"'])
  })

  test.each([
    ['is revoked', 3600_000],
    ['expires', 2000],
  ])('T-PG-03: a token %s: its session ends, and SCRAM lets it open no other', async (what, expiresInMs) => {
    const { secret, token } = gateway.createToken('alice', expiresInMs)
    const login = { ...as('alice~orders', gateway.port()), password: secret, from: '127.0.0.43' }
    const raw = await logIn(login)
    const { localPort } = raw.socket
    if (what === 'is revoked') gateway.revokeToken(token.id)
    gateway.clock.advance(3000)
    const [told] = await raw.rest()
    expect([told?.fields['S'], told?.fields['C'], told?.fields['M']]).toEqual([
      ...['FATAL', '57P01', 'this session was ended: its token was revoked or has expired'],
    ])
    expect((await endedSession(gateway, localPort)).why).toBe('admin')
    await expect(logIn(login)).rejects.toMatchObject({ fields: { C: '28P01' } })
  })

  test('T-PG-19: a reader cannot write, whatever is tried', async () => {
    const write = "insert into products (name, price) values ('written', 1)"
    for (const sql of [
      write,
      `begin read write; ${write}; commit`,
      `set default_transaction_read_only = off; ${write}`,
      `select set_config('default_transaction_read' || '_only', 'off', false); ${write}`,
      `discard all; ${write}`,
      `do $$ begin ${write}; end $$`,
      `with w as (${write} returning 1) select * from w`,
      `explain analyze ${write}`,
    ]) {
      const { code } = await psql('user=bob~orders', sql)
      expect(code, sql).toBe(1)
    }
    const options = "user=bob~orders options='-c default_transaction_read_only=off'"
    expect((await psql(options, 'show default_transaction_read_only')).out).toBe('on\n')
    expect((await server.query("select 1 from products where name = 'written'", 'shop')).length).toBe(0)
  })

  test('T-PG-13: a cancel reaches one’s own statement, and nobody else’s', async () => {
    const victim = await logIn(as('alice~orders', gateway.port()))
    const other = await logIn(as('dave~orders', gateway.port()))
    const ask = async (pid: number, secret: Uint8Array, tls?: 'after-request'): Promise<void> => {
      const raw = await openRaw({ port: gateway.port(), ...(tls === undefined ? {} : { tls }) })
      raw.send(front.cancelRequest(pid, secret))
      await raw.closed
    }
    victim.send(front.query('select pg_sleep(30)'))
    const isAsleep = "select 1 from pg_stat_activity where query = 'select pg_sleep(30)' and state = 'active'"
    await expect.poll(() => server.query(isAsleep)).toHaveLength(1)
    await ask(victim.pid, other.secret)
    await ask(other.pid, victim.secret)
    await ask(victim.pid, Buffer.alloc(4))
    expect(await server.query(isAsleep)).toHaveLength(1)
    await ask(victim.pid, victim.secret, 'after-request')
    expect((await victim.until('Z')).map(({ tag, fields }) => fields['C'] ?? tag)).toEqual([
      'T',
      '57014',
      'Z',
    ])
    victim.send(front.query('select pg_sleep(30)'))
    await expect.poll(() => server.query(isAsleep)).toHaveLength(1)
    await ask(victim.pid, victim.secret)
    expect((await victim.until('Z')).map(({ tag, fields }) => fields['C'] ?? tag)).toEqual([
      'T',
      '57014',
      'Z',
    ])
    // Too late: there is nothing to cancel, and what comes next runs.
    await ask(victim.pid, victim.secret)
    expect((await victim.query('select 1')).map(({ tag }) => tag).join('')).toBe('TDCZ')
    const { localPort } = victim.socket
    victim.destroy()
    other.destroy()
    const { operations } = await endedSession(gateway, localPort)
    expect(operations.filter(({ act }) => act === 'db.cancel').map(({ out }) => out)).toEqual([
      'ok',
      'ok',
      'ok',
    ])
  })

  test('the end of a refused login is what it was refused for', async () => {
    const refused = await logIn({ ...as('alice~orders', gateway.port()), database: 'nowhere' }).catch(
      (e: unknown) => e,
    )
    expect(refused instanceof RefusedError ? refused.fields['C'] : refused).toBe('3D000')
  })
})
