import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseLeaf } from '../../../../src/book/format.ts'
import { BookSource } from '../../../../src/book/source.ts'
import { exitCode, FINDINGS_MAX } from '../../../../src/book/verify/report.ts'
import { type Commit, SourceError } from '../../../../src/book/verify/source.ts'
import { type VerifyOptions, verifyBook } from '../../../../src/book/verify/walk.ts'
import { BookBuilder, ORIGIN } from '../../../support/book-builder.ts'
import { temporaryFiles } from '../../../support/folder.ts'
import { MemorySource, type Rows, readRows } from '../../../support/memory-source.ts'
import { pruneBook } from '../../../support/pruned-book.ts'
import { buildSampleBook } from '../../../support/sample-book.ts'
import { checkBook, edited, TamperedBook } from '../../../support/tampered-book.ts'

const newFile = temporaryFiles()
const sample = buildSampleBook(newFile(), 52)
const options: VerifyOptions = {
  key: sample.vkey,
  keyFromOutside: true,
  outside: [],
  now: sample.ts,
  integrityChecked: true,
}
const codesOf = ({ limits }: { limits: readonly { code: string }[] }): string[] =>
  limits.map(({ code }) => code)

describe('from a record on', () => {
  test('leaves below it are taken by their hashes, and the report says so', () => {
    const { exit, codes, report } = checkBook(sample, sample.file, { from: 300 })
    expect({ exit, codes, first: report.first, size: report.size }).toEqual({
      exit: 0,
      codes: [],
      first: 256,
      size: sample.size,
    })
    expect(report.limits.find(({ code }) => code === 'from')?.text).toContain('below 256')
    expect(report.keys, 'changes of key below it are read').toHaveLength(3)
    expect(report.checkpoints.kept).toBe(checkBook(sample, sample.file).report.checkpoints.kept)
  })

  test('beyond the end, or within the first tile, is from what can be taken by hashes', () => {
    const firsts = [0, 255, 256, 511, 1e6].map((from) => checkBook(sample, sample.file, { from }).report)
    expect(firsts.map(({ first }) => first)).toEqual([0, 0, 256, 256, 512])
    expect(firsts.flatMap(({ findings }) => findings)).toEqual([])
  })

  test('what is altered above is found, what is altered below is not, but for its hash', () => {
    const altered = (index: number) => {
      const book = new TamperedBook(sample, newFile())
      book.write(
        book.leaves().map((leaf, at) => (at === index ? edited(leaf, { ts: parseLeaf(leaf).ts - 1 }) : leaf)),
      )
      return book.check({ from: 256 }).exit
    }
    expect([altered(100), altered(300)]).toEqual([0, 4])
    const book = new TamperedBook(sample, newFile())
    const tile = book.db.prepare('SELECT hashes FROM tile').pluck().get() as Buffer
    tile[5] = (tile[5] ?? 0) ^ 1
    book.db.prepare('UPDATE tile SET hashes = ? WHERE n = 0').run(tile)
    expect(book.check({ from: 256 }).codes).toContain('root')
  })

  test('a pruned book begins where its leaves begin', () => {
    const file = newFile()
    new TamperedBook(sample, file).db.close()
    pruneBook(new BookBuilder(file, ORIGIN, sample.signers), commitAt(file, 280))
    const { exit, report } = checkBook(sample, file, { from: 256 })
    expect({ exit, first: report.first }).toEqual({ exit: 0, first: commitAt(file, 280) })
  })

  function commitAt(file: string, index: number): number {
    return readRows(file).bundles.find(({ first }) => first >= index)?.first ?? 0
  }
})

describe('what could not be established', () => {
  test('is part of a report without findings', () => {
    const beside = checkBook(sample, sample.file, { keyFromOutside: false }).report
    expect(codesOf(beside)).toEqual([
      'key',
      'outside',
      'journal',
      'integrity-check',
      'erased',
      'erased',
      'gap',
      'suspended',
      'plaintext',
      'clock',
      'durability',
    ])
  })

  test('shrinks with a checkpoint from outside, to what came after it', () => {
    const [[size, note] = [0, new Uint8Array()]] = [...sample.heads]
    const early = checkBook(sample, sample.file, { outside: [{ name: 'kept', note }] }).report
    expect(early.limits.find(({ code }) => code === 'outside')?.text).toContain(`since size ${size}`)
    const source = BookSource.open(sample.file)
    const newest = checkBook(sample, sample.file, {
      outside: [{ name: 'kept', note: source.head ?? note }],
    }).report
    source.close()
    expect(codesOf(newest)).not.toContain('outside')
    expect(exitCode(newest, true)).toBe(0)
    expect(exitCode(early, true)).toBe(5)
    expect(exitCode(checkBook(sample, sample.file, { keyFromOutside: false }).report)).toBe(0)
  })

  test('includes what a copy without payloads does not have', () => {
    const source = new MemorySource(readRows(sample.file))
    const bare = { ...pick(source), payloads: undefined }
    const report = verifyBook(bare, options)
    expect(exitCode(report)).toBe(0)
    expect(codesOf(report)).toContain('payload-bytes')
  })
})

