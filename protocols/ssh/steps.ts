/**
 * The words between a person's connection and whoever runs it: what is to be done, in order, and what the host
 * can be told and can tell. Nothing here knows how a host is reached.
 */
import type { RelayEvent } from '../events.ts'
import type { CloseReason } from '../relay.ts'
import type { Proof } from './auth.ts'
import type { Stream } from './channel.ts'
import type { Ending, Forwarded, OpenRequest, TerminalSize } from './requests.ts'
import type { Transport } from './transport.ts'

export type SshStep =
  /** Write this down. Every `host` behind it waits until it is where the durability mode says. */
  | { readonly type: 'record'; readonly event: RelayEvent }
  /** To the person's socket. */
  | { readonly type: 'send'; readonly bytes: Uint8Array }
  /** Every `send` after this waits until all that was recorded before it is as durable as the mode demands. */
  | { readonly type: 'hold' }
  /**
   * The host may send that much more on a channel. Stands behind the `send` that made the room: whoever waits
   * for the person's socket waits here too, and so the host is slowed down.
   */
  | { readonly type: 'credit'; readonly channel: number; readonly bytes: number }
  /** Does this proof do? Nothing is read from the person until `answer` or `accept` is called. */
  | { readonly type: 'proof'; readonly proof: Proof }
  /** May this be done? Answered by `verdict` with the same id; everything else goes on meanwhile. */
  | { readonly type: 'judge'; readonly id: number; readonly wish: Wish }
  | { readonly type: 'host'; readonly command: HostCommand }
  /** A moment before what follows: clients drop what they have not shown yet when they hear that it is over. */
  | { readonly type: 'patience' }
  /** Everything before it goes out, then both sides end. */
  | { readonly type: 'close'; readonly reason: CloseReason }

/** What a policy decides on, for each channel by itself. */
export type Wish =
  | { readonly type: 'program'; readonly program: Program; readonly terminal: boolean }
  /** From the host to `host:port`, `[::1]:port` or a socket's path. */
  | { readonly type: 'connect'; readonly address: string }
  /** From the host to the person, by a listener there. */
  | { readonly type: 'listen'; readonly address: string }

export type Program =
  | { readonly type: 'shell' }
  | { readonly type: 'exec'; readonly command: Uint8Array }
  | { readonly type: 'subsystem'; readonly name: string }

export interface Terminal extends TerminalSize {
  readonly term: string
  /** The encoded modes of RFC 4254, section 8, untouched. */
  readonly modes: Uint8Array
}

export interface Variable {
  readonly name: string
  readonly value: Uint8Array
}

/** Where the person wants to be connected to, from the host. */
export type Destination = Exclude<OpenRequest, { type: 'session' }>

/** Where the host shall listen for the person. */
export type Endpoint =
  | { readonly type: 'tcp'; readonly host: string; readonly port: number }
  | { readonly type: 'path'; readonly path: string }

export type HostCommand =
  | {
      readonly type: 'start'
      readonly channel: number
      readonly program: Program
      readonly terminal: Terminal | undefined
      readonly variables: readonly Variable[]
      readonly agent: boolean
    }
  | { readonly type: 'connect'; readonly channel: number; readonly destination: Destination }
  | { readonly type: 'write'; readonly channel: number; readonly bytes: Uint8Array }
  | { readonly type: 'eof'; readonly channel: number }
  | { readonly type: 'close'; readonly channel: number }
  | { readonly type: 'resize'; readonly channel: number; readonly size: TerminalSize }
  | { readonly type: 'signal'; readonly channel: number; readonly signal: string }
  | { readonly type: 'break'; readonly channel: number; readonly milliseconds: number }
  | { readonly type: 'listen'; readonly id: number; readonly endpoint: Endpoint }
  | { readonly type: 'unlisten'; readonly id: number; readonly endpoint: Endpoint }
  /** A connection that the host announced becomes this channel, or is turned away. */
  | { readonly type: 'accept'; readonly incoming: number; readonly channel: number }
  | { readonly type: 'reject'; readonly incoming: number }

/** What happens on one channel at the host. */
export type ProgramEvent =
  /** The program runs, or the connection stands. */
  | { readonly type: 'started'; readonly channel: number }
  | { readonly type: 'refused'; readonly channel: number; readonly reason: number; readonly message: string }
  | { readonly type: 'data'; readonly channel: number; readonly stream: Stream; readonly bytes: Uint8Array }
  /** Nothing further comes on either stream. */
  | { readonly type: 'eof'; readonly channel: number }
  /** Behind all data. */
  | { readonly type: 'ending'; readonly channel: number; readonly ending: Ending }
  | { readonly type: 'closed'; readonly channel: number }

export type HostEvent =
  | ProgramEvent
  /** So many of the person's bytes are out of our memory. */
  | { readonly type: 'taken'; readonly channel: number; readonly bytes: number }
  /** The answer to `listen` and `unlisten`; the port where it was the host's to choose. */
  | { readonly type: 'listening'; readonly id: number; readonly success: boolean; readonly port: number }
  | { readonly type: 'incoming'; readonly incoming: number; readonly forwarded: Forwarded }
  /** What the host says to whoever logs in, before anything runs. */
  | { readonly type: 'banner'; readonly text: string }

/** Collects a turn's steps. Bytes for the person stay in the transport until something must come behind them. */
export class Steps {
  readonly #transport: Transport
  #list: SshStep[] = []

  constructor(transport: Transport) {
    this.#transport = transport
  }

  push(step: Exclude<SshStep, { type: 'send' } | { type: 'hold' }>): void {
    this.#list.push(step)
  }

  hold(): void {
    this.flush()
    this.#list.push({ type: 'hold' })
  }

  /** The turn's steps; the next turn begins with none. */
  take(): readonly SshStep[] {
    this.flush()
    const list = this.#list
    this.#list = []
    return list
  }

  /** What was written for the person so far becomes steps. */
  flush(): void {
    if (!this.#transport.hasOutput) return
    for (const bytes of this.#transport.output()) this.#list.push({ type: 'send', bytes })
  }
}
