import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { createConnection } from 'mysql2/promise'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import type { DemoReady } from '../../src/cli/demo/demo.ts'
import { type Outcome, run } from '../support/ssh-clients.ts'

const main = resolve(import.meta.dirname, '../../src/main.ts')

function start(...args: string[]): ChildProcess {
  return spawned('node', [main, 'demo', ...args])
}

/** Ended with the test, which would wait for it otherwise. */
function spawned(command: string, args: readonly string[]): ChildProcess {
  const cwd = resolve(import.meta.dirname, '../..')
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGTERM'))
  return child
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

/** By mysql2, by the printed line, and by `gatebook connect`, with a client of MariaDB's and without. */
async function askMysql({ data, mysql }: DemoReady): Promise<void> {
  if (mysql === undefined) throw new Error('the tests install a MariaDB server')
  const { command, ...login } = mysql
  const connection = await createConnection(login)
  const [rows] = await connection.execute('SELECT name FROM items WHERE quantity < ? ORDER BY id', [1000])
  expect(rows).toEqual([{ name: 'ink' }, { name: 'ledger' }])
  await expect(connection.query('DELETE FROM items')).rejects.toMatchObject({
    errno: 1142,
    message: expect.stringMatching(
      /^DELETE on items is not allowed by policy "no-bare-delete".*\nid {2}: \S+\.\d+$/s,
    ),
  })
  await connection.end()
  const [program = '', ...line] = command.split(' ')
  const printed = await run(program, [...line, '-N', '-e', 'SELECT 6 * 7'], {})
  expect([printed.code, printed.out.toString()]).toEqual([0, '42\n'])
  const config = join(data, 'demo', 'config.yaml')
  const connect = (path: string) =>
    run(process.execPath, [main, 'connect', 'stock', '--user', 'alice', '--config', config], {
      input: 'SELECT name AS n FROM items WHERE id = 2; SELECT 1 AS one;\nfrob;\n',
      env: { MYSQL_PWD: login.password, PATH: path },
    })
  const [native, small] = [await connect(process.env['PATH'] ?? ''), await connect('/nowhere')]
  expect(native.out.toString()).toBe('n\npaper\none\n1\n')
  expect(small.out.toString().replace(/[^\w\n]+/g, ' ')).toMatch(/n *\n[^\w]*paper *\none *\n[^\w]*1/)
  expect(small.err).toMatch(/not installed here.*ERROR 1142/s)
}

/** Gives a search in the console's API for what was denied. */
async function signIn({ console: { url, user, password } }: DemoReady): Promise<() => Promise<string>> {
  const signedIn = await fetch(`${url}/api/v1/sign-in`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: url },
    body: JSON.stringify({ user, password }),
  })
  const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? ''
  return async () => (await fetch(`${url}/api/v1/search?q=is:denied`, { headers: { cookie } })).text()
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
  await askMysql(ready)
  const { host, port, password } = ready.postgres
  const connect = ['connect', 'orders', '--user', 'alice', '--host', host, '--port', String(port)]
  // Where no psql is found, the built-in prompt stands in.
  const prompted = spawnSync(process.execPath, [main, ...connect], {
    input:
      "help\nselect name from products\n  where price < 4;\nselekt;\nselect 'last';\nunfinished\n\\q\nselect 'no more';\n",
    env: { PATH: '/nowhere', PGPASSWORD: password },
    encoding: 'utf8',
  })
  expect(prompted).toMatchObject({ status: 0, stdout: 'name\npaper\n?column?\nlast\n' })
  expect(prompted.stderr).toContain('This prompt knows \\q')
  expect(prompted.stderr).toContain('PostgreSQL 18 would not accept it: syntax error at or near "selekt"')
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
  const find = await signIn(ready)
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
  const npm = spawned('npm', ['start', '--silent', '--', '--json'])
  const exit = ended(npm)
  const ready = JSON.parse(await firstLine(npm)) as DemoReady
  npm.kill('SIGTERM')
  await exit
  await expect.poll(() => existsSync(ready.data)).toBe(false)
})
