/**
 * A book's database as the verifier reads it: read-only, in slices, up to where the book ended when it was
 * opened. The file may have been made by an attacker, so the tables read must be the ones of the format, letter
 * by letter: no view, generated column or missing index can then make a query endless.
 */
import Database from 'better-sqlite3'
import { decodeBundle } from './format.ts'
import { FORMAT } from './kinds.ts'
import { APPLICATION_ID, SCHEMA } from './schema.ts'
import {
  type Commit,
  type KeptCheckpoint,
  type KeptLeaf,
  type PayloadRows,
  type Source,
  SourceError,
} from './verify/source.ts'

/** Rows read at once, each time in a transaction that ends with them: a live book's WAL can be reset between. */
const SLICE = 64

const UNREADABLE = /^SQLITE_(?:IOERR|CANTOPEN|NOMEM|BUSY|LOCKED|PERM|AUTH|READONLY|INTERRUPT|FULL|PROTOCOL)/

/** What is read here; the other tables are the writer's own affair. */
const TABLES = ['bundle', 'tile', 'payload', 'head', 'ckpt', 'kept']

type Row = Readonly<Record<string, unknown>>

export class BookSource implements Source {
  readonly first: number
  readonly end: number
  readonly head: Uint8Array | undefined
  readonly payloads: PayloadRows
  readonly tiles: number
  readonly #db: Database.Database
  readonly #tile: Database.Statement
  readonly #newestCheckpoint: number
  readonly #version: number

