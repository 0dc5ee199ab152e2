/**
 * The only writer of the book. One commit is one transaction: payloads, leaves, tiles, the signed checkpoint over
 * them, and how far the journal is drained. The head moves after COMMIT, never before.
 */
import type { Database, Statement } from 'better-sqlite3'
import type { Signer } from './checkpoint.ts'
import { signCheckpoint } from './checkpoint.ts'
import { BookError } from './database.ts'
import { deletionScope } from './erasure.ts'
import { BUNDLE_LEAVES_MAX, encodeBase64, encodeBundle, encodeLeaf, type Members } from './format.ts'
import type { Random } from './payload.ts'
import { HASH_BYTES, leafHash, type RightEdge, TILE_HASHES } from './tree.ts'

export interface NewPayload {
  readonly i: number
  readonly bytes: Uint8Array
}

/** A record on its way into the book: everything but its place. */
export interface NewRecord {
  readonly members: Members
  /** Ciphertexts that this record is the first to name; they belong to the session `members.sid`. */
  readonly payloads: readonly NewPayload[]
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
  readonly #insertPayload: Statement
  readonly #insertTile: Statement
  readonly #putHead: Statement
  readonly #insertCheckpoint: Statement
  readonly #setJournal: Statement
  readonly #orderDeletion: Statement
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
    // would be made: built, matched and copied at twice the cost.
    this.origin = Buffer.from(origin, 'latin1').toString('latin1')
    this.#signer = signer
    this.#head = head
    this.#random = parts.random
    this.#keep = parts.keep
    this.#size = db.prepare('SELECT first + count FROM bundle ORDER BY first DESC LIMIT 1').pluck()
    this.#insertBundle = db.prepare('INSERT INTO bundle(first, count, codec, crc, leaves) VALUES (?,?,?,?,?)')
    this.#insertPayload = db.prepare('INSERT INTO payload(sid, i, data) VALUES (?,?,?)')
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
    if (records.length > BUNDLE_LEAVES_MAX) throw new RangeError(`${records.length} records in one commit`)
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
    const leaves: Uint8Array[] = []
    const salts = Buffer.from(this.#random(SALT_BYTES * records.length))
    for (const { members, payloads } of records) {
      // Time never runs backwards in the book, whatever the clock did between two events.
      const later = Math.max(ts, members.ts)
      const timed = later === members.ts ? members : { ...members, ts: later }
      const at = leaves.length * SALT_BYTES
      const salt = salts.toString('base64url', at, at + SALT_BYTES)
      const place = { log: this.origin, seq: first + leaves.length, prev, salt }
      const leaf = encodeLeaf(timed, place)
      const hash = leafHash(leaf)
      edge.append(hash, (height, root) => {
        if (height % TILE_HEIGHT === 0) this.#extendTile(partial, height / TILE_HEIGHT, root, place.seq)
      })
      for (const { i, bytes } of payloads) this.#insertPayload.run(members.sid, i, bytes)
      const scope = deletionScope(members)
      // In the same commit: what a record orders to be deleted is deleted, however often the process dies first.
      if (scope !== undefined) this.#orderDeletion.run(place.seq, scope)
      leaves.push(leaf)
      prev = encodeBase64(hash)
      ts = later
    }
    const { codec, crc, bytes } = encodeBundle(leaves)
    this.#insertBundle.run(first, leaves.length, codec, crc, bytes)
    const size = first + leaves.length
    const signers = options.signers ?? [this.#signer]
    const note = signCheckpoint(signers, { origin: this.origin, size, root: edge.root() })
    this.#putHead.run(note)
    const head = { size, edge, prev, ts, note, partial }
    if (this.#isKept(head, options)) this.#insertCheckpoint.run(size, note)
    return head
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
