/** What the two databases' stories share: what is asked for, and the way to a target. */
import { splitLogin } from '../access/address.ts'
import type { Grant } from '../access/authorize.ts'
import { type DatabaseCredential, tlsOptions } from '../access/credentials.ts'
import type { AccessRequest } from '../access/rights.ts'
import type { DatabaseTarget } from '../config/schema.ts'
import { type Talk, Talker, type Upgrade } from './converse.ts'
import { deadline } from './deadline.ts'
import { dial } from './dial.ts'
import type { Gate } from './gate.ts'
import { targetUpgrade } from './tls.ts'

export function targetOf(grant: Grant): DatabaseTarget {
  const { target } = grant
  if (target.type === 'ssh') throw new TypeError(`${grant.targetName} is no database`)
  return target
}

/** A read-only grant has a credential that cannot write: the configuration is refused without one. */
export function credentialOf(gate: Gate, grant: Grant): DatabaseCredential {
  const known = gate.inForce.credentials.get(grant.targetName)
  const credential = grant.readOnly ? known?.readOnly : known?.usual
  if (credential === undefined) throw new TypeError(`no credential for ${grant.targetName}`)
  return credential
}

/** What somebody who has logged in asks for: the target in the name, or the listener's own. */
export function requestOf(
  gate: Gate,
  listener: { readonly type: 'postgres' | 'mysql'; readonly target?: string | undefined },
  login: { readonly user: string; readonly database: string | undefined; readonly replication?: unknown },
): AccessRequest {
  const { target } = splitLogin(login.user, gate.inForce.loaded.config.targets)
  return {
    protocol: listener.type,
    ...(target === undefined ? {} : { named: target }),
    ...(listener.target === undefined ? {} : { bound: listener.target }),
    ...(login.database === undefined ? {} : { database: login.database }),
    replication: login.replication !== undefined,
  }
}

/** Asks the target something on a connection of its own; gives whether it has taken it. */
export async function aside(
  gate: Gate,
  grant: Grant,
  msMax: number,
  ask: (talker: Talker, talk: Talk<never>) => Promise<void>,
): Promise<boolean> {
  using limit = deadline(gate.parts.clock, msMax)
  const { signal } = limit
  const target = targetOf(grant)
  let talker: Talker | undefined
  try {
    talker = new Talker(await dial(target.address, signal))
    await ask(talker, {
      upgrade: upgradeTo(gate, grant.targetName, target),
      answer: () => undefined,
      signal,
    })
    return true
  } catch (error) {
    gate.parts.log.targetFailed({ target: grant.targetName, error })
    return false
  } finally {
    talker?.socket.destroy()
  }
}

export function tlsWanted({ tls }: DatabaseTarget): 'require' | 'off' {
  return tls.mode === 'disable' ? 'off' : 'require'
}

export function upgradeTo(gate: Gate, name: string, target: DatabaseTarget): Upgrade {
  const { mode } = target.tls
  const shown = tlsOptions(gate.inForce.credentials.get(name)?.tls ?? {})
  return targetUpgrade({ mode: mode === 'disable' ? 'require' : mode, host: target.address.host, shown })
}
