/**
 * What the book lets be gone is gone from the index too: words, names, shapes and addresses of what was erased, and
 * rows of records that were removed. The record that says so comes first, so a payload may still be there when its
 * row is derived anew: it counts as gone all the same.
 */
import type { Database as Book } from 'better-sqlite3'
import type { Database } from 'better-sqlite3-multiple-ciphers'
import { type Leaf, parseLeaf } from '../book/format.ts'
import { readLeafBytes } from '../book/reader.ts'
import { type Deriver, type Facts, PLACES, SPAN_IDS, spanOf } from './derive.ts'
import { type MarkedRow, type Marks, markOf, ROWS_OF_SESSION } from './marks.ts'
import type { Names } from './names.ts'
import type { OpenSessions } from './open-sessions.ts'
import type { Unsealer } from './unseal.ts'

interface Parts {
  readonly book: Book
  readonly index: Database
  readonly unsealer: Unsealer
  readonly deriver: Deriver
}

interface EntryRow extends MarkedRow {
  readonly actor: number | null
  readonly addr: number | null
  readonly db: number | null
  readonly trace: number | null
  readonly shape: number | null
}

/** Pages of the words' index that one step of tidying rewrites. */
const MERGE_PAGES = 200
/** What outlives the removal of its surroundings: FORMAT.md, section 7. */
const KEPT_ACTIONS = ['book.key', 'book.erase', 'book.retain']

export class Forgetting {
  readonly #parts: Parts
  readonly #names: Names
  readonly #sessions: OpenSessions
  readonly #marks: Marks
  /** Rows whose words were taken away in this forgetting. */
  readonly #wordless = new Set<number>()
  #untidy = false

  constructor(parts: Parts, names: Names, sessions: OpenSessions, marks: Marks) {
    this.#parts = parts
    this.#names = names
    this.#sessions = sessions
    this.#marks = marks
  }

  erase({ scope, seq }: Leaf): void {
    if (scope === undefined) return
    this.#begin()
    if ('sids' in scope) for (const sid of scope.sids) this.#session(sid)
    else if ('below' in scope) this.#below(scope.below, seq)
    else {
      const bySession = Map.groupBy(scope.refs, ([sid]) => sid)
      for (const [sid, refs] of bySession) this.#payloads(sid, new Set(refs.map(([, i]) => i)))
    }
    this.#finish()
  }

  retain({ below = 0, seq }: Leaf): void {
    this.#begin()
    this.#below(below, seq)
    const { index } = this.#parts
    const first = below * PLACES
    const kept = KEPT_ACTIONS.map((action) => this.#names.id('action', action))
    const opening = this.#names.id('action', 'session.start')
    // The opening of a session that has not closed below stays.
    const gone = `id < ${first} AND action NOT IN (${kept.join(',')}) AND NOT (action = ${opening} AND EXISTS
      (SELECT 1 FROM session s WHERE s.n = entry.session AND ${OUTLIVES}))`
    const rows = index.prepare(`SELECT * FROM entry WHERE ${gone}`).all({ below }) as EntryRow[]
    for (const row of rows) this.#drop(row)
    index.prepare('DELETE FROM chunk WHERE seq < ?').run(below)
    this.#marks.settle()
    index.exec(`
      DELETE FROM session WHERE NOT EXISTS (SELECT 1 FROM mark WHERE what = ${markOf('session', 'n')});
      DELETE FROM session_role WHERE session NOT IN (SELECT n FROM session);
    `)
    this.#finish()
  }

  tidy(): boolean {
    if (!this.#untidy) return false
    const { index } = this.#parts
    const before = Number(index.prepare('SELECT total_changes()').pluck().get())
    index.prepare("INSERT INTO words(words, rank) VALUES('merge', ?)").run(-MERGE_PAGES)
    this.#untidy = Number(index.prepare('SELECT total_changes()').pluck().get()) - before >= 2
    return this.#untidy
  }

  #begin(): void {
    this.#names.flush()
    this.#sessions.flush()
    this.#marks.flush()
  }

  #finish(): void {
    for (const id of this.#wordless) this.#inherit(id)
    this.#wordless.clear()
    this.#marks.settle()
    this.#names.forget(this.#parts.index)
    this.#sessions.forget()
    this.#parts.unsealer.forget()
    this.#parts.deriver.forget()
    this.#untidy = true
  }

  /** The words that stood at a row which is forgotten stand at the next one that says the same. */
  #inherit(said: number): void {
    const { index, deriver } = this.#parts
    const rows = index
      .prepare('SELECT id FROM entry WHERE said = ? AND id BETWEEN ? AND ? ORDER BY id')
      .pluck()
      .all(said, said, (spanOf(said) + 1) * SPAN_IDS - 1) as number[]
    const [heir] = rows
    if (heir === undefined || heir === said) return
    const update = index.prepare('UPDATE entry SET said = ? WHERE id = ?')
    for (const id of rows) {
      update.run(heir, id)
      for (const one of [said, heir]) this.#marks.touch({ id, said: one })
    }
    const leaf = this.#leaf(Math.floor(heir / PLACES))
    const text = leaf === undefined ? undefined : deriver.text(leaf)
    if (text !== undefined) index.prepare('INSERT INTO words(rowid, text) VALUES (?,?)').run(heir, text)
  }

