/** Tools that sit on SSH and expect a host behind it: Ansible, a mounted folder, a hundred people at once, much data. */
import { createHash, randomBytes } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { TestGateway } from '../../support/gateway.ts'
import { background, run } from '../../support/ssh-clients.ts'
import { closedBook, gatewayOptions, sshThrough, startSshGateway } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

const MIB = 1024 * 1024
/** `npm run soak` asks for a whole gibibyte. */
const BULK_BYTES = Number(process.env['GATEBOOK_BULK_MIB'] ?? 96) * MIB
const AT_ONCE = 100

let sshd: Sshd
let gateway: TestGateway

beforeAll(async () => {
  sshd = await startSshd(['MaxStartups 500', 'MaxSessions 500'])
})

beforeEach(async () => {
  gateway = await startSshGateway(sshd)
})

afterEach(() => gateway[Symbol.asyncDispose]())

afterAll(() => sshd.stop())

const place = (name: string) => join(sshd.folder, name)

test('Ansible: ping, copy, template, and a command with pipelining', async () => {
  writeFileSync(
    place('hosts'),
    `web ansible_host=127.0.0.1 ansible_port=${gateway.port('ssh')} ansible_user=alice\n`,
  )
  writeFileSync(place('greeting.j2'), 'hello {{ name }}\n')
  const playbook = [
    '- hosts: web',
    '  gather_facts: false',
    '  vars: { name: gatebook, ansible_python_interpreter: /usr/bin/python3 }',
    '  tasks:',
    '    - ping:',
    `    - copy: { content: "copied", dest: ${place('by-copy')} }`,
    `    - template: { src: ${place('greeting.j2')}, dest: ${place('by-template')} }`,
    '    - command: "true"',
    '      vars: { ansible_pipelining: true }',
  ]
  writeFileSync(place('play.yaml'), `${playbook.join('\n')}\n`)
  const env = {
    ANSIBLE_HOST_KEY_CHECKING: 'False',
    ANSIBLE_PRIVATE_KEY_FILE: place('alice'),
    ANSIBLE_LOCAL_TEMP: place('ansible'),
    ANSIBLE_SSH_CONTROL_PATH_DIR: place('cp'),
    ANSIBLE_HOME: place('ansible-home'),
    ANSIBLE_NOCOLOR: '1',
    LC_ALL: 'C.UTF-8',
    HOME: sshd.folder,
  }
  const { code, out, err } = await run('ansible-playbook', ['-i', place('hosts'), place('play.yaml')], {
    env,
    timeoutMs: 100_000,
  })
  expect(code, `${out}${err}`).toBe(0)
  expect(out.toString()).toMatch(/ok=4 +changed=3/)
  expect(readFileSync(place('by-copy'), 'utf8')).toBe('copied')
  expect(readFileSync(place('by-template'), 'utf8')).toBe('hello gatebook\n')
  // The master of its connections outlives it, for the next run.
  for (const name of readdirSync(place('cp'))) {
    await run('ssh', ['-F', 'none', '-S', join(place('cp'), name), '-O', 'exit', 'web'])
  }
  const { operations } = await closedBook(gateway)
  expect(operations.filter(({ act }) => act === 'ssh.exec').length).toBeGreaterThan(5)
}, 120_000)

test('sshfs: a folder of the host’s, mounted', async () => {
  expect(existsSync('/dev/fuse'), 'sshfs needs /dev/fuse').toBe(true)
  mkdirSync(place('there'))
  mkdirSync(place('here'))
  writeFileSync(place('there/file'), 'content\n')
  const ssh = gatewayOptions(sshd, gateway).filter((word) => word !== '-F' && word !== 'none')
  const flags = ssh.flatMap((word, i) => (word === '-o' ? ['-o', ssh[i + 1] ?? ''] : []))
  const mounted = background('sshfs', [
    '-f',
    ...flags,
    '-o',
    `IdentityFile=${place('alice')}`,
    `alice@127.0.0.1:${place('there')}`,
    place('here'),
  ])
  // Never by a call that blocks: what is mounted is served by this very process.
  const shell = (command: string) => run('sh', ['-c', command])
  try {
    await shell(`until test -e ${place('here/file')}; do sleep 0.1; done`)
    expect((await shell(`cat ${place('here/file')}`)).out.toString()).toBe('content\n')
    expect(await shell(`head -c 200000 /dev/zero > ${place('here/new')}`)).toMatchObject({ code: 0 })
    expect(statSync(place('there/new')).size).toBe(200_000)
  } finally {
    await run('fusermount3', ['-u', place('here')])
    await mounted.stop()
  }
  const { operations } = await closedBook(gateway)
  expect(operations.map(({ act, texts }) => `${act} ${texts['path']}`)).toContain(
    `sftp.open ${place('there/new')}`,
  )
})

test(`${AT_ONCE} sessions at once, each with what is its own`, async () => {
  const outcomes = await Promise.all(
    Array.from({ length: AT_ONCE }, (_, i) =>
      sshThrough(sshd, gateway, [`cat; exit ${i % 100}`], {
        login: 'alice',
        input: `person ${i}\n`,
        timeoutMs: 100_000,
      }),
    ),
  )
  expect(outcomes.map(({ code, out }) => [code, out.toString()])).toEqual(
    Array.from({ length: AT_ONCE }, (_, i) => [i % 100, `person ${i}\n`]),
  )
  const { operations } = await closedBook(gateway)
  expect(operations).toHaveLength(AT_ONCE)
  expect(new Set(operations.map(({ sid }) => sid)).size).toBe(AT_ONCE)
}, 120_000)

test(`${BULK_BYTES / MIB} MiB each way, intact`, async () => {
  const source = createHash('sha256')
  const file = openSync(place('bulk'), 'w')
  for (let at = 0; at < BULK_BYTES; at += MIB) {
    const piece = randomBytes(MIB)
    source.update(piece)
    writeSync(file, piece)
  }
  closeSync(file)
  const wanted = source.digest('hex')
  const flags = ['-q', ...gatewayOptions(sshd, gateway)]
  const copy = (from: string, to: string) => run('scp', [...flags, from, to], { timeoutMs: 500_000 })
  expect(await copy(place('bulk'), `alice@127.0.0.1:${place('bulk-up')}`)).toMatchObject({ code: 0, err: '' })
  expect(await copy(`alice@127.0.0.1:${place('bulk-up')}`, place('bulk-down'))).toMatchObject({
    code: 0,
    err: '',
  })
  expect([await hashOf(place('bulk-up')), await hashOf(place('bulk-down'))]).toEqual([wanted, wanted])
  const { operations } = await closedBook(gateway)
  const metas = operations.filter(({ act }) => act === 'sftp.open').map(({ meta }) => meta)
  expect(metas).toContainEqual({ written: { bytes: BULK_BYTES, sha256: wanted } })
  expect(metas).toContainEqual({ read: { bytes: BULK_BYTES, sha256: wanted } })
}, 600_000)

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path)) hash.update(piece)
  return hash.digest('hex')
}
