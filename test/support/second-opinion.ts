/**
 * A second opinion on a book: it shares no code with src/book and judges only what the bytes say. It holds all of
 * the book in memory, so it is for tests.
 */
import { createHash, createPublicKey, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32, inflateRawSync } from 'node:zlib'
import Sqlite from 'better-sqlite3'

export interface CheckedLeaf {
  readonly kind: string
  readonly seq: number
  readonly ts: number
  readonly sid?: string
  readonly op?: number
  readonly [member: string]: unknown
}

export interface CheckedBook {
  readonly size: number
  /** Those that are not pruned, from the lowest index on. */
  readonly leaves: readonly CheckedLeaf[]
  /** `sid.op` of the operations without an outcome. */
  readonly openOperations: readonly string[]
  readonly openSessions: readonly string[]
}

interface Ref {
  readonly h: string
  readonly i: number
  readonly n: number
  readonly t: string
}

interface Row {
  readonly first: number
  readonly count: number
  readonly codec: number
  readonly crc: number
  readonly leaves: Buffer
}

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const state = createHash('sha256')
  for (const part of parts) state.update(part)
  return state.digest()
}
const leafHash = (leaf: Uint8Array): Buffer => sha256(Buffer.of(0), leaf)
const nodeHash = (left: Uint8Array, right: Uint8Array): Buffer => sha256(Buffer.of(1), left, right)

/** Reads the book in `directory` beside whoever writes it, and throws with all that is wrong. */
export function secondOpinion(directory: string, options: { closed?: boolean } = {}): CheckedBook {
  const db = new Sqlite(join(directory, 'book.db'), { readonly: true, fileMustExist: true })
  try {
    // One transaction: a writer may be at work.
    return db.transaction(() => new Check(db, directory).run(options.closed === true))()
  } finally {
    db.close()
  }
}

class Check {
  readonly #db: Sqlite.Database
  readonly #directory: string
  readonly #findings: string[] = []
  readonly #sessions = new Sessions((finding) => this.#findings.push(finding))
  readonly #hashes: Buffer[] = []
  readonly #leaves: CheckedLeaf[] = []

  constructor(db: Sqlite.Database, directory: string) {
    this.#db = db
    this.#directory = directory
  }

