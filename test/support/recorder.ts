/** Books in temporary folders, and recorders on them, with everything small. */
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { onTestFinished } from 'vitest'
import { createBook } from '../../src/book/create.ts'
import type { Ref } from '../../src/book/format.ts'
import { JournalMarks, JournalRing } from '../../src/book/journal.ts'
import { Kek, KeyStore } from '../../src/book/keys.ts'
import { DataKey, type KeyLimits, OpenedKey } from '../../src/book/payload.ts'
import type { Durability } from '../../src/record/barrier.ts'
import type { BookkeeperParts } from '../../src/record/bookkeeper.ts'
import { Bookkeeper } from '../../src/record/bookkeeper.ts'
import { GroupCommit } from '../../src/record/group-commit.ts'
import type { Answer, BookState, Request, ThreadOptions } from '../../src/record/messages.ts'
import { systemRandom } from '../../src/record/random.ts'
import { Recorder, type RecorderParts } from '../../src/record/recorder.ts'
import { RecordedSession } from '../../src/record/session.ts'
import { systemSchedule } from '../../src/system/clock.ts'
import { PlacedFile } from '../../src/system/durable.ts'
import { microseconds } from '../../src/system/microseconds.ts'
import { BALLAST_BYTES, JOURNAL_BYTES, KEK_BYTES, ORIGIN, threadOptions } from './books.ts'
import type { CheckedLeaf } from './check-book.ts'
import { HandSchedule } from './schedule.ts'

export { BALLAST_BYTES, JOURNAL_BYTES, KEK_BYTES, ORIGIN }

/** In memory where that can be had: what is tested here is the order of things, not the speed of a disk. */
export const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

