/** T-PG-16: a gateway is killed while people commit. What a client was told has happened, the book has. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkBook } from '../../support/check-book.ts'
import { front, logIn } from '../../support/clients-raw.ts'
import { GatewayProcess, type Installation, install } from '../../support/gateway-process.ts'
import { openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'

const KILLS = 2
const CLIENTS = 6
/** Seen by all clients together before the gateway is killed, in the middle of what they do next. */
const COMMITS = 60

let server: PostgresServer
let installed: Installation

beforeAll(async () => {
  server = await startServer({ settings: { log_min_messages: 'warning', log_statement: 'none' } })
  const shop = await openShop(server)
  await server.query('create table told (name text); grant all on told to public', 'shop')
  installed = await install(shop)
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  installed[Symbol.dispose]()
})

/** Commits under names of its own until the connection ends; gives those whose COMMIT was answered. */
async function commit(client: string, seen: string[]): Promise<void> {
  const { port, token: password } = installed
  const session = await logIn({ port, user: 'alice~orders', password, tls: 'after-request' })
  for (let i = 0; ; i++) {
    const name = `${client}.${i}`
    session.send(front.query('begin'), front.query(`insert into told values ('${name}')`))
    session.send(front.query(`commit /* ${name} */`))
    // The answer alone counts: ReadyForQuery may be a second behind.
    const answers = await session.until('C', 3)
    if (answers.at(-1)?.fields['0'] !== 'COMMIT') return
    seen.push(name)
    if ((await session.until('Z')).length === 0) return
  }
}

test('a client has seen no CommandComplete that the book lacks', async () => {
  const seen: string[] = []
  for (let kill = 0; kill < KILLS; kill++) {
    using gateway = new GatewayProcess(installed)
    await gateway.says('started')
    const before = seen.length
    const clients = Array.from({ length: CLIENTS }, (_, i) => commit(`${kill}-${i}`, seen))
    await expect.poll(() => seen.length - before, { interval: 5 }).toBeGreaterThan(COMMITS)
    gateway.child.kill('SIGKILL')
    await Promise.all(clients)
  }
  // The next one recovers what the killed ones left in the journal.
  using last = new GatewayProcess(installed)
  await last.says('started')
  last.child.kill('SIGTERM')
  expect(await last.ended).toBe(0)

  expect(checkBook(join(installed.folder, 'data'), { closed: true }).openSessions).toEqual([])
  using book = installed.openBook()
  const operations = book.read().sessions.flatMap((session) => session.operations)
  const done = new Set(operations.filter(({ out }) => out === 'ok').map(({ text }) => text))
  expect(seen.filter((name) => !done.has(`commit /* ${name} */`))).toEqual([])
  const begun = new Set(operations.map(({ text }) => text))
  const rows = await server.query('select name from told', 'shop')
  expect(rows.filter(({ name }) => !begun.has(`commit /* ${String(name)} */`))).toEqual([])
  expect(seen.length).toBeGreaterThan(KILLS * COMMITS)
})
