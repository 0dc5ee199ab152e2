/**
 * `gatebook doctor`: logs in to each target as the gateway does and says what is wrong. Of a read-only credential it
 * proves that it cannot write: that, and neither a setting nor a parser, is what makes a role read-only.
 */
import { type DatabaseCredentials, readCredentials } from '../../access/credentials.ts'
import { readHosts } from '../../access/hosts.ts'
import type { DatabaseTarget } from '../../config/schema.ts'
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
  const credentials = await readCredentials(config, process.env)
  const hosts = await readHosts(config, process.env)
  let healthy = true
  for (const [name, target] of config.targets) {
    if (options.target !== undefined && options.target !== name) continue
    const known = credentials.get(name)
    const findings =
      target.type === 'ssh' || known === undefined
        ? await examineSsh(name, config, hosts)
        : await examine(target, known)
    for (const { good, text } of findings) {
      healthy &&= good
      io.stdout.write(`${good ? 'ok  ' : 'BAD '} ${name}  ${visible(text)}\n`)
    }
  }
  return healthy ? 0 : 1
}

function examine(target: DatabaseTarget, known: DatabaseCredentials): Promise<Finding[]> {
  return target.type === 'postgres' ? examinePostgres(target, known) : examineMysql(target, known)
}
