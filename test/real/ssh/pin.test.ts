/** The first meeting with a host, by the operator's word, and what `gatebook doctor` says of one. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { fingerprint, parseKeyLine } from '../../../protocols/ssh/index.ts'
import { type Outcome, run } from '../../support/ssh-clients.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

const main = resolve(import.meta.dirname, '../../../src/main.ts')

let sshd: Sshd
let folder: string

beforeAll(async () => {
  sshd = await startSshd()
})

afterAll(() => sshd.stop())

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatebook-pin-'))
  writeFileSync(join(folder, 'web.key'), sshd.privateKey, { mode: 0o600 })
  const config = `version: 1
gateway: { name: gw, data_dir: data, tls: { cert: a, key: b } }
listeners: {}
targets:
  web:
    type: ssh
    address: "127.0.0.1:${sshd.port}"
    known_hosts: known_hosts
    credentials: { user: ${sshd.user}, private_key: "file:web.key" }
recording: { encryption: { key: "file:kek" } }
integrity: { signing_key: key }
`
  writeFileSync(join(folder, 'gatebook.yaml'), config)
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

function gatebook(args: readonly string[], input = ''): Promise<Outcome> {
  return run('node', [main, ...args, '--config', join(folder, 'gatebook.yaml')], { input })
}

const known = () => join(folder, 'known_hosts')
const print = () => fingerprint(parseKeyLine(sshd.hostKey).blob)

test('a host is unknown until its key is pinned by the operator’s word, and is known then', async () => {
  expect(await gatebook(['doctor'])).toMatchObject({ code: 1 })
  const unknown = (await gatebook(['doctor'])).out.toString()
  expect(unknown).toBe('BAD  web  no key of this host is pinned: gatebook pin web\n')

  const hesitant = await gatebook(['pin', 'web'], 'no\n')
  expect([hesitant.code, hesitant.out.toString()]).toEqual([1, expect.stringContaining(print())])
  expect(existsSync(known())).toBe(false)

  expect(await gatebook(['pin', 'web'], 'yes\n')).toMatchObject({ code: 0 })
  expect(readFileSync(known(), 'utf8')).toBe(
    `[127.0.0.1]:${sshd.port} ${sshd.hostKey.split(' ').slice(0, 2).join(' ')}\n`,
  )
  expect((await gatebook(['doctor'])).out.toString()).toBe(
    `ok   web  reached as ${sshd.user}; its key is the pinned one\n`,
  )
  expect((await gatebook(['pin', 'web'])).out.toString()).toContain('It is pinned already.')
})

test('a key is pinned without a question when it is the expected one, and never when it is another', async () => {
  const other = `SHA256:${'A'.repeat(43)}`
  expect(await gatebook(['pin', 'web', '--expect', other])).toMatchObject({ code: 1 })
  expect(existsSync(known())).toBe(false)
  expect(await gatebook(['pin', 'web', '--expect', print()])).toMatchObject({ code: 0 })
})

test('a host that shows another key than the pinned one is refused, and its line is not replaced', async () => {
  const line = `[127.0.0.1]:${sshd.port} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBPyQ0oAAd3vZxYFgd8Sl8gjmbRp4SxWYWzpSTGyAkPP\n`
  writeFileSync(known(), line)
  const doctor = await gatebook(['doctor'])
  expect([doctor.code, doctor.out.toString()]).toEqual([
    1,
    expect.stringContaining('a key that is not pinned'),
  ])
  const pinned = await gatebook(['pin', 'web'], 'yes\n')
  expect([pinned.code, pinned.err]).toEqual([1, expect.stringContaining('holds ANOTHER key of it')])
  expect(readFileSync(known(), 'utf8')).toBe(line)
})

test('a host behind another is reached through it, whatever is wrong with others', async () => {
  const config = join(folder, 'gatebook.yaml')
  const address = `address: "127.0.0.1:${sshd.port}", known_hosts: known_hosts`
  const credentials = (key: string) => `credentials: { user: ${sshd.user}, private_key: "file:${key}" }`
  writeFileSync(
    config,
    readFileSync(config, 'utf8').replace(
      'targets:\n',
      `targets:
  behind: { type: ssh, ${address}, jump: web, ${credentials('web.key')} }
  broken: { type: ssh, ${address}, ${credentials('missing.key')} }
`,
    ),
  )
  expect(await gatebook(['pin', 'web', '--expect', print()])).toMatchObject({ code: 0 })
  const { code, out } = await gatebook(['doctor'])
  expect([code, out.toString().split('\n').slice(0, -1)]).toEqual([
    1,
    [
      `ok   behind  reached as ${sshd.user}, through 1 other; its key is the pinned one`,
      expect.stringMatching(/^BAD {2}broken {2}targets\.broken: reading the secret file:.*missing\.key: /),
      `ok   web  reached as ${sshd.user}; its key is the pinned one`,
    ],
  ])
})
