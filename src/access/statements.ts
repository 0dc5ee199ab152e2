/**
 * Whether a statement may run: first the policies, which stand above all roles, then the roles, of which one must
 * allow all that the statement does. A text that parsers may read differently could be anything, so it fits
 * every policy and no role that lists what it allows. All of this is a guard rail: see statement-facts.ts.
 */

import {
  classOf,
  type StatementFacts,
  type StatementPart,
  type TableName,
  type Verb,
} from '../../protocols/statement-facts.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Policy, Role } from '../config/schema.ts'
import { globMatches, labelsMatch } from '../config/selectors.ts'
import { type Access, coversDatabase, type Denial, whomToAsk } from './rights.ts'

export type StatementVerdict =
  /** `rule` is the role that lets it pass, for its record. */
  { readonly type: 'allowed'; readonly rule: string } | Denial

/** `database` is the one the session is in now. The policies are those in force now, the roles the grant's. */
export function judgeStatement(
  access: Access,
  facts: StatementFacts,
  database: string,
  loaded: LoadedConfig,
): StatementVerdict {
  const parts = partsOf(facts)
  const { policies } = loaded.config
  for (const [index, policy] of policies.entries()) {
    const part = policyFits(policy, access) ? parts.find((one) => partFits(policy, one)) : undefined
    if (part !== undefined) return denyByPolicy(policy, index, part, facts, access, loaded)
  }
  const refusals: { readonly name: string; readonly reason: Reason }[] = []
  for (const { name, role } of access.rights) {
    const reason = refusalBy(role, access, parts, facts, database)
    if (reason === undefined) return { type: 'allowed', rule: name }
    refusals.push({ name, reason })
  }
  return denyByRoles(refusals, access, loaded)
}

/**
 * Whether any decision can depend on what a text does; if not, it need not be parsed at all. `mentions` says whether a
 * word stands in it: under a role without limits only COPY PROGRAM is refused, and keywords have no second spelling.
 */
export function needsFacts(
  { rights, readOnly, target }: Access,
  { config }: LoadedConfig,
  mentions: (word: RegExp) => boolean,
): boolean {
  if (readOnly || config.policies.some((policy) => policyFits(policy, { target }))) return true
  return !rights.some(({ role }) => isUnlimited(role)) || mentions(/program/i)
}

/** A disputed text may be anything, and what one parser read is one of the things it may be. */
function partsOf({ disputed, parts }: StatementFacts): readonly StatementPart[] {
  return disputed === undefined ? parts : [{ verb: 'unknown', tables: [] }, ...parts]
}

function policyFits({ when }: Policy, { target }: Pick<Access, 'target'>): boolean {
  if (target.type === 'ssh') return false
  if (when.protocol !== undefined && !when.protocol.includes(target.type)) return false
  return when.labels === undefined || labelsMatch(when.labels, target.labels)
}

function partFits({ when }: Policy, part: StatementPart): boolean {
  if (part.verb === 'unknown') return true
  if (when.verb !== undefined && !when.verb.includes(part.verb)) return false
  if (when.where !== undefined && part.where !== false) return false
  return (
    when.table === undefined ||
    part.tables.some((table) => when.table?.some((pattern) => tableFits(pattern, table)))
  )
}

/**
 * Where the text names no schema, the search path decides, so `audit.log` fits a bare `log`. But `audit.*` fits
 * only what is written with its schema: otherwise it would fit every bare name there is.
 */
function tableFits(pattern: string, { schema, name }: TableName): boolean {
  const [wanted, text] = [pattern.toLowerCase(), name.toLowerCase()]
  const dot = wanted.indexOf('.')
  if (dot === -1) return globMatches(wanted, text)
  if (schema !== undefined) return globMatches(wanted, `${schema.toLowerCase()}.${text}`)
  return wanted.slice(dot + 1) !== '*' && globMatches(wanted.slice(dot + 1), text)
}

/** Why a role does not let a statement pass: the part that offends, and what the role says of it. */
interface Reason {
  readonly part?: StatementPart
  readonly words: string
}

