/** What the routes stand on, and how somebody who calls one becomes somebody who asks the library. */
import type { StatementFacts } from '../../protocols/statement-facts.ts'
import type { AccessDeniedEvent, AdminEvent, AuditReadEvent } from '../access/events.ts'
import type { LiveConnections } from '../access/live.ts'
import type { Person } from '../access/rights.ts'
import type { LoadedConfig } from '../config/load.ts'
import { globMatches } from '../config/selectors.ts'
import type { Ledger } from '../read/ledger.ts'
import type { Library } from '../read/library.ts'
import { type AnswerTo, type Asker, NoAnswer, type Question } from '../read/questions.ts'
import type { Rights } from '../read/rights.ts'
import type { Clock } from '../system/clock.ts'
import { ProblemError } from './errors.ts'
import type { Caller } from './sign-in.ts'

export interface ApiParts {
  readonly library: Library
  readonly ledger: Ledger
  readonly live: LiveConnections
  readonly clock: Clock
  readonly loaded: () => LoadedConfig
  readonly rights: (person: Person) => Rights
  /** Resolves with the id of the record, where it has one, when the record is in the book for good. */
  readonly note: (event: AuditReadEvent | AdminEvent | AccessDeniedEvent) => Promise<string>
  readonly readSql: (protocol: 'postgres' | 'mysql', sql: string) => Promise<StatementFacts>
  readonly vkey: string
  readonly origin: string
  readonly bookState: () => 'open' | 'low' | 'suspended' | 'failed'
  readonly release: string
  readonly listening: () => readonly {
    readonly name: string
    readonly type: string
    readonly host: string
    readonly port: number
  }[]
}

export class Calling {
  readonly parts: ApiParts

  constructor(parts: ApiParts) {
    this.parts = parts
  }

  rights({ person }: Caller): Rights {
    return this.parts.rights(person)
  }

  asker(caller: Caller): Asker {
    const { reason } = caller
    const asker = { sub: caller.identity.facts.sub, rights: this.rights(caller) }
    return reason === undefined ? asker : { ...asker, reason }
  }

  /** The question and its answer's extent are in the book before this resolves. */
  async ask<Q extends Question>(caller: Caller, question: Q): Promise<AnswerTo<Q>> {
    try {
      return await this.parts.library.ask(question, this.asker(caller))
    } catch (error) {
      throw error instanceof NoAnswer ? this.#problem(error) : error
    }
  }

  /** Shows something that the library does not know of. */
  async noteView(caller: Caller, what: string, act: 'view' | 'verify' = 'view'): Promise<void> {
    const { sub } = caller.identity.facts
    await this.parts.note({ type: 'audit.read', act, sub, private: { what } })
  }

  /** Refused, and in the book before it is told. */
  async refuse(caller: Caller, what: string, why: string): Promise<ProblemError> {
    const { facts, user } = caller.identity
    const record = await this.parts.note({
      type: 'access.denied',
      act: 'web',
      sub: facts.sub,
      private: {
        ...{ name: user, address: caller.address, method: facts.method },
        ...{ reason: `${what}: ${why}`, lines: [] },
      },
    })
    const next = this.#contact
    return new ProblemError('forbidden', { what, why, next, ...(record === '' ? {} : { record }) })
  }

  get #contact(): string {
    return this.parts.loaded().config.gateway.contact ?? 'Ask whoever administers this gateway.'
  }

  /** The library has recorded that it was asked, and that it refused. */
  #problem({ code, message, column }: NoAnswer): ProblemError {
    switch (code) {
      case 'query':
        return new ProblemError('bad-query', { what: message, ...(column === undefined ? {} : { column }) })
      case 'right':
        return new ProblemError('forbidden', { what: message, next: this.#contact })
      case 'reason':
        return new ProblemError('reason-needed', {
          what: message,
          next: 'Say why you need to see it. Your words are recorded.',
        })
      case 'none':
        return new ProblemError('not-found', { what: message })
      case 'late':
        return new ProblemError('busy', { what: message, next: 'Ask for less.', retryAfterSeconds: 5 })
      case 'evidence':
        return new ProblemError('gone', { what: message })
    }
  }
}

/** Whether somebody with these rights may know that anything happens at the target. */
export function mayKnowOf({ all, metadata, content, replay }: Rights, target: string): boolean {
  return all || [...metadata, ...content, ...replay].some((pattern) => globMatches(pattern, target))
}
