/**
 * The recorder's side of the journal: owns the opened book, drains into it, keeps house and carries out requests.
 * It has no loop and no thread of its own; thread.ts turns it.
 */
import { formatVkey } from '../book/checkpoint.ts'
import { readFirstVkey } from '../book/create.ts'
import { sqliteCode, truncateLog } from '../book/database.ts'
import { Erasure, retentionPoint } from '../book/erasure.ts'
import { JOURNAL_FILE, journalPath } from '../book/files.ts'
import { JournalMarks, JournalTail } from '../book/journal.ts'
import { KeyStore } from '../book/keys.ts'
import { type OpenedBook, openBook } from '../book/open.ts'
import type { Random } from '../book/payload.ts'
import { rotateSigningKey } from '../book/rotation.ts'
import { newRecord, Store } from '../book/store.ts'
import { isDiskFull, PlacedFile } from '../system/durable.ts'
import { Drain } from './drain.ts'
import type { Answer, BookState, Ready, Request, ThreadOptions } from './messages.ts'
import { recover } from './recovery.ts'
import { Upkeep } from './upkeep.ts'

/** How SQLite says it, of its files and of the index over its log. */
const FULL = ['SQLITE_FULL', 'SQLITE_IOERR_SHMSIZE']

export interface BookkeeperParts {
  /** Microseconds since 1970. */
  readonly now: () => number
  readonly random: Random
  readonly onState: (state: BookState, freeBytes: number) => void
  /** Answers come in this way, sooner or later, one for each request. */
  readonly onAnswer: (id: number, answer: Answer) => void
}

export class Bookkeeper {
  readonly ready: Ready
  readonly #book: OpenedBook
  readonly #parts: BookkeeperParts
  readonly #keys: KeyStore
  readonly #store: Store
  readonly #marks = new JournalMarks()
  readonly #disk: PlacedFile
  readonly #drain: Drain
  readonly #erasure: Erasure
  readonly #upkeep: Upkeep
  #forCommitted: { readonly id: number; readonly batch: number }[] = []
  #forDeleted: number[] = []
  #suspending: number[] = []
  #drained: number
  #stopping: number | undefined

  /** Opens and recovers the book: when this returns, it can be recorded into. */
  constructor(options: ThreadOptions, parts: BookkeeperParts) {
    const { book, keys, store, recovered } = openRecovered(options, parts)
    const { db, files, origin, signer, clean } = book
    this.#parts = parts
    this.#book = book
    this.#keys = keys
    this.#store = store
    this.#drained = recovered.lastBatch
    this.#disk = new PlacedFile(journalPath(files))
    this.#drain = new Drain(
      new JournalTail(this.#disk, this.#marks, recovered.lastBatch),
      this.#store,
      JOURNAL_FILE,
    )
    this.#erasure = new Erasure(db, files, keys, recovered.scrubbed)
    const { disk, signingKeyMaxAgeMs } = options
    this.#upkeep = new Upkeep({ ...parts, db, store: this.#store, files, disk, signingKeyMaxAgeMs })
    this.ready = {
      type: 'ready',
      origin,
      vkey: readFirstVkey(files) ?? formatVkey(signer.vkey),
      size: this.#store.head.size,
      journalPath: journalPath(files),
      lastBatch: recovered.lastBatch,
      marks: this.#marks.buffer,
      recovered: recovered.records,
      closedAsUnknown: recovered.closedAsUnknown,
      clean,
    }
  }

