/** What the recorder's thread does beside draining: says that it is alive, keeps the WAL short, watches the disk. */
import { existsSync, statfsSync, statSync } from 'node:fs'
import { makeBallast } from '../book/create.ts'
import { framesInLog, truncateLog } from '../book/database.ts'
import type { BookFiles } from '../book/files.ts'
import type { OpenedBook } from '../book/open.ts'
import { rotateSigningKey, signingKeyIsDue } from '../book/rotation.ts'
import { newRecord, type Store } from '../book/store.ts'
import { isDiskFull, removeFileDurably } from '../system/durable.ts'
import type { BookState, DiskPolicy } from './messages.ts'

export const HEARTBEAT_US = 60_000_000
/** Pages: 16 MiB. */
const WAL_PASSIVE_FRAMES = 4096
const WAL_TRUNCATE_BYTES = 64 << 20
const IDLE_BEFORE_CHECKPOINT_MS = 1000
const LOOK_EVERY_MS = 1000

export interface UpkeepParts {
  readonly db: OpenedBook['db']
  readonly store: Store
  readonly files: BookFiles
  readonly disk: DiskPolicy
  readonly signingKeyMaxAgeMs: number
  /** Microseconds since 1970. */
  readonly now: () => number
  readonly onState: (state: BookState, freeBytes: number) => void
}

export class Upkeep {
  /** How many records there were at the last look, and when the last of them was made. */
  #last = { size: -1, at: 0 }
  readonly #parts: UpkeepParts
  #state: BookState = 'open'
  #lookedAt = 0
  #lastWork = 0
  #checkpointed = true
  /** How long the log was when it was last written back. */
  #writtenBack = 0

  constructor(parts: UpkeepParts) {
    this.#parts = parts
    this.#lastWork = parts.now()
    // It was used up before the process ended: what used it up may still be there.
    if (parts.disk.ballastBytes > 0 && !existsSync(parts.files.ballast)) this.#suspend()
  }

  get state(): BookState {
    return this.#state
  }

  /** After each turn of the drain. */
  turn(worked: boolean): void {
    const now = this.#parts.now()
    if (worked) {
      this.#lastWork = now
      this.#checkpointed = false
      this.#writeLogBack()
    }
    // Either way: a clock that was set back must not keep the disk from being watched.
    if (Math.abs(now - this.#lookedAt) < LOOK_EVERY_MS * 1000) return
    this.#lookedAt = now
    // An erasure fills it without records.
    this.#writeLogBack()
    this.#shortenLog(now)
    this.#watchDisk()
    const { files, store, signingKeyMaxAgeMs } = this.#parts
    if (signingKeyIsDue(files, signingKeyMaxAgeMs, now / 1000)) rotateSigningKey(files, store, now)
    if (now - this.#silentSince(now) >= HEARTBEAT_US) {
      store.append([newRecord({ kind: 'heartbeat', ts: now })])
    }
  }

  /** When the last record was made, as the clock has it now: one that was set back says it of the future. */
  #silentSince(now: number): number {
    const { size, ts } = this.#parts.store.head
    const since = size === this.#last.size ? this.#last.at : ts
    this.#last = { size, at: Math.min(since, now) }
    return this.#last.at
  }

  /** The disk is full: the ballast makes room for the records that close what runs. False: it is used up. */
  suspend(): boolean {
    const { files } = this.#parts
    if (!existsSync(files.ballast)) return false
    removeFileDurably(files.ballast)
    if (this.#state !== 'suspended') this.#suspend()
    return true
  }

  #suspend(): void {
    const { store, now } = this.#parts
    this.#enter('suspended')
    store.append([newRecord({ kind: 'suspend', ts: now(), why: 'disk' })])
  }

  /**
   * Once it is long, and not once a second: bulk would make it so long meanwhile that it had to be cut. What a reader
   * keeps from being written back waits for as much again.
   */
  #writeLogBack(): void {
    const { db } = this.#parts
    const frames = framesInLog(db)
    if (frames < this.#writtenBack) this.#writtenBack = 0
    if (frames - this.#writtenBack < WAL_PASSIVE_FRAMES) return
    db.pragma('wal_checkpoint(PASSIVE)')
    this.#writtenBack = frames
  }

  /**
   * The log's file is kept and written over: growing it anew would make every fsync pay for the file system's own
   * journal. It is cut only where a reader has let it grow. A busy reader is no error: the next look tries again.
   */
  #shortenLog(now: number): void {
    const { db, files } = this.#parts
    const log = `${files.book}-wal`
    const bytes = existsSync(log) ? statSync(log).size : 0
    const isIdle = now - this.#lastWork >= IDLE_BEFORE_CHECKPOINT_MS * 1000
    if (bytes >= WAL_TRUNCATE_BYTES) truncateLog(db)
    else if (isIdle && !this.#checkpointed) {
      db.pragma('wal_checkpoint(PASSIVE)')
      this.#checkpointed = true
    }
  }

  #watchDisk(): void {
    const { disk, files } = this.#parts
    const { bavail, blocks, bsize } = statfsSync(files.directory)
    const free = bavail * bsize
    const share = bavail / blocks
    const tight = share < disk.closeShare || free < disk.closeBytes
    if (this.#state === 'suspended') {
      if (tight || !this.#refillBallast()) return
      const { store, now } = this.#parts
      store.append([newRecord({ kind: 'resume', ts: now(), why: 'disk' })])
      this.#enter(share < disk.warnShare ? 'low' : 'open')
    } else if (tight) this.#suspend()
    else this.#enter(share < disk.warnShare ? 'low' : 'open')
  }

  /** Work is taken again only when the next full disk can be closed in order, too. */
  #refillBallast(): boolean {
    const { files, disk } = this.#parts
    if (existsSync(files.ballast)) return true
    try {
      makeBallast(files, disk.ballastBytes)
      return true
    } catch (error) {
      if (existsSync(files.ballast)) removeFileDurably(files.ballast)
      if (isDiskFull(error)) return false
      throw error
    }
  }

  #enter(state: BookState): void {
    if (state === this.#state) return
    this.#state = state
    const { bavail, bsize } = statfsSync(this.#parts.files.directory)
    this.#parts.onState(state, bavail * bsize)
  }
}
