/** The steady state of a PostgreSQL connection, both directions. What each does is in requests.ts and answers.ts. */
import { ProtocolError } from '../bytes.ts'
import type { CloseReason, Refusal, Relay, Side, Step, Verdict } from '../relay.ts'
import { Answers, LimitPassed } from './answers.ts'
import { refuse, refuseProtocol } from './refusal.ts'
import { Requests } from './requests.ts'
import { type RelayOptions, Session } from './session.ts'

export function relay(options: RelayOptions): PostgresRelay {
  return new PostgresRelay(options)
}

export class PostgresRelay implements Relay {
  readonly #session: Session
  readonly #requests: Requests
  readonly #answers: Answers
  #closed = false

  constructor(options: RelayOptions) {
    this.#session = new Session(options)
    this.#requests = new Requests(this.#session)
    this.#answers = new Answers(this.#session)
  }

  /** Between transactions, with nothing under way and nothing half received. */
  get idle(): boolean {
    const { queue, transaction, ledger } = this.#session
    return queue.length === 0 && transaction === 'I' && ledger.idle && this.#requests.between
  }

  get full(): boolean {
    return this.#requests.waiting || this.#session.crowded
  }

  receive(from: Side, chunk: Uint8Array): readonly Step[] {
    return this.#do(from, () => {
      if (from === 'client') this.#requests.receive(chunk)
      else {
        this.#answers.receive(chunk)
        this.#requests.resume()
      }
    })
  }

  verdict(verdict: Verdict): readonly Step[] {
    return this.#do('client', () => this.#requests.verdict(verdict))
  }

  /**
   * A CancelRequest for this session has come by another connection: records it and asks for it to be carried
   * out. Whoever does so ends the operation, whose number this gives.
   */
  cancel(): { readonly operation: number; readonly steps: readonly Step[] } {
    const { ledger, flow } = this.#session
    const operation = ledger.begin('db.cancel', [this.#session.meta(undefined)])
    flow.step({ type: 'cancel' })
    ledger.release(operation)
    return { operation: operation.number, steps: flow.take() }
  }

  cancelled(outcome: 'ok' | 'error'): readonly Step[] {
    return this.#do('client', () => {
      const operation = this.#session.cancels.shift()
      if (operation !== undefined) this.#session.ledger.end(operation, outcome)
      this.#requests.resume()
    })
  }

  end(from: Side): readonly Step[] {
    return this.#do(from, () => {
      if (from === 'client')
        return this.#close({ why: 'client', message: 'the client went without Terminate' })
      const message = 'the target closed the connection'
      this.#close({ why: 'target', message }, refuse({ ...TARGET_GONE, record: '' }))
    })
  }

  stop(refusal: Refusal): readonly Step[] {
    return this.#do('client', () => {
      const { ledger, flow, queue } = this.#session
      if (queue.length > 0) {
        // The end of a connection stops no statement: the server would carry it out for nobody.
        ledger.begin('db.cancel', [this.#session.meta(undefined, { gateway: true })])
        flow.step({ type: 'cancel' })
      }
      this.#close({ why: 'limit', message: refusal.what }, refuse(refusal))
    })
  }

  /** Runs one call; a fault of either side ends the connection, with all that was good before it carried out. */
  #do(from: Side, act: () => void): readonly Step[] {
    if (this.#closed) return []
    try {
      act()
      // Whichever call brought it to light: the message may have waited behind others.
      if (!this.#closed && this.#requests.terminated) this.#close({ why: 'client', message: 'Terminate' })
    } catch (problem) {
      if (problem instanceof LimitPassed) {
        this.#close({ why: 'limit', message: problem.message }, refuse(ROWS_PASSED))
      } else if (problem instanceof ProtocolError) {
        this.#close({ why: from, message: problem.message }, refuseProtocol(problem.message))
      } else throw problem
    }
    return this.#session.flow.take()
  }

  /** `told` goes to the client unless the server has said it already, or stopped in the middle of a message. */
  #close(reason: CloseReason, told?: Uint8Array): void {
    const { ledger, flow } = this.#session
    this.#closed = true
    if (!ledger.idle) flow.hold()
    this.#session.abort()
    if (told !== undefined && !this.#answers.fatal && this.#answers.between) flow.insert('client', told)
    flow.step({ type: 'close', reason })
  }
}

const TARGET_GONE: Refusal = {
  cause: 'target',
  what: 'the connection to the target was lost',
  why: 'The target closed it without saying why.',
  next: 'Connect again.',
  record: '',
}

const ROWS_PASSED: Refusal = {
  cause: 'limit',
  what: 'more rows than your role allows',
  why: 'The rest was withheld, and statements were already under way behind it.',
  next: 'Narrow the query, or ask for another role.',
  record: '',
}
