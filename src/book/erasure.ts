/**
 * Erasure and retention, FORMAT.md section 7. The record comes first and is durable; its commit also enters what it
 * orders into the table `deletion`. From there it is carried out in slices, between which the book goes on growing,
 * and taken up again after a crash: every step may be done twice.
 */
import type { Database, Statement } from 'better-sqlite3'
import { truncateLog } from './database.ts'
import { type Entry, spelled } from './entry.ts'
import type { BookFiles } from './files.ts'
import { decodeBundle, type Leaf, parseLeaf, type Scope } from './format.ts'
import type { KeyStore } from './keys.ts'
import { blotOut } from './lost-journals.ts'

/** What one slice removes at most, in rows and in bytes, and how many commits one slice looks at. */
const ROWS_A_SLICE = 500
const BYTES_A_SLICE = 4 << 20
const BUNDLES_A_SLICE = 50

type Order = { readonly erase: Scope } | { readonly retain: number }

/** What a record orders to be deleted, an Order as the text of its row; undefined for all other kinds. */
export function deletionScope(entry: Entry): string | undefined {
  const { kind } = entry.grammar
  if (kind === 'erase') return `{"erase":${spelled(entry, 'scope')}}`
  if (kind === 'retain') return `{"retain":${spelled(entry, 'below')}}`
  return undefined
}

interface BundleRow {
  first: number
  count: number
  codec: number
  crc: number
  leaves: Buffer
}

/** `waiting`: all rows are gone, but a reader still holds a state of the database that has them. */
export type ErasureState = 'busy' | 'waiting' | 'idle'

export class Erasure {
  readonly #db: Database
  readonly #files: BookFiles
  readonly #keys: KeyStore
  readonly #next: Statement
  readonly #bundles: Statement
  readonly #erase: Statement
  readonly #isErased: Statement
  readonly #select: Statement
  readonly #data: Statement
  readonly #remove: Statement
  readonly #finish: Statement
  #work: { readonly seq: number; readonly steps: Iterator<void> } | undefined
  /** Rows are gone up to the order of this record; and nothing of it is in the database's files. */
  #removed = -1
  #carriedOut = -1
  /** Up to the order of this record, nothing is in the journal either. */
  #scrubbed: number

