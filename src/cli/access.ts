/** `gatebook access`: who may reach what, through which line of the configuration, and why not. */
import { explainAccess, listReach, type Question, type Reach } from '../access/explain.ts'
import type { Clock } from '../system/clock.ts'
import { OperatorError } from '../system/operator-error.ts'
import { configOrFail, EXIT, type Io, type OutputFormat, printJson, printLines, printTable } from './io.ts'

export interface AccessOptions {
  readonly config: string
  readonly output: OutputFormat
  readonly clock: Clock
}

/** Everybody's ways to every target, or to one. */
export async function accessList(
  options: AccessOptions & { readonly target?: string },
  io: Io,
): Promise<number> {
  const { config, output, clock, target } = options
  const loaded = await configOrFail(config)
  if (target !== undefined && !loaded.config.targets.has(target)) {
    throw new OperatorError('usage', `no target is called "${target}"`)
  }
  const ways = listReach(loaded, clock.now()).filter(
    (reach) => target === undefined || reach.target === target,
  )
  if (output === 'json') printJson(io, ways)
  else printTable(io, ['USER', 'TARGET', 'TYPE', 'ROLE', 'THROUGH', 'NOW', 'LIMITS', 'LINE'], ways.map(rowOf))
  return EXIT.ok
}

function rowOf({ user, target, type, role, group, standing, limits, line }: Reach): readonly string[] {
  return [
    user,
    target,
    type,
    role,
    group === undefined ? 'own grant' : `group ${group}`,
    standing,
    limits,
    line,
  ]
}

export interface WhyOptions extends AccessOptions {
  readonly user: string
  readonly target: string
  /** A statement to be judged as well, and who can read it: the protocol of the target. */
  readonly sql?: string
  readonly readSql: (type: 'postgres' | 'mysql', sql: string) => Promise<NonNullable<Question['facts']>>
}

export async function accessWhy(options: WhyOptions, io: Io): Promise<number> {
  const { config, output, clock, user, target, sql, readSql } = options
  const loaded = await configOrFail(config)
  const type = loaded.config.targets.get(target)?.type
  if (sql !== undefined && type === 'ssh')
    throw new OperatorError('usage', `"${target}" is an SSH target: it takes no SQL`)
  const facts =
    sql === undefined || type === undefined || type === 'ssh' ? undefined : await readSql(type, sql)
  const question = facts === undefined ? { user, target } : { user, target, facts }
  const { allowed, lines } = explainAccess(question, loaded, clock.now())
  if (output === 'json') printJson(io, { allowed, lines })
  else printLines(io, lines)
  return allowed ? EXIT.ok : EXIT.denied
}
