/**
 * From the book into the index, record after record, a batch to a transaction. It asks for what is behind the last
 * record it has taken, as every reader does, and can stop anywhere: the next start goes on from there, or begins
 * anew where the book is not the one that was read.
 */
import type { Database as Book } from 'better-sqlite3'
import type { Database, Statement } from 'better-sqlite3-multiple-ciphers'
import { type Leaf, parseLeaf } from '../book/format.ts'
import { glanceLeaf } from '../book/glance.ts'
import { readLeafBytes } from '../book/reader.ts'
import { leafHash } from '../book/tree.ts'
import { type Deriver, type Facts, INDEXED_CHARACTERS_MAX, PLACES, spanOf } from './derive.ts'
import { Entries } from './entries.ts'
import { Forgetting } from './forgetting.ts'
import { FLAG } from './index-file.ts'
import { Marks } from './marks.ts'
import { Names } from './names.ts'
import { type IndexedSession, OpenSessions } from './open-sessions.ts'
import { OUTCOMES, PROTOCOLS } from './search/keys.ts'
import type { Unsealer } from './unseal.ts'

export interface IndexerParts {
  readonly book: Book
  readonly index: Database
  readonly unsealer: Unsealer
  readonly deriver: Deriver
  readonly origin: string
}

/** An entry's outcome, where none applies, and where it has none yet. */
export const NO_OUTCOME = 0
export const STILL_OPEN = null

/** Longer ones seldom come again, and each is remembered whole. */
const REPEATED_CHARACTERS_MAX = 4096
const OPEN_OPERATIONS_KEPT = 200_000

export class Indexer {
  readonly #parts: IndexerParts
  readonly #names: Names
  readonly #sessions: OpenSessions
  readonly #entries: Entries
  readonly #marks: Marks
  readonly #forgetting: Forgetting
  /** Entries of operations without outcome, by session and number; whether they are known to have a recording. */
  readonly #open = new Map<string, { readonly id: number; recorded: boolean }>()
  /** The row at which a text's words stand, of those in the span that was read last. */
  readonly #texts = new Map<string, number>()
  #span = -1
  readonly #word: Statement
  readonly #chunk: Statement
  readonly #putState: Statement
  #next: number

