/**
 * A book of realistic shape, written as fast as the disk takes it: services that run few prepared statements very
 * often, people who write their own, terminals, failed logins. What it says is chosen by a seed; keys and blinds are
 * fresh. Heads are left out: nothing that searches needs them.
 */
import { randomBytes } from 'node:crypto'
import Sqlite from 'better-sqlite3'
import { createBook } from '../../../src/book/create.ts'
import { encodeLeaf } from '../../../src/book/entry.ts'
import { bookFiles } from '../../../src/book/files.ts'
import { encodeBundle, type Members, type Ref } from '../../../src/book/format.ts'
import { Kek } from '../../../src/book/keys.ts'
import { DataKey } from '../../../src/book/payload.ts'
import { leafHash } from '../../../src/book/tree.ts'
import { Chunker } from '../../../src/record/chunks.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { KEK_BYTES, ORIGIN } from '../../support/books.ts'
import { seeded } from '../../support/seeded.ts'

/** Records to a commit, as under load. */
const COMMIT = 256
const COMMITS_AT_ONCE = 32
export const DAY = 86_400e6
/** The book ends here; it is thirty days long. */
export const END = 1_795_000_000_000_000
const DAYS = 30

const TABLES = [
  'orders',
  'order_items',
  'customers',
  'payments',
  'products',
  'stock',
  'sessions',
  'invoices',
  'carts',
  'audit_log',
]
export const SERVICES = Array.from({ length: 12 }, (_, n) => `svc-${n}`)
export const PEOPLE = Array.from({ length: 60 }, (_, n) => `person${n}@example.com`)
export const TARGETS = [
  'orders-prod',
  'orders-test',
  'shop-prod',
  'reports',
  'billing-prod',
  'web-1',
  'web-2',
  'web-3',
]
const WORDS = [
  'pending',
  'shipped',
  'refund',
  'card_number',
  'urgent',
  'gift',
  'express',
  'blocked',
  'vip',
  'wholesale',
]

interface Open {
  readonly key: DataKey
  readonly name: string
  readonly target: string
  readonly kind: 'service' | 'person' | 'terminal'
  readonly texts: Map<string, { ref: Ref; i: number }>
  readonly meta: Ref
  left: number
  op: number
  shell?: { op: number; part: number; offset: number }
}

export function generate(directory: string, records: number, seed = 1): void {
  createBook({ directory, origin: ORIGIN, journalBytes: 1 << 20, ballastBytes: 64 << 10 })
  const files = bookFiles(directory)
  const writer = new Writer(files.book, files.keys)
  const play = new Player(writer, seeded(seed), records)
  while (writer.size < records) play.step()
  writer.close()
}

class Writer {
  readonly #book: Sqlite.Database
  readonly #keys: Sqlite.Database
  readonly #kek = new Kek(Buffer.from(KEK_BYTES))
  readonly #random = systemRandom()
  readonly #bundle: Sqlite.Statement
  readonly #payload: Sqlite.Statement
  readonly #addKey: Sqlite.Statement
  #prev = Buffer.alloc(32).toString('base64')
  #leaves: Uint8Array[] = []
  #commits = 0
  size = 0

  constructor(book: string, keys: string) {
    this.#book = new Sqlite(book)
    this.#keys = new Sqlite(keys)
    for (const db of [this.#book, this.#keys]) {
      db.pragma('journal_mode = WAL')
      db.pragma('synchronous = OFF')
      db.exec('BEGIN')
    }
    this.#bundle = this.#book.prepare('INSERT INTO bundle VALUES (?,?,?,?,?)')
    this.#payload = this.#book.prepare('INSERT INTO payload VALUES (?,?,?)')
    this.#addKey = this.#keys.prepare(
      'INSERT INTO data_key(sid, floor, kek, nonce, wrapped) VALUES (?,?,?,?,?)',
    )
  }

