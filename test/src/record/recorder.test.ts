import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, test, vi } from 'vitest'
import { GATEWAY_SESSION_MS, type Recorder, RecorderClosedError } from '../../../src/record/recorder.ts'
import type { RecordedSession } from '../../../src/record/session.ts'
import { ANSWER_MS_MAX, RecorderThread } from '../../../src/record/thread-client.ts'
import { systemSchedule } from '../../../src/system/clock.ts'
import { threadOptions } from '../../support/books.ts'
import { checkBook } from '../../support/check-book.ts'
import { BALLAST_BYTES, newBook, startRecorder, text } from '../../support/recorder.ts'
import { HandSchedule } from '../../support/schedule.ts'

const person = { act: 'pg' as const, mode: 'standard' as const, sub: 'u_1', target: 'orders' }
const suspended = {
  warnShare: 0,
  closeShare: 0,
  closeBytes: Number.MAX_SAFE_INTEGER,
  ballastBytes: BALLAST_BYTES,
}

function statement(session: RecordedSession, sql = 'SELECT 1'): number {
  const op = session.nextOp
  session.record({ type: 'begin', op, act: 'db.query', payloads: [{ type: 'sql', body: text(sql) }] })
  return session.record({ type: 'end', op, outcome: 'ok' })
}

/** Turns of the event loop as they come, long waits by hand; the thread has all the time it needs to answer. */
function halfByHand(): {
  schedule: { soon: typeof systemSchedule.soon; after: HandSchedule['after'] }
  hand: HandSchedule
} {
  const hand = new HandSchedule()
  return {
    hand,
    schedule: {
      soon: systemSchedule.soon,
      after: (ms, run) => (ms === ANSWER_MS_MAX ? new DisposableStack() : hand.after(ms, run)),
    },
  }
}

const kindsOf = (directory: string): string[] => checkBook(directory).leaves.map(({ kind }) => kind)

/** Another writer: the next commit of the recorder fails. */
function breakStore(directory: string): void {
  const db = new Sqlite(join(directory, 'book.db'))
  // One statement: between two the recorder may commit.
  db.prepare(
    'INSERT INTO bundle(first, count, codec, crc, leaves) SELECT max(first + count), 1, 0, 0, ? FROM bundle',
  ).run(Buffer.alloc(1))
  db.close()
}

