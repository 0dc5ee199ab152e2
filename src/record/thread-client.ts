/** The gate's end of the recorder's thread: requests with answers, and what the thread tells by itself. */
import { Worker } from 'node:worker_threads'
import type { Schedule } from '../system/clock.ts'
import type { Answers, BookState, Ready, Request, Said, ThreadOptions, ToGate, ToThread } from './messages.ts'

/** The recorder's thread has ended, or its store has failed: nothing is recorded any more. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

/** A thread that has not answered by then is held by a disk that tells no error: the store has failed. */
export const ANSWER_MS_MAX = 60_000
const ASK_EVERY_MS = 10_000

interface Pending {
  readonly resolve: (answer: never) => void
  readonly reject: (error: Error) => void
}

export interface ThreadListener {
  readonly onState: (state: BookState, freeBytes: number) => void
  readonly onFailure: (error: StoreError) => void
}

export class RecorderThread {
  readonly #worker: Worker
  readonly #schedule: Schedule
  readonly #pending = new Map<number, Pending>()
  #listener: ThreadListener | undefined
  #told: Extract<Said, { type: 'state' }> | undefined
  #nextId = 1
  #failure: StoreError | undefined
  #stopped = false
  #watching: Disposable | undefined

  private constructor(worker: Worker, schedule: Schedule) {
    this.#worker = worker
    this.#schedule = schedule
  }

  /** Starts the thread; resolves when the book is open and recovered, rejects with the reason when it is not. */
  static start(
    options: ThreadOptions,
    schedule: Schedule,
  ): Promise<{ thread: RecorderThread; ready: Ready }> {
    const source = import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js'
    const worker = new Worker(new URL(source, import.meta.url), { name: 'recorder', workerData: options })
    const thread = new RecorderThread(worker, schedule)
    return new Promise((resolve, reject) => {
      let isReady = false
      worker.on('message', (message: ToGate) => {
        if (message.type === 'ready') {
          isReady = true
          thread.#watch()
          resolve({ thread, ready: message })
        } else if (message.type === 'failed' && !isReady) {
          reject(new StoreError(message.code, message.message))
          thread.#stopped = true
          void worker.terminate()
        } else thread.#receive(message)
      })
      worker.on('error', (error: unknown) => {
        reject(error)
        thread.#fail(new StoreError('thread', `the recorder's thread failed: ${String(error)}`))
      })
      worker.on('exit', (code) => {
        const ended = new StoreError('thread', `the recorder's thread ended (${code})`)
        if (thread.#stopped) thread.#rejectAll(ended)
        else thread.#fail(ended)
      })
    })
  }

  /** From here on, and at once for what the thread has told already. */
  listen(listener: ThreadListener): void {
    this.#listener = listener
    if (this.#told !== undefined) listener.onState(this.#told.state, this.#told.freeBytes)
    if (this.#failure !== undefined) listener.onFailure(this.#failure)
  }

  ask<T extends Request['type']>(request: Extract<Request, { type: T }>): Promise<Answers[T]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#stopped) return Promise.reject(new StoreError('stopped', 'the recorder has stopped'))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#worker.postMessage({ id, request } satisfies ToThread)
    })
  }

  /** Lets the thread drain, close its files and end. Rejects when it cannot; the thread has ended all the same. */
  async stop(): Promise<void> {
    const stopped = this.#failure === undefined ? this.ask({ type: 'stop' }) : undefined
    // Before the answer: the thread's end may be told together with it.
    this.#stopped = true
    try {
      await stopped
    } finally {
      this.#watching?.[Symbol.dispose]()
      const ended = this.#worker.terminate()
      // A thread that a disk holds ends when the disk lets go of it, which nobody waits for.
      if (this.#failure?.code !== 'stalled') await ended
    }
  }

  /** Asks it how it is, again and again. */
  #watch(): void {
    this.#watching = this.#schedule.after(ANSWER_MS_MAX, () => {
      this.#fail(new StoreError('stalled', `the book's disk has not answered for ${ANSWER_MS_MAX / 1000} s`))
    })
    this.ask({ type: 'status' }).then(
      () => {
        this.#watching?.[Symbol.dispose]()
        this.#watching = this.#schedule.after(ASK_EVERY_MS, () => this.#watch())
      },
      // It has ended, or failed: whoever listens has been told.
      () => this.#watching?.[Symbol.dispose](),
    )
  }

  #receive(message: Said): void {
    switch (message.type) {
      case 'answer':
        this.#take(message.id)?.resolve(message.answer as never)
        return
      case 'state':
        this.#told = message
        this.#listener?.onState(message.state, message.freeBytes)
        return
      case 'failed':
        this.#fail(new StoreError(message.code, message.message))
        return
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    return pending
  }

  #fail(error: StoreError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#rejectAll(error)
    this.#listener?.onFailure(error)
  }

  #rejectAll(error: StoreError): void {
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
  }
}