  constructor(parts: IndexerParts) {
    this.#parts = parts
    const { index } = parts
    this.#names = new Names(index)
    this.#sessions = new OpenSessions(index, this.#names)
    this.#entries = new Entries(index)
    this.#marks = new Marks(index)
    this.#forgetting = new Forgetting(parts, this.#names, this.#sessions, this.#marks)
    this.#word = index.prepare('INSERT INTO words(rowid, text) VALUES (?,?)')
    this.#chunk = index.prepare('INSERT OR IGNORE INTO chunk VALUES (?,?,?,?,?,?)')
    this.#putState = index.prepare(
      'INSERT INTO state VALUES (1,?,?,?) ON CONFLICT DO UPDATE SET next = excluded.next, hash = excluded.hash',
    )
    this.#next = this.#state().next
  }

  /** The index of the first record that is not in it. */
  get next(): number {
    return this.#next
  }

  /** Whether the last record taken is still the one in the book, and of this book. */
  fits(): boolean {
    const { next, hash, origin } = this.#state()
    if (next === 0) return true
    if (origin !== this.#parts.origin) return false
    for (const [seq, bytes] of readLeafBytes(this.#parts.book, next - 1)) {
      return seq === next - 1 && hexOf(bytes) === hash
    }
    return this.#retained(next)
  }

  /** Where everything was removed up to there, nothing is left to compare. */
  #retained(next: number): boolean {
    const end = this.#parts.book.prepare('SELECT first + count FROM bundle ORDER BY first DESC LIMIT 1')
    return Number(end.pluck().get() ?? 0) >= next
  }

  /** Takes at most that many records; how many it took. */
  turn(recordsMax: number): number {
    return this.#parts.index.transaction(() => this.#take(recordsMax)).immediate()
  }

  /** Merges away what was deleted, a piece at a time; whether there may be more to do. */
  tidy(): boolean {
    return this.#forgetting.tidy()
  }

  #take(recordsMax: number): number {
    // What outlived the removal of its surroundings stands before everything that is there.
    if (this.#next === 0) for (const leaf of this.#kept()) this.#record(leaf)
    let taken = 0
    let last: Uint8Array | undefined
    for (const [seq, bytes] of readLeafBytes(this.#parts.book, this.#next)) {
      const leaf = glanceLeaf(bytes)
      this.#record(leaf)
      this.#next = seq + 1
      last = bytes
      if (++taken >= recordsMax) break
    }
    if (last === undefined) return 0
    this.#names.flush()
    this.#sessions.flush()
    this.#entries.flush()
    this.#marks.flush()
    this.#putState.run(this.#next, hexOf(last), this.#parts.origin)
    return taken
  }

  #kept(): Leaf[] {
    const { book } = this.#parts
    const first = book.prepare('SELECT min(first) FROM bundle').pluck().get()
    const rows = book
      .prepare('SELECT leaf FROM kept WHERE seq < ? ORDER BY seq')
      .pluck()
      .all(first ?? 0)
    return (rows as Buffer[]).map(parseLeaf)
  }

  #record(leaf: Leaf): void {
    switch (leaf.kind) {
      case 'heartbeat':
      case 'op.result':
        return
      case 'op.end':
        this.#finish(leaf)
        return
      case 'data':
        this.#stream(leaf)
        return
      default:
    }
    const session = leaf.kind === 'session.open' ? this.#openSession(leaf) : this.#sessionOf(leaf)
    for (const facts of this.#parts.deriver.rows(leaf, session?.facts)) this.#put(leaf, session, facts)
    if (session !== undefined) this.#tally(leaf, session)
    if (leaf.kind !== 'erase' && leaf.kind !== 'retain') return
    this.#texts.clear()
    this.#entries.flush()
    if (leaf.kind === 'erase') this.#forgetting.erase(leaf)
    else this.#forgetting.retain(leaf)
  }

  #openSession(leaf: Leaf): IndexedSession {
    this.#parts.unsealer.learn(leaf)
    return this.#sessions.open(leaf, this.#parts.deriver.session(leaf))
  }

  #sessionOf(leaf: Leaf): IndexedSession | undefined {
    return leaf.sid === undefined ? undefined : this.#sessions.get(leaf.sid)
  }

  #tally(leaf: Leaf, session: IndexedSession): void {
    const { kind, op, out } = leaf
    if (op !== undefined && (kind === 'op' || kind === 'op.begin' || kind === 'decision')) session.ops++
    if (kind === 'op' || kind === 'op.end') {
      if (out === 'error' || out === 'aborted' || out === 'unknown') session.errors++
    }
    if (out === 'denied') session.denied++
    if (kind === 'session.close') {
      session.closed = leaf.ts
      session.closing = leaf.seq
      session.why = leaf.why
    }
    this.#sessions.touch(session, leaf.ts)
  }

  #put(leaf: Leaf, session: IndexedSession | undefined, facts: Facts): void {
    const { kind, seq, sid, op } = leaf
    const id = seq * PLACES + facts.place
    const isOwn = facts.place === 0
    const recording = isOwn && kind === 'op' && (leaf.parts ?? 0) > 0
    const flags =
      (facts.params ? FLAG.params : 0) | (facts.quiet ? FLAG.quiet : 0) | (recording ? FLAG.recording : 0)
    const names = this.#names
    const measured = isOwn && kind !== 'data'
    const row = {
      id,
      ts: leaf.ts,
      action: names.take('action', facts.action),
      session: session?.n ?? null,
      op: op ?? null,
      par: leaf.par ?? null,
      actor: names.take('actor', facts.actor),
      sub: names.take('sub', facts.sub),
      target: names.take('target', facts.target),
      addr: names.take('ip', facts.address),
      proto: PROTOCOLS.indexOf(session?.facts.protocol ?? 'gateway'),
      db: names.take('db', facts.database),
      shape: names.takeShape(facts.understood),
      trace: names.take('trace', facts.trace),
      flags,
      out: kind === 'op.begin' ? STILL_OPEN : outcomeOf(leaf.out),
      code: measured ? names.take('code', leaf.code) : null,
      rows: measured ? (leaf.rows ?? null) : null,
      bytes: measured ? (leaf.bytes ?? null) : null,
      dur: measured ? (leaf.dur ?? null) : null,
      said: this.#said(id, facts.text, measured),
    }
    this.#entries.add(row)
    this.#marks.add(row)
    if (row.said === id) this.#word.run(id, facts.text?.slice(0, INDEXED_CHARACTERS_MAX))
    if (kind === 'op.begin') this.#remember(`${sid}.${op}`, id)
  }

  /** The row at which its words stand: itself, or where the same words stand already in this span. */
  #said(id: number, text: string | undefined, repeats: boolean): number | null {
    if (text === undefined || text === '') return null
    if (spanOf(id) !== this.#span) {
      this.#texts.clear()
      this.#span = spanOf(id)
    }
    if (!repeats || text.length > REPEATED_CHARACTERS_MAX) return id
    const said = this.#texts.get(text) ?? id
    this.#texts.set(text, said)
    return said
  }

  #remember(key: string, id: number): void {
    this.#open.set(key, { id, recorded: false })
    if (this.#open.size <= OPEN_OPERATIONS_KEPT) return
    const [oldest] = this.#open.keys()
    if (oldest !== undefined) this.#open.delete(oldest)
  }

  #openEntry(leaf: Leaf, session: IndexedSession | undefined): { id: number; recorded: boolean } | undefined {
    const known = this.#open.get(`${leaf.sid}.${leaf.op}`)
    if (known !== undefined || session === undefined) return known
    const id = this.#entries.findOpen(session.n, leaf.op)
    return id === undefined ? undefined : { id, recorded: false }
  }

  #finish(leaf: Leaf): void {
    const session = this.#sessionOf(leaf)
    const entry = this.#openEntry(leaf, session)
    this.#open.delete(`${leaf.sid}.${leaf.op}`)
    if (session !== undefined) this.#tally(leaf, session)
    // Its begin may have been removed by retention.
    if (entry === undefined) return
    const { out, code, rows = null, bytes = null, dur = null, seq } = leaf
    const codeId = this.#names.take('code', code)
    this.#entries.end(entry.id, { out: outcomeOf(out), code: codeId, rows, bytes, dur, fin: seq })
  }

  #stream(leaf: Leaf): void {
    const session = this.#sessionOf(leaf)
    if (session === undefined) return
    const stream = leaf.ref?.[0]?.t ?? ''
    const { seq, op = 0, t0 = leaf.ts, bytes = 0, ts } = leaf
    this.#chunk.run(session.n, op, seq, stream, t0, bytes)
    const entry = this.#openEntry(leaf, session)
    if (entry !== undefined && !entry.recorded) {
      this.#entries.markRecorded(entry.id)
      entry.recorded = true
    }
    if (stream === 'tty') session.terminal = true
    for (const facts of this.#parts.deriver.rows(leaf, session.facts)) this.#put(leaf, session, facts)
    this.#sessions.touch(session, ts)
  }

  #state(): { next: number; hash: string; origin: string } {
    const row = this.#parts.index.prepare('SELECT next, hash, origin FROM state').get()
    return (
      (row as { next: number; hash: string; origin: string } | undefined) ?? { next: 0, hash: '', origin: '' }
    )
  }
}

function outcomeOf(out: string | undefined): number {
  return out === undefined ? NO_OUTCOME : (OUTCOMES as readonly string[]).indexOf(out) + 1
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(leafHash(bytes)).toString('hex')
}
