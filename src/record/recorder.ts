/**
 * The one way into the book. A gate opens a session, records what happens in it, and asks how far a record has got;
 * everything else (sealing, the journal, the thread behind it) is in here. Order of effects when a session opens:
 * its key is made, wrapped, durable in keys.db, and only then is its opening leaf appended.
 */
import assert from 'node:assert/strict'
import { bookFiles } from '../book/files.ts'
import { type JournalDisk, JournalError, JournalMarks, JournalRing } from '../book/journal.ts'
import type { Kek, WrappedKey } from '../book/keys.ts'
import { DataKey, type Random } from '../book/payload.ts'
import type { Schedule } from '../system/clock.ts'
import { PlacedFile } from '../system/durable.ts'
import type { Durability } from './barrier.ts'
import { Gaps } from './gap.ts'
import { BACKLOG_HIGH, BACKLOG_LOW, GroupCommit, type Mark, type Reach } from './group-commit.ts'
import type { BookState, BookStatus, Ready, ThreadOptions } from './messages.ts'
import { RecordedSession } from './session.ts'
import { RecorderThread } from './thread-client.ts'

/** Destroying the gateway session's key costs at most this much of refused logins, alerts and the like. */
export const GATEWAY_SESSION_MS = 24 * 3600 * 1000
const CUT_CHUNKS_EVERY_MS = 250
const LOOK_FOR_RELIEF_MS = 5
const SID_ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'
const SID_CHARACTERS = 16

export interface RecorderOptions extends ThreadOptions {
  /** When the book fails, let work go on unrecorded: the operator's choice, and the gap is recorded. */
  readonly goOn?: boolean
  readonly kek: Kek
  /** Compressing a payload shows something about its text through its length; it can be switched off. */
  readonly compress: boolean
}

export interface RecorderParts {
  /** Microseconds since 1970. */
  readonly now: () => number
  readonly random: Random
  readonly schedule: Schedule
  /** The journal's file as the gate's thread writes it; a PlacedFile unless a test breaks it on command. */
  readonly openJournal?: (path: string) => JournalDisk & Disposable
  readonly onState: (state: BookState, freeBytes: number) => void
  /** The journal or the store has failed: nothing more is acknowledged, to anybody. Called once. */
  readonly onFailure: (error: Error) => void
}

export interface SessionStart {
  readonly act: 'gateway' | 'pg' | 'mysql' | 'ssh' | 'web'
  readonly mode: Durability
  /** The person's pseudonym. */
  readonly sub?: string
  readonly target?: string
  /** Client address, port, names, software: JSON. Payload 0 of every user's session. */
  readonly who?: Uint8Array
}

/** No new work is taken: the disk is nearly full, or the store has failed. */
export class RecorderClosedError extends Error {
  override readonly name = 'RecorderClosedError'
}

export class Recorder {
  readonly origin: string
  /** What the opening of the book found. */
  readonly opened: Ready
  readonly #options: RecorderOptions
  readonly #parts: RecorderParts
  readonly #thread: RecorderThread
  readonly #disk: JournalDisk & Disposable
  readonly #log: GroupCommit
  readonly #open = new Map<string, RecordedSession>()
  readonly #filling = new Set<RecordedSession>()
  #gateway: RecordedSession | undefined
  #renewal: Disposable | undefined
  /** What passes unrecorded, where a target's policy is to go on without the book. Begins with a failure. */
  readonly gaps: Gaps
  #state: BookState = 'open'
  #failure: Error | undefined
  #stopping = false