  /** `scrubbed`: the newest order at a time when the journal held nothing but zeros. */
  constructor(db: Database, files: BookFiles, keys: KeyStore, scrubbed: number) {
    this.#db = db
    this.#files = files
    this.#keys = keys
    this.#scrubbed = scrubbed
    this.#next = db.prepare('SELECT seq, scope FROM deletion WHERE done = 0 AND seq > ? ORDER BY seq LIMIT 1')
    this.#bundles = db.prepare(
      'SELECT first, count, codec, crc, leaves FROM bundle WHERE first >= ? AND first < ? ORDER BY first LIMIT ?',
    )
    this.#erase = db.prepare('INSERT INTO erased(sid, i, seq) VALUES (?,?,?)')
    this.#isErased = db.prepare('SELECT 1 FROM erased WHERE sid = ? AND i IS ?').pluck()
    this.#select = db.prepare(
      'SELECT i, length(data) AS bytes FROM payload WHERE sid = ? AND i > ? ORDER BY i LIMIT ?',
    )
    this.#data = db.prepare('SELECT data FROM payload WHERE sid = ? AND i = ?').pluck()
    this.#remove = db.prepare('DELETE FROM payload WHERE sid = ? AND i = ?')
    this.#finish = db.prepare('UPDATE deletion SET done = 1 WHERE done = 0 AND seq <= ?')
  }

  /** The newest order that is carried out but for the journal. */
  get carriedOut(): number {
    return this.#carriedOut
  }

  /** Does one slice of what is ordered. */
  step(): ErasureState {
    if (this.#work === undefined) {
      const row = this.#next.get(this.#removed) as { seq: number; scope: string } | undefined
      if (row === undefined) return this.#clearLogs()
      this.#work = { seq: row.seq, steps: this.#carryOut(row.seq, JSON.parse(row.scope) as Order) }
    }
    const { seq, steps } = this.#work
    // A generator that has thrown calls itself done: what failed is begun anew instead.
    this.#work = undefined
    if (steps.next().done === true) this.#removed = seq
    else this.#work = { seq, steps }
    return 'busy'
  }

  /** The journal's free space was written over after the orders up to that of record `through` were carried out. */
  scrubbed(through: number): void {
    this.#scrubbed = Math.max(this.#scrubbed, through)
    this.#finish.run(Math.min(this.#scrubbed, this.#carriedOut))
  }

  /** What was deleted still stands in the databases' logs, until they are written back and cut. */
  #clearLogs(): ErasureState {
    if (this.#carriedOut === this.#removed) return 'idle'
    const isClear = [truncateLog(this.#db), this.#keys.truncateLog()].every((one) => one)
    if (!isClear) return 'waiting'
    this.#carriedOut = this.#removed
    this.#finish.run(Math.min(this.#scrubbed, this.#carriedOut))
    return 'idle'
  }

  *#carryOut(seq: number, order: Order): Generator<void> {
    if ('retain' in order) {
      yield* this.#closedBelow(order.retain, seq)
      yield* this.#prune(order.retain, seq)
    } else if ('below' in order.erase) {
      // An order over records that were not there yet lets no verifier excuse what is missing.
      if (order.erase.below <= seq) yield* this.#closedBelow(order.erase.below, seq)
    } else if ('sids' in order.erase) {
      yield* this.#sessions(order.erase.sids, seq)
    } else {
      const { refs } = order.erase
      // First: once the row is gone, nobody knows what to look for.
      for (const [sid, i] of refs) {
        const data = this.#data.get(sid, i) as Buffer | undefined
        if (data !== undefined) blotOut(this.#files, data)
        yield
      }
      this.#atOnce(() => {
        for (const [sid, i] of refs) this.#markErased(sid, i, seq)
      })
      yield* this.#removeAll(refs.map(([sid, i]) => ({ sid, from: i, to: i })))
    }
  }

  /** The keys first: from then on the rows are nothing but noise, wherever a copy of them is. */
  *#sessions(sids: readonly string[], seq: number): Generator<void> {
    this.#keys.remove(sids)
    this.#atOnce(() => {
      for (const sid of sids) this.#markErased(sid, null, seq)
    })
    yield* this.#removeAll(sids.map((sid) => ({ sid, from: 0, to: Number.MAX_SAFE_INTEGER })))
  }

  *#closedBelow(below: number, seq: number): Generator<void> {
    for (const leaves of this.#slices(0, below)) {
      const closed = leaves.filter((leaf) => leaf.kind === 'session.close' && leaf.seq < below)
      const sids = closed.flatMap(({ sid }) => (sid === undefined ? [] : [sid]))
      for (let at = 0; at < sids.length; at += ROWS_A_SLICE) {
        yield* this.#sessions(sids.slice(at, at + ROWS_A_SLICE), seq)
        yield
      }
      yield
    }
  }

  /** Removes rows, in as many transactions as their number and size need. */
  *#removeAll(ranges: Iterable<{ sid: string; from: number; to: number }>): Generator<void> {
    let doomed: [string, number][] = []
    let bytes = 0
    const remove = (): void => {
      this.#atOnce(() => {
        for (const [sid, i] of doomed) this.#remove.run(sid, i)
      })
      doomed = []
      bytes = 0
    }
    for (const { sid, from, to } of ranges) {
      for (const row of this.#payloads(sid, from, to)) {
        doomed.push([sid, row.i])
        bytes += row.bytes
        if (doomed.length < ROWS_A_SLICE && bytes < BYTES_A_SLICE) continue
        remove()
        yield
      }
    }
    if (doomed.length > 0) remove()
  }

  *#payloads(sid: string, from: number, to: number): Generator<{ i: number; bytes: number }> {
    for (let after = from - 1; ; ) {
      const rows = this.#select.all(sid, after, ROWS_A_SLICE) as { i: number; bytes: number }[]
      for (const row of rows) {
        if (row.i > to) return
        yield row
      }
      const last = rows.at(-1)
      if (last === undefined) return
      after = last.i
    }
  }

  *#prune(below: number, seq: number): Generator<void> {
    const straddling = new Map<string, [number, Uint8Array]>()
    for (const rows of this.#rows(0, below)) {
      this.#atOnce(() => {
        for (const [at, bytes] of rows) {
          const { kind, sid = '' } = parseLeaf(bytes)
          if (kind === 'session.open') straddling.set(sid, [at, bytes])
          else if (kind === 'session.close') straddling.delete(sid)
          else if (kind === 'key.next' || kind === 'erase' || kind === 'retain') this.#keep(at, bytes)
        }
      })
      yield
    }
    this.#atOnce(() => {
      for (const [at, bytes] of straddling.values()) this.#keep(at, bytes)
      this.#db.prepare('INSERT OR IGNORE INTO prune(below, seq) VALUES (?,?)').run(below, seq)
    })
    const remove = this.#db.prepare(
      'DELETE FROM bundle WHERE first IN (SELECT first FROM bundle WHERE first < ? ORDER BY first LIMIT ?)',
    )
    while (remove.run(below, BUNDLES_A_SLICE).changes === BUNDLES_A_SLICE) yield
  }

  #keep(seq: number, leaf: Uint8Array): void {
    const known = this.#db.prepare('SELECT 1 FROM kept WHERE seq = ?').get(seq)
    if (known === undefined) this.#db.prepare('INSERT INTO kept(seq, leaf) VALUES (?,?)').run(seq, leaf)
  }

  #markErased(sid: string, i: number | null, seq: number): void {
    if (this.#isErased.get(sid, i) === undefined) this.#erase.run(sid, i, seq)
  }

  *#slices(from: number, below: number): Generator<Leaf[]> {
    for (const rows of this.#rows(from, below)) yield rows.map(([, bytes]) => parseLeaf(bytes))
  }

  *#rows(from: number, below: number): Generator<[number, Uint8Array][]> {
    let at = from
    for (;;) {
      const rows = this.#bundles.all(at, below, BUNDLES_A_SLICE) as BundleRow[]
      const last = rows.at(-1)
      if (last === undefined) return
      yield rows.flatMap((row) =>
        decodeBundle(row).map((leaf, k): [number, Uint8Array] => [row.first + k, leaf]),
      )
      at = last.first + last.count
    }
  }

  #atOnce(run: () => void): void {
    this.#db.transaction(run).immediate()
  }
}

/** The index that a retention "below `wish`" really has: a commit's first, within full tiles, something surviving. */
export function retentionPoint(db: Database, wish: number, size: number): number | undefined {
  const limit = Math.min(wish, Math.floor(size / 256) * 256)
  const first = db.prepare('SELECT max(first) FROM bundle WHERE first <= ?').pluck().get(limit)
  return typeof first === 'number' && first > 0 ? first : undefined
}
