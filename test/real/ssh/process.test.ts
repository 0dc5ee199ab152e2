/** A gateway that is a process of its own: what `gatebook connect` does at it, and what the system sees it do. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { GatewayProcess, type Installation, install } from '../../support/gateway-process.ts'
import { freePort } from '../../support/ports.ts'
import { opensshOptions, run } from '../../support/ssh-clients.ts'
import { personKey } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

const MAIN = resolve(import.meta.dirname, '../../../src/main.ts')

let sshd: Sshd
/** Of whoever comes to it. */
let folder: string
let installed: Installation
let port: number

beforeAll(async () => {
  sshd = await startSshd()
  folder = mkdtempSync(join(tmpdir(), 'gatebook-process-'))
  const [type, base64] = sshd.hostKey.split(' ')
  const targets = [
    'web:',
    '  type: ssh',
    `  address: "127.0.0.1:${sshd.port}"`,
    `  host_key: ${type} ${base64}`,
    `  credentials: { user: ${sshd.user}, private_key: "file:web.key" }`,
  ]
  installed = await install({ targets: targets.join('\n'), files: { 'web.key': sshd.privateKey } })
  port = await freePort()
  const text = readFileSync(installed.config, 'utf8')
    .replace('127.0.0.1:0, host_key', `127.0.0.1:${port}, host_key`)
    .replace('127.0.0.1:8443', '127.0.0.1:0')
    .replace('{ groups: [everyone] }', `{ groups: [everyone], ssh_keys: ["${personKey(sshd, 'alice')}"] }`)
  writeFileSync(installed.config, text)
})

afterAll(() => {
  sshd.stop()
  installed[Symbol.dispose]()
  rmSync(folder, { recursive: true, force: true })
})

const ended = async (gateway: GatewayProcess): Promise<void> => {
  gateway.child.kill()
  expect(await gateway.ended).toBe(0)
}

test('gatebook connect runs ssh to a target as oneself, with what stands behind --', async () => {
  using gateway = new GatewayProcess(installed)
  await gateway.says('started')
  const known = join(folder, 'known_hosts')
  const [, line] = readFileSync(join(installed.folder, 'ssh_host.pub'), 'utf8').trim().split(/ (.*)/)
  writeFileSync(known, `[127.0.0.1]:${port} ssh-ed25519 ${line}\n`)
  const connect = (target: string, ...args: readonly string[]) =>
    run('node', [MAIN, 'connect', target, '--user', 'alice', '--config', installed.config, ...args], {
      input: 'typed\n',
    })
  // The gateway's own key is asked for as anybody's is; this person knows it already.
  const own = ['-F', 'none', '-i', join(sshd.folder, 'alice'), '-o', `UserKnownHostsFile=${known}`]
  const { code, out, err } = await connect('web', '--', ...own, 'cat; echo "as $USER"; exit 7')
  expect([code, out.toString(), err]).toEqual([7, expect.stringMatching(/^typed\nas /), ''])
  const nowhere = await connect('nowhere')
  expect([nowhere.code, nowhere.err]).toEqual([
    2,
    expect.stringContaining('no target "nowhere" is configured'),
  ])
  await ended(gateway)
})

test('nothing that a person says is run by it or names a file that it writes', async () => {
  const calls = join(folder, 'calls')
  const traced = ['execve', 'execveat', 'open', 'openat', 'creat', 'rename', 'unlink', 'mkdir', 'symlink']
  using gateway = new GatewayProcess(
    installed,
    [],
    [
      // As a grandchild, so that the process that is ended is the gateway.
      ...['strace', '-D', '-f', '-s', '4096', '-o', calls, '-e', `trace=/^(${traced.join('|')})(at|at2)?$`],
    ],
  )
  await gateway.says('started')
  const known = readFileSync(calls, 'utf8').length
  const marks = [
    '$(touch PWNED)',
    '`touch PWNED`',
    ';touch PWNED;',
    '|touch PWNED',
    '-oProxyCommand=touch PWNED',
  ]
  const ssh = (user: string, command: string) =>
    run('ssh', [
      ...opensshOptions(port, join(sshd.folder, 'alice')),
      '-o',
      'BatchMode=yes',
      '-l',
      user,
      '127.0.0.1',
      command,
    ])
  for (const mark of marks) {
    await ssh(`alice~web`, `: '${mark}'`)
    await ssh(`alice~${mark.replace('-o', 'o')}`, 'true')
  }
  const secret = join(folder, 'written-by-whom')
  writeFileSync(join(folder, 'sent'), 'five\n')
  const copy = (protocol: string) => [
    ...[protocol, '-q', ...opensshOptions(port, join(sshd.folder, 'alice'))],
    ...[join(folder, 'sent'), `alice~web@127.0.0.1:${secret}${protocol}`],
  ]
  for (const protocol of ['-O', '-s']) expect(await run('scp', copy(protocol))).toMatchObject({ code: 0 })
  // What scp calls the file is the client's word too.
  const wicked = `C0644 5 ../../../../${folder}/climbed\nfive\n\0`
  await run(
    'ssh',
    [...opensshOptions(port, join(sshd.folder, 'alice')), '-l', 'alice~web', '127.0.0.1', `scp -t ${folder}`],
    {
      input: wicked,
    },
  )
  await ended(gateway)
  const whole = readFileSync(calls, 'utf8')
  // The log does see such calls: the gateway's own start is one.
  expect(whole.slice(0, known)).toMatch(/ execve\(".*node", \["node"/)
  const lines = whole.slice(known).split('\n')
  expect(lines.filter((line) => / open(at)?\(/.test(line)).length).toBeGreaterThan(0)
  expect(lines.filter((line) => /PWNED|written-by-whom|climbed/.test(line))).toEqual([])
  expect(lines.filter((line) => / exec(ve|veat)\(/.test(line))).toEqual([])
  // It does write: where its data lie, and nowhere else.
  const written = lines.filter((line) => /O_(WRONLY|RDWR|CREAT)/.test(line) && !/"\/(dev|proc)\//.test(line))
  expect(written.filter((line) => !line.includes(`"${installed.folder}/data/`))).toEqual([])
  expect(readFileSync(`${secret}-O`, 'utf8')).toBe('five\n')
})
