import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { signCheckpoint } from '../../../../src/book/checkpoint.ts'
import { BookSource } from '../../../../src/book/source.ts'
import { exportTiles } from '../../../../src/book/tiles.ts'
import { FilesFolder } from '../../../../src/cli/book/files-folder.ts'
import { proof } from '../../../../src/cli/book/proof.ts'
import { type VerifyOptions, verify } from '../../../../src/cli/book/verify.ts'
import { OperatorError } from '../../../../src/system/operator-error.ts'
import { BookBuilder, ORIGIN } from '../../../support/book-builder.ts'
import { collectingIo } from '../../../support/io.ts'
import { buildSampleBook, vkeyText } from '../../../support/sample-book.ts'

const root = mkdtempSync(join(tmpdir(), 'gatebook-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const original = join(root, 'original.db')
const sample = buildSampleBook(original)
const vkey = vkeyText(sample)
let count = 0
let data = ''
let book = ''

/** Each test has a data directory with the sample in it. */
beforeEach(() => {
  data = join(root, String(++count))
  book = join(data, 'book.db')
  mkdirSync(data)
  writeFileSync(book, readFileSync(original))
})

async function run(options: VerifyOptions): Promise<{ exit: number; out: string; err: string }> {
  const io = collectingIo()
  const exit = await verify(options, io, sample.ts / 1000)
  return { exit, out: io.out(), err: io.err() }
}

const sql = (text: string) => {
  const db = new Database(book)
  for (const name of db.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").pluck().all())
    db.exec(`DROP TRIGGER ${name}`)
  db.exec(text)
  db.close()
}

describe('verify', () => {
  test('says what it counted, the result, and what it could not establish', async () => {
    const { exit, out, err } = await run({ book, key: vkey })
    expect({ exit, err }).toEqual({ exit: 0, err: '' })
    expect(
      out
        .split('\n')
        .slice(0, 8)
        .map((line) => line.replace(/\d+\.\d s$/, 'T')),
    ).toEqual([
      'book         gw1.example/book',
      `records      0 … ${sample.size - 1}             ${sample.size} hashed, 0 broken            T`,
      expect.stringMatching(
        /^checkpoints {2}\d\d kept {13}signatures and roots hold {7}keys [0-9a-f]{8} [0-9a-f]{8} [0-9a-f]{8}$/,
      ),
      'outside      0 checkpoints',
      expect.stringMatching(/^payloads {5}\d+ checked {9}\d+\.\d KiB, 3 erased$/),
      'sessions     28 opened           2 open at the end',
      'file         sound to SQLite                                     T',
      'OK',
    ])
    expect(out).toContain('could not establish\n  - no checkpoint from outside')
  })

  test('names the first broken record and the last good checkpoint', async () => {
    sql('UPDATE payload SET data = zeroblob(40) WHERE rowid = (SELECT rowid FROM payload LIMIT 1 OFFSET 60)')
    const { exit, out } = await run({ book, key: vkey })
    expect(exit).toBe(4)
    expect(out).toMatch(
      /\nBROKEN at #\d+: payload \d of [a-z2-7]{16} is not the one that record \d+ names; last good checkpoint: size \d+ \(2025-11-20 00:53 UTC\)\n/,
    )
    expect(out).not.toContain('\nOK')
  })

  test('gives all of it as JSON', async () => {
    const good = JSON.parse((await run({ book, key: vkey, json: true })).out) as Record<string, unknown>
    expect(good).toMatchObject({ exit: 0, size: sample.size, findings: [], origin: ORIGIN })
    sql('DELETE FROM head')
    const bad = JSON.parse((await run({ book, key: vkey, json: true })).out) as Record<string, unknown>
    expect(bad).toMatchObject({
      exit: 4,
      findings: [{ code: 'head', text: 'there is no head' }],
      counts: { head: 1 },
    })
  })

  test('takes the key beside the book where none is given, and says what that is worth', async () => {
    await expect(run({ data })).rejects.toThrow(OperatorError)
    writeFileSync(join(data, 'book.vkey'), `${vkey}\n`)
    const { exit, out } = await run({ data })
    expect(exit).toBe(0)
    expect(out).toContain('this proves nothing against a whole book exchanged')
    expect((await run({ data, key: join(data, 'book.vkey') })).out).not.toContain('this proves nothing')
  })

  test('holds a gateway’s book against the head beside it, which is no evidence from outside', async () => {
    const [older = [0, new Uint8Array()]] = [...sample.heads]
    writeFileSync(join(data, 'head.note'), older[1])
    const sound = await run({ data, key: vkey, requireEvidence: true })
    expect(sound.exit).toBe(5)
    expect(sound.out).toContain('outside      0 checkpoints')

    const [signer] = sample.signers.slice(-1)
    if (signer === undefined) throw new Error('the sample has keys')
    const cut = { origin: ORIGIN, size: sample.size + 5, root: Buffer.alloc(32, 7) }
    writeFileSync(join(data, 'head.note'), signCheckpoint([signer], cut))
    const { exit, out } = await run({ data, key: vkey })
    expect(exit).toBe(4)
    expect(out).toContain(`the head in ${join(data, 'head.note')} is signed for ${sample.size + 5} records`)
    expect((await run({ book, key: vkey })).exit, 'a copy is taken as it is').toBe(0)
  })

  test('checks a live book without holding it, and a copy by SQLite as well', async () => {
    expect((await run({ data, key: vkey })).out).toContain('PRAGMA integrity_check')
    expect((await run({ book, key: vkey })).out).not.toContain('PRAGMA integrity_check')
  })

  test('reads the log beside the file too, and writes to neither', async () => {
    const db = new Database(book)
    db.pragma('journal_mode = WAL')
    db.pragma('wal_autocheckpoint = 0')
    const builder = new BookBuilder(book, ORIGIN, sample.signers)
    builder.commit([{ kind: 'heartbeat' }])
    const files = () => [book, `${book}-wal`].map((file) => readFileSync(file).toString('base64'))
    const before = files()
    const { exit, out } = await run({ data, key: vkey })
    expect({ exit, after: files() }).toEqual({ exit: 0, after: before })
    expect(out).toContain(`0 … ${sample.size} `)
    builder.db.close()
    db.close()
  })

  test('remembers the head of a book that holds, and only of one', async () => {
    const remember = join(data, 'remembered')
    expect((await run({ book, key: vkey, remember })).exit).toBe(0)
    const head = readFileSync(remember, 'utf8')
    expect(head).toMatch(new RegExp(`^${ORIGIN}\n${sample.size}\n`))
    const again = await run({ book, key: vkey, remember, requireEvidence: true })
    expect(again.exit).toBe(0)
    expect(again.out).toMatch(/outside {6}1 checkpoints {7}agree/)
    const builder = new BookBuilder(book, ORIGIN, sample.signers)
    builder.commit([{ kind: 'heartbeat' }])
    builder.db.close()
    expect((await run({ book, key: vkey, remember })).exit).toBe(0)
    const later = readFileSync(remember, 'utf8')
    expect(later).toMatch(new RegExp(`^${ORIGIN}\n${sample.size + 1}\n`))
    writeFileSync(book, readFileSync(original))
    const older = await run({ book, key: vkey, remember })
    expect(older).toMatchObject({ exit: 4, out: expect.stringContaining('truncated') })
    expect(readFileSync(remember, 'utf8')).toBe(later)
  })

  test('demands evidence from outside where that is asked for', async () => {
    const checkpoint = join(data, 'head.note')
    const { exit, out } = await run({ book, key: vkey, requireEvidence: true })
    expect({ exit, text: out.includes('OK, but evidence from outside is missing') }).toEqual({
      exit: 5,
      text: true,
    })
    writeFileSync(checkpoint, [...sample.heads.values()][0] ?? '')
    expect((await run({ book, key: vkey, checkpoint: [checkpoint], requireEvidence: true })).exit).toBe(5)
    using source = BookSource.open(book)
    writeFileSync(checkpoint, source.head ?? '')
    expect((await run({ book, key: vkey, checkpoint: [checkpoint], requireEvidence: true })).exit).toBe(0)
  })

  test('passes its other options on', async () => {
    expect((await run({ book, key: vkey, maxAgeMs: 1, maxGapMs: 1_000 })).exit).toBe(0)
    expect((await run({ book, key: vkey, maxGapMs: 0 })).out).toContain('silence')
    expect((await run({ book, key: vkey, from: 256 })).out).toContain(`256 … ${sample.size - 1}`)
    const builder = new BookBuilder(book, ORIGIN, sample.signers)
    builder.commit([{ kind: 'op.begin', sid: sample.sessions.get('last')?.sid, op: 2, act: 'db.query' }])
    builder.db.close()
    expect((await run({ book, key: vkey })).exit).toBe(0)
    expect((await run({ book, key: vkey, closed: true })).out).toContain('open-op')
  })

  test('verifies an export', async () => {
    const folder = join(data, 'export')
    using source = BookSource.open(book)
    exportTiles(source, new FilesFolder(folder), { payloads: true })
    expect((await run({ book: folder, key: vkey })).exit).toBe(0)
    rmSync(join(folder, 'tile/entries/000'))
    expect((await run({ book: folder, key: vkey })).exit).toBe(4)
  })

  test('reads nothing that may never end, such as a pipe or a device', async () => {
    const folder = join(data, 'export')
    using source = BookSource.open(book)
    exportTiles(source, new FilesFolder(folder), { payloads: true })
    rmSync(join(folder, 'tile/entries/000'))
    symlinkSync('/dev/null', join(folder, 'tile/entries/000'))
    const { exit, out } = await run({ book: folder, key: vkey })
    expect({ exit, out }).toMatchObject({ exit: 4, out: expect.stringContaining('entries/000 is no file') })
    await expect(run({ book: '/dev/null', key: vkey })).rejects.toThrow('/dev/null is no file')
  })

  test('ends without a verdict where there is nothing to judge', async () => {
    await expect(run({ key: vkey })).rejects.toThrow('exactly one of')
    await expect(run({ data, book, key: vkey })).rejects.toThrow('exactly one of')
    await expect(run({ book: join(data, 'none'), key: vkey })).rejects.toThrow('there is no')
    await expect(run({ book, key: 'no key' })).rejects.toThrow('is no key')
    await expect(run({ book, key: vkey, checkpoint: [join(data, 'none')] })).rejects.toThrow(OperatorError)
    writeFileSync(join(data, 'evidence.jsonl'), '')
    await expect(run({ book: data, key: vkey })).rejects.toThrow('is the evidence of a session')
    sql('PRAGMA user_version = 9')
    await expect(run({ book, key: vkey })).rejects.toThrow('newer release')
    writeFileSync(book, 'no database')
    await expect(run({ book, key: vkey })).rejects.toThrow('this is no book')
  })

  test('finds a table that is not the one of the format', async () => {
    sql('DROP TABLE ckpt; CREATE VIEW ckpt AS SELECT 1 AS size, 2 AS note')
    const { exit, out } = await run({ book, key: vkey })
    expect({ exit, out }).toEqual({
      exit: 4,
      out: 'BROKEN: the table ckpt is not the one of the format (sqlite)\n',
    })
  })

  test('shows what an attacker wrote without letting it act on the terminal', async () => {
    sql(
      "DROP TABLE head; CREATE TABLE head(one INTEGER PRIMARY KEY CHECK(one=1), note TEXT NOT NULL) STRICT; INSERT INTO head VALUES (1, char(27) || '[2J' || char(10) || '0' || char(10) || 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' || char(10) || char(10))",
    )
    const { exit, out } = await run({ book, key: vkey })
    expect(exit).toBe(4)
    expect(out).not.toContain('\u001b')
  })
})

describe('proof', () => {
  const prove = async (record: string, more = {}) => {
    const io = collectingIo()
    const output = join(data, 'proof.json')
    const exit = await proof({ record, book, output, key: vkey, ...more }, io)
    return { exit, output, err: io.err() }
  }

  test('is written, and verifies with the first key alone', async () => {
    const { exit, output, err } = await prove('100', { payloads: true })
    expect({ exit, err: err.includes('proof of record 100') }).toEqual({ exit: 0, err: true })
    const checked = await run({ proof: output, key: vkey })
    expect(checked.exit).toBe(0)
    expect(checked.out).toContain('\nOK\ncould not establish\n')
    expect(JSON.parse((await run({ proof: output, key: vkey, json: true })).out)).toMatchObject({
      exit: 0,
      record: { seq: 100 },
    })
    await expect(run({ proof: output })).rejects.toThrow('--key')
    writeFileSync(output, readFileSync(output, 'utf8').replace('\\"seq\\":100', '\\"seq\\":101'))
    expect((await run({ proof: output, key: vkey })).exit).toBe(4)
  })

  test('of a record by its index and hash, from a data directory or an export, is the same', async () => {
    const { output } = await prove('30')
    const text = readFileSync(output, 'utf8')
    await expect(prove('30-00000000')).rejects.toThrow(/record 30 has the hash [0-9a-f]{8}, not 00000000/)
    const folder = join(data, 'export')
    using source = BookSource.open(book)
    exportTiles(source, new FilesFolder(folder), { payloads: true })
    expect(readFileSync((await prove('30', { book: folder })).output, 'utf8')).toBe(text)
    expect(readFileSync((await prove('30', { book: undefined, data })).output, 'utf8')).toBe(text)
  })

  test('is not written where the book does not prove it', async () => {
    sql('DELETE FROM head')
    await expect(prove('30')).rejects.toThrow('the book has no head')
    writeFileSync(book, readFileSync(original))
    sql("UPDATE head SET note = replace(note, 'gw1', 'gw2')")
    const { exit, err, output } = await prove('30')
    expect({ exit, there: existsSync(output) }).toEqual({ exit: 4, there: false })
    expect(err).toContain('the book does not prove it')
    await expect(prove('1000')).rejects.toThrow('there is no record 1000')
    await expect(prove('x')).rejects.toThrow('x is no record')
  })
})
