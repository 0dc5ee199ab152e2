/** A new process takes the place of a running one: clients that come meanwhile wait, and nobody is turned away. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkBook } from '../../support/check-book.ts'
import { GatewayProcess, type Installation, install } from '../../support/gateway-process.ts'
import { openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'

let server: PostgresServer
let installed: Installation

beforeAll(async () => {
  server = await startServer({ settings: { log_min_messages: 'warning' } })
  installed = await install(await openShop(server))
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  installed[Symbol.dispose]()
})

interface Said {
  readonly code: number | null
  readonly words: string
}

function psql(sql: string): Promise<Said> {
  const url = `host=127.0.0.1 port=${installed.port} user=alice~orders dbname=shop sslmode=require`
  const child = spawn('psql', ['-X', '-A', '-t', url, '-c', sql], {
    env: { ...process.env, PGPASSWORD: installed.token },
  })
  let words = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => {
      words += text.toString()
    })
  }
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, words })))
}

/** As psql says of a connection that ended before anything was answered on it. */
const NEVER_IN = 2

test('an upgrade: one process after the other has the book, and every client is served', async () => {
  using old = new GatewayProcess(installed, ['--grace', '60s'])
  await old.says('started')
  const running = psql('select count(*) from products, pg_sleep(3)')
  await expect
    .poll(() => server.query("select 1 from pg_stat_activity where query like '%pg_sleep(3)'"))
    .toHaveLength(1)

  let isOver = false
  const said: Said[] = []
  const clients = Array.from({ length: 3 }, async () => {
    while (!isOver) {
      const one = await psql('select 41 + 1')
      // Linux resets what waits in the queue of a listener that closes (tcp_migrate_req): such a client comes again.
      const isReset = one.code === NEVER_IN && /server closed the connection|reset by peer/.test(one.words)
      if (!isReset) said.push(one)
    }
  })
  await expect.poll(() => said.length).toBeGreaterThan(3)
  using taking = new GatewayProcess(installed, ['--take-over'])
  await taking.says('waiting for the running gateway to end')
  expect(await old.ended).toBe(0)
  await taking.says('started')
  const before = said.length
  await expect.poll(() => said.length).toBeGreaterThan(before + 3)
  isOver = true
  await Promise.all(clients)

  expect(said.filter(({ code, words }) => code !== 0 || words !== '42\n')).toEqual([])
  expect(await running).toEqual({ code: 0, words: '3\n' })
  taking.child.kill('SIGTERM')
  expect(await taking.ended).toBe(0)
  const { leaves } = checkBook(join(installed.folder, 'data'), { closed: true })
  expect(leaves.filter(({ act }) => act === 'gateway.hand-over')).toHaveLength(1)
  const crashed = leaves.filter(({ kind, why }) => kind === 'session.close' && why === 'crash')
  expect(crashed).toEqual([])
})

test('a second process without --take-over says what it meets, and disturbs nobody', async () => {
  using first = new GatewayProcess(installed)
  await first.says('started')
  using second = new GatewayProcess(installed)
  expect(await second.ended).toBe(1)
  expect(second.log).toContain('another process has this book open')
  expect(second.log).toContain('--take-over')
  expect(await psql('select 1')).toEqual({ code: 0, words: '1\n' })
  first.child.kill('SIGTERM')
  expect(await first.ended).toBe(0)
})

test('--take-over where nobody runs is a start like any other', async () => {
  using alone = new GatewayProcess(installed, ['--take-over'])
  await alone.says('started')
  expect(await psql('select 1')).toEqual({ code: 0, words: '1\n' })
  alone.child.kill('SIGTERM')
  expect(await alone.ended).toBe(0)
})
