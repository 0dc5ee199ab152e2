/** An installation of the gateway as an operator has one: configuration, keys, an empty book. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Accounts } from '../../../src/access/accounts.ts'
import { SCRAM_ITERATIONS, SCRAM_SALT_BYTES, scramVerifier } from '../../../src/access/verifier.ts'
import { createBook } from '../../../src/book/create.ts'
import { bookFiles } from '../../../src/book/files.ts'
import { systemClock } from '../../../src/system/clock.ts'
import { KEK_BYTES } from '../../support/books.ts'

export const PASSWORD = 'correct horse battery staple'

export type GatewayMode = 'relaxed' | 'standard' | 'strict' | 'off'

const MAIN = new URL('../../../src/main.ts', import.meta.url).pathname
const OFF = new URL('./off.ts', import.meta.url).pathname

export interface Installation {
  /** Of this gateway alone. */
  readonly folder: string
  /** Where the certificate lies. */
  readonly shared: string
  readonly mode: GatewayMode
  readonly port: number
  readonly server: number
  readonly tlsToServer?: boolean
  readonly data?: string
}

export const ORIGIN = 'bench.example/book'

/** Gives the arguments to run it with, and its book. */
export function installGateway(options: Installation): { command: string[]; book: string } {
  const { folder, mode } = options
  const data = options.data ?? join(folder, 'data')
  if (options.data === undefined) makeData(data)
  const salt = randomBytes(SCRAM_SALT_BYTES)
  const { storedKey, serverKey } = scramVerifier(PASSWORD, salt)
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  const verifier = `SCRAM-SHA-256$${SCRAM_ITERATIONS}:${base64(salt)}$${base64(storedKey)}:${base64(serverKey)}`
  writeFileSync(join(folder, 'password'), `${verifier}\n`)
  // A book that has grown has its index, under the key it was grown with.
  const kek = options.data === undefined ? randomBytes(32) : Buffer.from(KEK_BYTES)
  writeFileSync(join(folder, 'record.kek'), `${kek.toString('base64')}\n`)
  const config = join(folder, 'gatebook.yaml')
  writeFileSync(config, configOf(options, data))
  const flags = mode === 'off' ? ['--import', OFF] : []
  return { command: [...flags, MAIN, 'serve', '--config', config], book: bookFiles(data).book }
}

export function makeData(data: string): void {
  createBook({ directory: data, origin: ORIGIN, ballastBytes: 0 })
  Accounts.create(join(data, 'accounts.db'), { clock: systemClock })[Symbol.dispose]()
}

function configOf({ folder, shared, mode, port, server, tlsToServer }: Installation, data: string): string {
  mkdirSync(join(folder, 'control'), { mode: 0o700 })
  return `version: 1
gateway:
  name: ${ORIGIN.split('/')[0]}
  data_dir: ${data}
  tls: { cert: ${shared}/tls.crt, key: ${shared}/tls.key }
  control: { socket: ${folder}/control/socket }
  contact: Ask yourself.
listeners:
  postgres: { type: postgres, address: "127.0.0.1:${port}", require_tls: false }
auth:
  sessions: { max: 12h, idle: 1h }
  lockout: { failures: 5, window: 10m, for: 15m }
users:
  alice: { groups: [bench], password: "file:password" }
groups:
  bench: {}
targets:
  db:
    type: postgres
    address: "127.0.0.1:${server}"
    database: postgres
    tls: { mode: ${tlsToServer === true ? 'require' : 'disable'} }
    credentials: { user: postgres, password: "env:PGPW" }
roles:
  writer: { targets: ["*"] }
grants:
  - { group: bench, role: writer }
policies: []
recording:
  durability: ${mode === 'off' ? 'relaxed' : mode}
  sql: { parameters: keep, max_statement: 16MiB }
  encryption: { key: "file:record.kek" }
integrity: { signing_key: ${data}/book.key }
`
}
