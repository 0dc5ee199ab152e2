/** A whole gateway in this process: a real book, real accounts, real sockets; small files, in memory where possible. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { Accounts, type CreatedToken } from '../../src/access/accounts.ts'
import { SCRAM_ITERATIONS, SCRAM_SALT_BYTES, scramVerifier } from '../../src/access/verifier.ts'
import { createBook } from '../../src/book/create.ts'
import { formatFault } from '../../src/config/faults.ts'
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts'
import { call } from '../../src/control/client.ts'
import type { SessionRow } from '../../src/control/commands.ts'
import { createLog } from '../../src/system/log.ts'
import { App, type AppOptions } from '../../src/wiring/app.ts'
import { type CheckedBook, checkBook } from './check-book.ts'
import { BookReader, type ReadBook } from './gateway-book.ts'
import { newAuthority, type TestAuthority } from './gateway-certificates.ts'
import { HurriedClock } from './gateway-clock.ts'

/** What the tests' people log in with. */
export const PASSWORD = 'correct horse battery staple'

const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const JOURNAL_BYTES = 8 << 20
const LOOK_EVERY_MS = 25
const LOOKS_MAX = 800

export interface GatewayOptions extends Pick<AppOptions, 'openJournal'> {
  /** The targets, as YAML below `targets:`, without indentation. */
  readonly targets: string
  /** Files beside the configuration, for `file:` secrets and certificates. */
  readonly files?: Readonly<Record<string, string>>
  /** Places of the configuration to change: see CONFIG. */
  readonly changes?: readonly (readonly [from: string, to: string])[]
  readonly journalBytes?: number
  /** Where the data lie already, of a gateway that has ended. */
  readonly folder?: string
}

/** Everybody's password is PASSWORD. */
const CONFIG = `version: 1
gateway:
  name: gw.test
  data_dir: data
  tls: { cert: tls.crt, key: tls.key }
  contact: Ask the data people.
listeners:
  postgres: { type: postgres, address: "127.0.0.1:0", require_tls: false }
  encrypted: { type: postgres, address: "127.0.0.1:0", login: password }
auth:
  sessions: { max: 12h, idle: 30m }
  lockout: { failures: 5, window: 10m, for: 15m }
users:
  alice: { groups: [engineering], password: "file:password" }
  bob: { groups: [readers], password: "file:password" }
  carol: { groups: [], password: "file:password" }
  dave: { groups: [engineering], password: "file:password" }
groups:
  engineering: {}
  readers: {}
targets:
TARGETS
roles:
  writer: { targets: ["*"] }
  reader: { targets: ["*"], read_only: true }
grants:
  - { group: engineering, role: writer }
  - { group: readers, role: reader }
policies: []
recording:
  durability: standard
  sql: { parameters: keep, max_statement: 1MiB }
  encryption: { key: "file:record.kek" }
integrity: { signing_key: data/book.key }
`

export class TestGateway implements AsyncDisposable {
  readonly folder: string
  readonly authority: TestAuthority
  readonly clock: HurriedClock
  /** What failed for good, in the words of the recorder. */
  readonly failures: Error[] = []
  /** Lines of the gateway's own log at level `warn` and above. */
  readonly log: string[] = []
  #config: string
  #app: App | undefined

  private constructor(folder: string, authority: TestAuthority, clock: HurriedClock, config: string) {
    this.folder = folder
    this.authority = authority
    this.clock = clock
    this.#config = config
  }

  static async start(options: GatewayOptions): Promise<TestGateway> {
    const folder = options.folder ?? mkdtempSync(join(SCRATCH, 'gatebook-gate-'))
    const authority = newAuthority('Gatebook test')
    const clock = new HurriedClock()
    if (options.folder === undefined) install(folder, options.journalBytes ?? JOURNAL_BYTES, clock)
    const write = (name: string, text: string): void => writeFileSync(join(folder, name), text)
    const { cert, key } = authority.issue('localhost')
    write('tls.crt', cert)
    write('tls.key', key)
    write('ca.pem', authority.ca)
    for (const [name, text] of Object.entries(options.files ?? {})) write(name, text)
    const targets = options.targets.replace(/^/gm, '  ')
    const config = changed(
      CONFIG.replace('TARGETS', () => targets),
      options.changes ?? [],
    )
    const gateway = new TestGateway(folder, authority, clock, config)
    await gateway.#start(options)
    return gateway
  }

  get data(): string {
    return join(this.folder, 'data')
  }

