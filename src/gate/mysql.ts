/**
 * The story of one MySQL or MariaDB connection. The server speaks first, so the client is greeted with what is known
 * of its target; from there on the order is PostgreSQL's: proof, identity, grant, record, target, success, bytes.
 */
import { ProtocolError } from '../../protocols/bytes.ts'
import * as mysql from '../../protocols/mysql/index.ts'
import type { Refusal } from '../../protocols/relay.ts'
import type { StatementFacts } from '../../protocols/statement-facts.ts'
import type { LoginResult } from '../access/authenticate.ts'
import type { Grant } from '../access/authorize.ts'
import type { DatabaseTarget, Listener, Target } from '../config/schema.ts'
import type { RecordedSession } from '../record/session.ts'
import { admit } from './admission.ts'
import type { Talker } from './converse.ts'
import { aside, credentialOf, type LoggedIn, logIn, requestOf, targetOf, tlsWanted } from './databases.ts'
import { Doorkeeper } from './doorkeeper.ts'
import type { Gate } from './gate.ts'
import { sharedGreeting } from './greetings.ts'
import type { Intake } from './intake.ts'
import type { Accepted } from './listen.ts'
import { pumpSession } from './pump-session.ts'
import { DRAINING, targetFailed } from './refusals.ts'
import { Judge } from './statements.ts'
import { serverUpgrade } from './tls.ts'

const SCRAMBLE_BYTES = 20
const KILL_MS_MAX = 10_000
/** What the gateway says of itself to a target. */
const OWN = { attributes: [['program_name', 'gatebook']] } as const
/** What clients announce who know no other; passwords in clear inside TLS only, which the protocol's room sees to. */
const METHODS: readonly mysql.Method[] = [
  'caching_sha2_password',
  'mysql_native_password',
  'mysql_clear_password',
  'dialog',
]
const MARIADB_METHODS: readonly mysql.Method[] = [
  'mysql_native_password',
  'caching_sha2_password',
  'mysql_clear_password',
  'dialog',
]

type MysqlListener = Extract<Listener, { type: 'mysql' }>

export async function serveMysql(gate: Gate, listener: MysqlListener, accepted: Accepted): Promise<void> {
  const { talker, peer } = accepted
  const greeting = await greetingOf(gate, listener)
  if (greeting === undefined) {
    // Before the greeting nobody is known: an error in its place is all that a client understands.
    const why = 'It has not been reached yet, so nothing can be promised in its name.'
    return talker.leave(mysql.refuse(targetFailed(listener.target ?? 'mysql', why, ''), 0))
  }
  const methods = listener.family === 'mariadb' ? MARIADB_METHODS : METHODS
  const threadId = gate.parts.threads.take()
  try {
    const { login, result } = await arrive(gate, listener, accepted, { greeting, threadId, methods })
    const admission = await admit(gate, {
      door: 'mysql',
      typed: login.user,
      result,
      request: requestOf(gate, listener, login),
      peer,
      claims: Object.fromEntries(login.attributes),
    })
    if (admission.type === 'refused') return talker.leave(mysql.refuse(admission.refusal, login.sequence))
    accepted.known()
    await serveSession(gate, accepted, {
      login,
      methods,
      grant: admission.grant,
      session: admission.session,
    })
  } finally {
    gate.parts.threads.leave(threadId)
  }
}

interface Admitted {
  readonly login: mysql.Login
  readonly methods: readonly mysql.Method[]
  readonly grant: Grant
  readonly session: RecordedSession
}

