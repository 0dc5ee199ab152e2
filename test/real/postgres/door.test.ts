/** Strangers at the door: whatever they send, and however slowly, they learn nothing and hold nobody up. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LOGIN_MS_MAX } from '../../../src/gate/doorkeeper.ts'
import { STRANGERS_MAX } from '../../../src/gate/listen.ts'
import { front, logIn, openRaw, type RawConnection } from '../../support/clients-raw.ts'
import { TestGateway } from '../../support/gateway.ts'
import { as, openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'
import { watchEachTest } from './bystander.ts'
import { farewell, PLAIN_STARTUP } from './shown-out.ts'

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
const bystander = watchEachTest(() => gateway)

async function stranger(): Promise<RawConnection> {
  return openRaw({ port: gateway.port() })
}

async function sessions(): Promise<number> {
  return (await bystander().inTheBook()).sessions.length
}

function startup(code: number, rest: Uint8Array = Buffer.alloc(0), length = 8 + rest.length): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(length >>> 0)
  head.writeUInt32BE(code >>> 0, 4)
  return Buffer.concat([head, rest])
}

describe('T-PG-01: what is said in clear behind a request for encryption', () => {
  test.each([
    ['SSLRequest', front.sslRequest],
    ['GSSENCRequest', front.gssencRequest],
  ])('%s: is refused, and nothing of it is done', async (_, request) => {
    const before = await sessions()
    const raw = await stranger()
    raw.send(request, PLAIN_STARTUP)
    expect(await farewell(raw)).toBe('E FATAL 08P01 received unencrypted data after SSL request')
    expect(gateway.read().sessions.length).toBe(before)
  })

  test('is no TLS where the gateway has agreed to TLS', async () => {
    const before = await sessions()
    const raw = await stranger()
    raw.send(front.sslRequest)
    expect((await raw.bytes(1)).toString()).toBe('S')
    raw.send(PLAIN_STARTUP)
    // An alert of TLS at most, and no message of PostgreSQL's.
    await raw.closed
    expect(gateway.read().sessions.length).toBe(before)
  })

  test('each request may come once, GSSENC before SSL too', async () => {
    const raw = await stranger()
    raw.send(front.gssencRequest)
    expect((await raw.bytes(1)).toString()).toBe('N')
    raw.send(front.gssencRequest)
    expect(await farewell(raw)).toBe('E FATAL 08P01 unexpected gssenc request')
    const second = await stranger()
    second.send(front.gssencRequest)
    expect((await second.bytes(1)).toString()).toBe('N')
    second.send(front.sslRequest)
    expect((await second.bytes(1)).toString()).toBe('S')
    await second.secure({})
    second.send(front.sslRequest)
    expect(await farewell(second)).toBe('E FATAL 08P01 unexpected ssl request')
  })
})

describe('startup packets that lie', () => {
  test.each([0, 1, 4, 7, 10_005, 0x7fffffff, 0xffffffff])('about their length: %i', async (length) => {
    const raw = await stranger()
    raw.send(startup(0x30000, Buffer.from('user\0alice~orders\0\0'), length))
    expect(await farewell(raw)).toMatch(/^E FATAL 08P01 invalid length of startup packet: /)
  })

  test.each([
    ['no NUL at the end', 'user\0alice~orders'],
    ['bytes behind the end', 'user\0alice~orders\0\0more'],
    ['a name without its value', 'user\0'],
    ['no user', 'database\0shop\0\0'],
  ])('about their contents: %s', async (_, text) => {
    const raw = await stranger()
    raw.send(startup(0x30000, Buffer.from(text)))
    expect(await farewell(raw)).toMatch(/^E FATAL 08P01 /)
  })

  test('endless ones are not waited for', async () => {
    const raw = await stranger()
    raw.send(startup(0x30000, Buffer.alloc(0), 9000))
    for (let i = 0; i < 20; i++) {
      raw.send(Buffer.from('x'))
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    gateway.clock.advance(LOGIN_MS_MAX)
    expect(await farewell(raw)).toBe('')
  })
})

describe('T-PG-10: versions', () => {
  test.each([
    { minor: 0, more: {}, told: [] },
    { minor: 1, more: {}, told: [] },
    { minor: 2, more: {}, told: [] },
    { minor: 2, more: { '_pq_.x': '1' }, told: ['_pq_.x'] },
    { minor: 3, more: {}, told: [] },
    { minor: 0, more: { '_pq_.a': '1', '_pq_.b': '2' }, told: ['_pq_.a', '_pq_.b'] },
    { minor: 9999, more: { '_pq_.test_protocol_negotiation': '' }, told: ['_pq_.test_protocol_negotiation'] },
  ])('3.$minor with $more', async ({ minor, more, told }) => {
    const version = 0x30000 + minor
    const session = await logIn({ ...as('alice~orders', gateway.port()), version, parameters: more })
    const negotiated = session.greeting.filter(({ tag }) => tag === 'v')
    expect(negotiated.length).toBe(minor > 2 || told.length > 0 ? 1 : 0)
    if (negotiated[0] !== undefined) {
      const { body } = negotiated[0]
      expect(body.readUInt32BE(0)).toBe(minor >= 2 ? 0x30002 : 0x30000)
      expect(body.readUInt32BE(4)).toBe(told.length)
      expect(body.toString('latin1', 8).split('\0').slice(0, -1)).toEqual(told)
    }
    expect(session.secret.length).toBe(minor >= 2 ? 32 : 4)
    session.destroy()
  })

  test.each([2, 4])('%i.0 is not spoken', async (major) => {
    const raw = await stranger()
    raw.send(front.startup(major << 16, { user: 'alice~orders' }))
    expect(await farewell(raw)).toBe(`E FATAL 08P01 unsupported frontend protocol ${major}.0`)
  })
})

describe('T-ALL-01: connections that are begun and left', () => {
  test('are given up, wherever they stopped', async () => {
    const silent = await stranger()
    const inTls = await stranger()
    inTls.send(front.sslRequest)
    await inTls.bytes(1)
    inTls.send(Buffer.from('160301020001', 'hex'))
    const inDirectTls = await stranger()
    inDirectTls.send(Buffer.from('160301', 'hex'))
    const inSasl = await stranger()
    inSasl.send(PLAIN_STARTUP)
    await inSasl.message()
    const inProof = await stranger()
    inProof.send(PLAIN_STARTUP)
    await inProof.message()
    inProof.send(front.sasl('SCRAM-SHA-256', 'n,,n=,r=abcdefghijklmnopqrstuvwx'))
    await inProof.message()
    const begun = [silent, inTls, inDirectTls, inSasl, inProof]
    // Again where one of them had not been met yet when time went by.
    const allGone = (): boolean => {
      gateway.clock.advance(LOGIN_MS_MAX)
      return begun.every(({ ended }) => ended)
    }
    await expect.poll(allGone, { interval: 500 }).toBe(true)
    expect(begun.map(({ received }) => received.length)).toEqual([0, 0, 0, 24, expect.any(Number)])
  })

  test('are never so many that nobody else is let in', async () => {
    const flood: RawConnection[] = []
    // No more at once than the kernel's queue holds: of those beyond it, nobody but the client need ever know.
    for (let left = STRANGERS_MAX + 100; left > 0; left -= 100)
      flood.push(...(await Promise.all(Array.from({ length: 100 }, stranger))))
    const login = await logIn(as('alice~orders', gateway.port()))
    expect((await login.query('select 1')).map(({ tag }) => tag).join('')).toBe('TDCZ')
    await expect.poll(() => flood.filter(({ ended }) => ended).length).toBeGreaterThanOrEqual(100)
    expect(flood.filter(({ ended }) => !ended).length).toBeGreaterThan(STRANGERS_MAX - 100)
    for (const raw of flood) raw.destroy()
    login.destroy()
  })

  test('or that end by a reset at any moment, end alone', async () => {
    for (const words of [[], [front.sslRequest], [PLAIN_STARTUP], [PLAIN_STARTUP, front.password('x')]]) {
      const raw = await stranger()
      raw.send(...words)
      raw.socket.resetAndDestroy()
      await raw.closed
    }
    // Refused, and gone before it can be told.
    for (let i = 0; i < 5; i++) {
      const raw = await stranger()
      raw.send(front.startup(0x20000, {}))
      await new Promise((resolve) => setTimeout(resolve, 2))
      raw.socket.resetAndDestroy()
    }
    const others = async (): Promise<number> => (await gateway.live()).length
    await expect.poll(others, { message: 'the bystander’s session' }).toBe(1)
  })

  test('or that stay when they have been refused, are put out', { timeout: 30_000 }, async () => {
    const raw = await stranger()
    raw.socket.pause()
    raw.send(front.startup(0x20000, {}))
    const cancelling = await stranger()
    cancelling.send(front.cancelRequest(1, Buffer.alloc(4)))
    const writing = setInterval(() => raw.send(Buffer.alloc(10)), 50)
    await Promise.all([raw.closed, cancelling.closed])
    clearInterval(writing)
    expect([raw.ended, cancelling.ended]).toEqual([true, true])
  })
})
