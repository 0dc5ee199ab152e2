import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeSigner, signCheckpoint } from '../../../src/book/checkpoint.ts'
import { createBook, newSigningKey, readSigner, writeSigningKey } from '../../../src/book/create.ts'
import { openForReading, openForWriting } from '../../../src/book/database.ts'
import { bookFiles } from '../../../src/book/files.ts'
import { decodeBundle, encodeBundle } from '../../../src/book/format.ts'
import { openBook } from '../../../src/book/open.ts'
import { rotateSigningKey, signingKeyIsDue } from '../../../src/book/rotation.ts'
import { checkBook } from '../../support/check-book.ts'
import { runChild, startChild } from '../../support/processes.ts'
import { newBook, ORIGIN, SCRATCH, temporaryFolder } from '../../support/recorder.ts'
import { heartbeats, openStore } from '../../support/store.ts'

/** Holds a book of 300 records in commits of 10, with its sidecar, closed. Made once: it takes a while. */
let parent = ''
beforeAll(() => {
  parent = mkdtempSync(join(SCRATCH, 'gatebook-test-'))
  createBook({ directory: join(parent, 'data'), origin: ORIGIN, journalBytes: 4096, ballastBytes: 4096 })
  using open = openStore(join(parent, 'data'))
  for (let k = 0; k < 30; k++) open.store.append(heartbeats(10))
  open.book.sidecar.write(open.store.head.note)
})
afterAll(() => rmSync(parent, { recursive: true, force: true }))

/** A copy of it to break. */
function copyOfFilled(): string {
  const directory = join(temporaryFolder(), 'data')
  cpSync(join(parent, 'data'), directory, { recursive: true })
  return directory
}

/** Changes rows that the guards protect. */
function edit(directory: string, change: (db: Sqlite.Database) => void): void {
  const db = new Sqlite(join(directory, 'book.db'))
  for (const name of db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").pluck().all()) {
    db.exec(`DROP TRIGGER ${String(name)}`)
  }
  change(db)
  db.close()
}

function refusal(directory: string): { code: string; message: string } {
  const before = readdirSync(directory).sort()
  try {
    openBook(directory)[Symbol.dispose]()
  } catch (error) {
    expect(error).toMatchObject({ name: 'BookError' })
    // Nothing is created in the place of what is missing, and nothing stays open.
    expect(
      readdirSync(directory)
        .filter((name) => !/-(wal|shm)$/.test(name))
        .sort(),
    ).toEqual(before.filter((name) => !/-(wal|shm)$/.test(name)))
    const { code, message } = error as Error & { code: string }
    return { code, message: message.replaceAll(directory, '') }
  }
  throw new Error('it opened')
}