  #below(below: number, seq: number): void {
    // An N above the record's own index covers nothing.
    if (below > seq) return
    const closed = this.#parts.index
      .prepare(`SELECT sid FROM session s WHERE NOT (${OUTLIVES})`)
      .pluck()
      .all({ below }) as string[]
    for (const sid of closed) this.#session(sid)
  }

  /** Everything that payloads said of it; times, counts, outcomes and pseudonyms are in the leaves. */
  #session(sid: string): void {
    const { index } = this.#parts
    const n = this.#number(sid)
    if (n === undefined) return
    const own = this.#pseudonym(n)
    const rows = this.#rowsOf(n)
    const blank = index.prepare(
      `UPDATE entry SET actor = ?, addr = NULL, db = NULL, trace = NULL, shape = NULL, said = NULL WHERE id = ?`,
    )
    const sub = index.prepare('SELECT sub FROM entry WHERE id = ?').pluck()
    for (const row of rows) {
      if (this.#isStream(row.id)) {
        this.#drop(row)
        continue
      }
      this.#give(row)
      this.#words(row.id)
      const subject = sub.get(row.id) as number | null
      const actor = subject === null ? null : this.#names.take('actor', this.#value(subject))
      blank.run(actor, row.id)
      this.#marks.touch({ id: row.id, actor })
    }
    this.#blankSession(n, own)
  }

  #blankSession(n: number, own: string | undefined): void {
    const { index } = this.#parts
    const actor = own === undefined ? null : this.#names.id('actor', own)
    index.prepare('UPDATE session SET actor = ?, addr = NULL, client = NULL WHERE n = ?').run(actor, n)
    index.prepare('DELETE FROM session_role WHERE session = ?').run(n)
  }

  /** Single payloads: rows of the session that name one of them are derived anew. */
  #payloads(sid: string, gone: ReadonlySet<number>): void {
    const n = this.#number(sid)
    if (n === undefined) return
    if (gone.has(0) && this.#opensWithWho(n)) this.#person(n, gone)
    const dropped = new Set<number>()
    for (const row of this.#rowsOf(n)) {
      const seq = Math.floor(row.id / PLACES)
      if (dropped.has(seq)) {
        this.#drop(row)
        continue
      }
      const leaf = this.#leaf(seq)
      if (leaf?.ref?.some(({ i }) => gone.has(i)) !== true) continue
      if (leaf.kind === 'data') {
        dropped.add(seq)
        this.#drop(row)
      } else this.#renew(row, leaf, gone)
    }
  }

  #renew(row: EntryRow, leaf: Leaf, gone: ReadonlySet<number>): void {
    const session = this.#sessions.get(leaf.sid ?? '')
    const isGone = (_: string, i: number): boolean => gone.has(i)
    const [facts] = this.#parts.deriver.rows(leaf, session?.facts, isGone)
    if (facts === undefined) return
    this.#give(row)
    this.#words(row.id)
    this.#update(row.id, facts)
  }

  #update(id: number, facts: Facts): void {
    const names = this.#names
    const row = {
      id,
      actor: names.take('actor', facts.actor),
      addr: names.take('ip', facts.address),
      trace: names.take('trace', facts.trace),
      shape: names.takeShape(facts.understood),
    }
    this.#parts.index
      .prepare('UPDATE entry SET actor = ?, addr = ?, db = ?, trace = ?, shape = ? WHERE id = ?')
      .run(row.actor, row.addr, names.take('db', facts.database), row.trace, row.shape, id)
    this.#marks.touch(row)
    this.#write(id, facts.text)
  }

  #write(id: number, text: string | undefined): void {
    const { index } = this.#parts
    const isSaid = text !== undefined && text !== ''
    index.prepare('UPDATE entry SET said = ? WHERE id = ?').run(isSaid ? id : null, id)
    if (isSaid) index.prepare('INSERT INTO words(rowid, text) VALUES (?,?)').run(id, text)
  }

  /** The person behind a session: name and address of its rows, and the roles. A login's row has its own. */
  #person(n: number, gone: ReadonlySet<number>): void {
    const { index } = this.#parts
    const own = this.#pseudonym(n)
    this.#blankSession(n, own)
    this.#sessions.forget()
    const rows = this.#rowsOf(n)
    const update = index.prepare('UPDATE entry SET actor = ?, addr = NULL WHERE id = ?')
    for (const row of rows) {
      const leaf = this.#leaf(Math.floor(row.id / PLACES))
      if (leaf?.kind === 'login' || leaf?.kind === 'decision') {
        this.#renew(row, leaf, gone)
        continue
      }
      this.#names.give(row.actor)
      this.#names.give(row.addr)
      const actor = own === undefined ? null : this.#names.take('actor', own)
      update.run(actor, row.id)
      this.#marks.touch(row)
      this.#marks.touch({ id: row.id, actor })
    }
  }

  #opensWithWho(n: number): boolean {
    const seq = this.#parts.index.prepare('SELECT seq FROM session WHERE n = ?').pluck().get(n) as number
    return this.#leaf(seq)?.ref?.some(({ i, t }) => i === 0 && t === 'who') ?? true
  }

  #pseudonym(n: number): string | undefined {
    const sub = this.#parts.index.prepare('SELECT sub FROM session WHERE n = ?').pluck().get(n) as
      | number
      | null
    return sub === null ? undefined : this.#value(sub)
  }

  #drop(row: EntryRow): void {
    const { index } = this.#parts
    const rest = index.prepare('SELECT action, sub, target, code FROM entry WHERE id = ?').get(row.id)
    for (const id of Object.values((rest ?? {}) as Record<string, number | null>)) this.#names.give(id)
    this.#give(row)
    this.#words(row.id)
    index.prepare('DELETE FROM entry WHERE id = ?').run(row.id)
  }

  #give(row: EntryRow): void {
    for (const id of [row.actor, row.addr, row.db, row.trace]) this.#names.give(id)
    this.#names.giveShape(row.shape)
    this.#marks.touch(row)
  }

  #words(id: number): void {
    this.#parts.index.prepare('DELETE FROM words WHERE rowid = ?').run(id)
    this.#wordless.add(id)
  }

  /** Whether it is a chunk's row, or one of a command in it: nothing of it is left without the payload. */
  #isStream(id: number): boolean {
    const action = this.#parts.index.prepare(
      'SELECT value FROM name WHERE id = (SELECT action FROM entry WHERE id = ?)',
    )
    return /^ssh\.(?:output|input|command)$/.test(String(action.pluck().get(id)))
  }

  #rowsOf(session: number): EntryRow[] {
    const rows = this.#parts.index.prepare(`SELECT e.* FROM ${ROWS_OF_SESSION} ORDER BY m.span, e.id`)
    return rows.all(session) as EntryRow[]
  }

  #number(sid: string): number | undefined {
    return this.#parts.index.prepare('SELECT n FROM session WHERE sid = ?').pluck().get(sid) as
      | number
      | undefined
  }

  #value(id: number): string | undefined {
    return this.#parts.index.prepare('SELECT value FROM name WHERE id = ?').pluck().get(id) as
      | string
      | undefined
  }

  #leaf(seq: number): Leaf | undefined {
    for (const [at, bytes] of readLeafBytes(this.#parts.book, seq))
      return at === seq ? parseLeaf(bytes) : undefined
    return undefined
  }
}

/** Of a session `s`: open still, or closed by a record that is not below. */
const OUTLIVES = `(s.closed IS NULL OR s.closing >= :below)`
