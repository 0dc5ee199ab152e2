/**
 * Complete or refused: the server's own logs are the witness. Random conversations pass through the gateway; what the
 * server logged, the book has, and the reverse, each with the same outcome. Of those that the server answers in the
 * same way each time the client gets the same bytes as without a gateway.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../../support/gateway.ts'
import type { BookReader, ReadBook, Session } from '../../support/gateway-book.ts'
import { packet } from '../../support/mysql-play.ts'
import { RawMysql } from '../../support/mysql-raw.ts'
import { type Server, startServer } from './server.ts'
import { shopBehindGateway } from './shop.ts'
import { type Conversation, describeConversation, hold, makeConversation, type Temper } from './traffic.ts'
import { compareWithLogs } from './witness.ts'

const isSoak = process.env['GATEBOOK_SOAK'] === '1'
/** Another run has other conversations; GATEBOOK_SEED repeats one. */
const SEED = Number(process.env['GATEBOOK_SEED'] ?? Date.now() % 1_000_000_000)
/** GATEBOOK_SESSIONS bounds a soak. */
const SESSIONS = Number(process.env['GATEBOOK_SESSIONS'] ?? 6000)
const COUNTS: Readonly<Record<Temper, number>> = isSoak
  ? { wild: Math.ceil((SESSIONS * 2) / 3), tame: Math.ceil(SESSIONS / 3) }
  : { wild: 160, tame: 80 }
const AT_ONCE = 8
const BATCH = 80
const SHRINKING_MS_MAX = 30_000

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
    if (direct !== undefined && !answer.equals(direct)) found.push(differenceOf(answer, direct))
    if (found.length > 0) {
      const told = session?.operations.map((one) => `  ${JSON.stringify(one)}`) ?? []
      const logs = [...general, ...audited.map(({ text, code }) => `${code}: ${text}`)]
      findings.set(conversation, [...found, ...logs.map((one) => `  ${one}`), ...told])
    }
  }
  return findings
}

function differenceOf(through: Buffer, direct: Buffer): string {
  const at = through.findIndex((byte, i) => byte !== direct[i])
  const around = (bytes: Buffer): string =>
    JSON.stringify(bytes.toString('latin1', Math.max(0, at - 80), at + 160))
  return `at ${at} the client gets ${around(through)} instead of ${around(direct)}`
}

async function holdAll(conversations: readonly Conversation[], temper: Temper): Promise<Held[]> {
  const held: Held[] = []
  const left = [...conversations]
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift())
      held.push(await holdBoth(next, temper))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return held
}

/** What is found, whatever it is found of: to tell a finding from another that comes of what was left out. */
function kindOf(found: readonly string[] | undefined): string {
  return (found?.[0] ?? '').replace(/\d+/g, '').slice(0, 30)
}

/** Leaves actions out as long as the same is still found. */
async function shrink(conversation: Conversation, kind: string, temper: Temper): Promise<Conversation> {
  const until = Date.now() + SHRINKING_MS_MAX
  let smallest = conversation
  for (let size = smallest.actions.length >> 1; size >= 1 && Date.now() < until; ) {
    let shrunk = false
    for (let at = 1; at < smallest.actions.length && Date.now() < until; at += size) {
      const actions = [...smallest.actions.slice(0, at), ...smallest.actions.slice(at + size)]
      const smaller = { ...smallest, actions }
      const findings = await judge([await holdBoth(smaller, temper)])
      if (kindOf(findings.get(smaller)) !== kind) continue
      smallest = smaller
      shrunk = true
      break
    }
    if (!shrunk) size >>= 1
  }
  return smallest
}

async function complain(
  conversation: Conversation,
  found: readonly string[],
  temper: Temper,
): Promise<string> {
  const smallest = await shrink(conversation, kindOf(found), temper)
  const again =
    smallest === conversation ? found : (await judge([await holdBoth(smallest, temper)])).get(smallest)
  return [`GATEBOOK_SEED=${SEED}: ${temper}, ${describeConversation(smallest)}`, ...(again ?? found)].join(
    '\n',
  )
}

describe('random conversations', () => {
  test.each(['tame', 'wild'] as const)(
    '%s: the book and the server’s logs say the same',
    async (temper) => {
      const count = COUNTS[temper]
      for (let at = 0; at < count; at += BATCH) {
        const seeds = Array.from({ length: Math.min(BATCH, count - at) }, (_, i) => SEED + at + i)
        const conversations = seeds.map((seed) => makeConversation(seed, temper))
        const findings = await judge(await holdAll(conversations, temper))
        for (const [conversation, found] of findings) expect.fail(await complain(conversation, found, temper))
      }
      expect(gateway.verify().openSessions.length, 'the gateway’s own session').toBe(1)
    },
    isSoak ? 4 * 3600_000 : 120_000,
  )
})
