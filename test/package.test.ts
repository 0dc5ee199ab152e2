import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBook } from '../src/book/create.ts'
import { consoleFolder, readStatic } from '../src/http/static.ts'

/** Compressed, without the player and the verifier, which are loaded when they are needed. */
const FIRST_LOAD_BYTES_MAX = 150_000

const root = resolve(import.meta.dirname, '..')
let folder: string
let program: string

/** Builds in a copy, so that a run of the tests leaves the checkout as it was. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gb-package-'))
  const copy = join(folder, 'copy')
  for (const name of [
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'src',
    'protocols',
    'config.example.yaml',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'SECURITY.md',
  ]) {
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  const built = spawnSync('tsc', ['-p', 'src/tsconfig.json'], { cwd: copy, encoding: 'utf8' })
  expect([built.status, built.stdout]).toEqual([0, ''])
  const page = spawnSync('node', ['src/build-console.ts'], { cwd: copy, encoding: 'utf8' })
  expect([page.status, page.stdout]).toEqual([0, ''])
  const packed = spawnSync('npm', ['pack', '--ignore-scripts', '--silent'], { cwd: copy, encoding: 'utf8' })
  const tarball = packed.stdout.trim()
  const empty = join(folder, 'empty')
  mkdirSync(empty)
  expect(spawnSync('tar', ['-xzf', join(copy, tarball), '-C', empty]).status).toBe(0)
  rmSync(copy, { recursive: true })
  // What `npm install` of the tarball would bring, without asking a registry.
  symlinkSync(join(root, 'node_modules'), join(empty, 'node_modules'))
  program = join(empty, 'package', 'dist', 'src', 'main.js')
}, 120_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function gatebook(...args: string[]) {
  const cwd = join(folder, 'empty')
  const { status, stdout, stderr } = spawnSync('node', [program, ...args], { cwd, encoding: 'utf8' })
  return { status, stdout, stderr }
}

describe('the packed tarball, in an empty folder', () => {
  test('tells the release of package.json', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    expect(gatebook('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' })
  })

  test('verifies a book with its public key', () => {
    const directory = join(folder, 'book')
    const key = createBook({ directory, origin: 'packed/book', journalBytes: 1 << 20, ballastBytes: 4096 })
    const verified = gatebook('verify', '--data', directory, '--key', key)
    expect([verified.status, verified.stderr]).toEqual([0, ''])
    expect(verified.stdout).toContain('packed/book')
    expect(
      gatebook('verify', '--data', directory, '--key', key.replace('packed', 'another')).status,
    ).not.toBe(0)
  })

  test('brings the console, whose first page is small and holds no script of its own', () => {
    const built = join(folder, 'empty', 'package', 'dist', 'console')
    const page = readFileSync(join(built, 'index.html'), 'utf8')
    expect(page).not.toMatch(/<script(?![^>]*\ssrc=)|\son\w+=|javascript:/)
    const loaded = [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map(([, name = '']) => name)
    expect(loaded.length).toBeGreaterThanOrEqual(3)
    const bytes = loaded.reduce((sum, name) => sum + gzipSync(readFileSync(join(built, name))).length, 0)
    expect(bytes + gzipSync(page).length).toBeLessThan(FIRST_LOAD_BYTES_MAX)
    // Where the compiled program looks for it.
    expect(consoleFolder(join(folder, 'empty', 'package', 'dist', 'src', 'http'))).toBe(built)
    expect(readStatic(built).get('index.html')?.type).toContain('text/html')
  })

  test('holds what runs and what explains it, and no source, test or stray file', () => {
    const files = readdirSync(join(folder, 'empty', 'package'), { recursive: true, encoding: 'utf8' })
    const odd = files.filter((file) => !/^dist(\/|$)/.test(file))
    expect(odd.sort()).toEqual(
      ['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'config.example.yaml', 'package.json'].sort(),
    )
    expect(files.filter((file) => /\.tsx?$|\/\./.test(file))).toEqual([])
  })
})
