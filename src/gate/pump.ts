/**
 * Runs a relay between two sockets. The order of effects is the product's first promise and stands in `#carryOut`:
 * an event is recorded, then a fence goes into the outlet that must wait for it, then the bytes behind it. That
 * holds in every durability mode; what differs is how far a record must have got before a fence opens.
 */
import type { Socket } from 'node:net'
import type { CloseReason, Refusal, Relay, Side, Statement, Step, Verdict } from '../../protocols/relay.ts'
import { BARRIERS, type Barrier } from '../record/barrier.ts'
import type { Mark } from '../record/group-commit.ts'
import type { Recorder } from '../record/recorder.ts'
import { type RecordedSession, RecordTooLargeError } from '../record/session.ts'
import type { Nursery } from '../system/nursery.ts'
import type { Intake } from './intake.ts'
import { linger } from './linger.ts'
import { Outlet } from './outlet.ts'
import { UNRECORDABLE } from './refusals.ts'

export interface PumpParts {
  readonly relay: Relay
  readonly recorder: Recorder
  readonly session: RecordedSession
  readonly client: Socket
  readonly target: Socket
  /** What reads a side, where it uses its memory again. */
  readonly intake?: Partial<Readonly<Record<Side, Intake>>> | undefined
  readonly nursery: Nursery
  /** Whether a statement may run. */
  readonly judge: (statement: Statement) => Verdict
  /** Asks the target, by its own means, to stop what runs; resolves when it has taken that, with whether it has. */
  readonly cancel: () => Promise<boolean>
  /** Seen on either side; for the idle limit. */
  readonly onTraffic: () => void
  /** Four lines for the person when the book cannot be written. */
  readonly recorderRefusal: Refusal
}

/** How a pumped connection ended. */
export interface Pumped {
  readonly why: CloseReason['why'] | 'admin' | 'idle' | 'stop'
  readonly message: string
}

const OTHER: Readonly<Record<Side, Side>> = { client: 'target', target: 'client' }

export class Pump {
  readonly #parts: PumpParts
  readonly #barrier: Barrier
  readonly #outlets: Readonly<Record<Side, Outlet>>
  readonly #done = Promise.withResolvers<Pumped>()
  #stopping: Pumped | undefined
  #ended: Pumped | undefined
  #mark: Mark = 0
  readonly #gone = new Set<Side>()

  constructor(parts: PumpParts) {
    this.#parts = parts
    this.#barrier = BARRIERS[parts.session.mode]
    this.#outlets = { client: this.#outlet('client'), target: this.#outlet('target') }
  }

  get idle(): boolean {
    return this.#parts.relay.idle
  }

  /** Whether it has ended, though last words may still be on their way. */
  get ended(): boolean {
    return this.#ended !== undefined
  }

