import { chmodSync, mkdtempSync, readdirSync, rmdirSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startEmbeddedPostgres } from '../../../../src/cli/demo/postgres.ts'

/** A temporary directory of our own, so that what is left in it is what these tests have left. */
let folder: string
const before = process.env['TMPDIR']

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatebook-test-'))
  chmodSync(folder, 0o755)
  process.env['TMPDIR'] = folder
})

afterAll(() => {
  if (before === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = before
  rmdirSync(folder)
})

function reachable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

test('a server that is disposed of leaves nothing behind', { timeout: 60_000 }, async () => {
  const server = await startEmbeddedPostgres('secret')
  expect(await reachable(server.port)).toBe(true)
  expect(readdirSync(folder)).toHaveLength(1)
  await server[Symbol.asyncDispose]()
  expect(await reachable(server.port)).toBe(false)
  expect(readdirSync(folder)).toEqual([])
})

test('a server that does not start says why, and leaves nothing behind either', {
  timeout: 60_000,
}, async () => {
  await expect(startEmbeddedPostgres('secret', { shared_buffers: 'nonsense' })).rejects.toThrow(
    'invalid value for parameter "shared_buffers": "nonsense"',
  )
  expect(readdirSync(folder)).toEqual([])
})

test('where its package is missing, as in an installed gatebook, whoever wants it is told where it is', async () => {
  const { arch } = process
  onTestFinished(() => void Object.defineProperty(process, 'arch', { value: arch }))
  Object.defineProperty(process, 'arch', { value: 'none' })
  await expect(startEmbeddedPostgres('secret')).rejects.toThrow(
    /-none, is not installed here\n {2}next: git clone/,
  )
  expect(readdirSync(folder)).toEqual([])
})
