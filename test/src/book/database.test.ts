import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { expect, test, vi } from 'vitest'
import { openForWriting, truncateLog } from '../../../src/book/database.ts'
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
