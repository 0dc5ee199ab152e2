/**
 * The book's public side, byte for byte, for whoever verifies it elsewhere: leaves and checkpoints. It
 * holds nothing that a key would open, and judges nothing: what somebody changed is handed out as it lies there.
 */
import type { Database } from 'better-sqlite3'
import { openForReading } from '../book/database.ts'
import { readHeadNote, readLeafBytes } from '../book/reader.ts'

/** Of one page. A page ends behind the leaf that exceeds it. */
export const LEDGER_PAGE_BYTES = 1 << 20
const CHECKPOINTS_A_PAGE = 500

export interface KeptCheckpoint {
  readonly size: number
  readonly note: string
}

export class Ledger implements Disposable {
  readonly #db: Database

  private constructor(db: Database) {
    this.#db = db
  }

  static open(bookFile: string): Ledger {
    return new Ledger(openForReading(bookFile))
  }

  /** Each leaf behind its length in two bytes, big-endian. */
  leaves(from: number): Uint8Array<ArrayBuffer> {
    const parts: Buffer[] = []
    let bytes = 0
    for (const [, leaf] of readLeafBytes(this.#db, from)) {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(leaf.length)
      parts.push(length, Buffer.from(leaf))
      bytes += leaf.length + 2
      if (bytes >= LEDGER_PAGE_BYTES) break
    }
    return new Uint8Array(Buffer.concat(parts))
  }

  /** Kept checkpoints of more than `size` records, smallest first. */
  checkpoints(size: number): { readonly checkpoints: readonly KeptCheckpoint[]; readonly next?: number } {
    const checkpoints = this.#db
      .prepare('SELECT size, note FROM ckpt WHERE size > ? ORDER BY size LIMIT ?')
      .all(size, CHECKPOINTS_A_PAGE) as KeptCheckpoint[]
    const last = checkpoints.at(-1)
    return checkpoints.length < CHECKPOINTS_A_PAGE || last === undefined
      ? { checkpoints }
      : { checkpoints, next: last.size }
  }

  get head(): string {
    return readHeadNote(this.#db) ?? ''
  }

  /** The first record that has not been removed by an order of retention. */
  get first(): number {
    return (this.#db.prepare('SELECT min(first) FROM bundle').pluck().get() as number | null) ?? 0
  }

  [Symbol.dispose](): void {
    this.#db.close()
  }
}
