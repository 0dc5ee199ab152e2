/** A statement's text -> what it does -> whether this grant lets it run. */
import { find } from '../../protocols/bytes.ts'
import type { Refusal, Statement, Verdict } from '../../protocols/relay.ts'
import type { StatementFacts } from '../../protocols/statement-facts.ts'
import type { Grant } from '../access/authorize.ts'
import { judgeStatement, needsFacts } from '../access/statements.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Gate } from './gate.ts'

/** How a protocol's room reads a text. `dependable` is false where the session reads texts in its own way. */
export type ReadFacts = (text: Uint8Array, dependable: boolean) => StatementFacts

/** Judges the statements of one session under what it stands on now; a reload may change that between two of them. */
export class Judge {
  readonly #gate: Gate
  readonly #readFacts: ReadFacts
  #grant: Grant
  #loaded: LoadedConfig | undefined
  /** Kept texts on which no decision hangs, as long as grant and configuration are these. */
  #harmless = new WeakSet<Uint8Array>()

  constructor(gate: Gate, grant: Grant, readFacts: ReadFacts) {
    this.#gate = gate
    this.#grant = grant
    this.#readFacts = readFacts
  }

  renew(grant: Grant): void {
    this.#grant = grant
    this.#harmless = new WeakSet()
  }

  verdict({ text, dependable, database, kept }: Statement): Verdict {
    const { loaded } = this.#gate.inForce
    if (this.#loaded !== loaded) {
      this.#loaded = loaded
      this.#harmless = new WeakSet()
    }
    if (kept === true && this.#harmless.has(text)) return ALLOWED
    const { access } = this.#grant
    if (!needsFacts(access, loaded, (word) => find(text, word) !== null)) {
      if (kept === true) this.#harmless.add(text)
      return ALLOWED
    }
    const verdict = judgeStatement(access, this.#readFacts(text, dependable), database, loaded)
    if (verdict.type === 'allowed') return { allow: true, rule: verdict.rule }
    const { what, why, next, rule } = verdict
    const refusal: Refusal = { cause: 'statement', what, why, next, record: '' }
    return { allow: false, refusal, ...(rule === undefined ? {} : { rule }) }
  }
}

const ALLOWED: Verdict = { allow: true }
