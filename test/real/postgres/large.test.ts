/**
 * Messages near the protocol's limit through a gateway that is a process of its own: they pass whole, and its memory
 * does not grow with them. 128 MiB with `npm test`, close to a gibibyte with `npm run soak`.
 */
import { createHash, type Hash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { front, logIn, type RawSession } from '../../support/clients-raw.ts'
import { GatewayProcess, type Installation, install } from '../../support/gateway-process.ts'
import { openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'

const MIB = 1 << 20
/** What PostgreSQL itself can make of a value: below 1 GiB with what stands before it. */
const SIZE = Math.min(1000, Number(process.env['GATEBOOK_BULK_MIB'] ?? 128)) * MIB
/** Buffers of sockets and of TLS, and what the collector has not yet taken back: no more, however long the message. */
const GROWTH_MAX = 120 * MIB
const PIECE = Buffer.alloc(MIB, 'x')
const TIMEOUT = 60_000 + (SIZE / MIB) * 500

let server: PostgresServer
let installed: Installation
let gateway: GatewayProcess
let residentBefore: number

beforeAll(async () => {
  const settings = { log_min_messages: 'warning', log_statement: 'none' }
  server = await startServer({ settings })
  const shop = await openShop(server)
  await server.query('create table big (t text); grant all on big to public', 'shop')
  installed = await install(shop)
  gateway = new GatewayProcess(installed)
  await gateway.says('started')
  const session = await open()
  for (let i = 0; i < 200; i++) await session.query('select 1')
  session.destroy()
  residentBefore = residentPeak()
})
afterAll(async () => {
  gateway[Symbol.dispose]()
  await server[Symbol.asyncDispose]()
  installed[Symbol.dispose]()
})

function open(): Promise<RawSession> {
  const { port, token: password } = installed
  return logIn({ port, user: 'alice~orders', password, tls: 'after-request' })
}

/** The most memory that the gateway's process has had, in bytes. */
function residentPeak(): number {
  const status = readFileSync(`/proc/${gateway.child.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

interface Skimmed {
  readonly tag: string
  readonly length: number
  readonly sha256: string
}

/** Reads messages up to ReadyForQuery, and keeps of each only its tag, its length and the hash of its body. */
async function skim(session: RawSession): Promise<Skimmed[]> {
  const found: Skimmed[] = []
  let header = Buffer.alloc(0)
  let left = 0
  let hash: Hash = createHash('sha256')
  const { socket } = session
  socket.removeAllListeners('data')
  const take = (chunk: Buffer): void => {
    for (let at = 0; at < chunk.length; ) {
      if (header.length < 5) {
        const piece = chunk.subarray(at, at + 5 - header.length)
        header = Buffer.concat([header, piece])
        at += piece.length
        if (header.length < 5) return
        left = header.readUInt32BE(1) - 4
        hash = createHash('sha256')
      }
      const piece = chunk.subarray(at, at + left)
      hash.update(piece)
      at += piece.length
      left -= piece.length
      if (left > 0) return
      const tag = header.toString('latin1', 0, 1)
      found.push({ tag, length: header.readUInt32BE(1) - 4, sha256: hash.digest('hex') })
      header = Buffer.alloc(0)
      if (tag === 'Z') socket.emit('skimmed')
    }
  }
  const done = once(socket, 'skimmed')
  socket.on('data', take)
  await done
  socket.off('data', take)
  return found
}

/** Of so many bytes of x between two others. */
function hashOf(before: Uint8Array, size: number, behind: Uint8Array): string {
  const hash = createHash('sha256').update(before)
  for (let left = size; left > 0; left -= PIECE.length) hash.update(PIECE.subarray(0, left))
  return hash.update(behind).digest('hex')
}

/** One message, which is never in memory as a whole. */
async function sendLong(session: RawSession, tag: string, size: number, behind: Uint8Array): Promise<void> {
  const header = Buffer.alloc(5)
  header.write(tag)
  header.writeUInt32BE(4 + size + behind.length, 1)
  session.send(header)
  for (let left = size; left > 0; left -= PIECE.length) {
    if (!session.socket.write(PIECE.subarray(0, left))) await once(session.socket, 'drain')
  }
  session.send(behind)
}

const NOTHING = Buffer.alloc(0)
const NEWLINE = Buffer.from('\n')
const LENGTH = Buffer.from([0, 1, SIZE >>> 24, (SIZE >>> 16) & 0xff, (SIZE >>> 8) & 0xff, SIZE & 0xff])

test('DataRow: one message to the client', { timeout: TIMEOUT }, async () => {
  const session = await open()
  session.send(front.query(`select repeat('x', ${SIZE})`))
  const length = LENGTH.length + SIZE
  const long = (await skim(session)).find(({ tag }) => tag === 'D')
  expect(long).toEqual({ tag: 'D', length, sha256: hashOf(LENGTH, SIZE, NOTHING) })
  session.destroy()
  expect(residentPeak() - residentBefore).toBeLessThan(GROWTH_MAX)
})

test('COPY FROM STDIN: one message to the target', { timeout: TIMEOUT }, async () => {
  const session = await open()
  session.send(front.query('copy big from stdin'))
  await session.until('G')
  await sendLong(session, 'd', SIZE, NEWLINE)
  session.send(front.copyDone)
  const [complete] = await skim(session)
  expect(complete?.tag).toBe('C')
  expect((await server.query('select length(t) as n from big', 'shop'))[0]).toEqual({ n: SIZE })
  session.destroy()
  expect(residentPeak() - residentBefore).toBeLessThan(GROWTH_MAX)
  using book = installed.openBook()
  const isThere = (): boolean => JSON.stringify(book.read().sessions).includes(hashOf(NOTHING, SIZE, NEWLINE))
  await expect.poll(isThere, { message: 'its hash is in the book' }).toBe(true)
})

test('a statement of that size is refused and never collected', { timeout: TIMEOUT }, async () => {
  const session = await open()
  await sendLong(session, 'Q', SIZE, Buffer.from([0]))
  const [error, ready] = await session.until('Z')
  expect(error?.fields).toMatchObject({
    C: '54000',
    M: `a statement of ${SIZE + 1} bytes is too long to be recorded`,
  })
  expect(ready?.body.toString()).toBe('I')
  expect((await session.query('select 1')).map(({ tag }) => tag).join('')).toBe('TDCZ')
  session.destroy()
  expect(residentPeak() - residentBefore).toBeLessThan(GROWTH_MAX)
})
