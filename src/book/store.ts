/**
 * The only writer of the book. One commit is one transaction: payloads, leaves in as many rows as they need, tiles,
 * the signed checkpoint over them, and how far the journal is drained. The head moves after COMMIT, never before.
 */
import assert from 'node:assert/strict'
import type { Database, Statement } from 'better-sqlite3'
import type { Signer } from './checkpoint.ts'
import { signCheckpoint } from './checkpoint.ts'
import { BookError } from './database.ts'
import { BundleWriter, type Entry, entryOf, sidOf, timeOf, withTime } from './entry.ts'
import { deletionScope } from './erasure.ts'
import { BUNDLE_LEAVES_MAX, type Members } from './format.ts'
import type { Random } from './payload.ts'
import { type NewPayload, PayloadRows } from './payload-rows.ts'
import { HASH_BYTES, type RightEdge, TILE_HASHES } from './tree.ts'

/** A record on its way into the book: everything but its place. */
export interface NewRecord {
  readonly entry: Entry
  /** Ciphertexts that this record is the first to name; they belong to its session. */
  readonly payloads: readonly NewPayload[]
}

/** A record that says this. */
export function newRecord(members: Members, payloads: readonly NewPayload[] = []): NewRecord {
  return { entry: entryOf(members), payloads }
}

export interface Head {
  readonly size: number
  readonly edge: RightEdge
  /** Base64 hash of the last leaf; 32 zero bytes for an empty book. */
  readonly prev: string
  readonly ts: number
  readonly note: string
  /** Per tile level, the hashes behind the last full tile. */
  readonly partial: readonly (readonly Uint8Array[])[]
}

export interface KeepPolicy {
  readonly records: number
  readonly micros: number
}

export interface AppendOptions {
  /** The last batch of which journal file these records are. */
  readonly journal?: { readonly file: number; readonly batch: number }
  /** Keep this checkpoint for good. */
  readonly keep?: boolean
  /** Who signs, where it is not the present signer alone: a change of keys is signed by both. */
  readonly signers?: readonly Signer[]
}

/** Under load a commit is large, for its sync, its signature and the pages it touches are the same for many records. */
export const COMMIT_LEAVES_MAX = 4 * BUNDLE_LEAVES_MAX

const SALT_BYTES = 16
/** A tile holds the nodes of one height; the next level's stand this much higher. */
const TILE_HEIGHT = Math.log2(TILE_HASHES)

/** Another writer has been here: two writers of one log are fatal. */
export class BookMovedError extends Error {
  override readonly name = 'BookMovedError'
}

export class Store {
  readonly origin: string
  readonly #random: Random
  readonly #keep: KeepPolicy
  readonly #append: (records: readonly NewRecord[], options: AppendOptions) => Head
  readonly #size: Statement
  readonly #insertBundle: Statement
  readonly #payloads: PayloadRows
  readonly #insertTile: Statement
  readonly #putHead: Statement
  readonly #insertCheckpoint: Statement
  readonly #setJournal: Statement
  readonly #orderDeletion: Statement
  readonly #bundle = new BundleWriter()
  #signer: Signer
  #head: Head
  #kept: { size: number; ts: number }

