import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Sqlite from 'better-sqlite3'
import { expect, test, vi } from 'vitest'
import { holdLock, openForWriting, truncateLog } from '../../../src/book/database.ts'
import { newBook } from '../../support/recorder.ts'

test('cutting the log waits for no reader; whatever else is asked for does', () => {
  const path = join(newBook(), 'book.db')
  const db = openForWriting(path, true)
  const reader = new Sqlite(path, { readonly: true })
  reader.exec('BEGIN')
  reader.prepare('SELECT count(*) FROM bundle').get()
  db.exec('CREATE TABLE more(x)')
  const pragma = db.pragma.bind(db)
  const patience = (): unknown => pragma('busy_timeout', { simple: true })
  const during: unknown[] = []
  vi.spyOn(db, 'pragma').mockImplementation((source, options) => {
    if (source.startsWith('wal_checkpoint')) during.push(patience())
    return pragma(source, options)
  })
  expect([truncateLog(db), during, patience()]).toEqual([false, [0], 5000])
  reader.close()
  expect([truncateLog(db), during, patience()]).toEqual([true, [0, 0], 5000])
  db.close()
})

test('a lock lasts until it is closed, also where nobody remembers it', async () => {
  const path = join(newBook(), 'book.lock')
  holdLock(path)
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let k = 0; k < 5; k++) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(() => holdLock(path)).toThrow('another process has this book open')
})
