import { createPrivateKey } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Accounts } from '../../../src/access/accounts.ts'
import { formatVkey, makeSigner } from '../../../src/book/checkpoint.ts'
import { openBook } from '../../../src/book/open.ts'
import { check } from '../../../src/cli/check.ts'
import { type InitOptions, init } from '../../../src/cli/init.ts'
import { readConfig } from '../../../src/config/read.ts'
import { decodeKey, readSecret } from '../../../src/system/secret.ts'
import { temporaryFolder } from '../../support/access.ts'
import { TestClock } from '../../support/clock.ts'
import { captureIo, exitOf } from '../../support/io.ts'

const sizes = { journalBytes: 1 << 20, ballastBytes: 4096 }

async function run(changes: Partial<InitOptions> = {}) {
  const folder = join(temporaryFolder(), 'gw')
  const { io, out, err } = captureIo()
  const clock = new TestClock(Date.now())
  const options = {
    folder,
    name: 'gw1.example',
    hosts: ['gw.example.com'],
    user: 'alice',
    clock,
    sizes,
    ...changes,
  }
  return { code: await exitOf(init(options, io), io), folder, out, err, clock }
}

function entries(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name)
      return `${(statSync(path).mode & 0o777).toString(8)} ${relative(folder, path)}${entry.isDirectory() ? '/' : ''}`
    })
    .sort()
}

describe('a new installation', () => {
  test('is there whole, readable by its owner alone', async () => {
    const { code, folder } = await run()
    expect(code).toBe(0)
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(entries(folder)).toEqual([
      '600 book.vkey',
      '600 ca.crt',
      '600 config.yaml',
      '600 data/accounts.db',
      '600 data/ballast',
      '600 data/book.db',
      '600 data/book.lock',
      '600 data/head.note',
      '600 data/journal/1',
      '600 data/keys.db',
      '600 keys/book.key',
      '600 keys/ca.key',
      '600 keys/kek',
      '600 keys/ssh_host_ed25519.key',
      '600 keys/tls.crt',
      '600 keys/tls.key',
      '600 ssh_host.pub',
      '644 data/book.vkey',
      '700 data/',
      '700 data/journal/',
      '700 keys/',
    ])
    expect(readdirSync(join(folder, '..'))).toEqual(['gw'])
  })

  test('is sound by its own check, and holds what its configuration names', async () => {
    const { folder } = await run()
    expect(await check({ file: join(folder, 'config.yaml'), format: 'text' }, captureIo().io)).toBe(0)
    const loaded = await readConfig(join(folder, 'config.yaml'))
    if (loaded.type === 'faults') throw new Error('it is not')
    const { gateway, recording, integrity } = loaded.config
    const kek = await readSecret(recording.encryption.key, {})
    expect(decodeKey(kek, 'the KEK')).toHaveLength(32)
    expect([gateway.tls.cert, gateway.tls.key, gateway.data_dir].map(existsSync)).toEqual([true, true, true])

    using book = openBook(gateway.data_dir, integrity.signing_key)
    const signer = makeSigner('gw1.example/book', createPrivateKey(readFileSync(integrity.signing_key)))
    expect([book.origin, formatVkey(book.signer.vkey)]).toEqual(['gw1.example/book', formatVkey(signer.vkey)])
    expect(readFileSync(join(folder, 'book.vkey'), 'utf8')).toBe(`${formatVkey(signer.vkey)}\n`)
  })

  test('tells its key, a token that works, and what comes next', async () => {
    const { folder, out, clock } = await run()
    const text = out()
    expect(text).toContain(readFileSync(join(folder, 'book.vkey'), 'utf8').trim())
    expect(text).toContain(`gatebook check ${folder}/config.yaml`)
    expect(text).toMatch(/ {2}gatebook_[a-z2-7]{32}\n/)
    using accounts = Accounts.open(join(folder, 'data/accounts.db'), { clock })
    expect(accounts.tokens().map(({ user, expires }) => [user, expires])).toEqual([
      ['alice', clock.now() + 30 * 86_400_000],
    ])
    expect(accounts.pendingActs()).toHaveLength(1)
  })

  test('shares no secret with another', async () => {
    const [a, b] = [await run(), await run()]
    const secrets = ['keys/book.key', 'keys/ca.key', 'keys/kek', 'keys/tls.key']
    const same = secrets.filter((file) =>
      readFileSync(join(a.folder, file)).equals(readFileSync(join(b.folder, file))),
    )
    expect(same).toEqual([])
  })
})

describe('what cannot be done leaves nothing behind', () => {
  test.each([
    ['a file', (path: string) => writeFileSync(path, 'x')],
    ['an empty folder', (path: string) => mkdirSync(path)],
  ])('%s that exists already is not written over', async (_, make) => {
    const folder = join(temporaryFolder(), 'gw')
    make(folder)
    const { code, err } = await run({ folder })
    expect([code, err()]).toEqual([2, `${folder} exists already: an installation is never written over\n`])
    expect(readdirSync(join(folder, '..'))).toEqual(['gw'])
  })

  test('a failure half-way', async () => {
    const failing = {
      ballastBytes: 4096,
      get journalBytes(): number {
        throw new Error('disk full')
      },
    }
    const { code, folder, err } = await run({ sizes: failing })
    expect([code, err()]).toEqual([1, `creating ${folder}: disk full\n`])
    expect(readdirSync(join(folder, '..'))).toEqual([])
  })

  test('a name that no book can have', async () => {
    const { code, folder, err } = await run({ name: 'gw + one' })
    expect(code).toBe(2)
    expect(err()).toMatch(/^config\.yaml:4:9 {2}gateway\.name {2}expected a name .*, found "gw \+ one"\n$/)
    expect(readdirSync(join(folder, '..'))).toEqual([])
  })
})
