/**
 * The journal's other end: takes whole batches, joins what belongs together, commits it to the book, and gives the
 * journal its space back. Runs in the recorder's thread; SQLite's fsync is in nobody's way there.
 */
import { sidOf } from '../book/entry.ts'
import type { Batch, JournalTail } from '../book/journal.ts'
import type { Head, NewRecord, Store } from '../book/store.ts'
import { Gathering } from './join.ts'

export interface Drained {
  readonly head: Head
  /** Number of the last batch that is in the book. */
  readonly batch: number
  readonly records: number
  /** Sessions whose close is among them. */
  readonly closed: readonly string[]
  /** Whether the journal had more than one commit takes. */
  readonly isBehind: boolean
}

/** So much of the journal, and less than that, is half a commit or less, and soon a whole one. */
const WORTH_WAITING_BYTES = { from: 64 << 10, to: 1 << 20 }

export class Drain {
  readonly #tail: JournalTail
  readonly #store: Store
  readonly #file: number
  #gathered = new Gathering()
  #hasWaited = false
  /** Read from the journal beyond what fitted into the last commit. */
  #next: Batch | undefined
  /** Read and joined, and not yet in the book: a commit that failed is tried with the same records. */
  #pending: { readonly records: readonly NewRecord[]; readonly last: Batch } | undefined

  constructor(tail: JournalTail, store: Store, file: number) {
    this.#tail = tail
    this.#store = store
    this.#file = file
  }

  /**
   * One commit of what is there, or nothing. With `mayWait`, half a commit waits for the other half until the next
   * call, and no longer. When it throws, the same records are tried by the next call.
   */
  step(mayWait = false): Drained | undefined {
    this.#pending ??= this.#take(mayWait)
    if (this.#pending === undefined) return undefined
    const { records, last } = this.#pending
    const head = this.#store.append(records, { journal: { file: this.#file, batch: last.number } })
    this.#pending = undefined
    // Only now: the gate may write over the batches behind this mark.
    this.#tail.free(last)
    const closed = records.flatMap(({ entry }) =>
      entry.grammar.kind === 'session.close' ? [sidOf(entry) ?? ''] : [],
    )
    return { head, batch: last.number, records: records.length, closed, isBehind: this.#next !== undefined }
  }

  #take(mayWait: boolean): { records: NewRecord[]; last: Batch } | undefined {
    const gathered = this.#gathered
    for (;;) {
      const batch = this.#next ?? this.#tail.next()
      this.#next = undefined
      if (batch === undefined) break
      if (gathered.take(batch)) continue
      this.#next = batch
      break
    }
    const { last, bytes } = gathered
    if (last === undefined) return undefined
    const isWorthWaiting = bytes >= WORTH_WAITING_BYTES.from && bytes < WORTH_WAITING_BYTES.to
    this.#hasWaited = mayWait && !this.#hasWaited && isWorthWaiting && this.#next === undefined
    if (this.#hasWaited) return undefined
    this.#gathered = new Gathering()
    return { records: gathered.records(), last }
  }
}
