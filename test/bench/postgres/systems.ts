/** What is compared: ways from the same client to the same server. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type DebianPostgres, startDebianPostgres } from '../../support/debian-postgres.ts'
import { newAuthority } from '../../support/gateway-certificates.ts'
import { freePort } from '../../support/ports.ts'
import { type ThreadTimes, threadTimes } from '../threads.ts'
import { type GatewayMode, installGateway, PASSWORD } from './installation.ts'

export const PACKAGES = ['haproxy', 'pgbouncer', 'postgresql', 'postgresql-client'] as const
/** Of one system; the server takes some more. */
export const CLIENTS_MAX = 1_100

export interface System {
  readonly name: string
  readonly port: number
  readonly user: string
  /** The process between client and server, if there is one. */
  readonly pid?: number
  /** The file of the book, if there is one. */
  readonly book?: string
}

export interface Bench extends AsyncDisposable {
  readonly folder: string
  readonly direct: System
  start(name: SystemName, options?: StartOptions): Promise<System>
  stop(system: System): Promise<void>
}

export type SystemName = 'haproxy' | 'pgbouncer' | `gateway-${GatewayMode}`

export interface StartOptions {
  /** TLS from the proxy to the server; towards clients all have it. */
  readonly tlsToServer?: boolean
  /** A data directory that exists already. */
  readonly data?: string
  /** pgbouncer gives each client a connection of its own to the server, as the gateway does. */
  readonly unshared?: boolean
  /** `collectGarbage` is to work. */
  readonly collects?: boolean
}

/** Starts the server; what stands before it is started one by one. Everything lies in `folder`. */
export async function openBench(folder: string): Promise<Bench> {
  // pgbouncer refuses to be root, so it must find its way in.
  chmodSync(folder, 0o711)
  const certificate = newAuthority('Gatebook benchmark').issue('localhost')
  writeFileSync(join(folder, 'tls.crt'), certificate.cert)
  writeFileSync(join(folder, 'tls.key'), certificate.key)
  const server = await startDebianPostgres({
    password: PASSWORD,
    hba: 'host all all 127.0.0.1/32 scram-sha-256\n',
    tls: certificate,
    settings: {
      max_connections: String(CLIENTS_MAX),
      shared_buffers: '512MB',
      autovacuum: 'off',
      max_wal_size: '4GB',
      log_checkpoints: 'off',
    },
  })
  return new RunningBench(folder, server)
}

class RunningBench implements Bench {
  readonly folder: string
  readonly direct: System
  readonly #server: DebianPostgres
  readonly #running = new Map<System, ChildProcess>()
  readonly #atExit = (): void => {
    for (const child of this.#running.values()) child.kill('SIGKILL')
    this.#server[Symbol.dispose]()
  }

  constructor(folder: string, server: DebianPostgres) {
    this.folder = folder
    this.#server = server
    this.direct = { name: 'direct', port: server.port, user: 'postgres' }
    process.once('exit', this.#atExit)
  }

  async start(name: SystemName, options: StartOptions = {}): Promise<System> {
    const port = await freePort()
    const own = join(this.folder, `${name}-${port}`)
    mkdirSync(own)
    const { child, system } = this.#spawn(name, port, own, options)
    const pid = child.pid ?? 0
    const started: System = { ...system, name, port, pid }
    this.#running.set(started, child)
    await answering(child, port, name)
    return started
  }

  #spawn(name: SystemName, port: number, own: string, options: StartOptions) {
    if (name === 'haproxy') return this.#haproxy(port, own)
    if (name === 'pgbouncer') return this.#pgbouncer(port, own, options)
    const mode = name.slice('gateway-'.length) as GatewayMode
    const made = installGateway({
      ...options,
      folder: own,
      shared: this.folder,
      mode,
      port,
      server: this.#server.port,
    })
    const collecting = options.collects === true ? ['--expose-gc', '--import', COLLECT] : []
    const child = run(process.execPath, [...collecting, ...made.command])
    return { child, system: { user: 'alice~db', book: made.book } }
  }

