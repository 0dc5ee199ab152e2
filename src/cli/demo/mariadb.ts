/**
 * The demo's MySQL target: a MariaDB of its own, where one is installed on this machine. Nothing is fetched for it.
 * As root it runs as `nobody`, like the embedded PostgreSQL.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type Account, freePort, lastLines, unprivilegedAccount } from './postgres.ts'
import type { Shop } from './shop.ts'

export interface DemoMariadb extends AsyncDisposable {
  readonly port: number
  readonly stock: Shop
}

interface Programs {
  readonly install: string
  readonly server: string
}

interface Run {
  readonly base: string
  readonly account: Account | undefined
}

/** Undefined where no MariaDB server is installed. */
export async function startDemoMariadb(): Promise<DemoMariadb | undefined> {
  const programs = findPrograms()
  if (programs === undefined) return undefined
  const base = await mkdtemp(join(tmpdir(), 'gatebook-my-'))
  try {
    const run = { base, account: await unprivilegedAccount() }
    await hand(base, run)
    await initialise(run, programs.install)
    return await start(run, programs.server)
  } catch (problem) {
    await rm(base, { recursive: true, force: true })
    throw problem
  }
}

/** Servers lie where the search path of people does not lead. */
function findPrograms(): Programs | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  const find = (name: string): string | undefined =>
    folders.map((folder) => join(folder, name)).find((path) => existsSync(path))
  const [install, server] = [find('mariadb-install-db'), find('mariadbd')]
  return install === undefined || server === undefined ? undefined : { install, server }
}

async function hand(path: string, { account }: Run): Promise<void> {
  if (account !== undefined) await chown(path, account.uid, account.gid)
}

function launch({ base, account }: Run, program: string, args: readonly string[]): ChildProcess {
  return spawn(program, ['--no-defaults', `--datadir=${join(base, 'data')}`, ...args], {
    cwd: base,
    env: { PATH: process.env['PATH'] ?? '', HOME: base, LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
    ...account,
  })
}

async function initialise(run: Run, program: string): Promise<void> {
  const data = join(run.base, 'data')
  await mkdir(data, { mode: 0o700 })
  await hand(data, run)
  const flags = ['--skip-test-db', '--skip-name-resolve', '--auth-root-authentication-method=normal']
  const child = launch(run, program, flags)
  const lines = lastLines(child)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve)
    child.once('error', reject)
  })
  if (code !== 0) throw new Error(`mariadb-install-db failed with ${code}:\n${lines.join('\n')}`)
}

async function start(run: Run, program: string): Promise<DemoMariadb> {
  const { base } = run
  const account = (user: string) => ({ user, password: randomBytes(18).toString('base64url') })
  const stock: Shop = { database: 'stock', usual: account('gatebook_app'), readOnly: account('gatebook_ro') }
  const seed = join(base, 'seed.sql')
  await writeFile(seed, seedText(stock), { mode: 0o600 })
  await hand(seed, run)
  const port = await freePort()
  const child = launch(run, program, [
    ...[`--socket=${join(base, 'socket')}`, `--pid-file=${join(base, 'pid')}`, `--port=${port}`],
    ...['--bind-address=127.0.0.1', '--skip-name-resolve', `--init-file=${seed}`, '--skip-log-bin'],
    ...['--innodb-flush-log-at-trx-commit=0', '--character-set-server=utf8mb4'],
  ])
  // Whoever forgets to dispose of it still leaves no server behind; only the folder stays.
  const killAtExit = (): void => void child.kill('SIGKILL')
  process.once('exit', killAtExit)
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()))
  await ready(child)
  await rm(seed)
  return {
    port,
    stock,
    async [Symbol.asyncDispose]() {
      process.off('exit', killAtExit)
      child.kill('SIGTERM')
      await gone
      await rm(base, { recursive: true, force: true })
    },
  }
}

/** What it was given to run at its start is done before it says so. */
function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const lines = lastLines(child, (line) => {
      // It goes on without what it could not run.
      if (line.startsWith('ERROR')) reject(new Error(`MariaDB could not be filled: ${line}`))
      if (line.includes('ready for connections')) resolve()
    })
    child.once('error', reject)
    child.once('close', (code) => reject(new Error(`MariaDB ended with ${code}:\n${lines.join('\n')}`)))
  })
}

/** One statement a line: the server reads the file so. Root gets a password that nobody knows. */
function seedText({ database, usual, readOnly }: Shop): string {
  const host = "'127.0.0.1'"
  const items = "(1, 'ink', 120), (2, 'paper', 4000), (3, 'ledger', 35)"
  const statements = [
    `CREATE DATABASE ${database}`,
    `USE ${database}`,
    'CREATE TABLE items (id int PRIMARY KEY AUTO_INCREMENT, name varchar(100) NOT NULL, quantity int NOT NULL)',
    'CREATE TABLE movements (id int PRIMARY KEY AUTO_INCREMENT, item int NOT NULL REFERENCES items (id), quantity int NOT NULL, moved timestamp NOT NULL DEFAULT now())',
    `INSERT INTO items VALUES ${items}`,
    'INSERT INTO movements (item, quantity) SELECT 1 + seq % 3, cast(seq % 20 AS int) - 8 FROM seq_1_to_200',
    `CREATE USER ${usual.user}@${host} IDENTIFIED BY '${usual.password}'`,
    `CREATE USER ${readOnly.user}@${host} IDENTIFIED BY '${readOnly.password}'`,
    `GRANT ALL ON ${database}.* TO ${usual.user}@${host}`,
    `GRANT SELECT ON ${database}.* TO ${readOnly.user}@${host}`,
    `ALTER USER root@localhost IDENTIFIED BY '${randomBytes(18).toString('base64url')}'`,
  ]
  return statements.map((statement) => `${statement};\n`).join('')
}
