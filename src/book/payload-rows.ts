/**
 * The payloads of one commit, on their way to rows. What a row costs is its statement, and the page of the index, of
 * which each session has its own: so many rows share a statement, and those of a session follow each other.
 */
import type { Database, Statement } from 'better-sqlite3'

export interface NewPayload {
  readonly i: number
  readonly bytes: Uint8Array
}

const ROWS = 16

export class PayloadRows {
  readonly #one: Statement
  readonly #many: Statement
  readonly #bySession = new Map<string, NewPayload[]>()

  constructor(db: Database) {
    this.#one = db.prepare(insertion(1))
    this.#many = db.prepare(insertion(ROWS))
  }

  clear(): void {
    this.#bySession.clear()
  }

  add(sid: string, payloads: readonly NewPayload[]): void {
    const before = this.#bySession.get(sid)
    if (before === undefined) this.#bySession.set(sid, [...payloads])
    else before.push(...payloads)
  }

  /** Inserts what was added since it was cleared. */
  insert(): void {
    let values: unknown[] = []
    for (const [sid, payloads] of this.#bySession) {
      for (const { i, bytes } of payloads) {
        values.push(sid, i, bytes)
        if (values.length < COLUMNS * ROWS) continue
        this.#many.run(values)
        values = []
      }
    }
    for (let at = 0; at < values.length; at += COLUMNS) this.#one.run(values.slice(at, at + COLUMNS))
  }
}

const COLUMNS = 3

function insertion(rows: number): string {
  return `INSERT INTO payload(sid, i, data) VALUES ${Array.from({ length: rows }, () => '(?,?,?)').join(',')}`
}
