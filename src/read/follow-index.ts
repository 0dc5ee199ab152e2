/** Keeps the index at the head of the book: takes what is new, waits, and never ends by itself. */
import { openForReading } from '../book/database.ts'
import { bookFiles } from '../book/files.ts'
import { type Kek, KeyStore } from '../book/keys.ts'
import { readHeadNote } from '../book/reader.ts'
import { Deriver, type Understanding } from './derive.ts'
import { IndexFile, indexFiles } from './index-file.ts'
import { Indexer } from './indexer.ts'
import { Unsealer } from './unseal.ts'

/** Records to a transaction: few when new ones trickle in, so that they are found soon. */
export const BATCH_RECORDS = 4096

export interface IndexingOptions {
  readonly directory: string
  readonly kek: Kek
  readonly understanding: Understanding
}

export class Indexing {
  readonly #indexer: Indexer
  readonly #closes: (() => void)[]
  private constructor(indexer: Indexer, closes: (() => void)[]) {
    this.#indexer = indexer
    this.#closes = closes
  }

  static open({ directory, kek, understanding }: IndexingOptions): Indexing {
    const files = bookFiles(directory)
    const book = openForReading(files.book)
    const keys = openForReading(files.keys)
    const origin = (readHeadNote(book) ?? '').split('\n')[0] ?? ''
    const unsealer = new Unsealer(book, new KeyStore(keys), kek, origin)
    const deriver = new Deriver(unsealer, understanding)
    const open = (anew: boolean): { indexer: Indexer; file: IndexFile } => {
      const file = IndexFile.openForWriting(indexFiles(directory), kek, origin, anew)
      return { file, indexer: new Indexer({ book, index: file.db, unsealer, deriver, origin }) }
    }
    let opened = open(false)
    if (!opened.indexer.fits()) {
      opened.file.db.close()
      opened = open(true)
    }
    const { file, indexer } = opened
    return new Indexing(indexer, [() => file.db.close(), () => book.close(), () => keys.close()])
  }

  /** The first record that is not in the index. */
  get next(): number {
    return this.#indexer.next
  }

  /** Takes a batch, or tidies up where nothing is new; whether there may be more to do at once. */
  turn(): boolean {
    const taken = this.#indexer.turn(BATCH_RECORDS)
    if (taken === 0) return this.#indexer.tidy()
    return taken === BATCH_RECORDS
  }

  close(): void {
    for (const close of this.#closes) close()
  }
}
