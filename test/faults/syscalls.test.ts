import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createBook } from '../../src/book/create.ts'
import { BALLAST_BYTES, ORIGIN } from '../support/books.ts'
import { checkBook } from '../support/check-book.ts'
import { runChild } from '../support/processes.ts'
import { brokenPromises } from '../support/promises.ts'
import { startBookkeeper, temporaryFolder } from '../support/recorder.ts'

interface Fault {
  /** The file at which it happens, and the call. */
  readonly file: string
  readonly call: 'fdatasync' | 'fsync' | 'pwrite64'
  /** `error=EIO`, or what a short write returns. */
  readonly inject: string
  /** From which of those calls on; `+` for all after it. */
  readonly when: string
}

/** A recorder under load to whom the kernel says that: what it printed, and the calls at that file. */
function suffer(
  { file, call, inject, when }: Fault,
  directory: string,
): { lines: string[]; calls: string[] } {
  const log = join(temporaryFolder(), 'strace')
  const path = join(directory, file)
  const { stdout, stderr } = runChild(
    'load',
    [directory, '11', '300'],
    [
      ...['strace', '-f', '-P', path, '-e', 'trace=fdatasync,fsync,pwrite64', '-e', 'signal=none'],
      ...['-e', `inject=${call}:${inject}:when=${when}`, '-o', log],
    ],
  )
  expect(stderr).toBe('')
  const calls = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => /^\d+ +(fdatasync|fsync|pwrite64)\(/.test(line) || line.includes('INJECTED'))
  return { lines: stdout.split('\n'), calls }
}

function newDirectory(): string {
  const directory = join(temporaryFolder(), 'data')
  createBook({ directory, origin: ORIGIN, journalBytes: 1 << 20, ballastBytes: BALLAST_BYTES })
  return directory
}

/** Opens what it left on a disk that works again: every promise was kept. */
function checkAfter(directory: string, lines: readonly string[]): void {
  const book = startBookkeeper(directory)
  book.settle()
  const { leaves } = checkBook(directory, { closed: true })
  expect(brokenPromises(lines, leaves, 'process')).toEqual([])
  book.stop()
}

const FAILURES: readonly (Fault & { readonly says: RegExp })[] = [
  {
    file: 'journal/1',
    call: 'fdatasync',
    inject: 'error=EIO',
    when: '1',
    says: /journal's sync failed: .*EIO/,
  },
  {
    file: 'journal/1',
    call: 'fdatasync',
    inject: 'error=EIO',
    when: '40',
    says: /journal's sync failed: .*EIO/,
  },
  {
    file: 'journal/1',
    call: 'pwrite64',
    inject: 'error=EIO',
    when: '30',
    says: /journal's write failed: .*EIO/,
  },
  {
    file: 'journal/1',
    call: 'pwrite64',
    inject: 'error=ENOSPC',
    when: '30',
    says: /journal's write failed: .*ENOSPC/,
  },
  { file: 'book.db-wal', call: 'fsync', inject: 'error=EIO', when: '3', says: /disk I\/O error/ },
  { file: 'book.db-wal', call: 'pwrite64', inject: 'error=EIO', when: '17', says: /disk I\/O error/ },
  { file: 'book.db', call: 'pwrite64', inject: 'error=EIO', when: '1', says: /disk I\/O error/ },
  { file: 'book.db', call: 'fsync', inject: 'error=EIO', when: '1', says: /disk I\/O error/ },
  { file: 'keys.db-wal', call: 'fsync', inject: 'error=EIO', when: '4', says: /disk I\/O error/ },
  { file: 'keys.db-wal', call: 'pwrite64', inject: 'error=EIO', when: '9', says: /disk I\/O error/ },
  { file: 'head.note.tmp', call: 'fsync', inject: 'error=EIO', when: '2', says: /EIO/ },
]

describe('an error of the disk', () => {
  test.each(FAILURES)(
    '$call of $file, $inject at the $when: it is told, nothing promised is lost',
    (fault) => {
      const directory = newDirectory()
      const { lines, calls } = suffer(fault, directory)
      const injected = calls.findIndex((line) => line.includes('INJECTED'))
      expect(injected, 'the fault happened').toBeGreaterThanOrEqual(0)

      // What fails at the very end is told by the stop itself.
      const failed = lines.find((line) => line.startsWith('failed ') || line.startsWith('stopped with '))
      expect(failed).toMatch(fault.says)
      if (failed?.startsWith('failed ')) {
        expect(lines.find((line) => line.startsWith('refused '))).toContain('the book cannot be written')
      }
      expect(lines.filter((line) => line === 'let in')).toEqual([])

      // A sync that is asked for again succeeds and says nothing of what was lost. (SQLite, closing, syncs a log once
      // more to copy from it what was durable before; and a write may begin before the sync's error has arrived.)
      const after = calls.slice(injected + 1).filter((line) => /^\d+ +\w+\(/.test(line))
      const forbidden =
        fault.file === 'book.db' ? [] : fault.file.endsWith('-wal') ? ['pwrite64'] : [fault.call]
      expect(after.filter((line) => forbidden.some((call) => line.includes(` ${call}(`)))).toEqual([])
      // One that was asked for before the write failed may reach the kernel after it, from the pool; nobody hears of it.
      const syncs = after.filter((line) => line.includes(' fdatasync('))
      if (fault.call === 'pwrite64' && fault.file === 'journal/1') expect(syncs.length).toBeLessThanOrEqual(1)
      checkAfter(directory, lines)
      // Where the journal fails, the book behind it still says why nothing more is taken.
      const suspensions = checkBook(directory).leaves.filter(({ kind }) => kind === 'suspend')
      expect(suspensions.map(({ why }) => why)).toEqual(fault.file === 'journal/1' ? ['store'] : [])
    },
  )
})

describe('a full disk', () => {
  test.each<Fault>([
    { file: 'book.db-wal', call: 'pwrite64', inject: 'error=ENOSPC', when: '17' },
    { file: 'keys.db-wal', call: 'pwrite64', inject: 'error=ENOSPC', when: '9' },
    { file: 'head.note.tmp', call: 'pwrite64', inject: 'error=ENOSPC', when: '2' },
  ])('at $file is met with the ballast: new work is refused until there is room', (fault) => {
    const directory = newDirectory()
    const { lines, calls } = suffer(fault, directory)
    expect(calls.some((line) => line.includes('INJECTED'))).toBe(true)
    expect(lines.filter((line) => line.startsWith('state '))).toEqual(['state suspended', 'state open'])
    expect(lines.filter((line) => line.startsWith('failed '))).toEqual([])
    checkAfter(directory, lines)
    const kinds = checkBook(directory).leaves.map(({ kind }) => kind)
    expect(kinds.filter((kind) => kind === 'suspend' || kind === 'resume')).toEqual(['suspend', 'resume'])
  })

  test('without end, when the ballast is used up, is a failure like any other', () => {
    const directory = newDirectory()
    const { lines } = suffer(
      { file: 'book.db-wal', call: 'pwrite64', inject: 'error=ENOSPC', when: '17+' },
      directory,
    )
    expect(lines.filter((line) => line.startsWith('state '))).toEqual(['state suspended'])
    expect(lines.find((line) => line.startsWith('failed '))).toContain('full')
    checkAfter(directory, lines)
  })
})
