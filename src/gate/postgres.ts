/**
 * The story of one PostgreSQL connection, in order: it says who it is and where to; that is judged and recorded;
 * the target is dialled; only then does the client learn that it is in; bytes pass until one side ends.
 */
import { ProtocolError } from '../../protocols/bytes.ts'
import type { TlsFacts } from '../../protocols/conversation.ts'
import * as postgres from '../../protocols/postgres/index.ts'
import type { LoginResult } from '../access/authenticate.ts'
import type { Grant } from '../access/authorize.ts'
import { SCRAM_ITERATIONS } from '../access/verifier.ts'
import type { Listener } from '../config/schema.ts'
import { note } from '../record/notes.ts'
import type { RecordedSession } from '../record/session.ts'
import { admit } from './admission.ts'
import type { Talker } from './converse.ts'
import { aside, credentialOf, logIn, requestOf, targetOf, tlsWanted } from './databases.ts'
import { Doorkeeper } from './doorkeeper.ts'
import type { Gate } from './gate.ts'
import type { Intake } from './intake.ts'
import type { Accepted } from './listen.ts'
import type { Pump, Pumped } from './pump.ts'
import { pumpSession } from './pump-session.ts'
import { DRAINING, targetFailed, unsupported } from './refusals.ts'
import { Judge } from './statements.ts'
import { serverUpgrade } from './tls.ts'

const CANCEL_MS_MAX = 10_000
const TLS_FIRST_BYTE = 0x16
const NONCE_BYTES = 18
const ALPN = ['postgresql']

type PostgresListener = Extract<Listener, { type: 'postgres' }>

/** Serves one connection from its first byte to its last; what it throws is our mistake or the peer's hang-up. */
export async function servePostgres(
  gate: Gate,
  listener: PostgresListener,
  accepted: Accepted,
): Promise<void> {
  const { talker, peer } = accepted
  const arrived = await arrive(gate, listener, accepted)
  if (arrived.type === 'cancel') return passCancel(gate, arrived, accepted)
  const { login } = arrived
  const admission = await admit(gate, {
    door: 'pg',
    typed: login.user,
    result: arrived.result,
    request: requestOf(gate, listener, login),
    peer,
    claims: Object.fromEntries(login.parameters),
  })
  if (admission.type === 'refused') return talker.leave(postgres.refuse(admission.refusal))
  accepted.known()
  const { grant, session } = admission
  await serveSession(gate, accepted, { login, grant, session, welcome: listener.welcome })
}

/**
 * No answer but the end of the connection, which comes when the target has taken the request: a client that waits
 * for it knows that its next statement is not meant. Whoever guesses learns nothing.
 */
async function passCancel(
  gate: Gate,
  { pid, secret }: postgres.CancelRequest,
  { talker, peer }: Accepted,
): Promise<void> {
  const { address } = peer
  const isMeant = await gate.parts.cancels.request({ pid, secret, address })
  if (!isMeant) gate.parts.authenticator.cancelRefused('pg', address)
  talker.leave()
}

interface Admitted {
  readonly login: postgres.Login
  readonly grant: Grant
  readonly session: RecordedSession
  readonly welcome: boolean
}

async function serveSession(gate: Gate, accepted: Accepted, admitted: Admitted): Promise<void> {
  const { session } = admitted
  const { recorder } = gate.parts
  try {
    const begun = await begin(gate, accepted, admitted)
    if (begun === undefined) return
    const { why } = await begun.ended
    if (recorder.failure === undefined) session.close(why)
  } finally {
    if (!session.closed && recorder.failure === undefined) session.close('client')
  }
}

/**
 * Reaches the target and pumps; undefined where nothing comes of it, as the client has been told. Nobody waits in here
 * for the end: whatever the way to the target took would be held as long as the session lives.
 */
