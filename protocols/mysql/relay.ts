/** The steady state of a MySQL connection, both directions. What each does is in requests.ts and replies.ts. */
import { ProtocolError } from '../bytes.ts'
import type { CloseReason, Refusal, Relay, Side, Step, Verdict } from '../relay.ts'
import { type Change, ChangeUser } from './change-user.ts'
import { encodePacket } from './packets.ts'
import { Replies } from './replies.ts'
import { Requests } from './requests.ts'
import { encodeError, encodeRefusal } from './results.ts'
import { type RelayOptions, Session } from './session.ts'

export function relay(options: RelayOptions): MysqlRelay {
  return new MysqlRelay(options)
}

export class MysqlRelay implements Relay {
  readonly #session: Session
  readonly #requests: Requests
  readonly #replies: Replies
  #change: ChangeUser | undefined
  #closed = false

  constructor(options: RelayOptions) {
    this.#session = new Session(options)
    this.#requests = new Requests(this.#session)
    this.#replies = new Replies(this.#session)
  }

  /** Between transactions, with nothing under way and nothing half received. */
  get idle(): boolean {
    const { queue, inTransaction, ledger } = this.#session
    return (
      queue.length === 0 &&
      !inTransaction &&
      ledger.idle &&
      this.#change === undefined &&
      this.#requests.between
    )
  }

  /** The client has to wait; what it sends all the same is kept. */
  get full(): boolean {
    const changing = this.#change !== undefined && this.#change.side === 'target'
    return this.#requests.waiting || changing || this.#session.crowded || this.#session.cancels.length > 0
  }

  receive(from: Side, chunk: Uint8Array): readonly Step[] {
    return this.#do(from, () => {
      if (this.#change !== undefined && this.#change.side === from) this.#carryOn(this.#change.receive(chunk))
      else if (from === 'target') this.#replies.receive(chunk)
      else if (this.#change !== undefined) this.#requests.keep(chunk)
      else this.#requests.receive(chunk)
      this.#advance()
    })
  }

  verdict(verdict: Verdict): readonly Step[] {
    return this.#do('client', () => {
      this.#requests.verdict(verdict)
      this.#advance()
    })
  }

  /** What the client has sent meanwhile goes on: the target cannot take the cancel for it any more. */
  cancelled(outcome: 'ok' | 'error'): readonly Step[] {
    return this.#do('client', () => {
      const { cancels, ledger } = this.#session
      const operation = cancels.shift()
      if (operation === undefined) throw new TypeError('a cancel that was not asked for')
      ledger.add(operation, { outcome })
      ledger.finish(operation)
      this.#advance()
    })
  }

  end(from: Side): readonly Step[] {
    return this.#do(from, () => {
      const { farewell } = this.#replies
      if (from === 'client') this.#close({ why: 'client', message: 'the client went without COM_QUIT' })
      else if (this.#requests.quit) this.#close({ why: 'client', message: 'COM_QUIT' })
      else if (farewell !== undefined) this.#close({ why: 'target', message: farewell })
      else
        this.#close(
          { why: 'target', message: 'the target closed the connection' },
          encodeRefusal(TARGET_GONE),
        )
    })
  }

  stop(refusal: Refusal): readonly Step[] {
    return this.#do('client', () => {
      this.#close({ why: 'limit', message: refusal.what }, encodeRefusal(refusal))
    })
  }

  /** What is possible now that bytes have come: answers of our own, commands that waited, the end. */
  #advance(): void {
    this.#replies.settle()
    if (this.#change === undefined) this.#requests.resume()
    const change = this.#requests.takeChange()
    if (change !== undefined) {
      const keep = (bytes: Uint8Array): void => this.#requests.keep(bytes)
      this.#change = new ChangeUser(this.#session, change.command, change.sequence, keep)
      this.#carryOn(this.#change.receive(change.rest))
    }
    this.#replies.settle()
    if (this.#requests.quit && this.#session.queue.length === 0) {
      this.#close({ why: 'client', message: 'COM_QUIT' })
    }
  }

  #carryOn(change: Change | undefined): void {
    if (change === undefined) return
    this.#change = undefined
    if (change.type === 'failed') this.#close({ why: change.from, message: change.message })
  }

  /** Runs one call; a fault of either side ends the connection, with all that was good before it carried out. */
  #do(from: Side, act: () => void): readonly Step[] {
    if (this.#closed) return []
    try {
      act()
    } catch (problem) {
      if (!(problem instanceof ProtocolError)) throw problem
      this.#close({ why: from, message: problem.message }, encodeError(1043, '08S01', problem.message))
    }
    return this.#session.take()
  }

  /** `told` goes to the client unless an answer has stopped in the middle of a packet. */
  #close(reason: CloseReason, told?: Uint8Array): void {
    if (this.#closed) return
    this.#closed = true
    const { ledger } = this.#session
    const sequence = this.#change?.sequence ?? this.#replies.interruption
    if (!ledger.idle) {
      ledger.abortAll()
      this.#session.step({ type: 'hold' })
    }
    if (told !== undefined && sequence !== undefined) {
      this.#session.send('client', encodePacket(sequence, told))
    }
    this.#session.step({ type: 'close', reason })
  }
}

const TARGET_GONE: Refusal = {
  cause: 'target',
  what: 'the connection to the target was lost',
  why: 'the target closed it without saying why',
  next: 'connect again',
  record: '',
}
