/** Who may reach what, told to people: for `gatebook access` and the console. */
import { classOf, type StatementFacts } from '../../protocols/statement-facts.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Config, Role, Target } from '../config/schema.ts'
import { describeHours } from './hours.ts'
import {
  decideAccess,
  describeRight,
  type Person,
  type Right,
  rightsOf,
  type Standing,
  standingOf,
} from './rights.ts'
import { judgeStatement } from './statements.ts'

/** One way in which a person reaches a target, whether or not it holds at this hour. */
export interface Reach {
  readonly user: string
  readonly target: string
  readonly type: Target['type']
  readonly role: string
  /** Through this group; absent for a grant to the person. */
  readonly group?: string
  readonly standing: Exclude<Standing, 'elsewhere'>
  /** What the role permits, in a few words. */
  readonly limits: string
  /** `config.yaml:34` of the grant. */
  readonly line: string
}

/** Every way of everybody, in the order of users and targets in the file. */
export function listReach(loaded: LoadedConfig, now: number): readonly Reach[] {
  const { config, places } = loaded
  return people(config).flatMap((person) =>
    [...config.targets].flatMap(([target, facts]) =>
      rightsOf(config, person).flatMap((right): readonly Reach[] => {
        const standing = standingOf(right, target, facts, undefined, now)
        if (standing === 'elsewhere') return []
        const line = places.lineOf(['grants', right.index])
        const { group } = right.grant
        const reach = {
          user: person.user,
          target,
          type: facts.type,
          role: right.name,
          standing,
          limits: limitsOf(right, facts.type),
          line,
        }
        return [group === undefined ? reach : { ...reach, group }]
      }),
    ),
  )
}

export function people({ users }: Config): readonly Person[] {
  return [...users].map(([user, { groups }]) => ({ user, groups }))
}

/** What a role permits on targets of that type, in a few words. */
export function limitsOf({ role, grant }: Right, type: Target['type']): string {
  const limits = [
    role.read_only ? 'read-only' : '',
    role.statements === undefined ? '' : role.statements.allow.join(', '),
    role.databases === undefined ? '' : `databases ${role.databases.join(', ')}`,
    role.max_rows === undefined ? '' : `at most ${role.max_rows} rows`,
    ...(type === 'ssh' ? sshLimits(role.ssh) : []),
    role.hours === undefined ? '' : describeHours(role.hours),
    grant.expires === undefined ? '' : `until ${moment(grant.expires)}`,
  ]
  const told = limits.filter((limit) => limit !== '').join('; ') || 'everything'
  return role.replication ? `${told}; replication too` : told
}

/** Of what the target allows, only this. */
function sshLimits({ allow, forward, listen }: NonNullable<Role['ssh']> = {}): readonly string[] {
  const listed = (name: string, some: readonly string[] | undefined): string =>
    some === undefined ? '' : `${name} ${some.join(', ') || 'nothing'}`
  return [listed('allow', allow), listed('forward', forward), listed('listen', listen)]
}

/** For a person who exists: whether they reach the target now, and may run the statement there, line by line. */
export function explainAccess(question: Question, loaded: LoadedConfig, now: number): Explanation {
  const { user, target: name, facts } = question
  const { config } = loaded
  const target = config.targets.get(name)
  const account = config.users.get(user)
  if (target === undefined || account === undefined) {
    return {
      allowed: false,
      lines: [account === undefined ? `no user is called "${user}"` : `no target is called "${name}"`],
    }
  }
  const person = { user, groups: account.groups }
  const rights = rightsOf(config, person).map((right) =>
    describeRight(right, standingOf(right, name, target, undefined, now), loaded),
  )
  const decision = decideAccess(person, { protocol: target.type, named: name }, loaded, now)
  if (decision.type === 'denied') {
    return {
      allowed: false,
      lines: [`DENIED: ${decision.why}`, ...indent(rights), `  next: ${decision.next}`],
    }
  }
  const { access } = decision
  if (facts === undefined) {
    return {
      allowed: true,
      lines: [`ALLOWED as ${names(access.rights)}${access.readOnly ? ', read-only' : ''}`, ...indent(rights)],
    }
  }
  const verdict = judgeStatement(access, facts, access.database ?? '', loaded)
  const does = `  the statement does: ${describeFacts(facts)}`
  if (verdict.type === 'allowed')
    return { allowed: true, lines: [`ALLOWED by role ${verdict.rule}`, does, ...indent(rights)] }
  const lines = [
    `DENIED: ${verdict.what}. ${verdict.why}`,
    ...indent(verdict.lines),
    does,
    ...indent(rights),
    `  next: ${verdict.next}`,
  ]
  return { allowed: false, lines }
}

export interface Question {
  readonly user: string
  readonly target: string
  /** What the statement asked about does. */
  readonly facts?: StatementFacts
}

export interface Explanation {
  readonly allowed: boolean
  readonly lines: readonly string[]
}

function describeFacts({ parts, disputed }: StatementFacts): string {
  const doubt = disputed === undefined ? [] : [`perhaps something else: ${disputed}`]
  const told = parts.map(({ verb, tables, where }) => {
    const places = tables
      .map(({ schema, name }) => (schema === undefined ? name : `${schema}.${name}`))
      .join(', ')
    return `${verb}${places === '' ? '' : ` ${places}`}${where === false ? ' without WHERE' : ''} (${classOf(verb)})`
  })
  return [...told, ...doubt].join('; ') || 'nothing'
}

function names(rights: readonly Right[]): string {
  return [...new Set(rights.map(({ name }) => name))].join(', ')
}

function indent(lines: readonly string[]): readonly string[] {
  return lines.map((line) => `  ${line}`)
}

export function moment(ms: number): string {
  return new Date(ms).toISOString().replace(':00.000Z', 'Z')
}
