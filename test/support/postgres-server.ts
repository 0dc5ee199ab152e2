/**
 * Debian's PostgreSQL 15 on a cluster of its own, with its log as the witness: each statement, each Parse and Bind
 * and each error stands in it, in the order in which the server met them.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import type { TestCertificate } from './gateway-certificates.ts'
import { freePort } from './ports.ts'
import { LogFile, type Logged } from './postgres-server-log.ts'

const BIN = '/usr/lib/postgresql/15/bin'
const READY_ATTEMPTS = 5

export interface ServerOptions {
  /** Offered inside TLS; `only`: nobody is let in outside it. */
  readonly tls?: TestCertificate & { readonly only?: boolean }
  /** Lines of pg_hba.conf before the one that asks everybody for SCRAM. With `tls` alone. */
  readonly hba?: readonly string[]
  /** Beside what makes it a witness. */
  readonly settings?: Readonly<Record<string, string>>
}

export interface PostgresServer extends AsyncDisposable {
  readonly port: number
  readonly superuser: 'postgres'
  readonly password: string
  /** Everything one backend logged, in its order, once it is gone. */
  logOf(pid: number): Promise<readonly Logged[]>
  /** Ends every backend without a word, as a crash does. */
  kill(pid: number, signal: NodeJS.Signals): void
  /** As the superuser, past every gateway. */
  query(sql: string, database?: string): Promise<Record<string, unknown>[]>
}

export const SERVER_PASSWORD = 'the superuser, whom nobody sees'

interface Account {
  readonly uid: number
  readonly gid: number
}

/** PostgreSQL refuses to run as root, so root lends it an account. */
function account(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    const uid = spawnSync('id', ['-u', name], { encoding: 'utf8' })
    const gid = spawnSync('id', ['-g', name], { encoding: 'utf8' })
    if (uid.status === 0 && gid.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  }
  throw new Error('neither postgres nor nobody is an account here')
}

function own(path: string, as: Account | undefined): string {
  if (as !== undefined) chownSync(path, as.uid, as.gid)
  return path
}

export async function startServer(options: ServerOptions = {}): Promise<PostgresServer> {
  const folder = mkdtempSync(join(tmpdir(), 'gatebook-pg15-'))
  try {
    const as = account()
    own(folder, as)
    initialise(folder, as, options)
    return await start(folder, as, options)
  } catch (problem) {
    rmSync(folder, { recursive: true, force: true })
    throw problem
  }
}

function initialise(folder: string, as: Account | undefined, { tls, hba = [] }: ServerOptions): void {
  const data = join(folder, 'data')
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return own(join(folder, name), as)
  }
  own(mkdirSync(join(folder, 'log'), { recursive: true }) ?? '', as)
  const secret = write('password', SERVER_PASSWORD)
  const { status, stderr, error } = spawnSync(
    `${BIN}/initdb`,
    [
      ...['-D', data, '-A', 'scram-sha-256', '-U', 'postgres', '-E', 'UTF8', '--locale=C', '--no-sync'],
      `--pwfile=${secret}`,
    ],
    { encoding: 'utf8', cwd: folder, ...as },
  )
  if (status !== 0) throw new Error(`initdb: ${error?.message ?? stderr}`)
  if (tls === undefined) return
  write('server.crt', tls.cert)
  write('server.key', tls.key)
  const type = tls.only === true ? 'hostssl' : 'host'
  write('data/pg_hba.conf', [...hba, `${type} all all 127.0.0.1/32 scram-sha-256\n`].join('\n'))
}

async function start(
  folder: string,
  as: Account | undefined,
  { tls, settings = {} }: ServerOptions,
): Promise<PostgresServer> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const all: Record<string, string> = {
      ...WITNESS,
      log_directory: join(folder, 'log'),
      listen_addresses: '127.0.0.1',
      port: String(port),
      unix_socket_directories: folder,
      ...(tls === undefined
        ? {}
        : {
            ssl: 'on',
            ssl_cert_file: join(folder, 'server.crt'),
            ssl_key_file: join(folder, 'server.key'),
          }),
      ...settings,
    }
    const args = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const child = spawn(`${BIN}/postgres`, ['-D', join(folder, 'data'), ...args], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      ...as,
    })
    const failure = await ready(child, port)
    if (failure === undefined) return new Server(folder, child, port)
    if (attempt === READY_ATTEMPTS || !failure.includes('Address already in use')) throw new Error(failure)
  }
}

/** debug2 is the first level at which each Parse and each Bind is logged. */
const WITNESS = {
  logging_collector: 'on',
  log_destination: 'csvlog',
  log_filename: 'server.log',
  log_statement: 'all',
  log_parameter_max_length: '-1',
  log_min_messages: 'debug2',
  log_disconnections: 'on',
  fsync: 'off',
  max_connections: '700',
  autovacuum: 'off',
  shared_buffers: '32MB',
}

/** Undefined once it takes connections, else what it said last. The collector has its words otherwise. */
function ready(child: ChildProcess, port: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const lines: string[] = []
    if (child.stderr !== null) {
      createInterface({ input: child.stderr }).on('line', (line) => {
        lines.push(line)
      })
    }
    let ended = false
    child.once('error', reject)
    child.once('close', (code) => {
      ended = true
      resolve(`PostgreSQL ended with ${code}:\n${lines.join('\n')}`)
    })
    const look = async (): Promise<void> => {
      while (!ended) {
        const client = new pg.Client({ ...SUPERUSER, port })
        client.on('error', () => {})
        try {
          await client.connect()
          await client.end()
          return resolve(undefined)
        } catch {
          await new Promise((done) => setTimeout(done, 30))
        }
      }
    }
    look().catch(reject)
  })
}

const SUPERUSER = { host: '127.0.0.1', user: 'postgres', password: SERVER_PASSWORD, database: 'postgres' }

class Server implements PostgresServer {
  readonly superuser = 'postgres'
  readonly password = SERVER_PASSWORD
  readonly port: number
  readonly #folder: string
  readonly #child: ChildProcess
  readonly #gone: Promise<void>
  readonly #log: LogFile
  readonly #killAtExit = (): void => void this.#child.kill('SIGQUIT')

  constructor(folder: string, child: ChildProcess, port: number) {
    this.port = port
    this.#folder = folder
    this.#child = child
    this.#gone = new Promise((resolve) => child.once('close', () => resolve()))
    this.#log = new LogFile(join(folder, 'log', 'server.csv'))
    process.once('exit', this.#killAtExit)
  }

  logOf(pid: number): Promise<readonly Logged[]> {
    return this.#log.of(pid)
  }

  kill(pid: number, signal: NodeJS.Signals): void {
    process.kill(pid, signal)
  }

  async query(sql: string, database = 'postgres'): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ ...SUPERUSER, port: this.port, database })
    await client.connect()
    try {
      const { rows } = await client.query<Record<string, unknown>>(sql)
      return rows
    } finally {
      await client.end()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#killAtExit)
    this.#child.kill('SIGINT')
    await this.#gone
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
