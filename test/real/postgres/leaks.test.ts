/**
 * Very many sessions, at once and one after the other: nothing of them stays in memory, in sockets or in the journal.
 * `npm run soak -- leaks` does it with 500 at once and 10,000 in turn; either way the figures are printed.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BookStatus } from '../../../src/record/messages.ts'
import { front, logIn, type RawSession } from '../../support/clients-raw.ts'
import { TestGateway } from '../../support/gateway.ts'
import { as, openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'

const isSoak = process.env['GATEBOOK_SOAK'] === '1'
const CONCURRENT = isSoak ? 500 : 60
const IN_TURN = isSoak ? 10_000 : 400
const AT_ONCE = 8
/** Of a session that has ended. What is left are a few numbers in maps with a limit, and noise. */
const LEFT_BYTES_MAX = 4096
const NOISE_BYTES = 4 << 20

let server: PostgresServer
let gateway: TestGateway

beforeAll(async () => {
  server = await startServer({ settings: { log_min_messages: 'warning', log_statement: 'none' } })
  gateway = await TestGateway.start(await openShop(server))
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

interface Figures {
  readonly heapBytes: number
  readonly residentBytes: number
  readonly sockets: number
  readonly live: number
  readonly undrained: number
}

/** When all that was said has reached the book. */
async function measure(what: string): Promise<Figures> {
  const status = (): Promise<BookStatus> => gateway.control('book.status') as Promise<BookStatus>
  await expect.poll(async () => (await gateway.live()).length, { timeout: 60_000 }).toBe(0)
  await expect.poll(async () => (await status()).undrained, { timeout: 60_000 }).toBe(0)
  for (let turn = 0; turn < 3; turn++) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { heapUsed, external, rss } = process.memoryUsage()
  const sockets = process.getActiveResourcesInfo().filter((kind) => kind.startsWith('TCPSocket')).length
  const { undrained } = await status()
  const figures = {
    heapBytes: heapUsed + external,
    residentBytes: rss,
    sockets,
    live: (await gateway.live()).length,
    undrained,
  }
  const mebibytes = (bytes: number): string => `${(bytes / (1 << 20)).toFixed(1)} MiB`
  process.stdout.write(
    `${what}: heap ${mebibytes(figures.heapBytes)}, resident ${mebibytes(rss)}, ${sockets} sockets, ${undrained} batches in the journal\n`,
  )
  return figures
}

async function open(): Promise<RawSession> {
  const raw = await logIn(as('alice~orders', gateway.port()))
  expect((await raw.query(`select ${raw.pid}`)).map(({ tag }) => tag).join('')).toBe('TDCZ')
  return raw
}

async function inTurn(count: number): Promise<void> {
  let left = count
  const work = async (): Promise<void> => {
    while (left-- > 0) {
      const raw = await open()
      // Half of them say goodbye.
      if (left % 2 === 0) raw.send(front.terminate)
      else raw.destroy()
      await raw.closed
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
}

test('sessions at once: each answers, and all are gone afterwards', { timeout: 600_000 }, async () => {
  const before = await measure('before')
  const sessions: RawSession[] = []
  for (let at = 0; at < CONCURRENT; at += 20)
    sessions.push(...(await Promise.all(Array.from({ length: Math.min(20, CONCURRENT - at) }, open))))
  expect((await gateway.live()).length).toBe(CONCURRENT)
  const answers = await Promise.all(sessions.map((raw) => raw.query('select 42')))
  expect(answers.filter((told) => told.length !== 4)).toEqual([])
  process.stdout.write(
    `${CONCURRENT} at once: resident ${(process.memoryUsage().rss / (1 << 20)).toFixed(1)} MiB\n`,
  )
  for (const raw of sessions) raw.destroy()
  const after = await measure(`after ${CONCURRENT} at once`)
  expect(after.sockets).toBe(before.sockets)
})

test('sessions in turn leave nothing', { timeout: 3600_000 }, async () => {
  await inTurn(IN_TURN / 2)
  const half = await measure(`after ${IN_TURN / 2} in turn`)
  await inTurn(IN_TURN / 2)
  const after = await measure(`after ${IN_TURN} in turn`)
  expect(after.sockets).toBe(half.sockets)
  expect(after.heapBytes - half.heapBytes).toBeLessThan(NOISE_BYTES + (IN_TURN / 2) * LEFT_BYTES_MAX)
  gateway.verify()
})
