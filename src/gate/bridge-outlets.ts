/** What a bridge has for either side, in order: some of it waits for records, some for the other to take it. */
import type { Socket } from 'node:net'
import type { HostCommand, SshStep } from '../../protocols/ssh/index.ts'
import type { Mark, Reach } from '../record/group-commit.ts'
import type { Recorder } from '../record/recorder.ts'
import type { Clock } from '../system/clock.ts'
import { Fences } from './fences.ts'
import { gather, OUTLET_HIGH, OUTLET_LOW } from './outlet.ts'

/** The host's side: told what to do, tells what happened by `Bridge.host`. */
export interface Host {
  command(command: HostCommand): void
  credit(channel: number, bytes: number): void
  end(): void
}

export interface OutletEvents {
  /** Something has gone out: the person may be read again, if nothing else speaks against it. */
  readonly onRoom: () => void
  /** A record on which something waits cannot be made. */
  readonly onFailure: () => void
  /** The book is behind: nobody is asked for more until it is not. */
  readonly isBehind: () => boolean
}

type Credit = Extract<SshStep, { type: 'credit' }>
type HostItem = HostCommand | Credit | { readonly type: 'end' }

export class HostOutlet {
  readonly #fences: Fences<HostItem>
  #host: Host | undefined
  #held = 0

  constructor(recorder: Recorder, { onRoom, onFailure }: OutletEvents) {
    this.#fences = new Fences(recorder, {
      onOpen: (items) => {
        for (const item of items) {
          if (item.type === 'write') this.#held -= item.bytes.length
          this.#now(item)
        }
        onRoom()
      },
      onFailure,
    })
  }

  get isFull(): boolean {
    return this.#held > OUTLET_HIGH
  }

  /** From now on there is a host; before, nothing can be meant for one. */
  lead(host: Host): void {
    this.#host = host
  }

  fence(mark: Mark, reach: Reach | undefined): void {
    this.#fences.fence(mark, reach)
  }

  /** Credit too: it must not come ahead of the command that makes its channel. */
  send(item: HostItem): void {
    if (this.#fences.isEmpty) {
      this.#now(item)
      return
    }
    if (item.type === 'write') this.#held += item.bytes.length
    this.#fences.push(item)
  }

  abandon(): void {
    this.#fences.abandon()
    this.#host?.end()
  }

  #now(item: HostItem): void {
    if (item.type === 'end') this.#host?.end()
    else if (item.type === 'credit') this.#host?.credit(item.channel, item.bytes)
    else this.#host?.command(item)
  }
}

/** For a client to show what it was told, before it hears that it is over. */
const PATIENCE_MS = 250

type PersonItem = Extract<SshStep, { type: 'send' | 'patience' }> | Credit | { readonly type: 'close' }

export interface PersonParts {
  readonly socket: Socket
  readonly recorder: Recorder
  readonly clock: Clock
}

/** Bytes, credit for the host and the end are one queue. */
export class PersonOutlet {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #host: HostOutlet
  readonly #events: OutletEvents
  readonly #fences: Fences<PersonItem>
  #held = 0
  /** Credit that waits for the socket to take what made the room. */
  #credits: Credit[] = []
  /** What waits for a moment to pass. */
  #later: PersonItem[] | undefined

  constructor({ socket, recorder, clock }: PersonParts, host: HostOutlet, events: OutletEvents) {
    this.#socket = socket
    this.#clock = clock
    this.#host = host
    this.#events = events
    this.#fences = new Fences(recorder, {
      onOpen: (items) => this.#letOut(items),
      onFailure: events.onFailure,
    })
    socket.on('drain', () => this.room())
  }

  get isFull(): boolean {
    return this.#held + this.#socket.writableLength > OUTLET_HIGH
  }

  fence(mark: Mark, reach: Reach | undefined): void {
    this.#fences.fence(mark, reach)
  }

  send(item: Exclude<PersonItem, { type: 'close' }>): void {
    if (this.#fences.isEmpty) {
      this.#now(item)
      return
    }
    if (item.type === 'send') this.#held += item.bytes.length
    this.#fences.push(item)
  }

  /** Ends the socket once everything before it is out. */
  end(): void {
    if (this.#fences.isEmpty) this.#now({ type: 'close' })
    else this.#fences.push({ type: 'close' })
  }

  /** Whether bytes were dropped by it: what comes behind them cannot be read any more. */
  abandon(): boolean {
    this.#credits = []
    return this.#fences.abandon().some(({ type }) => type === 'send')
  }

  /** Gives the credit that waited, if there is room now. */
  room(): void {
    if (!this.#isTight) {
      for (const credit of this.#credits.splice(0)) this.#host.send(credit)
    }
    this.#events.onRoom()
  }

  /** Whether the host must not be given more to say. */
  get #isTight(): boolean {
    return this.#socket.writableLength > OUTLET_LOW || this.#events.isBehind()
  }

  #letOut(items: readonly PersonItem[]): void {
    for (const item of items) {
      if (item.type === 'send') this.#held -= item.bytes.length
      this.#now(item)
    }
    this.#events.onRoom()
  }

  #now(item: PersonItem): void {
    if (this.#later !== undefined) this.#later.push(item)
    else if (item.type === 'send') this.#write(item.bytes)
    else if (item.type === 'close') this.#socket.end()
    else if (item.type === 'patience') this.#wait()
    else if (this.#isTight) this.#credits.push(item)
    else this.#host.send(item)
  }

  #write(bytes: Uint8Array): void {
    gather(this.#socket)
    this.#socket.write(bytes)
  }

  #wait(): void {
    this.#later = []
    this.#clock.after(PATIENCE_MS, () => {
      const items = this.#later ?? []
      this.#later = undefined
      for (const item of items) this.#now(item)
    })
  }
}
