/**
 * Two ways of a record into the book, with the same session, sealing, journal entries, joining and store. `journal`
 * is what Gatebook does. `handed` is the obvious alternative: the entries of a turn go to a worker by postMessage,
 * which commits them to SQLite under FULL and answers; its answer is the durability that callers wait for.
 */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { createBook } from '../../../src/book/create.ts'
import { JOURNAL_BYTES, type JournalDisk, JournalMarks, JournalRing } from '../../../src/book/journal.ts'
import { Kek } from '../../../src/book/keys.ts'
import { DataKey } from '../../../src/book/payload.ts'
import type { Durability } from '../../../src/record/barrier.ts'
import {
  BACKLOG_HIGH,
  BACKLOG_LOW,
  GroupCommit,
  type Mark,
  type Reach,
} from '../../../src/record/group-commit.ts'
import type { ThreadOptions } from '../../../src/record/messages.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { Recorder } from '../../../src/record/recorder.ts'
import { RecordedSession } from '../../../src/record/session.ts'
import { systemSchedule } from '../../../src/system/clock.ts'
import { microseconds } from '../../../src/system/microseconds.ts'

export const ORIGIN = 'bench.example/book'

export type WayName = 'journal' | 'handed'

export interface Way {
  open(mode: Durability): Promise<RecordedSession>
  when(mark: Mark, reach: Reach, done: (error?: Error) => void): void
  readonly congested: boolean
  relieved(): Promise<void>
  /** Everything recorded is in the book, and closed, when this resolves. */
  stop(): Promise<void>
}

export function makeBook(folder: string): string {
  const directory = join(folder, 'data')
  createBook({ directory, origin: ORIGIN, ballastBytes: 0 })
  return directory
}

export function openWay(name: WayName, directory: string): Promise<Way> {
  return name === 'journal' ? openJournal(directory) : openHanded(directory)
}

export function threadOptions(directory: string): ThreadOptions {
  return {
    directory,
    release: '0.0.0-bench',
    acceptJournalLoss: false,
    keepCheckpoint: { records: 1000, micros: 60_000_000 },
    signingKeyMaxAgeMs: 2 ** 40,
    disk: { warnShare: 0, closeShare: 0, closeBytes: 0, ballastBytes: 0 },
  }
}

async function openJournal(directory: string): Promise<Way> {
  const recorder = await Recorder.start(
    { ...threadOptions(directory), kek: new Kek(Buffer.alloc(32, 7)), compress: true },
    {
      now: microseconds,
      random: systemRandom(),
      schedule: systemSchedule,
      onState: () => {},
      onFailure: (error) => {
        throw error
      },
    },
  )
  return {
    open: (mode) => recorder.open({ act: 'pg', mode }),
    when: (mark, reach, done) => recorder.when(mark, reach, done),
    get congested() {
      return recorder.congested
    },
    relieved: () => recorder.relieved(),
    stop: () => recorder.stop(),
  }
}

/** What the gate sends, and what it is told: how far in the endless stream of batches the book holds them. */
export interface Handed {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly end: number
}

/** Stands where the journal's file does: a write is a message, a sync the wait for its answer. */
class HandingOver implements JournalDisk {
  readonly size = JOURNAL_BYTES
  readonly #worker: Worker
  #sent = 0
  #done = 0
  #waiting: { readonly end: number; readonly done: (error: Error | null) => void }[] = []

  constructor(worker: Worker) {
    this.#worker = worker
  }

  write(bytes: Uint8Array): void {
    this.#sent += bytes.length
    const message: Handed = { bytes: new Uint8Array(bytes), end: this.#sent }
    this.#worker.postMessage(message, [message.bytes.buffer])
  }

  sync(done: (error: Error | null) => void): void {
    if (this.#done >= this.#sent) done(null)
    else this.#waiting.push({ end: this.#sent, done })
  }

  read(): void {
    throw new Error('nothing is read back from here')
  }

  durable(end: number): void {
    this.#done = end
    const ready = this.#waiting.filter((one) => one.end <= end)
    this.#waiting = this.#waiting.filter((one) => one.end > end)
    for (const { done } of ready) done(null)
  }
}

async function openHanded(directory: string): Promise<Way> {
  const worker = new Worker(new URL('./handed-worker.ts', import.meta.url), { workerData: directory })
  await new Promise((resolve) => worker.once('message', resolve))
  const disk = new HandingOver(worker)
  const marks = new JournalMarks()
  const log = new GroupCommit(new JournalRing(disk, marks, 0), {
    disk,
    schedule: systemSchedule,
    onFailure: (error) => {
      throw error
    },
  })
  worker.on('message', (end: number) => {
    marks.freed = end
    disk.durable(end)
  })
  const random = systemRandom()
  const sessions: RecordedSession[] = []
  return {
    open: async (mode) => {
      const session = openSession(mode, log, random)
      sessions.push(session)
      return session
    },
    when: (mark, reach, done) => log.when(mark, reach, done),
    get congested() {
      return log.backlog > BACKLOG_HIGH
    },
    relieved: async () => {
      while (log.backlog > BACKLOG_LOW) await new Promise((resolve) => setTimeout(resolve, 5))
    },
    stop: async () => {
      const last = sessions.map((session) => session.close('stop')).at(-1)
      if (last !== undefined) await log.wait(last, 'durable')
      worker.postMessage('stop')
      await new Promise((resolve) => worker.once('exit', resolve))
    },
  }
}

/** Who a session is of, and what keeps its key for those who read. */
export interface Known {
  readonly sub: string
  readonly target: string
  readonly keep: (key: DataKey) => void
}

/** A session without a recorder around it. Where nobody keeps its key, nobody will read what it sealed. */
export function openSession(
  mode: Durability,
  log: GroupCommit,
  random: ReturnType<typeof systemRandom>,
  known?: Known,
): RecordedSession {
  const sid = Array.from(random(16), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte % 32]).join('')
  const key = new DataKey(ORIGIN, sid, random)
  known?.keep(key)
  const session = new RecordedSession(mode, {
    key,
    log,
    now: microseconds,
    compress: true,
    onClosed: () => {},
    onFilling: () => {},
  })
  const opening = { kind: 'session.open', act: 'pg', com: key.commitment }
  if (known === undefined) session.append(opening)
  else {
    const who = Buffer.from(JSON.stringify({ name: known.sub, address: '192.0.2.7', roles: ['writer'] }))
    session.append({ ...opening, sub: known.sub, tgt: known.target }, [{ type: 'who', body: who }])
  }
  return session
}
