/**
 * The payloads of one commit as rows. What a row costs is its statement and the page of the index, of which each
 * session has its own: so many rows share a statement, and those of a session follow each other.
 */
import type { Database, Statement } from 'better-sqlite3'

export interface PayloadRow {
  readonly sid: string
  readonly i: number
  readonly bytes: Uint8Array
}

const ROWS = 16

export class PayloadRows {
  readonly #one: Statement
  readonly #many: Statement

  constructor(db: Database) {
    this.#one = db.prepare(insertion(1))
    this.#many = db.prepare(insertion(ROWS))
  }

  insert(rows: PayloadRow[]): void {
    rows.sort((a, b) => (a.sid === b.sid ? a.i - b.i : a.sid < b.sid ? -1 : 1))
    for (let at = 0; at < rows.length; ) {
      const count = rows.length - at < ROWS ? 1 : ROWS
      const values: unknown[] = []
      for (const { sid, i, bytes } of rows.slice(at, at + count)) values.push(sid, i, bytes)
      if (count === 1) this.#one.run(values)
      else this.#many.run(values)
      at += count
    }
  }
}

function insertion(rows: number): string {
  return `INSERT INTO payload(sid, i, data) VALUES ${Array.from({ length: rows }, () => '(?,?,?)').join(',')}`
}
