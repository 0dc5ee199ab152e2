/** What each command begins, and what the target will have to answer: told before it is forwarded. */
import { encodeText, Reader } from '../bytes.ts'
import type { Payload } from '../events.ts'
import { traceOf } from '../trace.ts'
import { Answer, type AnswerKind } from './answer.ts'
import { FLAG, has } from './capabilities.ts'
import {
  type Command,
  type ExecuteCommand,
  encodePrepare,
  encodeProcessKill,
  encodeQuery,
} from './commands.ts'
import type { Operation } from './operations.ts'
import { describeCommand, effectOf, KINDS, type Other } from './others.ts'
import { encodePacket } from './packets.ts'
import { Expectation, type Session } from './session.ts'
import { type Concerns, countParams, type Kill } from './sql/concerns.ts'
import { Prepared } from './statements.ts'
import {
  type Argument,
  decodeBound,
  encodeArguments,
  hex,
  type ParamType,
  typeName,
  type Value,
} from './values.ts'

/** A command of the client, as far as it was understood. */
export interface Request {
  readonly command: Command
  readonly payload: Uint8Array
  /** As it stood on the wire, headers included. */
  readonly bytes: Uint8Array
  /** The sequence id of its first answer. */
  readonly sequence: number
  readonly concerns: Concerns
  /** Whom it kills, by the number that we gave and by the target's own; `nobody` where that is refused. */
  readonly thread: { readonly given: number; readonly target: number } | 'nobody' | undefined
}

/** A short text tends to come again: BEGIN, COMMIT, SET NAMES. */
const REPEATING_BYTES_MAX = 64
/** A flag of COM_STMT_EXECUTE: a count of parameters is sent, for attributes behind them. */
const PARAMETER_COUNT_AVAILABLE = 0x08
const READ_ONLY = encodeText('SET SESSION TRANSACTION READ ONLY')

/** `rule` is what let it pass, where it was judged. */
export function announce(session: Session, request: Request, rule?: string): void {
  const { command } = request
  switch (command.type) {
    case 'query':
      announceQuery(session, request, command, rule)
      return
    case 'prepare':
      announcePrepare(session, request, command.text, rule)
      return
    case 'execute':
      announceExecute(session, request, command, rule)
      return
    case 'fetch':
      announceFetch(session, request, command)
      return
    case 'long-data':
      announceLongData(session, request, command)
      return
    case 'close':
      // Frees memory at the target and is not answered: nothing that a record would tell of.
      session.statements.close(command.statement)
      session.send('target', request.bytes)
      return
    case 'process-kill':
      announceProcessKill(session, request, rule)
      return
    case 'quit':
      session.send('target', request.bytes)
      return
    case 'change-user':
    case 'denied':
    case 'unknown':
      throw new TypeError(`${command.type} is never forwarded`)
    default:
      announceOther(session, request, command, rule)
  }
}

function announceQuery(
  session: Session,
  request: Request,
  { text, attributes }: Extract<Command, { type: 'query' }>,
  rule: string | undefined,
): void {
  const { bytes, sequence, concerns } = request
  const repeats = text.length <= REPEATING_BYTES_MAX ? { repeats: true } : {}
  const payloads: Payload[] = [{ type: 'sql', body: text, ...repeats }]
  if (attributes.length > 0) payloads.push({ type: 'args', body: argumentsOf(session, [], attributes) })
  const killed = killedBy(request)
  payloads.push(session.meta(circumstances(text, attributes, killed)))
  const operation = session.ledger.begin('db.query', payloads, { rule })
  changeReading(session, concerns)
  const item = expect(session, 'results', operation, sequence)
  item.files = concerns.files
  const { database, charset, encoding } = concerns
  if (database !== undefined || charset !== undefined)
    session.awaitEffect(item, { type: 'set', database, charset, utf8: encoding === 'utf8' })
  const own = killed === undefined ? undefined : encodeQuery(rewritten(request, killed), session.agreed)
  session.send('target', own === undefined ? bytes : encodePacket(0, own))
}

