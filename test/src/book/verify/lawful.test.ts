/** What retention and erasure may do (FORMAT.md, "Retention"): the book verifies afterwards, and says what is gone. */
import { copyFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { BookBuilder, ORIGIN, readBundles } from '../../../support/book-builder.ts'
import { temporaryFiles } from '../../../support/folder.ts'
import { eraseBelow, pruneBook } from '../../../support/pruned-book.ts'
import { buildSampleBook, erasePayload, eraseSession } from '../../../support/sample-book.ts'
import { checkBook, TamperedBook, type Verdict } from '../../../support/tampered-book.ts'

const newFile = temporaryFiles()
const sample = buildSampleBook(newFile())
const remembered = [...sample.heads].map(([size, note]) => ({ name: `remembered ${size}`, note }))

/** A copy whose gateway goes on with it. The triggers of the schema are there: what is lawful passes them. */
function open(): { file: string; book: BookBuilder } {
  const file = newFile()
  copyFileSync(sample.file, file)
  return { file, book: reopen(file) }
}

function reopen(file: string): BookBuilder {
  const book = new BookBuilder(file, ORIGIN, sample.signers)
  for (const [name, session] of sample.sessions) book.sessions.set(name, session)
  return book
}

const gateway = (book: BookBuilder) =>
  book.sessions.get('gateway') ?? { sid: '', key: new Uint8Array(), next: 0, ops: 0 }
const check = (file: string): Verdict => checkBook(sample, file, { outside: remembered, closed: true })
const textOf = ({ report }: Verdict, code: string): string[] =>
  report.limits.filter((limit) => limit.code === code).map(({ text }) => text)

/** The commit nearest below an index, where leaves may be pruned. */
function commitBelow(index: number): number {
  const { file, book } = open()
  const first = readBundles(book.db).findLast((row) => row.first <= index)?.first ?? 0
  book.db.close()
  expect(file).not.toBe('')
  return first
}

describe('passes', () => {
  test('the person of a session erased (7.1)', () => {
    const { file, book } = open()
    const seq = erasePayload(book, gateway(book), 'ssh 2')
    book.db.close()
    const verdict = check(file)
    expect(verdict).toMatchObject({ exit: 0, codes: [], report: { payloads: { erased: 4 } } })
    expect(textOf(verdict, 'erased')).toContain(`1 payloads, erased by record ${seq}`)
  })

  test('a session erased (7.2)', () => {
    const { file, book } = open()
    const seq = eraseSession(book, gateway(book), 'pg 0')
    book.db.close()
    const verdict = check(file)
    expect(verdict).toMatchObject({ exit: 0, codes: [] })
    expect(textOf(verdict, 'erased')).toContain(`6 payloads, erased by record ${seq}`)
  })

  test('payloads older than their period erased', () => {
    const { file, book } = open()
    const seq = eraseBelow(book, 150)
    book.db.close()
    const verdict = check(file)
    expect(verdict).toMatchObject({ exit: 0, codes: [] })
    expect(textOf(verdict, 'erased').at(-1)).toMatch(new RegExp(`^\\d\\d payloads, erased by record ${seq}$`))
  })

  test.each([50, 130, 256])('old records pruned (7.3), below %i', (index) => {
    const below = commitBelow(index)
    const { file, book } = open()
    const seq = book.size
    pruneBook(book, below)
    const verdict = check(file)
    expect(verdict).toMatchObject({ exit: 0, codes: [], report: { first: below, size: sample.size + 1 } })
    expect(textOf(verdict, 'pruned')).toEqual([
      `the contents of the records below ${below}, removed as record ${seq} says`,
    ])
    expect(verdict.report.checkpoints.outside).toBe(remembered.length)
  })

  test('all of it together, one after the other', () => {
    const { file, book } = open()
    const low = commitBelow(60)
    const high = commitBelow(200)
    erasePayload(book, gateway(book), 'ssh 2')
    eraseSession(book, gateway(book), 'pg 24')
    eraseBelow(book, 150)
    pruneBook(book, low)
    pruneBook(reopen(file), high)
    expect(check(file)).toMatchObject({ exit: 0, codes: [], report: { first: high, size: sample.size + 5 } })
  })

  test('a deletion that is not finished', () => {
    const { file, book } = open()
    book.commit([{ kind: 'erase', sid: gateway(book).sid, scope: { below: 150 }, sub: 'u_1' }])
    book.commit([{ kind: 'retain', sid: gateway(book).sid, below: commitBelow(130), sub: 'u_1' }])
    book.db.close()
    const verdict = check(file)
    expect(verdict).toMatchObject({ exit: 0, codes: [] })
    expect(textOf(verdict, 'erased').at(-1)).toMatch(
      /^\d\d payloads are still there although a record erases them$/,
    )
  })
})

describe('does not pass', () => {
  test('a payload named after the record that erases its session', () => {
    const { file, book } = open()
    const session = sample.sessions.get('last') ?? gateway(book)
    eraseSession(book, gateway(book), 'last')
    const sql = book.seal({ ...session, next: 9 }, 'sql', 'SELECT 2')
    book.commit([{ kind: 'op', sid: session.sid, op: 2, act: 'db.query', out: 'ok', ref: [sql.ref] }])
    book.db.close()
    expect(check(file)).toMatchObject({ exit: 4, report: { counts: { 'payload-missing': 1 } } })
  })

  test('a payload gone by age whose session closed at or above the age, or not at all', () => {
    const { file, book } = open()
    const close = new TamperedBook(sample, newFile()).find(
      ({ kind, seq }) => kind === 'session.close' && seq > 150,
    )
    eraseBelow(book, close.seq)
    book.db.exec('DROP TRIGGER payload_del')
    book.db.prepare('DELETE FROM payload WHERE sid = ?').run(close.sid)
    book.db.prepare('DELETE FROM payload WHERE sid = ?').run(sample.sessions.get('last')?.sid)
    book.db.close()
    const { exit, codes, report } = check(file)
    expect({ exit, codes }).toEqual({ exit: 4, codes: ['payload-missing'] })
    expect(report.findings.some(({ text }) => text.includes(String(close.sid)))).toBe(true)
    expect(report.findings.some(({ text }) => text.includes(String(sample.sessions.get('last')?.sid)))).toBe(
      true,
    )
  })

  test('an erase that comes to erase what follows it', () => {
    const { file, book } = open()
    book.commit([{ kind: 'erase', sid: gateway(book).sid, scope: { below: 100_000 }, sub: 'u_1' }])
    book.db.exec('DROP TRIGGER payload_del')
    book.db.prepare('DELETE FROM payload WHERE sid = ?').run(sample.sessions.get('pg 0')?.sid)
    book.db.close()
    expect(check(file)).toMatchObject({ exit: 4, codes: ['payload-missing'] })
  })
})