  newKey(): DataKey {
    const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
    const sid = [...randomBytes(16)].map((byte) => alphabet[byte & 31]).join('')
    const key = new DataKey(ORIGIN, sid, this.#random)
    const row = key.wrap((bytes) => this.#kek.wrap(ORIGIN, sid, bytes, this.#random))
    this.#addKey.run(sid, this.size - this.#leaves.length, row.kek, row.nonce, row.wrapped)
    return key
  }

  seal(key: DataKey, type: string, body: string | Uint8Array): Ref {
    const { ref, bytes } = key.seal(type, typeof body === 'string' ? Buffer.from(body) : body, true)
    this.#payload.run(key.sid, ref.i, bytes)
    return ref
  }

  record(members: Members): void {
    const salt = randomBytes(16).toString('base64url')
    const leaf = encodeLeaf(members, { log: ORIGIN, seq: this.size++, prev: this.#prev, salt })
    this.#prev = Buffer.from(leafHash(leaf)).toString('base64')
    this.#leaves.push(leaf)
    if (this.#leaves.length === COMMIT) this.#commit()
  }

  #commit(): void {
    const { codec, crc, bytes } = encodeBundle(this.#leaves)
    this.#bundle.run(this.size - this.#leaves.length, this.#leaves.length, codec, crc, bytes)
    this.#leaves = []
    if (++this.#commits % COMMITS_AT_ONCE !== 0) return
    for (const db of [this.#book, this.#keys]) db.exec('COMMIT; BEGIN')
  }

  close(): void {
    if (this.#leaves.length > 0) this.#commit()
    for (const db of [this.#book, this.#keys]) {
      db.exec('COMMIT')
      db.pragma('wal_checkpoint(TRUNCATE)')
      db.close()
    }
  }
}

const SESSIONS_AT_ONCE = 60

class Player {
  readonly #writer: Writer
  readonly #random: () => number
  readonly #step: number
  readonly #open: Open[] = []
  readonly #gateway: DataKey
  #now: number

  constructor(writer: Writer, random: () => number, records: number) {
    this.#writer = writer
    this.#random = random
    this.#now = END - DAYS * DAY
    this.#step = (DAYS * DAY) / records
    this.#gateway = writer.newKey()
    const { sid, commitment: com } = this.#gateway
    writer.record({ kind: 'session.open', ts: this.#now, sid, act: 'gateway', com })
  }

  step(): void {
    // As much time goes by as records are written: the book is as long as it shall be, whatever is in it.
    const wanted = END - DAYS * DAY + this.#writer.size * this.#step
    this.#now = Math.max(this.#now, Math.floor(wanted))
    if (this.#open.length < SESSIONS_AT_ONCE) {
      this.#begin()
      return
    }
    const k = Math.floor(this.#random() * this.#open.length)
    const session = this.#open[k]
    if (session === undefined) return
    if (session.left-- <= 0) {
      this.#end(session)
      this.#open.splice(k, 1)
    } else if (session.kind === 'terminal') this.#terminal(session)
    else this.#statement(session)
    if (this.#random() < 0.002) this.#failedLogin()
  }

  #begin(): void {
    const share = this.#random()
    const kind = share < 0.5 ? 'service' : share < 0.93 ? 'person' : 'terminal'
    const name = this.#pick(kind === 'service' ? SERVICES : PEOPLE)
    const target =
      kind === 'terminal'
        ? this.#pick(TARGETS.slice(5))
        : (TARGETS[Math.floor(this.#random() ** 2 * 5)] ?? '')
    const key = this.#writer.newKey()
    const address = `10.${kind === 'service' ? 1 : 2}.${Math.floor(this.#random() * 4)}.${Math.floor(this.#random() * 50)}`
    const who = { name, address, method: 'token', roles: [kind], claims: { application_name: kind } }
    const ref = [this.#writer.seal(key, 'who', JSON.stringify(who))]
    const { sid, commitment: com } = key
    const act = kind === 'terminal' ? 'ssh' : target === 'shop-prod' ? 'mysql' : 'pg'
    const sub = `s_${name.replace(/\W/g, '_')}`.slice(0, 32)
    this.#writer.record({ kind: 'session.open', ts: this.#now, sid, act, com, sub, tgt: target, ref })
    const meta = this.#writer.seal(
      key,
      'meta',
      JSON.stringify({ database: target.split('-')[0], transaction: 'idle', pid: 4711 }),
    )
    const left =
      kind === 'service' ? 200 + Math.floor(this.#random() * 2000) : 5 + Math.floor(this.#random() * 60)
    this.#open.push({ key, name, target, kind, texts: new Map(), meta, left, op: 0 })
  }

  #statement(session: Open): void {
    const { key, meta, kind } = session
    const prepared = kind === 'service'
    const text = prepared ? this.#prepared() : this.#written()
    const sql = this.#text(session, text, prepared)
    const ref = prepared
      ? [sql, meta, this.#writer.seal(key, 'args', JSON.stringify([Math.floor(this.#random() * 1e6)]))]
      : [sql, meta]
    const luck = this.#random()
    const op = ++session.op
    const common = {
      ts: this.#now,
      sid: key.sid,
      op,
      act: prepared ? 'db.execute' : 'db.query',
      rule: kind,
      ref,
    }
    if (!prepared && luck < 0.02) {
      this.#writer.record({ ...common, kind: 'decision', out: 'denied' })
      return
    }
    const failed = luck > (prepared ? 0.998 : 0.95)
    const dur = Math.floor(200 + this.#random() ** 8 * 20e6)
    const rows = failed ? undefined : Math.floor(this.#random() ** 6 * 50_000)
    this.#writer.record({
      ...common,
      kind: 'op',
      out: failed ? 'error' : 'ok',
      code: failed ? '42P01' : undefined,
      rows,
      bytes: rows,
      dur,
    })
  }

  /** A text that was sealed lately is named again, as the recorder does. */
  #text({ key, texts }: Open, text: string, repeats: boolean): Ref {
    const known = texts.get(text)
    if (repeats && known !== undefined) return known.ref
    const ref = this.#writer.seal(key, 'sql', text)
    if (repeats) texts.set(text, { ref, i: ref.i })
    return ref
  }

  #prepared(): string {
    const table = this.#table()
    return this.#pick([
      `SELECT * FROM ${table} WHERE id = $1`,
      `SELECT t.id, t.status, t.updated_at FROM ${table} t JOIN customers c ON c.id = t.customer_id WHERE c.id = $1 ORDER BY t.updated_at DESC LIMIT 20`,
      `UPDATE ${table} SET status = $1, updated_at = now() WHERE id = $2`,
      `INSERT INTO ${table} (customer_id, status, total) VALUES ($1, $2, $3) RETURNING id`,
      `SELECT count(*) FROM ${table} WHERE status = $1`,
    ])
  }

  #written(): string {
    const table = this.#table()
    const id = Math.floor(this.#random() * 1e6)
    const word = this.#pick(WORDS)
    const luck = this.#random()
    if (luck < 0.02) return `DELETE FROM ${table} WHERE id = ${id}`
    if (luck < 0.08) return `UPDATE ${table} SET status = '${word}' WHERE id = ${id}`
    return this.#pick([
      `SELECT * FROM ${table} WHERE id = ${id}`,
      `select * from ${table} where status = '${word}' and created_at > '2026-10-${10 + (id % 20)}' limit ${id % 500}`,
      `SELECT c.name, count(*), sum(t.total) FROM ${table} t JOIN customers c ON c.id = t.customer_id WHERE t.note LIKE '%${word}%' GROUP BY c.name`,
      `SELECT * FROM pg_stat_activity WHERE pid = ${id}`,
      `EXPLAIN SELECT * FROM ${table} WHERE customer_id = ${id}`,
    ])
  }

  #terminal(session: Open): void {
    const { key } = session
    if (session.shell === undefined) {
      const op = ++session.op
      const ref = [this.#writer.seal(key, 'cmd', '')]
      this.#writer.record({
        kind: 'op.begin',
        ts: this.#now,
        sid: key.sid,
        op,
        act: 'ssh.shell',
        rule: 'terminal',
        ref,
      })
      session.shell = { op, part: 0, offset: 0 }
      return
    }
    const { shell } = session
    const command = this.#pick([
      'ls -la /srv',
      `grep ${this.#pick(WORDS)} /var/log/app.log`,
      'sudo systemctl restart nginx',
      'df -h',
      'tail -n 50 error.log',
    ])
    const chunker = new Chunker(64 << 10)
    const add = (kind: 'o' | 'm', text: string): void =>
      chunker.add(kind, Buffer.from(text), this.#now, () => {})
    add('o', `\u001b[32mdeploy@web\u001b[0m:~$ ${command}\r\n`)
    add('m', JSON.stringify({ command, by: 'prompt' }))
    add(
      'o',
      `${Array.from({ length: 12 }, (_, n) => `2026-11-0${n % 9} INFO request ${this.#pick(WORDS)} took ${Math.floor(this.#random() * 900)} ms`).join('\r\n')}\r\n`,
    )
    const { body, bytes, startedAt: t0 } = chunker.cut()
    const ref = [this.#writer.seal(key, 'tty', body)]
    const { op, part, offset: off } = shell
    this.#writer.record({ kind: 'data', ts: this.#now, sid: key.sid, op, part, off, bytes, t0, ref })
    session.shell = { op, part: part + 1, offset: off + bytes }
  }

  #end({ key, shell }: Open): void {
    if (shell !== undefined) {
      const { op, part: parts } = shell
      this.#writer.record({
        kind: 'op.end',
        ts: this.#now,
        sid: key.sid,
        op,
        out: 'ok',
        code: '0',
        dur: 60e6,
        parts,
      })
    }
    this.#writer.record({ kind: 'session.close', ts: this.#now, sid: key.sid, why: 'client' })
    key.destroy()
  }

  #failedLogin(): void {
    const ref = [
      this.#writer.seal(
        this.#gateway,
        'who',
        JSON.stringify({
          name: `guess${Math.floor(this.#random() * 200)}`,
          address: `203.0.113.${Math.floor(this.#random() * 250)}`,
        }),
      ),
    ]
    this.#writer.record({
      kind: 'login',
      ts: this.#now,
      sid: this.#gateway.sid,
      act: 'pg',
      out: 'denied',
      code: 'bad-credential',
      ref,
    })
  }

  /** Few tables are used most. */
  #table(): string {
    return TABLES[Math.floor(this.#random() ** 2 * TABLES.length)] ?? 'orders'
  }

  #pick<T>(from: readonly T[]): T {
    const found = from[Math.floor(this.#random() * from.length)]
    if (found === undefined) throw new Error('nothing to pick from')
    return found
  }
}
