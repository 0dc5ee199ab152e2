/** Peers that break the rules behind the door, on either side: each ends its own connection, and nothing else. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { front, logIn, type Message, openRaw, RefusedError } from '../../support/clients-raw.ts'
import { TestGateway } from '../../support/gateway.ts'
import { as, openShop, type Shop } from '../../support/gateway-shop.ts'
import { message } from '../../support/postgres-messages.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'
import { endedSession, watchEachTest } from './bystander.ts'

let server: PostgresServer
let shop: Shop
let gateway: TestGateway
let liar: Server
/** What the target that lies does with whoever connects. */
let lie: (socket: Socket) => void

beforeAll(async () => {
  server = await startServer()
  shop = await openShop(server)
  liar = createServer((socket) => {
    socket.on('error', () => {})
    lie(socket)
  }).listen(0, '127.0.0.1')
  await once(liar, 'listening')
  const { port } = liar.address() as AddressInfo
  const target = (name: string, mode: string): string => `
${name}:
  type: postgres
  address: 127.0.0.1:${port}
  tls: { mode: ${mode} }
  credentials: { user: gatebook_app, password: "file:app.password" }
  read_only_credentials: { user: gatebook_ro, password: "file:reader.password" }`
  const targets = `${shop.targets}${target('liar', 'disable')}${target('secretive', 'require')}`
  gateway = await TestGateway.start({ ...shop, targets })
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
  liar.close()
})
watchEachTest(() => gateway)

const tagsOf = (messages: readonly { readonly tag: string }[]): string =>
  messages.map(({ tag }) => tag).join('')

function lastWord(messages: readonly Message[]): string {
  const last = messages.at(-1)
  return `${last?.tag} ${last?.fields['S']} ${last?.fields['C']}`
}

describe('clients', () => {
  const TAGS = ['Q', 'P', 'B', 'D', 'E', 'C', 'F', 'S', 'H', 'X', 'd', 'c', 'f', 'p']

  test.each([0, 1, 3, 0x7fffffff, 0xffffffff])('T-PG-08: a length of %i, under every tag', async (length) => {
    for (const tag of TAGS) {
      const raw = await logIn(as('alice~orders', gateway.port()))
      const { localPort } = raw.socket
      const head = Buffer.from(`${tag}\0\0\0\0`)
      head.writeUInt32BE(length, 1)
      raw.send(head, Buffer.alloc(16))
      expect(`${tag} ${lastWord(await raw.rest())}`).toBe(`${tag} E FATAL 08P01`)
      expect((await endedSession(gateway, localPort)).operations).toEqual([])
    }
  })

  test.each([
    ['an unknown tag', message('y', 'text')],
    ['bytes behind the text of a query', message('Q', 'select 1\0; drop table products\0')],
    ['a query without an end', message('Q', 'select 1')],
    ['more parameters than there are', message('B', '\0\0', Buffer.from('0000ffff', 'hex'))],
    ['a parameter of a negative length', message('B', '\0\0', Buffer.from('00000001fffffffe0000', 'hex'))],
  ])('%s', async (_, bytes) => {
    const raw = await logIn(as('alice~orders', gateway.port()))
    raw.send(bytes)
    expect(lastWord(await raw.rest())).toBe('E FATAL 08P01')
  })

  test('one that asks for very much and reads nothing costs little', async () => {
    const before = process.memoryUsage().rss
    const greedy = await Promise.all(
      Array.from({ length: 4 }, () => logIn(as('alice~orders', gateway.port()))),
    )
    const asked = front.query("select repeat('x', 1000000) from generate_series(1, 100)")
    for (const raw of greedy) {
      raw.socket.pause()
      raw.send(asked, asked, asked)
    }
    // The last of them is stopped by its own socket, so that time is given to the others.
    for (let turn = 0; turn < 10; turn++) {
      const one = await logIn(as('dave~orders', gateway.port()))
      expect(tagsOf(await one.query('select 1'))).toBe('TDCZ')
      one.destroy()
    }
    // 1.2 GB were asked for.
    expect(process.memoryUsage().rss - before).toBeLessThan(256 << 20)
    for (const raw of greedy) raw.destroy()
  })

  test('those that are refused and hang up at once', async () => {
    for (let i = 0; i < 5; i++) {
      const raw = await openRaw({ port: gateway.port() })
      raw.send(front.startup(0x30000, { user: 'carol~orders' }))
      await raw.until('R')
      raw.send(front.startup(0x30000, { user: 'carol~orders' }))
      raw.socket.resetAndDestroy()
      const refused = await logIn(as('carol~orders', gateway.port())).catch((e: unknown) => e)
      expect(String(refused)).toContain('28000')
    }
  })
})

