/**
 * `gatebook doctor`: logs in to each target as the gateway does and says what is wrong. Of a read-only credential it
 * proves that it cannot write: that, and neither a setting nor a parser, is what makes a role read-only.
 */
import { readCredentials } from '../../access/credentials.ts'
import { readHosts } from '../../access/hosts.ts'
import type { Config, Target } from '../../config/schema.ts'
import { OperatorError } from '../../system/operator-error.ts'
import { configOrFail, type Io, visible } from '../io.ts'
import type { Finding } from './finding.ts'
import { examineMysql } from './mysql.ts'
import { examinePostgres } from './postgres.ts'
import { examineSsh } from './ssh.ts'

export interface DoctorOptions {
  readonly config: string
  /** All unless one is named. */
  readonly target?: string
}

export async function doctor(options: DoctorOptions, io: Io): Promise<number> {
  const { config } = await configOrFail(options.config)
  if (options.target !== undefined && !config.targets.has(options.target)) {
    throw new OperatorError('usage', `no target "${options.target}" is configured`)
  }
  let healthy = true
  const report = async (name: string, examined: () => Promise<readonly Finding[]>): Promise<void> => {
    for (const { good, text } of await secretsToo(examined)) {
      healthy &&= good
      io.stdout.write(`${good ? 'ok  ' : 'BAD '} ${name}  ${visible(text)}\n`)
    }
  }
  for (const [name, target] of config.targets)
    if (options.target === undefined || options.target === name)
      await report(name, () => examine(name, target, config))
  if (options.target === undefined) await report('gateway', () => examineDoors(config))
  return healthy ? 0 : 1
}

/** A secret that cannot be read is a finding of whatever needs it, and stops nothing else. */
async function secretsToo(examined: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await examined()
  } catch (error) {
    if (!(error instanceof OperatorError) || error.code !== 'secret') throw error
    return error.message.split('\n').map((text) => ({ good: false, text }))
  }
}

async function examine(name: string, target: Target, config: Config): Promise<readonly Finding[]> {
  if (target.type === 'ssh') {
    const way = { ...config, listeners: new Map(), targets: wayTo(name, config) }
    return examineSsh(name, config, await readHosts(way, process.env))
  }
  const [known] = (
    await readCredentials({ ...config, targets: new Map([[name, target]]) }, process.env)
  ).values()
  if (known === undefined) throw new Error(`${name} has no credentials`)
  return target.type === 'postgres' ? examinePostgres(target, known) : examineMysql(target, known)
}

/** A host and those that lead to it. */
function wayTo(name: string, { targets }: Config): Map<string, Target> {
  const way = new Map<string, Target>()
  for (let at: string | undefined = name; at !== undefined; ) {
    const target = targets.get(at)
    if (target?.type !== 'ssh') break
    way.set(at, target)
    at = target.jump
  }
  return way
}

/** Our own host keys: where they cannot be read, no SSH listener opens. */
async function examineDoors(config: Config): Promise<readonly Finding[]> {
  await readHosts({ ...config, targets: new Map() }, process.env)
  return []
}
