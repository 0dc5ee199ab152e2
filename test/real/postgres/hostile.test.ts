/** Peers that break the rules, on either side: each ends its own connection, and nothing else. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { front, logIn, openRaw } from '../../support/clients-raw.ts'
import { TestGateway } from '../../support/gateway.ts'
import { as, openShop, type Shop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'

let server: PostgresServer
let shop: Shop

beforeAll(async () => {
  server = await startServer()
  shop = await openShop(server)
})
afterAll(() => server[Symbol.asyncDispose]())

const tagsOf = (messages: readonly { readonly tag: string }[]): string =>
  messages.map(({ tag }) => tag).join('')

describe('X', () => {
  test('a client that is refused and hangs up at once', async () => {
    await using gateway = await TestGateway.start(shop)
    for (let i = 0; i < 5; i++) {
      const raw = await openRaw({ port: gateway.port() })
      raw.send(front.startup(0x30000, { user: 'carol~orders' }))
      await raw.until('R')
      raw.send(front.startup(0x30000, { user: 'carol~orders' }))
      raw.socket.resetAndDestroy()
      const refused = await logIn(as('carol~orders', gateway.port())).catch((e: unknown) => e)
      expect(String(refused)).toContain('28000')
    }
    const session = await logIn(as('alice~orders', gateway.port()))
    expect(tagsOf(await session.query('select 1'))).toBe('TDCZ')
  })

  test.each(['standard', 'strict', 'relaxed'])('pipelined %s', async (mode) => {
    await using gateway = await TestGateway.start({
      ...shop,
      changes: [['durability: standard', `durability: ${mode}`]],
    })
    const session = await logIn(as('alice~orders', gateway.port()))
    const many = 9000
    session.send(...Array.from({ length: many }, () => front.query(';')))
    expect(tagsOf(await session.until('Z', many))).toBe('IZ'.repeat(many))
  })
})
