/**
 * `gatebook init`: a first installation in a new folder, complete or not there at all. Everything is written into
 * a folder beside it, flushed to the disk, and only then given its name.
 */
import { type KeyObject, randomBytes } from 'node:crypto'
import { constants, promises } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Accounts } from '../access/accounts.ts'
import { newHostKey } from '../access/hosts.ts'
import { createBook } from '../book/create.ts'
import { formatFault } from '../config/faults.ts'
import { loadConfig } from '../config/load.ts'
import { issueCertificate, makeAuthority, newCertificateKey, toPem } from '../system/certificate.ts'
import type { Clock } from '../system/clock.ts'
import { OperatorError, wordsOf } from '../system/operator-error.ts'
import { EXIT, type Io } from './io.ts'

export interface InitOptions {
  readonly folder: string
  /** The gateway's name, part of the book's origin: it cannot be changed afterwards. */
  readonly name: string
  /** Names and IP addresses under which clients will reach it, besides this machine's own. */
  readonly hosts: readonly string[]
  /** The first user. */
  readonly user: string
  readonly clock: Clock
  /** Smaller for tests; as large as the book needs them unless told. */
  readonly sizes?: { readonly journalBytes: number; readonly ballastBytes: number }
}

const LOCAL_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '::1']
const DAY_MS = 86_400_000
const AUTHORITY_DAYS = 3650
/** Longer ones are refused by some clients. */
const SERVER_DAYS = 825
const TOKEN_DAYS = 30

export async function init(options: InitOptions, io: Io): Promise<number> {
  const folder = resolve(options.folder)
  const partial = `${folder}.partial-${randomBytes(4).toString('hex')}`
  await demandNew(folder)
  try {
    const made = await build(partial, folder, options)
    await flushTree(partial)
    // Behind this line it exists under its name, whole, even after a power cut.
    await promises.rename(partial, folder)
    await flush(dirname(folder))
    tellNext(options, made, io)
    return EXIT.ok
  } catch (cause) {
    await promises.rm(partial, { recursive: true, force: true })
    if (cause instanceof OperatorError) throw cause
    throw new OperatorError('disk', `creating ${folder}: ${wordsOf(cause)}`, { cause })
  }
}

async function demandNew(folder: string): Promise<void> {
  const exists = await promises.access(folder).then(
    () => true,
    () => false,
  )
  if (exists)
    throw new OperatorError('usage', `${folder} exists already: an installation is never written over`)
}

interface Made {
  readonly vkey: string
  readonly secret: string
  /** The fingerprint of the key that this gateway shows to SSH clients. */
  readonly hostKey: string
}

async function build(partial: string, folder: string, options: InitOptions): Promise<Made> {
  const { name, hosts, user, clock, sizes } = options
  const write = (file: string, content: string) =>
    promises.writeFile(join(partial, file), content, { mode: 0o600, flag: 'wx' })

  const config = configText(name, user)
  const loaded = loadConfig(config, join(folder, 'config.yaml'), 'config.yaml')
  if (loaded.type === 'faults') throw new OperatorError('usage', loaded.faults.map(formatFault).join('\n'))

  await promises.mkdir(join(partial, 'keys'), { recursive: true, mode: 0o700 })
  await write('config.yaml', config)
  await writeCertificates(write, name, [...new Set([...hosts, ...LOCAL_HOSTS])], clock.now())
  await write('keys/kek', `${randomBytes(32).toString('base64')}\n`)
  const hostKey = newHostKey()
  await write('keys/ssh_host_ed25519.key', hostKey.pem)
  await write('ssh_host.pub', `${hostKey.line}\n`)
  const data = join(partial, 'data')
  const vkey = createBook({
    directory: data,
    origin: `${name}/book`,
    signingKey: join(partial, 'keys', 'book.key'),
    ...sizes,
  })
  await write('book.vkey', `${vkey}\n`)

  const accounts = Accounts.create(join(partial, 'data', 'accounts.db'), { clock })
  const expires = clock.now() + TOKEN_DAYS * DAY_MS
  const { secret } = accounts.createToken({ user, label: 'made by gatebook init', expires })
  accounts[Symbol.dispose]()
  return { vkey, secret, hostKey: hostKey.fingerprint }
}

