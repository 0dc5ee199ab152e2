/**
 * Runs an SshConnection on a socket as the gate does: steps in their order, back-pressure on both sides, nothing
 * read while a proof waits. Records are collected; `durable` is what a hold waits for.
 */
import { randomFillSync } from 'node:crypto'
import type { Socket } from 'node:net'
import type { RelayEvent } from '../../protocols/events.ts'
import type { CloseReason, Verdict } from '../../protocols/relay.ts'
import {
  type ConnectionOptions,
  freshEphemeralKeys,
  type HostCommand,
  type HostEvent,
  type Proof,
  type ProofAnswer,
  type RelayOptions,
  SshConnection,
  type SshStep,
  type Wish,
} from '../../protocols/ssh/index.ts'
import { RELAY_OPTIONS } from './ssh-talk.ts'

/** The host's side, real or not: told what to do, tells what happened. */
export interface HostSide {
  command(command: HostCommand): void
  credit(channel: number, bytes: number): void
  end(): void
}

export interface GateOptions {
  readonly connection: Pick<ConnectionOptions, 'hostKeys'> & Partial<ConnectionOptions>
  readonly relay?: Partial<RelayOptions>
  readonly prove: (proof: Proof) => ProofAnswer | Promise<ProofAnswer>
  readonly judge?: (wish: Wish) => Verdict | Promise<Verdict>
  readonly host: (tell: (event: HostEvent) => void, lost: () => void) => HostSide
  readonly durable?: () => Promise<void>
}

export const CONNECTION_DEFAULTS = {
  software: 'gatebook_test',
  ephemeralKeys: freshEphemeralKeys,
  fill: (bytes: Uint8Array) => void randomFillSync(bytes),
  methods: ['publickey', 'password', 'keyboard-interactive'],
  banner: '',
} as const satisfies Partial<ConnectionOptions>

export class Gate {
  readonly records: RelayEvent[] = []
  readonly #socket: Socket
  readonly #options: GateOptions
  readonly #connection: SshConnection
  readonly #host: HostSide
  readonly closed: Promise<CloseReason>
  #toPerson: SshStep[] = []
  #busy = false
  #settle: (reason: CloseReason) => void = () => undefined

  constructor(socket: Socket, options: GateOptions) {
    this.#socket = socket.setNoDelay()
    this.#options = options
    this.#connection = new SshConnection({ ...CONNECTION_DEFAULTS, ...options.connection })
    this.closed = new Promise((resolve) => {
      this.#settle = resolve
    })
    this.#host = options.host(
      (event) => this.#run(this.#connection.host(event)),
      () => this.#run(this.#connection.end('target')),
    )
    this.#run(this.#connection.start())
    socket.on('data', (chunk) => this.#run(this.#connection.receive(chunk)))
    socket.on('end', () => this.#run(this.#connection.end('client')))
    socket.on('error', () => this.#run(this.#connection.end('client')))
  }

  get connection(): SshConnection {
    return this.#connection
  }

  run(steps: readonly SshStep[]): void {
    this.#run(steps)
  }

  #run(steps: readonly SshStep[]): void {
    for (const step of steps) {
      switch (step.type) {
        case 'record':
          this.records.push(step.event)
          break
        case 'host':
          this.#host.command(step.command)
          break
        case 'judge':
          void this.#judge(step.id, step.wish)
          break
        case 'proof':
          this.#socket.pause()
          void this.#prove(step.proof)
          break
        default:
          this.#toPerson.push(step)
      }
    }
    void this.#pump()
  }

  async #judge(id: number, wish: Wish): Promise<void> {
    const verdict = (await this.#options.judge?.(wish)) ?? { allow: true }
    this.#run(this.#connection.verdict(id, verdict))
  }

  async #prove(proof: Proof): Promise<void> {
    const answer = await this.#options.prove(proof)
    this.#socket.resume()
    this.#run(
      answer.type === 'accept'
        ? this.#connection.accept({ ...RELAY_OPTIONS, ...this.#options.relay })
        : this.#connection.answer(answer),
    )
  }

  /** Carries out what concerns the person, one step after the other. */
  async #pump(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    while (true) {
      const step = this.#toPerson.shift()
      if (step === undefined) break
      if (step.type === 'hold') await this.#options.durable?.()
      else if (step.type === 'credit') this.#host.credit(step.channel, step.bytes)
      else if (step.type === 'send') await this.#send(step.bytes)
      else if (step.type === 'close') this.#close(step.reason)
    }
    this.#busy = false
  }

  async #send(bytes: Uint8Array): Promise<void> {
    if (this.#socket.destroyed || this.#socket.write(bytes)) return
    // Nothing is read either: whoever does not take answers asks no further questions.
    this.#socket.pause()
    await new Promise<void>((resolve) => {
      this.#socket.once('drain', resolve).once('close', resolve)
    })
    this.#socket.resume()
  }

  #close(reason: CloseReason): void {
    this.#host.end()
    this.#socket.end()
    this.#settle(reason)
  }
}
