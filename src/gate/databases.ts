/** What the two databases' stories share: the way to a target. */
import type { Grant } from '../access/authorize.ts'
import type { DatabaseCredential } from '../access/credentials.ts'
import type { DatabaseTarget } from '../config/schema.ts'
import type { Upgrade } from './converse.ts'
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

export function tlsWanted({ tls }: DatabaseTarget): 'require' | 'off' {
  return tls.mode === 'disable' ? 'off' : 'require'
}

export function upgradeTo(gate: Gate, name: string, target: DatabaseTarget): Upgrade {
  const { mode } = target.tls
  const ca = gate.inForce.credentials.get(name)?.ca
  return targetUpgrade({ mode: mode === 'disable' ? 'require' : mode, host: target.address.host, ca })
}
