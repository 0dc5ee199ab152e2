/**
 * The journal's disk fails on command, at each of its steps, before or after it has had its effect: the server's log
 * never holds a statement that the book does not. Where the operator wants work to go on, the book says what it lacks.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JournalDisk } from '../../../src/book/journal.ts'
import { PlacedFile } from '../../../src/system/durable.ts'
import { front, logIn, type RawSession } from '../../support/clients-raw.ts'
import { TestGateway } from '../../support/gateway.ts'
import { as, openShop, type Shop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'
import { compareWithLog } from './witness.ts'

let server: PostgresServer
let shop: Shop

beforeAll(async () => {
  server = await startServer()
  shop = await openShop(server)
})
afterAll(() => server[Symbol.asyncDispose]())

interface Fault {
  readonly call: 'write' | 'sync'
  /** The n-th call since it was armed, from 1. */
  readonly at: number
  readonly when: 'before' | 'half-way' | 'after'
}

type Calls = Record<Fault['call'], number>

/** Fails at the fault, and from then on. Counts its calls from the moment that `arm` is called. */
class FailingDisk implements JournalDisk, Disposable {
  readonly #file: PlacedFile
  readonly #fault: Fault | undefined
  readonly calls: Calls = { write: 0, sync: 0 }
  #armed = false
  #failed = false

  constructor(path: string, fault: Fault | undefined) {
    this.#file = new PlacedFile(path)
    this.#fault = fault
  }

  arm(): void {
    this.#armed = true
  }

  get size(): number {
    return this.#file.size
  }

  write(bytes: Uint8Array, at: number): void {
    const when = this.#meet('write')
    if (when === 'half-way') this.#file.write(bytes.subarray(0, bytes.length >> 1), at)
    if (when === undefined || when === 'after') this.#file.write(bytes, at)
    if (when !== undefined) throw new Error('EIO, as the test wants it')
  }

  sync(done: (error: Error | null) => void): void {
    const when = this.#meet('sync')
    const failed = (): void => done(new Error('EIO, as the test wants it'))
    if (when === undefined) this.#file.sync(done)
    else if (when === 'after') this.#file.sync(failed)
    else setImmediate(failed)
  }

