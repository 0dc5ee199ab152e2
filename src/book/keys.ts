/**
 * FORMAT.md, section 4.8: data keys at rest, each wrapped under the key encryption key (KEK). keys.db proves
 * nothing and need not: a wrong row is found out by its session's commitment.
 */
import { createCipheriv, createDecipheriv, hash } from 'node:crypto'
import type { Database } from 'better-sqlite3'
import { truncateLog } from './database.ts'
import type { Random } from './payload.ts'

const KEK_BYTES = 32
const TAG_BYTES = 16

export const KEYS_SCHEMA = `
CREATE TABLE data_key(sid TEXT PRIMARY KEY, floor INTEGER NOT NULL, closed INTEGER NOT NULL DEFAULT 0, kek TEXT NOT NULL,
  nonce BLOB NOT NULL CHECK(length(nonce)=12), wrapped BLOB NOT NULL CHECK(length(wrapped)=48)) STRICT;
`

export interface WrappedKey {
  readonly sid: string
  /** Id of the KEK it is wrapped under. */
  readonly kek: string
  readonly nonce: Uint8Array
  readonly wrapped: Uint8Array
}

/** Wraps and unwraps data keys. Random nonces: at most 2^32 wrappings under one KEK, so change it yearly. */
export class Kek {
  readonly id: string
  readonly #key: Uint8Array

  constructor(key: Uint8Array) {
    if (key.length !== KEK_BYTES) throw new RangeError(`a key encryption key has 32 bytes, not ${key.length}`)
    this.#key = Buffer.from(key)
    this.id = hash('sha256', Buffer.concat([Buffer.from('gatebook/kek/v1\0', 'latin1'), key]), 'hex').slice(
      0,
      16,
    )
  }

  wrap(origin: string, sid: string, key: Uint8Array, random: Random): WrappedKey {
    const nonce = Buffer.from(random(12))
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce)
    cipher.setAAD(this.#associated(origin, sid))
    const wrapped = Buffer.concat([cipher.update(key), cipher.final(), cipher.getAuthTag()])
    return { sid, kek: this.id, nonce, wrapped }
  }

  /** The key's bytes, which the caller holds against the session's commitment before any use. */
  unwrap(origin: string, row: WrappedKey): Buffer {
    const decipher = createDecipheriv('aes-256-gcm', this.#key, row.nonce)
    decipher.setAAD(this.#associated(origin, row.sid))
    decipher.setAuthTag(row.wrapped.subarray(-TAG_BYTES))
    return Buffer.concat([decipher.update(row.wrapped.subarray(0, -TAG_BYTES)), decipher.final()])
  }

  #associated(origin: string, sid: string): Buffer {
    return Buffer.from(`gatebook/wrap/v1\n${origin}\n${sid}\n${this.id}\n`, 'latin1')
  }
}

interface KeyRow {
  sid: string
  kek: string
  nonce: Buffer
  wrapped: Buffer
}

/** The rows of keys.db. Only the recorder's thread writes them; readers use `find`. */
export class KeyStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** Durable when it returns; `floor` is the book's size now, so no record of these sessions lies below it. */
  add(keys: readonly WrappedKey[], floor: number): void {
    const insert = this.#db.prepare(
      'INSERT INTO data_key(sid, floor, kek, nonce, wrapped) VALUES (?,?,?,?,?)',
    )
    this.#db
      .transaction(() => {
        for (const key of keys) insert.run(key.sid, floor, key.kek, key.nonce, key.wrapped)
      })
      .immediate()
  }

  markClosed(sids: readonly string[]): void {
    const update = this.#db.prepare('UPDATE data_key SET closed = 1 WHERE sid = ?')
    this.#db
      .transaction(() => {
        for (const sid of sids) update.run(sid)
      })
      .immediate()
  }

  /** Sessions that were not closed when last seen, with the smallest index at which a record of theirs can lie. */
  unclosed(): { sid: string; floor: number }[] {
    return this.#db.prepare('SELECT sid, floor FROM data_key WHERE closed = 0 ORDER BY floor').all() as {
      sid: string
      floor: number
    }[]
  }

  find(sid: string): (WrappedKey & { readonly floor: number }) | undefined {
    return this.#db.prepare('SELECT sid, floor, kek, nonce, wrapped FROM data_key WHERE sid = ?').get(sid) as
      | (KeyRow & { floor: number })
      | undefined
  }

  /** Destroys keys. What a copy of the file still holds stays wrapped. */
  remove(sids: readonly string[]): void {
    const remove = this.#db.prepare('DELETE FROM data_key WHERE sid = ?')
    this.#db
      .transaction(() => {
        for (const sid of sids) remove.run(sid)
      })
      .immediate()
    this.truncateLog()
  }

  /** What was removed is in no file of the database when this is true; false: a reader holds on to an older state. */
  truncateLog(): boolean {
    return truncateLog(this.#db)
  }

  /** Ids of the KEKs that something is wrapped under. */
  keks(): string[] {
    return this.#db.prepare('SELECT DISTINCT kek FROM data_key').pluck().all() as string[]
  }

  /** The next rows that are not wrapped under `kek`, for a change of KEK in batches. */
  wrappedOtherwise(kek: string, limit: number): WrappedKey[] {
    return this.#db
      .prepare('SELECT sid, kek, nonce, wrapped FROM data_key WHERE kek <> ? ORDER BY sid LIMIT ?')
      .all(kek, limit) as KeyRow[]
  }

  rewrap(keys: readonly WrappedKey[]): void {
    const update = this.#db.prepare('UPDATE data_key SET kek = ?, nonce = ?, wrapped = ? WHERE sid = ?')
    this.#db
      .transaction(() => {
        for (const key of keys) update.run(key.kek, key.nonce, key.wrapped, key.sid)
      })
      .immediate()
  }
}