/** The parts of a source as one object, to replace some of them. */
function pick(source: MemorySource) {
  return {
    first: source.first,
    end: source.end,
    head: source.head,
    tiles: source.tiles,
    payloads: source.payloads,
    commits: (from: number) => source.commits(from),
    checkpoints: () => source.checkpoints(),
    kept: () => source.kept(),
    tile: (level: number, n: number) => source.tile(level, n),
  }
}

describe('what cannot be read', () => {
  function failing(rows: Rows, error: Error) {
    const source = new MemorySource(rows)
    let walks = 0
    function* commits(from: number): Iterable<Commit> {
      walks++
      let count = 0
      for (const commit of source.commits(from)) {
        // The first of the two walks only looks for what governs others.
        if (walks === 2 && ++count === 20) throw error
        yield commit
      }
    }
    return { ...pick(source), commits }
  }
  const rows = () => readRows(sample.file)

  test('is an error and no verdict', () => {
    const report = verifyBook(failing(rows(), new SourceError('unreadable', 'the device is gone')), options)
    expect(report).toMatchObject({ findings: [], error: 'the device is gone' })
    expect(exitCode(report)).toBe(1)
  })

  test('does not hide what was found before', () => {
    const altered = rows()
    altered.bundles[2] = { ...(altered.bundles[3] ?? rows().bundles[0]), crc: 1 } as Rows['bundles'][number]
    const report = verifyBook(failing(altered, new SourceError('unreadable', 'the device is gone')), options)
    expect(report.error).toBe('the device is gone')
    expect(exitCode(report)).toBe(4)
  })

  test('because it is damaged is a finding', () => {
    const report = verifyBook(failing(rows(), new SourceError('damaged', 'a page is malformed')), options)
    expect(report).toMatchObject({ counts: { sqlite: 1 }, error: undefined })
    expect(exitCode(report)).toBe(4)
  })

  test('because of a mistake of ours is not swallowed', () => {
    expect(() => verifyBook(failing(rows(), new TypeError('a mistake')), options)).toThrow('a mistake')
  })
})

test('findings beyond a thousand are counted, not kept', () => {
  const book = new BookBuilder(':memory:', 'gw2.example/book')
  const file = newFile()
  book.db.close()
  const other = new BookBuilder(file, 'gw2.example/book')
  for (let n = 0; n < 3; n++) other.commit(Array.from({ length: 512 }, () => ({ kind: 'heartbeat' })))
  other.db.close()
  const { report } = checkBook(sample, file)
  expect(report.findings).toHaveLength(FINDINGS_MAX)
  expect(report.counts.origin).toBe(3 * 512 + 1)
})

test('an empty book has no head to lose', () => {
  const file = newFile()
  const book = new BookBuilder(file)
  book.head(true, book.signers)
  book.db.close()
  expect(checkBook(sample, file)).toMatchObject({ exit: 0, report: { size: 0, checkpoints: { kept: 1 } } })
  const nothing = newFile()
  new BookBuilder(nothing).db.close()
  expect(checkBook(sample, nothing)).toMatchObject({ exit: 4, codes: ['head'] })
})

test('progress is told, up to the last record', () => {
  const sizes: number[] = []
  checkBook(sample, sample.file, { progress: (size) => sizes.push(size) })
  expect(sizes).toEqual(sizes.toSorted((a, b) => a - b))
  expect(sizes.at(-1)).toBe(sample.size)
})

test('the file is not written to', () => {
  const before = readFileSync(sample.file)
  checkBook(sample, sample.file)
  expect(readFileSync(sample.file).equals(before)).toBe(true)
})
