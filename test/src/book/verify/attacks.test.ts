/** The attacks that the verifier must find, by their numbers in FORMAT.md. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { formatVkey } from '../../../../src/book/checkpoint.ts'
import { encodeLeaf } from '../../../../src/book/entry.ts'
import { parseLeaf } from '../../../../src/book/format.ts'
import { BookSource } from '../../../../src/book/source.ts'
import { leafHash } from '../../../../src/book/tree.ts'
import { BookBuilder, ORIGIN, readBundles, seal, sidOf, testSigner } from '../../../support/book-builder.ts'
import { temporaryFiles } from '../../../support/folder.ts'
import { pruneBook } from '../../../support/pruned-book.ts'
import { buildSampleBook } from '../../../support/sample-book.ts'
import {
  checkBook,
  edited,
  exitOf,
  rechained,
  TamperedBook,
  type Verdict,
} from '../../../support/tampered-book.ts'

const newFile = temporaryFiles()
const sample = buildSampleBook(newFile())
const tamper = (): TamperedBook => new TamperedBook(sample, newFile())
const MIDDLE = 140
const own = testSigner('an attacker')

function expectFound(verdict: Verdict, ...oneOf: string[]): void {
  expect(verdict.exit).toBe(4)
  expect(
    verdict.codes.filter((code) => oneOf.includes(code)),
    String(verdict.codes),
  ).not.toEqual([])
}

/** The leaves with the middle one changed. */
function withEdit(book: TamperedBook): Uint8Array[] {
  return book
    .leaves()
    .map((leaf, at) => (at === MIDDLE ? edited(leaf, { ts: parseLeaf(leaf).ts + 1 }) : leaf))
}

function swapped(leaves: readonly Uint8Array[]): Uint8Array[] {
  return [
    ...leaves.slice(0, MIDDLE),
    ...leaves.slice(MIDDLE, MIDDLE + 2).reverse(),
    ...leaves.slice(MIDDLE + 2),
  ]
}

test('the untouched book passes, even where no operation may be open', () => {
  expect(sample.size).toBeGreaterThan(290)
  const { exit, codes, report } = checkBook(sample, sample.file, { closed: true })
  expect({ exit, codes }).toEqual({ exit: 0, codes: [] })
  expect(report).toMatchObject({
    size: sample.size,
    keys: [{ from: 0 }, { from: expect.any(Number) }, { from: expect.any(Number) }],
    payloads: { erased: 3 },
    error: undefined,
  })
  expect(report.checkpoints.kept).toBeGreaterThan(10)
})

