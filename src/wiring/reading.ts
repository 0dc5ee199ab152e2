/**
 * The reading side as the gateway and the commands have it: two threads, and a Library that asks them. In a gateway
 * the order is: the answer is found, the question becomes a record of the book, that record is committed, and only
 * then the answer is handed out.
 */
import { Worker } from 'node:worker_threads'
import type { AuditReadEvent } from '../access/events.ts'
import type { Row } from '../read/answers.ts'
import { Library } from '../read/library.ts'
import { type AnswerTo, type Asker, NoAnswer, type NoAnswerCode, type Question } from '../read/questions.ts'
import type { Labels } from '../read/reader.ts'

/** A question that takes longer is given up, and with it the thread: patterns can be made to take for ever. */
export const ANSWER_MS_MAX = 20_000
/** What made the index's thread end may be over by then. */
const RESTART_MS = 5000

export interface ThreadData {
  readonly role: 'index' | 'answers'
  readonly directory: string
  readonly kek: Uint8Array
}

export type ToThread =
  | {
      readonly type: 'ask'
      readonly id: number
      readonly question: Question
      readonly asker: Asker
      readonly labels: Labels
    }
  | { readonly type: 'stop' }

export type FromThread =
  | { readonly type: 'ready' }
  | { readonly type: 'indexed'; readonly next: number }
  | { readonly type: 'answer'; readonly id: number; readonly answer: unknown }
  | {
      readonly type: 'refused'
      readonly id: number
      readonly code: NoAnswerCode
      readonly message: string
      readonly column: number | undefined
    }
  | { readonly type: 'failed'; readonly id: number; readonly error: string }
  | { readonly type: 'stopped' }

export interface ReadingOptions {
  readonly directory: string
  /** The key encryption key; the threads have copies. */
  readonly kek: Uint8Array
  readonly labels: () => Labels
  /** Whose pseudonym it is, for acts that name nobody else: searches, tokens, erasures. */
  readonly nameOf?: (sub: string) => string | undefined
  /** Resolves when the record is committed to the book. Absent where nobody keeps the book: then it is no record. */
  readonly note?: (event: AuditReadEvent) => Promise<void>
  readonly onFault: (error: unknown) => void
  /** Told how far the index has come. */
  readonly onIndexed?: (next: number) => void
}

interface Pending {
  readonly resolve: (answer: never) => void
  readonly reject: (error: Error) => void
  readonly deadline: NodeJS.Timeout
}

interface Thread {
  readonly worker: Worker
  readonly ready: Promise<void>
}

export class Reading implements AsyncDisposable {
  readonly library: Library
  readonly #options: ReadingOptions
  readonly #pending = new Map<number, Pending>()
  #index: Thread | undefined
  #answers: Thread | undefined
  #nextId = 1
  #indexed = 0
  #again: NodeJS.Timeout | undefined
  #stopped = false

  private constructor(options: ReadingOptions) {
    this.#options = options
    this.library = new Library({
      ask: (question, asker) => this.#ask(question, asker),
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    })
  }

  /** The index begins to follow the book at once; what answers is started by the first question. */
  static start(options: ReadingOptions): Reading {
    const reading = new Reading(options)
    reading.#index = reading.#start('index')
    return reading
  }

