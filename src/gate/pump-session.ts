/** An admitted session from its first byte to its last: pumped, listed as live, ended by limits or administrators. */
import type { Socket } from 'node:net'
import type { Relay, Side } from '../../protocols/relay.ts'
import type { Grant } from '../access/authorize.ts'
import type { Ending } from '../access/live.ts'
import type { RecordedSession } from '../record/session.ts'
import type { Gate } from './gate.ts'
import type { Peer } from './proxy-header.ts'
import { Pump, type Pumped, type PumpParts } from './pump.ts'
import { CANNOT_RECORD, ended } from './refusals.ts'
import type { Judge } from './statements.ts'

export interface SessionToPump {
  readonly relay: Relay
  readonly session: RecordedSession
  readonly grant: Grant
  readonly peer: Peer
  readonly client: Socket
  readonly target: Socket
  readonly intake?: PumpParts['intake']
  readonly pending: Readonly<Record<Side, Uint8Array>>
  readonly cancel: () => Promise<boolean>
  readonly judge: Judge
  /** Called with the pump before it runs, for what reaches it from elsewhere (cancel requests). */
  readonly onPump: (pump: Pump) => void
}

export async function pumpSession(gate: Gate, parts: SessionToPump): Promise<Pumped> {
  const { recorder, live, clock, nursery } = gate.parts
  const { session, peer } = parts
  let { grant } = parts
  let lastTraffic = clock.now()
  const pump = new Pump({
    ...parts,
    judge: (statement) => parts.judge.verdict(statement),
    recorder,
    nursery,
    onTraffic: () => {
      lastTraffic = clock.now()
    },
    recorderRefusal: CANNOT_RECORD,
  })
  const { sessions } = gate.inForce.loaded.config.auth
  const { facts } = grant.identity
  const account = gate.inForce.loaded.config.users.get(facts.user)
  live.enter({
    sid: session.sid,
    protocol: grant.target.type,
    user: facts.user,
    address: peer.address,
    since: clock.now(),
    until: clock.now() + sessions.max,
    idleMs: account?.idle === 'none' ? undefined : sessions.idle,
    grant: () => grant,
    renew: (renewed) => {
      grant = renewed
      parts.judge.renew(renewed)
    },
    lastTraffic: () => lastTraffic,
    isIdle: () => pump.idle,
    end: (ending: Ending) => pump.stop(ended(ending, ''), ending.why),
  })
  try {
    parts.onPump(pump)
    return await pump.run(parts.pending)
  } finally {
    live.leave(session.sid)
  }
}
