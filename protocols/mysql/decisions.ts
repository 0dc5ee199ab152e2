/**
 * What becomes of a command that may not pass: a decision in the record, and for the target one of the substitutes
 * of refusals.ts, or for the client an answer of our own.
 */
import { concat, encodeText } from '../bytes.ts'
import type { Act, Payload } from '../events.ts'
import type { Refusal } from '../relay.ts'
import { killText, type Request } from './announce.ts'
import { Answer } from './answer.ts'
import type { Command } from './commands.ts'
import { describeCommand } from './others.ts'
import { encodePacket } from './packets.ts'
import { REASONS, substituteFor } from './refusals.ts'
import { encodeError, encodeRefusal } from './results.ts'
import { Expectation, type Session } from './session.ts'

export type Replaceable = 'query' | 'prepare' | 'execute' | 'other'

export function refuse(
  session: Session,
  { command, sequence }: Request,
  refusal: Refusal,
  rule?: string,
): void {
  const { type } = command
  if (type !== 'query' && type !== 'prepare' && type !== 'execute') {
    replace(session, 'other', [describeCommand(command), session.meta()], sequence, refusal, rule)
    return
  }
  const text = textOf(session, command)
  const payloads: Payload[] = text === undefined ? [] : [{ type: 'sql', body: text }]
  payloads.push(session.meta())
  replace(session, type, payloads, sequence, refusal, rule)
}

/**
 * The decision first, then what goes to the target instead: a statement of our own, recorded like any. A refusal
 * without a record's name gets the decision's.
 */
export function replace(
  session: Session,
  refused: Replaceable,
  payloads: readonly Payload[],
  sequence: number,
  refusal: Refusal,
  rule?: string,
): void {
  if (refused === 'prepare') session.statements.refuse()
  const { act, kind, text, payload } = substituteFor(refused, session.agreed)
  const decided: Act = refused === 'other' ? 'db.other' : act
  const parent = session.ledger.decide(decided, payloads, rule)
  const own: Payload[] = text === undefined ? [] : [{ type: 'sql', body: text, repeats: true }]
  const operation = session.ledger.begin(act, [...own, session.meta({ gateway: true })], { parent })
  const item = new Expectation(new Answer(kind, session.agreed), operation, 1)
  const record = refusal.record === '' ? session.recordName(parent) : refusal.record
  item.refusal = { payload: encodeRefusal({ ...refusal, record }), sequence }
  session.queue.push(item)
  session.send('target', encodePacket(0, payload))
}

/** What has no place at the target gets its answer from us, when its turn comes. */
export function deny(
  session: Session,
  command: Extract<Command, { type: 'denied' | 'unknown' }>,
  sequence: number,
): void {
  const operation = session.ledger.decide('db.other', [describeCommand(command), session.meta()])
  const record = session.recordName(operation)
  const error =
    command.type === 'denied'
      ? encodeRefusal({ ...REASONS.denied(command.name), record })
      : encodeError(1047, '08S01', `unknown command\nid  : ${record}`)
  session.queue.push({ own: encodePacket(sequence, error) })
}

/** What a policy reads: a command without a text stands for the statement that does the same. */
export function textOf(session: Session, command: Command): Uint8Array | undefined {
  switch (command.type) {
    case 'query':
    case 'prepare':
      return command.text
    case 'execute': {
      const prepared = session.statements.find(command.statement)
      return prepared === 'refused' ? undefined : prepared?.sql?.body
    }
    case 'init-db':
      return withName('USE', command.name)
    case 'create-db':
      return withName('CREATE DATABASE', command.name)
    case 'drop-db':
      return withName('DROP DATABASE', command.name)
    case 'process-kill':
      return killText({ words: ['CONNECTION'] }, command.thread)
    default:
      return undefined
  }
}

function withName(verb: string, name: Uint8Array): Uint8Array {
  const quoted = [...name].flatMap((byte) => (byte === 0x60 ? [byte, byte] : [byte]))
  return concat([encodeText(`${verb} \``), Uint8Array.from(quoted), encodeText('`')])
}