describe('records', () => {
  test('01 a member of a record is edited', () => {
    const book = tamper()
    book.write(withEdit(book))
    const verdict = book.check()
    expectFound(verdict, 'chain')
    expect(verdict.report.firstBroken).toBe(MIDDLE)
    expect(verdict.report.lastGood?.size).toBeLessThanOrEqual(MIDDLE)
    expect(verdict.report.lastGood?.size).toBeGreaterThan(50)
  })

  test('01 the last record is edited', () => {
    const book = tamper()
    const leaves = book.leaves()
    book.write(leaves.with(-1, edited(leaves.at(-1) ?? own.vkey.publicKey, { rows: 2 })))
    expectFound(book.check(), 'root')
  })

  test('02 a record is edited and the rest chained again', () => {
    const book = tamper()
    book.rechain(withEdit(book))
    expectFound(book.check(), 'root')
  })

  test('03 and no checkpoint is left but one under a key of their own', () => {
    const book = tamper()
    book.rechain(withEdit(book))
    book.db.exec('DELETE FROM ckpt')
    book.setHead(book.sign([own]))
    expectFound(book.check(), 'signature')
  })

  test('04 one in the middle is deleted', () => {
    const book = tamper()
    const row = readBundles(book.db).find(({ first, count }) => first > MIDDLE && count > 1)
    const leaves = book.leaves()
    book.write(leaves.toSpliced((row?.first ?? 0) + 1, 1))
    expectFound(book.check(), 'seq')
  })

  test('04 a commit in the middle is deleted', () => {
    const book = tamper()
    book.db
      .prepare('DELETE FROM bundle WHERE first = (SELECT max(first) FROM bundle WHERE first <= ?)')
      .run(MIDDLE)
    expectFound(book.check(), 'gap')
  })

  test('05 one in the middle is deleted, the rest renumbered and chained again', () => {
    const book = tamper()
    book.rechain(book.leaves().toSpliced(MIDDLE, 1))
    expectFound(book.check(), 'truncated')
  })

  test('06 the last five are deleted', () => {
    const book = tamper()
    book.write(book.leaves().slice(0, -5))
    expectFound(book.check(), 'truncated')
  })

  test('07 two neighbours are exchanged', () => {
    const book = tamper()
    book.write(swapped(book.leaves()))
    expectFound(book.check(), 'seq')
  })

  test('08 and renumbered and chained again', () => {
    const book = tamper()
    book.rechain(swapped(book.leaves()))
    expectFound(book.check(), 'root')
  })

  const forged = encodeLeaf(
    { kind: 'heartbeat', ts: 1_763_600_000_000_001 },
    { log: ORIGIN, seq: 0, prev: Buffer.alloc(32).toString('base64'), salt: 'AAAAAAAAAAAAAAAAAAAAAA' },
  )

  test('09 a forged one is inserted and the rest chained again', () => {
    const book = tamper()
    book.rechain(book.leaves().toSpliced(MIDDLE, 0, forged))
    expectFound(book.check(), 'root')
    const again = tamper()
    again.rechain(again.leaves().toSpliced(MIDDLE, 0, forged))
    expectFound(again.check(), 'unsigned-tail')
  })

  test('10 one is appended, chained but not signed', () => {
    const book = tamper()
    book.rechain([...book.leaves(), edited(forged, { ts: sample.ts })])
    const { exit, codes } = book.check()
    expect({ exit, codes }).toEqual({ exit: 4, codes: ['unsigned-tail'] })
  })

  test('11 an old one is repeated at the end', () => {
    const book = tamper()
    const leaves = book.leaves()
    book.write([...leaves, ...leaves.slice(MIDDLE, MIDDLE + 1)])
    expectFound(book.check(), 'seq')
  })

  test('12 one of another gateway is put in', () => {
    const book = tamper()
    const leaf = edited(forged, { log: 'gw2.example/book', ts: sample.ts })
    book.rechain([...book.leaves(), leaf])
    expectFound(book.check(), 'origin')
  })

  test('28a a byte of a leaf is changed in the file', () => {
    const file = newFile()
    const commits = readBundles(new TamperedBook(sample, newFile()).db).filter(
      ({ leaves }) => leaves.length < 2_000,
    )
    const bytes = readFileSync(sample.file)
    for (const { leaves } of commits.slice(5, 25)) {
      const changed = Buffer.from(bytes)
      // SQLite leaves remnants of rows that it has moved; only one of the places is the row.
      for (let start = bytes.indexOf(leaves); start >= 0; start = bytes.indexOf(leaves, start + 1)) {
        const at = start + Math.floor(leaves.length / 2)
        changed[at] = (changed[at] ?? 0) ^ 0x10
      }
      writeFileSync(file, changed)
      expectFound(checkBook(sample, file), 'canonical', 'format', 'root', 'sqlite')
    }
  })
})

