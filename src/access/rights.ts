/**
 * Who may reach what: the pure heart of authorization, asked at the door with a proved identity, and by
 * `gatebook access` and `gatebook check` with a name alone. Deny is the default; roles on one target add up.
 */
import type { LoadedConfig } from '../config/load.ts'
import type { Config, GrantLine, Role, Target } from '../config/schema.ts'
import { globMatches, reaches } from '../config/selectors.ts'
import { describeHours, withinHours } from './hours.ts'

export interface Person {
  readonly user: string
  readonly groups: readonly string[]
}

/** One line of the file's grants, for a person whom it names. */
export interface Right {
  readonly grant: GrantLine
  /** Its place in the list, by which its line is found. */
  readonly index: number
  readonly name: string
  readonly role: Role
}

/** Whether a right holds on a target, and if not, why. `elsewhere`: it never speaks of this target. */
export type Standing = 'holds' | 'elsewhere' | 'other-database' | 'expired' | 'outside-hours'

export interface AccessRequest {
  readonly protocol: Target['type']
  /** The target named in the login. */
  readonly named?: string
  /** The only target of the listener. */
  readonly bound?: string
  /** The database asked for, if any. */
  readonly database?: string
  /** PostgreSQL's replication is asked for. */
  readonly replication?: boolean
}

/** What is permitted: everything that later decisions rest on. */
export interface Access {
  readonly targetName: string
  readonly target: Target
  readonly database: string | undefined
  /** At least one. */
  readonly rights: readonly Right[]
  /** Only if all of them are. */
  readonly readOnly: boolean
  /** The largest of them; absent where one sets no limit. */
  readonly maxRows: number | undefined
  /** The session was let in to replicate, and may go on only as long as a role allows that. */
  readonly replication: boolean
}

export type DenialCause =
  | 'no-role'
  | 'expired'
  | 'hours'
  | 'database'
  | 'target'
  | 'read-only'
  | 'replication'
  | 'statement'

/** Refused, in the parts a person is told, and in lines for the operator that name the file. */
export interface Denial {
  readonly type: 'denied'
  readonly cause: DenialCause
  readonly what: string
  readonly why: string
  readonly next: string
  /** The policy or role that decided, as the record names it. */
  readonly rule?: string
  readonly target?: string
  readonly lines: readonly string[]
}

export type AccessDecision = { readonly type: 'granted'; readonly access: Access } | Denial

export function rightsOf({ grants, roles }: Config, { user, groups }: Person): readonly Right[] {
  return grants.flatMap((grant, index) => {
    const role = roles.get(grant.role)
    const named = grant.user === user || (grant.group !== undefined && groups.includes(grant.group))
    return named && role !== undefined ? [{ grant, index, name: grant.role, role }] : []
  })
}

export function standingOf(
  right: Right,
  name: string,
  target: Target,
  database: string | undefined,
  now: number,
): Standing {
  const { role, grant } = right
  if (!reaches(role, name, target)) return 'elsewhere'
  if (database !== undefined && !coversDatabase(role, database)) return 'other-database'
  if (grant.expires !== undefined && grant.expires <= now) return 'expired'
  return role.hours === undefined || withinHours(role.hours, now) ? 'holds' : 'outside-hours'
}

export function coversDatabase({ databases }: Role, database: string): boolean {
  return databases === undefined || databases.some((pattern) => globMatches(pattern, database))
}

export function decideAccess(
  person: Person,
  request: AccessRequest,
  loaded: LoadedConfig,
  now: number,
): AccessDecision {
  const { config } = loaded
  const name = chooseTarget(person, request, loaded, now)
  if (typeof name !== 'string') return name
  const target = config.targets.get(name)
  const rights = rightsOf(config, person)
  if (target === undefined) return deny('target', person, name, 'No such target is configured.', loaded)
  const database = request.database ?? ('database' in target ? target.database : undefined)
  const holding = rights.filter((right) => standingOf(right, name, target, database, now) === 'holds')
  if (holding.length === 0) return denyRights(person, rights, { name, target, database }, loaded, now)
  if (target.type !== request.protocol) {
    return deny(
      'target',
      person,
      name,
      `It is reached by ${target.type}, and this is ${request.protocol}.`,
      loaded,
    )
  }
  const { replication = false } = request
  if (replication && !holding.some(({ role }) => role.replication))
    return denyReplication(person, holding, name, loaded)
  const limits = holding.map(({ role }) => role.max_rows)
  return {
    type: 'granted',
    access: {
      ...{ targetName: name, target, database, rights: holding },
      readOnly: holding.every(({ role }) => role.read_only),
      maxRows: limits.includes(undefined) ? undefined : Math.max(...limits.map(Number)),
      replication,
    },
  }
}

