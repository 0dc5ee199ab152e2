/** Programs and libraries that speak SSH by themselves or through others: each has its own order of requests. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestGateway } from '../../support/gateway.ts'
import { type RunOptions, run } from '../../support/ssh-clients.ts'
import { closedBook, gatewayOptions, startSshGateway } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

let sshd: Sshd
let gateway: TestGateway

beforeAll(async () => {
  sshd = await startSshd()
  gateway = await startSshGateway(sshd)
  mkdirSync(place('tree/a/b'), { recursive: true })
  for (let i = 0; i < 30; i++) writeFileSync(place(`tree/a/b/file-${i}`), 'x'.repeat(i * 3000))
})

afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  sshd.stop()
})

const place = (name: string) => join(sshd.folder, name)
const command = () => `ssh ${gatewayOptions(sshd, gateway).join(' ')}`
const remote = 'alice@127.0.0.1'

/** The tree came through whole, wherever it went. */
async function sameTree(name: string): Promise<void> {
  const { code, out } = await run('diff', ['-r', place('tree'), place(name)])
  expect([code, out.toString()]).toEqual([0, ''])
}

async function python(name: string, script: string, options: RunOptions = {}): Promise<string[]> {
  writeFileSync(place(name), script)
  const { code, out, err } = await run('/usr/bin/python3', ['-W', 'ignore', place(name)], options)
  expect(code, err).toBe(0)
  return out.toString().trim().split('\n')
}

test('rsync, both ways', async () => {
  const up = await run('rsync', ['-a', '-e', command(), `${place('tree')}/`, `${remote}:${place('up')}/`])
  const down = await run('rsync', ['-a', '-e', command(), `${remote}:${place('tree')}/`, `${place('down')}/`])
  expect([up, down]).toMatchObject([
    { code: 0, err: '' },
    { code: 0, err: '' },
  ])
  await sameTree('up')
  await sameTree('down')
})

test('git', async () => {
  const git = (...args: readonly string[]) =>
    run('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
      env: { GIT_SSH_COMMAND: command(), HOME: sshd.folder },
    })
  await git('init', '-q', place('repository'))
  writeFileSync(place('repository/file'), 'content')
  await git('-C', place('repository'), 'add', '.')
  await git('-C', place('repository'), 'commit', '-qm', 'first')
  const cloned = await git('clone', '-q', `ssh://${remote}${place('repository')}`, place('clone'))
  expect([cloned.code, cloned.err]).toEqual([0, ''])
  const pushed = await git('-C', place('clone'), 'push', '-q', 'origin', 'HEAD:refs/heads/other')
  expect([pushed.code, pushed.err]).toEqual([0, ''])
})

test('paramiko, which waits for each reply, and renews its keys', async () => {
  const said = await python(
    'by-paramiko.py',
    `
import os, paramiko
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect('127.0.0.1', port=${gateway.port('ssh')}, username='alice', key_filename='${place('alice')}',
               look_for_keys=False, allow_agent=False)
stdin, stdout, stderr = client.exec_command('cat; echo err >&2; exit 7')
stdin.write('hello'); stdin.channel.shutdown_write()
print(stdout.read().decode(), stderr.read().decode().strip(), stdout.channel.recv_exit_status())
print(client.exec_command('stty size; echo $TERM', get_pty=True)[1].read().decode().split())
sftp = client.open_sftp(); content = os.urandom(1000000)
with sftp.open('${place('by-paramiko')}', 'wb') as file: file.write(content)
with sftp.open('${place('by-paramiko')}', 'rb') as file: file.prefetch(); print(file.read() == content)
sftp.close()
client.get_transport().renegotiate_keys()
print(client.exec_command('echo behind new keys')[1].read().decode().strip())
client.close()
`,
  )
  expect(said).toEqual(['hello err 7', "['24', '80', 'vt100']", 'True', 'behind new keys'])
})

test('asyncssh, with many sessions at once and whole trees', async () => {
  const said = await python(
    'by-asyncssh.py',
    `
import asyncio, asyncssh
async def main():
    async with asyncssh.connect('127.0.0.1', port=${gateway.port('ssh')}, username='alice', known_hosts=None,
                                client_keys=['${place('alice')}']) as client:
        result = await client.run('cat; exit 3', input='hi')
        print(result.stdout, result.exit_status)
        print(*[r.stdout.strip() for r in await asyncio.gather(*[client.run(f'echo {i}') for i in range(8)])])
        async with client.start_sftp_client() as sftp:
            await sftp.put('${place('tree')}', '${place('asyncssh-up')}', recurse=True)
            await sftp.get('${place('asyncssh-up')}', '${place('asyncssh-down')}', recurse=True)
asyncio.run(main())
`,
  )
  expect(said).toEqual(['hi 3', '0 1 2 3 4 5 6 7'])
  await sameTree('asyncssh-up')
  await sameTree('asyncssh-down')
  expect(readdirSync(place('asyncssh-down/a/b'))).toHaveLength(30)
})

test('and each command of theirs is in the book', async () => {
  const book = await closedBook(gateway)
  const commands = book.operations.map(({ texts }) => texts['cmd'] ?? '')
  const count = (start: string) => commands.filter((text) => text.startsWith(start)).length
  expect([count('rsync --server'), count('git-upload-pack'), count('git-receive-pack')]).toEqual([2, 1, 1])
  expect(book.operations.filter(({ out }) => out === undefined)).toEqual([])
})
