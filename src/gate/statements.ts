/** A statement's text -> what it does -> whether this grant lets it run. */
import type { Refusal, Statement, Verdict } from '../../protocols/relay.ts'
import type { StatementFacts } from '../../protocols/statement-facts.ts'
import type { Grant } from '../access/authorize.ts'
import { judgeStatement, needsFacts } from '../access/statements.ts'
import type { Gate } from './gate.ts'

/** How a protocol's room reads a text. `dependable` is false where the session reads texts in its own way. */
export type ReadFacts = (text: Uint8Array, dependable: boolean) => StatementFacts

export function judge(gate: Gate, grant: Grant, statement: Statement, readFacts: ReadFacts): Verdict {
  const { loaded } = gate.inForce
  const { text, dependable, database } = statement
  if (!needsFacts(grant.access, loaded, Buffer.from(text).toString('latin1'))) return ALLOWED
  const verdict = judgeStatement(grant.access, readFacts(text, dependable), database, loaded)
  if (verdict.type === 'allowed') return { allow: true, rule: verdict.rule }
  const { what, why, next, rule } = verdict
  const refusal: Refusal = { cause: 'statement', what, why, next, record: '' }
  return { allow: false, refusal, ...(rule === undefined ? {} : { rule }) }
}

const ALLOWED: Verdict = { allow: true }
