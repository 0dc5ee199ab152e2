/** What to type to reach a target through this gateway: the same text for everybody, with their own name in it. */
import { type Address, LOOPBACK } from '../config/scalars.ts'
import type { Config, Listener, Target } from '../config/schema.ts'

export interface WayRequest {
  readonly config: Config
  readonly target: string
  readonly user: string
  /** Where each listener listens: the configuration may leave the port to the system. */
  readonly ports: ReadonlyMap<string, number>
  /** The name under which the console was reached: where a listener names no host, it is there too. */
  readonly host: string
}

export interface Way {
  readonly name: string
  readonly text: string
}

type SellingListener = Extract<Listener, { type: 'postgres' | 'mysql' | 'ssh' }>

export function waysTo({ config, target: name, user, host, ports }: WayRequest): readonly Way[] {
  const target = config.targets.get(name)
  const [found] = [...config.listeners]
    .filter((entry): entry is [string, SellingListener] => entry[1].type === target?.type)
    .filter(([, one]) => one.target === undefined || one.target === name)
    .sort(([, a], [, b]) => Number(b.target === name) - Number(a.target === name))
  if (target === undefined || found === undefined) return []
  const [id, listener] = found
  const at = { host: hostOf(listener.address, host), port: ports.get(id) ?? listener.address.port }
  const login = listener.target === name ? user : `${user}~${name}`
  switch (target.type) {
    case 'postgres':
      return postgresWays(at, login, target.database, 'require_tls' in listener && listener.require_tls)
    case 'mysql':
      return mysqlWays(at, login, target.database)
    case 'ssh':
      return sshWays(at, login, target)
  }
}

/** A listener on every address, or on this machine alone, is told by the name that the person has used. */
function hostOf({ host }: Address, used: string): string {
  return host === '0.0.0.0' || host === '::' || (LOOPBACK.includes(host) && LOOPBACK.includes(used))
    ? used
    : host
}

function postgresWays(
  at: Address,
  login: string,
  database: string | undefined,
  tls: boolean,
): readonly Way[] {
  const mode = tls ? ' sslmode=verify-full' : ''
  const query = tls ? '?sslmode=verify-full' : ''
  const named = database ?? 'DATABASE'
  return [
    { name: 'psql', text: `psql "host=${at.host} port=${at.port} user=${login} dbname=${named}${mode}"` },
    { name: 'URI', text: `postgresql://${login}@${uriHost(at)}/${named}${query}` },
    {
      name: 'JDBC',
      text: `jdbc:postgresql://${uriHost(at)}/${named}?user=${login}${tls ? '&sslmode=verify-full' : ''}`,
    },
  ]
}

function mysqlWays(at: Address, login: string, database: string | undefined): readonly Way[] {
  const named = database === undefined ? '' : ` ${database}`
  return [
    { name: 'mysql', text: `mysql -h ${at.host} -P ${at.port} -u ${login} -p${named}` },
    { name: 'JDBC', text: `jdbc:mysql://${uriHost(at)}/${database ?? ''}?user=${login}` },
  ]
}

function sshWays(at: Address, login: string, target: Extract<Target, { type: 'ssh' }>): readonly Way[] {
  const { allow } = target
  return [
    ...(allow.includes('shell') || allow.includes('exec')
      ? [{ name: 'ssh', text: `ssh -p ${at.port} ${login}@${at.host}` }]
      : []),
    ...(allow.includes('sftp') ? [{ name: 'sftp', text: `sftp -P ${at.port} ${login}@${at.host}` }] : []),
  ]
}

function uriHost({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
