/** What each message of the client begins, and what the server will have to answer: told before it is forwarded. */
import type { Payload } from '../events.ts'
import { traceOf } from '../trace.ts'
import { copyOf } from './copies.ts'
import type { Bind, Execute, FrontendMessage, FunctionCall, Named, Parse } from './frontend.ts'
import { nameKey } from './names.ts'
import { Expectation } from './queue.ts'
import type { Session } from './session.ts'
import { announceChanges, nameChanges, Portal, Statement } from './statements.ts'
import type { Refusable } from './substitutes.ts'
import { describeArguments, describeCall } from './values.ts'

/** A short text tends to come again: BEGIN, COMMIT, SHOW. */
const REPEATING_BYTES_MAX = 64
const REPEATS = { repeats: true }

/** `rule` is what let it pass, where it was judged. */
export function announce(session: Session, message: FrontendMessage, rule?: string): void {
  switch (message.type) {
    case 'query':
      announceQuery(session, message.sql, rule)
      return
    case 'parse':
      announceParse(session, message, rule)
      return
    case 'bind':
      announceBind(session, message, rule)
      return
    case 'describe':
      announceDescribe(session, message)
      return
    case 'execute':
      announceExecute(session, message)
      return
    case 'close':
      announceClose(session, message)
      return
    case 'call':
      announceCall(session, message, rule)
      return
    case 'sync':
      announceSync(session)
      return
    case 'copy-done':
    case 'copy-fail':
      announceCopyEnd(session)
      return
    default:
  }
}

/** Of a message that the server is known to discard, nothing is expected, and only its end is left to tell. */
function expect(session: Session, item: Expectation): void {
  if (session.skipping) session.skip(item)
  else session.queue.push(item)
}

/** A statement of ours in place of one that is refused. `portal` is what a refused Bind would have made. */
export function announceSubstitute(
  session: Session,
  item: Expectation,
  refused: Refusable,
  portal: Uint8Array | undefined,
): void {
  if (refused === 'query') {
    session.statements.announce('', undefined, session.batch)
    session.portals.announce('', undefined, session.batch)
  }
  if (refused === 'unnamed parse') {
    item.name = ''
    session.statements.announce('', undefined, session.batch)
  }
  if (portal !== undefined && item.operation !== undefined) {
    // The Execute behind it belongs to it, and is skipped with it.
    item.name = nameKey(portal)
    item.portal = new Portal(undefined, item.operation)
    session.portals.announce(item.name, item.portal, session.batch)
  }
  if (refused === 'query' || refused === 'call') session.batch++
  expect(session, item)
}

function announceQuery(session: Session, sql: Uint8Array, rule: string | undefined): void {
  const trace = traceOf(sql)
  const payload: Payload = { type: 'sql', body: sql, ...(sql.length <= REPEATING_BYTES_MAX ? REPEATS : {}) }
  const operation = session.ledger.begin('db.query', [payload, session.meta(trace, undefined)], { rule })
  const item = new Expectation('query', operation)
  // A simple Query ends the unnamed statement and the unnamed portal, whatever becomes of it.
  session.statements.announce('', undefined, session.batch)
  session.portals.announce('', undefined, session.batch)
  const changes = nameChanges(sql, session.reading)
  if (changes.length > 0) {
    const facts = { preparedBy: operation.number, types: [], changes, trace, rule }
    item.statement = new Statement(session.keepText(sql), facts)
    announceChanges(session, changes, item.statement)
  }
  if (!session.skipping) {
    session.batch++
    session.copyHost = item
  }
  expect(session, item)
}

function announceParse(session: Session, { name, sql, types }: Parse, rule: string | undefined): void {
  const trace = traceOf(sql)
  const kept = session.keepText(sql)
  const payloads = [kept ?? ({ type: 'sql', body: sql } as const), session.meta(trace, undefined)]
  const operation = session.ledger.begin('db.prepare', payloads, { rule })
  const facts = {
    preparedBy: operation.number,
    types,
    changes: nameChanges(sql, session.reading),
    trace,
    rule,
  }
  const item = new Expectation('parse', operation)
  item.name = nameKey(name)
  item.statement = new Statement(kept, facts)
  session.statements.announce(item.name, item.statement, session.batch)
  expect(session, item)
}

