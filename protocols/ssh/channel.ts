/**
 * One channel: what either side may still send (RFC 4254, section 5.2), and what waits to be sent to the person.
 *
 * Toward the person everything stands in one queue, data and what follows it, so that an exit status is never
 * ahead of the output. The host is given credit by the room in that queue: so memory is bounded by
 * QUEUE_BYTES_MAX however small the person's window is, and packets of SFTP can be put together from pieces.
 */
import { ProtocolError, Writer } from '../bytes.ts'
import { encodeMessage, NUMBER, STDERR } from './messages.ts'

/** What we let a person send before the host has taken it. */
export const WINDOW = 2 * 1024 * 1024
export const PACKET_MAX = 32 * 1024
const WINDOW_MAX = 2 ** 32 - 1
const QUEUE_BYTES_MAX = 512 * 1024
/** Credit goes out in pieces worth a message. */
const CREDIT_MIN = QUEUE_BYTES_MAX / 2
const REPLIES_MAX = 256

/** OUTPUT and STDERR are the two streams toward the person. */
export type Stream = 'output' | 'stderr'

type Queued =
  | { readonly type: 'data'; readonly stream: Stream; readonly bytes: Uint8Array }
  /** A message that takes no window: a request, EOF, CLOSE. */
  | { readonly type: 'message'; readonly payload: Uint8Array }

export interface ChannelOutput {
  /** False while new keys are negotiated: data waits here, where it is counted. */
  readonly ready: boolean
  /** `body` stands behind `payload` in the same message. */
  sendPayload(payload: Uint8Array, body?: Uint8Array): void
}

/** A request's place in the order of replies. */
export interface Ticket {
  answer: boolean | undefined
}

export class Channel {
  readonly local: number
  readonly kind: string
  /** Whether it was opened toward the person, who then has to accept it. */
  readonly ours: boolean
  readonly #output: ChannelOutput
  #remote = 0
  #open = false
  /** Whether the host's end is there to be given credit. */
  #flows = false
  #eofReceived = false
  #closeReceived = false
  #closeQueued = false
  #closeSent = false

  #granted = WINDOW
  #taken = 0

  #window = 0
  #packetMax = 0
  #queue: Queued[] = []
  #queuedBytes = 0
  #credit = 0

  #replies: Ticket[] = []

  constructor(local: number, kind: string, ours: boolean, output: ChannelOutput) {
    this.local = local
    this.kind = kind
    this.ours = ours
    this.#output = output
  }

  /** Confirmed by whichever side had to; from here on both may send. */
  get open(): boolean {
    return this.#open
  }

  get closed(): boolean {
    return this.#closeReceived && this.#closeSent
  }

  /** Whether the person's side has ended: what the host still says goes nowhere. */
  get closeReceived(): boolean {
    return this.#closeReceived
  }

  get remote(): number {
    return this.#remote
  }

  /** Takes down what the person's side said of itself in opening or confirming. */
  connect(remote: number, window: number, packetMax: number): void {
    if (packetMax === 0) throw new ProtocolError('a channel for packets of no bytes')
    this.#remote = remote
    this.#window = window
    this.#packetMax = Math.min(packetMax, PACKET_MAX)
  }

  start(): void {
    this.#open = true
  }

  // From the person.