/** From here on, whether or not it will succeed. */
function changeReading(session: Session, { reading, encoding }: Concerns): void {
  if (reading) session.makeUnclear()
  if (encoding === 'other') session.utf8 = false
}

type Killed = Exclude<Request['thread'], 'nobody' | undefined>

function killedBy({ thread }: Request): Killed | undefined {
  if (thread === 'nobody') throw new TypeError('a KILL that is refused')
  return thread
}

/** A KILL names the number that we gave; the target knows its own. */
function rewritten({ concerns: { kill } }: Request, killed: Killed): Uint8Array {
  if (kill === undefined || kill === 'unclear') throw new TypeError('a KILL that was not understood')
  return killText(kill, killed.target)
}

export function killText({ words }: Pick<Kill, 'words'>, thread: number): Uint8Array {
  return encodeText(['KILL', ...words, thread].join(' '))
}

/** What is out of the ordinary of a text: the trace it belongs to, a claim of the client's, or a KILL's numbers. */
function circumstances(
  text: Uint8Array,
  attributes: readonly Argument[],
  kill: Killed | undefined,
): Record<string, unknown> | undefined {
  const trace = attributes.find(({ name }) => name === 'traceparent')?.value ?? traceOf(text)
  if (trace === undefined && kill === undefined) return undefined
  return {
    ...(trace === undefined ? {} : { trace }),
    ...(kill === undefined ? {} : { kill }),
  }
}

function announcePrepare(
  session: Session,
  request: Request,
  text: Uint8Array,
  rule: string | undefined,
): void {
  const sql = session.statements.keepText(text)
  const killed = killedBy(request)
  const payloads = [
    sql ?? ({ type: 'sql', body: text } as const),
    session.meta(circumstances(text, [], killed)),
  ]
  const operation = session.ledger.begin('db.prepare', payloads, { rule })
  const { files } = request.concerns
  changeReading(session, request.concerns)
  const prepared = new Prepared(sql, { preparedBy: operation.number, rule, files, params: undefined })
  session.statements.announce(prepared)
  expect(session, 'prepared', operation, request.sequence).effect = { type: 'prepared', prepared }
  const own = killed === undefined ? undefined : encodePrepare(rewritten(request, killed))
  session.send('target', own === undefined ? request.bytes : encodePacket(0, own))
}

function announceExecute(
  session: Session,
  request: Request,
  command: ExecuteCommand,
  rule: string | undefined,
): void {
  const prepared = session.statements.find(command.statement)
  if (prepared === 'refused') throw new TypeError('an execution of what was refused')
  const payloads = statementPayloads(session, prepared, command.statement)
  payloads.push({ type: 'args', body: executedWith(session, prepared, command), kept: true })
  const operation = session.ledger.begin('db.execute', payloads, { rule: rule ?? prepared?.rule })
  if (prepared !== undefined) prepared.executedBy = operation.number
  expect(session, 'results', operation, request.sequence).files = prepared?.files ?? []
  session.send('target', request.bytes)
}

/** The text and the circumstances of what runs, or that it is not known, by the number the client used. */
function statementPayloads(
  session: Session,
  prepared: Prepared | undefined,
  id: number,
  more?: Record<string, unknown>,
): Payload[] {
  if (prepared === undefined) return [session.meta({ ...more, unknown: 'statement', name: String(id) })]
  if (prepared.sql !== undefined) return [prepared.sql, session.meta(more)]
  return [session.meta({ ...more, prepared: prepared.preparedBy })]
}

/**
 * The parameters, decoded. Of a statement that the target has not confirmed, their number is taken from the text;
 * where even that cannot be had, or nothing is known of the statement, the bytes themselves are the record.
 */
function executedWith(
  session: Session,
  prepared: Prepared | undefined,
  { flags, body }: ExecuteCommand,
): Uint8Array {
  const params = prepared?.params ?? guessParams(prepared)
  if (prepared === undefined || params === undefined) {
    return encodeText(JSON.stringify([{ undecoded: hex(body) }]))
  }
  const attributes = has(session.agreed, FLAG.QUERY_ATTRIBUTES)
  const named = attributes && (params > 0 || (flags & PARAMETER_COUNT_AVAILABLE) !== 0)
  const ahead = session.statements.takeAhead(prepared)
  const bound = decodeBound(new Reader(body), { params, types: prepared.types, ahead, named })
  if (bound.types.length > 0) prepared.types = bound.types
  return argumentsOf(session, bound.values, bound.attributes, bound.types)
}

