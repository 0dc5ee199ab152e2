/** Books in temporary folders, and recorders on them, with everything small. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { createBook } from '../../src/book/create.ts'
import { Kek } from '../../src/book/keys.ts'
import type { BookkeeperParts } from '../../src/record/bookkeeper.ts'
import { Bookkeeper } from '../../src/record/bookkeeper.ts'
import type { Answer, BookState, Request, ThreadOptions } from '../../src/record/messages.ts'
import { systemRandom } from '../../src/record/random.ts'
import { Recorder, type RecorderParts } from '../../src/record/recorder.ts'
import { microseconds } from '../../src/system/microseconds.ts'
import { systemSchedule } from '../../src/system/schedule.ts'

export const ORIGIN = 'gw1.example/book'
export const KEK_BYTES = Buffer.alloc(32, 7)
export const JOURNAL_BYTES = 1 << 20
export const BALLAST_BYTES = 64 << 10

export function temporaryFolder(under = tmpdir()): string {
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

export function threadOptions(directory: string, changes: Partial<ThreadOptions> = {}): ThreadOptions {
  return {
    directory,
    release: '0.0.0-test',
    acceptJournalLoss: false,
    keepCheckpoint: { records: 1000, micros: 60_000_000 },
    signingKeyMaxAgeMs: 30 * 24 * 3600 * 1000,
    disk: { warnShare: 0, closeShare: 0, closeBytes: 0, ballastBytes: BALLAST_BYTES },
    ...changes,
  }
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

/** Text of a payload. */
export const text = (words: string): Buffer => Buffer.from(words)
