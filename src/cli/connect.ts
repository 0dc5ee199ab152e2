/**
 * `gatebook connect TARGET`: the native client against the gateway, as oneself. Where a database's is not installed,
 * a small prompt stands in. Either way it is an ordinary connection: this command has no rights of its own.
 */
import { spawn, spawnSync } from 'node:child_process'
import { OperatorError } from '../system/operator-error.ts'
import { DEFAULT_CONFIG } from './gateway.ts'
import { configOrFail, type Io } from './io.ts'
import { promptMysql, promptPostgres } from './prompt.ts'

export interface ConnectOptions {
  readonly target: string
  readonly user: string
  readonly database?: string
  readonly config?: string
  /** Of the gateway, where no configuration tells it. */
  readonly host?: string
  readonly port?: number
  /** For the native client, as they stand. */
  readonly args: readonly string[]
}

export async function connect(options: ConnectOptions, io: Io): Promise<number> {
  const { type, host, port, tls } = await gatewayOf(options)
  const { target, database, args } = options
  const user = `${options.user}~${target}`
  if (type === 'ssh') return runClient('ssh', ['-p', String(port), '-l', user, host, ...args])
  const named = (flags: readonly string[]): string[] => (database === undefined ? [] : [...flags, database])
  const client = CLIENTS[type].find((name) => spawnSync(name, ['--version']).status === 0)
  if (client !== undefined && type === 'postgres')
    return runClient(client, ['-h', host, '-p', String(port), '-U', user, ...named(['-d']), ...args])
  if (client !== undefined) {
    // It asks for the password where the environment does not give it.
    const asked = process.env['MYSQL_PWD'] === undefined ? ['-p'] : []
    const secured = tls ? ['--ssl'] : []
    const way = ['-h', host, '-P', String(port), '-u', user, ...asked, ...secured]
    return runClient(client, [...way, ...args, ...named([])])
  }
  io.stderr.write(
    `${CLIENTS[type].join(' or ')} is not installed here; this is a small prompt. End it with \\q.\n`,
  )
  const login = { host, port, user, target, ...(database === undefined ? {} : { database }) }
  await (type === 'postgres' ? promptPostgres(login, io) : promptMysql(login, io))
  return 0
}

const CLIENTS = { postgres: ['psql'], mysql: ['mariadb', 'mysql'] } as const

interface Door {
  readonly type: 'postgres' | 'mysql' | 'ssh'
  readonly host: string
  readonly port: number
  /** Whether it refuses to talk without. */
  readonly tls: boolean
}

/** Without a configuration it is PostgreSQL's. */
async function gatewayOf(options: ConnectOptions): Promise<Door> {
  if (options.host !== undefined && options.port !== undefined && options.config === undefined)
    return { type: 'postgres', host: options.host, port: options.port, tls: false }
  const { config } = await configOrFail(options.config ?? DEFAULT_CONFIG)
  const type = config.targets.get(options.target)?.type
  if (type === undefined) throw new OperatorError('usage', `no target "${options.target}" is configured`)
  for (const listener of config.listeners.values()) {
    if (listener.type !== type || (listener.target ?? options.target) !== options.target) continue
    const { host, port } = listener.address
    return {
      type,
      host: options.host ?? (host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host),
      port: options.port ?? port,
      tls: listener.type === 'mysql' && listener.require_tls,
    }
  }
  throw new OperatorError('usage', `no listener leads to "${options.target}"`)
}

function runClient(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    // The client's own terminal: it asks for the password, and ctrl-C is its to handle.
    const client = spawn(command, args, { stdio: 'inherit' })
    const ignore = (): void => {}
    process.on('SIGINT', ignore)
    client.once('error', reject)
    client.once('exit', (code) => {
      process.off('SIGINT', ignore)
      resolve(code ?? 1)
    })
  })
}
