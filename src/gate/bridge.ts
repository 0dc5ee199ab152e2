/**
 * Runs a person's SSH connection on its socket, and the host behind it. What `gate/pump.ts` is to the databases: an
 * event is recorded, then a fence goes up toward whoever must wait for it, then what the record is of. Toward the
 * host commands are what waits, because ssh2 drives that socket by itself.
 */
import type { Socket } from 'node:net'
import type { CloseReason, Refusal, Verdict } from '../../protocols/relay.ts'
import type {
  HostEvent,
  Proof,
  ProofAnswer,
  RelayOptions,
  SshConnection,
  SshStep,
  Wish,
} from '../../protocols/ssh/index.ts'
import { BARRIERS, type Barrier } from '../record/barrier.ts'
import type { Mark } from '../record/group-commit.ts'
import type { Recorder } from '../record/recorder.ts'
import { type RecordedSession, RecordTooLargeError } from '../record/session.ts'
import type { Clock } from '../system/clock.ts'
import type { Nursery } from '../system/nursery.ts'
import { type Host, HostOutlet, PersonOutlet } from './bridge-outlets.ts'
import { HangUpError } from './converse.ts'
import { linger } from './linger.ts'
import type { Pumped } from './pump.ts'
import { CANNOT_RECORD, UNRECORDABLE } from './refusals.ts'

const TICK_MS = 1000
const TICKS_PER_KEEPALIVE = 30
/** Then the person's side is gone, whatever TCP says. */
const UNANSWERED_MAX = 3
/** What a host may say before its person is let in: a greeting. */
const EARLY_EVENTS_MAX = 16

export interface BridgeParts {
  readonly connection: SshConnection
  readonly socket: Socket
  readonly recorder: Recorder
  readonly clock: Clock
  readonly nursery: Nursery
}

/** Answers a proof; undefined when the person is known, who is told by `serve` or `refuse`. */
export type Prove = (proof: Proof) => Promise<Exclude<ProofAnswer, { type: 'accept' }> | undefined>

export interface Service {
  readonly options: RelayOptions
  readonly session: RecordedSession
  readonly host: Host
  readonly judge: (wish: Wish) => Verdict
  /** Something was asked or answered; keep-alives are neither. */
  readonly onTraffic: () => void
}

export class Bridge {
  readonly #parts: BridgeParts
  readonly #toPerson: PersonOutlet
  readonly #toHost: HostOutlet
  readonly #done = Promise.withResolvers<Pumped>()
  /** Calls of the connection, one after the other: the steps of one are carried out before the next begins. */
  readonly #turns: (() => readonly SshStep[])[] = []
  /** Those of the turn that is carried out, and at which of them we are. */
  #steps: readonly SshStep[] = []
  #at = 0
  #running = false
  #prove: Prove | undefined
  #met: PromiseWithResolvers<void> | undefined
  #proving = false
  #service: Service | undefined
  /** Whoever is refused at the door is told so on each channel, of which the book holds the one refusal. */
  #refusal: Refusal | undefined
  #barrier: Barrier | undefined
  #mark: Mark = 0
  #early: HostEvent[] = []
  /** Whether the book was behind after the last record, and has not caught up since. */
  #behind = false
  #relieving = false
  #stopping: Pumped | undefined
  #ended: Pumped | undefined
  #ticks = 0
  #ticker: Disposable | undefined

  constructor(parts: BridgeParts) {
    this.#parts = parts
    const events = {
      onRoom: () => this.#settle(),
      onFailure: () => this.#fail(CANNOT_RECORD),
      isBehind: () => this.#behind,
    }
    this.#toHost = new HostOutlet(parts.recorder, events)
    this.#toPerson = new PersonOutlet(parts, this.#toHost, events)
  }

  get idle(): boolean {
    return this.#parts.connection.idle
  }

  /** Whether it has ended, though last words may still be on their way. */
  get ended(): boolean {
    return this.#ended !== undefined
  }

  /** Resolves when the person's side is closed. */
  get closed(): Promise<Pumped> {
    return this.#done.promise
  }

