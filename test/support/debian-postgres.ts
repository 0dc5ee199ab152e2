/** Debian's PostgreSQL 15 for tests: another version than the embedded one, its own hba file, its csvlog as witness. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './ports.ts'

const BIN = '/usr/lib/postgresql/15/bin'

export interface DebianPostgres extends Disposable {
  readonly port: number
  /** What the server has logged so far, as rows of its csvlog. */
  readonly log: () => string[][]
}

export interface DebianPostgresOptions {
  readonly password: string
  /** Lines of pg_hba.conf. */
  readonly hba: string
  readonly settings?: Readonly<Record<string, string>>
  /** PEM; turns TLS on. */
  readonly tls?: { readonly cert: string; readonly key: string }
}

export async function startDebianPostgres(options: DebianPostgresOptions): Promise<DebianPostgres> {
  const base = mkdtempSync(join(tmpdir(), 'gatebook-pg15-'))
  const account = unprivileged()
  const own = (path: string, text: string): string => {
    writeFileSync(path, text, { mode: 0o600 })
    if (account !== undefined) chownSync(path, account.uid, account.gid)
    return path
  }
  if (account !== undefined) chownSync(base, account.uid, account.gid)
  const data = join(base, 'data')
  const secret = own(join(base, 'password'), options.password)
  const initdb = ['-D', data, '-U', 'postgres', '-E', 'UTF8', '--locale=C', '--no-sync', `--pwfile=${secret}`]
  const made = spawnSync(join(BIN, 'initdb'), initdb, { cwd: base, ...account })
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr.toString()}`)
  own(join(data, 'pg_hba.conf'), options.hba)
  const port = await freePort()
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: base,
    fsync: 'off',
    logging_collector: 'on',
    log_destination: 'csvlog',
    log_directory: join(base, 'log'),
    ...(options.tls === undefined
      ? {}
      : {
          ssl: 'on',
          ssl_cert_file: own(join(base, 'server.crt'), options.tls.cert),
          ssl_key_file: own(join(base, 'server.key'), options.tls.key),
        }),
    ...options.settings,
  }
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = spawn(join(BIN, 'postgres'), ['-D', data, ...args], {
    cwd: base,
    stdio: 'ignore',
    ...account,
  })
  await answering(child, port)
  return {
    port,
    log: () => readLog(join(base, 'log')),
    [Symbol.dispose]() {
      child.kill('SIGQUIT')
      rmSync(base, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
    },
  }
}

/** PostgreSQL refuses to run as root. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('nobody:'))
  const [, , uid, gid] = line?.split(':') ?? []
  return { uid: Number(uid), gid: Number(gid) }
}

async function answering(child: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (child.exitCode !== null) throw new Error(`postgres ended with ${child.exitCode}`)
    if (spawnSync(join(BIN, 'pg_isready'), ['-q', '-h', '127.0.0.1', '-p', String(port)]).status === 0) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('postgres did not start')
}

function readLog(folder: string): string[][] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.csv'))
    .sort()
    .flatMap((name) => parseCsv(readFileSync(join(folder, name), 'utf8')))
}

function parseCsv(text: string): string[][] {
  const rows: string[][] = []
  let row: string[] = []
  for (const [, quoted, plain = '', end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n)/g)) {
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'))
    if (end !== '\n') continue
    rows.push(row)
    row = []
  }
  return rows
}
