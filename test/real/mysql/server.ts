import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../support/ports.ts'

export interface Server {
  readonly port: number
  /** DER and PEM of what it shows inside TLS. */
  readonly certificate: string
  readonly key: string
  readonly folder: string
  /** The statements of one connection, in order, as the server wrote them down. */
  statementsOf(threadId: number): string[]
  /** What the audit plugin says of each statement of a text, prepared ones included, once the connection has ended. */
  outcomesOf(threadId: number): Promise<Audited[]>
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface Audited {
  readonly text: string
  /** 0 where it went well. */
  readonly code: number
}

const SETUP = `
CREATE DATABASE shop;
CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app secret';
CREATE USER curve@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('curve secret');
CREATE USER nobody@'127.0.0.1' IDENTIFIED BY '';
CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'reader secret';
GRANT ALL ON *.* TO app@'127.0.0.1';
GRANT SELECT ON shop.* TO reader@'127.0.0.1';
GRANT ALL ON shop.* TO curve@'127.0.0.1', nobody@'127.0.0.1';
`

function run(command: string, args: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { input, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr}`)
  return stdout
}

/** MariaDB on a folder of its own, on loopback, with its general log and its audit as witnesses. */
export async function startServer({ witness = true }: { readonly witness?: boolean } = {}): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'gatebook-mariadb-'))
  const at = (name: string) => join(folder, name)
  const user = process.getuid?.() === 0 ? ['--user=root'] : []
  run('mariadb-install-db', [
    ...[
      '--no-defaults',
      `--datadir=${at('data')}`,
      '--skip-test-db',
      '--auth-root-authentication-method=normal',
    ],
    ...user,
  ])
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-keyout', at('key.pem'), '-out', at('cert.pem'), ...subject],
  ])
  writeFileSync(at('setup.sql'), SETUP.replaceAll('\n', ' ').replaceAll(';', ';\n'))
  const port = await freePort()
  const child = spawn(
    'mariadbd',
    [
      ...['--no-defaults', `--datadir=${at('data')}`, `--socket=${at('sock')}`, `--port=${port}`, ...user],
      ...['--bind-address=127.0.0.1', '--skip-name-resolve', `--pid-file=${at('pid')}`],
      `--init-file=${at('setup.sql')}`,
      ...[`--ssl-cert=${at('cert.pem')}`, `--ssl-key=${at('key.pem')}`, '--plugin-load-add=auth_ed25519'],
      ...['--max-allowed-packet=64M', '--local-infile=1', '--innodb-buffer-pool-size=16M'],
      ...['--innodb-flush-log-at-trx-commit=0', '--character-set-server=utf8mb4'],
      ...(witness ? witnesses(at) : []),
      // Numbers of prepared statements go on in a thread that is used again.
      '--thread-cache-size=0',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  await ready(child)
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await ended
  }
  const general = new Log(at('general.log'), readGeneral)
  const audit = new Log(at('audit.log'), readAudit)
  return {
    port,
    certificate: readFileSync(at('cert.pem'), 'utf8'),
    key: readFileSync(at('key.pem'), 'utf8'),
    folder,
    statementsOf: (threadId) => general.of(threadId),
    async outcomesOf(threadId) {
      for (let look = 0; look < LOOKS_MAX; look++) {
        const lines = audit.of(threadId)
        if (lines.at(-1) === 'ended') return lines.filter((line) => line !== 'ended')
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
      }
      throw new Error(`connection ${threadId} has not ended`)
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function witnesses(at: (name: string) => string): string[] {
  return [
    ...['--general-log=1', `--general-log-file=${at('general.log')}`],
    ...['--plugin-load-add=server_audit', '--server-audit-logging=ON', '--server-audit-events=CONNECT,QUERY'],
    ...[`--server-audit-file-path=${at('audit.log')}`, '--server-audit-file-rotations=0'],
    '--server-audit-query-log-limit=1000000',
  ]
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes('ready for connections')) resolve()
    })
    child.once('error', reject)
    child.once('exit', () => reject(new Error(said)))
  })
}

const LOOK_EVERY_MS = 20
const LOOKS_MAX = 1000

/** A file of the server's, read again only when it has grown. */
class Log<Line> {
  readonly #path: string
  readonly #read: (text: string) => Map<number, Line[]>
  #size = -1
  #lines = new Map<number, Line[]>()

  constructor(path: string, read: (text: string) => Map<number, Line[]>) {
    this.#path = path
    this.#read = read
  }

  of(threadId: number): Line[] {
    const { size } = statSync(this.#path)
    if (size !== this.#size) this.#lines = this.#read(readFileSync(this.#path, 'utf8'))
    this.#size = size
    return this.#lines.get(threadId) ?? []
  }
}

/** `<time> <thread> <command>\t<text>`; the time is left out where it repeats, and a text may have many lines. */
function readGeneral(log: string): Map<number, string[]> {
  const entry = /^(?:\d{6} [ \d]\d:\d\d:\d\d)?\t+ *(\d+) ([A-Z][A-Za-z ]*?)\t(.*)$/s
  const byThread = new Map<number, string[]>()
  let last: string[] = []
  for (const line of log.split('\n')) {
    const match = entry.exec(line)
    if (match === null) {
      if (last.length > 0 && line !== '') last[last.length - 1] += `\n${line}`
      continue
    }
    const thread = Number(match[1])
    last = byThread.get(thread) ?? []
    byThread.set(thread, last)
    last.push(`${match[2]}: ${match[3]}`)
  }
  return byThread
}

/** `<time>,<server>,<user>,<host>,<thread>,<query>,QUERY,<database>,'<text>',<error>`, and when a thread ends. */
function readAudit(log: string): Map<number, (Audited | 'ended')[]> {
  const entry = /^[^,]*,[^,]*,[^,]*,[^,]*,(\d+),\d+,(?:QUERY,[^,]*,'(.*)',(\d+)|(DISCONNECT),.*)$/s
  const byThread = new Map<number, (Audited | 'ended')[]>()
  for (const line of log.split('\n')) {
    const [, thread, text = '', code, ended] = entry.exec(line) ?? []
    if (thread === undefined) continue
    const lines = byThread.get(Number(thread)) ?? []
    byThread.set(Number(thread), lines)
    lines.push(ended === undefined ? { text, code: Number(code) } : 'ended')
  }
  return byThread
}
