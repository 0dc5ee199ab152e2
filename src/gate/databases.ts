/** What the two databases' stories share: what is asked for, and the way to a target. */
import type { Conversation } from '../../protocols/conversation.ts'
import { splitLogin } from '../access/address.ts'
import type { Grant } from '../access/authorize.ts'
import { type DatabaseCredential, tlsOptions } from '../access/credentials.ts'
import type { AccessRequest } from '../access/rights.ts'
import type { DatabaseTarget } from '../config/schema.ts'
import { type Talk, Talker, type Upgrade } from './converse.ts'
import { deadline } from './deadline.ts'
import { dial } from './dial.ts'
import type { Gate } from './gate.ts'
import { Intake } from './intake.ts'
import { targetUpgrade } from './tls.ts'

/** From the first byte to the target until it is ready. */
const CONNECT_MS_MAX = 30_000

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

export interface LoggedIn<Ready> {
  readonly ready: Ready
  readonly talker: Talker
  readonly intake: Intake | undefined
}

/** Dials the target and holds the conversation there, until it is ready or has said why it is not. */
export async function logIn<Ready, Question>(
  gate: Gate,
  name: string,
  target: DatabaseTarget,
  login: { readonly conversation: Conversation<Ready, Question> } & Pick<Talk<Question>, 'answer'>,
): Promise<LoggedIn<Ready>> {
  using limit = deadline(gate.parts.clock, CONNECT_MS_MAX)
  const { signal } = limit
  // TLS has memory of its own.
  const intake = tlsWanted(target) === 'off' ? new Intake() : undefined
  const talker = new Talker(await dial(target.address, signal, intake))
  try {
    const upgrade = upgradeTo(gate, name, target)
    const ready = await talker.run(login.conversation, { upgrade, answer: login.answer, signal })
    return { ready, talker, intake }
  } catch (error) {
    talker.socket.destroy()
    throw error
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
