/**
 * Writes real book files for tests of the verifier: leaves, tiles, payloads and checkpoints through the modules
 * of the format, rows through the real schema. Everything follows from counters, so a book is always the same.
 */
import { createCipheriv, createHash, createPrivateKey, hash } from 'node:crypto'
import Database from 'better-sqlite3'
import { formatVkey, makeSigner, type Signer, signCheckpoint } from '../../src/book/checkpoint.ts'
import { encodeLeaf } from '../../src/book/entry.ts'
import { decodeBundle, encodeBundle, type Members, parseLeaf, type Ref } from '../../src/book/format.ts'
import { SCHEMA } from '../../src/book/schema.ts'
import { leafHash, nodeHash, RightEdge } from '../../src/book/tree.ts'

export const ORIGIN = 'gw1.example/book'

/** A record before the book has given it its time and place. */
export type Draft = { readonly kind: string; readonly ts?: number } & Omit<Partial<Members>, 'kind' | 'ts'>

export interface TestSession {
  readonly sid: string
  readonly key: Uint8Array
  next: number
  ops: number
}

export interface Sealed {
  readonly sid: string
  readonly ref: Ref
  readonly data: Uint8Array
}

/** As many bytes as wanted, always the same for the same name. */
export function bytesOf(name: string, length: number): Buffer {
  return createHash('shake256', { outputLength: length }).update(name).digest()
}

export function testSigner(name: string, origin = ORIGIN): Signer {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), bytesOf(name, 32)])
  return makeSigner(origin, createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
}

export function sidOf(name: string): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
  return [...bytesOf(name, 16)].map((byte) => alphabet[byte & 31]).join('')
}

/** The scheme of FORMAT.md, "Payloads", with a blind that follows from the index. */
export function seal({ sid, key }: TestSession, i: number, t: string, text: string): Sealed {
  const nonce = Buffer.alloc(12)
  nonce.writeBigUInt64BE(BigInt(i), 4)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(Buffer.from(`gatebook/payload/v1\n${ORIGIN}\n${sid}\n${i}\n${t}\n`))
  const plain = Buffer.concat([bytesOf(`blind ${sid} ${i}`, 16), Buffer.of(0), Buffer.from(text)])
  const data = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  return { sid, ref: { h: hash('sha256', data, 'base64'), i, n: data.length, t }, data }
}

export interface BundleRow {
  readonly first: number
  readonly count: number
  readonly codec: number
  readonly crc: number
  readonly leaves: Uint8Array
}

export function readBundles(db: Database.Database): BundleRow[] {
  return db.prepare('SELECT * FROM bundle ORDER BY first').all() as BundleRow[]
}

export function readLeaves(db: Database.Database): Uint8Array[] {
  return readBundles(db).flatMap((row) => decodeBundle(row))
}

function prunedHashes(db: Database.Database): Uint8Array[] {
  const first = readBundles(db)[0]?.first ?? 0
  const tiles = db.prepare('SELECT hashes FROM tile WHERE level = 0 ORDER BY n').pluck().all() as Buffer[]
  return Array.from(
    { length: first },
    (_, at) => tiles[at >> 8]?.subarray((at & 255) * 32, ((at & 255) + 1) * 32) ?? Buffer.alloc(0),
  )
}

export class BookBuilder {
  readonly db: Database.Database
  readonly signers: Signer[] = []
  readonly sessions = new Map<string, TestSession>()
  readonly #origin: string
  #edge = RightEdge.empty()
  #prev: Uint8Array = Buffer.alloc(32)
  readonly #hashes: Uint8Array[] = []
  #ts = 1_763_600_000_000_000

  constructor(file: string, origin = ORIGIN, signers: readonly Signer[] = [testSigner('key 0', origin)]) {
    this.#origin = origin
    this.signers.push(...signers)
    this.db = new Database(file)
    this.db.pragma('synchronous = OFF')
    if (this.db.pragma('user_version', { simple: true }) === 0) this.db.exec(SCHEMA)
    for (const hash of prunedHashes(this.db)) this.#pushHash(hash)
    for (const leaf of readLeaves(this.db)) this.#push(leaf)
  }