  /**
   * One round of work. `busy`: there is more to do at once. `idle`: what has come meanwhile may gather. `stopped`:
   * everything is in the book and closed. `mayWait`: nobody asks for it, so that half a commit may wait for a whole.
   */
  turn(mayWait = false): 'busy' | 'idle' | 'stopped' {
    const isAsked = this.#forCommitted.length + this.#suspending.length > 0 || this.#stopping !== undefined
    const drained = this.#withRoom(() => this.#drain.step(mayWait && !isAsked))
    if (drained !== undefined) {
      this.#drained = drained.batch
      const done = this.#forCommitted.filter(({ batch }) => batch <= drained.batch)
      this.#forCommitted = this.#forCommitted.filter(({ batch }) => batch > drained.batch)
      for (const { id } of done) this.#parts.onAnswer(id, { size: drained.head.size })
      if (drained.closed.length > 0) this.#withRoom(() => this.#keys.markClosed(drained.closed))
    }
    const erasing = this.#withRoom(() => this.#erasure.step())
    if (erasing === 'idle') {
      const through = this.#erasure.carriedOut
      for (const id of this.#forDeleted.splice(0)) this.#parts.onAnswer(id, { through })
    }
    if (drained === undefined) this.#suspend()
    this.#withRoom(() => this.#book.sidecar.offer(this.#store.head.note, this.#parts.now() / 1000))
    this.#withRoom(() => this.#upkeep.turn(drained !== undefined))
    if (drained?.isBehind === true || erasing === 'busy') return 'busy'
    if (this.#stopping === undefined) return 'idle'
    if (drained !== undefined) return 'busy'
    this.#stop(this.#stopping)
    return 'stopped'
  }

  handle(id: number, request: Request): void {
    this.#withRoom(() => this.#handle(id, request))
  }

  #handle(id: number, request: Request): void {
    const answer = (value: Answer): void => this.#parts.onAnswer(id, value)
    switch (request.type) {
      case 'keys':
        this.#keys.add(request.keys, this.#store.head.size)
        answer(undefined)
        break
      case 'committed':
        if (request.batch <= this.#drained) answer({ size: this.#store.head.size })
        else this.#forCommitted.push({ id, batch: request.batch })
        break
      case 'rotate-signing-key':
        answer({ vkey: rotateSigningKey(this.#book.files, this.#store, this.#parts.now()) })
        break
      case 'retention-point':
        answer({ below: retentionPoint(this.#book.db, request.below, this.#store.head.size) })
        break
      case 'unknown-sessions':
        answer({ unknown: request.sids.find((sid) => !this.#isKnown(sid)) })
        break
      case 'deleted':
        this.#forDeleted.push(id)
        break
      case 'scrubbed':
        this.#erasure.scrubbed(request.through)
        answer(undefined)
        break
      case 'status': {
        const { size, note: head } = this.#store.head
        const undrained = this.#marks.written - this.#drained
        answer({ origin: this.#book.origin, size, head, undrained, state: this.#upkeep.state })
        break
      }
      case 'suspend':
        this.#suspending.push(id)
        break
      case 'keys-not-under':
        answer({ keys: this.#keys.wrappedOtherwise(request.kek, request.limit) })
        break
      case 'rewrapped':
        this.#keys.rewrap(request.keys)
        answer(undefined)
        break
      case 'stop':
        this.#stopping = id
        break
    }
  }

  #isKnown(sid: string): boolean {
    if (this.#keys.find(sid) !== undefined) return true
    return this.#book.db.prepare('SELECT 1 FROM payload WHERE sid = ? LIMIT 1').get(sid) !== undefined
  }

  /** Behind all that the journal still gave. */
  #suspend(): void {
    for (const id of this.#suspending.splice(0)) {
      const record = newRecord({ kind: 'suspend', ts: this.#parts.now(), why: 'store' })
      this.#withRoom(() => this.#store.append([record]))
      this.#parts.onAnswer(id, undefined)
    }
  }

  /** On a full disk the ballast's room is for what ends the running work in order: `work` is tried once more in it. */
  #withRoom<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      const isFull = isDiskFull(error) || FULL.includes(sqliteCode(error) ?? '')
      if (!isFull || !this.#upkeep.suspend()) throw error
      return work()
    }
  }

  #stop(id: number): void {
    const { db, keys, sidecar } = this.#book
    this.#withRoom(() => this.#store.append([], { keep: true }))
    this.#withRoom(() => sidecar.write(this.#store.head.note))
    for (const one of [db, keys]) truncateLog(one)
    this.#disk[Symbol.dispose]()
    this.#book[Symbol.dispose]()
    this.#parts.onAnswer(id, undefined)
  }
}

/** A book that cannot be recovered is not held on to. */
function openRecovered(options: ThreadOptions, parts: BookkeeperParts) {
  const book = openBook(options.directory, options.signingKey)
  try {
    const { db, origin, signer, head } = book
    const keys = new KeyStore(book.keys)
    const store = new Store(db, origin, signer, head, { random: parts.random, keep: options.keepCheckpoint })
    const recovered = recover(book, store, keys, { ...options, now: parts.now })
    book.sidecar.write(store.head.note)
    return { book, keys, store, recovered }
  } catch (cause) {
    book[Symbol.dispose]()
    throw cause
  }
}
