/** A statement's text -> what it does -> whether this grant lets it run. */
import type { Refusal, Statement, Verdict } from '../../protocols/relay.ts'
import type { StatementFacts } from '../../protocols/statement-facts.ts'
import type { Grant } from '../access/authorize.ts'
import { judgeStatement, needsFacts } from '../access/statements.ts'
import type { Gate } from './gate.ts'

/** How a protocol's room reads a text; it may take a while for a new one. */
export type ReadFacts = (text: string) => StatementFacts | Promise<StatementFacts>

export function judge(
  gate: Gate,
  grant: Grant,
  statement: Statement,
  readFacts: ReadFacts,
): Verdict | Promise<Verdict> {
  const { loaded } = gate.inForce
  const text = Buffer.from(statement.text).toString('utf8')
  if (!needsFacts(grant.access, loaded, text)) return { allow: true }
  const decide = (read: StatementFacts): Verdict => {
    const facts = statement.dependable
      ? read
      : { ...read, disputed: read.disputed ?? 'the session reads texts in its own way' }
    const verdict = judgeStatement(grant.access, facts, statement.database, loaded)
    if (verdict.type === 'allowed') return { allow: true, rule: verdict.rule }
    const { what, why, next, rule } = verdict
    const refusal: Refusal = { cause: 'statement', what, why, next, record: '' }
    return { allow: false, refusal, ...(rule === undefined ? {} : { rule }) }
  }
  const facts = readFacts(text)
  return facts instanceof Promise ? facts.then(decide) : decide(facts)
}