export function temporaryFolder(under = SCRATCH): string {
  const folder = mkdtempSync(join(under, 'gatebook-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The directory of a new book, gone when the test is. */
export function newBook(
  options: { journalBytes?: number; ballastBytes?: number; under?: string } = {},
): string {
  const directory = join(temporaryFolder(options.under), 'data')
  const { journalBytes = JOURNAL_BYTES, ballastBytes = BALLAST_BYTES } = options
  createBook({ directory, origin: ORIGIN, journalBytes, ballastBytes })
  return directory
}

/** The same for all tests of a file, which removes it at its end. */
export function newBookForFile(): { readonly directory: string; readonly remove: () => void } {
  const folder = mkdtempSync(join(SCRATCH, 'gatebook-test-'))
  const directory = join(folder, 'data')
  createBook({ directory, origin: ORIGIN, journalBytes: JOURNAL_BYTES, ballastBytes: BALLAST_BYTES })
  return { directory, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** What a process that is killed at this moment leaves, as a directory of its own. */
export function crashed(directory: string): string {
  const copy = join(temporaryFolder(), 'data')
  cpSync(directory, copy, { recursive: true })
  return copy
}

export interface TestRecorder {
  readonly recorder: Recorder
  readonly states: BookState[]
  readonly failures: Error[]
}

/** A recorder with its thread. It is stopped when the test is over, where the test has not done so. */
export async function startRecorder(
  directory: string,
  options: Partial<ThreadOptions> = {},
  parts: Partial<RecorderParts> = {},
): Promise<TestRecorder> {
  const states: BookState[] = []
  const failures: Error[] = []
  const recorder = await Recorder.start(
    { ...threadOptions(directory, options), kek: new Kek(KEK_BYTES), compress: true },
    {
      now: microseconds,
      random: systemRandom(),
      schedule: systemSchedule,
      onState: (state) => states.push(state),
      onFailure: (error) => failures.push(error),
      ...parts,
    },
  )
  let stopped = false
  const stop = recorder.stop.bind(recorder)
  recorder.stop = () => {
    stopped = true
    return stop()
  }
  onTestFinished(async () => {
    if (!stopped) await stop().catch(() => {})
  })
  return { recorder, states, failures }
}

export interface TestBookkeeper {
  readonly keeper: Bookkeeper
  readonly answers: { id: number; answer: Answer }[]
  readonly states: BookState[]
  /** Turns until nothing is left to do. */
  settle(): void
  /** Handles `request`, turns, and gives its answer. */
  ask(request: Request): Answer
  /** Stops it in order. */
  stop(): void
}

/** The recorder's side of the journal alone, on this thread, turned by hand. */
export function startBookkeeper(
  directory: string,
  options: Partial<ThreadOptions> = {},
  parts: Partial<BookkeeperParts> = {},
): TestBookkeeper {
  const answers: { id: number; answer: Answer }[] = []
  const states: BookState[] = []
  const keeper = new Bookkeeper(threadOptions(directory, options), {
    now: microseconds,
    random: systemRandom(),
    onState: (state) => states.push(state),
    onAnswer: (id, answer) => answers.push({ id, answer }),
    ...parts,
  })
  let nextId = 1
  const settle = (): void => {
    while (keeper.turn() === 'busy');
  }
  const ask = (request: Request): Answer => {
    const id = nextId++
    keeper.handle(id, request)
    settle()
    const found = answers.find((one) => one.id === id)
    if (found === undefined) throw new Error(`no answer to ${request.type}`)
    return found.answer
  }
  return { keeper, answers, states, settle, ask, stop: () => void ask({ type: 'stop' }) }
}

export interface LocalRecorder extends TestBookkeeper {
  readonly schedule: HandSchedule
  readonly log: GroupCommit
  readonly failures: Error[]
  /** By session. */
  readonly dataKeys: ReadonlyMap<string, DataKey>
  /** Microseconds since 1970, as the test moves them. */
  readonly clock: { now: number }
  open(
    mode?: Durability,
    start?: { act?: string; who?: Uint8Array; sub?: string; tgt?: string },
  ): RecordedSession
  /** Hands everything to the kernel and lets the book take it. */
  drain(): void
  /** Writes zeros over the journal's free space. */
  scrub(): Promise<void>
}

/** Both sides of the journal on this thread, without a gateway session: everything happens when the test says so. */
export function startLocal(
  directory: string,
  options: Partial<ThreadOptions> = {},
  parts: { onFilling?: (session: RecordedSession) => void; keyLimits?: KeyLimits } = {},
): LocalRecorder {
  const clock = { now: 1_763_600_000_000_000 }
  const now = (): number => clock.now
  const book = startBookkeeper(directory, options, { now })
  const { ready } = book.keeper
  const disk = new PlacedFile(ready.journalPath)
  const ring = new JournalRing(disk, new JournalMarks(ready.marks), ready.lastBatch)
  const schedule = new HandSchedule()
  const failures: Error[] = []
  const log = new GroupCommit(ring, { disk, schedule, onFailure: (error) => failures.push(error) })
  const random = systemRandom()
  const dataKeys = new Map<string, DataKey>()
  const open: LocalRecorder['open'] = (mode = 'standard', { act = 'pg', who, sub, tgt } = {}) => {
    const sid = Array.from(random(16), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte % 32]).join('')
    const key = new DataKey(ORIGIN, sid, random, parts.keyLimits)
    dataKeys.set(sid, key)
    book.ask({
      type: 'keys',
      keys: [key.wrap((bytes) => new Kek(KEK_BYTES).wrap(ORIGIN, sid, bytes, random))],
    })
    const { onFilling = () => {} } = parts
    const session = new RecordedSession(mode, {
      key,
      log,
      now,
      compress: true,
      onClosed: () => {},
      onFilling,
    })
    const payloads = who === undefined ? [] : [{ type: 'who' as const, body: who }]
    session.append({ kind: 'session.open', act, com: key.commitment, sub, tgt }, payloads)
    return session
  }
  return {
    ...book,
    schedule,
    log,
    failures,
    dataKeys,
    clock,
    open,
    drain: () => {
      schedule.turn()
      book.settle()
    },
    scrub: async () => {
      let done = false
      const scrubbed = log.scrub().finally(() => {
        done = true
      })
      while (!done) {
        schedule.turn()
        await new Promise((resolve) => setImmediate(resolve))
      }
      await scrubbed
    },
  }
}

/** The key of a session, out of keys.db as a reader has it. */
export function openedKey(directory: string, sid: string, com: string, kek = new Kek(KEK_BYTES)): OpenedKey {
  const db = new Sqlite(join(directory, 'keys.db'), { readonly: true })
  try {
    const row = new KeyStore(db).find(sid)
    if (row === undefined) throw new Error(`there is no key of ${sid}`)
    return new OpenedKey(ORIGIN, sid, kek.unwrap(ORIGIN, row), com)
  } finally {
    db.close()
  }
}

/** The plaintext of all payloads that `leaf` names, by type. */
export function plaintexts(
  directory: string,
  leaf: CheckedLeaf,
  com: string,
  kek?: Kek,
): Record<string, Buffer> {
  const key = openedKey(directory, leaf.sid ?? '', com, kek)
  const db = new Sqlite(join(directory, 'book.db'), { readonly: true })
  try {
    const texts: Record<string, Buffer> = {}
    for (const ref of (leaf['ref'] ?? []) as Ref[]) {
      const bytes = db
        .prepare('SELECT data FROM payload WHERE sid = ? AND i = ?')
        .pluck()
        .get(leaf.sid, ref.i)
      const part = key.open(ref, bytes as Buffer)
      texts[ref.t] = Buffer.concat([texts[ref.t] ?? Buffer.alloc(0), part])
    }
    return texts
  } finally {
    db.close()
  }
}

/** Text of a payload. */
export const text = (words: string): Buffer => Buffer.from(words)
