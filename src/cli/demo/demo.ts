/**
 * `gatebook demo`: a gateway with something to reach behind it, on loopback, with passwords made for this run. What
 * it prints can be pasted; then it prints a line for each recorded statement.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { openForReading } from '../../book/database.ts'
import { bookFiles } from '../../book/files.ts'
import { KeyStore } from '../../book/keys.ts'
import { follow } from '../../read/follow.ts'
import { type Line, Lines } from '../../read/lines.ts'
import { Unsealer } from '../../read/unseal.ts'
import { createLog } from '../../system/log.ts'
import { readableLines } from '../../system/log-lines.ts'
import { App } from '../../wiring/app.ts'
import { readKek } from '../../wiring/recording.ts'
import { configOrFail, type Io, visible } from '../io.ts'
import { CALLED, RELEASE } from '../release.ts'
import { took } from '../times.ts'
import { writeDemo } from './files.ts'
import { startDemoHost } from './host.ts'
import { startDemoMariadb } from './mariadb.ts'
import { startEmbeddedPostgres } from './postgres.ts'
import { seedShop } from './shop.ts'

export interface DemoOptions {
  readonly data?: string
  readonly keep: boolean
  readonly portBase?: number
  readonly json: boolean
}

const POSTGRES_PORT = 6432
const SSH_PORT = 2222
const MYSQL_PORT = 3307
const CONSOLE_PORT = 6080
const LINE_TEXT_MAX = 60

/** What is told when all is ready. */
export interface DemoReady {
  readonly data: string
  readonly postgres: {
    readonly host: string
    readonly port: number
    readonly user: string
    readonly password: string
    readonly database: string
    readonly url: string
  }
  readonly ssh: {
    readonly host: string
    readonly port: number
    readonly user: string
    readonly password: string
    /** Holds the gateway's key, so that nobody has to believe it at first sight. */
    readonly knownHosts: string
    readonly command: string
  }
  /** Where a MariaDB server is installed. */
  readonly mysql?: {
    readonly host: string
    readonly port: number
    readonly user: string
    readonly password: string
    readonly database: string
    readonly command: string
  }
  readonly console: { readonly url: string; readonly user: string; readonly password: string }
}

export async function demo(options: DemoOptions, io: Io): Promise<number> {
  await using undo = new AsyncDisposableStack()
  const stopped = signalled()
  const data = resolve(options.data ?? mkdtempSync(join(tmpdir(), 'gatebook-demo-')))
  const removed = options.data === undefined && !options.keep
  if (removed) undo.defer(() => rmSync(data, { recursive: true, force: true }))
  const superuser = randomBytes(18).toString('base64url')
  const server = undo.use(await startEmbeddedPostgres(superuser))
  const shop = await seedShop({ port: server.port, password: superuser })
  const host = undo.use(await startDemoHost())
  const mariadb = undo.use(await startDemoMariadb())
  const ports = await choosePorts(options.portBase)
  const secrets = { password: newPassword(), adminPassword: newPassword() }
  const parts = { shop, targetPort: server.port, host, mariadb, user: 'alice', ...ports, ...secrets }
  const { config, token } = writeDemo(data, parts)
  const read = () => configOrFail(config)
  const loaded = await read()
  const log = createLog('warn', process.stderr.isTTY ? readableLines(io.stderr) : io.stderr)
  const failed = Promise.withResolvers<number>()
  const app = await App.start({
    loaded,
    read,
    env: process.env,
    release: RELEASE,
    log,
    acceptJournalLoss: false,
    onFailure: () => failed.resolve(1),
  })
  undo.defer(() => app.stop(0))
  const mysqlToken = mariadb === undefined ? undefined : token
  const ready = readyOf(data, { ...ports, ...secrets, mysqlToken })
  if (options.json) io.stdout.write(`${JSON.stringify(ready)}\n`)
  else tellReady(ready, app.vkey, removed, io)
  const watching = new AbortController()
  const watched = options.json
    ? Promise.resolve()
    : watch(data, await readKek({ loaded, env: process.env }), watching.signal, io)
  const code = await Promise.race([stopped.then(() => 0), failed.promise])
  watching.abort()
  await watched
  if (!options.json)
    io.stderr.write(`\n${removed ? 'everything is removed' : `what was recorded is in ${data}`}\n`)
  return code
}

interface Ports {
  readonly port: number
  readonly sshPort: number
  readonly mysqlPort: number
  readonly consolePort: number
}

async function choosePorts(asked: number | undefined): Promise<Ports> {
  const choose = (usual: number, behind: number): Promise<number> =>
    freePort(asked === undefined ? usual : asked + behind, asked !== undefined)
  return {
    port: await choose(POSTGRES_PORT, 0),
    sshPort: await choose(SSH_PORT, 1),
    mysqlPort: await choose(MYSQL_PORT, 2),
    consolePort: await choose(CONSOLE_PORT, 3),
  }
}

interface Secrets {
  readonly password: string
  readonly adminPassword: string
  /** Where there is a target of that kind. */
  readonly mysqlToken: string | undefined
}

