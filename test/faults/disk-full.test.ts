import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createBook } from '../../src/book/create.ts'
import { ORIGIN } from '../support/books.ts'
import { checkBook } from '../support/check-book.ts'
import { runChild } from '../support/processes.ts'
import { brokenPromises } from '../support/promises.ts'
import { startBookkeeper, temporaryFolder } from '../support/recorder.ts'

function newDirectory(under: string, journalBytes: number, ballastBytes: number): string {
  const directory = join(under, 'data')
  createBook({ directory, origin: ORIGIN, journalBytes, ballastBytes })
  return directory
}

/** A disk of 48 MiB, in memory. */
function smallDisk(): string {
  const folder = join(temporaryFolder(), 'disk')
  mkdirSync(folder)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'gatebook-test', folder])
  onTestFinished(() => void execFileSync('umount', [folder]))
  return folder
}

const kindsOf = (directory: string): string[] => checkBook(directory).leaves.map(({ kind }) => kind)

// Whoever may not mount has the same from injected errors (syscalls.test.ts) and from a limit, below.
describe.runIf(process.getuid?.() === 0)('on a disk that runs full', () => {
  // Larger texts fill the log until its index needs room, too.
  test.each([20_000, 900_000])(
    'with texts of %d bytes, what runs is closed, new work waits for room',
    (bytes) => {
      const disk = smallDisk()
      const directory = newDirectory(disk, 8 << 20, 8 << 20)
      const { stdout, stderr } = runChild('full', [directory, join(disk, 'filler'), `${bytes}`])
      const lines = stdout.trim().split('\n')
      expect(stderr).toBe('')
      expect(lines.filter((line) => !/^[EX] /.test(line))).toEqual([
        'state suspended',
        'ballast false',
        "refused RecorderClosedError: the book's disk is nearly full",
        'state open',
        `ballast ${8 << 20}`,
        'stopped',
      ])
      const { leaves } = checkBook(directory, { closed: true })
      expect(brokenPromises(lines, leaves, 'process')).toEqual([])
      const kinds = leaves.map(({ kind }) => kind)
      expect(kinds.filter((kind) => kind === 'suspend' || kind === 'resume')).toEqual(['suspend', 'resume'])
      expect(leaves.filter(({ why }) => why === 'limit')).toHaveLength(2)
    },
  )
})

test('where a file may not grow, the store fails, says so and has kept its promises', () => {
  const directory = newDirectory(temporaryFolder(), 256 << 10, 4096)
  const { stdout, stderr } = runChild('load', [directory, '5', '100000'], ['prlimit', `--fsize=${1 << 20}`])
  const lines = stdout.split('\n')
  expect(stderr).toBe('')
  expect(lines.find((line) => line.startsWith('failed '))).toBe('failed disk I/O error')
  expect(lines.find((line) => line.startsWith('refused '))).toContain('the book cannot be written')
  const book = startBookkeeper(directory)
  book.settle()
  expect(brokenPromises(lines, checkBook(directory, { closed: true }).leaves, 'process')).toEqual([])
  book.stop()
  expect(kindsOf(directory)).toContain('op')
})
