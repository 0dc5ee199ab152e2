/**
 * Opening payloads with the key encryption key. A session's key is unwrapped, held against the commitment of its
 * opening leaf, and kept for a while; the payload's bytes are held against the leaf before they are opened.
 */
import type { Database, Statement } from 'better-sqlite3'
import type { Leaf, Ref } from '../book/format.ts'
import { parseLeaf } from '../book/format.ts'
import type { Kek, KeyStore } from '../book/keys.ts'
import { OpenedKey, PayloadError } from '../book/payload.ts'
import { readLeaves } from '../book/reader.ts'
import { Remembered } from './remembered.ts'

export const KEYS_KEPT = 4096

/** Why a payload cannot be shown. */
export type Unopened = 'erased' | 'key-destroyed' | 'no-opening' | 'damaged'

export type Opened = { readonly type: 'opened'; readonly body: Buffer } | { readonly type: Unopened }

export class Unsealer {
  readonly #db: Database
  readonly #keys: KeyStore
  readonly #kek: Kek
  readonly #origin: string
  readonly #payload: Statement
  readonly #kept = new Map<string, OpenedKey>()
  readonly #openings = new Remembered<string>(KEYS_KEPT)

  constructor(db: Database, keys: KeyStore, kek: Kek, origin: string) {
    this.#db = db
    this.#keys = keys
    this.#kek = kek
    this.#origin = origin
    this.#payload = db.prepare('SELECT data FROM payload WHERE sid = ? AND i = ?').pluck()
  }

  /** Told of a session's opening leaf, so that it need not be looked for; the key is held against it all the same. */
  learn(leaf: Leaf): void {
    if (leaf.sid !== undefined && leaf.com !== undefined) this.#openings.set(leaf.sid, leaf.com)
  }

  /** After an erasure: what was opened before must not open again. */
  forget(): void {
    this.#kept.clear()
  }

  /** The bytes as they are stored; undefined where they are gone. */
  sealed(sid: string, i: number): Buffer | undefined {
    return this.#payload.get(sid, i) as Buffer | undefined
  }

  /** One payload that `leaf` names. */
  open(leaf: Pick<Leaf, 'sid'>, ref: Ref): Opened {
    const { sid } = leaf
    if (sid === undefined) return { type: 'no-opening' }
    const bytes = this.sealed(sid, ref.i)
    if (bytes === undefined) return { type: 'erased' }
    const key = this.#keyOf(sid)
    if (!(key instanceof OpenedKey)) return { type: key }
    try {
      return { type: 'opened', body: key.open(ref, bytes) }
    } catch (error) {
      // The verifier says which; a reader shows the rest.
      if (error instanceof PayloadError) return { type: 'damaged' }
      throw error
    }
  }

  /** All parts of one type that `leaf` names, put together; undefined where it names none or one cannot be opened. */
  text(leaf: Pick<Leaf, 'sid' | 'ref'>, type: string): Buffer | undefined {
    const parts: Buffer[] = []
    for (const ref of leaf.ref ?? []) {
      if (ref.t !== type) continue
      const opened = this.open(leaf, ref)
      if (opened.type !== 'opened') return undefined
      parts.push(opened.body)
    }
    return parts.length === 0 ? undefined : Buffer.concat(parts)
  }

  #keyOf(sid: string): OpenedKey | 'key-destroyed' | 'no-opening' {
    const kept = this.#kept.get(sid)
    if (kept !== undefined) return kept
    const row = this.#keys.find(sid)
    if (row === undefined || row.kek !== this.#kek.id) return 'key-destroyed'
    const com = this.#openings.get(sid) ?? this.#commitmentOf(sid, row.floor)
    if (com === undefined) return 'no-opening'
    const bytes = this.#kek.unwrap(this.#origin, row)
    const key = new OpenedKey(this.#origin, sid, bytes, com)
    bytes.fill(0)
    if (this.#kept.size >= KEYS_KEPT) {
      const [oldest] = this.#kept.keys()
      if (oldest !== undefined) this.#kept.delete(oldest)
    }
    this.#kept.set(sid, key)
    return key
  }

  /** The opening leaf outlived a pruning, or lies right behind where the book ended when the key was made. */
  #commitmentOf(sid: string, floor: number): string | undefined {
    const kept = this.#db.prepare('SELECT leaf FROM kept').pluck().iterate() as IterableIterator<Buffer>
    for (const bytes of kept) {
      const leaf = parseLeaf(bytes)
      if (leaf.kind === 'session.open' && leaf.sid === sid) return leaf.com
    }
    for (const leaf of readLeaves(this.#db, floor)) {
      if (leaf.kind === 'session.open' && leaf.sid === sid) return leaf.com
    }
    return undefined
  }
}
