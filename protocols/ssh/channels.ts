/**
 * The connection protocol (RFC 4254): many channels and requests on one connection, each answered in the order
 * in which it was asked. What a person does becomes an event; whoever knows the host and the policy answers by
 * calling back. Names that we do not know are answered by failure here and never become events.
 */
import { ProtocolError, Writer } from '../bytes.ts'
import { Channel, type ChannelOutput, PACKET_MAX, type Stream, type Ticket, WINDOW } from './channel.ts'
import { decodeMessage, encodeMessage, type Message, type MessageOf, OPEN_FAILURE } from './messages.ts'
import {
  type ChannelRequest,
  decodeChannelRequest,
  decodeGlobalRequest,
  decodeOpen,
  type Ending,
  encodeEnding,
  encodeForwarded,
  type Forwarded,
  type GlobalRequest,
  type OpenRequest,
} from './requests.ts'

const CHANNELS_MAX = 256
const GLOBAL_REPLIES_MAX = 64
const KEEPALIVE = 'keepalive@openssh.com'
const NO_BYTES = new Uint8Array(0)

/** A global request that waits for its answer. */
export interface GlobalTicket {
  answer: { readonly success: boolean; readonly fields: Uint8Array } | undefined
}

export type ChannelEvent =
  | { readonly type: 'open'; readonly channel: number; readonly request: OpenRequest }
  /** `ticket` is there when the person waits for an answer. */
  | {
      readonly type: 'request'
      readonly channel: number
      readonly request: ChannelRequest
      readonly ticket: Ticket | undefined
    }
  | { readonly type: 'data'; readonly channel: number; readonly bytes: Uint8Array }
  | { readonly type: 'eof'; readonly channel: number }
  | { readonly type: 'close'; readonly channel: number }
  /** Answers to `openForwarded`. */
  | { readonly type: 'opened'; readonly channel: number }
  | { readonly type: 'open-failed'; readonly channel: number; readonly description: string }
  | { readonly type: 'global'; readonly request: GlobalRequest; readonly ticket: GlobalTicket | undefined }

export class Channels {
  readonly #output: ChannelOutput
  readonly #channels = new Map<number, Channel>()
  #nextId = 0
  #noMoreSessions = false
  #globalReplies: GlobalTicket[] = []
  #unanswered = 0

  constructor(output: ChannelOutput) {
    this.#output = output
  }

  get count(): number {
    return this.#channels.size
  }

  /** Keep-alives that the person's client has not answered. */
  get unanswered(): number {
    return this.#unanswered
  }

