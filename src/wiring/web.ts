/** What the console's listeners share, made of the gateway's parts: who is signed in, and what may be asked. */
import { randomBytes } from 'node:crypto'
import type { Accounts } from '../access/accounts.ts'
import type { Person } from '../access/rights.ts'
import type { ConsoleListener } from '../config/schema.ts'
import type { Gate } from '../gate/gate.ts'
import type { ApiParts } from '../http/calling.ts'
import { ProblemError } from '../http/errors.ts'
import { SignIn } from '../http/sign-in.ts'
import { type ListenAs, WebConsole } from '../http/web-console.ts'
import { WebSessions } from '../http/web-sessions.ts'
import type { Ledger } from '../read/ledger.ts'
import type { Library } from '../read/library.ts'
import type { Rights } from '../read/rights.ts'
import type { Noted } from '../record/notes.ts'
import { readSql } from './sql.ts'

export interface WebParts {
  readonly gate: Gate
  readonly accounts: Accounts
  readonly library: Library
  readonly ledger: Ledger
  readonly rights: (person: Person) => Rights
  readonly release: string
  readonly listening: ApiParts['listening']
}

export class Web {
  readonly #gate: Gate
  readonly #signIn: SignIn
  readonly #api: ApiParts

  constructor({ gate, accounts, ...parts }: WebParts) {
    const { clock, authenticator, live, recorder } = gate.parts
    const loaded = () => gate.inForce.loaded
    this.#gate = gate
    this.#signIn = new SignIn({
      ...{ authenticator, accounts, clock, loaded },
      sessions: new WebSessions(clock, randomBytes),
      note: (event) => this.#note(event),
      refusedRecord: (address) => gate.refusedRecord(address),
    })
    this.#api = {
      ...parts,
      ...{ live, clock, loaded, readSql },
      note: (event) => this.#note(event),
      vkey: recorder.opened.vkey,
      origin: recorder.origin,
      bookState: () => recorder.state,
    }
  }

  open(listener: ConsoleListener, as: ListenAs): Promise<WebConsole> {
    const { inForce, parts } = this.#gate
    const onFault = (error: unknown): void => parts.log.unexpected(error)
    return WebConsole.open(listener, as, {
      ...{ api: this.#api, signIn: this.#signIn, onFault },
      certificate: inForce.certificate,
    })
  }

  /** What is shown was recorded before, durably; what cannot be recorded is not shown. */
  async #note(event: Noted): Promise<string> {
    const { recorder, log } = this.#gate.parts
    try {
      const { mark, record } = this.#gate.note(event)
      await recorder.wait(mark, 'durable')
      return record
    } catch (error) {
      log.unexpected(error)
      throw new ProblemError('busy', {
        what: 'This gateway cannot record, so it shows nothing.',
        next: 'Tell whoever administers it.',
      })
    }
  }
}
