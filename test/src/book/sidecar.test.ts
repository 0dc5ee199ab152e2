import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Sidecar } from '../../../src/book/sidecar.ts'
import { temporaryFolder } from '../../support/recorder.ts'

test('holds the newest head it was offered, at most once a second', () => {
  const folder = temporaryFolder()
  const path = join(folder, 'head.note')
  const sidecar = new Sidecar(path)
  expect(sidecar.read()).toBeUndefined()
  const at = (ms: number, note: string): string => {
    sidecar.offer(note, ms)
    return readFileSync(path, 'utf8')
  }
  expect(at(5000, 'a')).toBe('a')
  expect(at(5999, 'b')).toBe('a')
  expect(at(6000, 'c')).toBe('c')
  expect(sidecar.read()).toBe('c')
  sidecar.write('d')
  expect(readFileSync(path, 'utf8'), 'at once, when it must be').toBe('d')
  expect(readdirSync(folder), 'and nothing half-written beside it').toEqual(['head.note'])
})

test('is written although the clock was set back', () => {
  const sidecar = new Sidecar(join(temporaryFolder(), 'head.note'))
  sidecar.offer('a', 3_600_000)
  sidecar.offer('b', 1000)
  expect(sidecar.read()).toBe('b')
})