  #push(leaf: Uint8Array): void {
    this.#pushHash(leafHash(leaf))
    this.#ts = parseLeaf(leaf).ts
  }

  #pushHash(leaf: Uint8Array): void {
    this.#prev = leaf
    this.#edge.append(leaf)
    this.#hashes.push(leaf)
  }

  get size(): number {
    return this.#edge.size
  }

  get ts(): number {
    return this.#ts
  }

  get signer(): Signer {
    const signer = this.signers.at(-1)
    if (signer === undefined) throw new Error('a book has a key')
    return signer
  }

  /** One commit, with the head over it; `keep` keeps its checkpoint. Returns the index of its first record. */
  commit(
    drafts: readonly Draft[],
    payloads: readonly Sealed[] = [],
    keep = false,
    signers = [this.signer],
  ): number {
    const first = this.size
    this.db.transaction(() => {
      const leaves = drafts.map((draft) => this.#append(draft))
      const { codec, crc, bytes } = encodeBundle(leaves)
      this.db.prepare('INSERT INTO bundle VALUES (?,?,?,?,?)').run(first, leaves.length, codec, crc, bytes)
      for (const { sid, ref, data } of payloads)
        this.db.prepare('INSERT INTO payload VALUES (?,?,?)').run(sid, ref.i, data)
      this.head(keep, signers)
    })()
    return first
  }

  #append(draft: Draft): Uint8Array {
    const ts = draft.ts ?? this.#ts + 1_000
    const place = {
      log: this.#origin,
      seq: this.size,
      prev: Buffer.from(this.#prev).toString('base64'),
      salt: bytesOf(`salt ${this.size}`, 16).toString('base64url'),
    }
    const leaf = encodeLeaf({ ...draft, ts }, place)
    this.#push(leaf)
    for (const { level, n, hashes } of filledTiles(this.#hashes)) {
      this.db.prepare('INSERT INTO tile VALUES (?,?,?)').run(level, n, hashes)
    }
    return leaf
  }

  head(keep: boolean, signers: readonly Signer[]): void {
    const note = signCheckpoint([signers[0] ?? this.signer], {
      origin: this.#origin,
      size: this.size,
      root: this.#edge.root(),
    })
    this.db.prepare('INSERT INTO head VALUES (1,?) ON CONFLICT DO UPDATE SET note = excluded.note').run(note)
    if (!keep) return
    const all = signCheckpoint(signers, { origin: this.#origin, size: this.size, root: this.#edge.root() })
    this.db.prepare('INSERT INTO ckpt VALUES (?,?)').run(this.size, all)
  }

  changeKey(): number {
    const next = testSigner(`key ${this.signers.length}`, this.#origin)
    const seq = this.commit([{ kind: 'key.next', next: formatVkey(next.vkey) }], [], true, [
      this.signer,
      next,
    ])
    this.signers.push(next)
    return seq
  }

  openSession(name: string, act: string, draft: Partial<Draft> = {}): TestSession {
    const session = { sid: sidOf(name), key: bytesOf(`key of ${name}`, 32), next: 0, ops: 0 }
    this.sessions.set(name, session)
    const com = createHash('sha256').update('gatebook/data-key/v1\0').update(session.key).digest('base64')
    const who = act === 'gateway' ? [] : [this.seal(session, 'who', `{"name":"${name}"}`)]
    const ref = who.length === 0 ? {} : { ref: who.map((payload) => payload.ref) }
    this.commit([{ kind: 'session.open', sid: session.sid, act, com, ...ref, ...draft }], who)
    return session
  }

  seal(session: TestSession, t: string, text: string): Sealed {
    return seal(session, session.next++, t, text)
  }
}

/** The tiles that the last of these hashes fills. */
export function filledTiles(
  leaves: readonly Uint8Array[],
): { level: number; n: number; hashes: Uint8Array }[] {
  const tiles: { level: number; n: number; hashes: Uint8Array }[] = []
  for (let level = 0, width = 1; leaves.length % (width * 256) === 0; level++, width *= 256) {
    const n = leaves.length / (width * 256) - 1
    const start = n * 256 * width
    const nodes = Array.from({ length: 256 }, (_, at) =>
      rootOf(leaves.slice(start + at * width, start + (at + 1) * width)),
    )
    tiles.push({ level, n, hashes: Buffer.concat(nodes) })
  }
  return tiles
}

/** The root of a complete subtree. */
function rootOf(hashes: readonly Uint8Array[]): Uint8Array {
  const [only] = hashes
  if (only !== undefined && hashes.length === 1) return only
  const middle = hashes.length / 2
  return nodeHash(rootOf(hashes.slice(0, middle)), rootOf(hashes.slice(middle)))
}