type Write = (file: string, content: string) => Promise<void>

async function writeCertificates(
  write: Write,
  name: string,
  hosts: readonly string[],
  now: number,
): Promise<void> {
  // An hour ago, for clients whose clocks are late.
  const notBefore = new Date(now - 3_600_000)
  const until = (days: number): { notBefore: Date; notAfter: Date } => ({
    notBefore,
    notAfter: new Date(now + days * DAY_MS),
  })
  const authorityName = `Gatebook ${name}`
  const authority = makeAuthority(
    { commonName: authorityName, hosts: [], serial: randomBytes(16), ...until(AUTHORITY_DAYS) },
    newCertificateKey(),
  )
  const key = newCertificateKey()
  const request = { commonName: hosts[0] ?? name, hosts, serial: randomBytes(16), ...until(SERVER_DAYS) }
  const server = issueCertificate(request, key, authority)
  await write('ca.crt', toPem(authority.der))
  await write('keys/ca.key', pemOf(authority.key))
  await write('keys/tls.crt', toPem(server.der))
  await write('keys/tls.key', pemOf(key))
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

async function flushTree(folder: string): Promise<void> {
  for (const entry of await promises.readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await flushTree(path)
    else await flush(path)
  }
  await flush(folder)
}

async function flush(path: string): Promise<void> {
  await using file = await promises.open(path, constants.O_RDONLY)
  await file.sync()
}

function tellNext({ user, name, ...options }: InitOptions, { vkey, secret, hostKey }: Made, io: Io): void {
  const folder = resolve(options.folder)
  const config = join(folder, 'config.yaml')
  io.stdout.write(`${folder} is ready.

The book of ${name} is verified with this key. Keep a copy where this machine cannot change it:
  ${vkey}

${user} logs in with this token for ${TOKEN_DAYS} days. It is not shown again:
  ${secret}

Next:
  1. Name a target in ${config}: the end of the file shows how.
  2. gatebook check ${config}
  3. gatebook serve --config ${config}
  4. psql "postgresql://${user}~TARGET@localhost:6432/DATABASE?sslmode=verify-full&sslrootcert=${join(folder, 'ca.crt')}"
     ssh -p 2222 ${user}~TARGET@localhost        # its key: ${hostKey}
  5. https://localhost:8443 is the console: sign in as ${user} with the token
Move ${join(folder, 'keys', 'ca.key')} off this machine: it is needed only for the next certificate.
`)
}

function configText(name: string, user: string): string {
  return `version: 1

gateway:
  name: ${JSON.stringify(name)}
  data_dir: data
  tls: { cert: keys/tls.crt, key: keys/tls.key }

# People connect as user~target, for example ${user}~orders.
listeners:
  postgres: { type: postgres, address: 127.0.0.1:6432 }
  ssh: { type: ssh, address: 127.0.0.1:2222, host_key: file:keys/ssh_host_ed25519.key }
  # The web console: https://localhost:8443, with the same name and token.
  console: { type: console, address: 127.0.0.1:8443 }

groups:
  everyone: {}

# Tokens are not written here: gatebook token create ${user}
users:
  ${JSON.stringify(user)}: { groups: [everyone] }

roles:
  use-all: { targets: ["*"] }
  # Reads everything that was recorded and ends sessions; without such a role people see their own sessions only.
  admin: { read: { targets: ["*"], see: replay, admin: true } }

grants:
  - { group: everyone, role: use-all }
  - { user: ${JSON.stringify(user)}, role: admin }

recording:
  encryption: { key: file:keys/kek }

integrity:
  signing_key: keys/book.key

# Replace {} by targets such as this one. Nobody but the gateway knows its account; a secret is env:NAME or
# file:PATH, never the value itself.
#   orders:
#     type: postgres
#     address: db-1.internal:5432
#     database: orders
#     tls: { mode: verify-full, ca: db-ca.pem }
#     credentials: { user: gatebook, password: env:ORDERS_PW }
#   web-1:                            # gatebook pin web-1 shows its key, and writes it down when you say so
#     type: ssh
#     address: web-1.internal:22
#     known_hosts: known_hosts
#     credentials: { user: deploy, private_key: file:keys/web.key }
targets: {}
`
}
