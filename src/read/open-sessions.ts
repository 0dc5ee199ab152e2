/** Sessions as the indexer meets them: who they belong to, and what they have come to, written once a batch. */
import type { Database, Statement } from 'better-sqlite3-multiple-ciphers'
import type { Leaf } from '../book/format.ts'
import type { SessionFacts } from './derive.ts'
import type { Names } from './names.ts'
import { PROTOCOLS } from './search/keys.ts'

const KEPT = 20_000

export interface IndexedSession {
  readonly n: number
  readonly facts: SessionFacts
  ops: number
  errors: number
  denied: number
  terminal: boolean
  last: number
  closed: number | undefined
  /** The record that closed it. */
  closing: number | undefined
  why: string | undefined
}

export class OpenSessions {
  readonly #names: Names
  readonly #kept = new Map<string, IndexedSession>()
  readonly #changed = new Set<IndexedSession>()
  readonly #add: Statement
  readonly #addRole: Statement
  readonly #update: Statement
  readonly #find: Statement
  readonly #roles: Statement

  constructor(db: Database, names: Names) {
    this.#names = names
    this.#add = db.prepare(
      `INSERT INTO session(sid, seq, ts, proto, actor, sub, target, addr, client, last) VALUES (?,?,?,?,?,?,?,?,?,?)`,
    )
    this.#addRole = db.prepare('INSERT OR IGNORE INTO session_role VALUES (?,?)')
    this.#update = db.prepare(
      `UPDATE session SET ops = ops + ?, errors = errors + ?, denied = denied + ?, terminal = max(terminal, ?),
       last = ?, closed = ?, closing = ?, why = ? WHERE n = ?`,
    )
    this.#find = db.prepare(
      `SELECT n, proto, closed, closing, why, last, client, (SELECT value FROM name WHERE id = actor) AS actor,
       (SELECT value FROM name WHERE id = sub) AS sub, (SELECT value FROM name WHERE id = target) AS target,
       (SELECT value FROM name WHERE id = addr) AS address FROM session WHERE sid = ?`,
    )
    this.#roles = db
      .prepare('SELECT value FROM session_role JOIN name ON id = name WHERE session = ?')
      .pluck()
  }

  open(leaf: Leaf, facts: SessionFacts): IndexedSession {
    const { sid = '', seq, ts } = leaf
    const id = (kind: 'actor' | 'sub' | 'target' | 'ip', value: string | undefined): number | null =>
      value === undefined ? null : this.#names.id(kind, value)
    const { actor, sub, target, address, client } = facts
    const added = this.#add.run(
      sid,
      seq,
      ts,
      PROTOCOLS.indexOf(facts.protocol),
      id('actor', actor),
      id('sub', sub),
      id('target', target),
      id('ip', address),
      client ?? null,
      ts,
    )
    const n = Number(added.lastInsertRowid)
    for (const role of facts.roles) this.#addRole.run(this.#names.id('role', role), n)
    return this.#keep(sid, { ...blank(n, facts), last: ts })
  }

  get(sid: string): IndexedSession | undefined {
    return this.#kept.get(sid) ?? this.#load(sid)
  }

  touch(session: IndexedSession, ts: number): void {
    session.last = ts
    this.#changed.add(session)
  }

  #load(sid: string): IndexedSession | undefined {
    const row = this.#find.get(sid) as Record<string, string | number | null> | undefined
    if (row === undefined) return undefined
    const text = (name: string): string | undefined => (typeof row[name] === 'string' ? row[name] : undefined)
    const n = Number(row['n'])
    const [actor, sub, target, address, client] = ['actor', 'sub', 'target', 'address', 'client'].map(text)
    const facts: SessionFacts = {
      protocol: PROTOCOLS[Number(row['proto'])] ?? 'gateway',
      ...(actor === undefined ? {} : { actor }),
      ...(sub === undefined ? {} : { sub }),
      ...(target === undefined ? {} : { target }),
      ...(address === undefined ? {} : { address }),
      ...(client === undefined ? {} : { client }),
      roles: this.#roles.all(n) as string[],
    }
    const number = (name: string): number | undefined => (row[name] === null ? undefined : Number(row[name]))
    const [closed, closing] = ['closed', 'closing'].map(number)
    return this.#keep(sid, {
      ...blank(n, facts),
      last: Number(row['last']),
      closed,
      closing,
      why: text('why'),
    })
  }

  #keep(sid: string, session: IndexedSession): IndexedSession {
    this.#kept.set(sid, session)
    return session
  }

  flush(): void {
    for (const session of this.#changed) {
      const { ops, errors, denied, terminal, last, closed, closing, why, n } = session
      this.#update.run(
        ops,
        errors,
        denied,
        terminal ? 1 : 0,
        last,
        closed ?? null,
        closing ?? null,
        why ?? null,
        n,
      )
      Object.assign(session, { ops: 0, errors: 0, denied: 0 })
    }
    this.#changed.clear()
    for (const [sid, { closed }] of this.#kept) {
      if (this.#kept.size <= KEPT / 2) break
      if (closed !== undefined || this.#kept.size > KEPT) this.#kept.delete(sid)
    }
  }

  /** After an erasure: what a session was known by may be gone. */
  forget(): void {
    this.flush()
    this.#kept.clear()
  }
}

function blank(n: number, facts: SessionFacts): IndexedSession {
  const counts = { ops: 0, errors: 0, denied: 0, terminal: false, last: 0 }
  return { n, facts, ...counts, closed: undefined, closing: undefined, why: undefined }
}