async function begin(
  gate: Gate,
  { talker, peer }: Accepted,
  admitted: Admitted,
): Promise<{ readonly ended: Promise<Pumped> } | undefined> {
  const { session, login, grant } = admitted
  const clientSecret = gate.parts.random(login.version === postgres.PROTOCOL_3_0 ? 4 : 32)
  const reached = await reach(gate, admitted, clientSecret)
  if (reached.type === 'refused') {
    session.close(reached.why)
    talker.leave(reached.told)
    return undefined
  }
  const { ready, target, intake, tls } = reached
  if (gate.draining || session.closed) {
    target.socket.destroy()
    if (!session.closed) session.close('stop')
    talker.leave(postgres.refuse(DRAINING))
    return undefined
  }
  const { pid, secret, parameters, welcome } = ready
  talker.socket.write(Buffer.concat([login.success, welcomeOf(gate, admitted), welcome]))
  const client = talker.take()
  const targetSide = target.take()
  const judge = new Judge(gate, grant, (text, dependable) => gate.parts.sql.read(text, dependable))
  const relay = postgres.relay({
    session: session.sid,
    firstOperation: session.nextOp,
    database: databaseOf(grant, login),
    ready: { pid, parameters },
    unguessable: Buffer.from(gate.parts.random(NONCE_BYTES)).toString('hex'),
    judge: true,
    judgeAtOnce: (statement) => judge.verdict(statement),
    readOnly: grant.readOnly,
    replication: login.replication !== undefined,
    parameters: gate.inForce.loaded.config.recording.sql.parameters,
    statementBytesMax: gate.inForce.loaded.config.recording.sql.max_statement,
    ...(grant.access.maxRows === undefined ? {} : { rowsMax: grant.access.maxRows }),
  })
  let leave = (): void => {}
  const ended = pumpSession(gate, {
    relay,
    session,
    grant,
    peer,
    client: client.socket,
    target: targetSide.socket,
    ...(intake === undefined ? {} : { intake: { target: intake } }),
    pending: { client: client.pending, target: targetSide.pending },
    cancel: () => cancelAtTarget(gate, grant, { tls, pid, secret }),
    judge,
    onPump: (pump) => {
      leave = gate.parts.cancels.enter(pid, clientSecret, () => cancel(pump, relay, session))
    },
  }).finally(() => leave())
  return { ended }
}

/** Whoever sits before a psql reads it; a program would not know what to do with it. */
function welcomeOf(gate: Gate, { welcome, login, grant, session }: Admitted): Uint8Array {
  if (!welcome || login.parameters.get('application_name') !== 'psql') return new Uint8Array(0)
  const { max } = gate.inForce.loaded.config.auth.sessions
  const until = new Date(gate.parts.clock.now() + max).toISOString().replace('T', ' ').slice(0, 16)
  const roles = `${grant.roles.length === 1 ? 'role' : 'roles'} ${grant.roles.join(', ')}`
  const who = `recorded as ${grant.identity.user} (${roles}, until ${until} UTC)`
  return postgres.encodeNotice(`session ${session.sid} is ${who}`, '')
}

/** The client's own request, which came by another connection, as an operation of its session. */
async function cancel(pump: Pump, relay: postgres.PostgresRelay, session: RecordedSession): Promise<void> {
  if (pump.ended) return
  const { operation, steps } = relay.cancel()
  const taken = await pump.cancel(steps.filter(({ type }) => type !== 'cancel'))
  if (!session.closed) session.record({ type: 'end', op: operation, outcome: taken ? 'ok' : 'error' })
}

type Reached =
  | {
      readonly type: 'reached'
      readonly ready: postgres.Ready
      readonly target: Talker
      readonly intake: Intake | undefined
      readonly tls: 'require' | 'off'
    }
  | { readonly type: 'refused'; readonly told: Uint8Array; readonly why: 'target' | 'client' }

/** Dials the target and logs in to it, as whom the grant says. */
async function reach(gate: Gate, admitted: Admitted, clientSecret: Uint8Array): Promise<Reached> {
  const { login, grant } = admitted
  const settings = postgres.startupSettings(login.parameters, grant.readOnly)
  if (settings.refused.length > 0) {
    const why = `Not on the list of settings that pass: ${settings.refused.join(', ')}.`
    return refuse(admitted, 'a startup setting is not allowed', why, 'Leave it out, or SET it afterwards.')
  }
  const target = targetOf(grant)
  const credential = credentialOf(gate, grant)
  const tls = tlsWanted(target)
  try {
    const own: [string, string][] = grant.readOnly ? [['default_transaction_read_only', 'on']] : []
    if (login.replication !== undefined)
      own.push(['replication', login.replication === 'database' ? 'database' : 'true'])
    const conversation = postgres.connect({
      tls,
      version: login.version,
      user: credential.user,
      database: databaseOf(grant, login),
      parameters: new Map([...settings.passed, ...own]),
      password: credential.password.text(),
      nonce: Buffer.from(gate.parts.random(NONCE_BYTES)).toString('base64'),
      clientSecret,
    })
    const { talker, ready, intake } = await logIn(gate, grant.targetName, target, {
      conversation,
      answer: ({ salt, iterations }) => gate.salted.of(credential, salt, iterations),
    })
    if (ready.type === 'ready') return { type: 'reached', ready, target: talker, intake, tls }
    talker.socket.destroy()
    gate.parts.log.targetFailed({ target: grant.targetName, error: new Error(loggedFailure(ready)) })
    return { type: 'refused', told: tellFailure(ready, grant), why: 'target' }
  } catch (error) {
    gate.parts.log.targetFailed({ target: grant.targetName, error })
    const why =
      error instanceof ProtocolError ? 'It does not speak as PostgreSQL should.' : 'It cannot be reached.'
    return { type: 'refused', told: postgres.refuse(targetFailed(grant.targetName, why, '')), why: 'target' }
  }
}

