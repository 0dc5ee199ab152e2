/**
 * Runs a conversation on a socket: owns the bytes that have come and are not yet read, the time limit, and the
 * move to TLS. The protocol's room says what to read and send; nothing here knows what it means.
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { ProtocolError } from '../../protocols/bytes.ts'
import { type Conversation, HANDSHAKE_READ_MAX, type TlsFacts } from '../../protocols/conversation.ts'
import { linger } from './linger.ts'

/** Bytes of a handshake that may wait to be read: a message, and what was sent right behind it. */
const PENDING_MAX = 2 * HANDSHAKE_READ_MAX

/** The peer went away, or took too long. */
export class HangUpError extends Error {
  override readonly name = 'HangUpError'
}

/** Moves a plain socket to TLS, in the role of this end; resolves when the handshake is done. */
export type Upgrade = (
  socket: Socket,
  alpn: readonly string[],
) => Promise<{ socket: TLSSocket; facts: TlsFacts }>

export interface Talk<Question> {
  readonly upgrade: Upgrade
  readonly answer: (question: Question) => unknown
  readonly signal: AbortSignal
}

/** One end of a connection while it is talked with. `take` hands the socket on, with what was not read. */
export class Talker {
  #socket: Socket
  #chunks: Buffer[] = []
  #length = 0
  #ended: Error | undefined
  #wake: (() => void) | undefined
  readonly #onData = (chunk: Buffer): void => {
    // A copy: an intake reads into the same memory again.
    this.#chunks.push(Buffer.from(chunk))
    this.#length += chunk.length
    if (this.#length > PENDING_MAX) this.#socket.pause()
    this.#wake?.()
  }
  readonly #onEnd = (): void => this.#end(new HangUpError('the peer closed the connection'))
  readonly #onError = (error: Error): void => this.#end(new HangUpError(error.message, { cause: error }))

  constructor(socket: Socket, pending: Uint8Array = NOTHING) {
    this.#socket = socket
    if (pending.length > 0) this.#onData(Buffer.from(pending))
    this.#listen()
  }

  get socket(): Socket {
    return this.#socket
  }

  /** Runs `conversation` to its end. A peer's fault and a hang-up are thrown into it, so that it may answer. */
  async run<Result, Question>(
    conversation: Conversation<Result, Question>,
    talk: Talk<Question>,
  ): Promise<Result> {
    const stop = (): void => this.#end(new HangUpError('it took too long'))
    talk.signal.addEventListener('abort', stop, { once: true })
    if (talk.signal.aborted) stop()
    try {
      let step = conversation.next()
      while (step.done !== true) {
        let answer: unknown
        try {
          const want = step.value
          if (want.type === 'read') answer = await this.#read(want.length)
          else if (want.type === 'send') await this.#send(want.bytes, want.quiet === true)
          else if (want.type === 'start-tls') answer = await this.#startTls(want, talk.upgrade)
          else answer = await talk.answer(want.question)
        } catch (error) {
          step = conversation.throw(error)
          continue
        }
        step = conversation.next(answer)
      }
      return step.value
    } finally {
      talk.signal.removeEventListener('abort', stop)
    }
  }

  /** The first byte that comes, left where it is. */
  async peek(): Promise<number> {
    await this.#wait(1)
    return this.#chunks[0]?.[0] ?? 0
  }

  /** Direct TLS: the client began with its handshake, so what has come belongs to it. */
  async secure(upgrade: Upgrade, alpn: readonly string[]): Promise<TlsFacts> {
    const { socket: plain, pending } = this.take()
    if (pending.length > 0) plain.unshift(pending)
    const { socket, facts } = await upgrade(plain, alpn)
    this.#socket = socket
    this.#listen()
    return facts
  }

  /** Says the last words and lets the peer go. */
  leave(words: Uint8Array = NOTHING): void {
    const { socket } = this.take()
    linger(socket)
    socket.end(words)
  }

  /** Resolves when the peer has closed; what it still says is dropped. Throws when it takes too long. */
  async closed(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wake?.(), { once: true })
    while (this.#ended === undefined) {
      if (signal.aborted) throw new HangUpError('it took too long')
      this.#chunks = []
      this.#length = 0
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.#socket.resume()
      })
    }
  }

  /** Bytes that came and were not read: they belong to whoever takes the socket. */
  take(): { socket: Socket; pending: Uint8Array } {
    this.#unlisten()
    this.#socket.pause()
    const pending = Buffer.concat(this.#chunks)
    this.#chunks = []
    this.#length = 0
    return { socket: this.#socket, pending }
  }

  async #wait(length: number): Promise<void> {
    while (this.#length < length) {
      if (this.#ended !== undefined) throw this.#ended
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.#socket.resume()
      })
    }
  }

  async #read(length: number): Promise<Uint8Array> {
    await this.#wait(length)
    const all = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks)
    const rest = (all ?? Buffer.alloc(0)).subarray(length)
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#length = rest.length
    return (all ?? Buffer.alloc(0)).subarray(0, length)
  }

  async #send(bytes: Uint8Array, quiet: boolean): Promise<void> {
    if (quiet) this.#demandQuiet()
    if (this.#ended !== undefined) throw this.#ended
    if (this.#socket.write(bytes)) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      this.#socket.once('drain', resolve)
    })
  }

  /** What is said in clear behind a request for TLS would be taken for what is said inside it. */
  #demandQuiet(): void {
    if (this.#length > 0) throw new ProtocolError('received unencrypted data after SSL request')
  }

  async #startTls(
    { reply, alpn, early }: { reply: Uint8Array; alpn: readonly string[]; early?: boolean },
    upgrade: Upgrade,
  ): Promise<TlsFacts> {
    if (early === true) return this.secure(upgrade, alpn)
    this.#demandQuiet()
    if (this.#ended !== undefined) throw this.#ended
    const plain = this.#socket
    // First no more reading in clear, then the reply: the ClientHello may follow it in the same instant.
    this.#unlisten()
    plain.pause()
    if (reply.length > 0) plain.write(reply)
    const { socket, facts } = await upgrade(plain, alpn)
    this.#socket = socket
    this.#listen()
    return facts
  }

  #listen(): void {
    this.#socket
      .on('data', this.#onData)
      .on('end', this.#onEnd)
      .on('error', this.#onError)
      .on('close', this.#onEnd)
  }

  #unlisten(): void {
    this.#socket
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('error', this.#onError)
      .off('close', this.#onEnd)
  }

  #end(error: Error): void {
    this.#ended ??= error
    this.#wake?.()
  }
}

const NOTHING = new Uint8Array(0)