describe('payloads', () => {
  /** Two payloads of one session that are both still there. */
  const session = sample.sessions.get('pg 6') ?? { sid: '', key: new Uint8Array(32), next: 0, ops: 0 }
  const read = (book: TamperedBook, i: number): Buffer =>
    book.db.prepare('SELECT data FROM payload WHERE sid = ? AND i = ?').pluck().get(session.sid, i) as Buffer
  const put = (book: TamperedBook, i: number, data: Uint8Array): unknown =>
    book.db.prepare('UPDATE payload SET data = ? WHERE sid = ? AND i = ?').run(data, session.sid, i)

  test('13 those of two records are exchanged', () => {
    const book = tamper()
    const [first, second] = [read(book, 1), read(book, 2)]
    put(book, 1, second)
    put(book, 2, first)
    const { exit, report } = book.check()
    expect({ exit, counts: report.counts }).toEqual({ exit: 4, counts: { payload: 2 } })
  })

  test('14 one bit of one is changed', () => {
    const book = tamper()
    const data = read(book, 1)
    data[20] = (data[20] ?? 0) ^ 1
    put(book, 1, data)
    const { exit, report } = book.check()
    expect({ exit, counts: report.counts }).toEqual({ exit: 4, counts: { payload: 1 } })
  })

  test('15 one is deleted, and no record erases it', () => {
    const book = tamper()
    book.db.prepare('DELETE FROM payload WHERE sid = ? AND i = 1').run(session.sid)
    book.db.prepare('INSERT INTO erased VALUES (?, 1, ?)').run(session.sid, sample.erasures[0])
    const { exit, report } = book.check()
    expect({ exit, counts: report.counts }).toEqual({ exit: 4, counts: { 'payload-missing': 1 } })
  })

  test('16 another text is put in, encrypted under the same key and index', () => {
    const book = tamper()
    const other = seal(session, 1, 'sql', 'SELECT * FROM orders WHERE id = $2 -- 6')
    expect(other.data).toHaveLength(read(book, 1).length)
    put(book, 1, other.data)
    expectFound(book.check(), 'payload')
  })

  test.each([
    ['a session that is there', session.sid],
    ['a session that is not', sidOf('nobody')],
  ])('17 one that no record names is planted in %s', (_, sid) => {
    const book = tamper()
    book.db.prepare('INSERT INTO payload VALUES (?, 900, ?)').run(sid, Buffer.alloc(40))
    const { exit, report } = book.check()
    expect({ exit, counts: report.counts }).toEqual({ exit: 4, counts: { 'payload-orphan': 1 } })
  })
})

describe('signatures', () => {
  test('19 the signature of the head is taken away', () => {
    const book = tamper()
    const [text = ''] = book.sign([own]).split('\n\n')
    book.setHead(`${text}\n\n`)
    const { exit, codes } = book.check()
    expect({ exit, codes }).toEqual({ exit: 4, codes: ['signature'] })
  })

  test('20 head and kept checkpoints are removed', () => {
    const book = tamper()
    book.db.exec('DELETE FROM head; DELETE FROM ckpt')
    expectFound(book.check(), 'head')
  })

  test('22 the checkpoint of a change of key is removed', () => {
    for (const { from } of checkBook(sample, sample.file).report.keys.slice(1)) {
      const book = tamper()
      book.db.prepare('DELETE FROM ckpt WHERE size = ?').run(from)
      const { exit, codes } = book.check()
      expect({ exit, codes }).toEqual({ exit: 4, codes: ['epoch'] })
    }
  })

  test('22 one signature of two is removed from it', () => {
    const [, { from } = { from: 0 }] = checkBook(sample, sample.file).report.keys
    for (const signer of sample.signers.slice(0, 2)) {
      const book = tamper()
      book.keep(from, book.sign([signer], from))
      expectFound(book.check(), 'epoch')
    }
  })

  test('a kept checkpoint is filed under another size', () => {
    const book = tamper()
    const size = book.keptSizes()[2] ?? 0
    book.db.prepare('UPDATE ckpt SET size = ? WHERE size = ?').run(size + 1, size)
    const { exit, codes } = book.check()
    expect({ exit, codes }).toEqual({ exit: 4, codes: ['checkpoint'] })
  })

  test('23 records of the first epoch are written again, and all is signed with the current key', () => {
    const book = tamper()
    book.rechain(
      book.leaves().map((leaf, at) => (at === 20 ? edited(leaf, { ts: parseLeaf(leaf).ts + 1 }) : leaf)),
    )
    const current = sample.signers.slice(-1)
    for (const size of book.keptSizes()) book.keep(size, book.sign(current, size))
    book.setHead(book.sign(current))
    const verdict = book.check()
    expectFound(verdict, 'epoch')
    expect(verdict.codes).not.toContain('root')
  })

  test('24 a retired key signs a later head', () => {
    for (const signer of sample.signers.slice(0, -1)) {
      const book = tamper()
      book.setHead(book.sign([signer]))
      const { exit, codes } = book.check()
      expect({ exit, codes }).toEqual({ exit: 4, codes: ['epoch'] })
    }
  })

  test('25 a change to a key of their own is forged, and the book goes on from there', () => {
    const forge = (keepers: readonly (typeof own)[]) => {
      const book = tamper()
      const builder = book.reopen()
      builder.commit([{ kind: 'key.next', next: formatVkey(own.vkey) }], [], keepers.length > 0, [...keepers])
      builder.signers.push(own)
      builder.commit([{ kind: 'heartbeat' }])
      builder.db.close()
      return book.check()
    }
    expectFound(forge([]), 'epoch')
    expectFound(forge([own]), 'epoch')
    expect(forge([...sample.signers.slice(-1), own]), 'what only the current key can do').toMatchObject({
      exit: 0,
    })
  })

  test('25 a change to a key of another name is no change, though both have signed it', () => {
    const book = tamper()
    const builder = book.reopen()
    const other = testSigner('another', 'gw2.example/book')
    const current = sample.signers.slice(-1)
    builder.commit([{ kind: 'key.next', next: formatVkey(other.vkey) }], [], true, [...current, other])
    builder.db.close()
    const { exit, codes } = book.check()
    expect({ exit, codes }).toEqual({ exit: 4, codes: ['epoch'] })
  })

  test('27 the holder of the key cuts off the last outcome', () => {
    const book = tamper()
    book.write(book.leaves().slice(0, -1))
    book.setHead(book.sign(sample.signers.slice(-1)))
    const file = book.file
    const { exit, codes } = book.check({ closed: true })
    expect({ exit, codes }).toEqual({ exit: 4, codes: ['open-op'] })
    const open = checkBook(sample, file)
    expect(open.exit).toBe(0)
    expect(open.report.limits.find(({ code }) => code === 'open-op')?.text).toContain(
      '1 operations that are open',
    )
  })

  test('29 the book is replaced by a fresh one under another key', () => {
    const file = newFile()
    const other = new BookBuilder(file, ORIGIN, [own])
    other.commit([{ kind: 'boot', rel: '0.1.0', clean: true }], [], true)
    other.db.close()
    expectFound(checkBook(sample, file), 'signature')
  })

  test('30 the book is replaced by the one of another gateway', () => {
    const file = newFile()
    const other = new BookBuilder(file, 'gw2.example/book', [testSigner('key 0', 'gw2.example/book')])
    other.commit([{ kind: 'boot', rel: '0.1.0', clean: true }], [], true)
    other.db.close()
    expectFound(checkBook(sample, file), 'origin', 'signature')
  })
})

