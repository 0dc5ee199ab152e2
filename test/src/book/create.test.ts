import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseCheckpoint, parseVkey, verifyNote } from '../../../src/book/checkpoint.ts'
import { createBook } from '../../../src/book/create.ts'
import { openBook } from '../../../src/book/open.ts'
import { checkBook } from '../../support/check-book.ts'
import { ORIGIN, temporaryFolder } from '../../support/recorder.ts'

const small = { origin: ORIGIN, journalBytes: 64 << 10, ballastBytes: 16 << 10 }
const FILES = ['ballast', 'book.db', 'book.key', 'book.lock', 'book.vkey', 'head.note', 'journal', 'keys.db']

describe('a new book', () => {
  test('is complete, empty, readable by its owner only, and verifies', () => {
    const directory = join(temporaryFolder(), 'data')
    const vkey = createBook({ directory, ...small })
    expect(readdirSync(directory).sort()).toEqual(FILES)
    const mode = (name: string): string => (statSync(join(directory, name)).mode & 0o777).toString(8)
    expect(mode('.')).toBe('700')
    expect(mode('journal')).toBe('700')
    for (const name of FILES) {
      if (name !== 'journal' && name !== 'book.vkey') expect([name, mode(name)]).toEqual([name, '600'])
    }
    expect(checkBook(directory, { closed: true }).size).toBe(0)
    const note = parseCheckpoint(readFileSync(join(directory, 'head.note'), 'utf8'))
    expect(note).toMatchObject({ origin: ORIGIN, size: 0 })
    expect(verifyNote(note, [parseVkey(vkey)])).toHaveLength(1)
    expect(readFileSync(join(directory, 'book.vkey'), 'utf8')).toBe(`${vkey}\n`)
    using book = openBook(directory)
    expect([book.origin, book.head.size, book.clean]).toEqual([ORIGIN, 0, true])
  })

  test('has its journal and its ballast really written, the ballast with bytes that do not shrink', () => {
    const directory = join(temporaryFolder(), 'data')
    createBook({ directory, ...small })
    const journal = readFileSync(join(directory, 'journal', '1'))
    expect([journal.length, journal.every((byte) => byte === 0)]).toEqual([64 << 10, true])
    expect(statSync(join(directory, 'journal', '1')).blocks * 512).toBeGreaterThanOrEqual(64 << 10)
    const ballast = readFileSync(join(directory, 'ballast'))
    expect(ballast).toHaveLength(16 << 10)
    expect(new Set(ballast).size).toBe(256)
  })

  test('is made in an empty folder, and never over anything', () => {
    const directory = join(temporaryFolder(), 'data')
    mkdirSync(directory)
    createBook({ directory, ...small })
    const before = readFileSync(join(directory, 'book.key'))
    expect(() => createBook({ directory, ...small })).toThrow(expect.objectContaining({ code: 'exists' }))
    expect(readFileSync(join(directory, 'book.key'))).toEqual(before)

    const other = temporaryFolder()
    writeFileSync(join(other, 'notes.txt'), 'mine')
    expect(() => createBook({ directory: other, ...small })).toThrow(
      expect.objectContaining({ code: 'exists' }),
    )
    expect(readdirSync(other)).toEqual(['notes.txt'])
  })

  test('may be asked for with a slash at the end', () => {
    const parent = temporaryFolder()
    mkdirSync(join(parent, 'data'))
    createBook({ directory: `${parent}/data/`, ...small })
    expect(readdirSync(parent)).toEqual(['data'])
    expect(readdirSync(join(parent, 'data')).sort()).toEqual(FILES)
  })

  test('that was interrupted leaves nothing in its place, and is made anew', () => {
    const parent = temporaryFolder()
    const directory = join(parent, 'data')
    // A name that no key can have: the making fails half-way.
    expect(() => createBook({ directory, ...small, origin: 'a b/book' })).toThrow()
    expect([existsSync(directory), readdirSync(parent)]).toEqual([false, ['data.new']])
    createBook({ directory, ...small })
    expect(readdirSync(parent)).toEqual(['data'])
    expect(checkBook(directory).size).toBe(0)
  })
})
