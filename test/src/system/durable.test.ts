import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  isDiskFull,
  overwrite,
  PlacedFile,
  preallocate,
  removeFileDurably,
  removeFileLater,
  writeFileDurably,
  writeFileLater,
} from '../../../src/system/durable.ts'
import { runChild } from '../../support/processes.ts'
import { temporaryFolder } from '../../support/recorder.ts'

/** The system calls of a step, in short: name and file. */
function traced(): Map<string, string[]> {
  const folder = temporaryFolder()
  const log = join(temporaryFolder(), 'strace')
  const calls = 'trace=openat,write,pwrite64,fsync,fdatasync,rename,unlink,rmdir'
  runChild('durable', [folder], ['strace', '-f', '-y', '-e', calls, '-o', log])
  const steps = new Map<string, string[]>()
  let step: string[] | undefined
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    const mark = /write\(1<[^>]*>, "(begin|end) (\w+)/.exec(line)
    if (mark !== null) {
      step = mark[1] === 'begin' ? [] : undefined
      if (step !== undefined) steps.set(mark[2] ?? '', step)
    } else if (step !== undefined && line.includes(folder) && !line.includes(' resumed>')) {
      const name = /(\w+)\(/.exec(line)?.[1] ?? ''
      const files = [...line.matchAll(new RegExp(`${folder}(?:/(\\w+(?:\\.tmp)?))?`, 'g'))].map(
        ([, file]) => file ?? '.',
      )
      if (name !== 'openat') step.push([name, ...new Set(files)].join(' '))
    }
  }
  return steps
}

test('each file is synced before it takes its place, and its folder after', () => {
  expect(Object.fromEntries(traced())).toEqual({
    write: ['pwrite64 written.tmp', 'fsync written.tmp', 'rename written.tmp written', 'fsync .'],
    writeLater: ['write later.tmp', 'fsync later.tmp', 'rename later.tmp later', 'fsync .'],
    preallocate: ['pwrite64 placed', 'fsync placed', 'fsync .'],
    place: ['pwrite64 placed', 'fdatasync placed'],
    overwrite: ['pwrite64 placed', 'fsync placed'],
    remove: ['unlink written', 'fsync .'],
    removeLater: ['unlink later', 'fsync .'],
  })
})

describe('a file', () => {
  test('is replaced as a whole, with its mode, and leaves no draft', async () => {
    const folder = temporaryFolder()
    const [a, b] = [join(folder, 'a'), join(folder, 'b')]
    writeFileDurably(a, 'first')
    writeFileDurably(a, Buffer.from('second'))
    writeFileDurably(b, 'public', 0o644)
    await writeFileLater(join(folder, 'c'), 'third')
    expect([readFileSync(a, 'utf8'), (statSync(a).mode & 0o777).toString(8)]).toEqual(['second', '600'])
    expect((statSync(b).mode & 0o777).toString(8)).toBe('644')
    expect([
      readFileSync(join(folder, 'c'), 'utf8'),
      (statSync(join(folder, 'c')).mode & 0o777).toString(8),
    ]).toEqual(['third', '600'])
    expect(readdirSync(folder).sort()).toEqual(['a', 'b', 'c'])
    removeFileDurably(a)
    await removeFileLater(b)
    await removeFileLater(b)
    expect(existsSync(a) || existsSync(b)).toBe(false)
  })

  test('whose draft a crash left is written all the same', () => {
    const path = join(temporaryFolder(), 'a')
    writeFileSync(`${path}.tmp`, 'much longer than what is to be written')
    writeFileDurably(path, 'short')
    expect(readFileSync(path, 'utf8')).toBe('short')
  })
})

describe('a file with its place', () => {
  test('has all of its bytes, filled as asked, and is made only where none is', () => {
    const path = join(temporaryFolder(), 'a')
    const size = (2 << 20) + 77
    preallocate(path, size, (piece) => piece.fill(7))
    const bytes = readFileSync(path)
    expect([bytes.length, bytes.every((byte) => byte === 7)]).toEqual([size, true])
    expect(() => preallocate(path, 1)).toThrow('EEXIST')
    overwrite(path)
    const zeros = readFileSync(path)
    expect([zeros.length, zeros.every((byte) => byte === 0)]).toEqual([size, true])
  })

  test('is written and read where it is said, and no further', async () => {
    const path = join(temporaryFolder(), 'a')
    preallocate(path, 1024)
    using file = new PlacedFile(path)
    expect(file.size).toBe(1024)
    file.write(Buffer.from('here'), 500)
    const into = Buffer.alloc(6)
    file.read(into, 499)
    expect(into.toString()).toBe('\0here\0')
    expect(() => file.read(into, 1020)).toThrow('short read: 4 of 6 bytes at 1020')
    expect(await new Promise((resolve) => file.sync(resolve))).toBeNull()
    expect(() => new PlacedFile(join(path, 'nowhere'))).toThrow('ENOTDIR')
  })
})

test('a full disk is known by its error, whoever it belongs to', () => {
  const error = (code: string): Error => Object.assign(new Error(code), { code })
  expect(['ENOSPC', 'EDQUOT', 'EIO', 'EFBIG'].map((code) => isDiskFull(error(code)))).toEqual([
    true,
    true,
    false,
    false,
  ])
  expect([isDiskFull(new Error('x')), isDiskFull('ENOSPC')]).toEqual([false, false])
})
