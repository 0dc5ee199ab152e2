import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Accounts } from '../../../src/access/accounts.ts'
import { check } from '../../../src/cli/check.ts'
import { type InitOptions, init, vkeyOf } from '../../../src/cli/init.ts'
import { readConfig } from '../../../src/config/read.ts'
import { decodeKey, readSecret } from '../../../src/system/secret.ts'
import { temporaryFolder } from '../../support/access.ts'
import { TestClock } from '../../support/clock.ts'
import { captureIo } from '../../support/io.ts'

async function run(changes: Partial<InitOptions> = {}) {
  const folder = join(temporaryFolder(), 'gw')
  const { io, out, err } = captureIo()
  const clock = new TestClock(Date.now())
  const options = { folder, name: 'gw1.example', hosts: ['gw.example.com'], user: 'alice', clock, ...changes }
  return { code: await init(options, io), folder, out, err, clock }
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
      '600 keys/book.key',
      '600 keys/ca.key',
      '600 keys/kek',
      '600 keys/ssh_host_ed25519_key',
      '600 keys/tls.crt',
      '600 keys/tls.key',
      '700 data/',
      '700 data/control/',
      '700 keys/',
    ])
    expect(readdirSync(join(folder, '..'))).toEqual(['gw'])
  })

  test('is sound by its own check, and holds what its configuration names', async () => {
    const { folder } = await run()
    expect(await check({ file: join(folder, 'config.yaml'), format: 'text' }, captureIo().io)).toBe(0)
    const loaded = await readConfig(join(folder, 'config.yaml'))
    if (loaded.type === 'faults') throw new Error('it is not')
    const { gateway, recording, integrity, listeners } = loaded.config
    const kek = await readSecret(recording.encryption.key, {})
    expect(decodeKey(kek, 'the KEK')).toHaveLength(32)
    const ssh = listeners.get('ssh')
    const hostKey = ssh?.type === 'ssh' ? await readSecret(ssh.host_key, {}) : undefined
    expect(createPrivateKey(hostKey?.text() ?? '').asymmetricKeyType).toBe('ed25519')
    expect([gateway.tls.cert, gateway.tls.key, gateway.data_dir].map(existsSync)).toEqual([true, true, true])

    const signing = createPublicKey(readFileSync(integrity.signing_key))
    expect(readFileSync(join(folder, 'book.vkey'), 'utf8')).toBe(`${vkeyOf('gw1.example/book', signing)}\n`)
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
    const secrets = ['keys/book.key', 'keys/ca.key', 'keys/kek', 'keys/ssh_host_ed25519_key', 'keys/tls.key']
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
    expect([code, err()]).toEqual([
      2,
      `gatebook: ${folder} exists already: an installation is never written over\n`,
    ])
    expect(readdirSync(join(folder, '..'))).toEqual(['gw'])
  })

  test('a failure half-way', async () => {
    const prepare = () => Promise.reject(new Error('disk full'))
    const { code, folder, err } = await run({ prepare })
    expect([code, err()]).toEqual([1, `gatebook: creating ${folder}: disk full\n`])
    expect(readdirSync(join(folder, '..'))).toEqual([])
  })

  test('a name that no book can have', async () => {
    const { code, folder, err } = await run({ name: 'gw + one' })
    expect(code).toBe(2)
    expect(err()).toMatch(
      /^gatebook: config\.yaml:4:9 {2}gateway\.name {2}expected a name .*, found "gw \+ one"\n$/,
    )
    expect(readdirSync(join(folder, '..'))).toEqual([])
  })
})

test('a key is written as C2SP writes it', () => {
  const key: KeyObject = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.alloc(32, 3).toString('base64url') },
    format: 'jwk',
  })
  // sha256("example.com/book\n" || 0x01 || 32 times 0x03) begins with this id.
  const id = vkeyOf('example.com/book', key).split('+')[1]
  expect(vkeyOf('example.com/book', key)).toBe(
    `example.com/book+${id}+AQMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD`,
  )
  expect(id).toMatch(/^[0-9a-f]{8}$/)
  expect(vkeyOf('other.example/book', key)).not.toContain(`${id}`)
  expect(vkeyOf('a/book', generateKeyPairSync('ed25519').publicKey)).toMatch(
    /^a\/book\+[0-9a-f]{8}\+AQ?[A-Za-z0-9+/]{42,}=*$/,
  )
})