/** What the client asks for at the start is refused: as a decision of its session, whose record it is told. */
function refuse({ session, grant }: Admitted, what: string, why: string, next: string): Reached {
  const { user, sub } = grant.identity.facts
  const { record } = note(session, {
    type: 'access.denied',
    act: 'pg',
    sub,
    target: grant.targetName,
    private: { name: user, reason: `${what}: ${why}`, lines: [] },
  })
  const told = postgres.refuse(unsupported(what, why, next, record))
  return { type: 'refused', told, why: 'client' }
}

/** Of our own login whole; what the target says of anything else may quote what the client sent. */
function loggedFailure({ fields, message }: postgres.ConnectFailure): string {
  const code = Buffer.from(fields?.get('C') ?? '').toString('latin1')
  return code === '' || code.startsWith('28') ? message : `the target refuses the session: SQLSTATE ${code}`
}

/** What the database says itself (no such database, too many clients) passes as it is; its view of our login does not. */
function tellFailure(failure: postgres.ConnectFailure, grant: Grant): Uint8Array {
  const { fields } = failure
  const text = (letter: string): string => Buffer.from(fields?.get(letter) ?? '').toString('utf8')
  const code = text('C')
  if (fields === undefined || code === '' || code.startsWith('28')) {
    const why = code === '' ? `${failure.message}.` : 'It refuses the account that this gateway uses there.'
    return postgres.refuse(targetFailed(grant.targetName, why, ''))
  }
  return postgres.encodeError('FATAL', code, { M: text('M'), D: text('D'), H: text('H') })
}

/** The target's default for a client that names none, then PostgreSQL's own: the user's name. */
function databaseOf(grant: Grant, login: postgres.Login): string {
  return grant.access.database ?? login.database ?? targetOf(grant).credentials.user
}

/** Gives whether the target has taken the request: it answers by closing the connection. */
function cancelAtTarget(gate: Gate, grant: Grant, options: postgres.CancelOptions): Promise<boolean> {
  return aside(gate, grant, CANCEL_MS_MAX, async (talker, talk) => {
    await talker.run(postgres.cancel(options), talk)
    await talker.closed(talk.signal)
  })
}

type Arrived =
  | postgres.CancelRequest
  | { readonly type: 'login'; readonly login: postgres.Login; readonly result: LoginResult }

/** Asks who is there. */
async function arrive(gate: Gate, listener: PostgresListener, accepted: Accepted): Promise<Arrived> {
  const { talker } = accepted
  const { random } = gate.parts
  const upgrade = serverUpgrade(gate.inForce.tls)
  const door = new Doorkeeper(gate, 'pg', accepted)
  const login = await door.asks(async (signal) => {
    let tls: TlsFacts | undefined
    if ((await talker.peek()) === TLS_FIRST_BYTE) tls = await talker.secure(upgrade, ALPN)
    const conversation = postgres.accept({
      tls,
      tlsPolicy: listener.require_tls ? 'require' : 'allow',
      method: listener.login,
      nonce: Buffer.from(random(NONCE_BYTES)).toString('base64'),
      mock: { secret: random(32), iterations: SCRAM_ITERATIONS },
    })
    return talker.run(conversation, { upgrade, answer: (question) => answer(door, question), signal })
  })
  return login.type === 'cancel' ? login : { type: 'login', login, result: door.resultOf(login.secret) }
}

/** What the conversation must know of the name that was given. */
async function answer(door: Doorkeeper, question: postgres.AcceptQuestion): Promise<unknown> {
  const attempt = door.begin(question.user)
  if (question.type === 'certificate') return door.certificate(attempt, question.certificate)
  if (question.type === 'password') return door.password(attempt, question.password)
  const { salt, verifiers } = attempt.scramChallenge()
  const numbered = verifiers.map(({ storedKey, serverKey }, k) => ({ id: String(k), storedKey, serverKey }))
  return { salt, iterations: SCRAM_ITERATIONS, verifiers: numbered } satisfies postgres.Verifiers
}
