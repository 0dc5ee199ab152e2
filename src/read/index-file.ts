/**
 * index.db: what is searched, derived from the book and thrown away whenever it does not fit it. It is full of what
 * payloads hide, so the file is encrypted as a whole, under a random key that lies beside it, wrapped under the key
 * encryption key. Nothing of it spills in clear: temporary tables stay in memory.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite, { type Database } from 'better-sqlite3-multiple-ciphers'
import type { Kek, WrappedKey } from '../book/keys.ts'

/** Another version is rebuilt. Raise it with every change of the tables or of what derive.ts says. */
const VERSION = 3
const PAGE_BYTES = 8192
/** AEGIS-256: a nonce and a tag for each page, by the processor's own AES. */
const CIPHER = 'aegis'
const CACHE_KIB = 96 << 10
/** The log is written back in pieces of this size: an fsync each, which the book's disk feels. */
const LOG_PAGES = 4096
/** Under this name the index's key is wrapped. */
const KEY_NAME = 'index'

export interface IndexFiles {
  readonly index: string
  readonly key: string
}

export function indexFiles(directory: string): IndexFiles {
  return { index: join(directory, 'index.db'), key: join(directory, 'index.key') }
}

/** Kinds of names; the numbers stand in the index. */
export const NAME_KINDS = {
  actor: 1,
  sub: 2,
  target: 3,
  ip: 4,
  db: 5,
  action: 6,
  trace: 7,
  role: 8,
  verb: 9,
  table: 10,
  code: 11,
} as const

export type NameKind = keyof typeof NAME_KINDS

const SCHEMA = `
CREATE TABLE state(one INTEGER PRIMARY KEY CHECK(one=1), next INTEGER NOT NULL, hash TEXT NOT NULL, origin TEXT NOT NULL) STRICT;
CREATE TABLE name(id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, value TEXT NOT NULL, count INTEGER NOT NULL DEFAULT 0,
  UNIQUE(kind, value)) STRICT;
CREATE TABLE shape(id INTEGER PRIMARY KEY AUTOINCREMENT, fp TEXT NOT NULL UNIQUE, nowhere INTEGER NOT NULL, count INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE shape_verb(shape INTEGER NOT NULL, name INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY(shape, name)) STRICT, WITHOUT ROWID;
CREATE TABLE shape_table(shape INTEGER NOT NULL, name INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY(shape, name)) STRICT, WITHOUT ROWID;
CREATE INDEX verb_shapes ON shape_verb(name, shape);
CREATE INDEX table_shapes ON shape_table(name, shape);
CREATE TABLE session(n INTEGER PRIMARY KEY, sid TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL, ts INTEGER NOT NULL, proto INTEGER NOT NULL,
  actor INTEGER, sub INTEGER, target INTEGER, addr INTEGER, client TEXT, closed INTEGER, closing INTEGER, why TEXT, last INTEGER NOT NULL,
  ops INTEGER NOT NULL DEFAULT 0, errors INTEGER NOT NULL DEFAULT 0, denied INTEGER NOT NULL DEFAULT 0, terminal INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX session_seq ON session(seq);
CREATE INDEX session_open ON session(n) WHERE closed IS NULL;
CREATE TABLE session_role(name INTEGER NOT NULL, session INTEGER NOT NULL, PRIMARY KEY(name, session)) STRICT, WITHOUT ROWID;
CREATE TABLE chunk(session INTEGER NOT NULL, op INTEGER NOT NULL, seq INTEGER NOT NULL, stream TEXT NOT NULL, t0 INTEGER NOT NULL,
  bytes INTEGER NOT NULL, PRIMARY KEY(session, op, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE entry(id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, action INTEGER NOT NULL, session INTEGER, op INTEGER, par INTEGER,
  actor INTEGER, sub INTEGER, target INTEGER, addr INTEGER, proto INTEGER, db INTEGER, shape INTEGER, trace INTEGER, flags INTEGER NOT NULL,
  out INTEGER, code INTEGER, rows INTEGER, bytes INTEGER, dur INTEGER, fin INTEGER, said INTEGER) STRICT;
CREATE INDEX by_trouble ON entry(out, id) WHERE out > 1;
CREATE INDEX by_open ON entry(session, op) WHERE out IS NULL;
CREATE TABLE mark(what INTEGER NOT NULL, span INTEGER NOT NULL, runs TEXT NOT NULL, PRIMARY KEY(what, span)) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5(text, content='', contentless_delete=1, tokenize="unicode61 remove_diacritics 0 tokenchars '_$'");
INSERT INTO words(words, rank) VALUES('secure-delete', 1);
`