async function failed(recorder: Recorder): Promise<void> {
  while (recorder.failure === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe('a recorder', () => {
  test('opens the gateway session, takes what sessions record, and stops clean', async () => {
    const directory = newBook()
    const { recorder, failures } = await startRecorder(directory)
    expect(recorder.opened).toMatchObject({ clean: true, recovered: 0, closedAsUnknown: 0 })
    const session = await recorder.open({ ...person, who: text('{"addr":"192.0.2.7"}') })
    expect(recorder.isOpen(session.sid)).toBe(true)
    const mark = statement(session)
    await recorder.wait(mark, 'durable')
    expect(recorder.reached(mark, 'durable')).toBe(true)
    const { size } = await recorder.committed(mark)
    expect(
      checkBook(directory)
        .leaves.slice(0, size)
        .map(({ kind }) => kind),
    ).toContain('op')
    const open = await recorder.open(person)
    open.record({ type: 'begin', op: 1, act: 'db.query', payloads: [] })
    await recorder.stop()

    const { leaves } = checkBook(directory, { closed: true })
    expect(leaves.map(({ kind, act, why, out }) => [kind, act ?? why ?? out])).toEqual([
      ['boot', undefined],
      ['session.open', 'gateway'],
      ['session.open', 'pg'],
      ['op', 'db.query'],
      ['session.open', 'pg'],
      ['op', 'db.query'],
      ['session.close', 'stop'],
      ['session.close', 'stop'],
      ['session.close', 'stop'],
    ])
    expect([recorder.isOpen(session.sid), failures]).toEqual([false, []])
    await expect(recorder.open(person)).rejects.toThrow(RecorderClosedError)
    await expect(recorder.status()).rejects.toThrow('the recorder has stopped')

    const again = await startRecorder(directory)
    expect(again.recorder.opened).toMatchObject({ clean: true, recovered: 0 })
    await again.recorder.stop()
  })

  test('says why it cannot start', async () => {
    await expect(startRecorder('/nonexistent/book')).rejects.toMatchObject({
      name: 'StoreError',
      code: 'missing',
    })
    const directory = newBook()
    const { recorder } = await startRecorder(directory)
    await expect(startRecorder(directory)).rejects.toMatchObject({ code: 'locked' })
    await recorder.stop()
  })

  test('has the key of a session on disk before the session begins, and begins none without', async () => {
    const directory = newBook()
    const { recorder } = await startRecorder(directory)
    const keys = new Sqlite(join(directory, 'keys.db'))
    const session = await recorder.open(person)
    expect(keys.prepare('SELECT closed FROM data_key WHERE sid = ?').pluck().get(session.sid)).toBe(0)
    // What nobody has waited for may go with the store that fails next.
    await recorder.wait(session.append({ kind: 'alert', rule: 'r', sev: 'info' }), 'written')
    keys.exec(
      "CREATE TRIGGER broken BEFORE INSERT ON data_key BEGIN SELECT RAISE(ABORT, 'no more keys'); END",
    )
    keys.close()
    await expect(recorder.open(person)).rejects.toThrow('no more keys')
    await recorder.stop()
    const again = new Sqlite(join(directory, 'keys.db'))
    again.exec('DROP TRIGGER broken')
    again.close()
    await (await startRecorder(directory)).recorder.stop()
    expect(kindsOf(directory).filter((kind) => kind === 'session.open')).toHaveLength(3)
  })

  test('renews the gateway session every day, also while the disk is nearly full', async () => {
    for (const options of [{}, { disk: suspended }]) {
      const directory = newBook()
      const { hand, schedule } = halfByHand()
      const { recorder, failures } = await startRecorder(directory, options, { schedule })
      const first = recorder.gateway
      hand.pass(GATEWAY_SESSION_MS)
      while (recorder.gateway === first) await new Promise((resolve) => setTimeout(resolve, 5))
      expect([first.closed, recorder.gateway.closed, failures]).toEqual([true, false, []])
      await recorder.stop()
      const { leaves } = checkBook(directory, { closed: true })
      expect(leaves.filter(({ kind }) => kind === 'session.close').map(({ why }) => why)).toEqual([
        'renew',
        'stop',
      ])
    }
  })

  test('cuts a stream’s chunk a second after its first frame, without another event', async () => {
    const directory = newBook()
    const { hand, schedule } = halfByHand()
    const clock = { now: 1_800_000_000_000_000 }
    const { recorder } = await startRecorder(directory, {}, { schedule, now: () => clock.now })
    const session = await recorder.open(person)
    session.record({ type: 'begin', op: 1, act: 'ssh.shell', payloads: [] })
    session.record({ type: 'data', op: 1, stream: 'tty', frame: 'o', bytes: text('$ ') })
    const chunks = async (): Promise<number> => {
      await recorder.committed(session.append({ kind: 'alert', rule: 'r', sev: 'info' }))
      return kindsOf(directory).filter((kind) => kind === 'data').length
    }
    for (let ms = 0; ms < 1000; ms += 250) {
      expect(await chunks()).toBe(0)
      clock.now += 250_000
      hand.pass(250)
    }
    expect(await chunks()).toBe(1)
    hand.pass(10_000)
    expect(await chunks(), 'and once').toBe(1)
    await recorder.stop()
  })

  test('says that it is behind, and when it is so no longer', async () => {
    const directory = newBook()
    const { recorder } = await startRecorder(directory)
    const session = await recorder.open(person)
    expect(recorder.congested).toBe(false)
    // In one turn: more than a quarter of the journal, which the thread cannot have drained.
    const body = randomBytes(300_000)
    session.record({ type: 'begin', op: 1, act: 'db.query', payloads: [{ type: 'sql', body }] })
    await recorder.wait(session.record({ type: 'end', op: 1, outcome: 'ok' }), 'written')
    expect(recorder.congested).toBe(true)
    await recorder.relieved()
    expect(recorder.congested).toBe(false)
    await recorder.stop()
  })
})

describe('on a nearly full disk', () => {
  test('it starts, refuses new sessions with the reason, and goes on with those that run', async () => {
    const directory = newBook()
    const { recorder, states } = await startRecorder(directory, { disk: suspended })
    while (recorder.state !== 'suspended') await new Promise((resolve) => setTimeout(resolve, 5))
    expect(states).toEqual(['suspended'])
    await expect(recorder.open(person)).rejects.toThrow("the book's disk is nearly full")
    await recorder.committed(recorder.gateway.append({ kind: 'alert', rule: 'disk', sev: 'high' }))
    await recorder.stop()
    expect(kindsOf(directory).filter((kind) => kind === 'suspend')).toHaveLength(1)
  })
})

describe('a thread that does not answer', () => {
  test('has failed when its time is over: who waits is told, and nobody waits for its end', async () => {
    const directory = newBook()
    const hand = new HandSchedule()
    const { thread } = await RecorderThread.start(threadOptions(directory), hand)
    const failures: Error[] = []
    thread.listen({ onState: () => {}, onFailure: (error) => failures.push(error) })
    await vi.waitFor(() => expect(hand.now + hand.timers).toBe(1), 20_000)
    await thread.ask({ type: 'status' })
    hand.pass(10_000)
    const asked = expect(thread.ask({ type: 'status' })).rejects.toMatchObject({ code: 'stalled' })
    hand.pass(ANSWER_MS_MAX - 1)
    expect(failures).toEqual([])
    hand.pass(1)
    expect(failures.map(({ message }) => message)).toEqual(["the book's disk has not answered for 60 s"])
    await asked
    await thread.stop()
    expect(hand.timers).toBe(0)
  })

  test('is asked again and again, and lives as long as it answers', async () => {
    const hand = new HandSchedule()
    const { thread } = await RecorderThread.start(threadOptions(newBook()), hand)
    const failures: Error[] = []
    thread.listen({ onState: () => {}, onFailure: (error) => failures.push(error) })
    for (let k = 0; k < 10; k++) {
      // Asked after it, so answered after it.
      await thread.ask({ type: 'status' })
      hand.pass(10_000)
    }
    await thread.ask({ type: 'status' })
    expect([failures, hand.timers]).toEqual([[], 1])
    await thread.stop()
  })
})

describe('when the store has failed', () => {
  test('nothing more is acknowledged, everybody is told once, and the process can end', async () => {
    const directory = newBook()
    const { recorder, failures } = await startRecorder(directory)
    const session = await recorder.open(person)
    await recorder.committed(statement(session))
    breakStore(directory)
    const committed = expect(recorder.committed(statement(session))).rejects.toThrow(
      'the book is no longer at',
    )
    await failed(recorder)
    await committed
    expect(failures).toEqual([expect.objectContaining({ name: 'StoreError' })])
    expect(recorder.state).toBe('failed')
    expect(() => statement(session)).toThrow('the book is no longer at')
    await expect(recorder.open(person)).rejects.toThrow('the book cannot be written')
    await expect(recorder.status()).rejects.toThrow('the book is no longer at')
    expect(() => session.close('client')).toThrow('the book is no longer at')
    await recorder.relieved()
    await recorder.stop()
    expect(failures).toHaveLength(1)
  })

  test('what passes unrecorded from then on is a gap in the book after the next start', async () => {
    const directory = newBook()
    const { recorder } = await startRecorder(directory)
    const session = await recorder.open(person)
    // Nothing is on its way to the store: only what comes now can find it broken.
    await recorder.committed(statement(session))
    breakStore(directory)
    statement(session)
    await failed(recorder)
    for (let k = 0; k < 5; k++) recorder.gaps.count('orders')
    await recorder.stop()

    const db = new Sqlite(join(directory, 'book.db'))
    db.exec('DROP TRIGGER bundle_del; DELETE FROM bundle WHERE crc = 0')
    db.close()
    const again = await startRecorder(directory)
    await again.recorder.stop()
    const { leaves } = checkBook(directory, { closed: true })
    expect(leaves.filter(({ kind }) => kind === 'gap')).toMatchObject([
      { ops: 5, tgt: 'orders', why: 'store' },
    ])
    expect(leaves.filter(({ sid }) => sid === session.sid).map(({ kind }) => kind)).toEqual([
      'session.open',
      'op',
      'op',
      'session.close',
    ])
  })
})