describe('history', () => {
  const remembered = (size: number) => ({
    name: 'remembered',
    note: sample.heads.get(size) ?? new Uint8Array(),
  })
  const [early = 0] = sample.heads.keys()
  const late = [...sample.heads.keys()].at(-1) ?? 0

  test('31b the book is replaced by an older copy', () => {
    const older = buildSampleBook(newFile(), 6)
    expect(checkBook(older, older.file)).toMatchObject({ exit: 0, report: { size: expect.any(Number) } })
    const cut = tamper()
    const leaves = cut.leaves().slice(0, early)
    cut.write(leaves)
    cut.db.exec(`DELETE FROM ckpt WHERE size > ${early}; DELETE FROM tile`)
    const sids = new Set(leaves.map((leaf) => parseLeaf(leaf).sid))
    for (const sid of cut.db.prepare('SELECT DISTINCT sid FROM payload').pluck().all() as string[]) {
      if (!sids.has(sid)) cut.db.prepare('DELETE FROM payload WHERE sid = ?').run(sid)
    }
    cut.setHead(Buffer.from(remembered(early).note).toString())
    const { file } = cut
    expect(cut.check()).toMatchObject({ exit: 0, codes: [] })
    const { exit, codes } = checkBook(sample, file, { outside: [remembered(late)] })
    expect({ exit, codes }).toEqual({ exit: 4, codes: ['truncated'] })
  })

  test('32b a second history is signed by the real keys', () => {
    const book = tamper()
    book.rechain(
      book.leaves().map((leaf, at) => (at === 20 ? edited(leaf, { ts: parseLeaf(leaf).ts + 1 }) : leaf)),
    )
    const { keys } = checkBook(sample, sample.file).report
    for (const size of book.keptSizes()) {
      const epoch = keys.findLastIndex(({ from }) => from < size)
      const change = keys.some(({ from }) => from === size)
      book.keep(size, book.sign(sample.signers.slice(epoch, epoch + (change ? 2 : 1)), size))
    }
    book.setHead(book.sign(sample.signers.slice(-1)))
    const { file } = book
    expect(book.check()).toMatchObject({ exit: 0, codes: [] })
    const { exit, codes } = checkBook(sample, file, { outside: [remembered(late)] })
    expect({ exit, codes }).toEqual({ exit: 4, codes: ['root'] })
  })

  test('an untouched book agrees with every head that was remembered', () => {
    const outside = [...sample.heads].map(([size, note]) => ({ name: `remembered ${size}`, note }))
    const { exit, report } = checkBook(sample, sample.file, { outside })
    expect({ exit, outside: report.checkpoints.outside }).toEqual({ exit: 0, outside: outside.length })
  })
})

