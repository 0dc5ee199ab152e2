/**
 * One journal, many waiters: entries of all connections go into the open batch, one write a turn of the event loop
 * hands them to the kernel, and one fdatasync at a time makes them durable for everybody who waits. Grouping
 * follows by itself: whoever arrives while a sync runs is covered by the next. What nobody waits for (mode `relaxed`)
 * is encoded and written with all that comes within some milliseconds: one by one, both cost twice as much.
 */
import { type Carried, type JournalDisk, JournalError, type JournalRing } from '../book/journal.ts'
import type { Schedule } from '../system/clock.ts'

/** An appended entry's batch. Batches are written and synced in order, so the number tells how far it has got. */
export type Mark = number

export type Reach = 'written' | 'durable'

/** What nobody waits for is with the kernel after this at the latest, or when so much of it has gathered. */
export const WRITTEN_WITHIN_MS = 5
export const GATHERED_BYTES = 256 << 10
/** Counted for each beside what it carries: its leaf, and what sealing adds. */
const LATER_ENTRY_BYTES = 1024
/** What nobody waits for is durable so long after its write at the latest, a sync included. */
export const DURABLE_WITHIN_MS = 150
/** A sync that has not returned by then counts as failed: a disk that hangs tells no error. */
export const SYNC_MS_MAX = 30_000
/**
 * Above this the reading of new requests pauses until the book has caught up. The recorder's thread looks every 50 ms:
 * with less than this, what is recorded in bulk would wait for its next look most of the time.
 */
export const BACKLOG_HIGH = 16 << 20
export const BACKLOG_LOW = 8 << 20

type Waiter = (error?: Error) => void
interface Waiting {
  readonly mark: Mark
  readonly done: Waiter
}

export class GroupCommit {
  readonly #ring: JournalRing
  readonly #disk: JournalDisk
  readonly #schedule: Schedule
  readonly #onFailure: (error: Error) => void
  readonly #goOn: boolean
  #written: Mark
  #durable: Mark
  #forWritten: Waiting[] = []
  #forDurable: Waiting[] = []
  /** Here a mark is the number of a sync. */
  #forSync: Waiting[] = []
  #syncs = 0
  /** To be encoded yet, in this order: each appends one entry. */
  #later: (() => void)[] = []
  #laterBytes = 0
  /** A write is due at the end of this turn; the other, within some milliseconds. */
  #flushing = false
  #gathering = false
  /** What the sync that runs, or the last one, covers. */
  #covered: Mark
  #syncing = false
  /** Runs while something is written that no sync covers. */
  #late: Disposable | undefined
  #overdue = false
  #failure: Error | undefined

  constructor(
    ring: JournalRing,
    parts: {
      disk: JournalDisk
      schedule: Schedule
      onFailure: (error: Error) => void
      /** After a failure everything counts as recorded: the operator wants it so, and the gap is told. */
      goOn?: boolean
    },
  ) {
    this.#ring = ring
    this.#disk = parts.disk
    this.#schedule = parts.schedule
    this.#onFailure = parts.onFailure
    this.#goOn = parts.goOn ?? false
    this.#written = ring.open - 1
    this.#durable = this.#written
    this.#covered = this.#written
  }

  /** Whether what is appended goes nowhere, and everybody is told that it has. */
  get isLeftOpen(): boolean {
    return this.#goOn && this.#failure !== undefined
  }

  /** The last batch that the kernel has. */
  get written(): Mark {
    return this.#written
  }

  get backlog(): number {
    return this.#ring.backlog
  }

  /**
   * Whether a record of `bytes` fits the journal, beside what closes the sessions that run. Once it has failed, room
   * is not the question.
   */
  hasRoom(bytes: number): boolean {
    return this.#failure !== undefined || this.#ring.hasRoom(bytes + this.#laterBytes)
  }