function readyOf(data: string, places: Ports & Secrets): DemoReady {
  const { port, sshPort, mysqlPort, consolePort, password, adminPassword, mysqlToken } = places
  const user = 'alice~orders'
  const database = 'shop'
  const host = '127.0.0.1'
  const url = `postgresql://${user}:${password}@${host}:${port}/${database}`
  const knownHosts = join(data, 'demo', 'known_hosts')
  const command = `ssh -p ${sshPort} -o UserKnownHostsFile=${knownHosts} alice~web@${host}`
  return {
    data,
    postgres: { host, port, user, password, database, url },
    ssh: { host, port: sshPort, user: 'alice~web', password, knownHosts, command },
    ...(mysqlToken === undefined ? {} : { mysql: mysqlOf(host, mysqlPort, mysqlToken) }),
    console: { url: `http://${host}:${consolePort}`, user: 'admin', password: adminPassword },
  }
}

/** Its listener leads to one target, which need not be named. */
function mysqlOf(host: string, port: number, password: string): NonNullable<DemoReady['mysql']> {
  const [user, database] = ['alice', 'stock']
  const command = `mariadb -h ${host} -P ${port} -u ${user} -p${password} ${database}`
  return { host, port, user, password, database, command }
}

function tellReady(ready: DemoReady, vkey: string, removed: boolean, io: Io): void {
  const { data, postgres, ssh, mysql, console } = ready
  const { url, host, port, password } = postgres
  io.stdout.write(`
  postgres  ready   psql "${url}"
            or      psql "${url.replace(`:${password}`, '')}"     password: ${password}
            or      ${CALLED} connect orders --user alice --host ${host} --port ${port}
  ssh       ready   ${ssh.command}     password: ${password}
  mysql     ${mysql === undefined ? 'no MariaDB server is installed here' : `ready   ${mysql.command}`}
  console   ready   ${console.url}  sign in as ${console.user} / ${console.password}
  book      ready   ${CALLED} verify --data ${data} --key '${vkey}'

  Run a line in another terminal and try something; then look at it in the console.
  (ctrl-C ends the demo${removed ? ' and removes everything; --keep keeps it' : ''})
  Each statement and command is recorded before it runs:

`)
}

/** Prints what is recorded, from now on. */
async function watch(
  data: string,
  kek: Awaited<ReturnType<typeof readKek>>,
  signal: AbortSignal,
  io: Io,
): Promise<void> {
  const files = bookFiles(data)
  const db = openForReading(files.book)
  const keys = openForReading(files.keys)
  const { origin } = parseHead(db.prepare('SELECT note FROM head').pluck().get())
  const lines = new Lines(new Unsealer(db, new KeyStore(keys), kek, origin))
  const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))
  try {
    for await (const followed of follow(db, 0, { sleep, signal })) {
      const line = lines.of(followed)
      if (line !== undefined) io.stdout.write(`  ${describeLine(line)}\n`)
    }
  } finally {
    db.close()
    keys.close()
  }
}

function parseHead(note: unknown): { origin: string } {
  return { origin: String(note).split('\n')[0] ?? '' }
}

function describeLine({
  ts,
  seq,
  who,
  target,
  act,
  text,
  outcome,
  code,
  rows,
  duration,
  hash,
}: Line): string {
  const flat = visible(text.replace(/\s+/g, ' ').trim())
  const shown = flat.length > LINE_TEXT_MAX ? `${flat.slice(0, LINE_TEXT_MAX - 1)}…` : flat
  const result = outcome === 'ok' ? '' : `${outcome}${code === undefined ? '' : ` ${code}`}`
  const counted = rows === undefined ? '' : `${rows} ${rows === 1 ? 'row' : 'rows'}`
  const parts = [
    `#${seq}`,
    target === '' ? visible(who) : `${visible(who)} → ${target}`,
    shown === '' ? act : shown,
    result,
    counted,
    duration === undefined ? '' : took(duration),
    hash.slice(0, 8),
  ]
  return `${new Date(ts / 1000).toISOString().slice(11, 19)}  ${parts.filter((part) => part !== '').join('  ')}`
}

/** The port asked for, or any free one where it is taken and was not asked for by name. */
async function freePort(wanted: number, asked: boolean): Promise<number> {
  const tryPort = (port: number): Promise<number | undefined> =>
    new Promise((done) => {
      const probe = createServer()
      probe.once('error', () => done(undefined))
      probe.listen(port, '127.0.0.1', () => {
        const address = probe.address()
        probe.close(() => done(typeof address === 'object' && address !== null ? address.port : port))
      })
    })
  const free = await tryPort(wanted)
  if (free !== undefined || asked) return wanted
  return (await tryPort(0)) ?? wanted
}

function newPassword(): string {
  const letters = 'abcdefghjkmnpqrstvwxyz23456789'
  const word = (): string => Array.from(randomBytes(5), (byte) => letters[byte % letters.length]).join('')
  return [word(), word(), word()].join('-')
}

/**
 * Signals go on being taken: a terminal's ^C reaches the demo and npm, which sends it on, and a second one must not
 * end the process before what it started has ended.
 */
function signalled(): Promise<void> {
  return new Promise((done) => {
    process.on('SIGINT', () => done())
    process.on('SIGTERM', () => done())
  })
}