describe('pruning', () => {
  const prune = (below: number, allowed = below): TamperedBook => {
    const book = tamper()
    pruneBook(book.reopen(), below, allowed)
    book.dropTriggers()
    return book
  }
  const first = readBundles(tamper().db).findLast((row) => row.first <= 200)?.first ?? 0

  test('38 goes beyond what a record allows', () => {
    expect(prune(first).check()).toMatchObject({ exit: 0, codes: [] })
    expectFound(prune(first, first - 20).check(), 'prune')
    expectFound(prune(first, 0).check(), 'prune')
    expectFound(prune(first, 100_000).check(), 'prune')
  })

  test('39 a stored hash of a pruned record is altered', () => {
    const book = prune(first)
    const tile = book.db.prepare('SELECT hashes FROM tile').pluck().get() as Buffer
    tile[32 * 50] = (tile[32 * 50] ?? 0) ^ 1
    book.db.prepare('UPDATE tile SET hashes = ?').run(tile)
    expectFound(book.check(), 'root', 'tile')
  })

  test('an operation that began in the pruned part ends twice', () => {
    const end = { kind: 'op.end', sid: sample.sessions.get('last')?.sid, op: 2, out: 'ok' } as const
    for (const ends of [1, 2]) {
      const book = tamper()
      const builder = book.reopen()
      builder.commit([{ ...end, kind: 'op.begin', act: 'db.query', out: undefined }])
      const below = builder.commit(Array.from({ length: 256 }, () => ({ kind: 'heartbeat' })))
      builder.commit(Array.from({ length: ends }, () => end))
      pruneBook(builder, below)
      expect(book.check()).toMatchObject(
        ends === 1 ? { exit: 0, codes: [] } : { exit: 4, codes: ['session'] },
      )
    }
  })

  test('a leaf is kept of a record that there is not', () => {
    const book = tamper()
    book.db.prepare('INSERT INTO kept VALUES (?, ?)').run(sample.size, book.leaves()[0])
    const { exit, codes } = book.check()
    expect({ exit, codes }).toEqual({ exit: 4, codes: ['prune'] })
  })

  test('the leaf of a pruned change of key is altered, or gone', () => {
    const book = prune(first)
    const { seq, leaf } = book.db
      .prepare('SELECT seq, leaf FROM kept ORDER BY seq')
      .all()
      .map((row) => row as { seq: number; leaf: Buffer })
      .find((row) => row.leaf.includes('key.next')) ?? { seq: 0, leaf: Buffer.alloc(0) }
    book.db
      .prepare('UPDATE kept SET leaf = ? WHERE seq = ?')
      .run(edited(leaf, { next: formatVkey(own.vkey) }), seq)
    expectFound(book.check(), 'prune')
    const gone = prune(first)
    gone.db.prepare('DELETE FROM kept WHERE seq = ?').run(seq)
    expectFound(gone.check(), 'epoch')
  })
})

test('a file that is no book, or a newer one, ends without a verdict', () => {
  const file = newFile()
  writeFileSync(file, 'no book at all')
  expect(exitOf(sample, file)).toBe(1)
  expect(exitOf(sample, newFile())).toBe(1)
  const book = tamper()
  book.db.pragma('user_version = 2')
  book.db.close()
  expect(() => BookSource.open(book.file)).toThrow('written by a newer release')
  copyFileSync(sample.file, file)
  expect(exitOf(sample, file)).toBe(0)
})

test('chaining again changes nothing where nothing was changed', () => {
  const leaves = tamper().leaves()
  expect(rechained(leaves).map((leaf) => Buffer.from(leafHash(leaf)))).toEqual(
    leaves.map((leaf) => Buffer.from(leafHash(leaf))),
  )
})
