import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { parseCheckpoint } from '../../../src/book/checkpoint.ts'
import { decodeEntries } from '../../../src/book/format.ts'
import { BookSource } from '../../../src/book/source.ts'
import { tilePath } from '../../../src/book/tile-paths.ts'
import { exportTiles } from '../../../src/book/tiles.ts'
import { TilesSource } from '../../../src/book/tiles-source.ts'
import { exitCode, type Report } from '../../../src/book/verify/report.ts'
import { type Source, SourceError } from '../../../src/book/verify/source.ts'
import { verifyBook } from '../../../src/book/verify/walk.ts'
import { BookBuilder, ORIGIN } from '../../support/book-builder.ts'
import { readForeignVectors } from '../../support/book-vectors.ts'
import { temporaryFiles } from '../../support/folder.ts'
import { MemoryFolder } from '../../support/memory-folder.ts'
import { readRows } from '../../support/memory-source.ts'
import { pruneBook } from '../../support/pruned-book.ts'
import { buildSampleBook, type SampleBook } from '../../support/sample-book.ts'
import { checkBook, exitOf } from '../../support/tampered-book.ts'

const newFile = temporaryFiles()
const sample = buildSampleBook(newFile(), 52)
const pruned = prunedAt(270)

function prunedAt(index: number): SampleBook {
  const book = buildSampleBook(newFile(), 52)
  const first = readRows(book.file).bundles.find((row) => row.first >= index)?.first ?? 0
  pruneBook(new BookBuilder(book.file, ORIGIN, book.signers), first)
  return book
}

function exported(book: SampleBook, payloads = true): MemoryFolder {
  const folder = new MemoryFolder()
  using source = BookSource.open(book.file)
  exportTiles(source, folder, { payloads })
  return folder
}

function judge(source: Source): Report {
  return verifyBook(source, {
    key: sample.vkey,
    keyFromOutside: true,
    outside: [],
    now: sample.ts,
    integrityChecked: true,
  })
}

test.each([
  [0, 256, 'tile/0/000'],
  [7, 12, 'tile/0/007.p/12'],
  [999, 256, 'tile/0/999'],
  [1000, 256, 'tile/0/x001/000'],
  [1_234_067, 256, 'tile/0/x001/x234/067'],
])('tile %i of width %i is %s', (n, width, path) => {
  expect(tilePath('0', n, width)).toBe(path)
})