  /** Pumps until both sides have ended. `pending` came with the handshakes and was not read. */
  async run(pending: Readonly<Record<Side, Uint8Array>>): Promise<Pumped> {
    for (const side of ['client', 'target'] as const) {
      const socket = this.#parts[side]
      socket.on('data', (chunk: Buffer) => this.#receive(side, chunk))
      socket.on('end', () => this.#sideEnded(side))
      socket.on('close', () => this.#sideClosed(side))
      // A reset is told again by 'close', which is where it is dealt with.
      socket.on('error', () => this.#sideEnded(side))
    }
    for (const side of ['target', 'client'] as const) {
      if (pending[side].length > 0) this.#receive(side, pending[side])
    }
    for (const side of ['client', 'target'] as const) {
      const socket = this.#parts[side]
      // Whoever went away while the other side was being reached will not say so again.
      if (socket.closed) this.#sideClosed(side)
      else if (socket.readableEnded) this.#sideEnded(side)
      else if (!this.#mustPause(side)) socket.resume()
    }
    return this.#done.promise
  }

  /** The gateway ends the session and tells the client why. */
  stop(refusal: Refusal, why: Pumped['why']): void {
    if (this.#ended !== undefined) return
    if (this.#parts.recorder.failure !== undefined) {
      this.#recorderFailed()
      return
    }
    this.#stopping = { why, message: refusal.what }
    this.#do(() => this.#parts.relay.stop(refusal))
    this.#finish(this.#stopping)
  }

  /** A request by another connection: `steps` record it, then the target is asked. Resolves with whether it has taken it. */
  async cancel(steps: readonly Step[]): Promise<boolean> {
    this.#do(() => steps)
    return this.#cancel()
  }

  #receive(side: Side, chunk: Uint8Array): void {
    if (this.#ended !== undefined) return
    this.#parts.onTraffic()
    this.#do(() => this.#parts.relay.receive(side, chunk))
    const intake = this.#parts.intake?.[side]
    if (intake === undefined) this.#parts.nursery.passed(chunk.length)
    else if (this.#outlets.client.retains || this.#outlets.target.retains) intake.giveAway()
    if (this.#ended === undefined && this.#mustPause(side)) this.#parts[side].pause()
  }

  /** One call of the relay with all that follows from it: a client may send thousands of statements at once. */
  #do(call: () => readonly Step[]): void {
    try {
      let verdict = this.#carryOut(call())
      while (verdict !== undefined && this.#ended === undefined) {
        verdict = this.#carryOut(this.#parts.relay.verdict(verdict))
      }
    } catch (error) {
      this.#failed(error)
      return
    }
    if (this.#parts.recorder.congested) this.#waitForRelief()
    // An answer may have made the relay ready for more.
    else if (this.#parts.client.isPaused()) this.#room('client')
  }

  /** Gives the verdict that the last step asks for. */
  #carryOut(steps: readonly Step[]): Verdict | undefined {
    for (const step of steps) {
      switch (step.type) {
        case 'record':
          this.#record(step)
          break
        case 'hold':
          this.#outlets.client.fence(this.#mark, this.#barrier.release)
          break
        case 'send':
          this.#outlets[step.to].send(step.bytes)
          break
        case 'judge':
          return this.#parts.judge(step.statement)
        case 'cancel':
          void this.#stopStatement()
          break
        case 'close':
          this.#finish(step.reason)
          break
      }
    }
    return undefined
  }

  #record({ event }: Extract<Step, { type: 'record' }>): void {
    this.#mark = Math.max(this.#mark, this.#parts.session.record(event))
    const isStream = event.type === 'data'
    const announces = isStream ? event.stream === 'in' : event.type === 'begin' || event.type === 'decision'
    if (announces) this.#outlets.target.fence(this.#mark, this.#barrier.forward)
    else if (isStream) this.#outlets.client.fence(this.#mark, this.#barrier.stream)
  }

  /** At a limit. The relay lets nothing follow until it hears that the target cannot take the cancel for the next. */
  async #stopStatement(): Promise<void> {
    const taken = await this.#cancel()
    const { relay } = this.#parts
    if (this.#ended === undefined) this.#do(() => relay.cancelled?.(taken ? 'ok' : 'error') ?? [])
  }

  /** Like any request: it reaches the target when its record is where the mode says. */
  async #cancel(): Promise<boolean> {
    const { recorder, cancel } = this.#parts
    const reach = this.#barrier.forward
    try {
      if (reach !== undefined) await recorder.wait(this.#mark, reach)
    } catch {
      // Its record cannot be made, and by that the whole session ends.
      return false
    }
    return cancel()
  }

  #outlet(side: Side): Outlet {
    return new Outlet(this.#parts[side], this.#parts.recorder, {
      onRoom: () => this.#room(OTHER[side]),
      onFailure: () => this.#recorderFailed(),
    })
  }

  /** Whether `side` must not be read: its other side has no room, or an answer or the book is waited for. */
  #mustPause(side: Side): boolean {
    if (this.#outlets[OTHER[side]].isFull) return true
    const { relay, recorder } = this.#parts
    return side === 'client' && (relay.full === true || recorder.congested)
  }

  #room(side: Side): void {
    if (this.#ended === undefined && !this.#mustPause(side)) this.#parts[side].resume()
  }

  #waitForRelief(): void {
    this.#parts.client.pause()
    void this.#parts.recorder.relieved().then(() => this.#room('client'))
  }

  #sideEnded(side: Side): void {
    if (this.#ended !== undefined || this.#gone.has(side)) return
    this.#gone.add(side)
    this.#do(() => this.#parts.relay.end(side))
    this.#finish({ why: side, message: `the ${side} closed the connection` })
  }

  #sideClosed(side: Side): void {
    this.#sideEnded(side)
    if (this.#ended !== undefined && this.#gone.add(side).size === 2) this.#done.resolve(this.#ended)
  }

  /** Nothing more is read; both sides get what is already theirs, in order, and end. */
  #finish(pumped: Pumped): void {
    if (this.#ended !== undefined) return
    this.#ended = this.#stopping ?? pumped
    for (const side of ['client', 'target'] as const) {
      this.#outlets[side].end()
      linger(this.#parts[side])
    }
  }

  #failed(error: unknown): void {
    if (this.#ended !== undefined) return
    if (this.#parts.recorder.failure !== undefined) this.#recorderFailed()
    else if (error instanceof RecordTooLargeError) this.#unrecordable(error)
    else {
      // A mistake of ours. It must not end the process, and nobody knows what this connection may still do.
      this.#ended = { why: 'limit', message: String(error) }
      this.#done.reject(error)
      this.#parts.client.destroy()
      this.#parts.target.destroy()
    }
  }

  /** One record is more than the journal can take: what it announces does not run, and the session ends. */
  #unrecordable(error: RecordTooLargeError): void {
    // The relay takes for begun what the book does not know, so of its steps only the client's are carried out.
    for (const step of this.#parts.relay.stop(UNRECORDABLE)) {
      if (step.type === 'send' && step.to === 'client') this.#outlets.client.send(step.bytes)
    }
    this.#finish({ why: 'limit', message: error.message })
  }

  /** What waits for a record that cannot be made never goes out; the client learns why, where it still can. */
  #recorderFailed(): void {
    if (this.#ended !== undefined) return
    const { client, target, relay, recorderRefusal } = this.#parts
    this.#outlets.client.abandon()
    this.#outlets.target.abandon()
    for (const step of relay.stop(recorderRefusal)) {
      if (step.type === 'send' && step.to === 'client') client.write(step.bytes)
    }
    this.#ended = { why: 'limit', message: recorderRefusal.what }
    client.end()
    target.destroy()
    linger(client)
  }
}