async function serveSession(gate: Gate, { talker, peer }: Accepted, admitted: Admitted): Promise<void> {
  const { session, login, grant, methods } = admitted
  const { recorder, threads, random } = gate.parts
  const { sub } = grant.identity.facts
  try {
    const reached = await reach(gate, grant, login)
    if (reached.type === 'refused') {
      session.close('target')
      return talker.leave(mysql.refuse(reached.refusal, login.sequence))
    }
    const { ready, intake } = reached
    if (gate.draining || session.closed) {
      reached.talker.socket.destroy()
      if (!session.closed) session.close('stop')
      return talker.leave(mysql.refuse(DRAINING, login.sequence))
    }
    threads.stands(login.threadId, { sub, target: grant.targetName, real: ready.threadId })
    talker.socket.write(ready.welcome)
    const client = talker.take()
    const target = reached.talker.take()
    const { sql } = gate.inForce.loaded.config.recording
    const judge = new Judge(gate, grant, readFacts)
    const relay = mysql.relay({
      session: session.sid,
      firstOperation: session.nextOp,
      login,
      ready,
      database: login.database ?? grant.access.database,
      judge: true,
      judgeAtOnce: (statement) => judge.verdict(statement),
      readOnly: grant.readOnly,
      parameters: sql.parameters,
      statementBytesMax: sql.max_statement,
      ...(grant.access.maxRows === undefined ? {} : { rowsMax: grant.access.maxRows }),
      localFiles: takesFiles(targetOf(grant)),
      findThread: (given) => threads.find(given, sub, grant.targetName),
      credential: credentialAt(gate, grant),
      methods,
      random,
    })
    const { why } = await pumpSession(gate, {
      relay,
      session,
      grant,
      peer,
      client: client.socket,
      target: target.socket,
      ...(intake === undefined ? {} : { intake: { target: intake } }),
      pending: { client: client.pending, target: target.pending },
      cancel: () => killQuery(gate, grant, ready.threadId),
      judge,
      onPump: () => {},
    })
    if (recorder.failure === undefined) session.close(why)
  } finally {
    if (!session.closed && recorder.failure === undefined) session.close('client')
  }
}

function takesFiles(target: Target): boolean {
  return target.type === 'mysql' && target.local_infile
}

function readFacts(text: Uint8Array, dependable: boolean): StatementFacts {
  const read = mysql.readText(text)
  if (dependable || read.disputed !== undefined) return read
  return { ...read, disputed: 'this session’s settings change how texts are read' }
}

type Reached =
  | {
      readonly type: 'reached'
      readonly ready: mysql.Ready
      readonly talker: Talker
      readonly intake: Intake | undefined
    }
  | { readonly type: 'refused'; readonly refusal: Refusal }

/** Logs in at the target with exactly the flags that the client accepted. */
async function reach(gate: Gate, grant: Grant, login: mysql.Login): Promise<Reached> {
  const { targetName } = grant
  const failed = (why: string, error: unknown): Reached => {
    gate.parts.log.targetFailed({ target: targetName, error })
    return { type: 'refused', refusal: targetFailed(targetName, why, '') }
  }
  try {
    const options = {
      credential: credentialAt(gate, grant),
      login,
      database: login.database ?? grant.access.database,
    }
    const { talker, ready, intake } = await logInTo(gate, targetName, targetOf(grant), options)
    if (ready.type === 'ready') {
      gate.parts.greetings.put(targetName, ready.greeting)
      return { type: 'reached', ready, talker, intake }
    }
    talker.socket.destroy()
    const why = ready.why === 'refused' ? `It answers: ${ready.message}` : `${ready.message}.`
    return failed(why, new Error(loggedFailure(ready)))
  } catch (error) {
    return failed(
      error instanceof ProtocolError ? 'It does not speak as MySQL should.' : 'It cannot be reached.',
      error,
    )
  }
}

const ACCESS_DENIED = 1045

/** Of our own login whole; what the target says of anything else may quote what the client sent. */
function loggedFailure({ code, message }: mysql.ConnectFailure): string {
  return code === undefined || code === ACCESS_DENIED
    ? message
    : `the target refuses the session: error ${code}`
}

function credentialAt(gate: Gate, grant: Grant): mysql.Credential {
  const { user, password } = credentialOf(gate, grant)
  return { user, password: password.text() }
}

type LogInOptions = Pick<mysql.ConnectOptions, 'credential' | 'login' | 'database'>

function logInTo(
  gate: Gate,
  name: string,
  target: DatabaseTarget,
  options: LogInOptions,
): Promise<LoggedIn<mysql.Ready | mysql.ConnectFailure>> {
  const own = { ...OWN, tls: tlsWanted(target), random: gate.parts.random }
  const conversation = mysql.connect({ ...options, ...own })
  return logIn(gate, name, target, { conversation, answer: () => undefined })
}

