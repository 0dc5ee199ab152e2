/**
 * Complete or refused (T-ALL-02): the server's own logs are the witness. Random conversations pass through the
 * gateway; what the server logged, the book has, and the reverse, each with the same outcome. Of those that the server
 * answers in the same way each time the client gets the same bytes as without a gateway.
 */
import { afterAll, beforeAll, expect } from 'vitest'
import { TestGateway } from '../../support/gateway.ts'
import type { BookReader, ReadBook, Session } from '../../support/gateway-book.ts'
import { packet } from '../../support/mysql-play.ts'
import { RawMysql } from '../../support/mysql-raw.ts'
import { differenceOf, holdRandomConversations, type Temper } from '../random-conversations.ts'
import { type Server, startServer } from './server.ts'
import { shopBehindGateway } from './shop.ts'
import { type Conversation, describeConversation, hold, makeConversation } from './traffic.ts'
import { compareWithLogs } from './witness.ts'

let server: Server
let gateway: TestGateway
let token: string
let reader: BookReader

beforeAll(async () => {
  server = await startServer()
  gateway = await TestGateway.start(shopBehindGateway(server))
  token = gateway.createToken('alice').secret
  reader = gateway.openBook()
  const setUp = await logIn(server.port, 'app', 'app secret')
  await setUp.ask(packet(0, 3, 'create table shop.n (i int, s text)'))
  setUp.destroy()
})
afterAll(async () => {
  reader[Symbol.dispose]()
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

function logIn(
  port: number,
  user: string,
  password: string,
  agreed: { flags: number; mariadb: number } = { flags: 0, mariadb: 0 },
): Promise<RawMysql> {
  return RawMysql.logIn({ port, user, password, database: 'shop', ...agreed })
}

/** `free` has no policies: what they refuse, the server itself would answer. */
const through = (temper: Temper, agreed?: Conversation): Promise<RawMysql> =>
  logIn(gateway.port(temper === 'tame' ? 'free' : 'mariadb'), 'alice', token, agreed)

interface Held {
  readonly conversation: Conversation
  /** Whether everything was. */
  readonly answered: boolean
  readonly answer: Buffer
  /** The same, said to the server itself. */
  readonly direct: Buffer | undefined
}

async function killOf(raw: RawMysql, words: string, right: boolean): Promise<void> {
  const other = await through('wild')
  await other.ask(packet(0, 3, `kill ${words}${right ? raw.threadId : raw.threadId + 1_000_000}`))
  other.send(packet(0, 1))
  await other.closed
}

async function holdBoth(conversation: Conversation, temper: Temper): Promise<Held> {
  const raw = await through(temper, conversation)
  const answered = await hold(raw, conversation, (words, right) => killOf(raw, words, right))
  if (temper === 'wild') return { conversation, answered, answer: raw.received, direct: undefined }
  const direct = await logIn(server.port, 'app', 'app secret', conversation)
  await hold(direct, conversation, () => Promise.resolve())
  return { conversation, answered, answer: raw.received, direct: direct.received }
}

/** Sessions of the book that are not looked at yet, by the seed that their first statement names. */
async function sessionsOf(seeds: readonly number[]): Promise<Map<number, Session>> {
  const tagged = (session: Session): number =>
    Number(/\/\*(\d+)\./.exec(session.operations[0]?.text ?? '')?.[1])
  const isOver = ({ sessions }: ReadBook): boolean =>
    sessions.every(({ why }) => why !== undefined) &&
    sessions.filter((session) => seeds.includes(tagged(session))).length >= seeds.length
  const book = await gateway.readWhen(isOver, reader)
  reader.forget()
  return new Map(book.sessions.map((session) => [tagged(session), session]))
}

async function judge(held: readonly Held[]): Promise<Map<Conversation, string[]>> {
  const sessions = await sessionsOf(held.map(({ conversation }) => conversation.seed))
  const findings = new Map<Conversation, string[]>()
  for (const { conversation, answered, answer, direct } of held) {
    const session = sessions.get(conversation.seed)
    const thread = Number(session?.operations[0]?.meta['pid'])
    const audited = await server.outcomesOf(thread)
    const general = server.statementsOf(thread)
    const found =
      session === undefined ? ['the book has no such session'] : compareWithLogs(session, general, audited)
    if (!answered) found.push('an answer has not come')
    if (direct !== undefined) found.push(...differenceOf(answer, direct))
    if (found.length > 0) {
      const told = session?.operations.map((one) => `  ${JSON.stringify(one)}`) ?? []
      const logs = [...general, ...audited.map(({ text, code }) => `${code}: ${text}`)]
      findings.set(conversation, [...found, ...logs.map((one) => `  ${one}`), ...told])
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
