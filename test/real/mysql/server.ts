import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Server {
  readonly port: number
  /** DER and PEM of what it shows inside TLS. */
  readonly certificate: string
  readonly key: string
  readonly folder: string
  /** The statements of one connection, in order, as the server wrote them down. */
  statementsOf(threadId: number): string[]
  [Symbol.asyncDispose](): Promise<void>
}

const SETUP = `
CREATE DATABASE shop;
CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app secret';
CREATE USER curve@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('curve secret');
CREATE USER nobody@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL ON *.* TO app@'127.0.0.1';
GRANT ALL ON shop.* TO curve@'127.0.0.1', nobody@'127.0.0.1';
`

function run(command: string, args: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { input, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? stderr}`)
  return stdout
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** MariaDB on a folder of its own, on loopback, with its general log as a witness. */
export async function startServer(): Promise<Server> {
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
      ...['--general-log=1', `--general-log-file=${at('general.log')}`, `--init-file=${at('setup.sql')}`],
      ...[`--ssl-cert=${at('cert.pem')}`, `--ssl-key=${at('key.pem')}`, '--plugin-load-add=auth_ed25519'],
      ...['--max-allowed-packet=64M', '--local-infile=1', '--innodb-buffer-pool-size=16M'],
      ...['--innodb-flush-log-at-trx-commit=0', '--character-set-server=utf8mb4'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  await ready(child)
  return {
    port,
    certificate: readFileSync(at('cert.pem'), 'utf8'),
    key: readFileSync(at('key.pem'), 'utf8'),
    folder,
    statementsOf: (threadId) => statementsOf(readFileSync(at('general.log'), 'utf8'), threadId),
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
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

/** `<time> <thread> <command>\t<text>`; the time is left out where it repeats, and a text may have many lines. */
function statementsOf(log: string, threadId: number): string[] {
  const entry = /^(?:\d{6} [ \d]\d:\d\d:\d\d)?\t+ *(\d+) ([A-Z][A-Za-z ]*?)\t(.*)$/
  const found: { thread: number; line: string }[] = []
  for (const line of log.split('\n')) {
    const match = entry.exec(line)
    if (match !== null) found.push({ thread: Number(match[1]), line: `${match[2]}: ${match[3]}` })
    else if (found.length > 0 && line !== '') (found.at(-1) ?? { line: '' }).line += `\n${line}`
  }
  return found.filter(({ thread }) => thread === threadId).map(({ line }) => line)
}
