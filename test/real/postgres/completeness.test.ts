/**
 * The server's own log is the witness: what random, pipelining, failing clients made it run is in the book, under
 * the text that ran, and nothing that the book calls done is missing there.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RelayEvent } from '../../../protocols/events.ts'
import { type DebianPostgres, startDebianPostgres } from '../../support/debian-postgres.ts'
import { random } from '../../support/fuzz.ts'
import { RandomClient } from '../../support/postgres-client.ts'
import { RawClient, TestGateway } from '../../support/postgres-gateway.ts'
import { bytes, front as f } from '../../support/postgres-messages.ts'

const SESSIONS = 40
const TURNS = 40

const TEXTS: readonly [string, ...string[]] = [
  'select 1',
  'select generate_series(1, 5)',
  'bad',
  'select 1/0',
  'begin',
  'commit',
  'rollback',
  'prepare s as select 11',
  'prepare x as select 12',
  'deallocate s',
  'deallocate all',
  'discard all',
  'declare p cursor for select 13',
  'close p',
  'copy number from stdin',
  'copy number to stdout',
]

let server: DebianPostgres

beforeAll(async () => {
  server = await startDebianPostgres({
    password: 'x',
    hba: 'host all all 127.0.0.1/32 trust\n',
    settings: { log_statement: 'all', log_min_messages: 'error' },
  })
}, 120_000)

afterAll(() => server[Symbol.dispose]())

interface Done {
  readonly text: string | undefined
  readonly outcome: string
}

/** Statements by their ends, in order; of unknown ones the text is missing. */
function statements(events: readonly RelayEvent[]): Done[] {
  const texts = new Map<number, string | undefined>()
  const done: Done[] = []
  for (const event of events) {
    if (event.type === 'begin' && (event.act === 'db.query' || event.act === 'db.execute')) {
      const sql = event.payloads.find(({ type }) => type === 'sql')
      texts.set(event.op, sql === undefined ? undefined : Buffer.from(sql.body).toString())
    }
    if (event.type === 'end' && texts.has(event.op))
      done.push({ text: texts.get(event.op), outcome: event.outcome })
  }
  return done
}

/** What the server says it ran for one process: `statement: …`, `execute NAME: …`, `execute fetch from …`. */
function logged(log: readonly string[][], pid: number): string[] {
  return log
    .filter((row) => row[3] === String(pid) && row[11] === 'LOG')
    .flatMap((row) => /^(?:statement|execute [^:]*): (.*)$/s.exec(row[13] ?? '')?.[1] ?? [])
}

/** Whether `part` is `whole` with things left out. An unknown text may be any. */
function subsequence(part: readonly (string | undefined)[], whole: readonly (string | undefined)[]): boolean {
  let at = 0
  for (const text of part) {
    while (at < whole.length && text !== undefined && whole[at] !== undefined && whole[at] !== text) at++
    if (at === whole.length) return false
    at++
  }
  return true
}

test('every statement that the server ran is in the book, in order, and every one that is done is in its log', async () => {
  await using gate = await TestGateway.start({
    target: { port: server.port, user: 'postgres', password: 'x' },
    password: 'p',
  })
  {
    await using setup = await RawClient.open(gate.port, 'p')
    setup.send(f.query('create table number (n int)'))
    await setup.until(1)
  }
  for (let seed = 1; seed <= SESSIONS; seed++) {
    const client = new RandomClient(random(seed), TEXTS)
    await using raw = await RawClient.open(gate.port, 'p')
    const { relay } = await gate.session(seed)
    for (let turn = 0; turn < TURNS; turn++) {
      raw.send(client.next())
      if (turn % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    raw.send(bytes(f.copyDone, f.sync, f.query('rollback')))
    await expect
      .poll(() => relay.idle, { message: `session ${seed} has come to rest`, interval: 2 })
      .toBe(true)
  }
  {
    await using last = await RawClient.open(gate.port, 'p')
    last.send(f.query("select 'the last'"))
    await last.until(1)
  }
  // The collector writes a moment later than the server answers, and in the order in which it was told.
  const isWhole = (): boolean => server.log().some((row) => row[13] === "statement: select 'the last'")
  await expect.poll(isWhole).toBe(true)
  expect(gate.problems).toEqual([])
  const log = server.log()
  let compared = 0
  for (const { events, ready } of gate.sessions.slice(1, -1)) {
    const ran = logged(log, ready.pid)
    const book = statements(events).filter(({ outcome }) => outcome !== 'skipped')
    const named = book.map(({ text }) => text)
    const done = book.filter(({ text, outcome }) => outcome === 'ok' && text !== '').map(({ text }) => text)
    expect(
      subsequence(ran, named),
      `in the log, not in the book:\n${ran.join('\n')}\n\n${named.join('\n')}`,
    ).toBe(true)
    expect(
      subsequence(done, ran),
      `in the book, not in the log:\n${done.join('\n')}\n\n${ran.join('\n')}`,
    ).toBe(true)
    compared += ran.length
  }
  expect(compared).toBeGreaterThan(200)
}, 120_000)