function announceBind(session: Session, message: Bind, rule: string | undefined): void {
  const statement = session.statements.get(nameKey(message.statement))
  const payloads = statementPayloads(session, statement, { statement: message.statement })
  const args = describeArguments(message, statement?.types, session.encoding, session.options.parameters)
  if (args !== undefined) payloads.push({ type: 'args', body: args, kept: true })
  const operation = session.ledger.begin('db.execute', payloads, { rule: rule ?? statement?.rule })
  const item = new Expectation('bind', operation)
  item.name = nameKey(message.portal)
  item.portal = new Portal(statement, operation)
  session.portals.announce(item.name, item.portal, session.batch)
  expect(session, item)
}

/** The text and the circumstances of what runs, or that it is not known, by the name the client used. */
function statementPayloads(
  session: Session,
  statement: Statement | undefined,
  used: { readonly statement: Uint8Array } | { readonly portal: Uint8Array },
): Payload[] {
  if (statement === undefined) {
    const [kind, name] = 'statement' in used ? ['statement', used.statement] : ['portal', used.portal]
    return [session.meta(undefined, { unknown: kind, name: new TextDecoder().decode(name) })]
  }
  if (statement.sql !== undefined) return [statement.sql, session.meta(statement.trace, undefined)]
  return [session.meta(statement.trace, { prepared: statement.preparedBy })]
}

function announceDescribe(session: Session, { what, name }: Named): void {
  const item = new Expectation('describe')
  if (what === 'statement') item.statement = session.statements.get(nameKey(name))
  expect(session, item)
}

/**
 * The first Execute completes what its Bind began. A further one, behind a PortalSuspended or for a cursor that
 * SQL declared, is an operation of its own, so that each outcome the client sees has its record.
 */
function announceExecute(session: Session, message: Execute): void {
  // Its Bind says already that nothing of this runs.
  if (session.skipping) return
  const item = new Expectation('execute')
  item.name = nameKey(message.portal)
  const portal = session.portals.get(item.name)
  item.portal = portal
  item.statement = portal?.statement
  if (portal !== undefined && !portal.claimed) {
    portal.claimed = true
    item.operation = portal.operation
  } else {
    const payloads = statementPayloads(session, portal?.statement, { portal: message.portal })
    const parent = portal?.operation.number
    item.operation = session.ledger.begin('db.execute', payloads, { parent, rule: portal?.statement?.rule })
  }
  if (item.statement !== undefined) announceChanges(session, item.statement.changes, item.statement)
  session.copyHost = item
  session.queue.push(item)
}

function announceClose(session: Session, { what, name }: Named): void {
  const item = new Expectation('close')
  item.closes = what
  item.name = nameKey(name)
  if (what === 'statement') session.statements.announce(item.name, undefined, session.batch)
  else session.portals.announce(item.name, undefined, session.batch)
  expect(session, item)
}

function announceCall(session: Session, message: FunctionCall, rule: string | undefined): void {
  const args = describeCall(message, session.encoding, session.options.parameters)
  const payloads: Payload[] = [{ type: 'args', body: args }, session.meta(undefined, undefined)]
  const item = new Expectation('call', session.ledger.begin('db.call', payloads, { rule }))
  if (!session.skipping) session.batch++
  expect(session, item)
}

/** Inside COPY data the server ignores a Sync; if the COPY fails first, it answers it. Nobody can tell beforehand. */
function announceSync(session: Session): void {
  const host = session.copyHost
  if (host !== undefined) host.syncs++
  if (host !== undefined && session.takesCopyData()) {
    session.stray(host)
    return
  }
  session.doubt = undefined
  const item = new Expectation('sync')
  if (host !== undefined && host.copies.length > 0) {
    item.copiesEnded = host.copies.filter((copy) => copy.ended).length
  }
  session.skipping = false
  session.batch++
  session.queue.push(item)
}

function announceCopyEnd(session: Session): void {
  const host = session.copyHost
  const copy = copyOf(session)
  if (host === undefined || copy === undefined) return
  copy.ended = true
  if (host.syncs > 0) host.blurred = true
}
