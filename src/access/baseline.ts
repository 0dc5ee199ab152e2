/**
 * Who may reach, and read, what, whatever the hour: a text to keep under review, so that a change of the configuration
 * that widens it does not pass unseen. It has every key of the schema that decides who gets in, as whom, to where, to
 * do or to see what; of secrets it has nothing, and of files their names alone.
 */
import type { Json, JsonMap } from '../config/effective.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Config, DatabaseTarget, Listener, Role, SshTarget, Target, User } from '../config/schema.ts'
import { isList, labelsMatch } from '../config/selectors.ts'
import { limitsOf, moment, people } from './explain.ts'
import { type Person, type Right, rightsOf, standingOf } from './rights.ts'

/** Counts up when lines are added: what an older baseline does not speak of, it did not agree to. */
export const BASELINE_VERSION = 2

export function accessBaseline({ config }: LoadedConfig): JsonMap {
  const { gateway, recording, policies } = config
  const of = <V>(map: ReadonlyMap<string, V>, lines: (value: V) => readonly string[]): JsonMap =>
    Object.fromEntries([...map].map(([name, value]) => [name, lines(value)]))
  const each = (told: (person: Person) => Json): JsonMap =>
    Object.fromEntries(people(config).map((person) => [person.user, told(person)]))
  return {
    version: BASELINE_VERSION,
    access: each((person) => reached(config, person)),
    reading: each((person) => read(config, person)),
    logins: of(config.users, loginLines),
    listeners: of(config.listeners, listenerLines),
    targets: of(config.targets, targetLines),
    policies: policies.map(({ id, when }) => `${id}: ${JSON.stringify(when)}`),
    gateway: [
      ...(gateway.tls.client_ca === undefined ? [] : [`client certificates of ${gateway.tls.client_ca}`]),
      gateway.control.require_token ? 'control socket: token demanded' : 'control socket: whoever reaches it',
      `parameters: ${recording.sql.parameters}`,
    ],
  }
}

function reached(config: Config, person: Person): JsonMap {
  const targets: Record<string, Json[]> = {}
  for (const [name, target] of config.targets) {
    const rights = rightsOf(config, person).filter(
      (right) => standingOf(right, name, target, undefined, 0) !== 'elsewhere',
    )
    if (rights.length > 0) {
      targets[name] = unique(rights.map((right) => `${right.name}: ${limitsOf(right, target.type)}`))
    }
  }
  return targets
}

function read(config: Config, person: Person): string[] {
  return unique(
    rightsOf(config, person).flatMap(({ name, role, grant }) =>
      role.read === undefined ? [] : [`${name}: ${readLine(role.read, grant, config)}`],
    ),
  )
}

function readLine(
  { targets, see, verify, admin }: NonNullable<Role['read']>,
  { expires }: Right['grant'],
  config: Config,
): string {
  const names = isList(targets)
    ? targets
    : [...config.targets].filter(([, { labels }]) => labelsMatch(targets, labels)).map(([name]) => name)
  return [
    `${see} of ${[...names].sort().join(', ') || 'nothing'}`,
    ...(verify ? ['verifies the book'] : []),
    ...(admin ? ["admin: everything, and ends others' sessions"] : []),
    ...(expires === undefined ? [] : [`until ${moment(expires)}`]),
  ].join('; ')
}

/** Tokens are not in the configuration: `gatebook token ls`. */
function loginLines({ password, totp, ssh_keys: keys, certificates }: User): string[] {
  return unique([
    ...(password === undefined ? [] : ['password']),
    ...(totp === undefined ? [] : ['one-time code, by SSH']),
    ...keys.map(withoutComment),
    ...certificates.map((one) =>
      'subject' in one ? `certificate of ${one.subject}` : `certificate ${one.fingerprint}`,
    ),
  ])
}

function listenerLines(listener: Listener): string[] {
  const { type, address } = listener
  return [
    `${type} ${address.host}:${address.port}`,
    ...('require_tls' in listener && !listener.require_tls ? ['without TLS too'] : []),
    ...('target' in listener && listener.target !== undefined ? [`to ${listener.target} alone`] : []),
    ...('proxy_protocol' in listener && listener.proxy_protocol !== undefined
      ? listener.proxy_protocol.from.map((network) => `takes addresses from ${network}`)
      : []),
    ...('user_ca' in listener ? listener.user_ca.map((key) => `certificates of ${withoutComment(key)}`) : []),
  ]
}

function targetLines(target: Target): string[] {
  const { type, address, credentials, labels } = target
  return [
    `${type} ${address.host}:${address.port} as ${credentials.user}`,
    ...(target.type === 'ssh' ? sshLines(target) : databaseLines(target)),
    ...unique(Object.entries(labels).map(([name, value]) => `label ${name}=${value}`)),
  ]
}

function databaseLines(target: DatabaseTarget): string[] {
  const { tls, read_only_credentials: readOnly } = target
  return [
    ...(readOnly === undefined ? [] : [`read-only as ${readOnly.user}`]),
    ...(tls.mode === 'verify-full' ? [] : [`TLS: ${tls.mode}`]),
    ...(tls.ca === undefined ? [] : [`vouched for by ${tls.ca}`]),
    ...('local_infile' in target && target.local_infile ? ['local_infile'] : []),
  ]
}

function sshLines(target: SshTarget): string[] {
  const { host_key: key, known_hosts: hosts, jump } = target
  return [
    ...(key === undefined ? [] : [`host key ${withoutComment(key)}`]),
    ...(hosts === undefined ? [] : [`host key in ${hosts}`]),
    ...(jump === undefined ? [] : [`through ${jump}`]),
    ...target.allow.map((program) => `allow ${program}`),
    ...target.forward.map((place) => `forward ${place}`),
    ...target.listen.map((place) => `listen ${place}`),
    ...(target.agent_forwarding ? ['agent_forwarding'] : []),
    ...target.env.map((variable) => `env ${variable}`),
  ]
}

/** Type and key; what stands behind them says nothing. */
function withoutComment(key: string): string {
  return key.split(' ').slice(0, 2).join(' ')
}

function unique(lines: readonly string[]): string[] {
  return [...new Set(lines)].sort()
}