  read(into: Uint8Array, at: number): void {
    this.#file.read(into, at)
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]()
  }

  #meet(call: Fault['call']): Fault['when'] | undefined {
    if (this.#failed) return 'before'
    if (!this.#armed) return undefined
    this.calls[call]++
    if (this.#fault?.call !== call || this.#fault.at !== this.calls[call]) return undefined
    this.#failed = true
    return this.#fault.when
  }
}

/** One turn each: a statement, a pipeline with parameters, a COPY, a failure in a transaction. */
const TURNS: readonly { readonly send: readonly Uint8Array[]; readonly readies: number }[] = [
  { send: [front.query('select 1 /* first */')], readies: 1 },
  {
    send: [
      ...[
        front.parse('', 'select $1::text /* bound */', [25]),
        front.bind('', '', ['value']),
        front.execute(),
      ],
      ...[front.parse('s', 'select 2 /* named */'), front.bind('', 's'), front.execute(), front.sync],
    ],
    readies: 1,
  },
  { send: [front.query('create temp table t (n int); insert into t values (1) /* several */')], readies: 1 },
  {
    send: [front.query('copy t from stdin /* copied */'), front.copyData('7\n'), front.copyDone],
    readies: 1,
  },
  {
    send: [front.query('begin'), front.query('select 1 / 0 /* failing */'), front.query('rollback')],
    readies: 3,
  },
]

/** Says what it can until it is cut off; gives how many turns were answered. */
async function talk(raw: RawSession): Promise<number> {
  let answered = 0
  for (const { send, readies } of TURNS) {
    raw.send(...send)
    const told = await raw.until('Z', readies)
    if (told.filter(({ tag }) => tag === 'Z').length < readies) break
    answered++
  }
  return answered
}

interface Held {
  readonly calls: Calls
  readonly answered: number
  readonly findings: readonly string[]
}

/** Talks over a gateway whose disk fails, ends that, starts another on what it left, and asks both witnesses. */
async function hold(mode: string, fault?: Fault): Promise<Held> {
  const changes = [['durability: standard', `durability: ${mode}`]] as const
  let disk: FailingDisk | undefined
  const openJournal = (path: string): FailingDisk => {
    disk = new FailingDisk(path, fault)
    return disk
  }
  const first = await TestGateway.start({ ...shop, changes, openJournal })
  const raw = await logIn({ ...as('alice~admin', first.port()), database: 'shop' })
  const { localPort } = raw.socket
  disk?.arm()
  const answered = await talk(raw)
  if (fault === undefined) raw.send(front.terminate)
  else raw.destroy()
  const log = await server.logOf(raw.pid)
  // It cannot end in order, having failed; that it says so is another test's.
  await first.stop().catch(() => {})
  await using second = await TestGateway.start({ ...shop, changes, folder: first.folder })
  const { sessions } = await second.finish()
  const session = sessions.find(({ who }) => who['port'] === localPort)
  const findings = session === undefined ? ['the book has no such session'] : compareWithLog(session, log)
  return { calls: disk?.calls ?? { write: 0, sync: 0 }, answered, findings }
}

describe.each([
  ['standard', 0],
  ['strict', 1],
])('%s', (mode, offset) => {
  test('nothing reaches the target unrecorded, whichever step fails', { timeout: 240_000 }, async () => {
    const whole = await hold(mode)
    expect(whole).toMatchObject({ answered: TURNS.length, findings: [] })
    const faults: Fault[] = []
    for (let at = 1; at <= whole.calls.write; at++)
      for (const when of ['before', 'half-way', 'after'] as const) faults.push({ call: 'write', at, when })
    for (let at = 1; at <= whole.calls.sync; at++)
      for (const when of ['before', 'after'] as const) faults.push({ call: 'sync', at, when })
    expect(faults.length).toBeGreaterThan(20)
    const found: string[] = []
    for (const fault of pickOf(faults, offset)) {
      const { findings, answered } = await hold(mode, fault)
      found.push(...findings.map((finding) => `${JSON.stringify(fault)}: ${finding}`))
      // Only the last word of the session may fail unnoticed.
      if (answered > TURNS.length) found.push(`${JSON.stringify(fault)}: nobody noticed`)
    }
    expect(found).toEqual([])
  })
})

/** All of them in the soak; else every third, other ones in each mode. */
function pickOf(faults: readonly Fault[], offset: number): readonly Fault[] {
  return process.env['GATEBOOK_SOAK'] === '1' ? faults : faults.filter((_, i) => i % 3 === offset)
}

test('on_failure: continue: work goes on, newcomers too, and the book says how many statements it lacks', async () => {
  const changes = [['durability: standard', 'durability: standard\n  on_failure: continue']] as const
  let disk: FailingDisk | undefined
  const openJournal = (path: string): FailingDisk => {
    disk = new FailingDisk(path, { call: 'write', at: 1, when: 'before' })
    return disk
  }
  const first = await TestGateway.start({ ...shop, changes, openJournal })
  const raw = await logIn({ ...as('alice~admin', first.port()), database: 'shop' })
  expect((await raw.query('select 1 /* recorded */')).at(-1)?.tag).toBe('Z')
  disk?.arm()
  expect(await talk(raw)).toBe(TURNS.length)
  const newcomer = await logIn({ ...as('alice~admin', first.port()), database: 'shop' })
  expect((await newcomer.query('select 1 /* new */')).at(-1)?.tag).toBe('Z')
  for (const one of [raw, newcomer]) one.send(front.terminate)
  expect(first.log.join('')).toContain('cannot record')
  await first.stop().catch(() => {})
  await using second = await TestGateway.start({ ...shop, folder: first.folder })
  const { sessions } = await second.finish()
  const { leaves } = second.verify({ closed: true })
  const gaps = leaves.filter(({ kind }) => kind === 'gap')
  // Those of TURNS and the newcomer's: five statements, two each prepared and bound, and the data of the COPY.
  expect(gaps.map(({ ops, tgt, why }) => ({ ops, tgt, why }))).toEqual([
    { ops: 12, tgt: 'admin', why: 'store' },
  ])
  const recorded = sessions.flatMap(({ operations }) => operations.map(({ text, out }) => [text, out]))
  expect(recorded).toEqual([['select 1 /* recorded */', 'ok']])
})