describe('an export', () => {
  test('has the tiles and entries of tlog-tiles, whose hashes give the root that is signed', () => {
    const { files } = exported(sample)
    const names = [...files.keys()].filter((name) => name.startsWith('tile/')).sort()
    const rest = sample.size - 512
    expect(names).toEqual([
      'tile/0/000',
      'tile/0/001',
      `tile/0/002.p/${rest}`,
      'tile/1/000.p/2',
      'tile/entries/000',
      'tile/entries/001',
      `tile/entries/002.p/${rest}`,
    ])
    const sha256 = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
    const leaves = [256, 256, rest].flatMap((count, n) =>
      decodeEntries(files.get(tilePath('entries', n, count)) ?? Buffer.of(), count),
    )
    const hashes = leaves.map((leaf) => sha256(Buffer.of(0), leaf))
    expect(Buffer.concat(hashes.slice(0, 256)).equals(files.get('tile/0/000') ?? Buffer.of())).toBe(true)
    expect(Buffer.concat(hashes.slice(512)).equals(files.get(`tile/0/002.p/${rest}`) ?? Buffer.of())).toBe(
      true,
    )
    const root = (some: Buffer[]): Buffer => {
      const [only = Buffer.of()] = some
      const k = 2 ** Math.ceil(Math.log2(some.length) - 1)
      return some.length === 1 ? only : sha256(Buffer.of(1), root(some.slice(0, k)), root(some.slice(k)))
    }
    expect(
      Buffer.concat([root(hashes.slice(0, 256)), root(hashes.slice(256, 512))]).equals(
        files.get('tile/1/000.p/2') ?? Buffer.of(),
      ),
    ).toBe(true)
    const head = parseCheckpoint(files.get('checkpoint') ?? Buffer.of())
    expect({ size: head.size, root: Buffer.from(head.root) }).toEqual({
      size: sample.size,
      root: root(hashes),
    })
  })

  test('verifies as the book does', () => {
    const book = checkBook(sample, sample.file, { integrityChecked: true }).report
    expect(judge(new TilesSource(exported(sample)))).toEqual(book)
  })

  test('without payloads says that it has none', () => {
    const report = judge(new TilesSource(exported(sample, false)))
    expect(exitCode(report)).toBe(0)
    expect(report.limits.map(({ code }) => code)).toContain('payload-bytes')
  })

  test('of a pruned book verifies as the book does, from its first leaf on', () => {
    const book = checkBook(pruned, pruned.file, { integrityChecked: true }).report
    expect(book).toMatchObject({ findings: [], first: expect.any(Number) })
    expect(book.first % 256).not.toBe(0)
    const folder = exported(pruned)
    expect(folder.list('tile/entries')).toEqual(['002.p'])
    expect(judge(new TilesSource(folder))).toEqual(book)
  })

  test('that changed in any file is found out', () => {
    const folder = exported(sample)
    const exits = [...folder.files.keys()]
      // A partial tile is for others to read; here its leaves are there.
      .filter((name) => !/^tile\/\d\/.*\.p/.test(name))
      .map((name) => {
        const bytes = folder.files.get(name) ?? Buffer.of()
        const changed = Uint8Array.from(bytes)
        const at = Math.floor(changed.length / 2)
        changed[at] = (changed[at] ?? 0) ^ 4
        folder.files.set(name, changed)
        const exit = exitCode(judge(new TilesSource(folder)))
        folder.files.set(name, bytes)
        return exit
      })
    expect(exits.length).toBeGreaterThan(100)
    expect(new Set(exits)).toEqual(new Set([4]))
  })

  test.each(['tile/0/000', 'tile/entries/000', 'tile/entries/001'])(
    'that has lost %s is found out',
    (name) => {
      const folder = exported(sample)
      folder.files.delete(name)
      expect(exitCode(judge(new TilesSource(folder)))).toBe(4)
    },
  )

  test('that claims a size beyond all counting is judged at once', () => {
    const folder = exported(sample)
    const head = Buffer.from(folder.read('checkpoint') ?? []).toString()
    folder.write('checkpoint', Buffer.from(head.replace(`\n${sample.size}\n`, '\n9007199254740991\n')))
    expect(judge(new TilesSource(folder))).toMatchObject({ counts: { truncated: expect.any(Number) } })
  })

  test('without a checkpoint is none', () => {
    expect(() => new TilesSource(new MemoryFolder())).toThrow(SourceError)
    const folder = exported(sample)
    folder.write('checkpoint', Buffer.from('nothing'))
    expect(exitCode(judge(new TilesSource(folder)))).toBe(4)
  })

  test('leaves the book as it was', () => {
    exported(sample)
    expect(exitOf(sample, sample.file)).toBe(0)
  })
})

const foreign = readForeignVectors('tessera-testdata.json') as { files: Record<string, string> }
test('another log in this form is read alike', () => {
  const folder = new MemoryFolder()
  for (const [name, body] of Object.entries(foreign.files)) {
    folder.write(name.replace('testdata/log/', ''), Buffer.from(body, 'base64'))
  }
  const source = new TilesSource(folder)
  const leaves = [...source.commits(0)].flatMap((commit) => commit.leaves())
  expect(leaves.map((leaf) => Buffer.from(leaf).toString()).join(' ')).toBe(
    'one two three four five six seven eit nain ten ileven twelf threeten fourten fivten',
  )
})
