/** What somebody shows at the door, and whom it lets in: to a target, whose way is not free to everybody. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { front, logIn, openRaw, type RawConnection } from '../../support/clients-raw.ts'
import { PASSWORD, TestGateway } from '../../support/gateway.ts'
import { as, openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'
import { endedSession, watchEachTest } from './bystander.ts'
import { farewell, PLAIN_STARTUP, refusal } from './shown-out.ts'

let server: PostgresServer
let gateway: TestGateway

beforeAll(async () => {
  server = await startServer()
  gateway = await TestGateway.start(await openShop(server))
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})
watchEachTest(() => gateway)

describe('proofs that are none', () => {
  async function asked(tls: boolean): Promise<RawConnection> {
    const raw = await openRaw({ port: gateway.port(), ...(tls ? { tls: 'after-request' } : {}) })
    raw.send(PLAIN_STARTUP)
    const first = await raw.message()
    const offered = first?.body.toString('latin1', 4).split('\0').slice(0, -2)
    expect(offered).toEqual(tls ? ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] : ['SCRAM-SHA-256'])
    return raw
  }

  const clientFirst = (header: string): string => `${header}n=,r=abcdefghijklmnopqrstuvwx`

  test.each([0, -1, 5, 0x7fffffff, -0x80000000])('T-PG-04: a length of %i within SASL', async (length) => {
    const raw = await asked(false)
    const body = Buffer.concat([
      Buffer.from('SCRAM-SHA-256\0'),
      Buffer.alloc(4),
      Buffer.from(clientFirst('n,,')),
    ])
    body.writeInt32BE(length, 14)
    const head = Buffer.from('p\0\0\0\0')
    head.writeUInt32BE(body.length + 4, 1)
    raw.send(head, body)
    expect(await farewell(raw)).toMatch(/^E FATAL 08P01 SASL: -?\d+ bytes announced, \d+ there$/)
  })

  test.each([
    ['another message', front.query('select 1'), 'expected an authentication message, got "Q"'],
    ['a length of 1 GiB', Buffer.from('p\x40\0\0\0'), /a message "p" of \d+ bytes where \d+ are the most/],
    ['no SASL at all', front.password('secret'), /./],
    ['an unknown mechanism', front.sasl('SCRAM-SHA-1', 'n,,n=,r=x'), /SASL/],
    [
      'channel binding outside TLS',
      front.sasl('SCRAM-SHA-256-PLUS', clientFirst('p=tls-server-end-point,,')),
      /not offered/,
    ],
  ])('%s', async (_, bytes, said) => {
    const raw = await asked(false)
    raw.send(bytes)
    const words = await farewell(raw)
    expect(words).toMatch(/^E FATAL 08P01 /)
    expect(words.replace('E FATAL 08P01 ', '')).toMatch(said)
  })

  test('T-PG-09: somebody who removed our offer of channel binding is found out', async () => {
    const raw = await asked(true)
    raw.send(front.sasl('SCRAM-SHA-256', clientFirst('y,,')))
    expect(await farewell(raw)).toBe(
      'E FATAL 08P01 SCRAM: channel binding was offered, the client says it was not',
    )
  })

  test('T-PG-09: a channel that is bound to another certificate is none', async () => {
    const raw = await asked(true)
    raw.send(front.sasl('SCRAM-SHA-256-PLUS', clientFirst('p=tls-server-end-point,,')))
    const challenge = (await raw.message())?.body.toString('latin1', 4) ?? ''
    const nonce = challenge.split(',')[0] ?? ''
    const bound = Buffer.concat([Buffer.from('p=tls-server-end-point,,'), Buffer.alloc(32, 7)])
    raw.send(
      front.saslResponse(`c=${bound.toString('base64')},${nonce},p=${Buffer.alloc(32).toString('base64')}`),
    )
    expect(await farewell(raw)).toBe('E FATAL 08P01 SCRAM: channel binding check failed')
  })

  test('T-ALL-03: before the proof known, unknown and locked-out names are told the same', async () => {
    const shapes: string[] = []
    const refusals: string[] = []
    for (let i = 0; i < 6; i++) await refusal(logIn({ ...as('bob~orders', gateway.port()), password: 'no' }))
    for (const user of ['alice~orders', 'bob~orders', 'nobody~orders', 'alice~nowhere']) {
      const raw = await openRaw({ port: gateway.port() })
      raw.send(front.startup(0x30000, { user }))
      const offer = await raw.message()
      raw.send(front.sasl('SCRAM-SHA-256', clientFirst('n,,')))
      const challenge = (await raw.message())?.body.toString('latin1', 4) ?? ''
      shapes.push(
        `${offer?.body.toString('latin1')} ${challenge.replace(/=[^,]*/g, (value) => `=${value.length}`)}`,
      )
      raw.destroy()
      const { S, C, M, D, H } = await refusal(logIn({ ...as(user, gateway.port()), password: 'wrong' }))
      refusals.push([S, C, M?.replace(user, 'X'), D, H?.replace(/Record .*/, '')].join('|'))
    }
    expect(new Set(shapes).size).toBe(1)
    expect(new Set(refusals).size).toBe(1)
    gateway.clock.advance(16 * 60_000)
  })
})

describe('passwords and tokens', () => {
  test('a locked-out name is locked for one address alone, and never for tokens', async () => {
    const from = '127.0.0.7'
    const login = { ...as('alice~orders', gateway.port()), from }
    for (let i = 0; i < 5; i++)
      expect((await refusal(logIn({ ...login, password: 'wrong' })))['C']).toBe('28P01')
    expect((await refusal(logIn(login)))['C']).toBe('28P01')
    ;(await logIn({ ...login, from: '127.0.0.8' })).destroy()
    const { secret } = gateway.createToken('alice')
    ;(await logIn({ ...login, password: secret })).destroy()
    gateway.clock.advance(15 * 60_000 + 1000)
    ;(await logIn(login)).destroy()
  })

  test('expired and revoked tokens open nothing', async () => {
    const login = as('alice~orders', gateway.port())
    const short = gateway.createToken('alice', 60_000)
    const revoked = gateway.createToken('alice')
    ;(await logIn({ ...login, password: short.secret })).destroy()
    gateway.revokeToken(revoked.token.id)
    gateway.clock.advance(61_000)
    for (const password of [short.secret, revoked.secret]) {
      const { C, M } = await refusal(logIn({ ...login, password }))
      expect([C, M]).toEqual(['28P01', 'login failed for "alice~orders"'])
    }
    await gateway.readWhen(({ notes }) => notes.some(({ code }) => code === 'expired'))
  })

  test('T-ALL-04: very many failures and guessed cancels are few records with right counts', async () => {
    gateway.clock.advance(120_000)
    const before = gateway.read().notes.length
    const from = '127.0.0.9'
    const login = as('alice~orders', gateway.port())
    const fail = async (i: number): Promise<void> => {
      await refusal(logIn({ ...login, user: `guess${i % 50}`, password: 'wrong', from }))
      const raw = await openRaw({ port: gateway.port(), from })
      raw.send(front.cancelRequest(4711 + i, Buffer.from([1, 2, 3, i & 0xff])))
      await raw.closed
    }
    for (let at = 0; at < 200; at += 20) await Promise.all(Array.from({ length: 20 }, (_, i) => fail(at + i)))
    gateway.clock.advance(61_000)
    const counted = (code: string): number =>
      gateway
        .read()
        .notes.slice(before)
        .filter((note) => note.code === code)
        .reduce((sum, { ops = 1 }) => sum + ops, 0)
    await gateway.readWhen(() => counted('unknown-user') === 200 && counted('bad-cancel') === 200)
    expect(gateway.read().notes.length - before).toBeLessThan(20)
    const { secret } = gateway.createToken('alice')
    ;(await logIn({ ...login, password: secret, from })).destroy()
  })

  test('a password in clear is taken inside TLS only, and then counts', async () => {
    const port = gateway.port('encrypted')
    const outside = await refusal(logIn(as('alice~orders', port)))
    expect([outside['C'], outside['M']]).toEqual(['28000', 'this gateway accepts logins inside TLS only'])
    for (const tls of ['after-request', 'direct'] as const) {
      const session = await logIn({ ...as('alice~orders', port), tls })
      expect((await session.query('select 1')).length).toBe(4)
      session.destroy()
    }
    const wrong = await refusal(logIn({ ...as('alice~orders', port), password: 'no', tls: 'after-request' }))
    expect(wrong['C']).toBe('28P01')
  })

  test('direct TLS demands the protocol’s name', async () => {
    const open = openRaw({ port: gateway.port(), tls: 'direct', secure: { ALPNProtocols: ['http/1.1'] } })
    await expect(open).rejects.toThrow()
    const raw = await openRaw({ port: gateway.port(), tls: 'direct', secure: { ALPNProtocols: [] } })
    raw.send(PLAIN_STARTUP)
    expect(await farewell(raw)).toBe('E FATAL 08P01 direct TLS without the ALPN protocol postgresql')
  })
})

describe('the way to a target', () => {
  test('without a role is refused with the record that says so', async () => {
    const { C, M, H } = await refusal(logIn(as('carol~orders', gateway.port())))
    expect([C, M]).toEqual(['28000', 'access to "orders" denied for carol'])
    const [, record = ''] = /Record ([a-z2-7]{16}\.\d+)\./.exec(H ?? '') ?? []
    expect(record).not.toBe('')
    const isTold = (note: { kind: string; sid: string | undefined; who: Record<string, unknown> }): boolean =>
      note.kind === 'decision' && record.startsWith(`${note.sid}.`) && note.who['name'] === 'carol'
    await gateway.readWhen(({ notes }) => notes.some(isTold))
  })

  test('to a database that does not exist is answered in the server’s words', async () => {
    const through = await refusal(logIn({ ...as('alice~orders', gateway.port()), database: 'nowhere' }))
    expect([through['S'], through['C'], through['M']]).toEqual([
      'FATAL',
      '3D000',
      'database "nowhere" does not exist',
    ])
    // The process's own log names the kind of failure, and nothing that a client chose.
    expect(gateway.log.filter((line) => line.includes('SQLSTATE 3D000'))).toHaveLength(1)
    expect(gateway.log.filter((line) => line.includes('nowhere'))).toEqual([])
  })

  test.each([
    [{ options: '-c log_statement=none' }, 'a startup setting is not allowed'],
    [{ session_preload_libraries: 'evil' }, 'a startup setting is not allowed'],
  ])('with %j is refused as a decision of its session', async (parameters, what) => {
    const { C, M, H } = await refusal(logIn({ ...as('alice~orders', gateway.port()), parameters }))
    expect([C, M]).toEqual(['0A000', what])
    const [, sid = ''] = /Record ([a-z2-7]{16})\.1\./.exec(H ?? '') ?? []
    const book = await gateway.readWhen(({ sessions }) =>
      sessions.some((one) => one.sid === sid && one.why !== undefined),
    )
    const session = book.sessions.find((one) => one.sid === sid)
    expect(session?.operations.map(({ op, out }) => [op, out])).toEqual([[1, 'denied']])
    expect(session?.who['claims']).toMatchObject(parameters)
  })

  test('T-PG-02: settings of the startup act in the session, and in nothing before it', async () => {
    const parameters = { search_path: 'pg_catalog', options: '-c statement_timeout=12345' }
    const session = await logIn({ ...as('alice~orders', gateway.port()), parameters })
    const [, row] = await session.query(
      "select current_setting('search_path') || current_setting('statement_timeout')",
    )
    expect(row?.body.toString('latin1', 6)).toBe('pg_catalog12345ms')
    session.send(front.terminate)
    const told = await endedSession(gateway, session.socket.localPort)
    expect(told.who['claims']).toEqual({ user: 'alice~orders', ...parameters })
  })

  test('is not dialled before the person is known and allowed', async () => {
    const log = async (): Promise<number> =>
      Number((await server.query('select count(*) as n from pg_stat_activity'))[0]?.['n'])
    const before = await log()
    await refusal(logIn({ ...as('alice~orders', gateway.port()), password: 'wrong', from: '127.0.0.11' }))
    await refusal(logIn(as('carol~orders', gateway.port())))
    expect(await log()).toBe(before)
    expect(PASSWORD).not.toBe('wrong')
  })
})
