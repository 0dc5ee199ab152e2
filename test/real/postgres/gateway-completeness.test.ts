/**
 * Complete or refused (T-ALL-02): the server's own log is the witness. Random conversations pass through the gateway;
 * what the server logged, the book has, and the reverse. Of those that the server answers in the same way each time
 * the client gets the same bytes as without a gateway.
 */
import { afterAll, beforeAll, expect } from 'vitest'
import { front, logIn, openRaw, type RawSession } from '../../support/clients-raw.ts'
import { TestGateway } from '../../support/gateway.ts'
import type { BookReader, ReadBook, Session } from '../../support/gateway-book.ts'
import { as, openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, SERVER_PASSWORD, startServer } from '../../support/postgres-server.ts'
import { differenceOf, holdRandomConversations, type Temper } from '../random-conversations.ts'
import { type Conversation, describeConversation, hold, makeConversation } from './traffic.ts'
import { compareWithLog } from './witness.ts'

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

interface Held {
  readonly conversation: Conversation
  readonly pid: number
  readonly answer: Buffer
  /** The same, said to the server itself. */
  readonly direct: Buffer | undefined
}

async function cancelOf(raw: RawSession, port: number, right: boolean): Promise<void> {
  const connection = await openRaw({ port })
  const secret = Buffer.from(raw.secret)
  if (!right) secret[0] = (secret[0] ?? 0) ^ 1
  connection.send(front.cancelRequest(raw.pid, secret))
  await connection.closed
}

async function holdBoth(conversation: Conversation, temper: Temper): Promise<Held> {
  const port = gateway.port()
  const raw = await logIn({ ...as('alice~admin', port), database: 'shop' })
  await hold(raw, conversation, (right) => cancelOf(raw, port, right))
  if (temper === 'wild') return { conversation, pid: raw.pid, answer: raw.received, direct: undefined }
  const past = { port: server.port, user: 'postgres', password: SERVER_PASSWORD, database: 'shop' }
  const direct = await logIn(past)
  await hold(direct, conversation, () => Promise.resolve())
  const [answer, expected] = [raw.received, direct.received].map(withoutTables)
  return { conversation, pid: raw.pid, answer: answer ?? Buffer.alloc(0), direct: expected }
}

/** Each session has a temporary table of its own, whose number stands in the descriptions of rows. */
function withoutTables(received: Buffer): Buffer {
  const bytes = Buffer.from(received)
  for (let at = 0; at < bytes.length; at += 1 + bytes.readUInt32BE(at + 1)) {
    if (bytes[at] !== 'T'.charCodeAt(0)) continue
    let field = at + 7
    for (let left = bytes.readUInt16BE(at + 5); left > 0; left--) {
      const numbers = bytes.indexOf(0, field) + 1
      bytes.fill(0, numbers, numbers + 4)
      field = numbers + 18
    }
  }
  return bytes
}

/** Sessions of the book that are not looked at yet, by the process id that their operations name. */
async function sessionsOf(pids: readonly number[]): Promise<Map<number, Session>> {
  const found = new Map<number, Session>()
  const isOver = ({ sessions }: ReadBook): boolean =>
    sessions.length >= pids.length && sessions.every(({ why }) => why !== undefined)
  const book = await gateway.readWhen(isOver, reader)
  reader.forget()
  for (const session of book.sessions) {
    const pid = session.operations[0]?.meta['pid']
    if (typeof pid === 'number' && pids.includes(pid)) found.set(pid, session)
  }
  return found
}

async function judge(held: readonly Held[]): Promise<Map<Conversation, string[]>> {
  const sessions = await sessionsOf(held.map(({ pid }) => pid))
  const findings = new Map<Conversation, string[]>()
  for (const { conversation, pid, answer, direct } of held) {
    const session = sessions.get(pid)
    const log = await server.logOf(pid)
    const found = session === undefined ? ['the book has no such session'] : compareWithLog(session, log)
    if (direct !== undefined) found.push(...differenceOf(answer, direct))
    if (found.length > 0) {
      const told = session?.operations.map((one) => `  ${JSON.stringify(one)}`) ?? []
      findings.set(conversation, [...found, ...log.map((one) => `  ${JSON.stringify(one)}`), ...told])
    }
  }
  return findings
}

holdRandomConversations<Conversation, Held>({
  make: makeConversation,
  describe: describeConversation,
  hold: holdBoth,
  judge,
  verify: () => expect(gateway.verify().openSessions.length, 'the gateway’s own session').toBe(1),
})