describe('a book is refused', () => {
  test('where there is none', () => {
    const directory = join(temporaryFolder(), 'nothing')
    expect(() => openBook(directory)).toThrow(expect.objectContaining({ code: 'missing' }))
    expect(existsSync(directory)).toBe(false)
  })

  test.each(['book.db', 'keys.db', 'book.key', 'head.note'])('when %s is missing', (name) => {
    const directory = copyOfFilled()
    rmSync(join(directory, name))
    expect(refusal(directory)).toEqual({
      code: 'missing',
      message: `/${name} is missing: restore it, for nothing is created in its place`,
    })
  })

  test('when another database stands in its place, which is left as it was', () => {
    const directory = copyOfFilled()
    rmSync(join(directory, 'book.db'))
    const other = new Sqlite(join(directory, 'book.db'))
    other.exec('CREATE TABLE mine(x)')
    other.close()
    const before = readFileSync(join(directory, 'book.db'))
    expect(refusal(directory)).toEqual({ code: 'foreign', message: '/book.db is not a book' })
    expect(readFileSync(join(directory, 'book.db')).equals(before)).toBe(true)
  })

  test.each(['book.db', 'keys.db'])('when %s is no database at all', (name) => {
    const directory = copyOfFilled()
    writeFileSync(join(directory, name), Buffer.alloc(8192, 'not a database '))
    expect(refusal(directory)).toMatchObject({
      code: 'foreign',
      message: expect.stringContaining(`/${name}`),
    })
  })

  test('when a newer release has written it', () => {
    const directory = copyOfFilled()
    edit(directory, (db) => db.pragma('user_version = 2'))
    expect(refusal(directory)).toEqual({
      code: 'newer',
      message: '/book.db was written by a newer release (format 2)',
    })
  })

  test('when it is another gateway’s', () => {
    const directory = copyOfFilled()
    const other = join(temporaryFolder(), 'data')
    createBook({ directory: other, origin: 'gw2.example/book', journalBytes: 4096, ballastBytes: 0 })
    copyFileSync(join(other, 'book.db'), join(directory, 'book.db'))
    expect(refusal(directory)).toMatchObject({
      code: 'damaged',
      message: expect.stringContaining('/book.db'),
    })

    const mixed = copyOfFilled()
    copyFileSync(join(other, 'head.note'), join(mixed, 'head.note'))
    expect(refusal(mixed)).toEqual({
      code: 'foreign',
      message: 'head.note speaks of gw2.example/book, and this book is gw1.example/book',
    })
  })

  test.each<[string, string, (db: Sqlite.Database) => void]>([
    ['has no head', 'has no head', (db) => db.exec('DELETE FROM head')],
    ['has a head that is none', 'its head', (db) => db.exec("UPDATE head SET note = 'nonsense'")],
    [
      'ends before its head',
      'its head is of 300 records and it holds 290',
      (db) => db.exec('DELETE FROM bundle WHERE first = 290'),
    ],
    [
      'has a hole',
      'leaves 256 to 288 are not all in the book',
      (db) => db.exec('DELETE FROM bundle WHERE first = 270'),
    ],
    [
      'has a changed tile',
      'do not give the root',
      (db) => db.exec('UPDATE tile SET hashes = zeroblob(8192)'),
    ],
    [
      'has a changed record',
      'do not give the root',
      (db) => {
        const row = db.prepare('SELECT * FROM bundle WHERE first = 280').get() as {
          count: number
          codec: number
          crc: number
          leaves: Buffer
        }
        const leaves = decodeBundle(row)
        leaves[3] = Buffer.from(
          Buffer.from(leaves[3] ?? [])
            .toString()
            .replace(/"salt":"../, '"salt":"AA'),
        )
        const { codec, crc, bytes } = encodeBundle(leaves)
        db.prepare('UPDATE bundle SET codec = ?, crc = ?, leaves = ? WHERE first = 280').run(
          codec,
          crc,
          bytes,
        )
      },
    ],
    [
      'has a bundle that is damaged',
      'checksum',
      (db) => db.exec('UPDATE bundle SET crc = crc + 1 WHERE first = 290'),
    ],
  ])('when it %s', (_, words, change) => {
    const directory = copyOfFilled()
    edit(directory, change)
    expect(refusal(directory)).toEqual({
      code: 'damaged',
      message: expect.stringMatching(new RegExp(`^/book.db.*${words}`)),
    })
  })

  test('when its head is signed by another key', () => {
    const directory = copyOfFilled()
    const stranger = makeSigner(ORIGIN, newSigningKey())
    edit(directory, (db) => {
      const note = String(db.prepare('SELECT note FROM head').pluck().get())
      const [origin = '', size = '', root = ''] = note.split('\n')
      const signed = signCheckpoint([stranger], {
        origin,
        size: Number(size),
        root: Buffer.from(root, 'base64'),
      })
      db.prepare('UPDATE head SET note = ?').run(signed)
    })
    expect(refusal(directory)).toEqual({
      code: 'damaged',
      message: expect.stringMatching(
        /^\S*\/book.key did not sign the head of \S*\/book.db \(no signature by a known key\): put/,
      ),
    })
  })

  test('when head.note signs more than it holds: the end was lost, or an older copy put back', () => {
    const directory = copyOfFilled()
    const older = readFileSync(join(directory, 'book.db'))
    {
      using open = openStore(directory)
      open.store.append(heartbeats(7))
      open.book.sidecar.write(open.store.head.note)
    }
    writeFileSync(join(directory, 'book.db'), older)
    expect(refusal(directory)).toEqual({
      code: 'behind-sidecar',
      message: 'the book ends at 300 and head.note signs 307: records 300 to 306 are missing',
    })
  })

  test('when head.note signs another history of the same length', () => {
    const directory = copyOfFilled()
    const older = readFileSync(join(directory, 'book.db'))
    {
      using open = openStore(directory)
      open.store.append(heartbeats(7))
      open.book.sidecar.write(open.store.head.note)
    }
    const note = readFileSync(join(directory, 'head.note'))
    writeFileSync(join(directory, 'book.db'), older)
    rmSync(join(directory, 'head.note'))
    copyFileSync(join(parent, 'data', 'head.note'), join(directory, 'head.note'))
    {
      using open = openStore(directory)
      open.store.append(heartbeats(9))
    }
    writeFileSync(join(directory, 'head.note'), note)
    expect(refusal(directory)).toEqual({
      code: 'behind-sidecar',
      message: 'the book and head.note differ within the first 307 records',
    })
  })

  test('when head.note is no checkpoint', () => {
    const directory = copyOfFilled()
    writeFileSync(join(directory, 'head.note'), 'nonsense')
    expect(refusal(directory)).toMatchObject({
      code: 'damaged',
      message: expect.stringContaining('/head.note'),
    })
  })

  test('when a page of it is damaged and the last stop was not clean', () => {
    const directory = newBook({ journalBytes: 4096 })
    {
      using open = openStore(directory)
      for (let k = 0; k < 300; k++) open.store.append(heartbeats(10))
      open.book.db.pragma('wal_checkpoint(TRUNCATE)')
    }
    const file = readFileSync(join(directory, 'book.db'))
    // Somewhere in the first records, which no check at the start reads.
    const at = 4096 * 20
    file.fill(0x55, at, at + 64)
    writeFileSync(join(directory, 'book.db'), file)
    expect(refusal(directory)).toMatchObject({
      code: 'damaged',
      message: expect.stringContaining('/book.db'),
    })
  })

  test('when another process has it, until that one is dead', async () => {
    const directory = copyOfFilled()
    const holder = startChild('hold', [directory])
    await holder.line((line) => line === 'open')
    expect(refusal(directory)).toEqual({
      code: 'locked',
      message: '/book.lock: another process has this book open',
    })
    expect(runChild('hold', [directory]).stdout).toBe('locked\n')

    holder.process.kill('SIGKILL')
    await holder.ended
    using book = openBook(directory)
    expect(book.head.size).toBe(300)
    expect(refusal(directory).code, 'and in one process, too').toBe('locked')
  })
})

describe('opening again', () => {
  test('finds the head, and whether the last stop was clean', () => {
    const directory = copyOfFilled()
    {
      using open = openStore(directory)
      expect([open.book.head.size, open.book.clean]).toEqual([300, false])
      open.store.append(heartbeats(1))
      // Not in order: the -wal stays.
      expect(existsSync(join(directory, 'book.db-wal'))).toBe(true)
    }
    using open = openStore(directory)
    expect(open.book.head.size).toBe(301)
    expect(checkBook(directory).size).toBe(301)
  })

  test('sets and reads back every pragma', () => {
    const directory = copyOfFilled()
    for (const name of ['book.db', 'keys.db']) {
      const db = openForWriting(join(directory, name), true)
      const pragmas = [
        'journal_mode',
        'synchronous',
        'wal_autocheckpoint',
        'recursive_triggers',
        'trusted_schema',
        'cell_size_check',
        'secure_delete',
        'busy_timeout',
      ]
      expect(pragmas.map((pragma) => db.pragma(pragma, { simple: true }))).toEqual([
        'wal',
        2,
        0,
        1,
        0,
        1,
        1,
        5000,
      ])
      db.close()
    }
  })

  test('a reader writes nothing and creates nothing', () => {
    const directory = copyOfFilled()
    const reader = openForReading(join(directory, 'book.db'))
    expect(() => reader.exec('DELETE FROM head')).toThrow('readonly')
    reader.close()
    expect(() => openForReading(join(directory, 'other.db'))).toThrow()
  })

  // better-sqlite3 opens a WAL database again with synchronous = NORMAL, under which a commit is not on disk.
  test('every commit of a book that was opened again is synced', () => {
    const directory = copyOfFilled()
    const log = join(temporaryFolder(), 'strace')
    runChild(
      'commit',
      [directory, '10'],
      ['strace', '-f', '-y', '-e', 'trace=fdatasync,fsync,write', '-o', log],
    )
    const calls = readFileSync(log, 'utf8').split('\n')
    const begin = calls.findIndex((line) => line.includes('"begin\\n"'))
    const end = calls.findIndex((line) => line.includes('"end\\n"'))
    const synced = calls.slice(begin, end).filter((line) => /f(data)?sync\(\d+<[^>]*book\.db-wal>/.test(line))
    expect([begin > 0, end > begin]).toEqual([true, true])
    expect(synced.length).toBeGreaterThanOrEqual(10)
  })
})

describe('a change of the signing key', () => {
  const keyFile = (directory: string): string => join(directory, 'book.key')
  const vkeyOf = (path: string): string => readSigner(path, ORIGIN).vkey.id

  test('is a record under both keys, and the book goes on under the new one', () => {
    const directory = copyOfFilled()
    const old = vkeyOf(keyFile(directory))
    {
      using open = openStore(directory)
      const vkey = rotateSigningKey(open.book.files, open.store, 1)
      open.store.append(heartbeats(3))
      open.book.sidecar.write(open.store.head.note)
      const { leaves } = checkBook(directory)
      expect(leaves.at(-4)).toMatchObject({ kind: 'key.next', seq: 300, next: vkey })
    }
    expect(vkeyOf(keyFile(directory))).not.toBe(old)
    expect(existsSync(`${keyFile(directory)}.next`)).toBe(false)
    using open = openStore(directory)
    open.store.append(heartbeats(1))
    rotateSigningKey(open.book.files, open.store, 1)
    expect(checkBook(directory).size).toBe(306)
  })

  test('that was interrupted before its record is taken back', () => {
    const directory = copyOfFilled()
    const old = vkeyOf(keyFile(directory))
    writeSigningKey(`${keyFile(directory)}.next`, newSigningKey())
    writeFileSync(`${keyFile(directory)}.next.tmp`, 'half a key')
    using open = openStore(directory)
    expect([vkeyOf(keyFile(directory)), existsSync(`${keyFile(directory)}.next`)]).toEqual([old, false])
    open.store.append(heartbeats(1))
    rotateSigningKey(open.book.files, open.store, 1)
    open.store.append(heartbeats(1))
    checkBook(directory)
  })

  test('that was interrupted after its record is finished', () => {
    const directory = copyOfFilled()
    const old = readFileSync(keyFile(directory))
    {
      using open = openStore(directory)
      rotateSigningKey(open.book.files, open.store, 1)
    }
    // As if the process had died between the commit and the rename.
    renameSync(keyFile(directory), `${keyFile(directory)}.next`)
    writeFileSync(keyFile(directory), old)
    {
      using open = openStore(directory)
      expect(existsSync(`${keyFile(directory)}.next`)).toBe(false)
      open.store.append(heartbeats(1))
      checkBook(directory)
    }
    using open = openStore(directory)
    expect(open.store.head.size).toBe(302)
  })

  test('whose rename fails goes on under the key that the book names, and is finished at the next start', () => {
    const directory = copyOfFilled()
    const old = readFileSync(keyFile(directory))
    {
      using open = openStore(directory)
      // No file can be renamed over a folder.
      rmSync(keyFile(directory))
      mkdirSync(keyFile(directory))
      expect(() => rotateSigningKey(open.book.files, open.store, 1)).toThrow('EISDIR')
      open.store.append(heartbeats(2))
      checkBook(directory)
      rmdirSync(keyFile(directory))
      writeFileSync(keyFile(directory), old)
    }
    using open = openStore(directory)
    open.store.append(heartbeats(1))
    expect(checkBook(directory).size).toBe(304)
  })

  test('is due when its file is older than it may be', () => {
    const directory = copyOfFilled()
    const files = bookFiles(directory)
    utimesSync(files.signingKey, 1000, 1000)
    expect(signingKeyIsDue(files, 5000, 1_005_000)).toBe(false)
    expect(signingKeyIsDue(files, 5000, 1_005_001)).toBe(true)
  })
})