  private constructor(db: Database.Database) {
    this.#db = db
    requireFormat(db)
    this.#version = this.#dataVersion()
    this.#tile = db.prepare('SELECT hashes FROM tile WHERE level = ? AND n = ?')
    const snapshot = this.#get(`SELECT
      (SELECT min(first) FROM bundle) AS first,
      (SELECT first+count FROM bundle ORDER BY first DESC LIMIT 1) AS end,
      (SELECT CAST(note AS BLOB) FROM head) AS head,
      (SELECT max(size) FROM ckpt) AS newest,
      (SELECT count(*) FROM tile) AS tiles,
      (SELECT max(rowid) FROM payload) AS payloads,
      (SELECT min(rowid) FROM payload) AS firstPayload,
      (SELECT min(size) FROM ckpt) AS oldest,
      (SELECT min(seq) FROM kept) AS firstKept,
      (SELECT max(seq) FROM kept) AS lastKept`)
    // Nobody writes rows outside the numbers that can be counted, and nobody who reads by number would meet them.
    for (const name of ['firstPayload', 'oldest', 'firstKept', 'lastKept']) index(snapshot[name] ?? 0)
    this.first = index(snapshot['first'] ?? 0)
    this.end = index(snapshot['end'] ?? 0)
    this.head = snapshot['head'] === null ? undefined : blob(snapshot['head'])
    this.tiles = index(snapshot['tiles'])
    this.#newestCheckpoint = index(snapshot['newest'] ?? 0)
    this.payloads = new Payloads(db, index(snapshot['payloads'] ?? 0))
  }

  /** Never `immutable`, which would ignore the WAL: a book is its file together with the `-wal` beside it. */
  static open(file: string): BookSource {
    return reading(`open ${file}`, () => {
      const db = new Database(file, { readonly: true, fileMustExist: true })
      try {
        db.pragma('trusted_schema = OFF')
        db.pragma('cell_size_check = ON')
        db.pragma('mmap_size = 0')
        return new BookSource(db)
      } catch (cause) {
        db.close()
        throw cause
      }
    })
  }

  close(): void {
    this.#db.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Whether somebody has written since the book was opened, so that rows read late may be of a later state. */
  hasMoved(): boolean {
    return reading('look for changes', () => this.#dataVersion() !== this.#version)
  }

  #dataVersion(): number {
    return Number(this.#db.pragma('data_version', { simple: true }))
  }

  /** What SQLite itself finds wrong with the file. It holds one read transaction, so it is for copies. */
  checkIntegrity(): string[] {
    return reading('check the file', () => {
      const rows = this.#db.pragma('integrity_check(10)') as { integrity_check: string }[]
      return rows.map((row) => row.integrity_check).filter((text) => text !== 'ok')
    })
  }

  #get(sql: string, ...values: number[]): Row {
    return this.#db.prepare(sql).get(...values) as Row
  }

  *commits(from: number): Iterable<Commit> {
    const start = reading('find a commit', () =>
      this.#get('SELECT max(first) AS first FROM bundle WHERE first <= ?', from),
    )
    const sql =
      'SELECT first, count, codec, crc, leaves FROM bundle WHERE first >= ? AND first < ? ORDER BY first LIMIT ?'
    for (const row of slices(this.#db, sql, 'first', index(start['first'] ?? 0), this.end)) {
      const [first, count] = [index(row['first']), index(row['count'])]
      const [codec, crc, leaves] = [index(row['codec']), index(row['crc']), blob(row['leaves'])]
      yield { first, count, leaves: () => decodeBundle({ count, codec, crc, leaves }) }
    }
  }

  *checkpoints(): Iterable<KeptCheckpoint> {
    const sql =
      'SELECT size, CAST(note AS BLOB) AS note FROM ckpt WHERE size >= ? AND size < ? ORDER BY size LIMIT ?'
    for (const row of slices(this.#db, sql, 'size', 0, this.#newestCheckpoint + 1)) {
      yield { size: index(row['size']), note: blob(row['note']) }
    }
  }

  *kept(): Iterable<KeptLeaf> {
    const sql = 'SELECT seq, leaf FROM kept WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?'
    for (const row of slices(this.#db, sql, 'seq', 0, Number.MAX_SAFE_INTEGER)) {
      yield { seq: index(row['seq']), leaf: blob(row['leaf']) }
    }
  }

  tile(level: number, n: number): Uint8Array | undefined {
    return reading('read a tile', () => {
      const row = this.#tile.get(level, n) as Row | undefined
      return row === undefined ? undefined : blob(row['hashes'])
    })
  }
}

/** Rows read ahead: at first few, then more as long as they are what is asked for. */
const AHEAD_ROWS_MIN = 8
const AHEAD_ROWS_MAX = 512
const AHEAD_BYTES = 1 << 20

type PayloadRow = readonly [rowid: unknown, sid: unknown, i: unknown, data: unknown]

/** The payload rows there were at the beginning, with a mark for each that has been taken. */
class Payloads implements PayloadRows {
  readonly #db: Database.Database
  readonly #select: Database.Statement
  readonly #following: Database.Statement
  readonly #last: number
  /** Records name payloads in the order in which the rows were made, unless somebody has changed the file. */
  #ahead: readonly PayloadRow[] = []
  #next = 0
  #rows = AHEAD_ROWS_MIN
  /** 32 rows each: rows stand close together, but whoever makes a file chooses their numbers. */
  readonly #taken = new Map<number, number>()

  constructor(db: Database.Database, last: number) {
    this.#db = db
    this.#last = last
    this.#select = db.prepare('SELECT rowid, sid, i, data FROM payload WHERE sid = ? AND i = ?').raw()
    // Only rows that are found under their names, too: everybody else looks for them there.
    this.#following = db
      .prepare(
        `SELECT rowid, sid, i, data FROM payload AS row WHERE rowid > ? AND rowid <= ? AND rowid =
          (SELECT rowid FROM payload INDEXED BY sqlite_autoindex_payload_1 WHERE sid = row.sid AND i = row.i)
          ORDER BY rowid`,
      )
      .raw()
  }

  take(sid: string, i: number): Uint8Array | undefined {
    const row = reading('read a payload', () => this.#takeNext(sid, i) ?? this.#find(sid, i))
    if (row === undefined) return undefined
    const [word, bit] = place(index(row[0]))
    this.#taken.set(word, (this.#taken.get(word) ?? 0) | bit)
    return blob(row[3])
  }

  /** The row that comes next, where that is the one. */
  #takeNext(sid: string, i: number): PayloadRow | undefined {
    const row = this.#ahead[this.#next]
    if (row === undefined || row[1] !== sid || row[2] !== i) return undefined
    if (++this.#next === this.#ahead.length) {
      this.#rows = Math.min(2 * this.#rows, AHEAD_ROWS_MAX)
      this.#readAhead(row[0])
    }
    return row
  }

  #find(sid: string, i: number): PayloadRow | undefined {
    const row = this.#select.get(sid, i) as PayloadRow | undefined
    if (row === undefined) return undefined
    const at = this.#ahead.findIndex(([rowid]) => rowid === row[0])
    if (at !== -1 && at + 1 < this.#ahead.length) this.#next = at + 1
    else {
      this.#rows = AHEAD_ROWS_MIN
      this.#readAhead(row[0])
    }
    return row
  }

  #readAhead(rowid: unknown): void {
    const after = index(rowid)
    const rows: PayloadRow[] = []
    let bytes = 0
    for (const row of this.#following.iterate(after, after + this.#rows) as IterableIterator<PayloadRow>) {
      rows.push(row)
      bytes += row[3] instanceof Uint8Array ? row[3].length : 0
      if (bytes >= AHEAD_BYTES) break
    }
    this.#ahead = rows
    this.#next = 0
  }

  *rest(): Iterable<{ readonly sid: string; readonly i: number }> {
    const sql =
      'SELECT rowid AS row, sid, i FROM payload WHERE rowid >= ? AND rowid < ? ORDER BY rowid LIMIT ?'
    for (const row of slices(this.#db, sql, 'row', 0, this.#last + 1)) {
      const [word, bit] = place(Number(row['row']))
      const { sid, i } = row
      if (((this.#taken.get(word) ?? 0) & bit) === 0) yield { sid: String(sid), i: Number(i) }
    }
  }
}

function place(row: number): readonly [number, number] {
  const word = Math.floor(row / 32)
  return [word, 1 << (row - word * 32)]
}

/** Rows by an integer key that ascends: a damaged tree of pages could show the same ones again and again. */
function* slices(db: Database.Database, sql: string, key: string, start: number, end: number): Iterable<Row> {
  const statement = reading('read rows', () => db.prepare(sql))
  let next = start
  let rows: Row[]
  do {
    rows = reading('read rows', () => statement.all(next, end, SLICE) as Row[])
    for (const row of rows) {
      const at = row[key]
      if (typeof at !== 'number' || !(at >= next))
        throw new SourceError('damaged', `rows are out of order at ${key} ${at}`)
      next = at + 1
      yield row
    }
  } while (rows.length === SLICE)
}

function requireFormat(db: Database.Database): void {
  if (db.pragma('application_id', { simple: true }) !== APPLICATION_ID)
    throw new SourceError('foreign', 'this is no book')
  const format = Number(db.pragma('user_version', { simple: true }))
  if (format > FORMAT)
    throw new SourceError('newer', `written by a newer release: format ${format}, known is ${FORMAT}`)
  if (format < FORMAT) throw new SourceError('foreign', `format ${format} is not known`)
  const rows = db.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").all() as Row[]
  const found = new Map(rows.map((row) => [row['name'], layout(String(row['sql']))]))
  for (const [sql, name = ''] of SCHEMA.matchAll(/CREATE TABLE (\w+)\([^;]*/g)) {
    if (TABLES.includes(name) && found.get(name) !== layout(sql))
      throw new SourceError('damaged', `the table ${name} is not the one of the format`)
  }
}

function layout(sql: string): string {
  return sql.replace(/\s+/g, ' ').trim()
}

function index(value: unknown): number {
  if (!Number.isSafeInteger(value) || Number(value) < 0)
    throw new SourceError('damaged', `${value} where a count belongs`)
  return Number(value)
}

function blob(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new SourceError('damaged', 'no bytes where bytes belong')
  return value
}

/** Damage is what the verifier is looking for; what the operating system refuses is not. */
function reading<T>(doing: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof Database.SqliteError)) throw cause
    if (cause.code === 'SQLITE_NOTADB')
      throw new SourceError('foreign', `${doing}: this is no book`, { cause })
    const code = UNREADABLE.test(cause.code) ? 'unreadable' : 'damaged'
    throw new SourceError(code, `${doing}: ${cause.message} (${cause.code})`, { cause })
  }
}