  private constructor(options: RecorderOptions, parts: RecorderParts, thread: RecorderThread, ready: Ready) {
    this.#options = options
    this.#parts = parts
    this.#thread = thread
    this.opened = ready
    this.origin = ready.origin
    const { openJournal = (path) => new PlacedFile(path) } = parts
    this.#disk = openJournal(ready.journalPath)
    const ring = new JournalRing(this.#disk, new JournalMarks(ready.marks), ready.lastBatch)
    this.#log = new GroupCommit(ring, {
      disk: this.#disk,
      schedule: parts.schedule,
      onFailure: (error) => this.#fail(error),
      goOn: options.goOn ?? false,
    })
    const { gap: path, ballast } = bookFiles(options.directory)
    this.gaps = new Gaps({ path, ballast, now: parts.now, schedule: parts.schedule })
  }

  /** Opens and recovers the book, then opens the gateway's own session. */
  static async start(options: RecorderOptions, parts: RecorderParts): Promise<Recorder> {
    const { kek: _, compress: __, goOn: ___, ...forThread } = options
    const { thread, ready } = await RecorderThread.start(forThread, parts.schedule)
    const recorder = new Recorder(options, parts, thread, ready)
    thread.listen({
      onState: (state, freeBytes) => {
        recorder.#state = state
        parts.onState(state, freeBytes)
      },
      onFailure: (error) => recorder.#fail(error),
    })
    try {
      await recorder.#renewGateway()
    } catch (error) {
      // Nobody else could: the caller never sees this recorder.
      await thread.stop().catch(() => {})
      throw error
    }
    return recorder
  }

  /** What belongs to no user's session is recorded in the gateway's own. */
  get gateway(): RecordedSession {
    assert(this.#gateway !== undefined, 'the gateway session is open while the recorder is')
    return this.#gateway
  }

  get state(): BookState | 'failed' {
    return this.#failure === undefined ? this.#state : 'failed'
  }

  /** Why nothing is let in any more; undefined too where work goes on without the book. */
  get failure(): Error | undefined {
    return this.#options.goOn === true ? undefined : this.#failure
  }

  isOpen(sid: string): boolean {
    return this.#open.has(sid)
  }

  /** Opens a session: when this resolves its opening leaf is appended, and its key is durable. */
  async open(start: SessionStart): Promise<RecordedSession> {
    // The gateway's own is no new work: it is what a nearly full disk is told in.
    if (start.act !== 'gateway') this.#refuseWhenClosed()
    const sid = newSid(this.#parts.random)
    const key = new DataKey(this.origin, sid, this.#parts.random)
    const wrapped = key.wrap((bytes) => this.#options.kek.wrap(this.origin, sid, bytes, this.#parts.random))
    try {
      if (!this.#log.isLeftOpen) await this.#keep(wrapped)
      if (this.#stopping) throw new RecorderClosedError('the gateway is stopping')
      return this.#begin(start, key)
    } catch (error) {
      key.destroy()
      throw error
    }
  }

  /** A thread that dies meanwhile takes the key with it: then there is no record either that needs it. */
  async #keep(wrapped: WrappedKey): Promise<void> {
    try {
      await this.#thread.ask({ type: 'keys', keys: [wrapped] })
    } catch (error) {
      if (!this.#log.isLeftOpen) throw error
    }
  }

  #refuseWhenClosed(): void {
    if (this.failure !== undefined) {
      throw new RecorderClosedError('the book cannot be written', { cause: this.#failure })
    }
    if (this.#stopping) throw new RecorderClosedError('the gateway is stopping')
    if (this.#state === 'suspended') throw new RecorderClosedError("the book's disk is nearly full")
  }

  #begin(start: SessionStart, key: DataKey): RecordedSession {
    const { act, sub, target: tgt, who } = start
    const session = new RecordedSession(start.mode, {
      key,
      log: this.#log,
      now: this.#parts.now,
      compress: this.#options.compress,
      onClosed: (closed) => this.#open.delete(closed.sid),
      onFilling: (filling) => this.#cutLater(filling),
      ...(this.#options.goOn === true ? { onBegun: (mark) => this.#begun(tgt ?? '', mark) } : {}),
    })
    const payloads = who === undefined ? [] : [{ type: 'who' as const, body: who }]
    session.append({ kind: 'session.open', act, com: key.commitment, sub, tgt }, payloads)
    // Only now: what has no opening leaf must not be closed by one either.
    this.#open.set(session.sid, session)
    return session
  }

  /** Where work may go on without the book, each operation is counted that the book may not learn of. */
  #begun(target: string, mark: Mark): void {
    if (this.#log.isLeftOpen) this.gaps.count(target)
    else this.gaps.appended(target, mark)
  }

  /** The mark of all that has been recorded so far: under `relaxed` a record has none of its own. */
  soFar(): Mark {
    return this.#log.soFar()
  }

  reached(mark: Mark, reach: Reach): boolean {
    return this.#log.reached(mark, reach)
  }

  /** The hot path's form of `wait`: no promise is made. */
  when(mark: Mark, reach: Reach, done: (error?: Error) => void): void {
    this.#log.when(mark, reach, done)
  }

  wait(mark: Mark, reach: Reach): Promise<void> {
    return this.#log.wait(mark, reach)
  }

  /** Resolves when the record is committed to the book; `size` is the book's size then, so its index is below. */
  async committed(mark: Mark): Promise<{ size: number }> {
    await this.#log.wait(mark, 'written')
    return this.#thread.ask({ type: 'committed', batch: mark })
  }

  /** Whether the book is behind: whoever reads requests stops reading until `relieved` resolves. */
  get congested(): boolean {
    return this.#failure === undefined && this.#log.backlog > Math.min(BACKLOG_HIGH, this.#disk.size / 4)
  }

  relieved(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#failure !== undefined || this.#log.backlog <= Math.min(BACKLOG_LOW, this.#disk.size / 8))
          resolve()
        else this.#parts.schedule.after(LOOK_FOR_RELIEF_MS, look)
      }
      look()
    })
  }

  status(): Promise<BookStatus> {
    return this.#thread.ask({ type: 'status' })
  }

  /** For src/record/administration.ts: what changes the book itself rather than adding to it. */
  get thread(): RecorderThread {
    return this.#thread
  }

  /** Writes zeros over the journal's free space: what was erased must not live on there. */
  scrubJournal(): Promise<void> {
    return this.#log.scrub()
  }

  /** Closes what is open, lets everything reach the book, and ends the thread; rejects when that cannot be done. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#renewal?.[Symbol.dispose]()
    try {
      if (this.#failure === undefined) {
        const users = [...this.#open.values()].filter((session) => session !== this.#gateway)
        for (const session of users) session.close('stop')
        const last = this.#gateway?.close('stop')
        if (last !== undefined) await this.#log.wait(last, 'durable')
      }
    } finally {
      // What was put off and can be recorded no more belongs to the gap, whose last word follows.
      this.#log.catchUp()
      await this.gaps.end()
      await this.#thread.stop()
      this.#disk[Symbol.dispose]()
    }
  }

  async #renewGateway(): Promise<void> {
    const old = this.#gateway
    this.#gateway = await this.open({ act: 'gateway', mode: 'standard' })
    old?.close('renew')
    this.#renewal = this.#parts.schedule.after(GATEWAY_SESSION_MS, () => {
      this.#renewGateway().catch((error: unknown) => {
        if (!this.#stopping) this.#fail(error instanceof Error ? error : new Error(String(error)))
      })
    })
  }

  #cutLater(session: RecordedSession): void {
    if (this.#filling.size === 0) this.#parts.schedule.after(CUT_CHUNKS_EVERY_MS, () => this.#cutChunks())
    this.#filling.add(session)
  }

  #cutChunks(): void {
    for (const session of [...this.#filling]) {
      const done = session.closed || this.#failure !== undefined || !session.cutOldChunks()
      if (done) this.#filling.delete(session)
    }
    if (this.#filling.size > 0) this.#parts.schedule.after(CUT_CHUNKS_EVERY_MS, () => this.#cutChunks())
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.gaps.begin(this.#log.written)
    this.#log.close(error)
    if (error instanceof JournalError && this.#options.goOn !== true) this.#tellSuspension()
    this.#parts.onFailure(error)
  }

  /** The book behind a journal that has failed can still be written, and says why it ends. */
  #tellSuspension(): void {
    // Where it cannot, it has failed as well, and says nothing new.
    this.#thread.ask({ type: 'suspend' }).catch(() => {})
  }
}

/** 80 random bits. */
function newSid(random: Random): string {
  return Array.from(random(SID_CHARACTERS), (byte) => SID_ALPHABET[byte % 32]).join('')
}
