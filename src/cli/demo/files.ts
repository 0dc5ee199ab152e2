/** The demo's installation: a book, an account, keys, a certificate and a configuration, all in one folder. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Accounts } from '../../access/accounts.ts'
import { newHostKey } from '../../access/hosts.ts'
import { SCRAM_ITERATIONS, SCRAM_SALT_BYTES, scramVerifier } from '../../access/verifier.ts'
import { createBook } from '../../book/create.ts'
import { issueCertificate, makeAuthority, newCertificateKey, toPem } from '../../system/certificate.ts'
import { systemClock } from '../../system/clock.ts'
import type { DemoHost } from './host.ts'
import type { DemoMariadb } from './mariadb.ts'
import type { Shop } from './shop.ts'

export interface DemoParts {
  readonly shop: Shop
  readonly targetPort: number
  readonly host: DemoHost
  readonly port: number
  readonly sshPort: number
  /** Where one is installed. */
  readonly mariadb: DemoMariadb | undefined
  readonly mysqlPort: number
  readonly user: string
  readonly password: string
  readonly consolePort: number
  /** Of the user `admin`, who reads everything and reaches nothing. */
  readonly adminPassword: string
}

const CERTIFICATE_DAYS = 365

/** What MySQL clients log in with: they cannot prove a password that is kept for SCRAM, outside TLS. */
const TOKEN_LABEL = 'demo'

export interface DemoFiles {
  readonly config: string
  readonly token: string
}

/** A folder that holds a book already goes on with it. */
export function writeDemo(data: string, parts: DemoParts): DemoFiles {
  if (!existsSync(join(data, 'book.db'))) {
    createBook({ directory: data, origin: 'demo/book' })
    Accounts.create(join(data, 'accounts.db'), { clock: systemClock })[Symbol.dispose]()
  }
  const folder = join(data, 'demo')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
  if (!existsSync(join(folder, 'record.kek'))) write('record.kek', `${randomBytes(32).toString('base64')}\n`)
  writeCertificates(write)
  const salt = randomBytes(SCRAM_SALT_BYTES)
  write('alice.scram', `${scramText(parts.password, salt)}\n`)
  write('admin.scram', `${scramText(parts.adminPassword, randomBytes(SCRAM_SALT_BYTES))}\n`)
  write('orders.password', `${parts.shop.usual.password}\n`)
  write('orders-ro.password', `${parts.shop.readOnly.password}\n`)
  if (parts.mariadb !== undefined) {
    write('stock.password', `${parts.mariadb.stock.usual.password}\n`)
    write('stock-ro.password', `${parts.mariadb.stock.readOnly.password}\n`)
  }
  writeHostKey(write, folder, parts)
  write('config.yaml', configText(data, parts))
  return { config: join(folder, 'config.yaml'), token: newToken(data, parts.user, salt) }
}

/** Those of earlier demos in this folder end: their lines were printed and are forgotten. */
function newToken(data: string, user: string, salt: Uint8Array): string {
  using accounts = Accounts.open(join(data, 'accounts.db'), { clock: systemClock })
  for (const { id, label } of accounts.tokens(user)) if (label === TOKEN_LABEL) accounts.revokeToken(id)
  const expires = systemClock.now() + CERTIFICATE_DAYS * 24 * 3600_000
  return accounts.createToken({ user, label: TOKEN_LABEL, expires, salt }).secret
}

/** The gateway's key outlives a demo, so that clients that have seen it know it again. */
function writeHostKey(write: (name: string, text: string) => void, folder: string, parts: DemoParts): void {
  write('web.key', parts.host.privateKey)
  if (!existsSync(join(folder, 'ssh_host.key'))) {
    const { pem, line } = newHostKey()
    write('ssh_host.key', pem)
    write('ssh_host.pub', line)
  }
  const line = readFileSync(join(folder, 'ssh_host.pub'), 'utf8')
  write('known_hosts', `[127.0.0.1]:${parts.sshPort} ${line}\n`)
}

