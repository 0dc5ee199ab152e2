/** The book's one writer, without a journal before it. */
import { type OpenedBook, openBook } from '../../src/book/open.ts'
import type { KeepPolicy, NewRecord } from '../../src/book/store.ts'
import { newRecord, Store } from '../../src/book/store.ts'
import { systemRandom } from '../../src/record/random.ts'

export interface OpenStore extends Disposable {
  readonly book: OpenedBook
  readonly store: Store
}

export function openStore(directory: string, keep: KeepPolicy = { records: 1e9, micros: 1e15 }): OpenStore {
  const book = openBook(directory)
  const { db, origin, signer, head } = book
  const store = new Store(db, origin, signer, head, { random: systemRandom(), keep })
  return { book, store, [Symbol.dispose]: () => book[Symbol.dispose]() }
}

/** Records that say nothing. */
export function heartbeats(count: number, ts = 1_763_600_000_000_000): NewRecord[] {
  return Array.from({ length: count }, () => newRecord({ kind: 'heartbeat', ts }))
}
