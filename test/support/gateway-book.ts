/** What a book says, decrypted, as a test compares it: sessions, and in each its operations with their outcomes. */
import Sqlite from 'better-sqlite3'
import { bookFiles } from '../../src/book/files.ts'
import type { Leaf } from '../../src/book/format.ts'
import { Kek, KeyStore } from '../../src/book/keys.ts'
import { readHeadNote, readLeaves } from '../../src/book/reader.ts'
import { Unsealer } from '../../src/read/unseal.ts'

export interface Operation {
  readonly op: number
  readonly act: string
  /** As it was sent. */
  readonly text: string | undefined
  /** A command without a text, by its name. */
  readonly command: string | undefined
  readonly args: unknown
  readonly meta: Record<string, unknown>
  readonly par: number | undefined
  readonly rule: string | undefined
  /** `denied` is a decision; undefined while it is open. */
  readonly out: string | undefined
  readonly code: string | undefined
  readonly rows: number | undefined
  readonly bytes: number | undefined
  readonly results: readonly Record<string, unknown>[]
  readonly message: string | undefined
}

export interface Session {
  readonly sid: string
  readonly act: string
  readonly target: string | undefined
  /** Who opened it, from where, with what claims. */
  readonly who: Record<string, unknown>
  /** Why it ended, or undefined while it is open. */
  readonly why: string | undefined
  /** In the order of their numbers. */
  readonly operations: readonly Operation[]
}

export interface Note {
  readonly kind: string
  readonly act: string | undefined
  readonly sid: string | undefined
  readonly out: string | undefined
  readonly code: string | undefined
  readonly about: string | undefined
  /** How many, where several are told as one. */
  readonly ops: number | undefined
  readonly who: Record<string, unknown>
  readonly note: unknown
}

export interface ReadBook {
  readonly size: number
  /** Of people, in the order in which they were opened. */
  readonly sessions: readonly Session[]
  /** Everything else that speaks of people: logins, decisions at the door, acts of administrators. */
  readonly notes: readonly Note[]
}

type Draft = { -readonly [K in keyof Operation]: Operation[K] }
type SessionDraft = { -readonly [K in keyof Session]: Session[K] } & { drafts: Map<number, Draft> }

/** Reads a book that somebody may be writing: each call of `read` goes on where the last one ended. */
export class BookReader implements Disposable {
  readonly #db: Sqlite.Database
  readonly #keys: Sqlite.Database
  readonly #unsealer: Unsealer
  readonly #sessions = new Map<string, SessionDraft>()
  #notes: Note[] = []
  #size = 0

  constructor(directory: string, kek: Uint8Array) {
    const files = bookFiles(directory)
    this.#db = new Sqlite(files.book, { readonly: true })
    this.#keys = new Sqlite(files.keys, { readonly: true })
    const origin = String(readHeadNote(this.#db)).split('\n')[0] ?? ''
    this.#unsealer = new Unsealer(this.#db, new KeyStore(this.#keys), new Kek(Buffer.from(kek)), origin)
  }

  /** Everything so far that is not forgotten. */
  read(): ReadBook {
    for (const leaf of readLeaves(this.#db, this.#size)) this.#take(leaf)
    const sessions = [...this.#sessions.values()].map(({ drafts, ...session }) => ({
      ...session,
      operations: [...drafts.values()].sort((a, b) => a.op - b.op),
    }))
    return { size: this.#size, sessions, notes: this.#notes }
  }

  /** Leaves out from now on what has ended. */
  forget(): void {
    for (const [sid, { why }] of this.#sessions) if (why !== undefined) this.#sessions.delete(sid)
    this.#notes = []
  }

  [Symbol.dispose](): void {
    this.#db.close()
    this.#keys.close()
  }

  #take(leaf: Leaf): void {
    this.#size = leaf.seq + 1
    const session = this.#sessions.get(leaf.sid ?? '')
    switch (leaf.kind) {
      case 'session.open':
        if (leaf.act !== 'gateway') this.#open(leaf)
        return
      case 'session.close':
        if (session !== undefined) session.why = leaf.why
        return
      case 'op.begin':
      case 'op':
      case 'op.end':
      case 'op.result':
        if (session !== undefined) this.#operation(session, leaf)
        return
      case 'decision':
        if (session !== undefined) this.#operation(session, leaf)
        this.#note(leaf)
        return
      case 'login':
      case 'admin':
      case 'config':
      case 'audit.read':
        this.#note(leaf)
        return
      default:
    }
  }

  #open(leaf: Leaf): void {
    const { sid = '', act = '', tgt } = leaf
    const who = (this.#json(leaf, 'who') ?? {}) as Record<string, unknown>
    const empty = { why: undefined, operations: [], drafts: new Map() }
    this.#sessions.set(sid, { sid, act, target: tgt, who, ...empty })
  }

  #operation({ drafts }: SessionDraft, leaf: Leaf): void {
    const { op = 0, kind } = leaf
    const draft = drafts.get(op) ?? newOperation(op, leaf.act ?? '')
    drafts.set(op, draft)
    if (kind !== 'op.end' && kind !== 'op.result') {
      draft.text = this.#unsealer.text(leaf, 'sql')?.toString('utf8')
      draft.command = this.#unsealer.text(leaf, 'cmd')?.toString('utf8')
      draft.args = this.#json(leaf, 'args')
      draft.par = leaf.par
      draft.rule = leaf.rule
    }
    draft.meta = { ...draft.meta, ...((this.#json(leaf, 'meta') ?? {}) as Record<string, unknown>) }
    if (kind === 'op.begin' || kind === 'op.result') return
    draft.out = leaf.out
    draft.code = leaf.code
    draft.rows = leaf.rows
    draft.bytes = leaf.bytes
    draft.results = (this.#json(leaf, 'res') ?? []) as Record<string, unknown>[]
    draft.message = this.#unsealer.text(leaf, 'msg')?.toString('utf8')
  }

  #note(leaf: Leaf): void {
    const { kind, act, sid, out, code, about, ops } = leaf
    const who = (this.#json(leaf, 'who') ?? {}) as Record<string, unknown>
    this.#notes.push({ kind, act, sid, out, code, about, ops, who, note: this.#json(leaf, 'note') })
  }

  #json(leaf: Leaf, type: string): unknown {
    const body = this.#unsealer.text(leaf, type)
    return body === undefined ? undefined : JSON.parse(body.toString('utf8'))
  }
}

function newOperation(op: number, act: string): Draft {
  return {
    ...{ op, act, text: undefined, command: undefined, args: undefined },
    ...{
      meta: {},
      par: undefined,
      rule: undefined,
      out: undefined,
      code: undefined,
      rows: undefined,
      bytes: undefined,
      results: [],
      message: undefined,
    },
  }
}
