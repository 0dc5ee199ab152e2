/**
 * The story of one SSH connection, in order: keys are exchanged, the person proves who they are; that is judged and
 * recorded; the host is dialled; only then does the person learn that they are in. What they then ask for is judged
 * channel by channel. Who is refused behind their login is let in all the same, to be told why where they look.
 */

import type { Refusal } from '../../protocols/relay.ts'
import {
  freshEphemeralKeys,
  HostError,
  type Method,
  type RelayOptions,
  SshConnection,
} from '../../protocols/ssh/index.ts'
import { splitLogin } from '../access/address.ts'
import type { Grant } from '../access/authorize.ts'
import type { Ending } from '../access/live.ts'
import type { Listener } from '../config/schema.ts'
import type { RecordedSession } from '../record/session.ts'
import { admit } from './admission.ts'
import { Bridge } from './bridge.ts'
import type { Host } from './bridge-outlets.ts'
import { HangUpError } from './converse.ts'
import { type Deadline, deadline } from './deadline.ts'
import type { Gate } from './gate.ts'
import type { Accepted } from './listen.ts'
import { DRAINING, ended, targetFailed } from './refusals.ts'
import { type Arrived, SshDoorkeeper } from './ssh-door.ts'
import { reachHost } from './ssh-host.ts'
import { SshJudge } from './ssh-judge.ts'

/** OpenSSH's LoginGraceTime is twice that; nobody needs it. */
export const SSH_LOGIN_MS_MAX = 60_000
const CONNECT_MS_MAX = 30_000
/** To hear why they are refused. */
const REFUSED_MS_MAX = 30_000

/** The same for everybody: nothing here tells who exists. */
const METHODS: readonly Method[] = ['publickey', 'keyboard-interactive', 'password']

type SshListener = Extract<Listener, { type: 'ssh' }>

/** Serves one connection from its first byte to its last; what it throws is our mistake or the peer's hang-up. */
export async function serveSsh(
  gate: Gate,
  name: string,
  listener: SshListener,
  accepted: Accepted,
): Promise<void> {
  const door = gate.inForce.hosts.doors.get(name)
  if (door === undefined) throw new Error(`no keys for the listener ${name}`)
  const { socket, pending } = accepted.talker.take()
  const { recorder, clock, nursery, random } = gate.parts
  const connection = new SshConnection({
    software: 'gatebook',
    hostKeys: door.hostKeys,
    ephemeralKeys: freshEphemeralKeys,
    fill: (bytes) => bytes.set(random(bytes.length)),
    methods: METHODS,
    banner: '',
  })
  const bridge = new Bridge({ connection, socket, recorder, clock, nursery })
  const doorkeeper = new SshDoorkeeper(gate, door, accepted.peer.address)
  using limit = deadline(clock, SSH_LOGIN_MS_MAX)
  limit.signal.addEventListener('abort', () => socket.destroy(), { once: true })
  try {
    await bridge.meet(pending, (proof) => doorkeeper.answer(proof))
  } catch (error) {
    doorkeeper.leave()
    // Last words may be on their way still.
    if (error instanceof HangUpError) await bridge.closed
    throw error
  }
  if (doorkeeper.arrived === undefined) throw new Error('a login without a proof')
  await enter(gate, listener, accepted, { bridge, connection, limit, arrived: doorkeeper.arrived })
}

interface Entering {
  readonly bridge: Bridge
  readonly connection: SshConnection
  readonly limit: Deadline
  readonly arrived: Arrived
}

async function enter(
  gate: Gate,
  listener: SshListener,
  accepted: Accepted,
  entering: Entering,
): Promise<void> {
  const { connection, arrived } = entering
  const split = splitLogin(arrived.typed, gate.inForce.loaded.config.targets)
  const admission = await admit(gate, {
    door: 'ssh',
    typed: arrived.typed,
    result: arrived.result,
    request: {
      protocol: 'ssh',
      ...(split.target === undefined ? {} : { named: split.target }),
      ...(listener.target === undefined ? {} : { bound: listener.target }),
    },
    peer: accepted.peer,
    claims: { client: connection.clientVersion, algorithms: connection.algorithms.join(' ') },
  })
  accepted.known()
  if (admission.type === 'refused') {
    await turnAway(gate, entering, admission.refusal)
    return
  }
  await serveSession(gate, accepted, { ...entering, grant: admission.grant, session: admission.session })
}

