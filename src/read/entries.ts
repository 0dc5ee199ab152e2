/**
 * The rows as the indexer writes them. Most of what a row costs is its statement, so several share one; whoever
 * changes a row or looks for some has those written first that still wait.
 */
import type { Database, Statement } from 'better-sqlite3-multiple-ciphers'
import { FLAG } from './index-file.ts'

type Value = number | null

const COLUMNS = [
  'id',
  'ts',
  'action',
  'session',
  'op',
  'par',
  'actor',
  'sub',
  'target',
  'addr',
  'proto',
  'db',
  'shape',
  'trace',
  'flags',
  'out',
  'code',
  'rows',
  'bytes',
  'dur',
  'said',
] as const

export type NewEntry = Readonly<Record<(typeof COLUMNS)[number], Value>>

/** What ends an operation: its outcome, and the record that says so. */
export interface Ending {
  readonly out: number
  readonly code: Value
  readonly rows: Value
  readonly bytes: Value
  readonly dur: Value
  readonly fin: number
}

const ROWS = 8

export class Entries {
  readonly #one: Statement
  readonly #many: Statement
  readonly #end: Statement
  readonly #recorded: Statement
  readonly #findOpen: Statement
  #waiting: Value[] = []

  constructor(db: Database) {
    this.#one = db.prepare(insertion(1))
    this.#many = db.prepare(insertion(ROWS))
    this.#end = db.prepare(
      'UPDATE entry SET out = ?, code = ?, rows = ?, bytes = ?, dur = ?, fin = ? WHERE id = ?',
    )
    this.#recorded = db.prepare(`UPDATE entry SET flags = flags | ${FLAG.recording} WHERE id = ?`)
    this.#findOpen = db
      .prepare('SELECT min(id) FROM entry INDEXED BY by_open WHERE session = ? AND op = ? AND out IS NULL')
      .pluck()
  }

  add(row: NewEntry): void {
    const { id, ts, action, session, op, par, actor, sub, target, addr, proto } = row
    const { db, shape, trace, flags, out, code, rows, bytes, dur, said } = row
    this.#waiting.push(id, ts, action, session, op, par, actor, sub, target, addr, proto)
    this.#waiting.push(db, shape, trace, flags, out, code, rows, bytes, dur, said)
    if (this.#waiting.length < ROWS * COLUMNS.length) return
    this.#many.run(...this.#waiting)
    this.#waiting = []
  }

  flush(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (let at = 0; at < waiting.length; at += COLUMNS.length) {
      this.#one.run(...waiting.slice(at, at + COLUMNS.length))
    }
  }

  end(id: number, { out, code, rows, bytes, dur, fin }: Ending): void {
    this.#settle(id)
    this.#end.run(out, code, rows, bytes, dur, fin, id)
  }

  markRecorded(id: number): void {
    this.#settle(id)
    this.#recorded.run(id)
  }

  /** Their ids ascend, so the first that waits says whether this one does. */
  #settle(id: number): void {
    if (id >= (this.#waiting[0] ?? Number.POSITIVE_INFINITY)) this.flush()
  }

  /** The operation's first row, while it has no outcome. */
  findOpen(session: number, op: number | undefined): number | undefined {
    this.flush()
    return (this.#findOpen.get(session, op) as number | null) ?? undefined
  }
}

function insertion(rows: number): string {
  const values = `(${COLUMNS.map(() => '?').join(',')})`
  return `INSERT INTO entry(${COLUMNS.join(',')}) VALUES ${new Array(rows).fill(values).join(',')}`
}
