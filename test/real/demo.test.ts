import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { expect, test } from 'vitest'
import type { DemoReady } from '../../src/cli/demo.ts'
import { type Outcome, run } from '../support/ssh-clients.ts'

const main = resolve(import.meta.dirname, '../../src/main.ts')

function start(...args: string[]): ChildProcess {
  return spawn('node', [main, 'demo', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('the demo has no output')
  for await (const line of createInterface({ input: child.stdout })) return line
  throw new Error('the demo ended without a line')
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((done) => child.once('exit', (code) => done(code)))
}

/** As the printed line does, with the password typed by itself. */
function sshTo({ ssh }: DemoReady, args: readonly string[], input: string): Promise<Outcome> {
  const askpass = `${ssh.knownHosts}.askpass`
  writeFileSync(askpass, `#!/bin/sh\necho ${ssh.password}\n`, { mode: 0o755 })
  const [program = '', ...line] = ssh.command.split(' ')
  const flags = ['-F', 'none', '-o', 'LogLevel=ERROR', '-o', 'StrictHostKeyChecking=yes']
  const env = { SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: 'x' }
  const options = args.filter((word) => word.startsWith('-'))
  const command = args.filter((word) => !word.startsWith('-'))
  return run(program, [...flags, ...options, ...line, ...command], { input, env })
}

test('the demo: a query is answered, recorded, verified; a refused one says why; all is removed at the end', async () => {
  const child = start('--json')
  const exit = ended(child)
  const ready = JSON.parse(await firstLine(child)) as DemoReady
  expect(ready.postgres.url).toContain(`@127.0.0.1:${ready.postgres.port}/shop`)
  const client = new pg.Client({ connectionString: ready.postgres.url })
  await client.connect()
  const { rows } = await client.query('SELECT name FROM products WHERE price < $1 ORDER BY name', [5])
  expect(rows).toEqual([{ name: 'ink' }, { name: 'paper' }])
  await expect(client.query('DELETE FROM payments')).rejects.toMatchObject({
    code: '42501',
    message: 'DELETE on payments is not allowed by policy "no-bare-delete"',
    hint: expect.stringMatching(/\nRecord [a-z2-7]{16}\.\d+\.$/),
  })
  const shell = await sshTo(ready, ['-tt'], 'stty size; id -un; exit 5\n')
  expect([shell.code, shell.out.toString()]).toEqual([5, expect.stringMatching(/\d+ \d+\r\n\S+\r\n/)])
  const command = await sshTo(ready, ['cat; echo more >&2'], 'hello\n')
  expect([command.code, command.out.toString(), command.err]).toEqual([0, 'hello\n', 'more\n'])
  const gatebook = (...args: string[]) =>
    spawnSync('node', [main, ...args, '--data', ready.data], { encoding: 'utf8' })
  expect(gatebook('sessions', 'ls').stdout).toMatch(/alice +orders +shop/)
  const verified = gatebook('verify')
  expect([verified.status, verified.stdout]).toEqual([0, expect.stringContaining('demo/book')])
  await client.end()
  const { url, user, password } = ready.console
  const signedIn = await fetch(`${url}/api/v1/sign-in`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: url },
    body: JSON.stringify({ user, password }),
  })
  const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? ''
  const find = async (): Promise<string> =>
    (await fetch(`${url}/api/v1/search?q=is:denied`, { headers: { cookie } })).text()
  await expect.poll(find).toContain('DELETE FROM payments')
  child.kill('SIGTERM')
  expect(await exit).toBe(0)
  expect(existsSync(ready.data)).toBe(false)
})

test('--data keeps the book, and the next demo goes on with it', async () => {
  const data = join(process.env['TMPDIR'] ?? '/tmp', `gb-demo-${process.pid}`)
  const sizes: number[] = []
  for (let round = 0; round < 2; round++) {
    const child = start('--json', '--data', data)
    const exit = ended(child)
    await firstLine(child)
    child.kill('SIGINT')
    expect(await exit).toBe(0)
    const verified = spawnSync('node', [main, 'verify', '--data', data, '--json', '--closed'], {
      encoding: 'utf8',
    })
    expect(verified.status).toBe(0)
    sizes.push(Number(/"size": ?(\d+)/.exec(verified.stdout)?.[1]))
  }
  expect(sizes[1]).toBeGreaterThan(sizes[0] ?? 0)
  spawnSync('rm', ['-r', data])
})

test('npm start ends with all that it started when npm alone is told to end', async () => {
  const npm = spawn('npm', ['start', '--silent', '--', '--json'], {
    cwd: resolve(import.meta.dirname, '../..'),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exit = ended(npm)
  const ready = JSON.parse(await firstLine(npm)) as DemoReady
  npm.kill('SIGTERM')
  await exit
  await expect.poll(() => existsSync(ready.data)).toBe(false)
})
