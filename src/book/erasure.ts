/**
 * Erasure and retention, FORMAT.md section 7. The record comes first and is durable; its commit also enters what it
 * orders into the table `deletion`. From there it is carried out in slices, between which the book goes on growing,
 * and taken up again after a crash: every step may be done twice.
 */
import type { Database, Statement } from 'better-sqlite3'
import { decodeBundle, type Leaf, type Members, parseLeaf, type Scope } from './format.ts'
import type { KeyStore } from './keys.ts'

/** Rows that one slice removes, and leaves that one slice looks at. */
const ROWS_A_SLICE = 2000
const BUNDLES_A_SLICE = 50

type Order = { readonly erase: Scope } | { readonly retain: number }

/** What a record orders to be deleted, as the text of its row; undefined for all other kinds. */
export function deletionScope({ kind, scope, below }: Members): string | undefined {
  if (kind === 'erase' && scope !== undefined) return JSON.stringify({ erase: scope } satisfies Order)
  if (kind === 'retain' && below !== undefined) return JSON.stringify({ retain: below } satisfies Order)
  return undefined
}

interface BundleRow {
  first: number
  count: number
  codec: number
  crc: number
  leaves: Buffer
}

export class Erasure {
  readonly #db: Database
  readonly #keys: KeyStore
  readonly #next: Statement
  readonly #bundles: Statement
  readonly #erase: Statement
  readonly #isErased: Statement
  readonly #removeOne: Statement
  readonly #removeSome: Statement
  #work: { readonly seq: number; readonly steps: Iterator<void> } | undefined

  constructor(db: Database, keys: KeyStore) {
    this.#db = db
    this.#keys = keys
    this.#next = db.prepare('SELECT seq, scope FROM deletion WHERE done = 0 ORDER BY seq LIMIT 1')
    this.#bundles = db.prepare(
      'SELECT first, count, codec, crc, leaves FROM bundle WHERE first >= ? AND first < ? ORDER BY first LIMIT ?',
    )
    this.#erase = db.prepare('INSERT INTO erased(sid, i, seq) VALUES (?,?,?)')
    this.#isErased = db.prepare('SELECT 1 FROM erased WHERE sid = ? AND i IS ?').pluck()
    this.#removeOne = db.prepare('DELETE FROM payload WHERE sid = ? AND i = ?')
    this.#removeSome = db.prepare(
      'DELETE FROM payload WHERE rowid IN (SELECT rowid FROM payload WHERE sid = ? LIMIT ?)',
    )
  }

  /** Does one slice of what is ordered. False: nothing is left to do. */
  step(): boolean {
    if (this.#work === undefined) {
      const row = this.#next.get() as { seq: number; scope: string } | undefined
      if (row === undefined) return false
      this.#work = { seq: row.seq, steps: this.#carryOut(row.seq, JSON.parse(row.scope) as Order) }
    }
    if (this.#work.steps.next().done !== true) return true
    this.#db.prepare('UPDATE deletion SET done = 1 WHERE seq = ?').run(this.#work.seq)
    // What was deleted still stands in the WAL until it is written over: it goes now.
    this.#db.pragma('wal_checkpoint(TRUNCATE)')
    this.#work = undefined
    return true
  }

  *#carryOut(seq: number, order: Order): Generator<void> {
    if ('retain' in order) {
      yield* this.#closedBelow(order.retain, seq)
      yield* this.#prune(order.retain, seq)
    } else if ('below' in order.erase) {
      yield* this.#closedBelow(order.erase.below, seq)
    } else if ('sids' in order.erase) {
      for (const sid of order.erase.sids) yield* this.#session(sid, seq)
    } else {
      const { refs } = order.erase
      this.#atOnce(() => {
        for (const [sid, i] of refs) {
          this.#markErased(sid, i, seq)
          this.#removeOne.run(sid, i)
        }
      })
    }
  }

  /** The key first: from then on the rows are nothing but noise, wherever a copy of them is. */
  *#session(sid: string, seq: number): Generator<void> {
    this.#keys.remove([sid])
    this.#atOnce(() => this.#markErased(sid, null, seq))
    while (this.#removeSome.run(sid, ROWS_A_SLICE).changes === ROWS_A_SLICE) yield
  }

  *#closedBelow(below: number, seq: number): Generator<void> {
    for (const leaves of this.#slices(0, below)) {
      for (const { kind, sid, seq: at } of leaves) {
        if (kind === 'session.close' && sid !== undefined && at < below) yield* this.#session(sid, seq)
      }
      yield
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
