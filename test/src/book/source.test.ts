import { copyFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { BookSource } from '../../../src/book/source.ts'
import { SourceError } from '../../../src/book/verify/source.ts'
import { verifyBook } from '../../../src/book/verify/walk.ts'
import { BookBuilder, ORIGIN } from '../../support/book-builder.ts'
import { temporaryFiles } from '../../support/folder.ts'
import { buildSampleBook } from '../../support/sample-book.ts'

const newFile = temporaryFiles()
const sample = buildSampleBook(newFile())

function copy(change?: (db: Database.Database) => void): string {
  const file = newFile()
  copyFileSync(sample.file, file)
  const db = new Database(file)
  db.pragma('journal_mode = WAL')
  change?.(db)
  db.close()
  return file
}

const codeOf = (file: string): string => {
  try {
    BookSource.open(file).close()
    return 'opened'
  } catch (error) {
    if (error instanceof SourceError) return error.code
    throw error
  }
}

describe('a live book', () => {
  test('is read as it was when it was opened, whatever is written meanwhile', () => {
    const file = copy()
    using source = BookSource.open(file)
    const builder = new BookBuilder(file, ORIGIN, sample.signers)
    const session = builder.openSession('later', 'pg')
    const sql = builder.seal(session, 'sql', 'SELECT 1')
    builder.commit(
      [{ kind: 'op', sid: session.sid, op: 1, act: 'db.query', out: 'ok', ref: [sql.ref] }],
      [sql],
      true,
    )
    builder.commit(
      Array.from({ length: 300 }, () => ({ kind: 'heartbeat' })),
      [],
      true,
    )
    const report = verifyBook(source, {
      key: sample.vkey,
      keyFromOutside: true,
      outside: [],
      now: sample.ts,
      integrityChecked: false,
    })
    expect(report).toMatchObject({ findings: [], size: sample.size })
    using later = BookSource.open(file)
    expect(later.end).toBe(sample.size + 302)
    builder.db.close()
  })

  test('tells that it has moved, once it has', () => {
    const file = copy()
    using source = BookSource.open(file)
    expect(source.hasMoved()).toBe(false)
    const builder = new BookBuilder(file, ORIGIN, sample.signers)
    builder.commit([{ kind: 'heartbeat' }])
    builder.db.close()
    expect(source.hasMoved()).toBe(true)
  })

  test('is written to by nobody here', () => {
    using source = BookSource.open(copy())
    expect(source.checkIntegrity()).toEqual([])
    expect(Object.getOwnPropertyNames(source)).not.toContain('db')
  })
})

describe('a file', () => {
  test.each<[string, string, (db: Database.Database) => void]>([
    ['of another application', 'foreign', (db) => db.pragma('application_id = 1')],
    ['of a newer format', 'newer', (db) => db.pragma('user_version = 2')],
    ['of no format', 'foreign', (db) => db.pragma('user_version = 0')],
    ['without a table', 'damaged', (db) => db.exec('DROP TABLE tile')],
    [
      'with a view for a table',
      'damaged',
      (db) => db.exec('DROP TABLE tile; CREATE VIEW tile AS SELECT 1 AS level'),
    ],
    [
      'with a table that computes what it says',
      'damaged',
      (db) =>
        db.exec(
          'DROP TABLE kept; CREATE TABLE kept(seq INTEGER PRIMARY KEY, leaf BLOB AS (zeroblob(1000000000)))',
        ),
    ],
    [
      'without the index that makes payloads quick to find',
      'damaged',
      (db) =>
        db.exec(
          'DROP TABLE payload; CREATE TABLE payload(sid TEXT NOT NULL, i INTEGER NOT NULL, data BLOB NOT NULL) STRICT',
        ),
    ],
    ['of the format', 'opened', () => undefined],
    ['of the format, rebuilt by VACUUM', 'opened', (db) => db.exec('VACUUM')],
  ])('%s: %s', (_, code, change) => {
    expect(codeOf(copy(change))).toBe(code)
  })

  test.each([
    "INSERT INTO payload(rowid,sid,i,data) VALUES(-5,'aaaaaaaaaaaaaaaa',1,x'00')",
    "INSERT INTO payload(rowid,sid,i,data) VALUES(1152921504606846976,'aaaaaaaaaaaaaaaa',1,x'00')",
    "INSERT INTO ckpt(size,note) VALUES(-5,'x')",
    "INSERT INTO kept(seq,leaf) VALUES(-5,x'00')",
    "INSERT INTO kept(seq,leaf) VALUES(9007199254740993,x'00')",
  ])('with a row where nobody would look for it is damaged: %s', (sql) => {
    expect(codeOf(copy((db) => db.exec(sql)))).toBe('damaged')
  })

  test('that is not there is not made', () => {
    const file = newFile()
    expect(codeOf(file)).toBe('unreadable')
    expect(codeOf(file)).toBe('unreadable')
  })
})

describe('payloads', () => {
  const rowsOf = (db: Database.Database): { sid: string; i: number; data: Buffer }[] =>
    db.prepare('SELECT sid, i, data FROM payload ORDER BY rowid').all() as never

  test('are found in whatever order they are asked for, and lie in whatever order they may', () => {
    for (const order of ['sid, i', 'rowid DESC', 'random()']) {
      const file = copy((db) => {
        db.exec(
          `CREATE TABLE sorted AS SELECT sid, i, data FROM payload ORDER BY ${order}; DROP TRIGGER payload_del`,
        )
        db.exec(
          'DELETE FROM payload; INSERT INTO payload(rowid, sid, i, data) SELECT 7 * rowid, sid, i, data FROM sorted',
        )
      })
      const db = new Database(sample.file, { readonly: true })
      const rows = rowsOf(db)
      db.close()
      using source = BookSource.open(file)
      const { payloads } = source
      const half = rows.filter((_, k) => k % 2 === 0)
      for (const { sid, i, data } of half) expect(payloads.take(sid, i)).toEqual(data)
      expect(payloads.take('aaaaaaaaaaaaaaaa', 0)).toBeUndefined()
      const rest = [...payloads.rest()].map(({ sid, i }) => `${sid}/${i}`).sort()
      const others = rows.filter((_, k) => k % 2 === 1)
      expect(rest).toEqual(others.map(({ sid, i }) => `${sid}/${i}`).sort())
    }
  })
})