function writeCertificates(write: (name: string, text: string) => void): void {
  const notBefore = new Date(Date.now() - 3600_000)
  const notAfter = new Date(notBefore.getTime() + CERTIFICATE_DAYS * 24 * 3600_000)
  const request = { notBefore, notAfter, serial: randomBytes(16) }
  const authority = makeAuthority({ ...request, commonName: 'Gatebook demo', hosts: [] }, newCertificateKey())
  const key = newCertificateKey()
  const hosts = ['localhost', '127.0.0.1', '::1']
  const server = issueCertificate(
    { ...request, serial: randomBytes(16), commonName: 'localhost', hosts },
    key,
    authority,
  )
  write('ca.pem', toPem(authority.der))
  write('tls.crt', toPem(server.der))
  write('tls.key', String(key.export({ type: 'pkcs8', format: 'pem' })))
}

function scramText(password: string, salt: Uint8Array): string {
  const { storedKey, serverKey } = scramVerifier(password, salt)
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  return `SCRAM-SHA-256$${SCRAM_ITERATIONS}:${text(salt)}$${text(storedKey)}:${text(serverKey)}`
}

function stockTarget({ mariadb }: DemoParts): string {
  if (mariadb === undefined) return ''
  const { port, stock } = mariadb
  return `  stock:
    type: mysql
    address: "127.0.0.1:${port}"
    database: ${stock.database}
    tls: { mode: disable }
    credentials: { user: ${stock.usual.user}, password: "file:stock.password" }
    read_only_credentials: { user: ${stock.readOnly.user}, password: "file:stock-ro.password" }
`
}

function mysqlListener({ mariadb, mysqlPort }: DemoParts): string {
  if (mariadb === undefined) return ''
  const address = `"127.0.0.1:${mysqlPort}"`
  return `  mysql: { type: mysql, address: ${address}, require_tls: false, family: mariadb, target: stock }\n`
}

function configText(data: string, parts: DemoParts): string {
  const { shop, targetPort, host, port, sshPort, user, mariadb, consolePort } = parts
  const databases = mariadb === undefined ? 'orders' : 'orders, stock'
  const quoted = (path: string): string => JSON.stringify(path)
  return `version: 1
gateway:
  name: demo
  data_dir: ${quoted(data)}
  tls: { cert: tls.crt, key: tls.key }
listeners:
  postgres: { type: postgres, address: "127.0.0.1:${port}", require_tls: false }
  ssh: { type: ssh, address: "127.0.0.1:${sshPort}", host_key: "file:ssh_host.key" }
  console: { type: console, address: "127.0.0.1:${consolePort}", require_tls: false }
${mysqlListener(parts)}users:
  ${user}: { groups: [engineering], password: "file:alice.scram" }
  admin: { groups: [security], password: "file:admin.scram" }
groups:
  engineering: { description: Everybody who tries the demo }
  security: { description: Whoever reads what was recorded }
targets:
  orders:
    type: postgres
    address: "127.0.0.1:${targetPort}"
    database: ${shop.database}
    tls: { mode: disable }
    credentials: { user: ${shop.usual.user}, password: "file:orders.password" }
    read_only_credentials: { user: ${shop.readOnly.user}, password: "file:orders-ro.password" }
  web:
    type: ssh
    address: "127.0.0.1:${host.port}"
    host_key: ${host.hostKey}
    credentials: { user: ${host.user}, private_key: "file:web.key" }
${stockTarget(parts)}roles:
  shop: { targets: [${databases}] }
  web: { targets: [web] }
  admin: { read: { targets: ["*"], see: replay, admin: true } }
grants:
  - { group: engineering, role: shop }
  - { group: engineering, role: web }
  - { group: security, role: admin }
policies:
  - { id: no-bare-delete, when: { verb: [DELETE, UPDATE], where: none }, then: deny,
      message: DELETE and UPDATE need a WHERE clause here. }
recording:
  sql: { parameters: keep }
  encryption: { key: "file:record.kek" }
integrity: { signing_key: ${quoted(join(data, 'book.key'))} }
`
}