/** Lets the person in to be told, on whatever they ask for, why nothing comes of it. */
async function turnAway(gate: Gate, { bridge, limit }: Entering, refusal: Refusal): Promise<void> {
  limit[Symbol.dispose]()
  using patience = deadline(gate.parts.clock, REFUSED_MS_MAX)
  patience.signal.addEventListener('abort', () => bridge.stop(refusal, 'limit'), { once: true })
  await bridge.refuse(REFUSED_OPTIONS, refusal)
}

/** Nothing runs under them. */
const REFUSED_OPTIONS: RelayOptions = {
  session: '',
  stdin: 'hash',
  output: false,
  variables: [],
  agentForwarding: false,
  strictEcho: false,
}

interface Admitted extends Entering {
  readonly grant: Grant
  readonly session: RecordedSession
}

async function serveSession(gate: Gate, { peer }: Accepted, admitted: Admitted): Promise<void> {
  const { bridge, grant, session, limit, arrived } = admitted
  const { recorder, clock, live } = gate.parts
  try {
    const reached = await reach(gate, admitted)
    if (reached.type === 'failed') {
      if (recorder.failure === undefined) session.close('target')
      return await turnAway(gate, admitted, reached.refusal)
    }
    const { host } = reached
    if (gate.draining || session.closed) {
      host.end()
      if (!session.closed && recorder.failure === undefined) session.close('stop')
      return await turnAway(gate, admitted, DRAINING)
    }
    limit[Symbol.dispose]()
    const judge = new SshJudge(gate, grant, arrived.terms)
    let lastTraffic = clock.now()
    const { sessions } = gate.inForce.loaded.config.auth
    const { user } = grant.identity
    const account = gate.inForce.loaded.config.users.get(user)
    live.enter({
      sid: session.sid,
      protocol: 'ssh',
      user,
      address: peer.address,
      since: clock.now(),
      until: clock.now() + sessions.max,
      idleMs: account?.idle === 'none' ? undefined : sessions.idle,
      grant: () => judge.grant,
      renew: (renewed) => judge.renew(renewed),
      lastTraffic: () => lastTraffic,
      isIdle: () => bridge.idle,
      end: (ending: Ending) => bridge.stop(ended(ending, ''), ending.why),
    })
    const { why } = await bridge.serve({
      options: optionsOf(gate, admitted),
      session,
      host,
      judge: (wish) => judge.verdict(wish),
      onTraffic: () => {
        lastTraffic = clock.now()
      },
    })
    if (recorder.failure === undefined) session.close(why)
  } finally {
    live.leave(session.sid)
    if (!session.closed && recorder.failure === undefined) session.close('client')
  }
}

/** How the person's session is recorded, and what of theirs reaches the host by itself. */
function optionsOf(gate: Gate, { session, grant, arrived }: Admitted): RelayOptions {
  const { target } = grant
  if (target.type !== 'ssh') throw new TypeError(`${grant.targetName} is no SSH target`)
  const { stdin, env, agent_forwarding: agent } = target
  const { forceCommand } = arrived.terms
  return {
    session: session.sid,
    firstOperation: session.nextOp,
    stdin,
    output: gate.inForce.loaded.config.recording.ssh.output,
    variables: env,
    agentForwarding: agent && arrived.terms.agent,
    strictEcho: session.mode === 'strict',
    ...(forceCommand === undefined ? {} : { forceCommand }),
  }
}

type Reached =
  | { readonly type: 'reached'; readonly host: Host }
  | { readonly type: 'failed'; readonly refusal: Refusal }

/** The log says in full why a host cannot be reached, the person is told in short. */
async function reach(gate: Gate, { bridge, grant }: Admitted): Promise<Reached> {
  using limit = deadline(gate.parts.clock, CONNECT_MS_MAX)
  try {
    const host = await reachHost(gate, grant, limit.signal, {
      tell: (event) => bridge.host(event),
      lost: () => bridge.hostLost(),
    })
    return { type: 'reached', host }
  } catch (error) {
    gate.parts.log.targetFailed({ target: grant.targetName, error })
    const why = FAILURES[error instanceof HostError ? error.code : 'unreachable']
    return { type: 'failed', refusal: targetFailed(grant.targetName, why, '') }
  }
}

const FAILURES: Readonly<Record<HostError['code'], string>> = {
  'host-key': 'It shows a key that is not the one pinned for it: it may be another host.',
  credential: 'It does not take the key or password that this gateway uses there.',
  unreachable: 'It cannot be reached.',
}