/** `flags` of an entry. */
export const FLAG = { params: 1, recording: 2, quiet: 4 } as const

export class IndexFile {
  readonly db: Database
  private constructor(db: Database) {
    this.db = db
  }

  /** For the one thread that writes it. What cannot be opened, or is of another version, is made anew. */
  static openForWriting(files: IndexFiles, kek: Kek, origin: string, anew: boolean): IndexFile {
    const key = anew ? undefined : readKey(files.key, kek, origin)
    if (key !== undefined && existsSync(files.index)) {
      try {
        const db = open(files.index, key)
        if (db.pragma('user_version', { simple: true }) === VERSION) return new IndexFile(tuned(db))
        db.close()
      } catch (error) {
        if (!(error instanceof Sqlite.SqliteError)) throw error
      }
    }
    return new IndexFile(create(files, kek, origin))
  }

  /** For threads that only look. */
  static openForReading(files: IndexFiles, kek: Kek, origin: string): IndexFile {
    const key = readKey(files.key, kek, origin)
    if (key === undefined) throw new Error(`${files.key} does not open the index`)
    const db = tuned(open(files.index, key))
    db.pragma('query_only = ON')
    return new IndexFile(db)
  }
}

function create(files: IndexFiles, kek: Kek, origin: string): Database {
  for (const path of [files.index, `${files.index}-wal`, `${files.index}-shm`]) rmSync(path, { force: true })
  const key = randomBytes(32)
  const { kek: id, nonce, wrapped } = kek.wrap(origin, KEY_NAME, key, (length) => randomBytes(length))
  const text = [id, Buffer.from(nonce).toString('base64'), Buffer.from(wrapped).toString('base64')].join('\n')
  writeFileSync(files.key, `${text}\n`, { mode: 0o600 })
  // The files beside it take its mode when they are made.
  writeFileSync(files.index, '', { mode: 0o600 })
  const db = open(files.index, key)
  db.pragma(`page_size = ${PAGE_BYTES}`)
  tuned(db)
  db.transaction(() => {
    db.exec(SCHEMA)
    db.pragma(`user_version = ${VERSION}`)
  })()
  return db
}

/** The key's bytes are overwritten once the database has them. */
function open(path: string, key: Buffer): Database {
  const db = new Sqlite(path)
  try {
    db.pragma(`cipher = '${CIPHER}'`)
    db.pragma(`key = 'raw:${key.toString('hex')}'`)
    // The first read shows whether the key fits.
    db.pragma('user_version')
    return db
  } catch (error) {
    db.close()
    throw error
  } finally {
    key.fill(0)
  }
}

function tuned(db: Database): Database {
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = NORMAL')
  db.pragma(`wal_autocheckpoint = ${LOG_PAGES}`)
  db.pragma('temp_store = MEMORY')
  db.pragma('secure_delete = ON')
  db.pragma('busy_timeout = 5000')
  db.pragma(`cache_size = -${CACHE_KIB}`)
  return db
}

function readKey(path: string, kek: Kek, origin: string): Buffer | undefined {
  if (!existsSync(path)) return undefined
  const [id, nonce, wrapped] = readFileSync(path, 'latin1').split('\n')
  if (id !== kek.id || nonce === undefined || wrapped === undefined) return undefined
  const row: WrappedKey = {
    sid: KEY_NAME,
    kek: id,
    nonce: Buffer.from(nonce, 'base64'),
    wrapped: Buffer.from(wrapped, 'base64'),
  }
  try {
    return kek.unwrap(origin, row)
  } catch {
    // A damaged or foreign key: the index is derived again, and nothing is lost.
    return undefined
  }
}
