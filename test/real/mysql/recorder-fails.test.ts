/**
 * The journal's disk fails at each of its writes and syncs in turn, before the effect and after it, while a session
 * runs. Whatever the server has run by then is in the book that the next start finds, and the client was told no
 * outcome that is not.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JournalDisk } from '../../../src/book/journal.ts'
import { PlacedFile } from '../../../src/system/durable.ts'
import { execute, prepare, query } from '../../protocols/mysql/relay-setting.ts'
import { TestGateway } from '../../support/gateway.ts'
import type { Operation } from '../../support/gateway-book.ts'
import { packet } from '../../support/mysql-play.ts'
import { RawMysql } from '../../support/mysql-raw.ts'
import { type Server, startServer } from './server.ts'
import { shopBehindGateway } from './shop.ts'

type Failing = 'write' | 'write, after its effect' | 'sync'

/** More than a session of this test needs: the round in which nothing fails any more ends the test. */
const ROUNDS_MAX = 60
/** The number of the error by which the gateway says that it cannot record. */
const CANNOT_RECORD = 1105
const ANSWERS_MS_MAX = 20_000

let server: Server

beforeAll(async () => {
  server = await startServer()
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

/** Fails for good once `failing` has been asked for so many times since `arm`. */
class FailingDisk implements JournalDisk, Disposable {
  readonly #file: PlacedFile
  readonly #failing: Failing
  #left = Number.POSITIVE_INFINITY

  constructor(path: string, failing: Failing) {
    this.#file = new PlacedFile(path)
    this.#failing = failing
  }

  get size(): number {
    return this.#file.size
  }

  get failed(): boolean {
    return this.#left < 0
  }

  arm(after: number): void {
    this.#left = after
  }

  write(bytes: Uint8Array, at: number): void {
    const fails = this.#failing !== 'sync' && --this.#left < 0
    if (!fails || this.#failing === 'write, after its effect') this.#file.write(bytes, at)
    if (fails) throw new Error('EIO')
  }

  read(into: Uint8Array, at: number): void {
    this.#file.read(into, at)
  }

  sync(done: (error: Error | null) => void): void {
    if (this.#failing === 'sync' && --this.#left < 0) setImmediate(done, new Error('EIO'))
    else this.#file.sync(done)
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]()
  }
}

interface Made {
  readonly folder: string
  readonly token: string
}

interface Ran {
  readonly failed: boolean
  /** Texts of which the client was told how they ended. */
  readonly told: readonly string[]
}

/** Commands one after the other, as far as they are answered. */
async function runSession(gateway: TestGateway, token: string, tag: string): Promise<readonly string[]> {
  const told: string[] = []
  const login = { port: gateway.port('mariadb'), user: 'alice', password: token, database: 'shop' }
  const raw = await RawMysql.logIn(login).catch(() => undefined)
  if (raw === undefined) return told
  raw.socket.setTimeout(ANSWERS_MS_MAX, () => raw.destroy())
  // A table of its own: one that another session replaces meanwhile makes the server prepare, and log, again.
  const table = `\`failing ${tag}\``
  const create = `create or replace table ${table} (i int) /*${tag}*/`
  const insert = `insert into ${table} values (1) /*${tag}*/`
  const prepared = `insert into ${table} values (?) /*${tag}*/`
  const missing = `select * from nowhere /*${tag}*/`
  const bound = [0, 1, '\x03\x00', Uint8Array.of(7, 0, 0, 0)] as const
  const steps: readonly (readonly [text: string, command: Uint8Array, answers: number])[] = [
    [create, query(create), 1],
    [insert, query(insert), 1],
    [prepared, prepare(prepared), 3],
    [prepared, execute(0xffff_ffff, ...bound), 1],
    [`do 1; do 2 /*${tag}*/`, query(`do 1; do 2 /*${tag}*/`), 2],
    [missing, query(missing), 1],
  ]
  for (const [text, command, answers] of steps) {
    raw.send(command)
    let whole = true
    for (let i = 0; i < answers; i++) {
      const answer = await raw.packet()
      whole &&= answer !== undefined && !(answer[0] === 0xff && answer.readUInt16LE(1) === CANNOT_RECORD)
    }
    if (!whole) break
    told.push(text)
  }
  raw.send(packet(0, 1))
  await raw.closed
  return told
}

async function runRound({ folder, token }: Made, failing: Failing, after: number, tag: string): Promise<Ran> {
  let disk: FailingDisk | undefined
  const gateway = await TestGateway.start({
    ...shopBehindGateway(server),
    folder,
    openJournal: (path) => {
      disk = new FailingDisk(path, failing)
      return disk
    },
  })
  disk?.arm(after)
  const told = await runSession(gateway, token, tag)
  // One whose recorder has failed says so once more.
  const problem = await gateway.stop().catch((error: unknown) => error)
  const failed = disk?.failed === true
  if (problem !== undefined && !failed) throw problem
  return { failed, told }
}

/** What the book says of one round, once it is there whole, by a gateway that begins anew on it. */
async function operationsOf(folder: string, tag: string): Promise<readonly Operation[]> {
  const gateway = await TestGateway.start({ ...shopBehindGateway(server), folder })
  await gateway.stop()
  gateway.verify()
  return gateway
    .read()
    .sessions.flatMap(({ operations }) => operations.filter(({ text }) => text?.includes(tag)))
}

/** Rounds until nothing fails any more; gives how many failed. */
async function failEverywhere(failing: Failing): Promise<number> {
  const made = await TestGateway.start(shopBehindGateway(server))
  const token = made.createToken('alice').secret
  await made.stop()
  for (let after = 0; after < ROUNDS_MAX; after++) {
    const tag = `${failing}.${after}`
    const { failed, told } = await runRound({ folder: made.folder, token }, failing, after, tag)
    const operations = await operationsOf(made.folder, tag)
    const ran = readFileSync(join(server.folder, 'general.log'), 'utf8')
      .split('\n')
      .filter((line) => line.includes(`/*${tag}*/`))
    expect(operations.length, `${tag}: the server ran ${ran.join('\n')}`).toBeGreaterThanOrEqual(ran.length)
    const done = operations.filter(({ out }) => out === 'ok' || out === 'error')
    expect(done.map(({ text }) => text).slice(0, told.length), tag).toEqual(told)
    if (failed) continue
    expect(told.length, 'where nothing fails').toBe(6)
    await made[Symbol.asyncDispose]()
    return after
  }
  throw new Error(`it still fails after ${ROUNDS_MAX} rounds`)
}

test('nothing runs unrecorded, and nothing unrecorded is told, wherever the disk fails', async () => {
  const failures = await Promise.all(
    (['write', 'write, after its effect', 'sync'] as const).map((failing) => failEverywhere(failing)),
  )
  for (const count of failures) expect(count).toBeGreaterThan(4)
}, 180_000)