  /** Resolves when the index has all records below `size`. */
  async caughtUp(size: number): Promise<void> {
    while (this.#indexed < size && !this.#stopped) await new Promise((resolve) => setTimeout(resolve, 20))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#again)
    for (const thread of [this.#answers, this.#index]) {
      if (thread === undefined) continue
      const ended = new Promise((resolve) => thread.worker.once('exit', resolve))
      thread.worker.postMessage({ type: 'stop' } satisfies ToThread)
      const late = setTimeout(() => void thread.worker.terminate(), ANSWER_MS_MAX)
      await ended
      clearTimeout(late)
    }
    this.#rejectAll(new NoAnswer('late', 'the gateway stops'))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** Both threads; started anew where one has ended. The index comes first: the other opens what it has made. */
  async #answering(): Promise<Worker> {
    this.#index ??= this.#start('index')
    await this.#index.ready
    this.#answers ??= this.#start('answers')
    await this.#answers.ready
    return this.#answers.worker
  }

  #start(role: ThreadData['role']): Thread {
    const { directory, kek, onFault } = this.#options
    const source = import.meta.url.endsWith('.ts') ? './reading-thread.ts' : './reading-thread.js'
    const data: ThreadData = { role, directory, kek }
    const worker = new Worker(new URL(source, import.meta.url), { name: role, workerData: data })
    const ready = new Promise<void>((resolve, reject) => {
      worker.on('message', (message: FromThread) => {
        if (message.type === 'ready') resolve()
        this.#receive(message)
      })
      worker.on('error', (error: unknown) => {
        if (!this.#stopped) onFault(error)
        reject(error)
      })
      worker.on('exit', () => {
        // Whoever asks next starts it anew; the index, which must follow, is not left waiting for that.
        if (this.#index?.worker === worker) {
          this.#index = undefined
          if (!this.#stopped)
            this.#again = setTimeout(() => (this.#index ??= this.#start('index')), RESTART_MS)
        }
        if (this.#answers?.worker === worker) this.#answers = undefined
        if (role === 'answers') this.#rejectAll(new NoAnswer('late', 'the search was given up; ask again'))
        reject(new Error(`the ${role} thread ended`))
      })
    })
    // Who waits for it is told; where nobody does, the fault was told above.
    ready.catch(() => {})
    return { worker, ready }
  }

  async #ask<Q extends Question>(question: Q, asker: Asker): Promise<AnswerTo<Q>> {
    const { note } = this.#options
    try {
      const answer = this.#named(await this.#answerTo(question, asker))
      const event = eventOf(question, asker, answer)
      if (event !== undefined) await note?.(event)
      return answer
    } catch (error) {
      // Who asks for what is not theirs to see is recorded as well; a slip of the pen is not.
      const refused =
        error instanceof NoAnswer &&
        (error.code === 'right' || error.code === 'reason' || error.code === 'none')
      const event = refused ? eventOf(question, asker, undefined, error.message) : undefined
      if (event !== undefined) await note?.(event)
      throw error
    }
  }

  /** A session's own person stands in its payloads, and is gone with them: that name is not put back here. */
  #named<A>(answer: A): A {
    const { nameOf } = this.#options
    if (nameOf === undefined || typeof answer !== 'object' || answer === null) return answer
    const name = (row: Row): Row => {
      if (row.sub === undefined || row.actor !== row.sub || !ACTS.has(row.kind)) return row
      return { ...row, actor: nameOf(row.sub) ?? row.sub }
    }
    const { rows, attention, row } = answer as { rows?: unknown; attention?: readonly Row[]; row?: Row }
    return {
      ...answer,
      ...(Array.isArray(rows) ? { rows: rows.map(name) } : {}),
      ...(attention === undefined ? {} : { attention: attention.map(name) }),
      ...(row === undefined ? {} : { row: name(row) }),
    }
  }

  async #answerTo<Q extends Question>(question: Q, asker: Asker): Promise<AnswerTo<Q>> {
    if (this.#stopped) throw new NoAnswer('late', 'the gateway stops')
    const worker = await this.#answering()
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => {
        this.#pending.delete(id)
        reject(
          new NoAnswer(
            'late',
            `no answer within ${ANSWER_MS_MAX / 1000} s: narrow the search down (since:1d)`,
          ),
        )
        void worker.terminate()
      }, ANSWER_MS_MAX)
      this.#pending.set(id, { resolve, reject, deadline })
      worker.postMessage({
        type: 'ask',
        id,
        question,
        asker,
        labels: this.#options.labels(),
      } satisfies ToThread)
    })
  }

  #receive(message: FromThread): void {
    switch (message.type) {
      case 'indexed':
        this.#indexed = message.next
        this.#options.onIndexed?.(message.next)
        return
      case 'answer':
        this.#take(message.id)?.resolve(message.answer as never)
        return
      case 'refused':
        this.#take(message.id)?.reject(new NoAnswer(message.code, message.message, message.column))
        return
      case 'failed':
        this.#take(message.id)?.reject(new Error(message.error))
        return
      case 'ready':
      case 'stopped':
        return
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    clearTimeout(pending?.deadline)
    return pending
  }

  #rejectAll(error: Error): void {
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(error)
  }
}

/** Kinds of records that say by their pseudonym alone who did it. */
const ACTS: ReadonlySet<string> = new Set(['audit.read', 'admin', 'erase', 'retain'])

/**
 * What of a question is recorded: the first page of everything long, and each page of a search. Completing words and
 * the index's own state show nothing of anybody.
 */
function eventOf(
  question: Question,
  asker: Asker,
  answer: unknown,
  refused?: string,
): AuditReadEvent | undefined {
  const found = described(question)
  if (found === undefined) return undefined
  const { act, about, words } = found
  const said = {
    ...words,
    ...(asker.reason === undefined ? {} : { reason: asker.reason }),
    ...(refused === undefined ? {} : { refused }),
  }
  const rows = refused === undefined ? rowsOf(answer) : 0
  return {
    type: 'audit.read',
    act,
    sub: asker.sub,
    ...(about === undefined ? {} : { about }),
    ...(rows === undefined ? {} : { rows }),
    private: { asked: question.type, ...said },
  }
}

interface Described {
  readonly act: AuditReadEvent['act']
  readonly about?: string
  readonly words: Readonly<Record<string, string>>
}

function described(question: Question): Described | undefined {
  switch (question.type) {
    case 'search':
    case 'summary':
    case 'sessions':
      return { act: 'search', words: { query: question.query } }
    case 'follow':
      return question.cursor === undefined ? { act: 'search', words: { query: question.query } } : undefined
    case 'overview':
      return { act: 'view', words: {} }
    case 'session':
    case 'commands':
    case 'files':
      return { act: 'view', ...aboutOf(question.session) }
    case 'timeline':
      return question.cursor === undefined ? { act: 'view', ...aboutOf(question.session) } : undefined
    case 'frames': {
      if (question.cursor !== undefined) return undefined
      const act = question.purpose === 'export' ? 'export' : 'replay'
      return { act, ...aboutOf(question.session, { op: String(question.op), stream: question.stream }) }
    }
    case 'evidence':
      return question.cursor === undefined ? { act: 'export', ...aboutOf(question.session) } : undefined
    case 'record':
      return { act: 'view', words: { record: question.record } }
    case 'proof':
      return { act: 'export', words: { record: question.record } }
    case 'complete':
    case 'state':
      return undefined
  }
}

/** Only an id can stand in a record; what else was written there is kept as words. */
function aboutOf(session: string, words: Readonly<Record<string, string>> = {}): Omit<Described, 'act'> {
  return /^[a-z2-7]{16}$/.test(session) ? { about: session, words } : { words: { ...words, session } }
}

function rowsOf(answer: unknown): number | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined
  for (const name of ['rows', 'sessions', 'commands', 'files'] as const) {
    const list = (answer as Readonly<Record<string, unknown>>)[name]
    if (Array.isArray(list)) return list.length
  }
  return undefined
}