/** For a listener of one target, that target's; a shared one's is composed of all that it may lead to. */
async function greetingOf(gate: Gate, listener: MysqlListener): Promise<mysql.Greeting | undefined> {
  const { greetings } = gate.parts
  const { targets } = gate.inForce.loaded.config
  if (listener.target !== undefined) {
    await learn(gate, listener.target)
    return greetings.get(listener.target)
  }
  const names = [...targets].filter(([, { type }]) => type === 'mysql').map(([name]) => name)
  for (const name of names) await learn(gate, name)
  const known = names.map((name) => greetings.get(name)).filter((greeting) => greeting !== undefined)
  return sharedGreeting(known, listener)
}

/** A full login of the gateway's own: one that breaks off would count against it as a failed connection. */
async function learn(gate: Gate, name: string): Promise<void> {
  const { greetings, log } = gate.parts
  const target = gate.inForce.loaded.config.targets.get(name)
  const usual = gate.inForce.credentials.get(name)?.usual
  if (greetings.get(name) !== undefined || target?.type !== 'mysql' || usual === undefined) return
  const credential = { user: usual.user, password: usual.password.text() }
  try {
    const { talker, ready } = await logInTo(gate, name, target, {
      credential,
      login: undefined,
      database: undefined,
    })
    talker.socket.end(mysql.QUIT)
    if (ready.type === 'ready') greetings.put(name, ready.greeting)
    else log.targetFailed({ target: name, error: new Error(ready.message) })
  } catch (error) {
    log.targetFailed({ target: name, error })
  }
}

/** By a connection of its own, as the same account. */
function killQuery(gate: Gate, grant: Grant, thread: number): Promise<boolean> {
  const tls = tlsWanted(targetOf(grant))
  const options = { ...OWN, tls, credential: credentialAt(gate, grant), random: gate.parts.random }
  return aside(gate, grant, KILL_MS_MAX, async (talker, talk) => {
    const failure = await talker.run(mysql.cancel(options, thread), talk)
    if (failure !== undefined) throw new Error(failure.message)
  })
}

interface Entrance {
  readonly greeting: mysql.Greeting
  readonly threadId: number
  readonly methods: readonly mysql.Method[]
}

/** Asks who is there. */
async function arrive(
  gate: Gate,
  listener: MysqlListener,
  accepted: Accepted,
  entrance: Entrance,
): Promise<{ login: mysql.Login; result: LoginResult }> {
  const conversation = mysql.accept({
    ...entrance,
    // No NUL: clients of old read the scramble as a string.
    scramble: gate.parts.random(SCRAMBLE_BYTES).map((byte) => (byte % 255) + 1),
    tlsPolicy: listener.require_tls ? 'require' : 'allow',
    localFiles: mayTakeFiles(gate, listener),
  })
  const door = new Doorkeeper(gate, 'mysql', accepted)
  const login = await door.asks((signal) =>
    accepted.talker.run(conversation, {
      upgrade: serverUpgrade(gate.inForce.tls),
      answer: (question) => answer(door, question),
      signal,
    }),
  )
  return { login, result: door.resultOf(login.secret) }
}

/** Before the target is known, whether any that it may be takes files: it is asked again then. */
function mayTakeFiles(gate: Gate, listener: MysqlListener): boolean {
  const { targets } = gate.inForce.loaded.config
  return [...targets].some(([name, target]) => name === (listener.target ?? name) && takesFiles(target))
}

/** What the conversation must know of the name that was given. */
async function answer(door: Doorkeeper, question: mysql.Question): Promise<unknown> {
  const attempt = door.begin(question.user)
  if (question.type === 'password') return door.password(attempt, question.password)
  return attempt
    .tokenVerifiers()
    .map(
      ({ sha1Twice, sha256Twice }, k) =>
        ({ id: String(k), sha1: sha1Twice, sha256: sha256Twice }) satisfies mysql.Verifier,
    )
}
