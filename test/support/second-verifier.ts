/**
 * A second verifier, written from FORMAT.md alone and sharing no code with src/. It reads the kinds from the
 * table in that text, holds the whole book in memory, and stops at the first thing that is wrong.
 */
import { createHash, createPublicKey, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { crc32, inflateRawSync } from 'node:zlib'
import Database from 'better-sqlite3'

type Json = Record<string, unknown>
interface Leaf {
  [member: string]: unknown
  readonly kind: string
  readonly seq: number
  readonly ts: number
  readonly sid: string
  readonly op: number
  readonly parts: number
  readonly ref?: { readonly h: string; readonly i: number; readonly n: number; readonly t: string }[]
}
interface Key {
  readonly name: string
  readonly id: string
  readonly raw: Buffer
}

/** What is wrong with the book, a file or its bytes, or nothing. `outside`: notes of checkpoints kept elsewhere. */
export function secondVerdict(
  file: string | Buffer,
  vkey: string,
  outside: readonly Buffer[] = [],
  closed = false,
): string | undefined {
  try {
    new Check(file, vkey, outside, closed).run()
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what)
}

const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
const base64 = (text: string): Buffer => {
  const bytes = Buffer.from(text, 'base64')
  must(bytes.toString('base64') === text, 'base64')
  return bytes
}

const TOKEN = '[!-~]{1,128}'
const SHAPES: Record<string, RegExp> = {}
const shape = (names: string, pattern: string): void => {
  for (const name of names.split(' ')) SHAPES[name] = new RegExp(`^(?:${pattern})$`)
}
shape('seq ts rows bytes dur part parts off t0 ops recovered from to below size', '0|[1-9][0-9]{0,15}')
shape('op par', '[1-9][0-9]{0,15}')
shape('tgt rule rel via', TOKEN)
shape('kind act sub code why', '[!-~]{1,32}')
shape('sid about', '[a-z2-7]{16}')
shape('prev com', '[A-Za-z0-9+/]{43}=')
shape('salt', '[A-Za-z0-9_-]{22}')
shape('log', '[!-*,-~]{1,123}/book')
shape('out', 'ok|error|denied|aborted|unknown|skipped')
shape('sev', 'info|warn|high')
shape('clean', 'true|false')
shape('v', '1')
shape('next', '[!-~]{1,256}')
shape('proof', '[A-Za-z0-9+/=]{4,8192}')
const NUMBERS = new Set(
  'seq ts rows bytes dur part parts off t0 ops recovered from to below size op par v'.split(' '),
)

interface Kind {
  readonly required: readonly string[]
  readonly words: ReadonlyMap<string, readonly string[] | undefined>
}

function readKinds(): Map<string, Kind> {
  const text = readFileSync(new URL('../../src/book/FORMAT.md', import.meta.url), 'utf8')
  const section = text.slice(text.indexOf('### 2.2 Kinds'), text.indexOf('### 2.3'))
  const kinds = new Map<string, Kind>()
  for (const line of section.split('\n').filter((row) => row.startsWith('| `'))) {
    const [, names = '', members = ''] = line.split('|')
    const words = new Map<string, readonly string[] | undefined>()
    const required = 'v log seq ts prev salt kind'.split(' ')
    for (const name of required) words.set(name, undefined)
    let optional = false
    for (const [token, name, list] of members.matchAll(/[[\]]|`([^`]+)`(?: \(([^)]*)\))?/g)) {
      if (name === undefined) optional = token === '['
      else words.set(name, list?.match(/[^` ]+/g) ?? undefined)
      if (name !== undefined && !optional) required.push(name)
    }
    for (const [, name = ''] of names.matchAll(/`([^`]+)`/g)) kinds.set(name, { required, words })
  }
  return kinds
}
/** The kinds as FORMAT.md has them. */
export const KINDS: ReadonlyMap<string, Kind> = readKinds()

/** RFC 8785, for what can stand in a leaf. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`).join(',')}}`
}

const isInt = (value: unknown, max = Number.MAX_SAFE_INTEGER): boolean =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= max
const isSid = (value: unknown): boolean => typeof value === 'string' && /^[a-z2-7]{16}$/.test(value)
const listOf = (value: unknown, max: number, test: (item: never) => boolean): boolean =>
  Array.isArray(value) &&
  value.length >= 1 &&
  value.length <= max &&
  value.every((item) => test(item as never))
const hasOnly = (value: Json, names: string): boolean => Object.keys(value).sort().join() === names

function isMember(name: string, value: unknown): boolean {
  if (name === 'by')
    return listOf(value, 4, (item: string) => typeof item === 'string' && new RegExp(`^${TOKEN}$`).test(item))
  if (name === 'ref') {
    return listOf(
      value,
      64,
      (item: Json) =>
        hasOnly(item, 'h,i,n,t') &&
        base64(String(item['h'])).length === 32 &&
        isInt(item['i'], 2 ** 32 - 1) &&
        isInt(item['n'], 1_048_609) &&
        Number(item['n']) >= 33 &&
        typeof item['t'] === 'string' &&
        new RegExp(`^${TOKEN}$`).test(item['t']),
    )
  }
  if (name === 'scope') {
    const scope = value as Json
    if (hasOnly(scope, 'below')) return isInt(scope['below'])
    if (hasOnly(scope, 'sids')) return listOf(scope['sids'], 256, isSid)
    return (
      hasOnly(scope, 'refs') &&
      listOf(
        scope['refs'],
        128,
        (pair: unknown[]) => pair.length === 2 && isSid(pair[0]) && isInt(pair[1], 2 ** 32 - 1),
      )
    )
  }
  const type = NUMBERS.has(name) ? 'number' : name === 'clean' ? 'boolean' : 'string'
  if (typeof value !== type || SHAPES[name]?.test(String(value)) !== true) return false
  if (name === 'prev' || name === 'com' || name === 'proof') return base64(String(value)).length > 0
  if (name === 'salt') return Buffer.from(String(value), 'base64url').toString('base64url') === value
  return type !== 'number' || isInt(value)
}

function readLeaf(bytes: Buffer): Leaf {
  must(bytes.length <= 16_384, 'canonical: too long')
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  const leaf = JSON.parse(text) as Leaf
  must(canonical(leaf) === text, 'canonical')
  const kind = KINDS.get(leaf.kind)
  must(kind?.required.every((name) => leaf[name] !== undefined) === true, 'schema: a member is missing')
  for (const [name, value] of Object.entries(leaf)) {
    const words = kind.words.get(name)
    must(
      kind.words.has(name) && isMember(name, value) && (words === undefined || words.includes(String(value))),
      `schema: ${name}`,
    )
  }
  return leaf
}

function root(hashes: readonly Buffer[]): Buffer {
  const [only = sha256()] = hashes
  if (hashes.length < 2) return only
  const middle = 2 ** Math.ceil(Math.log2(hashes.length) - 1)
  return sha256(Buffer.of(1), root(hashes.slice(0, middle)), root(hashes.slice(middle)))
}

function readKey(vkey: string): Key {
  const [, name = '', id = '', encoded = ''] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey) ?? []
  const bytes = base64(encoded)
  must(
    bytes.length === 33 &&
      bytes[0] === 1 &&
      sha256(Buffer.from(`${name}\n`), bytes).toString('hex', 0, 4) === id,
    'epoch: not a vkey',
  )
  return { name, id, raw: bytes.subarray(1) }
}

/** Size, and the keys of those given that have signed it. */
function readNote(
  note: Buffer,
  origin: string,
  keys: readonly Key[],
): { size: number; root: Buffer; signers: Key[] } {
  must(note.length <= 65_536, 'checkpoint')
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(note)
  const [, signed = '', name, size, hash = '', lines = ''] =
    /^(([^\n]+)\n(0|[1-9]\d{0,15})\n([^\n]+)\n)\n((?:— [^ \n]+ [^ \n]+\n)*)$/.exec(text) ?? []
  must(size !== undefined && base64(hash).length === 32 && text.split('\n').length <= 65, 'checkpoint')
  must(name === origin, 'origin: a checkpoint')
  const signers: Key[] = []
  for (const [, by, encoded = ''] of lines.matchAll(/— ([^ ]+) ([^ ]+)\n/g)) {
    const bytes = base64(encoded)
    const known = keys.filter((key) => key.name === by && key.id === bytes.toString('hex', 0, 4))
    const der = (key: Key) => Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key.raw])
    const valid = known.filter((key) =>
      verify(
        null,
        Buffer.from(signed),
        createPublicKey({ key: der(key), format: 'der', type: 'spki' }),
        bytes.subarray(4),
      ),
    )
    must(known.length === 0 || valid.length > 0, 'signature: bad')
    signers.push(...valid)
  }
  return { size: Number(size), root: base64(hash), signers }
}

interface Session {
  readonly whole: boolean
  readonly boot: number
  ops: number
  first: number
  /** By operation: chunks so far, and how many there must be where the outcome is known. */
  readonly open: Map<number, { part: number; parts: number | undefined }>
  readonly ended: Set<number>
  readonly named: Map<number, string>
  readonly missing: number[]
}

class Check {
  readonly #db: Database.Database
  readonly #key: Key
  readonly #outside: readonly Buffer[]
  readonly #closed: boolean
  readonly #leaves = new Map<number, Buffer>()
  readonly #hashes: Buffer[] = []
  readonly #sessions = new Map<string, Session | undefined>()
  readonly #governing: Leaf[] = []
  readonly #named = new Set<string>()
  readonly #partial = new Set<string>()
  #boots = 0
  #ts = 0

  constructor(file: string | Buffer, vkey: string, outside: readonly Buffer[], closed: boolean) {
    this.#db = new Database(file, { readonly: true, fileMustExist: true })
    this.#key = readKey(vkey)
    this.#outside = outside
    this.#closed = closed
  }

  #all<T>(sql: string): T[] {
    return this.#db.prepare(sql).all() as T[]
  }

  run(): void {
    try {
      const first = this.#readLeaves()
      const kept = new Map(
        this.#all<{ seq: number; leaf: Buffer }>('SELECT * FROM kept').map(({ seq, leaf }) => [seq, leaf]),
      )
      this.#readStored(first)
      const leaves = new Map([...kept, ...this.#leaves])
      for (const [seq, bytes] of leaves) {
        const leaf = readLeaf(bytes)
        if (['erase', 'retain', 'key.next'].includes(leaf.kind)) this.#governing.push(leaf)
        must(
          sha256(Buffer.of(0), kept.get(seq) ?? bytes).equals(this.#hashes[seq] ?? Buffer.of()),
          'prune: a kept leaf',
        )
      }
      const below = Math.max(
        0,
        ...this.#governing
          .filter(({ kind, below, seq }) => kind === 'retain' && Number(below) <= seq)
          .map(({ below }) => Number(below)),
      )
      must(first <= below, 'prune: no record allows it')
      for (const seq of [...leaves.keys()].sort((a, b) => a - b))
        this.#judge(readLeaf(leaves.get(seq) ?? Buffer.of()), seq, seq >= first)
      this.#judgeTiles()
      this.#judgeCheckpoints()
      for (const [sid, session] of this.#sessions) if (session !== undefined) this.#finish(sid, session)
      for (const { sid, i } of this.#all<{ sid: string; i: number }>('SELECT sid, i FROM payload')) {
        must(this.#named.has(`${sid}/${i}`) || this.#partial.has(sid), 'payload-orphan')
      }
    } finally {
      this.#db.close()
    }
  }

  #readLeaves(): number {
    const rows = this.#all<{ first: number; count: number; codec: number; crc: number; leaves: Buffer }>(
      'SELECT * FROM bundle ORDER BY first',
    )
    let next = rows[0]?.first ?? 0
    for (const { first, count, codec, crc, leaves } of rows) {
      must(
        first === next && crc32(leaves) === crc && (codec === 0 || codec === 1) && count <= 512,
        'gap or format',
      )
      const plain = codec === 0 ? leaves : inflateRawSync(leaves)
      let at = 0
      for (; next < first + count; next++) {
        const end = at + 2 + plain.readUInt16BE(at)
        this.#leaves.set(next, plain.subarray(at + 2, end))
        at = end
      }
      must(at === plain.length, 'format')
    }
    return rows[0]?.first ?? 0
  }

  #readStored(first: number): void {
    const tiles = this.#all<{ hashes: Buffer }>('SELECT hashes FROM tile WHERE level = 0 ORDER BY n')
    for (let seq = 0; seq < first; seq++) {
      const hashes = tiles[seq >> 8]?.hashes
      must(hashes !== undefined, 'tile')
      this.#hashes.push(hashes.subarray((seq & 255) * 32, (seq & 255) * 32 + 32))
    }
    for (const leaf of this.#leaves.values()) this.#hashes.push(sha256(Buffer.of(0), leaf))
  }

  #judge(leaf: Leaf, seq: number, read: boolean): void {
    must(leaf.seq === seq, 'seq')
    must(leaf['log'] === this.#key.name, 'origin')
    must(base64(String(leaf['prev'])).equals(this.#hashes[seq - 1] ?? Buffer.alloc(32)), 'chain')
    if (!read) {
      if (leaf.kind === 'session.open') this.#begin(leaf, false)
      return
    }
    must(leaf.ts >= this.#ts, 'time')
    this.#ts = leaf.ts
    if (leaf.kind === 'boot') this.#boots++
    if (leaf.kind === 'session.open') this.#begin(leaf, true)
    if (leaf.sid === undefined) return
    const session = this.#sessions.get(leaf.sid)
    must(session !== undefined, 'session: not open')
    this.#count(session, leaf)
    this.#name(session, leaf)
    if (leaf.kind !== 'session.close') return
    for (const { parts } of session.open.values()) must(parts !== undefined, 'open-op')
    must(session.open.size === 0, 'session: chunks are missing')
    must(session.missing.length === 0 || this.#isErasedByAge(seq), 'payload-missing')
    this.#sessions.set(leaf.sid, undefined)
  }

  #begin(leaf: Leaf, whole: boolean): void {
    must(!this.#sessions.has(leaf.sid), 'session: opened twice')
    const session = {
      whole,
      boot: this.#boots,
      ops: 0,
      first: Number.POSITIVE_INFINITY,
      open: new Map(),
      ended: new Set<number>(),
      named: new Map(),
      missing: [],
    }
    this.#sessions.set(leaf.sid, session)
    if (whole) return
    this.#partial.add(leaf.sid)
    this.#name(session, leaf)
  }

  #count(session: Session, { kind, op, parts = 0, part }: Leaf): void {
    if (op === undefined || kind === 'alert') return
    if (['op', 'op.begin', 'decision', 'login'].includes(kind)) {
      must(op === session.ops + 1 || (!session.whole && session.ops === 0), 'session: the count')
      session.first = Math.min(session.first, op)
      session.ops = op
      if (kind === 'op.begin') session.open.set(op, { part: 0, parts: undefined })
      if (kind === 'op' && parts > 0) session.open.set(op, { part: 0, parts })
      return
    }
    if (!session.whole && op < session.first && !session.open.has(op) && !session.ended.has(op))
      session.open.set(op, { part: Number.NaN, parts: undefined })
    const open = session.open.get(op)
    must(open !== undefined && (kind === 'data' || open.parts === undefined), 'session: no such operation')
    if (kind === 'data') {
      must(Number.isNaN(open.part) || open.part === part, 'session: chunks')
      open.part = Number(part) + 1
      if (open.part === open.parts) session.open.delete(op)
    }
    if (kind !== 'op.end') return
    must(Number.isNaN(open.part) || open.part === parts, 'session: chunks')
    session.open.delete(op)
    session.ended.add(op)
  }

  #name(session: Session, { sid, ref = [], seq }: Leaf): void {
    for (const { h, i, n, t } of ref) {
      const known = [...session.named.keys()]
      const before = session.named.get(i)
      const limit = session.whole ? known.slice(-256) : known.sort((a, b) => a - b).slice(-256)
      if (before !== undefined && limit.includes(i)) must(before === `${h} ${n} ${t}`, 'nonce')
      else if (session.whole) must(i > Math.max(-1, ...known) && session.boot === this.#boots, 'nonce')
      else must(limit.length < 256 || i > (limit[0] ?? 0), 'nonce')
      session.named.set(i, `${h} ${n} ${t}`)
      if (before !== undefined) continue
      this.#named.add(`${sid}/${i}`)
      const data = this.#db.prepare('SELECT data FROM payload WHERE sid = ? AND i = ?').pluck().get(sid, i) as
        | Buffer
        | undefined
      if (data !== undefined) must(data.length === n && sha256(data).toString('base64') === h, 'payload')
      else if (!this.#isErasedByName(sid, i, seq)) session.missing.push(seq)
    }
  }

  #isErasedByName(sid: string, i: number, seq: number): boolean {
    return this.#governing.some((leaf) => {
      const { refs = [], sids = [] } = (leaf['scope'] ?? {}) as { refs?: [string, number][]; sids?: string[] }
      return (
        leaf.seq > seq && (sids.includes(sid) || refs.some(([name, index]) => name === sid && index === i))
      )
    })
  }

  /** By age: the session closed at `close`, or somewhere below what is left. */
  #isErasedByAge(close: number): boolean {
    return this.#governing.some(({ kind, seq, scope, below }) => {
      const limit = Number(kind === 'retain' ? below : (((scope ?? {}) as Json)['below'] ?? 0))
      return limit <= seq && close < limit
    })
  }

  #finish(sid: string, session: Session): void {
    const open = [...session.open.values()]
    must(
      open.every(({ parts }) => parts === undefined),
      'session: chunks are missing',
    )
    must(!this.#closed || open.length === 0, 'open-op')
    const met = session.whole || [...this.#leaves.values()].some((leaf) => leaf.includes(`"sid":"${sid}"`))
    for (const seq of session.missing) must(!met && this.#isErasedByAge(seq), 'payload-missing')
  }

  #judgeTiles(): void {
    let nodes: Buffer[] = this.#hashes
    let count = 0
    for (let level = 0; nodes.length >= 256; level++) {
      const above: Buffer[] = []
      for (let n = 0; (n + 1) * 256 <= nodes.length; n++, count++) {
        const some = nodes.slice(n * 256, (n + 1) * 256)
        const stored = this.#db
          .prepare('SELECT hashes FROM tile WHERE level = ? AND n = ?')
          .pluck()
          .get(level, n) as Buffer | undefined
        must(stored?.equals(Buffer.concat(some)) === true, 'tile')
        above.push(root(some))
      }
      nodes = above
    }
    must(this.#all('SELECT 1 FROM tile').length === count, 'tile: too many')
  }

  #judgeCheckpoints(): void {
    const { name } = this.#key
    const changes = this.#governing.filter(({ kind }) => kind === 'key.next').sort((a, b) => a.seq - b.seq)
    const keys = [this.#key, ...changes.map((leaf) => readKey(String(leaf['next'])))]
    must(
      keys.every((key) => key.name === name),
      'epoch: a key of another',
    )
    const begins = [-1, ...changes.map(({ seq }) => seq + 1)]
    const judge = (note: Buffer) => {
      const { size, root: signed, signers } = readNote(note, name, keys)
      must(size <= this.#hashes.length, 'truncated')
      const epoch = begins.findLastIndex((begin) => begin < size)
      must(
        signers.some(({ raw }) => raw.equals(keys[epoch]?.raw ?? Buffer.of())),
        'signature or epoch',
      )
      must(root(this.#hashes.slice(0, size)).equals(signed), 'root')
      return { size, signers }
    }
    const kept = new Map(
      this.#all<{ size: number; note: Buffer }>('SELECT size, CAST(note AS BLOB) AS note FROM ckpt').map(
        (row) => {
          const { size, signers } = judge(row.note)
          must(size === row.size, 'checkpoint')
          return [size, signers]
        },
      ),
    )
    for (const [epoch, begin] of begins.entries()) {
      const next = keys[epoch]?.raw ?? Buffer.of()
      must(
        epoch === 0 || kept.get(begin)?.some(({ raw }) => raw.equals(next)) === true,
        'epoch: the checkpoint of a change',
      )
    }
    for (const note of this.#outside) judge(note)
    const head = this.#db.prepare('SELECT CAST(note AS BLOB) FROM head').pluck().get() as Buffer | undefined
    must(head !== undefined && judge(head).size === this.#hashes.length, 'head or unsigned-tail')
  }
}
