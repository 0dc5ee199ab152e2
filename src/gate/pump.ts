/**
 * Runs a relay between two sockets. The order of effects is the product's first promise and stands in `#carryOut`:
 * an event is recorded, then a fence goes into the outlet that must wait for it, then the bytes behind it.
 */
import type { Socket } from 'node:net'
import { ProtocolError } from '../../protocols/bytes.ts'
import type { CloseReason, Refusal, Relay, Side, Statement, Step, Verdict } from '../../protocols/relay.ts'
import { BARRIERS, type Barrier } from '../record/barrier.ts'
import type { Mark } from '../record/group-commit.ts'
import type { Recorder } from '../record/recorder.ts'
import type { RecordedSession } from '../record/session.ts'
import { Outlet } from './outlet.ts'

export interface PumpParts {
  readonly relay: Relay
  readonly recorder: Recorder
  readonly session: RecordedSession
  readonly client: Socket
  readonly target: Socket
  /** Whether a statement may run. A verdict at hand is better than a promise of one: nothing waits for it. */
  readonly judge: (statement: Statement) => Verdict | Promise<Verdict>
  /** Asks the target, by its own means, to stop what runs. */
  readonly cancel: () => void
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
  readonly #done: Promise<Pumped>
  #resolve: (pumped: Pumped) => void = () => {}
  #ended: Pumped | undefined
  #judging = false
  #mark: Mark = 0
  readonly #gone = new Set<Side>()

  constructor(parts: PumpParts) {
    this.#parts = parts
    this.#barrier = BARRIERS[parts.session.mode]
    this.#done = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.#outlets = { client: this.#outlet('client'), target: this.#outlet('target') }
  }

  get idle(): boolean {
    return this.#parts.relay.idle
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
    for (const side of ['client', 'target'] as const) if (!this.#mustPause(side)) this.#parts[side].resume()
    return this.#done
  }

  /** The gateway ends the session and tells the client why. */
  stop(refusal: Refusal, why: Pumped['why']): void {
    if (this.#ended !== undefined) return
    this.#carryOut(this.#guarded(() => this.#parts.relay.stop(refusal)))
    this.#finish({ why, message: refusal.what })
  }

  #receive(side: Side, chunk: Uint8Array): void {
    if (this.#ended !== undefined) return
    this.#parts.onTraffic()
    this.#carryOut(this.#guarded(() => this.#parts.relay.receive(side, chunk)))
    if (this.#mustPause(side)) this.#parts[side].pause()
  }

  /** A relay's protocol error ends this connection, after what it had already said. */
  #guarded(work: () => readonly Step[]): readonly Step[] {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#finish({ why: 'client', message: error.message })
      return []
    }
  }

  /** Steps of the relay that did not come from bytes: a cancel request by another connection. */
  carryOut(steps: readonly Step[]): void {
    if (this.#ended === undefined) this.#carryOut(steps)
  }

  #carryOut(steps: readonly Step[]): void {
    const { session, recorder } = this.#parts
    const late: Step[] = []
    try {
      for (const step of steps) {
        switch (step.type) {
          case 'record':
            if (session.mode === 'relaxed') late.push(step)
            else this.#record(step)
            break
          case 'hold':
            this.#outlets.client.fence(this.#mark, this.#barrier.release)
            break
          case 'send':
            this.#outlets[step.to].send(step.bytes)
            break
          case 'judge':
            this.#judge(step.statement)
            break
          case 'cancel':
            this.#cancel()
            break
          case 'close':
            for (const record of late.splice(0)) if (record.type === 'record') this.#record(record)
            this.#finish(step.reason)
            break
        }
      }
      for (const step of late) if (step.type === 'record') this.#record(step)
    } catch (error) {
      if (recorder.failure === undefined) throw error
      this.#recorderFailed()
    }
    if (recorder.congested) this.#waitForRelief()
    // An answer may have made the relay ready for more.
    else if (this.#parts.client.isPaused()) this.#room('client')
  }

  #record({ event }: Extract<Step, { type: 'record' }>): void {
    this.#mark = Math.max(this.#mark, this.#parts.session.record(event))
    const isStream = event.type === 'data'
    const announces = isStream ? event.stream === 'in' : event.type === 'begin' || event.type === 'decision'
    if (announces) this.#outlets.target.fence(this.#mark, this.#barrier.forward)
    else if (isStream) this.#outlets.client.fence(this.#mark, this.#barrier.stream)
  }

  #judge(statement: Statement): void {
    const verdict = this.#parts.judge(statement)
    if (!(verdict instanceof Promise)) {
      this.#carryOut(this.#guarded(() => this.#parts.relay.verdict(verdict)))
      return
    }
    this.#judging = true
    this.#parts.client.pause()
    verdict.then(
      (known) => {
        this.#judging = false
        if (this.#ended !== undefined) return
        this.#carryOut(this.#guarded(() => this.#parts.relay.verdict(known)))
        this.#room('client')
      },
      (error: unknown) =>
        this.#parts.client.destroy(error instanceof Error ? error : new Error(String(error))),
    )
  }

  /** Like any request: it reaches the target when its record is where the mode says. */
  #cancel(): void {
    const { recorder, cancel } = this.#parts
    const reach = this.#barrier.forward
    if (reach === undefined) {
      cancel()
      return
    }
    recorder.when(this.#mark, reach, (error) => {
      if (error === undefined) cancel()
    })
  }

  #outlet(side: Side): Outlet {
    return new Outlet(this.#parts[side], this.#parts.recorder, {
      onRoom: () => this.#room(OTHER[side]),
      onFailure: () => this.#recorderFailed(),
    })
  }

  /** Whether `side` must not be read: its other side has no room, or a verdict or the book is waited for. */
  #mustPause(side: Side): boolean {
    if (this.#outlets[OTHER[side]].isFull) return true
    const { relay, recorder } = this.#parts
    return side === 'client' && (this.#judging || relay.full === true || recorder.congested)
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
    this.#carryOut(this.#guarded(() => this.#parts.relay.end(side)))
    this.#finish({ why: side, message: `the ${side} closed the connection` })
  }

  #sideClosed(side: Side): void {
    this.#sideEnded(side)
    if (this.#ended !== undefined && this.#gone.add(side).size === 2) this.#resolve(this.#ended)
  }

  /** Nothing more is read; both sides get what is already theirs, in order, and end. */
  #finish(pumped: Pumped): void {
    if (this.#ended !== undefined) return
    this.#ended = pumped
    for (const side of ['client', 'target'] as const) {
      this.#parts[side].pause()
      this.#outlets[side].end()
      linger(this.#parts[side])
    }
  }

  /** What waits for a record that cannot be made never goes out; the client learns why, where it still can. */
  #recorderFailed(): void {
    if (this.#ended !== undefined) return
    const { client, target, relay, recorderRefusal } = this.#parts
    this.#outlets.client.abandon()
    this.#outlets.target.abandon()
    for (const step of relay.stop(recorderRefusal))
      if (step.type === 'send' && step.to === 'client') client.write(step.bytes)
    this.#ended = { why: 'limit', message: recorderRefusal.what }
    client.end()
    target.destroy()
    linger(client)
  }
}

/** A peer that does not read, or does not close its end, is cut off after this. */
export const LINGER_MS = 5000

function linger(socket: Socket): void {
  // Read and dropped, or the peer's close is never seen.
  socket.removeAllListeners('data')
  socket.on('data', () => {})
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}
