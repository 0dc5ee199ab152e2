/** That no change of a book goes unnoticed, however small, and that no input upsets the verifier. */
import { readFileSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseLeaf } from '../../../../src/book/format.ts'
import { exitCode } from '../../../../src/book/verify/report.ts'
import { verifyBook } from '../../../../src/book/verify/walk.ts'
import { BookBuilder, ORIGIN } from '../../../support/book-builder.ts'
import { temporaryFiles } from '../../../support/folder.ts'
import { MemorySource, type Rows, readRows } from '../../../support/memory-source.ts'
import { pruneBook } from '../../../support/pruned-book.ts'
import { buildSampleBook, type SampleBook } from '../../../support/sample-book.ts'
import { exitOf } from '../../../support/tampered-book.ts'

const newFile = temporaryFiles()

/** Always the same choices, so that a failure can be looked at. */
const seeded = (seed: number, numRuns: number) => ({ seed, numRuns })

function exitOfRows(sample: SampleBook, rows: Rows): number {
  const options = {
    key: sample.vkey,
    keyFromOutside: true,
    outside: [],
    now: sample.ts,
    integrityChecked: true,
  }
  return exitCode(verifyBook(new MemorySource(rows), options))
}

/** Every run of bytes that a book consists of. */
function* blobs(rows: Rows): Iterable<Uint8Array> {
  for (const { leaves } of rows.bundles) yield leaves
  for (const { hashes } of rows.tiles) yield hashes
  for (const { data } of rows.payloads) yield data
  for (const { note } of rows.checkpoints) yield note
  for (const { leaf } of rows.kept) yield leaf
  if (rows.head !== undefined) yield rows.head
}

function flip(bytes: Uint8Array, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
}

/** Rows as text, but for the order of payloads and for checkpoints taken away, which nobody can miss. */
function asTold(rows: Rows, book: SampleBook): string {
  const known = readRows(book.file).checkpoints.map(({ note }) => Buffer.from(note).toString())
  const strange = rows.checkpoints.filter(({ note }) => !known.includes(Buffer.from(note).toString()))
  const payloads = rows.payloads.map((row) => JSON.stringify(row)).sort()
  return JSON.stringify({ ...rows, payloads, checkpoints: strange })
}

/** A change of key and a few records. */
function buildSmallBook(): SampleBook {
  const file = newFile()
  const book = new BookBuilder(file)
  book.commit([{ kind: 'boot', rel: '0.1.0', clean: true }], [], true)
  const session = book.openSession('small', 'pg')
  const sql = book.seal(session, 'sql', 'SELECT 1')
  book.commit([{ kind: 'op', sid: session.sid, op: 1, act: 'db.query', out: 'ok', ref: [sql.ref] }], [sql])
  book.changeKey()
  book.commit([{ kind: 'heartbeat' }, { kind: 'session.close', sid: session.sid, why: 'client' }])
  book.db.close()
  const { size, ts, sessions, signers } = book
  const [key] = signers
  if (key === undefined) throw new Error('a book has a key')
  return { file, vkey: key.vkey, signers, size, ts, sessions, heads: new Map(), erasures: [] }
}

describe('a changed bit', () => {
  test('is found at every byte of a small book', () => {
    const small = buildSmallBook()
    const rows = readRows(small.file)
    expect(exitOfRows(small, rows)).toBe(0)
    let bytes = 0
    for (const blob of blobs(rows)) {
      for (let at = 0; at < blob.length; at++, bytes++) {
        const bit = at * 8 + (bytes % 8)
        flip(blob, bit)
        if (exitOfRows(small, rows) !== 4)
          expect.fail(`bit ${bit} of ${Buffer.from(blob).toString('latin1')}`)
        flip(blob, bit)
      }
    }
    expect(bytes).toBeGreaterThan(1_800)
    expect(exitOfRows(small, rows)).toBe(0)
  })

  const sample = buildSampleBook(newFile())
  const pruned = buildSampleBook(newFile())
  pruneBook(new BookBuilder(pruned.file, ORIGIN, pruned.signers), 130)

  test.each([
    ['a book', sample],
    ['a pruned book', pruned],
  ])('is found anywhere in %s', (_, book) => {
    const rows = readRows(book.file)
    // A payload that only a pruned record named cannot be judged; the report says so.
    const straddling = new Set(rows.kept.map(({ leaf }) => parseLeaf(leaf).sid))
    const unjudged = rows.payloads
      .filter(({ sid, i }) => i > 0 && straddling.has(sid))
      .map(({ data }) => data)
    const all = [...blobs(rows)].filter((blob) => !unjudged.includes(blob))
    expect(exitOfRows(book, rows)).toBe(0)
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (which, where) => {
        const blob = all[which % all.length] ?? new Uint8Array(1)
        const bit = where % (blob.length * 8)
        flip(blob, bit)
        const exit = exitOfRows(book, rows)
        flip(blob, bit)
        expect(exit).toBe(4)
      }),
      seeded(7, 150),
    )
  })

  test('is found in the numbers and names of rows', () => {
    const rows = readRows(sample.file)
    const numbers = [
      ...rows.bundles.flatMap((row) =>
        (['first', 'count', 'codec', 'crc'] as const).map((name) => ({ row, name })),
      ),
      ...rows.checkpoints.map((row) => ({ row, name: 'size' as const })),
      ...rows.payloads.map((row) => ({ row, name: 'i' as const })),
    ] as unknown as { row: Record<string, number>; name: string }[]
    fc.assert(
      fc.property(fc.nat(), fc.nat(30), (which, bit) => {
        const { row, name } = numbers[which % numbers.length] ?? { row: {}, name: '' }
        const value = row[name] ?? 0
        row[name] = value ^ (1 << bit)
        const exit = exitOfRows(sample, rows)
        row[name] = value
        expect(exit).toBe(4)
      }),
      seeded(8, 100),
    )
  })
})