  /**
   * Puts off an entry that nobody waits for: `act` seals and appends it within some milliseconds, or when somebody
   * calls `catchUp` because what it appends next must stand behind. `bytes` is what the entry carries.
   */
  later(bytes: number, act: () => void): void {
    if (this.#failure !== undefined && !this.#goOn) throw this.#failure
    this.#later.push(act)
    this.#flushLater()
    this.addLater(bytes + LATER_ENTRY_BYTES)
  }

  /** What was put off carries so much more. A client may send thousands at once. */
  addLater(bytes: number): void {
    this.#laterBytes += bytes
    if (this.#laterBytes >= GATHERED_BYTES) this.catchUp()
  }

  /** Nothing of what was put off may be left out: where one cannot be appended, nothing more is acknowledged. */
  catchUp(): void {
    if (this.#later.length === 0) return
    const acts = this.#later
    this.#later = []
    this.#laterBytes = 0
    for (const act of acts) {
      try {
        act()
      } catch (cause) {
        // What has failed already has been told.
        if (this.#failure === undefined) this.#fail('write', cause)
      }
    }
  }

  /** Appends one entry. Throws once the journal has failed: nothing more is acknowledged after that. */
  append(members: string, carried: readonly Carried[]): Mark {
    if (this.isLeftOpen) return this.#written
    if (this.#failure !== undefined) throw this.#failure
    let mark: Mark
    try {
      mark = this.#ring.append(members, carried)
    } catch (cause) {
      if (cause instanceof RangeError) throw cause
      const failure = this.#fail('write', cause)
      if (this.#goOn) return this.#written
      throw failure
    }
    this.#flushSoon()
    return mark
  }

  #flushSoon(): void {
    if (this.#flushing) return
    this.#flushing = true
    this.#schedule.soon(() => {
      this.#flushing = false
      // What was put off meanwhile goes on waiting for its end, and need not be written in two records.
      this.#write()
    })
  }

  #flushLater(): void {
    if (this.#gathering) return
    this.#gathering = true
    this.#schedule.after(WRITTEN_WITHIN_MS, () => {
      this.#gathering = false
      this.flush()
    })
  }

  /** The mark of all that has been recorded so far, what was put off among it. */
  soFar(): Mark {
    this.catchUp()
    return this.#ring.isEmpty ? this.#written : this.#ring.open
  }

  reached(mark: Mark, reach: Reach): boolean {
    return this.isLeftOpen || mark <= (reach === 'written' ? this.#written : this.#durable)
  }

  /** Calls `done` once, when `mark` has got there or the journal has failed; at once where that is so already. */
  when(mark: Mark, reach: Reach, done: Waiter): void {
    if (this.reached(mark, reach)) done()
    else if (this.#failure !== undefined) done(this.#failure)
    else {
      if (reach === 'written') this.#forWritten.push({ mark, done })
      else {
        this.#forDurable.push({ mark, done })
        if (mark <= this.#written) this.#sync()
      }
    }
  }

  wait(mark: Mark, reach: Reach): Promise<void> {
    return new Promise((resolve, reject) => {
      this.when(mark, reach, (error) => (error === undefined ? resolve() : reject(error)))
    })
  }

  /** Writes zeros over the free space, a piece a turn, and makes that durable: what was erased lives on nowhere. */
  async scrub(): Promise<void> {
    for (let from: number | undefined = 0; from !== undefined; ) {
      if (this.#failure !== undefined) throw this.#failure
      try {
        from = this.#ring.scrub(from)
      } catch (cause) {
        throw this.#fail('write', cause)
      }
      await new Promise<void>((resolve) => this.#schedule.soon(resolve))
    }
    await new Promise<void>((resolve, reject) => {
      const done: Waiter = (error) => (error === undefined ? resolve() : reject(error))
      if (this.#failure !== undefined) return done(this.#failure)
      // A sync that runs already may not cover the last piece.
      this.#forSync.push({ mark: this.#syncs + 1, done })
      this.#sync()
    })
  }

  /** Hands what was appended to the kernel, and starts a sync where somebody waits for one. */
  flush(): void {
    this.catchUp()
    this.#write()
  }

  #write(): void {
    if (this.#failure !== undefined || this.#ring.isEmpty) return
    try {
      this.#ring.write()
    } catch (cause) {
      this.#fail('write', cause)
      return
    }
    this.#written = this.#ring.open - 1
    const [ready, waiting] = split(this.#forWritten, this.#written)
    this.#forWritten = waiting
    for (const { done } of ready) done()
    if (this.#isWaited) this.#sync()
    if (this.#covered < this.#written)
      this.#late ??= this.#schedule.after(DURABLE_WITHIN_MS, () => this.#syncLate())
  }

  /** Whether a sync that begins now is one that somebody waits for: whoever was just let on waits for the next write. */
  get #isWaited(): boolean {
    return this.#forDurable.some(({ mark }) => mark <= this.#written)
  }

  #syncLate(): void {
    this.#late = undefined
    this.#overdue = true
    this.#sync()
  }

  /** One fdatasync at a time; it covers what was written before it began, and is never tried again. */
  #sync(): void {
    const isNeeded = this.#durable < this.#written || this.#forSync.length > 0
    if (this.#syncing || this.#failure !== undefined || !isNeeded) return
    this.#syncing = true
    this.#late?.[Symbol.dispose]()
    this.#late = undefined
    this.#overdue = false
    const target = this.#written
    this.#covered = target
    const number = ++this.#syncs
    const watch = this.#schedule.after(SYNC_MS_MAX, () => {
      this.#fail('sync', `it has not returned for ${SYNC_MS_MAX / 1000} s`)
    })
    this.#disk.sync((error) => {
      watch[Symbol.dispose]()
      this.#syncing = false
      if (this.#failure !== undefined) return
      if (error !== null) {
        this.#fail('sync', error)
        return
      }
      this.#durable = target
      this.#ring.durable = target
      const [ready, waiting] = split(this.#forDurable, target)
      this.#forDurable = waiting
      const [settled, unsettled] = split(this.#forSync, number)
      this.#forSync = unsettled
      for (const { done } of [...ready, ...settled]) done()
      if (this.#overdue || this.#isWaited || this.#forSync.length > 0) this.#sync()
    })
  }

  /** Ends it from outside: the book behind the journal has failed. */
  close(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#late?.[Symbol.dispose]()
    const waiting = [...this.#forWritten, ...this.#forDurable, ...this.#forSync]
    this.#forWritten = []
    this.#forDurable = []
    this.#forSync = []
    for (const { done } of waiting) done(this.#goOn ? undefined : error)
    // Where work goes on without the book, what begins by these is counted.
    this.catchUp()
  }

  #fail(code: JournalError['code'], cause: unknown): Error {
    const failure =
      cause instanceof JournalError
        ? cause
        : new JournalError(code, `the journal's ${code} failed: ${String(cause)}`, { cause })
    this.close(failure)
    this.#onFailure(failure)
    return failure
  }
}

/** Who is there, and who still waits; both in the order they came. Called before anybody is told, since they may ask again. */
function split(waiting: readonly Waiting[], reached: Mark): [Waiting[], Waiting[]] {
  const ready: Waiting[] = []
  const left: Waiting[] = []
  for (const one of waiting) (one.mark <= reached ? ready : left).push(one)
  return [ready, left]
}
