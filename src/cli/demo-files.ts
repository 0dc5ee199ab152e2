/** The demo's installation: a book, an account, keys, a certificate and a configuration, all in one folder. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Accounts } from '../access/accounts.ts'
import { newHostKey } from '../access/hosts.ts'
import { SCRAM_ITERATIONS, SCRAM_SALT_BYTES, scramVerifier } from '../access/verifier.ts'
import { createBook } from '../book/create.ts'
import { issueCertificate, makeAuthority, newCertificateKey, toPem } from '../system/certificate.ts'
import { systemClock } from '../system/clock.ts'
import type { DemoHost } from './demo-host.ts'
import type { Shop } from './demo-shop.ts'

export interface DemoParts {
  readonly shop: Shop
  readonly targetPort: number
  readonly host: DemoHost
  readonly port: number
  readonly sshPort: number
  readonly user: string
  readonly password: string
  readonly consolePort: number
  /** Of the user `admin`, who reads everything and reaches nothing. */
  readonly adminPassword: string
}

const CERTIFICATE_DAYS = 365

/** Returns the configuration's path. A folder that holds a book already goes on with it. */
export function writeDemo(data: string, parts: DemoParts): string {
  if (!existsSync(join(data, 'book.db'))) {
    createBook({ directory: data, origin: 'demo/book' })
    Accounts.create(join(data, 'accounts.db'), { clock: systemClock })[Symbol.dispose]()
  }
  const folder = join(data, 'demo')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
  if (!existsSync(join(folder, 'record.kek'))) write('record.kek', `${randomBytes(32).toString('base64')}\n`)
  writeCertificates(write)
  write('alice.scram', `${scramText(parts.password)}\n`)
  write('admin.scram', `${scramText(parts.adminPassword)}\n`)
  write('orders.password', `${parts.shop.usual.password}\n`)
  write('orders-ro.password', `${parts.shop.readOnly.password}\n`)
  writeHostKey(write, folder, parts)
  write('gatebook.yaml', configText(data, parts))
  return join(folder, 'gatebook.yaml')
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

function scramText(password: string): string {
  const salt = randomBytes(SCRAM_SALT_BYTES)
  const { storedKey, serverKey } = scramVerifier(password, salt)
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  return `SCRAM-SHA-256$${SCRAM_ITERATIONS}:${text(salt)}$${text(storedKey)}:${text(serverKey)}`
}

function configText(data: string, parts: DemoParts): string {
  const { shop, targetPort, host, port, sshPort, user, consolePort } = parts
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
users:
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
roles:
  shop: { targets: [orders] }
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