  constructor(
    db: Database,
    origin: string,
    signer: Signer,
    head: Head,
    parts: { random: Random; keep: KeepPolicy },
  ) {
    // Cut out of a signed note, whose dash gives every character two bytes. Of such a piece the leaf's whole text
    // would be made: built and copied at twice the cost.
    this.origin = Buffer.from(origin, 'latin1').toString('latin1')
    this.#signer = signer
    this.#head = head
    this.#random = parts.random
    this.#keep = parts.keep
    this.#size = db.prepare('SELECT first + count FROM bundle ORDER BY first DESC LIMIT 1').pluck()
    this.#insertBundle = db.prepare('INSERT INTO bundle(first, count, codec, crc, leaves) VALUES (?,?,?,?,?)')
    this.#payloads = new PayloadRows(db)
    this.#insertTile = db.prepare('INSERT INTO tile(level, n, hashes) VALUES (?,?,?)')
    this.#putHead = db.prepare(
      'INSERT INTO head(one, note) VALUES (1, ?) ON CONFLICT(one) DO UPDATE SET note = excluded.note',
    )
    this.#insertCheckpoint = db.prepare('INSERT INTO ckpt(size, note) VALUES (?,?)')
    this.#setJournal = db.prepare('UPDATE journal SET batch = ? WHERE file = ?')
    this.#orderDeletion = db.prepare('INSERT INTO deletion(seq, scope) VALUES (?,?)')
    const kept = db.prepare('SELECT size FROM ckpt ORDER BY size DESC LIMIT 1').pluck().get()
    this.#kept = { size: typeof kept === 'number' ? kept : -1, ts: head.ts }
    const commit = db.transaction((records: readonly NewRecord[], options: AppendOptions) =>
      this.#write(records, options),
    )
    this.#append = (records, options) => commit.immediate(records, options)
  }

  get head(): Head {
    return this.#head
  }

  get signer(): Signer {
    return this.#signer
  }

  set signer(signer: Signer) {
    this.#signer = signer
  }

  /** When it throws, nothing of it is in the book, and the head is what it was. */
  append(records: readonly NewRecord[], options: AppendOptions = {}): Head {
    const head = this.#append(records, options)
    // Only now: a reader must never see a head that a crash could take back.
    this.#head = head
    if (this.#isKept(head, options)) this.#kept = { size: head.size, ts: head.ts }
    return head
  }

  #write(records: readonly NewRecord[], options: AppendOptions): Head {
    if (records.length > COMMIT_LEAVES_MAX) throw new RangeError(`${records.length} records in one commit`)
    const first = this.#head.size
    if ((this.#size.get() ?? 0) !== first) throw new BookMovedError(`the book is no longer at ${first}`)
    if (options.journal !== undefined) this.#markDrained(options.journal)
    if (records.length === 0) {
      if (this.#isKept(this.#head, options)) this.#insertCheckpoint.run(first, this.#head.note)
      return this.#head
    }
    const edge = this.#head.edge.copy()
    const partial = this.#head.partial.map((hashes) => [...hashes])
    let { prev, ts } = this.#head
    const salts = Buffer.from(this.#random(SALT_BYTES * records.length))
    this.#payloads.clear()
    this.#bundle.clear()
    for (const [k, record] of records.entries()) {
      const salt = salts.toString('base64url', k * SALT_BYTES, (k + 1) * SALT_BYTES)
      const place = { log: this.origin, seq: first + k, prev, salt }
      // Time never runs backwards in the book, whatever the clock did between two events.
      const own = timeOf(record.entry)
      ts = Math.max(ts, own)
      const entry = own === ts ? record.entry : withTime(record.entry, ts)
      const hash = this.#bundle.add(entry, place)
      edge.append(hash, (height, root) => {
        if (height % TILE_HEIGHT === 0) this.#extendTile(partial, height / TILE_HEIGHT, root, place.seq)
      })
      prev = hash.toString('base64')
      if (record.payloads.length > 0) {
        const sid = sidOf(entry)
        assert(sid !== undefined, 'payloads belong to a session')
        this.#payloads.add(sid, record.payloads)
      }
      const scope = deletionScope(entry)
      // In the same commit: what a record orders to be deleted is deleted, however often the process dies first.
      if (scope !== undefined) this.#orderDeletion.run(place.seq, scope)
      if (this.#bundle.count === BUNDLE_LEAVES_MAX) this.#keepBundle(place.seq + 1)
    }
    const size = first + records.length
    if (this.#bundle.count > 0) this.#keepBundle(size)
    this.#payloads.insert()
    const signers = options.signers ?? [this.#signer]
    const note = signCheckpoint(signers, { origin: this.origin, size, root: edge.root() })
    this.#putHead.run(note)
    const head = { size, edge, prev, ts, note, partial }
    if (this.#isKept(head, options)) this.#insertCheckpoint.run(size, note)
    return head
  }

  /** Makes a row of the leaves written since the last one, which end below `end`. */
  #keepBundle(end: number): void {
    const { count, codec, crc, bytes } = this.#bundle.finish()
    this.#insertBundle.run(end - count, count, codec, crc, bytes)
  }

  /** A mark that no row takes would let the same entries in twice. */
  #markDrained({ file, batch }: { readonly file: number; readonly batch: number }): void {
    if (this.#setJournal.run(batch, file).changes !== 1) {
      throw new BookError('damaged', `the book knows no journal ${file}`)
    }
  }

  #isKept(head: Head, options: AppendOptions): boolean {
    if (head.size === this.#kept.size) return false
    if (options.keep === true) return true
    return head.size - this.#kept.size >= this.#keep.records || head.ts - this.#kept.ts >= this.#keep.micros
  }

  /** Adds a hash to the tiles' `level`, where the record `seq` completed it; a tile that is full becomes a row. */
  #extendTile(partial: Uint8Array[][], level: number, hash: Uint8Array, seq: number): void {
    const row = partial[level] ?? []
    partial[level] = row
    row.push(hash)
    if (row.length < TILE_HASHES) return
    this.#insertTile.run(
      level,
      Math.floor(seq / TILE_HASHES ** (level + 1)),
      Buffer.concat(row, TILE_HASHES * HASH_BYTES),
    )
    partial[level] = []
  }
}
