import { describe, expect, test } from 'vitest'
import { parseCheckpoint } from '../../../src/book/checkpoint.ts'
import { decodeBundle, encodeBase64, FormatError } from '../../../src/book/format.ts'
import { formatTlogProof, parseProof, parseTlogProof, type RecordProof } from '../../../src/book/proof.ts'
import { proveRecord } from '../../../src/book/prove.ts'
import { BookSource } from '../../../src/book/source.ts'
import { exportTiles } from '../../../src/book/tiles.ts'
import { TilesSource } from '../../../src/book/tiles-source.ts'
import { leafHash } from '../../../src/book/tree.ts'
import { SourceError } from '../../../src/book/verify/source.ts'
import { verifyProof } from '../../../src/book/verify-proof.ts'
import { BookBuilder, ORIGIN, sidOf, testSigner } from '../../support/book-builder.ts'
import { readVector } from '../../support/book-vectors.ts'
import { temporaryFiles } from '../../support/folder.ts'
import { MemoryFolder } from '../../support/memory-folder.ts'
import { MemorySource, readRows, rowsOf } from '../../support/memory-source.ts'
import { pruneBook } from '../../support/pruned-book.ts'
import { buildSampleBook } from '../../support/sample-book.ts'
import { TamperedBook } from '../../support/tampered-book.ts'

const newFile = temporaryFiles()
const sample = buildSampleBook(newFile())
const rows = readRows(sample.file)
const source = () => new MemorySource(rows)
const records = new TamperedBook(sample, newFile())
const statement = records.find(({ sid, kind }) => kind === 'op' && sid === sample.sessions.get('pg 6')?.sid)
const dataKey = sample.sessions.get('pg 6')?.key ?? new Uint8Array()

const prove = (index: number, options = { payloads: false }): RecordProof =>
  proveRecord(source(), index, options)
const check = (proof: unknown, key = sample.vkey) =>
  verifyProof(typeof proof === 'string' ? proof : JSON.stringify(proof), key)
const codeOf = (proof: unknown, key = sample.vkey): string => check(proof, key).findings[0]?.code ?? 'proven'

describe('a proof', () => {
  test('of every record is proven by the first key alone', () => {
    for (let index = 0; index < sample.size; index += 7) {
      const report = check(prove(index))
      expect(report.findings).toEqual([])
      expect(report).toMatchObject({ record: { seq: index }, size: sample.size, keys: 2 })
      expect(report.session?.sid).toBe(report.record?.sid)
    }
  })

  test('with ciphertexts and the data key opens them', () => {
    const proof = { ...proveRecord(source(), statement.seq, { payloads: true }), key: encodeBase64(dataKey) }
    const report = check(proof)
    expect(report.findings).toEqual([])
    const opened = report.payloads.map(({ ref, body }) => [ref.t, Buffer.from(body ?? []).toString()])
    expect(opened).toEqual([
      ['sql', 'SELECT * FROM orders WHERE id = $1 -- 6'],
      ['args', '[1]'],
    ])
    const sealed = check({ ...proof, key: undefined }).payloads
    expect(sealed.map(({ body }) => body)).toEqual([undefined, undefined])
  })

  test('made from an export, or from a pruned book, is the same', () => {
    const folder = new MemoryFolder()
    exportTiles(source(), folder, { payloads: true })
    const options = { payloads: true }
    expect(proveRecord(new TilesSource(folder), statement.seq, options)).toEqual(
      prove(statement.seq, options),
    )
    const pruned = newFile()
    new TamperedBook(sample, pruned).db.close()
    pruneBook(
      new BookBuilder(pruned, ORIGIN, sample.signers),
      rows.bundles.find(({ first }) => first > 150)?.first ?? 0,
    )
    const late = sample.size - 1
    const report = check(proveRecord(new MemorySource(readRows(pruned)), late, options))
    expect(report).toMatchObject({ findings: [], record: { seq: late }, size: sample.size + 1 })
    expect(() => proveRecord(new MemorySource(readRows(pruned)), 100, options)).toThrow(
      'record 100 has been pruned',
    )
  })

  test('from the file of the book', () => {
    using book = BookSource.open(sample.file)
    expect(proveRecord(book, 30, { payloads: false })).toEqual(prove(30))
  })

  test('of no record is not made', () => {
    for (const index of [-1, sample.size, 0.5]) expect(() => prove(index)).toThrow(SourceError)
  })

  test('says what it does not prove', () => {
    expect(check(prove(3)).limits.map(({ code }) => code)).toEqual(['outside', 'clock'])
  })
})

