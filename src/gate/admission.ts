/**
 * One login flow for all protocols: a proof becomes an Identity, an Identity and a target become a Grant, and a
 * Grant gets a session in the book before anything is dialled. Each refusal is a record before it is told.
 */

import type { Refusal } from '../../protocols/relay.ts'
import type { LoginResult } from '../access/authenticate.ts'
import { authorize, type Grant } from '../access/authorize.ts'
import type { Door, Who } from '../access/events.ts'
import type { AccessRequest } from '../access/rights.ts'
import { note } from '../record/notes.ts'
import { RecorderClosedError } from '../record/recorder.ts'
import { type RecordedSession, RecordTooLargeError } from '../record/session.ts'
import type { Gate } from './gate.ts'
import type { Peer } from './proxy-header.ts'
import { badCredential, CANNOT_RECORD, DRAINING } from './refusals.ts'

export interface Arrival {
  readonly door: Door
  /** As the client wrote it. */
  readonly typed: string
  readonly result: LoginResult
  readonly request: AccessRequest
  readonly peer: Peer
  /** What the client says of itself. */
  readonly claims: Readonly<Record<string, string>>
}

export type Admission =
  | { readonly type: 'admitted'; readonly grant: Grant; readonly session: RecordedSession }
  | { readonly type: 'refused'; readonly refusal: Refusal }

/** Whatever goes wrong with recording is told as such: nobody is let in unrecorded, or left without a word. */
export async function admit(gate: Gate, arrival: Arrival): Promise<Admission> {
  const { recorder } = gate.parts
  if (recorder.failure !== undefined) return refused(CANNOT_RECORD)
  try {
    return await decide(gate, arrival)
  } catch (error) {
    const isRecording = error instanceof RecorderClosedError || error instanceof RecordTooLargeError
    if (isRecording || recorder.failure !== undefined) return refused(CANNOT_RECORD)
    throw error
  }
}

async function decide(gate: Gate, arrival: Arrival): Promise<Admission> {
  const { door, typed, result, peer, claims } = arrival
  if (result.type !== 'identity') return refused(badCredential(typed, gate.refusedRecord(peer.address)))
  if (gate.draining) return refused(DRAINING)
  const { identity } = result
  const { facts } = identity
  const who: Who = {
    name: facts.user,
    address: peer.address,
    method: facts.method,
    ...(facts.token === undefined ? {} : { token: facts.token }),
    ...(facts.key === undefined ? {} : { key: facts.key }),
    ...(facts.code === undefined ? {} : { code: facts.code }),
    claims,
  }
  const decision = authorize(identity, arrival.request, gate.inForce.loaded, gate.parts.clock.now())
  if (decision.type === 'denied') {
    const { what, why, next, lines, target } = decision
    const configured = target !== undefined && gate.inForce.loaded.config.targets.has(target)
    const { record } = gate.note({
      type: 'access.denied',
      act: door,
      sub: facts.sub,
      ...(configured ? { target } : {}),
      private: { ...who, reason: `${what}: ${why}`, lines },
    })
    return refused({ cause: 'access', what, why, next, record })
  }
  return { type: 'admitted', grant: decision.grant, session: await open(gate, arrival, decision.grant, who) }
}

async function open(gate: Gate, { door, peer }: Arrival, grant: Grant, who: Who): Promise<RecordedSession> {
  const { sub } = grant.identity.facts
  const { durability } = gate.inForce.loaded.config.recording
  const session = await gate.parts.recorder.open({
    act: door,
    mode: (grant.target.type === 'ssh' ? grant.target.durability : undefined) ?? durability,
    sub,
    target: grant.targetName,
    who: Buffer.from(
      JSON.stringify({ ...who, port: peer.port, roles: grant.roles } satisfies Who & { port: number }),
    ),
  })
  try {
    note(session, { type: 'login', act: door, outcome: 'ok', sub, private: who })
  } catch (error) {
    if (gate.parts.recorder.failure === undefined) session.close('limit')
    throw error
  }
  return session
}

function refused(refusal: Refusal): Admission {
  return { type: 'refused', refusal }
}