  get app(): App {
    if (this.#app === undefined) throw new Error('the gateway has ended')
    return this.#app
  }

  get caFile(): string {
    return join(this.folder, 'ca.pem')
  }

  /** Of the listener that takes SCRAM, with and without TLS, unless another is named. */
  port(listener = 'postgres'): number {
    const found = this.app.listening.find(({ name }) => name === listener)
    if (found === undefined) throw new Error(`no listener ${listener}`)
    return found.port
  }

  /** Puts a changed configuration in force, as `gatebook reload` does. */
  async reload(changes: readonly (readonly [from: string, to: string])[]): Promise<void> {
    this.#config = changed(this.#config, changes)
    await this.control('reload')
  }

  /** A command over the control socket. */
  control(command: string, given: unknown = {}): Promise<unknown> {
    return call({ socket: join(this.data, 'control', 'socket') }, command, given)
  }

  async live(): Promise<readonly SessionRow[]> {
    return (await this.control('sessions.list')) as readonly SessionRow[]
  }

  /** As `gatebook token create` does, beside the running gateway. */
  createToken(user: string, expiresInMs = 3600_000): CreatedToken {
    using accounts = this.#accounts()
    const expires = this.clock.now() + expiresInMs
    return accounts.createToken({ user, label: 'test', expires, salt: SALT })
  }

  revokeToken(id: string): void {
    using accounts = this.#accounts()
    accounts.revokeToken(id)
  }

  openBook(): BookReader {
    return new BookReader(this.data, readFileKek(this.folder))
  }

  /** What the book says now. */
  read(): ReadBook {
    using reader = this.openBook()
    return reader.read()
  }

  /** What the book says once `isThere` holds; the book follows the journal within a fifth of a second. */
  async readWhen(isThere: (book: ReadBook) => boolean, reader?: BookReader): Promise<ReadBook> {
    using own = reader === undefined ? this.openBook() : undefined
    let book: ReadBook | undefined
    for (let look = 0; look < LOOKS_MAX; look++) {
      book = (reader ?? own)?.read()
      if (book !== undefined && isThere(book)) return book
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
    throw new Error(`the book never said it:\n${JSON.stringify(book, null, 1).slice(-4000)}`)
  }

  verify(options: { closed?: boolean } = {}): CheckedBook {
    return checkBook(this.data, options)
  }

  /** Ends in order, with all that was recorded in the book. */
  async stop(graceMs = 0): Promise<void> {
    const app = this.#app
    this.#app = undefined
    await app?.stop(graceMs)
  }

  /** Ends, verifies, and tells what the book holds. */
  async finish(): Promise<ReadBook> {
    await this.stop()
    this.verify({ closed: true })
    return this.read()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #accounts(): Accounts {
    return Accounts.open(join(this.data, 'accounts.db'), { clock: this.clock })
  }

  async #start({ openJournal }: GatewayOptions): Promise<void> {
    const read = async (): Promise<LoadedConfig> => this.#read()
    const log = new Writable({
      write: (line: Buffer, _, done) => {
        this.log.push(line.toString())
        done()
      },
    })
    this.#app = await App.start({
      loaded: this.#read(),
      read,
      env: {},
      release: '0.0.0-test',
      log: createLog('warn', log),
      acceptJournalLoss: false,
      onFailure: (error) => this.failures.push(error),
      clock: this.clock,
      ...(openJournal === undefined ? {} : { openJournal }),
    })
  }

  #read(): LoadedConfig {
    const loaded = loadConfig(this.#config, join(this.folder, 'gatebook.yaml'), 'gatebook.yaml')
    if (loaded.type === 'faults') throw new Error(loaded.faults.map(formatFault).join('\n'))
    return loaded
  }
}

const SALT = randomBytes(SCRAM_SALT_BYTES)

function install(folder: string, journalBytes: number, clock: HurriedClock): void {
  const data = join(folder, 'data')
  mkdirSync(folder, { recursive: true })
  createBook({ directory: data, origin: 'gw.test/book', journalBytes, ballastBytes: 64 << 10 })
  Accounts.create(join(data, 'accounts.db'), { clock })[Symbol.dispose]()
  writeFileSync(join(folder, 'record.kek'), `${randomBytes(32).toString('base64')}\n`)
  writeFileSync(join(folder, 'password'), `${scramText(PASSWORD)}\n`)
}

function scramText(password: string): string {
  const { storedKey, serverKey } = scramVerifier(password, SALT)
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  return `SCRAM-SHA-256$${SCRAM_ITERATIONS}:${text(SALT)}$${text(storedKey)}:${text(serverKey)}`
}

function readFileKek(folder: string): Uint8Array {
  return Buffer.from(readFileSync(join(folder, 'record.kek'), 'utf8').trim(), 'base64')
}

function changed(text: string, changes: readonly (readonly [from: string, to: string])[]): string {
  return changes.reduce((whole, [from, to]) => {
    if (!whole.includes(from)) throw new Error(`nothing to change: ${from}`)
    return whole.replace(from, () => to)
  }, text)
}
