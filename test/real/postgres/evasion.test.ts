/** Ways by which a session might have one text run under the name of another. The server's own log is the witness. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { front as f, logIn } from '../../support/clients-raw.ts'
import { TestGateway } from '../../support/gateway.ts'
import type { BookReader, Session } from '../../support/gateway-book.ts'
import { as, openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'

let server: PostgresServer
let gateway: TestGateway
let reader: BookReader

beforeAll(async () => {
  server = await startServer()
  gateway = await TestGateway.start(await openShop(server))
  reader = gateway.openBook()
})
afterAll(async () => {
  reader[Symbol.dispose]()
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

interface Ran {
  /** By the server's word. */
  readonly logged: readonly string[]
  /** By the book's: a text, or what was used under a name whose meaning is unknown. */
  readonly recorded: readonly unknown[]
}

/** Each line is sent when the one before is answered. Gives what was executed. */
async function hold(...lines: readonly (readonly Uint8Array[])[]): Promise<Ran> {
  const raw = await logIn({ ...as('alice~admin', gateway.port()), database: 'shop' })
  for (const line of lines) {
    raw.send(...line)
    await raw.until('Z')
  }
  raw.send(f.terminate)
  await raw.rest()
  const { operations } = await sessionOf(raw.pid)
  const log = await server.logOf(raw.pid)
  return {
    logged: log.flatMap((entry) => (entry.type === 'execute' ? [entry.text] : [])),
    recorded: operations
      .filter(({ act }) => act === 'db.execute')
      .map(({ text, meta }) => text ?? meta['unknown']),
  }
}

async function sessionOf(pid: number): Promise<Session> {
  const isMeant = ({ why, operations }: Session): boolean =>
    why !== undefined && operations.some(({ meta }) => meta['pid'] === pid)
  return expect
    .poll(() => reader.read().sessions.find(isMeant), { timeout: 20_000 })
    .toBeDefined()
    .then(() => reader.read().sessions.find(isMeant) as Session)
}

test('a cursor declared under the name of a portal that ROLLBACK TO has ended is not that portal', async () => {
  const ran = await hold(
    [f.query('begin; savepoint s')],
    [f.parse('a', 'select generate_series(1, 3)'), f.bind('p', 'a'), f.execute('p', 1), f.sync],
    [f.query('rollback to s')],
    [f.query('declare p cursor for select 668')],
    [f.execute('p'), f.sync],
    [f.query('commit')],
  )
  expect(ran).toEqual({
    logged: ['select generate_series(1, 3)', 'declare p cursor for select 668'],
    recorded: ['select generate_series(1, 3)', 'portal'],
  })
})

test('a text that our lexer reads otherwise than the server gives no name another text', async () => {
  const ran = await hold(
    [f.parse('b', 'select 669'), f.sync],
    [f.query('set standard_conforming_strings = off')],
    [f.query("select '\\'' ; prepare a as select 1; --'; prepare b as select 1;")],
    [f.query('set standard_conforming_strings = on')],
    [f.bind('', 'b'), f.execute(), f.sync],
  )
  expect(ran).toEqual({ logged: ['select 669'], recorded: ['statement'] })
})

/** What README says that the wire does not show. If this fails, it has become possible to know, and README is wrong. */
test('a block that prepares another text under a known name leaves the client’s text in the book', async () => {
  const ran = await hold(
    [f.parse('x', 'select 1'), f.sync],
    [f.query("do $$ begin execute 'deallocate x'; execute 'prepare x as select 666'; end $$")],
    [f.bind('', 'x'), f.execute(), f.sync],
  )
  expect(ran).toEqual({ logged: ['prepare x as select 666'], recorded: ['select 1'] })
})
