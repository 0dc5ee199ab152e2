/**
 * Opening the SQLite files as the format demands. Every pragma is set and read back at every opening: a WAL
 * database reopened by this library reports synchronous = NORMAL, under which a commit is not on disk.
 */
import Sqlite, { type Database } from 'better-sqlite3'

/** The book exists, is not what it should be, or is in use: a human must look. */
export class BookError extends Error {
  override readonly name = 'BookError'
  readonly code:
    | 'exists'
    | 'missing'
    | 'locked'
    | 'pragma'
    | 'newer'
    | 'foreign'
    | 'damaged'
    | 'behind-sidecar'
    | 'journal-loss'

  constructor(code: BookError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** SQLite before this can corrupt a WAL database whose readers and checkpoints meet; 3.52.0 was withdrawn. */
const SQLITE_FLOOR = [3, 51, 3] as const
const SQLITE_WITHDRAWN = '3.52.0'

const WRITER_PRAGMAS: readonly (readonly [string, string, string | number])[] = [
  ['journal_mode', 'WAL', 'wal'],
  ['synchronous', 'FULL', 2],
  ['wal_autocheckpoint', '0', 0],
  ['recursive_triggers', 'ON', 1],
  ['trusted_schema', 'OFF', 0],
  ['cell_size_check', 'ON', 1],
  ['secure_delete', 'ON', 1],
  ['busy_timeout', '5000', 5000],
]

function checkVersion(db: Database): void {
  const version = String(db.prepare('SELECT sqlite_version()').pluck().get())
  const parts = version.split('.').map(Number)
  const older = SQLITE_FLOOR.findIndex((floor, k) => (parts[k] ?? 0) !== floor)
  const tooOld = older !== -1 && (parts[older] ?? 0) < (SQLITE_FLOOR[older] ?? 0)
  if (tooOld || version === SQLITE_WITHDRAWN) {
    throw new BookError(
      'pragma',
      `SQLite ${version} can damage a database in WAL mode; 3.51.3 or later is needed`,
    )
  }
}

/** Opens or creates a database for its one writer. What `check` refuses is left as it was. */
export function openForWriting(
  path: string,
  mustExist: boolean,
  check: (db: Database) => void = () => {},
): Database {
  const db = new Sqlite(path, { fileMustExist: mustExist })
  try {
    checkVersion(db)
    check(db)
    for (const [name, value, expected] of WRITER_PRAGMAS) {
      db.pragma(`${name} = ${value}`)
      const actual = db.pragma(name, { simple: true })
      if (actual !== expected) {
        throw new BookError('pragma', `${path}: ${name} reads back as ${String(actual)}, not ${expected}`)
      }
    }
    return db
  } catch (cause) {
    db.close()
    if (sqliteCode(cause) !== 'SQLITE_NOTADB') throw cause
    throw new BookError('foreign', `${path} is no database`, { cause })
  }
}

/** SQLite's extended name of an error, or nothing where it is none of SQLite's. */
export function sqliteCode(error: unknown): string | undefined {
  return error instanceof Sqlite.SqliteError ? error.code : undefined
}

/** Writes the log back and cuts it, without waiting for anybody. False: a reader holds on to an older state. */
export function truncateLog(db: Database): boolean {
  // The writer's patience is for locks; here it would keep records waiting for a reader.
  db.pragma('busy_timeout = 0')
  try {
    const [result] = db.pragma('wal_checkpoint(TRUNCATE)') as { busy: number }[]
    return result?.busy === 0
  } finally {
    db.pragma('busy_timeout = 5000')
  }
}

/** How long the log is since it was last begun anew. Its file does not say: it is kept, and written over. */
export function framesInLog(db: Database): number {
  const [result] = db.pragma('wal_checkpoint(NOOP)') as { log: number }[]
  return result?.log ?? 0
}

/** Opens a database that somebody else may be writing. Rows never change, so slices of reads agree. */
export function openForReading(path: string): Database {
  const db = new Sqlite(path, { readonly: true, fileMustExist: true })
  db.pragma('busy_timeout = 5000')
  return db
}

/** A lock whose owner is forgotten would go with it, unseen, at the next collection. */
const held = new Set<Database>()

/** Held until it is closed by the one process that may write the book; the kernel frees it when that process dies. */
export function holdLock(path: string): { close(): void } {
  const lock = new Sqlite(path)
  try {
    lock.pragma('busy_timeout = 0')
    lock.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    lock.close()
    throw new BookError('locked', `${path}: another process has this book open`, { cause })
  }
  held.add(lock)
  return {
    close: () => {
      held.delete(lock)
      lock.close()
    },
  }
}