function refusalBy(
  role: Role,
  { target }: Access,
  parts: readonly StatementPart[],
  facts: StatementFacts,
  database: string,
): Reason | undefined {
  if (database !== '' && !coversDatabase(role, database))
    return { words: `covers the databases ${role.databases?.join(', ')}` }
  if (target.type === 'mysql') {
    const elsewhere = parts.find(({ tables }) =>
      tables.some(({ schema }) => schema !== undefined && !coversDatabase(role, schema)),
    )
    if (elsewhere !== undefined)
      return { part: elsewhere, words: `covers the databases ${role.databases?.join(', ')}` }
  }
  if (role.read_only) {
    const part = parts.find(({ verb }) => !isReading(verb))
    if (part !== undefined) return { part, words: 'is read-only' }
    if (facts.liftsReadOnly) return { words: 'is read-only, and this would lift it' }
  }
  const allowed = role.statements?.allow
  const part = parts.find(
    ({ verb }) => !(verb === 'REPLICATION' && role.replication) && !allowsVerb(allowed, verb),
  )
  if (part === undefined) return undefined
  return {
    part,
    words: allowed === undefined ? `does not name ${part.verb}` : `allows ${allowed.join(', ')}`,
  }
}

function isReading(verb: Verb): boolean {
  return classOf(verb) === 'read' || classOf(verb) === 'session'
}

/** A program on the target's machine, and all of its data at once: no role means these without saying so. */
function allowsVerb(allowed: readonly string[] | undefined, verb: Verb): boolean {
  if (allowed?.includes(verb) === true) return true
  if (verb === 'COPY PROGRAM' || verb === 'REPLICATION') return false
  return allowed === undefined || classOf(verb) === 'session' || allowed.includes(classOf(verb))
}

function isUnlimited({ read_only, statements, databases }: Role): boolean {
  return !read_only && statements === undefined && databases === undefined
}

function denyByPolicy(
  policy: Policy,
  index: number,
  part: StatementPart,
  facts: StatementFacts,
  access: Access,
  loaded: LoadedConfig,
): Denial {
  const why = part.verb === 'unknown' ? doubt(facts) : (policy.message ?? conditionsOf(policy))
  return {
    ...{ type: 'denied', cause: 'statement', rule: policy.id, target: access.targetName },
    what: `${describePart(part)} is not allowed by policy "${policy.id}"`,
    why,
    next: whomToAsk(loaded),
    lines: [
      `policy ${policy.id} (${loaded.places.lineOf(['policies', index])}): ${policy.message ?? conditionsOf(policy)}`,
    ],
  }
}

function denyByRoles(
  refusals: readonly { readonly name: string; readonly reason: Reason }[],
  access: Access,
  loaded: LoadedConfig,
): Denial {
  const part = refusals.find(({ reason }) => reason.part !== undefined)?.reason.part
  const names = refusals.map(({ name }) => name)
  const [only] = names
  return {
    ...{
      type: 'denied',
      cause: 'statement',
      target: access.targetName,
      ...(only === undefined ? {} : { rule: only }),
    },
    what: `${describePart(part)} is not allowed by your ${names.length === 1 ? 'role' : 'roles'} ${names.join(', ')}`,
    why: refusals.map(({ name, reason }) => `Role ${name} ${reason.words}.`).join(' '),
    next: whomToAsk(loaded),
    lines: refusals.map(
      ({ name, reason }) => `role ${name} (${loaded.places.lineOf(['roles', name])}): ${reason.words}`,
    ),
  }
}

function doubt({ disputed }: StatementFacts): string {
  return `It cannot be read with certainty${disputed === undefined ? '' : ` (${disputed})`}, so it might be anything that is refused here.`
}

export function describePart(part: StatementPart | undefined): string {
  if (part === undefined || part.verb === 'unknown') return 'this statement'
  const tables = part.tables.map(({ schema, name }) => (schema === undefined ? name : `${schema}.${name}`))
  return tables.length === 0 ? part.verb : `${part.verb} on ${tables.join(', ')}`
}

function conditionsOf({ when }: Policy): string {
  const verbs = when.verb?.join(', ') ?? 'all statements'
  const tables = when.table === undefined ? '' : ` on ${when.table.join(', ')}`
  return `Refused here: ${verbs}${tables}${when.where === undefined ? '' : ' without a WHERE'}.`
}