describe('a proof is refused', () => {
  const proof = { ...proveRecord(source(), statement.seq, { payloads: true }), key: encodeBase64(dataKey) }
  const other = prove(statement.seq + 1)
  const [first, second] = proof.keys
  const under = (index: number) => ({ leaf: prove(index).leaf, proof: prove(index).proof })
  const changed = (leaf: string, change: (leaf: string) => string): string => change(leaf)

  test.each<[string, unknown, string]>([
    [
      'an altered leaf',
      { ...proof, leaf: changed(proof.leaf, (leaf) => leaf.replace('"rows":1', '"rows":2')) },
      'root',
    ],
    ['white space in a leaf', { ...proof, leaf: proof.leaf.replace(',', ', ') }, 'canonical'],
    ['the leaf of another record', { ...proof, leaf: other.leaf }, 'seq'],
    ['the proof of another record', { ...proof, proof: other.proof }, 'seq'],
    ['no opening of the session', { ...proof, session: undefined }, 'session'],
    ['the opening of another session', { ...proof, session: prove(20).session }, 'session'],
    [
      'a record that opens nothing for an opening',
      { ...proof, session: { leaf: proof.leaf, proof: proof.proof } },
      'session',
    ],
    ['a change of key left out', { ...proof, keys: [second] }, 'signature'],
    ['the last change of key left out', { ...proof, keys: [first] }, 'signature'],
    ['all changes of key left out', { ...proof, keys: [] }, 'signature'],
    ['changes of key the other way round', { ...proof, keys: [second, first] }, 'signature'],
    ['a change of key twice', { ...proof, keys: [first, first] }, 'epoch'],
    ['a record that changes no key', { ...proof, keys: [{ leaf: proof.leaf, proof: proof.proof }] }, 'epoch'],
    [
      'a change of key under a later checkpoint',
      { ...proof, keys: [under(parseTlogProof(first?.proof ?? '').index), second] },
      'epoch',
    ],
    [
      'a payload that the record does not name',
      { ...proof, payloads: [{ i: 99, data: '' }] },
      'payload-orphan',
    ],
    [
      'a payload that is another',
      { ...proof, payloads: [{ i: 1, data: proof.payloads?.[1]?.data }] },
      'payload',
    ],
    ['a data key that is another', { ...proof, key: Buffer.alloc(32).toString('base64') }, 'commitment'],
    ['a data key of 31 bytes', { ...proof, key: Buffer.alloc(31).toString('base64') }, 'commitment'],
    ['an unknown member', { ...proof, more: 1 }, 'format'],
    ['another format', { ...proof, v: 2 }, 'format'],
    ['no text', { ...proof, leaf: 1 }, 'format'],
    ['a list that is none', { ...proof, keys: {} }, 'format'],
    ['nothing', 'null', 'format'],
    ['no JSON', 'proof', 'format'],
    ['no tlog-proof', { ...proof, proof: 'proof' }, 'format'],
    ['a hash of spare bits', { ...proof, proof: proof.proof.replace(/.=\n/, 'B=\n') }, 'format'],
    [
      'a checkpoint that is none',
      { ...proof, proof: proof.proof.replace('\n\ngw1', '\n\n\ngw1') },
      'checkpoint',
    ],
  ])('with %s', (_, bad, code) => {
    expect(codeOf(bad)).toBe(code)
  })

  test('under another key', () => {
    expect(codeOf(proof, testSigner('another').vkey)).toBe('signature')
    expect(codeOf(proof, sample.signers[2]?.vkey)).toBe('signature')
    expect(codeOf(proof, testSigner('another', 'gw2.example/book').vkey)).toBe('origin')
  })

  test('under a head that a key of an earlier epoch signed', () => {
    const { index, hashes, note } = parseTlogProof(proof.proof)
    const head = new TamperedBook(sample, newFile()).sign(sample.signers.slice(0, 1))
    expect(parseCheckpoint(head).size).toBe(parseCheckpoint(note).size)
    expect(codeOf({ ...proof, proof: formatTlogProof({ index, hashes, note: head }) })).toBe('signature')
  })

  test('with an opening that stands behind the record', () => {
    const book = new BookBuilder(':memory:')
    const sid = sidOf('late')
    book.commit([{ kind: 'op.begin', sid, op: 1, act: 'db.query' }])
    book.openSession('late', 'gateway')
    const late = proveRecord(new MemorySource(rowsOf(book.db)), 1, { payloads: false })
    const leaves = rowsOf(book.db).bundles.flatMap((row) => decodeBundle(row))
    const { note } = parseTlogProof(late.proof)
    const hashes = [leafHash(leaves[1] ?? Buffer.of())]
    const early = {
      leaf: Buffer.from(leaves[0] ?? []).toString(),
      proof: formatTlogProof({ index: 0, hashes, note }),
    }
    const key = testSigner('key 0').vkey
    expect(codeOf(late, key)).toBe('proven')
    expect(codeOf({ ...late, ...early }, key)).toBe('session')
  })

  test('with any byte changed', () => {
    const text = JSON.stringify(proof)
    for (let at = 0; at < text.length; at += 5) {
      const bytes = Buffer.from(text)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 7))
      if (codeOf(bytes.toString()) === 'proven') expect.fail(`${at}: ${text.slice(at - 20, at + 20)}`)
    }
    expect(codeOf(text)).toBe('proven')
  })
})

test('the proof of the example is the published text', () => {
  const { header, bytes } = readVector('example-proof')
  const { index, hashes, note } = parseTlogProof(Buffer.from(bytes).toString())
  const expected = JSON.parse(header.get('expect') ?? '') as { index: number; hashes: string[]; note: string }
  expect({ index, hashes: hashes.map((item) => Buffer.from(item).toString('base64')), note }).toEqual(
    expected,
  )
  expect(formatTlogProof({ index, hashes, note })).toBe(Buffer.from(bytes).toString())
})

test('a proof keeps to its limits', () => {
  const many = { v: 1, leaf: '', proof: '', keys: Array(10_001).fill({ leaf: '', proof: '' }) }
  expect(() => parseProof(JSON.stringify(many))).toThrow(FormatError)
  expect(() => parseTlogProof(`c2sp.org/tlog-proof@v1\nindex 0\n${'A\n'.repeat(65)}\n`)).toThrow(FormatError)
})
