/** A copy of a sample book in the hands of somebody who may change everything in it. */
import { copyFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { formatVkey, type Signer, signCheckpoint } from '../../src/book/checkpoint.ts'
import { canonical, encodeBundle, type Leaf, parseLeaf } from '../../src/book/format.ts'
import { BookSource } from '../../src/book/source.ts'
import { leafHash, RightEdge } from '../../src/book/tree.ts'
import { exitCode, type FindingCode, type Report } from '../../src/book/verify/report.ts'
import { SourceError } from '../../src/book/verify/source.ts'
import { type VerifyOptions, verifyBook } from '../../src/book/verify/walk.ts'
import { BookBuilder, filledTiles, ORIGIN, readBundles, readLeaves } from './book-builder.ts'
import type { SampleBook } from './sample-book.ts'
import { secondVerdict } from './second-verifier.ts'

export class TamperedBook {
  readonly file: string
  readonly db: Database.Database
  readonly #sample: SampleBook

  constructor(sample: SampleBook, file: string) {
    copyFileSync(sample.file, file)
    this.#sample = sample
    this.file = file
    this.db = new Database(file)
    this.db.pragma('synchronous = OFF')
    this.dropTriggers()
  }

  dropTriggers(): void {
    const names = this.db
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
      .pluck()
      .all() as string[]
    for (const name of names) this.db.exec(`DROP TRIGGER ${name}`)
  }

  /** The book as its gateway would go on with it. */
  reopen(): BookBuilder {
    return new BookBuilder(this.file, ORIGIN, this.#sample.signers)
  }

  leaves(): Uint8Array[] {
    return readLeaves(this.db)
  }

  /** Puts these leaves in the book's commits, which keep their sizes as far as they go. */
  write(leaves: readonly Uint8Array[]): void {
    const counts = readBundles(this.db).map((row) => row.count)
    this.db.exec('DELETE FROM bundle')
    for (let first = 0; first < leaves.length; ) {
      const some = leaves.slice(first, first + (counts.shift() ?? 1))
      const { codec, crc, bytes } = encodeBundle(some)
      this.db.prepare('INSERT INTO bundle VALUES (?,?,?,?,?)').run(first, some.length, codec, crc, bytes)
      first += some.length
    }
  }

  /** Writes them with new indices, chained, and with the tiles that belong to them. */
  rechain(leaves: readonly Uint8Array[]): Uint8Array[] {
    const chained = rechained(leaves)
    this.write(chained)
    this.db.exec('DELETE FROM tile')
    const hashes: Uint8Array[] = []
    for (const leaf of chained) {
      hashes.push(leafHash(leaf))
      for (const { level, n, hashes: tile } of filledTiles(hashes)) {
        this.db.prepare('INSERT INTO tile VALUES (?,?,?)').run(level, n, tile)
      }
    }
    return chained
  }

  /** The checkpoint that these keys sign over the first `size` records. */
  sign(signers: readonly Signer[], size = this.leaves().length): string {
    const edge = RightEdge.empty()
    for (const leaf of this.leaves().slice(0, size)) edge.append(leafHash(leaf))
    return signCheckpoint(signers, { origin: ORIGIN, size, root: edge.root() })
  }

  setHead(note: string): void {
    this.db.prepare('UPDATE head SET note = ?').run(note)
  }

  keep(size: number, note: string): void {
    this.db.prepare('INSERT OR REPLACE INTO ckpt VALUES (?,?)').run(size, note)
  }

  keptSizes(): number[] {
    return this.db.prepare('SELECT size FROM ckpt ORDER BY size').pluck().all() as number[]
  }

  /** The first record that passes the test. */
  find(test: (leaf: Leaf) => boolean): Leaf {
    const found = this.leaves().map(parseLeaf).find(test)
    if (found === undefined) throw new Error('the sample has no such record')
    return found
  }

  check(options: Partial<VerifyOptions> = {}): Verdict {
    this.db.close()
    return checkBook(this.#sample, this.file, options)
  }
}

export interface Verdict {
  readonly exit: number
  readonly codes: readonly FindingCode[]
  readonly report: Report
}

/** What the verifier says, and whether the second one, which is written from FORMAT.md alone, says the same. */
export function checkBook(sample: SampleBook, file: string, options: Partial<VerifyOptions> = {}): Verdict {
  const verdict = judge(sample, file, options)
  const { outside = [], closed = false, from, maxGap, maxAge } = options
  if (from !== undefined || maxGap !== undefined || maxAge !== undefined) return verdict
  const notes = outside.map(({ note }) => Buffer.from(note))
  const second = secondVerdict(file, formatVkey(sample.vkey), notes, closed)
  if ((second === undefined) !== (verdict.exit === 0)) {
    throw new Error(`the verifiers disagree: ${verdict.exit} ${verdict.codes.join()}, ${second ?? 'nothing'}`)
  }
  return verdict
}

function judge(sample: SampleBook, file: string, options: Partial<VerifyOptions>): Verdict {
  using source = BookSource.open(file)
  const report = verifyBook(source, {
    key: sample.vkey,
    keyFromOutside: true,
    outside: [],
    now: sample.ts,
    integrityChecked: false,
    ...options,
  })
  return { exit: exitCode(report), codes: Object.keys(report.counts) as FindingCode[], report }
}

/** The exit code alone, whatever the file is. */
export function exitOf(sample: SampleBook, file: string): number {
  try {
    return judge(sample, file, {}).exit
  } catch (error) {
    if (!(error instanceof SourceError)) throw error
    return error.code === 'damaged' ? 4 : 1
  }
}

/** Members of one leaf changed, and nothing else put right. */
export function edited(leaf: Uint8Array, change: Partial<Leaf>): Uint8Array {
  return Buffer.from(canonical({ ...parseLeaf(leaf), ...change }))
}

export function rechained(leaves: readonly Uint8Array[]): Uint8Array[] {
  let prev = Buffer.alloc(32).toString('base64')
  return leaves.map((leaf, seq) => {
    const bytes = edited(leaf, { seq, prev })
    prev = Buffer.from(leafHash(bytes)).toString('base64')
    return bytes
  })
}