  receive(data: Uint8Array): void {
    if (this.#eofReceived) throw new ProtocolError('data behind the end of a channel')
    if (data.length > this.#granted || data.length > PACKET_MAX)
      throw new ProtocolError('data beyond the window')
    this.#granted -= data.length
  }

  receiveEof(): void {
    if (this.#eofReceived) throw new ProtocolError('a second EOF on a channel')
    this.#eofReceived = true
  }

  /**
   * Nobody reads output any more, yet how the program ends may still be waited for, as sshd lets it be: a client
   * closes as soon as both directions are at their end. Our own CLOSE follows when the host's end is closed.
   */
  receiveClose(): void {
    this.#closeReceived = true
    this.#queue = this.#queue.filter(({ type }) => type === 'message')
    this.#queuedBytes = 0
    this.drain()
  }

  adjust(bytes: number): void {
    this.#window += bytes
    if (this.#window > WINDOW_MAX) throw new ProtocolError('a window above 2^32 - 1')
    this.drain()
  }

  /** The host has taken bytes of the person's: as much more may come. */
  grow(bytes: number): void {
    this.#taken += bytes
    if (this.#taken < WINDOW / 2 || this.#eofReceived || this.#closeReceived || this.#closeQueued) return
    const message = encodeMessage({
      type: 'CHANNEL_WINDOW_ADJUST',
      recipient: this.#remote,
      bytes: this.#taken,
    })
    this.#granted += this.#taken
    this.#taken = 0
    this.#output.sendPayload(message)
  }

  // Replies, first in, first out.

  ticket(): Ticket {
    if (this.#replies.length >= REPLIES_MAX)
      throw new ProtocolError('too many requests without waiting for an answer')
    const ticket: Ticket = { answer: undefined }
    this.#replies.push(ticket)
    return ticket
  }

  reply(ticket: Ticket, success: boolean): void {
    ticket.answer = success
    while (this.#replies[0]?.answer !== undefined) {
      const type = this.#replies.shift()?.answer ? 'CHANNEL_SUCCESS' : 'CHANNEL_FAILURE'
      if (!this.#closeSent) this.#output.sendPayload(encodeMessage({ type, recipient: this.#remote }))
    }
  }

  // Toward the person.

  write(stream: Stream, bytes: Uint8Array): void {
    if (bytes.length === 0 || this.#closeQueued || this.#closeReceived) return
    this.#queue.push({ type: 'data', stream, bytes })
    this.#queuedBytes += bytes.length
    this.drain()
  }

  /** A message that belongs behind the data before it. */
  writeMessage(payload: Uint8Array): void {
    if (this.#closeQueued) return
    this.#queue.push({ type: 'message', payload })
    this.drain()
  }

  close(): void {
    if (this.#closeQueued) return
    this.writeMessage(encodeMessage({ type: 'CHANNEL_CLOSE', recipient: this.#remote }))
    this.#closeQueued = true
    this.#noteClose()
  }

  /** Sends what the window, and the keys, allow. */
  drain(): void {
    while (this.#output.ready) {
      const head = this.#queue[0]
      if (head === undefined) break
      if (head.type === 'message') {
        this.#queue.shift()
        this.#output.sendPayload(head.payload)
        continue
      }
      const length = Math.min(head.bytes.length, this.#window, this.#packetMax)
      if (length === 0) break
      this.#send(head.stream, head.bytes.subarray(0, length))
      if (length === head.bytes.length) this.#queue.shift()
      else this.#queue[0] = { ...head, bytes: head.bytes.subarray(length) }
    }
    this.#noteClose()
  }

  /** The host's end of the channel stands. */
  flow(): void {
    this.#flows = true
  }

  /** Bytes of the host have come in, against what it was given. */
  spend(bytes: number): void {
    this.#credit -= bytes
  }

  /** How much more the host may send now; zero while that is not worth a step. */
  takeCredit(): number {
    if (!this.#flows || this.#closeQueued || this.#closeReceived || !this.#output.ready) return 0
    const room = QUEUE_BYTES_MAX - this.#queuedBytes - this.#credit
    if (room < CREDIT_MIN) return 0
    this.#credit += room
    return room
  }

  #noteClose(): void {
    if (this.#closeQueued && this.#queue.length === 0) this.#closeSent = true
  }

  #send(stream: Stream, data: Uint8Array): void {
    this.#window -= data.length
    this.#queuedBytes -= data.length
    this.#output.sendPayload(dataHead(this.#remote, stream, data.length), data)
  }
}

/** CHANNEL_DATA or CHANNEL_EXTENDED_DATA up to its bytes, which go into the packet from where they lie. */
function dataHead(recipient: number, stream: Stream, length: number): Uint8Array {
  if (stream === 'output') {
    return new Writer(9).uint8(NUMBER.CHANNEL_DATA).uint32(recipient).uint32(length).done()
  }
  const head = new Writer(13).uint8(NUMBER.CHANNEL_EXTENDED_DATA).uint32(recipient)
  return head.uint32(STDERR).uint32(length).done()
}