  run(closed: boolean): CheckedBook {
    const tiles = this.#tiles()
    const pruned = this.#pruned(tiles)
    this.#walk(pruned)
    this.#compareTiles(tiles)
    this.#checkpoints()
    this.#payloads()
    const { openOperations, openSessions } = this.#sessions
    if (closed && openOperations.length > 0)
      this.#findings.push(`open operations: ${openOperations.join(' ')}`)
    if (this.#findings.length > 0) {
      throw new Error(`the book does not verify:\n${this.#findings.slice(0, 20).join('\n')}`)
    }
    return { size: this.#hashes.length, leaves: this.#leaves, openOperations, openSessions }
  }

  #tiles(): Map<string, Buffer> {
    const rows = this.#db.prepare('SELECT level, n, hashes FROM tile').all() as {
      level: number
      n: number
      hashes: Buffer
    }[]
    return new Map(rows.map(({ level, n, hashes }) => [`${level}/${n}`, hashes]))
  }

  /** Hashes of the pruned part come from tiles; leaves that outlive it are held against them. */
  #pruned(tiles: ReadonlyMap<string, Buffer>): number {
    const allowed = (this.#db.prepare('SELECT max(below) FROM prune').pluck().get() ?? 0) as number
    const first = (this.#db.prepare('SELECT min(first) FROM bundle').pluck().get() ?? 0) as number
    if (first > allowed) this.#findings.push(`pruned below ${first}, ordered below ${allowed}`)
    for (let seq = 0; seq < first; seq++) {
      const tile = tiles.get(`0/${Math.floor(seq / 256)}`) ?? Buffer.alloc(8192)
      this.#hashes.push(tile.subarray((seq % 256) * 32, (seq % 256) * 32 + 32))
    }
    const kept = this.#db.prepare('SELECT seq, leaf FROM kept ORDER BY seq').all() as {
      seq: number
      leaf: Buffer
    }[]
    for (const { seq, leaf } of kept) {
      if (seq < first && !leafHash(leaf).equals(this.#hashes[seq] ?? Buffer.alloc(0))) {
        this.#findings.push(`kept leaf ${seq} does not hash to its place`)
      }
      if (seq < first) this.#sessions.keep(JSON.parse(leaf.toString('latin1')) as CheckedLeaf)
    }
    return first
  }

  #walk(pruned: number): void {
    const rows = this.#db.prepare('SELECT * FROM bundle ORDER BY first').iterate() as IterableIterator<Row>
    const origin = this.#note().split('\n')[0]
    let last = 0
    for (const row of rows) {
      if (row.first !== this.#hashes.length) this.#findings.push(`a hole before ${row.first}`)
      if (crc32(row.leaves) !== row.crc) this.#findings.push(`crc of ${row.first}`)
      const plain = row.codec === 1 ? inflateRawSync(row.leaves) : row.leaves
      let count = 0
      for (let at = 0; at < plain.length; count++) {
        const leaf = plain.subarray(at + 2, at + 2 + plain.readUInt16BE(at))
        at += 2 + leaf.length
        const text = leaf.toString('utf8')
        const value = JSON.parse(text) as CheckedLeaf
        const seq = this.#hashes.length
        const prev = seq === 0 ? Buffer.alloc(32) : this.#hashes[seq - 1]
        if (canonical(value) !== text) this.#findings.push(`${seq}: not canonical`)
        if (value.seq !== seq) this.#findings.push(`${seq}: calls itself ${value.seq}`)
        if (value['log'] !== origin) this.#findings.push(`${seq}: of another origin`)
        if (value['prev'] !== prev?.toString('base64')) this.#findings.push(`${seq}: breaks the chain`)
        if (value.ts < last) this.#findings.push(`${seq}: time runs back`)
        last = value.ts
        this.#hashes.push(leafHash(leaf))
        this.#leaves.push(value)
        this.#sessions.follow(value, pruned)
      }
      if (count !== row.count) this.#findings.push(`${row.first}: ${count} leaves, not ${row.count}`)
    }
  }

  #compareTiles(tiles: ReadonlyMap<string, Buffer>): void {
    let row: Buffer[] = this.#hashes
    let expected = 0
    for (let level = 0; row.length >= 256; level++) {
      const above: Buffer[] = []
      for (let n = 0; (n + 1) * 256 <= row.length; n++) {
        const hashes = row.slice(n * 256, (n + 1) * 256)
        const tile = tiles.get(`${level}/${n}`)
        if (tile === undefined || !Buffer.concat(hashes).equals(tile))
          this.#findings.push(`tile ${level}/${n}`)
        above.push(root(hashes))
        expected++
      }
      row = above
    }
    if (tiles.size !== expected) this.#findings.push(`${tiles.size} tiles, not ${expected}`)
  }

  #note(): string {
    return (this.#db.prepare('SELECT note FROM head').pluck().get() ?? '') as string
  }

  #checkpoints(): void {
    const epochs = [{ from: 0, vkey: readFileSync(join(this.#directory, 'book.vkey'), 'utf8').trim() }]
    const changes = [...this.#sessions.kept, ...this.#leaves].filter(({ kind }) => kind === 'key.next')
    for (const { seq, ['next']: next } of changes) epochs.push({ from: seq + 1, vkey: String(next) })

    const notes = this.#db.prepare('SELECT size, note FROM ckpt').all() as { size: number; note: string }[]
    const kept = new Map(notes.map(({ size, note }) => [size, note]))
    for (const { size, note } of notes) this.#checkpoint(note, size, epochs)
    this.#checkpoint(this.#note(), this.#hashes.length, epochs)
    for (const { from } of epochs.slice(1)) {
      if (!kept.has(from)) this.#findings.push(`the checkpoint of the key change at ${from} is missing`)
    }
  }

  #checkpoint(note: string, size: number, epochs: readonly { from: number; vkey: string }[]): void {
    const text = note.slice(0, note.indexOf('\n\n') + 1)
    const [origin = '', count, root64] = text.split('\n')
    if (Number(count) !== size) this.#findings.push(`a checkpoint of ${count} stands at ${size}`)
    if (root64 !== root(this.#hashes.slice(0, size)).toString('base64'))
      this.#findings.push(`root at ${size}`)
    // At a change of keys both the old and the new one sign.
    const signers = epochs.filter(({ from }, k) => {
      const end = epochs[k + 1]?.from ?? Number.POSITIVE_INFINITY
      return (size > from || size === 0 || (size === from && k > 0)) && size <= end
    })
    for (const { vkey } of signers) {
      if (!isSigned(note, text, origin, vkey)) this.#findings.push(`${size} is not signed by ${vkey}`)
    }
  }

  #payloads(): void {
    const { named } = this.#sessions
    const erased = this.#db.prepare('SELECT sid, i FROM erased').all() as { sid: string; i: number | null }[]
    const isErased = new Set(erased.map(({ sid, i }) => (i === null ? sid : `${sid}.${i}`)))
    const rows = this.#db.prepare('SELECT sid, i, data FROM payload').iterate() as IterableIterator<{
      sid: string
      i: number
      data: Buffer
    }>
    const present = new Set<string>()
    for (const { sid, i, data } of rows) {
      const key = `${sid}.${i}`
      const ref = named.get(key)
      present.add(key)
      if (ref === undefined) {
        if (!this.#sessions.isKept(sid)) this.#findings.push(`payload ${key} is named by nobody`)
      } else if (data.length !== ref.n || sha256(data).toString('base64') !== ref.h) {
        this.#findings.push(`payload ${key} is not the one that is named`)
      }
    }
    for (const key of named.keys()) {
      const [sid = ''] = key.split('.')
      if (!present.has(key) && !isErased.has(key) && !isErased.has(sid)) {
        this.#findings.push(`payload ${key} is missing`)
      }
    }
  }
}

interface Operation {
  parts: number
  readonly joined: number | undefined
}

interface Session {
  closed: boolean
  lastOp: number
  first: number[]
  readonly operations: Map<number, Operation>
}

/** Sessions, operations and the indexes of payloads, leaf by leaf. */
class Sessions {
  readonly named = new Map<string, Ref>()
  readonly kept: CheckedLeaf[] = []
  readonly #keptSids = new Set<string>()
  readonly #sessions = new Map<string, Session>()
  readonly #find: (finding: string) => void

  constructor(find: (finding: string) => void) {
    this.#find = find
  }

  get openOperations(): string[] {
    return [...this.#sessions].flatMap(([sid, { operations }]) =>
      [...operations].filter(([, { joined }]) => joined === undefined).map(([op]) => `${sid}.${op}`),
    )
  }

  get openSessions(): string[] {
    return [...this.#sessions].filter(([, { closed }]) => !closed).map(([sid]) => sid)
  }

  isKept(sid: string): boolean {
    return this.#keptSids.has(sid)
  }

  keep(leaf: CheckedLeaf): void {
    this.kept.push(leaf)
    if (leaf.kind !== 'session.open' || leaf.sid === undefined) return
    this.#keptSids.add(leaf.sid)
    this.#sessions.set(leaf.sid, { closed: false, lastOp: -1, first: [], operations: new Map() })
  }

  follow(leaf: CheckedLeaf, pruned: number): void {
    const { kind, sid, seq } = leaf
    if (kind === 'boot') for (const session of this.#sessions.values()) session.first = []
    if (sid === undefined) return
    if (kind === 'session.open') {
      if (this.#sessions.has(sid)) this.#find(`${seq}: session ${sid} opens twice`)
      this.#sessions.set(sid, { closed: false, lastOp: 0, first: [], operations: new Map() })
    }
    const session = this.#sessions.get(sid)
    if (session === undefined) {
      this.#find(`${seq}: ${kind} in ${sid}, which is not open (pruned below ${pruned})`)
      return
    }
    if (session.closed) this.#find(`${seq}: ${kind} after the close of ${sid}`)
    this.#operation(leaf, session, this.isKept(sid))
    for (const ref of (leaf['ref'] ?? []) as Ref[]) this.#name(seq, sid, ref, session)
    if (kind === 'session.close') {
      session.closed = true
      if (session.operations.size > 0) this.#find(`${seq}: ${sid} closes with open operations`)
    }
  }

  #operation({ kind, seq, sid, op, ...leaf }: CheckedLeaf, session: Session, lenient: boolean): void {
    if (op === undefined) return
    const open = session.operations.get(op)
    if (kind === 'op' || kind === 'op.begin' || kind === 'decision' || kind === 'login') {
      if (op !== session.lastOp + 1 && !(lenient && session.lastOp === -1)) {
        this.#find(`${seq}: ${sid} counts ${op} after ${session.lastOp}`)
      }
      session.lastOp = op
      const parts = Number(leaf['parts'] ?? 0)
      if (kind === 'op.begin') session.operations.set(op, { parts: 0, joined: undefined })
      if (kind === 'op' && parts > 0) session.operations.set(op, { parts: 0, joined: parts })
    } else if (kind === 'op.end') {
      if (open === undefined && !lenient) this.#find(`${seq}: ${sid}.${op} ends without a begin`)
      if (open !== undefined && open.parts !== Number(leaf['parts'] ?? 0))
        this.#find(`${seq}: parts of ${sid}.${op}`)
      session.operations.delete(op)
    } else if (kind === 'op.result') {
      if ((open === undefined || open.joined !== undefined) && !lenient) {
        this.#find(`${seq}: a result of ${sid}.${op}, which is not open`)
      }
    } else if (kind === 'data') {
      if (open === undefined) {
        if (!lenient) this.#find(`${seq}: data of ${sid}.${op}, which is not open`)
        return
      }
      if (leaf['part'] !== open.parts) this.#find(`${seq}: part ${String(leaf['part'])}, not ${open.parts}`)
      open.parts++
      if (open.parts === open.joined) session.operations.delete(op)
    }
  }

  #name(seq: number, sid: string, ref: Ref, session: Session): void {
    const key = `${sid}.${ref.i}`
    const known = this.named.get(key)
    if (known === undefined) {
      const last = session.first.at(-1)
      if (last !== undefined && ref.i <= last) this.#find(`${seq}: payload ${key} appears after ${last}`)
      this.named.set(key, ref)
      session.first.push(ref.i)
      if (session.first.length > 256) session.first.shift()
      return
    }
    if (known.h !== ref.h || known.n !== ref.n || known.t !== ref.t) this.#find(`${seq}: two payloads ${key}`)
    if (!session.first.includes(ref.i)) this.#find(`${seq}: payload ${key} is beyond the window`)
  }
}

/** RFC 6962 section 2.1. */
function root(hashes: readonly Buffer[]): Buffer {
  if (hashes.length === 0) return sha256()
  let row = [...hashes]
  while (row.length > 1) {
    const above: Buffer[] = []
    for (let k = 0; k < row.length; k += 2) {
      const [left = Buffer.alloc(0), right] = row.slice(k, k + 2)
      above.push(right === undefined ? left : nodeHash(left, right))
    }
    row = above
  }
  return row[0] ?? sha256()
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const names = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${names.map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`).join(',')}}`
}

function isSigned(note: string, text: string, origin: string, vkey: string): boolean {
  const [name = '', id = '', ...rest] = vkey.split('+')
  const key = Buffer.from(rest.join('+'), 'base64').subarray(1)
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key])
  const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' })
  return note.split('\n').some((line) => {
    const signature = Buffer.from(line.split(' ')[2] ?? '', 'base64')
    return (
      line.startsWith(`— ${origin} `) &&
      name === origin &&
      signature.subarray(0, 4).toString('hex') === id &&
      verify(null, Buffer.from(text), publicKey, signature.subarray(4))
    )
  })
}