  /** Talks until a proof holds. Nothing further is read then, until `serve` or `refuse`. */
  meet(pending: Uint8Array, prove: Prove): Promise<void> {
    const { socket, connection, nursery } = this.#parts
    this.#prove = prove
    this.#met = Promise.withResolvers()
    socket.on('data', (chunk: Buffer) => {
      nursery.passed(chunk.length)
      this.#do(() => connection.receive(chunk))
    })
    socket.on('end', () => this.#sideEnded('client'))
    socket.on('error', () => this.#sideEnded('client'))
    socket.on('close', () => this.#socketClosed())
    this.#do(() => connection.start())
    if (pending.length > 0) this.#do(() => connection.receive(pending))
    if (socket.closed) this.#socketClosed()
    else if (socket.readableEnded) this.#sideEnded('client')
    return this.#met.promise
  }

  /** Lets the person in, and says to each of their requests why nothing comes of it. Resolves when they have left. */
  refuse(options: RelayOptions, refusal: Refusal): Promise<Pumped> {
    this.#refusal = refusal
    this.#accept(options)
    return this.#done.promise
  }

  /** Lets the person in, and on to the host. Resolves when both have ended. */
  serve(service: Service): Promise<Pumped> {
    this.#service = service
    this.#toHost.lead(service.host)
    this.#barrier = BARRIERS[service.session.mode]
    if (this.#ended !== undefined) service.host.end()
    this.#accept(service.options)
    for (const event of this.#early.splice(0)) this.host(event)
    return this.#done.promise
  }

  host(event: HostEvent): void {
    if (this.#service === undefined) {
      if (this.#early.length < EARLY_EVENTS_MAX) this.#early.push(event)
      return
    }
    if (event.type === 'data') this.#parts.nursery.passed(event.bytes.length)
    if (event.type !== 'taken') this.#service.onTraffic()
    this.#do(() => this.#parts.connection.host(event))
  }

  hostLost(): void {
    this.#sideEnded('target')
  }

  /** The gateway ends the session and tells the person why. */
  stop(refusal: Refusal, why: Pumped['why']): void {
    if (this.#ended !== undefined) return
    if (this.#parts.recorder.failure !== undefined) {
      this.#fail(CANNOT_RECORD)
      return
    }
    this.#stopping = { why, message: refusal.what }
    this.#do(() => this.#parts.connection.stop(refusal))
  }

  #accept(options: RelayOptions): void {
    this.#proving = false
    this.#do(() => this.#parts.connection.accept(options))
    this.#tickLater()
  }

  #do(turn: () => readonly SshStep[]): void {
    if (this.#ended !== undefined) return
    this.#turns.push(turn)
    if (this.#running) return
    this.#running = true
    try {
      for (let next = this.#turns.shift(); next !== undefined; next = this.#turns.shift()) {
        this.#steps = next()
        // It may end in the middle of a turn: what is left of it then goes nowhere.
        for (this.#at = 0; this.#at < this.#steps.length && this.#ended === undefined; this.#at++) {
          const step = this.#steps[this.#at]
          if (step !== undefined) this.#carryOut(step)
        }
        this.#steps = []
      }
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#running = false
    }
    this.#settle()
  }

  #carryOut(step: SshStep): void {
    switch (step.type) {
      case 'record':
        this.#record(step)
        break
      case 'host':
        this.#service?.onTraffic()
        this.#toHost.send(step.command)
        break
      case 'hold':
        this.#toPerson.fence(this.#mark, this.#barrier?.release)
        break
      case 'send':
        this.#toPerson.send(step)
        break
      case 'credit':
      case 'patience':
        this.#toPerson.send(step)
        break
      case 'judge': {
        const verdict = this.#verdict(step.wish)
        this.#turns.push(() => this.#parts.connection.verdict(step.id, verdict))
        break
      }
      case 'proof':
        this.#proving = true
        void this.#answer(step.proof)
        break
      case 'close':
        this.#finish(step.reason)
        break
    }
  }

  #record({ event }: Extract<SshStep, { type: 'record' }>): void {
    if (this.#service === undefined) return
    this.#mark = Math.max(this.#mark, this.#service.session.record(event))
    this.#behind ||= this.#parts.recorder.congested
    const isStream = event.type === 'data'
    const announces = isStream ? event.stream === 'in' : event.type === 'begin' || event.type === 'decision'
    if (announces) this.#toHost.fence(this.#mark, this.#barrier?.forward)
    else if (isStream) this.#toPerson.fence(this.#mark, this.#barrier?.stream)
  }

  #verdict(wish: Wish): Verdict {
    if (this.#refusal !== undefined) return { allow: false, refusal: this.#refusal }
    if (this.#service === undefined) throw new Error('nobody is let in')
    return this.#service.judge(wish)
  }

  async #answer(proof: Proof): Promise<void> {
    try {
      const answer = await this.#prove?.(proof)
      if (this.#ended !== undefined) return
      if (answer === undefined) {
        this.#met?.resolve()
        return
      }
      this.#proving = false
      this.#do(() => this.#parts.connection.answer(answer))
    } catch (error) {
      this.#failed(error)
    }
  }

  /** Reads on or not: whoever takes no answers, or waits for one, or is ahead of the book, asks nothing further. */
  #settle(): void {
    if (this.#ended !== undefined) return
    const { socket } = this.#parts
    if (this.#behind) this.#waitForRelief()
    if (this.#toPerson.isFull || this.#toHost.isFull || this.#proving || this.#behind) socket.pause()
    else if (socket.isPaused()) socket.resume()
  }

  #waitForRelief(): void {
    if (this.#relieving) return
    this.#relieving = true
    void this.#parts.recorder.relieved().then(() => {
      this.#relieving = false
      this.#behind = false
      this.#toPerson.room()
    })
  }

  #tickLater(): void {
    if (this.#ended !== undefined) return
    const { clock, connection } = this.#parts
    this.#ticker = clock.after(TICK_MS, () => {
      this.#do(() => connection.tick(clock.steady()))
      if (++this.#ticks % TICKS_PER_KEEPALIVE === 0) {
        if (connection.unanswered >= UNANSWERED_MAX) this.#sideEnded('client')
        else this.#do(() => connection.keepalive())
      }
      this.#tickLater()
    })
  }

  #sideEnded(side: 'client' | 'target'): void {
    this.#do(() => this.#parts.connection.end(side))
  }

  #socketClosed(): void {
    this.#sideEnded('client')
    this.#toHost.send({ type: 'end' })
    if (this.#ended !== undefined) this.#done.resolve(this.#ended)
  }

  /** Nothing more is read; both sides get what is already theirs, in order, and end. */
  #finish({ why, message }: CloseReason): void {
    if (this.#ended !== undefined) return
    this.#end(this.#stopping ?? { why, message })
    this.#toHost.send({ type: 'end' })
    this.#toPerson.end()
    linger(this.#parts.socket)
  }

  #end(pumped: Pumped): void {
    this.#ended = pumped
    this.#turns.length = 0
    this.#ticker?.[Symbol.dispose]()
    this.#met?.reject(new HangUpError(pumped.message))
  }

  #failed(error: unknown): void {
    if (this.#ended !== undefined) return
    if (this.#parts.recorder.failure !== undefined) this.#fail(CANNOT_RECORD)
    else if (error instanceof RecordTooLargeError) this.#fail(UNRECORDABLE)
    else {
      // A mistake of ours. It must not end the process, and nobody knows what this connection may still do.
      if (this.#service === undefined && this.#refusal === undefined) this.#met?.reject(error)
      else this.#done.reject(error)
      this.#end({ why: 'limit', message: String(error) })
      this.#service?.host.end()
      this.#parts.socket.destroy()
    }
  }

  /**
   * What waits for a record that cannot be made never goes out. The person learns why if none of it was theirs:
   * every packet is sealed in its order, and behind a missing one nothing can be read.
   */
  #fail(refusal: Refusal): void {
    if (this.#ended !== undefined) return
    const { socket, connection } = this.#parts
    const isMute = this.#toPerson.abandon() || this.#steps.slice(this.#at).some(({ type }) => type === 'send')
    this.#toHost.abandon()
    this.#end({ why: 'limit', message: refusal.what })
    for (const step of connection.stop(refusal)) {
      if (!isMute && (step.type === 'send' || step.type === 'patience')) this.#toPerson.send(step)
    }
    this.#toPerson.end()
    linger(socket)
  }
}