  /** One message of 80 or above. Undefined where nobody has to be asked or told. */
  take(payload: Uint8Array): ChannelEvent | undefined {
    const message = decodeMessage(payload)
    switch (message.type) {
      case 'GLOBAL_REQUEST':
        return this.#globalRequest(message)
      case 'REQUEST_SUCCESS':
      case 'REQUEST_FAILURE':
        if (this.#unanswered === 0) throw new ProtocolError('an answer to a request that was not made')
        this.#unanswered--
        return undefined
      case 'CHANNEL_OPEN':
        return this.#openRequest(message)
      case 'CHANNEL_OPEN_CONFIRMATION':
      case 'CHANNEL_OPEN_FAILURE':
        return this.#openAnswer(message)
      case 'CHANNEL_REQUEST':
        return this.#channelRequest(message)
      case 'CHANNEL_WINDOW_ADJUST':
      case 'CHANNEL_DATA':
      case 'CHANNEL_EXTENDED_DATA':
      case 'CHANNEL_EOF':
      case 'CHANNEL_CLOSE':
        return this.#onChannel(this.#opened(message.recipient), message)
      default:
        // CHANNEL_SUCCESS and CHANNEL_FAILURE too: we make no request that asks for them.
        throw new ProtocolError(`${message.type} from a client`)
    }
  }

  // Answers.

  confirm(id: number): void {
    const channel = this.#channels.get(id)
    if (channel === undefined || channel.open) return
    channel.start()
    this.#send({
      type: 'CHANNEL_OPEN_CONFIRMATION',
      recipient: channel.remote,
      sender: id,
      window: WINDOW,
      packetMax: PACKET_MAX,
      fields: NO_BYTES,
    })
  }

  refuse(id: number, reason: number, description: string): void {
    const channel = this.#channels.get(id)
    if (channel === undefined || channel.open) return
    this.#channels.delete(id)
    this.#sendOpenFailure(channel.remote, reason, description)
  }

  reply(id: number, ticket: Ticket | undefined, success: boolean): void {
    if (ticket !== undefined) this.#channels.get(id)?.reply(ticket, success)
  }

  replyGlobal(ticket: GlobalTicket | undefined, success: boolean, fields: Uint8Array = NO_BYTES): void {
    if (ticket !== undefined) ticket.answer = { success, fields }
    while (this.#globalReplies[0]?.answer !== undefined) {
      const answer = this.#globalReplies.shift()?.answer
      if (answer?.success) this.#send({ type: 'REQUEST_SUCCESS', fields: answer.fields })
      else this.#send({ type: 'REQUEST_FAILURE' })
    }
  }

  // Toward the person. A channel that has ended meanwhile takes all this and does nothing.

  /** The number of a new channel, which the person's client must accept; undefined when there are too many. */
  openForwarded(request: Forwarded): number | undefined {
    if (this.#channels.size >= CHANNELS_MAX) return undefined
    const channel = this.#create(request.type, true)
    this.#send({
      type: 'CHANNEL_OPEN',
      channel: request.type,
      sender: channel.local,
      window: WINDOW,
      packetMax: PACKET_MAX,
      fields: encodeForwarded(request),
    })
    return channel.local
  }

  write(id: number, stream: Stream, bytes: Uint8Array): void {
    this.#channels.get(id)?.write(stream, bytes)
  }

  /** How the program ended, behind all of its output. */
  writeEnding(id: number, ending: Ending): void {
    const channel = this.#channels.get(id)
    if (channel === undefined) return
    const fields = encodeEnding(ending)
    const { remote: recipient } = channel
    channel.writeMessage(
      encodeMessage({ type: 'CHANNEL_REQUEST', recipient, request: ending.type, wantReply: false, fields }),
    )
  }

  writeEof(id: number): void {
    const channel = this.#channels.get(id)
    channel?.writeMessage(encodeMessage({ type: 'CHANNEL_EOF', recipient: channel.remote }))
  }

  close(id: number): void {
    const channel = this.#channels.get(id)
    channel?.close()
    if (channel?.closed) this.#channels.delete(id)
  }

  grow(id: number, bytes: number): void {
    this.#channels.get(id)?.grow(bytes)
  }

  /** The host's end stands, and is given credit from here on. */
  flow(id: number): void {
    this.#channels.get(id)?.flow()
  }

  spend(id: number, bytes: number): void {
    this.#channels.get(id)?.spend(bytes)
  }

  /** What the host may send more, by channel. */
  takeCredits(): readonly { readonly channel: number; readonly bytes: number }[] {
    const credits: { channel: number; bytes: number }[] = []
    for (const [id, channel] of this.#channels) {
      const bytes = channel.takeCredit()
      if (bytes > 0) credits.push({ channel: id, bytes })
    }
    return credits
  }

  /** New keys are in use: what waited for them goes out. */
  resume(): void {
    for (const [id, channel] of this.#channels) {
      channel.drain()
      if (channel.closed) this.#channels.delete(id)
    }
  }

  keepalive(): void {
    this.#unanswered++
    this.#send({ type: 'GLOBAL_REQUEST', request: KEEPALIVE, wantReply: true, fields: NO_BYTES })
  }

  /** hostkeys-00@openssh.com: the client may prove and then remember the keys it has not seen. */
  announceHostKeys(blobs: readonly Uint8Array[]): void {
    const fields = new Writer()
    for (const blob of blobs) fields.uint32(blob.length).bytes(blob)
    this.#send({
      type: 'GLOBAL_REQUEST',
      request: 'hostkeys-00@openssh.com',
      wantReply: false,
      fields: fields.done(),
    })
  }

  #globalRequest(message: MessageOf<'GLOBAL_REQUEST'>): ChannelEvent | undefined {
    const request = decodeGlobalRequest(message.request, message.fields)
    const ticket = message.wantReply ? this.#globalTicket() : undefined
    if (request === undefined) {
      this.replyGlobal(ticket, false)
      return undefined
    }
    if (request.type === 'no-more-sessions@openssh.com') {
      this.#noMoreSessions = true
      this.replyGlobal(ticket, true)
      return undefined
    }
    return { type: 'global', request, ticket }
  }

  #globalTicket(): GlobalTicket {
    if (this.#globalReplies.length >= GLOBAL_REPLIES_MAX) {
      throw new ProtocolError('too many global requests without waiting for an answer')
    }
    const ticket: GlobalTicket = { answer: undefined }
    this.#globalReplies.push(ticket)
    return ticket
  }

  #openRequest(message: MessageOf<'CHANNEL_OPEN'>): ChannelEvent | undefined {
    const { sender, channel: kind } = message
    const request = decodeOpen(kind, message.fields)
    if (request === undefined) {
      this.#sendOpenFailure(
        sender,
        OPEN_FAILURE.UNKNOWN_CHANNEL_TYPE,
        `no channels of the type ${kind.slice(0, 64)} here`,
      )
      return undefined
    }
    if (request.type === 'session' && this.#noMoreSessions) {
      throw new ProtocolError('a session after no-more-sessions@openssh.com')
    }
    if (this.#channels.size >= CHANNELS_MAX) {
      this.#sendOpenFailure(sender, OPEN_FAILURE.RESOURCE_SHORTAGE, `more than ${CHANNELS_MAX} channels`)
      return undefined
    }
    const channel = this.#create(kind, false)
    channel.connect(sender, message.window, message.packetMax)
    return { type: 'open', channel: channel.local, request }
  }

  #openAnswer(
    message: MessageOf<'CHANNEL_OPEN_CONFIRMATION'> | MessageOf<'CHANNEL_OPEN_FAILURE'>,
  ): ChannelEvent {
    const channel = this.#channels.get(message.recipient)
    if (channel === undefined || channel.open || !channel.ours) {
      throw new ProtocolError(`${message.type} for a channel that was not asked for`)
    }
    if (message.type === 'CHANNEL_OPEN_FAILURE') {
      this.#channels.delete(channel.local)
      return { type: 'open-failed', channel: channel.local, description: message.description }
    }
    channel.connect(message.sender, message.window, message.packetMax)
    channel.start()
    return { type: 'opened', channel: channel.local }
  }

  #channelRequest(message: MessageOf<'CHANNEL_REQUEST'>): ChannelEvent | undefined {
    const channel = this.#opened(message.recipient)
    const ticket = message.wantReply ? channel.ticket() : undefined
    const request =
      channel.kind === 'session' ? decodeChannelRequest(message.request, message.fields) : undefined
    if (request === undefined) {
      if (ticket !== undefined) channel.reply(ticket, false)
      return undefined
    }
    return { type: 'request', channel: channel.local, request, ticket }
  }

  #onChannel(
    channel: Channel,
    message:
      | MessageOf<'CHANNEL_WINDOW_ADJUST'>
      | MessageOf<'CHANNEL_DATA'>
      | MessageOf<'CHANNEL_EXTENDED_DATA'>
      | MessageOf<'CHANNEL_EOF'>
      | MessageOf<'CHANNEL_CLOSE'>,
  ): ChannelEvent | undefined {
    const id = channel.local
    switch (message.type) {
      case 'CHANNEL_WINDOW_ADJUST':
        channel.adjust(message.bytes)
        return undefined
      case 'CHANNEL_DATA':
        channel.receive(message.data)
        return { type: 'data', channel: id, bytes: message.data }
      case 'CHANNEL_EXTENDED_DATA':
        // sshd drops what a client sends beside its standard input, and so nothing of it is forwarded.
        channel.receive(message.data)
        channel.grow(message.data.length)
        return undefined
      case 'CHANNEL_EOF':
        channel.receiveEof()
        return { type: 'eof', channel: id }
      case 'CHANNEL_CLOSE':
        channel.receiveClose()
        if (channel.closed) this.#channels.delete(id)
        return { type: 'close', channel: id }
    }
  }

  #create(kind: string, ours: boolean): Channel {
    const channel = new Channel(this.#nextId++, kind, ours, this.#output)
    this.#channels.set(channel.local, channel)
    return channel
  }

  /** The channel that the person speaks of, when it is one they may use. */
  #opened(id: number): Channel {
    const channel = this.#channels.get(id)
    if (!channel?.open || channel.closeReceived)
      throw new ProtocolError(`a message for the channel ${id}, which is not open`)
    return channel
  }

  #sendOpenFailure(recipient: number, reason: number, description: string): void {
    this.#send({ type: 'CHANNEL_OPEN_FAILURE', recipient, reason, description, language: '' })
  }

  #send(message: Message): void {
    this.#output.sendPayload(encodeMessage(message))
  }
}