describe('whatever the rows are, they are judged', () => {
  const small = buildSampleBook(newFile(), 3)
  const original = JSON.stringify(readRows(small.file))
  const told = asTold(readRows(small.file), small)
  const int = fc.oneof(
    fc.integer({ min: -3, max: 80 }),
    fc.constantFrom(2 ** 53, 2 ** 60, -1, 0.5, Number.NaN, 511, 513),
  )
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.constant(Buffer.alloc(70_000, 'x')),
    fc.constant(Buffer.from('{}')),
  )
  const change = fc.record({
    table: fc.constantFrom('bundles', 'tiles', 'payloads', 'checkpoints', 'kept', 'head'),
    what: fc.constantFrom('remove', 'repeat', 'exchange', 'number', 'bytes', 'insert'),
    at: fc.nat(100),
    to: fc.nat(100),
    int,
    bytes,
  })

  test('with 0 only where nothing has changed', () => {
    const seen = new Set<number>()
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const rows = readRows(small.file)
        for (const item of changes) apply(rows, item)
        const exit = exitOfRows(small, rows)
        seen.add(exit)
        if (exit === 0) expect(asTold(rows, small)).toBe(told)
        else expect({ exit, same: JSON.stringify(rows) === original }).toEqual({ exit: 4, same: false })
      }),
      seeded(9, 400),
    )
    expect(seen).toEqual(new Set([0, 4]))
  })
})

interface Change {
  readonly table: string
  readonly what: string
  readonly at: number
  readonly to: number
  readonly int: number
  readonly bytes: Uint8Array
}

function apply(rows: Rows, { table, what, at, to, int, bytes }: Change): void {
  if (table === 'head') {
    rows.head = what === 'remove' ? undefined : bytes
    return
  }
  const list = rows[table as 'kept'] as unknown as Record<string, unknown>[]
  const row = list[at % list.length]
  if (row === undefined) {
    // A kept leaf of nothing that was pruned is no lie as long as it is the leaf that is there.
    if (what === 'insert') list.push({ seq: int, leaf: bytes })
    return
  }
  const names = Object.keys(row)
  const number = names.find((name, k) => k >= to % names.length && typeof row[name] === 'number') ?? 'first'
  const blob = names.find((name) => row[name] instanceof Uint8Array) ?? ''
  if (what === 'remove') list.splice(list.indexOf(row), 1)
  if (what === 'repeat') list.splice(to % list.length, 0, { ...row })
  if (what === 'exchange')
    [list[at % list.length], list[to % list.length]] = [list[to % list.length] ?? row, row]
  if (what === 'number' && number in row) row[number] = int
  if (what === 'bytes') row[blob] = bytes
  if (what === 'insert') list.push({ ...row, [number]: int, [blob]: bytes })
}

test('whatever the file is, it is judged, with 0 only where every row is as it was', () => {
  const small = buildSampleBook(newFile(), 3)
  const file = newFile()
  const original = readFileSync(small.file)
  const rows = JSON.stringify(readRows(small.file))
  const seen = new Map<number, number>()
  const damage = fc.record({
    at: fc.nat(),
    length: fc.constantFrom(1, 1, 1, 4, 100, 5_000),
    byte: fc.nat(255),
  })
  fc.assert(
    fc.property(
      fc.array(damage, { minLength: 1, maxLength: 3 }),
      fc.constantFrom(0, 0, 0, 1, 4_096),
      (damages, cut) => {
        const bytes = Buffer.from(original.subarray(0, original.length - cut))
        for (const { at, length, byte } of damages)
          bytes.fill(byte, at % bytes.length, Math.min((at % bytes.length) + length, bytes.length))
        writeFileSync(file, bytes)
        const exit = exitOf(small, file)
        seen.set(exit, (seen.get(exit) ?? 0) + 1)
        expect([0, 1, 4]).toContain(exit)
        if (exit === 0) expect(JSON.stringify(readRows(file))).toBe(rows)
      },
    ),
    seeded(10, 300),
  )
  expect(seen.get(4)).toBeGreaterThan(100)
})
