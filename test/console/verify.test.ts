/** What the page checks the book and proofs with: the same attacks that the other verifiers are tried with. */
import { describe, expect, test } from 'vitest'
import { formatVkey } from '../../src/book/checkpoint.ts'
import { proveRecord } from '../../src/book/prove.ts'
import { BookSource } from '../../src/book/source.ts'
import { verifyProof } from '../../src/console/verify/proof.ts'
import { canonical, type BookSource as Pages, verifyBook } from '../../src/console/verify/walk.ts'
import { Ledger } from '../../src/read/ledger.ts'
import { testSigner } from '../support/book-builder.ts'
import { temporaryFiles } from '../support/folder.ts'
import { buildSampleBook, type SampleBook, vkeyText } from '../support/sample-book.ts'
import { edited, TamperedBook } from '../support/tampered-book.ts'

const newFile = temporaryFiles()
const sample: SampleBook = buildSampleBook(newFile('.db'))

/** As the API hands it to the page. */
function pagesOf(ledger: Ledger): Pages {
  return {
    head: ledger.head,
    first: ledger.first,
    leaves: async (from) => ledger.leaves(from),
    checkpoints: async (above) => ledger.checkpoints(above),
  }
}

async function verify(file: string, vkey = vkeyText(sample)) {
  using ledger = Ledger.open(file)
  return await verifyBook(pagesOf(ledger), vkey, () => undefined)
}

