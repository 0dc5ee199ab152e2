/** An installation of the gateway before a MariaDB server, with a token to log in by. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Accounts } from '../../../src/access/accounts.ts'
import { SCRAM_SALT_BYTES } from '../../../src/access/verifier.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { newAuthority } from '../../support/gateway-certificates.ts'
import { makeData, ORIGIN } from '../postgres/installation.ts'

const MAIN = new URL('../../../src/main.ts', import.meta.url).pathname
const TOKEN_MS = 24 * 3600_000

export interface Installed {
  /** What to run it with, under this Node. */
  readonly command: readonly string[]
  readonly token: string
}

export function installGateway(folder: string, port: number, server: number, durability: string): Installed {
  const data = join(folder, 'data')
  mkdirSync(join(folder, 'control'), { recursive: true, mode: 0o700 })
  makeData(data)
  using accounts = Accounts.open(join(data, 'accounts.db'), { clock: systemClock })
  const expires = systemClock.now() + TOKEN_MS
  const salt = randomBytes(SCRAM_SALT_BYTES)
  const { secret } = accounts.createToken({ user: 'alice', label: 'bench', expires, salt })
  const certificate = newAuthority('Gatebook benchmark').issue('localhost')
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 })
  write('tls.crt', certificate.cert)
  write('tls.key', certificate.key)
  write('record.kek', `${randomBytes(32).toString('base64')}\n`)
  write('app.password', 'app secret\n')
  write('gatebook.yaml', configOf(folder, port, server, durability))
  return { command: [MAIN, 'serve', '--config', join(folder, 'gatebook.yaml')], token: secret }
}

function configOf(folder: string, port: number, server: number, durability: string): string {
  return `version: 1
gateway:
  name: ${ORIGIN.split('/')[0]}
  data_dir: ${folder}/data
  tls: { cert: tls.crt, key: tls.key }
  control: { socket: ${folder}/control/socket }
listeners:
  mysql: { type: mysql, address: "127.0.0.1:${port}", require_tls: false, family: mariadb, target: shop }
users:
  alice: { groups: [bench] }
groups:
  bench: {}
targets:
  shop:
    type: mysql
    address: "127.0.0.1:${server}"
    tls: { mode: disable }
    credentials: { user: app, password: "file:app.password" }
roles:
  writer: { targets: ["*"] }
grants:
  - { group: bench, role: writer }
policies: []
recording:
  durability: ${durability}
  sql: { parameters: keep }
  encryption: { key: "file:record.kek" }
integrity: { signing_key: ${folder}/data/book.key }
`
}
