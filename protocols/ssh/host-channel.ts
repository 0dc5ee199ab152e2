/**
 * One channel at the host: what is read from it is bounded by the credit that the person's side gives, and its
 * end is told in the order a person expects, whatever order it is heard in. Knows streams by their shape only.
 */
import type { Stream } from './channel.ts'
import type { Ending } from './requests.ts'
import type { HostEvent } from './steps.ts'

export interface HostReadable {
  on(event: 'data', listener: (bytes: Uint8Array) => void): unknown
  on(event: 'end' | 'close', listener: () => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  pause(): unknown
  resume(): unknown
}

export interface HostStream extends HostReadable {
  write(bytes: Uint8Array, done: (error?: Error | null) => void): unknown
  end(finished: () => void): unknown
}

export class HostChannel {
  readonly #id: number
  readonly #tell: (event: HostEvent) => void
  readonly #closed: () => void
  #stream: HostStream | undefined
  #shut: (() => void) | undefined
  /** The streams that have not ended. */
  #open: HostReadable[] = []
  /** What came before the host had started the program, in order; bounded by the person's window. */
  #early: (Uint8Array | 'eof')[] = []
  #credit = 0
  /** The person's side is gone: what still comes is passed over. */
  #discards = false
  /** How far the person's input is: with its end given, all of it reaches the host before the channel is shut. */
  #input: 'open' | 'ending' | 'finished' = 'open'
  #ending: Ending | undefined
  #closeSeen = false

  constructor(id: number, tell: (event: HostEvent) => void, closed: () => void) {
    this.#id = id
    this.#tell = tell
    this.#closed = closed
  }

  /** The host's end stands. `shut` closes it for good. */
  opened(stream: HostStream, stderr: HostReadable | undefined, shut: () => void): void {
    this.#stream = stream
    this.#shut = shut
    this.#read(stream, 'output')
    if (stderr !== undefined) this.#read(stderr, 'stderr')
    stream.on('close', () => {
      this.#closeSeen = true
      this.#settle()
    })
    // A stream's error is the connection's, which the client's own events tell, once.
    stream.on('error', () => undefined)
    for (const item of this.#early.splice(0)) {
      if (item === 'eof') this.eof()
      else this.write(item)
    }
    this.#shutIfDone()
    this.#flow()
  }

  /** 'exit' may come ahead of up to 2 MiB of output: it is told when all streams have ended. */
  exited(ending: Ending): void {
    this.#ending = ending
    this.#settle()
  }

  write(bytes: Uint8Array): void {
    if (this.#stream === undefined) {
      this.#early.push(bytes)
      return
    }
    this.#stream.write(bytes, (error) => {
      if (!error) this.#tell({ type: 'taken', channel: this.#id, bytes: bytes.length })
    })
  }

  eof(): void {
    if (this.#stream === undefined) {
      this.#early.push('eof')
      return
    }
    this.#input = 'ending'
    this.#stream.end(() => {
      this.#input = 'finished'
      this.#shutIfDone()
    })
  }

  /** The person has closed the channel. */
  close(): void {
    this.#discards = true
    this.#shutIfDone()
    this.#flow()
  }

  credit(bytes: number): void {
    this.#credit += bytes
    this.#flow()
  }

  #shutIfDone(): void {
    if (this.#discards && this.#input !== 'ending') this.#shut?.()
  }

  #read(readable: HostReadable, stream: Stream): void {
    this.#open.push(readable)
    readable.on('data', (bytes) => {
      if (this.#discards) return
      this.#credit -= bytes.length
      if (this.#credit <= 0) this.#flow()
      this.#tell({ type: 'data', channel: this.#id, stream, bytes })
    })
    readable.on('end', () => {
      this.#open = this.#open.filter((other) => other !== readable)
      if (this.#open.length === 0) this.#tell({ type: 'eof', channel: this.#id })
      this.#settle()
    })
  }

  /** Lets the streams run or stand; at most one packet of each goes beyond the credit. */
  #flow(): void {
    for (const readable of this.#open) {
      if (this.#credit > 0 || this.#discards) readable.resume()
      else readable.pause()
    }
  }

  #settle(): void {
    if (this.#open.length > 0) return
    if (this.#ending !== undefined) this.#tell({ type: 'ending', channel: this.#id, ending: this.#ending })
    this.#ending = undefined
    if (!this.#closeSeen) return
    this.#closeSeen = false
    this.#closed()
    this.#tell({ type: 'closed', channel: this.#id })
  }
}

/** ssh2's 'exit': a status, or null, the signal with SIG before it, whether it dumped core, a message. */
export function endingOf([status, signal, coreDumped, message]: readonly unknown[]): Ending {
  if (typeof status === 'number') return { type: 'exit-status', status }
  return {
    type: 'exit-signal',
    signal: String(signal).replace(/^SIG/, ''),
    coreDumped: coreDumped === true,
    message: typeof message === 'string' ? message : '',
    language: '',
  }
}