describe('clients that pipeline thousands', () => {
  test.each(['standard', 'strict', 'relaxed'])('under %s', async (mode) => {
    const changes = [['durability: standard', `durability: ${mode}`]] as const
    await using own = await TestGateway.start({ ...shop, changes })
    const session = await logIn(as('alice~orders', own.port()))
    const many = 9000
    session.send(...Array.from({ length: many }, () => front.query(';')))
    expect(tagsOf(await session.until('Z', many))).toBe('IZ'.repeat(many))
  })
})

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}
const SASL = message('R', int32(10), 'SCRAM-SHA-256\0\0')
const WELCOME = Buffer.concat([
  message('R', int32(0)),
  message('K', int32(4711), int32(1)),
  message('Z', 'I'),
])

/** Answers the client's first message and its second with these. */
function answering(
  ...answers: readonly (Uint8Array | ((heard: Buffer) => Uint8Array))[]
): (socket: Socket) => void {
  return (socket) => {
    const left = [...answers]
    socket.on('data', (heard: Buffer) => {
      const next = left.shift()
      if (next !== undefined) socket.write(typeof next === 'function' ? next(heard) : next)
    })
  }
}

const serverFirst =
  (nonce: string, iterations: number) =>
  (heard: Buffer): Uint8Array => {
    const [, own = ''] = /r=([^,]*)$/.exec(heard.toString('latin1')) ?? []
    return message('R', int32(11), `r=${own}${nonce},s=c2FsdHNhbHQ=,i=${iterations}`)
  }

describe('targets, at the login', () => {
  test.each<readonly [string, (socket: Socket) => void]>([
    ['one that hangs up', (socket) => socket.destroy()],
    ['one that speaks something else', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    ['T-PG-05: a nonce of 60 KiB', answering(SASL, serverFirst('n'.repeat(60_000), 4096))],
    ['T-PG-05: a single iteration', answering(SASL, serverFirst('n', 1))],
    ['T-PG-05: two thousand million iterations', answering(SASL, serverFirst('n', 2_000_000_000))],
    ['T-PG-06: an unknown demand for proof', answering(message('R', int32(4711)))],
    ['T-PG-06: an error without an end', answering(Buffer.from('E\0\0\0\x10SFATAL\0C28'))],
    ['T-PG-06: an error without a code', answering(message('E', 'SFATAL\0Mno\0\0'))],
    ['a length of 2 GiB', answering(Buffer.from('R\x7f\xff\xff\xff', 'latin1'))],
    ['a password in clear', answering(message('R', int32(3)))],
  ])('%s', async (_, does) => {
    lie = does
    const told = logIn(as('alice~liar', gateway.port())).catch((e: unknown) => e)
    let isTold = false
    void told.then(() => {
      isTold = true
    })
    // One that says no more is waited for no longer than the gateway allows.
    const isOver = (): boolean => {
      gateway.clock.advance(31_000)
      return isTold
    }
    await expect.poll(isOver, { interval: 200 }).toBe(true)
    const refused = await told
    expect(refused instanceof RefusedError ? refused.fields['M'] : refused).toBe(
      'the target "liar" cannot be used',
    )
  })

  test('T-PG-01: bytes behind the agreement to TLS', async () => {
    lie = answering(Buffer.concat([Buffer.from('S'), WELCOME]))
    const refused = await logIn(as('alice~secretive', gateway.port())).catch((e: unknown) => e)
    expect(refused instanceof RefusedError ? refused.fields['M'] : refused).toBe(
      'the target "secretive" cannot be used',
    )
  })
})

describe('targets, afterwards', () => {
  test.each<readonly [string, Uint8Array]>([
    ['an unknown tag', message('y', 'text')],
    ['a length below the least', Buffer.from('C\0\0\0\x03')],
    ['an error without an end', message('E', 'SERROR\0C42')],
    [
      'an answer to nothing',
      Buffer.concat([message('C', 'SELECT 1\0'), message('Z', 'I'), message('Z', 'I')]),
    ],
  ])('%s: the client is told one FATAL, and its statement has an outcome', async (_, bytes) => {
    lie = answering(WELCOME, bytes)
    const raw = await logIn(as('alice~liar', gateway.port()))
    const { localPort } = raw.socket
    raw.send(front.query('select 1'))
    const told = await raw.rest()
    expect(told.filter(({ tag, fields }) => tag === 'E' && fields['S'] === 'FATAL')).toHaveLength(1)
    const { operations } = await endedSession(gateway, localPort)
    expect(operations.map(({ text }) => text)).toEqual(['select 1'])
    expect(operations[0]?.out).toBeDefined()
  })
})