  #haproxy(port: number, own: string) {
    const config = write(own, 'haproxy.cfg', [
      'global',
      '  nbthread 1',
      '  maxconn 4000',
      'defaults',
      '  mode tcp',
      '  timeout connect 10s',
      '  timeout client 1h',
      '  timeout server 1h',
      'listen postgres',
      `  bind 127.0.0.1:${port}`,
      `  server one 127.0.0.1:${this.#server.port}`,
    ])
    return { child: run('haproxy', ['-db', '-f', config]), system: { user: 'postgres' } }
  }

  #pgbouncer(port: number, own: string, { tlsToServer, unshared }: StartOptions) {
    const users = write(own, 'users.txt', [`"postgres" "${PASSWORD}"`])
    const config = write(own, 'pgbouncer.ini', [
      '[databases]',
      `* = host=127.0.0.1 port=${this.#server.port}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${port}`,
      'unix_socket_dir =',
      'pool_mode = session',
      'auth_type = scram-sha-256',
      `auth_file = ${users}`,
      'max_client_conn = 2000',
      'default_pool_size = 1050',
      'log_connections = 0',
      'log_disconnections = 0',
      'client_tls_sslmode = allow',
      `client_tls_cert_file = ${write(own, 'tls.crt', [readFileSync(join(this.folder, 'tls.crt'), 'utf8')])}`,
      `client_tls_key_file = ${write(own, 'tls.key', [readFileSync(join(this.folder, 'tls.key'), 'utf8')])}`,
      `server_tls_sslmode = ${tlsToServer === true ? 'require' : 'disable'}`,
      ...(unshared === true ? ['server_lifetime = 0'] : []),
    ])
    if (process.getuid?.() === 0) chownSync(own, NOBODY, NOBODY)
    return { child: run('pgbouncer', ['-q', config], true), system: { user: 'postgres' } }
  }

  async stop(system: System): Promise<void> {
    const child = this.#running.get(system)
    if (child === undefined) return
    this.#running.delete(system)
    if (child.exitCode !== null) return
    const ended = once(child, 'exit')
    // What pgbouncer and haproxy still serve does not matter here; the gateway's book is closed in order.
    child.kill(system.book === undefined ? 'SIGKILL' : 'SIGTERM')
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#atExit)
    for (const system of [...this.#running.keys()]) await this.stop(system)
    this.#server[Symbol.dispose]()
  }
}

const NOBODY = 65_534
const COLLECT = new URL('../collect.ts', import.meta.url).pathname
const COLLECTION_MS = 1500

function run(command: string, args: readonly string[], unprivileged = false): ChildProcess {
  const account = unprivileged && process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin`, PGPW: PASSWORD }
  return spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env, ...account })
}

function write(folder: string, name: string, lines: readonly string[]): string {
  const path = join(folder, name)
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 })
  if (process.getuid?.() === 0) chownSync(path, NOBODY, NOBODY)
  return path
}

const START_ATTEMPTS = 400

export async function answering(child: ChildProcess, port: number, name: string): Promise<void> {
  const said: Buffer[] = []
  child.stderr?.on('data', (chunk: Buffer) => {
    if (said.length < 64) said.push(chunk)
  })
  for (let attempt = 0; attempt < START_ATTEMPTS; attempt++) {
    if (child.exitCode !== null)
      throw new Error(`${name} ended with ${child.exitCode}: ${Buffer.concat(said)}`)
    if (await answers(port)) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`${name} did not start: ${Buffer.concat(said)}`)
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => socket.end(() => resolve(true)))
    socket.once('error', () => resolve(false))
  })
}

/** CPU so far, by thread where the process has several kinds of them. Nothing stands between client and server directly. */
export function timesOf({ pid }: System): ThreadTimes | undefined {
  return pid === undefined ? undefined : threadTimes(pid)
}

export interface Memory {
  readonly now: number
  readonly peak: number
}

/** In bytes. */
export function memoryOf({ pid }: System): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  const field = (name: string): number =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024
  return { now: field('VmRSS'), peak: field('VmHWM') }
}

/** What is dead in a gateway's gate is given back; of other systems there is nothing to collect. */
export async function collectGarbage({ pid, book }: System): Promise<void> {
  if (pid === undefined || book === undefined) return
  // What the first one lets go of on the side of the system, the second counts no more.
  for (let k = 0; k < 2; k++) {
    process.kill(pid, 'SIGUSR2')
    await new Promise((resolve) => setTimeout(resolve, COLLECTION_MS))
  }
}

/** The peak counts from now on. */
export function forgetPeak({ pid }: System): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}
