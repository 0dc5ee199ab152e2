/** Other clients than OpenSSH's: other algorithms, another order of requests. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { TestGateway } from '../../support/gateway.ts'
import type { SshBook } from '../../support/ssh-book.ts'
import { type RunOptions, run, sha256 } from '../../support/ssh-clients.ts'
import { closedBook, hostKeyPrint, personKey, startSshGateway } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

const MIB = 1024 * 1024
const remote = 'alice@127.0.0.1'

let sshd: Sshd
let gateway: TestGateway

beforeAll(async () => {
  sshd = await startSshd()
  personKey(sshd, 'alice')
})

beforeEach(async () => {
  gateway = await startSshGateway(sshd)
})

afterEach(() => gateway[Symbol.asyncDispose]())

afterAll(() => sshd.stop())

const key = () => join(sshd.folder, 'alice')
const metas = (book: SshBook): string => book.operations.map(({ meta }) => JSON.stringify(meta)).join('\n')

const ppk = () => join(sshd.folder, 'user.ppk')
beforeAll(() => {
  spawnSync('puttygen', [key(), '-O', 'private', '-o', ppk()])
  spawnSync('dropbearconvert', ['openssh', 'dropbear', key(), `${key()}.dropbear`])
  writeFileSync(join(sshd.folder, 'for-putty'), randomBytes(3 * MIB))
})

test.each([
  ['its own choice', []],
  ['chacha20', ['-c', 'chacha20-poly1305@openssh.com']],
  ['CTR with a plain MAC', ['-c', 'aes128-ctr', '-m', 'hmac-sha2-256']],
])('dbclient, with %s', async (_, flags) => {
  const input = randomBytes(2 * MIB)
  const args = [
    '-y',
    '-y',
    '-q',
    '-i',
    `${key()}.dropbear`,
    '-p',
    String(gateway.port('ssh')),
    ...flags,
    remote,
  ]
  const { code, out, err } = await run('dbclient', [...args, 'cat; echo done >&2; exit 7'], {
    input,
    env: { HOME: sshd.folder },
  })
  expect([code, sha256(out), err]).toEqual([7, sha256(input), expect.stringContaining('done')])
})

const putty = (program: string, args: readonly string[], options: RunOptions = {}) => {
  const flags = [
    '-batch',
    '-hostkey',
    hostKeyPrint('ssh_ed25519.key'),
    '-i',
    ppk(),
    '-P',
    String(gateway.port('ssh')),
  ]
  return run(program, [...flags, ...args], { ...options, env: { HOME: sshd.folder } })
}

test('plink, with data both ways and a status', async () => {
  const input = randomBytes(2 * MIB)
  const { code, out, err } = await putty('plink', [remote, 'cat; echo done >&2; exit 7'], { input })
  expect([code, sha256(out), err]).toEqual([7, sha256(input), 'done\n'])
})

test('pscp', async () => {
  const place = join(sshd.folder, 'by-pscp')
  const source = join(sshd.folder, 'for-putty')
  expect(await putty('pscp', ['-q', source, `${remote}:${place}`])).toMatchObject({ code: 0, err: '' })
  expect(sha256(readFileSync(place))).toBe(sha256(readFileSync(source)))
  expect(metas(await closedBook(gateway))).toContain(sha256(readFileSync(source)))
})

test('psftp', async () => {
  const batch = join(sshd.folder, 'psftp-batch')
  const place = join(sshd.folder, 'by-psftp')
  writeFileSync(batch, `get ${join(sshd.folder, 'for-putty')} ${place}\nls ${sshd.folder}\n`)
  const { code, out } = await putty('psftp', ['-b', batch, remote])
  expect([code, out.toString()]).toEqual([0, expect.stringContaining('by-psftp')])
  expect(metas(await closedBook(gateway))).toContain(sha256(readFileSync(place)))
})