async function verifyTampered(tamper: (book: TamperedBook) => void): Promise<string> {
  const book = new TamperedBook(sample, newFile('.db'))
  tamper(book)
  book.db.close()
  try {
    await verify(book.file)
    return 'holds'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

describe('a whole book', () => {
  test('holds, through changes of key, and tells how far it has come', async () => {
    using ledger = Ledger.open(sample.file)
    const told: number[] = []
    const verdict = await verifyBook(pagesOf(ledger), vkeyText(sample), (done) => told.push(done))
    expect(verdict).toMatchObject({ size: sample.size, keys: 3 })
    expect(verdict.checkpoints).toBeGreaterThan(3)
    expect(told.at(-1)).toBe(sample.size)
  })

  test('is not the one of another key', async () => {
    const other = formatVkey(testSigner('key 1').vkey)
    await expect(verify(sample.file, other)).rejects.toThrow('is not signed by the key')
  })

  test.each([
    '',
    'gw1.example/book',
    `${vkeyText(sample).slice(0, -4)}AAAA`,
    vkeyText(sample).replace('+', '++'),
  ])('is checked with no key that is not whole: %s', async (vkey) => {
    await expect(verify(sample.file, vkey)).rejects.toThrow(/key|base64/i)
  })

  const ATTACKS: readonly (readonly [string, (book: TamperedBook) => void, RegExp])[] = [
    [
      'a member of a record edited',
      (book) =>
        book.write(
          book.leaves().map((leaf, i) => (i === 40 ? edited(leaf, { ts: 1_763_600_000_000_000 }) : leaf)),
        ),
      /record|older/,
    ],
    [
      'an outcome edited',
      (book) => {
        const { seq } = book.find(({ kind, out }) => kind === 'op' && out === 'error')
        book.write(book.leaves().map((leaf, i) => (i === seq ? edited(leaf, { out: 'ok' }) : leaf)))
      },
      /was changed: record \d+ names another hash/,
    ],
    [
      'the same, and all behind it chained again',
      (book) => {
        const { seq } = book.find(({ kind, out }) => kind === 'op' && out === 'error')
        book.rechain(book.leaves().map((leaf, i) => (i === seq ? edited(leaf, { out: 'ok' }) : leaf)))
      },
      /are not those that the checkpoint of size \d+ signs/,
    ],
    [
      'a record taken out',
      (book) => book.write(book.leaves().filter((_, i) => i !== 50)),
      /it says that it is record 51/,
    ],
    [
      'two neighbours exchanged',
      (book) => {
        const leaves = book.leaves()
        const [a, b] = [leaves[60], leaves[61]]
        book.write(leaves.map((leaf, i) => (i === 60 ? (b ?? leaf) : i === 61 ? (a ?? leaf) : leaf)))
      },
      /it says that it is record 61/,
    ],
    ['the last five cut off', (book) => book.write(book.leaves().slice(0, -5)), /the book ends here/],
    [
      'the head signed by somebody else',
      (book) => book.setHead(book.sign([testSigner('mallory')])),
      /not signed by the key/,
    ],
    [
      'the head signed by a retired key',
      (book) => book.setHead(book.sign(sample.signers.slice(0, 1))),
      /not signed by the key/,
    ],
    [
      "all rewritten, signed with a key of one's own, kept checkpoints dropped",
      (book) => {
        book.rechain(book.leaves().map((leaf, i) => (i === 30 ? edited(leaf, { rule: 'allow-all' }) : leaf)))
        book.db.exec('DELETE FROM ckpt')
        book.setHead(book.sign([testSigner('mallory')]))
      },
      /not signed by the key|canonical/,
    ],
    [
      'spelt otherwise',
      (book) =>
        book.write(
          book.leaves().map((leaf, i) => (i === 20 ? Buffer.from(` ${Buffer.from(leaf).toString()}`) : leaf)),
        ),
      /no leaf in canonical form/,
    ],
    [
      'a record of another gateway',
      (book) =>
        book.write(
          book.leaves().map((leaf, i) => (i === 20 ? edited(leaf, { log: 'gw2.example/book' }) : leaf)),
        ),
      /belongs to another book/,
    ],
    [
      'a kept checkpoint under another size',
      (book) => book.keep(77, book.sign(sample.signers.slice(2), 78)),
      /is one for 78/,
    ],
  ]
  test.each(ATTACKS)('%s: found out', async (_, tamper, words) => {
    expect(await verifyTampered(tamper)).toMatch(words)
  })

  test('that lost its beginning in order is left to those who can judge it', async () => {
    using ledger = Ledger.open(sample.file)
    const pages = { ...pagesOf(ledger), first: 256 }
    await expect(verifyBook(pages, vkeyText(sample), () => undefined)).rejects.toThrow('gatebook verify can')
  })

  test('whose pages are cut short is not said to hold', async () => {
    using ledger = Ledger.open(sample.file)
    const cut = { ...pagesOf(ledger), leaves: async (from: number) => ledger.leaves(from).slice(0, -3) }
    await expect(verifyBook(cut, vkeyText(sample), () => undefined)).rejects.toThrow('cut short')
    const empty = { ...pagesOf(ledger), leaves: async () => new Uint8Array() }
    await expect(verifyBook(empty, vkeyText(sample), () => undefined)).rejects.toThrow('the book ends here')
  })
})

describe('a proof', () => {
  const proofOf = (seq: number, file = sample.file): string => {
    using source = BookSource.open(file)
    return JSON.stringify(proveRecord(source, seq, { payloads: true }))
  }

  test.each([0, 1, 2, 100, 255, 256, sample.size - 1])('of record %i holds', async (seq) => {
    expect(await verifyProof(proofOf(seq), vkeyText(sample))).toMatchObject({ seq, size: sample.size })
  })

  test('of every record holds', async () => {
    for (let seq = 0; seq < sample.size; seq += 7)
      expect(await verifyProof(proofOf(seq), vkeyText(sample))).toMatchObject({ seq })
  })

  const change = (seq: number, edit: (proof: Record<string, unknown>) => Record<string, unknown>): string =>
    JSON.stringify(edit(JSON.parse(proofOf(seq)) as Record<string, unknown>))
  const inSession = 12

  test.each([
    ['no JSON', () => 'hello', /JSON/],
    ['another form', () => '{"v":2}', /no proof/],
    [
      'an edited leaf',
      () => change(50, (p) => ({ ...p, leaf: String(p['leaf']).replace('"v":1', '"v":2') })),
      /not in the tree/,
    ],
    [
      'the leaf of another record',
      () => change(50, (p) => ({ ...p, leaf: (JSON.parse(proofOf(51)) as { leaf: string }).leaf })),
      /another number|not in the tree/,
    ],
    [
      'another index',
      () => change(50, (p) => ({ ...p, proof: String(p['proof']).replace('index 50', 'index 51') })),
      /another number/,
    ],
    [
      'a hash left out',
      () => change(50, (p) => ({ ...p, proof: String(p['proof']).replace(/\n[A-Za-z0-9+/]{43}=\n/, '\n') })),
      /hashes|tree/,
    ],
    ['no changes of key', () => change(50, (p) => ({ ...p, keys: [] })), /not signed by the key/],
    [
      'no opening of its session',
      () => change(inSession, ({ session: _, ...p }) => p),
      /opening of its session/,
    ],
    [
      'the opening of another',
      () =>
        change(inSession, (p) => ({
          ...p,
          session: (JSON.parse(proofOf(200)) as { session: unknown }).session,
        })),
      /is not/,
    ],
    [
      'a checkpoint of another book',
      () =>
        change(50, (p) => ({
          ...p,
          proof: String(p['proof']).replace('gw1.example/book\n', 'gw2.example/book\n'),
        })),
      /another book/,
    ],
  ] as readonly (readonly [string, () => string, RegExp])[])('with %s does not', async (_, make, words) => {
    await expect(verifyProof(make(), vkeyText(sample))).rejects.toThrow(words)
  })
})

test('the canonical form is that of the book, whatever the order', () => {
  expect(canonical({ b: [{ z: 1, a: 'x"\\' }], a: true })).toBe('{"a":true,"b":[{"a":"x\\"\\\\","z":1}]}')
})