/** The listener's target goes before the named one; with neither, the only one within reach. */
function chooseTarget(
  person: Person,
  request: AccessRequest,
  loaded: LoadedConfig,
  now: number,
): string | Denial {
  const { bound, named, protocol } = request
  if (bound !== undefined && named !== undefined && named !== bound) {
    return deny('target', person, named, `This listener leads to "${bound}" alone.`, loaded)
  }
  const chosen = bound ?? named
  if (chosen !== undefined) return chosen

  const within = withinReach(person, protocol, loaded.config, now)
  const [only] = within
  if (only !== undefined && within.length === 1) return only
  const why =
    only === undefined
      ? `No role of yours reaches a target of type ${protocol}.`
      : `Name one of: ${within.map((name) => `${person.user}~${name}`).join(', ')}.`
  const what = only === undefined ? `access denied for ${person.user}` : 'no target is named'
  return { ...deny('target', person, '', why, loaded), what }
}

/** Names of the targets that the person may use now. */
export function withinReach(
  person: Person,
  protocol: Target['type'],
  config: Config,
  now: number,
): readonly string[] {
  const rights = rightsOf(config, person)
  return [...config.targets]
    .filter(([, target]) => target.type === protocol)
    .filter(([name, target]) =>
      rights.some((right) => standingOf(right, name, target, undefined, now) === 'holds'),
    )
    .map(([name]) => name)
}

interface Wanted {
  readonly name: string
  readonly target: Target
  readonly database: string | undefined
}

/** Says the most useful reason first: what would hold at another time, then what holds elsewhere. */
function denyRights(
  person: Person,
  rights: readonly Right[],
  wanted: Wanted,
  loaded: LoadedConfig,
  now: number,
): Denial {
  const { name, target, database } = wanted
  const standings = rights.map((right) => ({
    right,
    standing: standingOf(right, name, target, database, now),
  }))
  const found = (standing: Standing) =>
    standings.filter((one) => one.standing === standing).map(({ right }) => right)
  const lines = standings.map(({ right, standing }) => describeRight(right, standing, loaded))
  const withLines = (denial: Denial): Denial => ({ ...denial, target: name, lines })

  const [closed] = found('outside-hours')
  if (closed?.role.hours !== undefined) {
    return withLines(
      deny(
        'hours',
        person,
        name,
        `Your role ${closed.name} holds ${describeHours(closed.role.hours)}.`,
        loaded,
      ),
    )
  }
  const [expired] = found('expired')
  if (expired?.grant.expires !== undefined) {
    const since = new Date(expired.grant.expires).toISOString().replace('.000Z', 'Z')
    return withLines(
      deny('expired', person, name, `Your grant of ${expired.name} expired at ${since}.`, loaded),
    )
  }
  const [other] = found('other-database')
  if (other !== undefined) {
    const why = `Your role ${other.name} covers the databases ${other.role.databases?.join(', ')}, not "${database}".`
    return withLines(deny('database', person, name, why, loaded))
  }
  const roles = [...loaded.config.roles].filter(([, role]) => reaches(role, name, target)).map(([id]) => id)
  const nearest =
    roles.length === 0
      ? ''
      : ` ${roles.length === 1 ? 'The role that does' : 'Roles that do'}: ${roles.join(', ')}.`
  const whose =
    person.groups.length === 0
      ? 'You have no group, and nothing grants you a'
      : `Your groups (${person.groups.join(', ')}) grant no`
  return withLines(deny('no-role', person, name, `${whose} role on "${name}".${nearest}`, loaded))
}

function denyReplication(
  person: Person,
  rights: readonly Right[],
  name: string,
  loaded: LoadedConfig,
): Denial {
  const roles = [...new Set(rights.map((right) => right.name))].join(', ')
  const why = `It carries data past the record of statements, and no role of yours (${roles}) has "replication".`
  return {
    ...deny('replication', person, name, why, loaded),
    what: `replication of "${name}" is not allowed for ${person.user}`,
    target: name,
    lines: rights.map((right) => `${describeRight(right, 'holds', loaded)}, without replication`),
  }
}

function deny(cause: DenialCause, { user }: Person, name: string, why: string, loaded: LoadedConfig): Denial {
  return {
    type: 'denied',
    cause,
    what: `access to "${name}" denied for ${user}`,
    why,
    next: whomToAsk(loaded),
    lines: [],
  }
}

export function whomToAsk({ config }: LoadedConfig): string {
  return config.gateway.contact ?? 'Ask whoever administers this gateway.'
}

const STANDING_WORDS: Readonly<Record<Standing, string>> = {
  holds: 'holds',
  elsewhere: 'does not reach this target',
  'other-database': 'covers other databases',
  expired: 'has expired',
  'outside-hours': 'is outside its hours',
}

/** `group engineering → prod-readonly (config.yaml:50): has expired` */
export function describeRight(right: Right, standing: Standing, { places }: LoadedConfig): string {
  const { user, group } = right.grant
  const whom = user === undefined ? `group ${group}` : `user ${user}`
  return `${whom} → ${right.name} (${places.lineOf(['grants', right.index])}): ${STANDING_WORDS[standing]}`
}