function guessParams(prepared: Prepared | undefined): number | undefined {
  if (prepared?.sql === undefined) return undefined
  prepared.params = countParams(prepared.sql.body)
  prepared.assumed = prepared.params !== undefined
  return prepared.params
}

function argumentsOf(
  session: Session,
  values: readonly Value[],
  attributes: readonly Argument[],
  types: readonly ParamType[] = [],
): Uint8Array {
  if (session.options.parameters !== 'redact') return encodeArguments(values, attributes)
  const redacted = [
    ...types.map(({ code }) => ({ type: typeName(code) })),
    ...attributes.map(({ name }) => ({ name })),
  ]
  return encodeText(JSON.stringify(redacted))
}

function announceFetch(
  session: Session,
  request: Request,
  { statement, rows }: Extract<Command, { type: 'fetch' }>,
): void {
  const found = session.statements.find(statement)
  const prepared = found === 'refused' ? undefined : found
  const payloads = statementPayloads(session, prepared, statement, { fetch: rows })
  const beginning = { parent: prepared?.executedBy, rule: prepared?.rule }
  const operation = session.ledger.begin('db.execute', payloads, beginning)
  expect(session, 'rows', operation, request.sequence)
  session.send('target', request.bytes)
}

/** Nothing runs yet, so nothing begins: what is sent ahead stands in the record of its execution. */
function announceLongData(
  session: Session,
  { bytes }: Request,
  { statement, param, data }: Extract<Command, { type: 'long-data' }>,
): void {
  const prepared = session.statements.find(statement)
  // The target passes over values for a statement it does not know; so they need not reach it.
  if (prepared === undefined || prepared === 'refused') return
  session.statements.addAhead(prepared, param, data)
  session.send('target', bytes)
}

function announceProcessKill(session: Session, request: Request, rule: string | undefined): void {
  const killed = killedBy(request)
  if (killed === undefined) throw new TypeError('a KILL that was not looked up')
  const payloads = [describeCommand(request.command), session.meta({ kill: killed })]
  const operation = session.ledger.begin('db.other', payloads, { rule })
  expect(session, 'ok', operation, request.sequence)
  session.send('target', encodePacket(0, encodeProcessKill(killed.target)))
}

function announceOther(
  session: Session,
  { bytes, sequence }: Request,
  command: Other,
  rule: string | undefined,
): void {
  const payloads = [describeCommand(command), session.meta()]
  const operation = session.ledger.begin('db.other', payloads, { rule })
  const item = expect(session, KINDS[command.type], operation, sequence)
  const effect = effectOf(command)
  if (effect !== undefined) session.awaitEffect(item, effect)
  if (command.type === 'reset-statement') {
    const prepared = session.statements.find(command.statement)
    if (prepared !== undefined && prepared !== 'refused') session.statements.forgetAhead(prepared)
  }
  session.send('target', bytes)
  if (command.type === 'reset-connection') sendGuard(session)
}

function expect(session: Session, kind: AnswerKind, operation: Operation, sequence: number): Expectation {
  const item = new Expectation(new Answer(kind, session.agreed), operation, sequence)
  session.queue.push(item)
  return item
}

/** The session is told to write nothing, where its role may not. A client can lift it: a guard rail, no more. */
export function sendGuard(session: Session): void {
  if (!session.options.readOnly) return
  const payloads: Payload[] = [
    { type: 'sql', body: READ_ONLY, repeats: true },
    session.meta({ gateway: true }),
  ]
  const item = expect(session, 'results', session.ledger.begin('db.query', payloads), 1)
  item.ours = true
  item.effect = { type: 'guarded' }
  session.send('target', encodePacket(0, encodeQuery(READ_ONLY, session.agreed)))
}
