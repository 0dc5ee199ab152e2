/**
 * A person's connection, from its first byte to its last: bytes and facts in, steps out. The layers are the
 * RFCs': transport, authentication, connection; on top of them stands the relay, once somebody is known.
 *
 * Whoever runs it carries the steps out in their order, reads nothing from the person while a proof waits or
 * while bytes for the person cannot be written, and tells it the time now and then.
 */
import { ProtocolError } from '../bytes.ts'
import type { CloseReason, Refusal, Verdict } from '../relay.ts'
import { Authentication, type AuthOptions, type ProofAnswer } from './auth.ts'
import { Channels } from './channels.ts'
import type { HostKey } from './host-keys.ts'
import { DISCONNECT, decodeMessage, NUMBER } from './messages.ts'
import { proveHostKeys } from './prove.ts'
import { Relay, type RelayOptions } from './relay.ts'
import { type HostEvent, type SshStep, Steps } from './steps.ts'
import { Transport, type TransportOptions } from './transport.ts'

export interface ConnectionOptions extends TransportOptions, AuthOptions {}

/** Beside the limit in bytes: RFC 4253, section 9. */
const REKEY_MS = 60 * 60 * 1000
/** Read ahead of a proof that waits for its answer; a client has no reason to send anything then. */
const AHEAD_BYTES_MAX = 256 * 1024

export class SshConnection {
  readonly #hostKeys: readonly HostKey[]
  readonly #transport: Transport
  readonly #steps: Steps
  readonly #authentication: Authentication
  readonly #channels: Channels
  #relay: Relay | undefined
  #rekeying = false
  #rekeyedAt: number | undefined
  #over = false

  constructor(options: ConnectionOptions) {
    this.#hostKeys = options.hostKeys
    this.#transport = new Transport(options)
    this.#steps = new Steps(this.#transport)
    this.#authentication = new Authentication(this.#transport, options)
    const transport = this.#transport
    this.#channels = new Channels({
      get ready() {
        return !transport.rekeying
      },
      sendPayload: (payload, body) => transport.sendPayload(payload, body),
    })
  }

  /** What the client says it is, and the algorithms agreed on: claims, for the record. */
  get clientVersion(): string {
    return this.#transport.clientVersion
  }

  get algorithms(): readonly string[] {
    return this.#transport.algorithms
  }

  /** No operation is under way: a draining gateway ends the connection here. */
  get idle(): boolean {
    return this.#relay?.idle ?? true
  }

  /** Keep-alives without an answer. */
  get unanswered(): number {
    return this.#channels.unanswered
  }

  /** Our version and KEXINIT: the first thing to be sent. */
  start(): readonly SshStep[] {
    return this.#turn(() => undefined)
  }

  receive(chunk: Uint8Array): readonly SshStep[] {
    return this.#turn(() => {
      this.#transport.push(chunk)
      this.#read()
    })
  }

  /** Answers the last proof with anything but success. */
  answer(answer: Exclude<ProofAnswer, { type: 'accept' }>): readonly SshStep[] {
    return this.#turn(() => {
      this.#authentication.answer(answer)
      this.#read()
    })
  }

  /** Answers the last proof: the person is known, and this is how their session is to be recorded. */
  accept(options: RelayOptions): readonly SshStep[] {
    return this.#turn(() => {
      this.#authentication.answer({ type: 'accept' })
      this.#transport.trust()
      this.#relay = new Relay(this.#channels, this.#steps, options)
      if (this.#hostKeys.length > 1) this.#channels.announceHostKeys(this.#hostKeys.map((key) => key.blob))
      this.#read()
    })
  }

  /** Answers the `judge` of this number. */
  verdict(id: number, verdict: Verdict): readonly SshStep[] {
    return this.#turn(() => this.#relay?.verdict(id, verdict))
  }

  host(event: HostEvent): readonly SshStep[] {
    return this.#turn(() => this.#relay?.host(event))
  }

  /** Told about once a second: new keys when their time has come, terminals that echo nothing. */
  tick(nowMs: number): readonly SshStep[] {
    return this.#turn(() => {
      this.#rekeyedAt ??= nowMs
      if (nowMs - this.#rekeyedAt >= REKEY_MS) {
        this.#rekeyedAt = nowMs
        this.#transport.rekey()
      }
      const refusal = this.#relay?.tick(nowMs)
      if (refusal !== undefined) this.#stop(refusal, 'limit')
    })
  }

  keepalive(): readonly SshStep[] {
    return this.#turn(() => {
      if (this.#relay !== undefined) this.#channels.keepalive()
    })
  }

  /** A side has sent its last byte. */
  end(from: 'client' | 'target'): readonly SshStep[] {
    return this.#turn(() => {
      const message = from === 'client' ? 'the client ended the connection' : 'the host ended the connection'
      this.#finish(DISCONNECT.BY_APPLICATION, { why: from, message })
    })
  }

  /** The gateway ends the session and tells the person why, on each open program's standard error. */
  stop(refusal: Refusal): readonly SshStep[] {
    return this.#turn(() => this.#stop(refusal, 'limit'))
  }

  #stop(refusal: Refusal, why: CloseReason['why']): void {
    this.#relay?.stop(refusal)
    this.#steps.hold()
    if (this.#relay !== undefined) this.#steps.push({ type: 'patience' })
    this.#finish(DISCONNECT.BY_APPLICATION, { why, message: refusal.what })
  }

  /** Runs one turn. What the client did wrong ends its connection here, and nothing else. */
  #turn(work: () => void): readonly SshStep[] {
    if (this.#over) return []
    try {
      work()
      this.#afterwards()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#finish(DISCONNECT.PROTOCOL_ERROR, { why: 'client', message: error.message })
    }
    this.#transport.release()
    return this.#steps.take()
  }

  #read(): void {
    while (!this.#over && !this.#authentication.pending) {
      const payload = this.#transport.next()
      if (payload === undefined) break
      this.#take(payload)
    }
    if (this.#authentication.pending && this.#transport.pending > AHEAD_BYTES_MAX) {
      throw new ProtocolError('bytes without end behind a proof')
    }
  }

  /** Which layer a message belongs to, by what the person has proved so far. */
  #take(payload: Uint8Array): void {
    const number = payload[0] ?? 0
    if (number === NUMBER.DISCONNECT) {
      const message = decodeMessage(payload)
      const said = message.type === 'DISCONNECT' ? message.description : ''
      this.#relay?.abort()
      this.#over = true
      this.#steps.push({ type: 'close', reason: { why: 'client', message: `disconnected: ${said}` } })
      return
    }
    if (!this.#authentication.done) {
      const proof = this.#authentication.take(payload)
      if (proof !== undefined) this.#steps.push({ type: 'proof', proof })
      return
    }
    // RFC 4252, section 5.1: requests that were on their way when one succeeded are passed over.
    if (number === NUMBER.USERAUTH_REQUEST) return
    if (number === NUMBER.PING) {
      const ping = decodeMessage(payload)
      if (ping.type === 'PING') this.#transport.send({ type: 'PONG', data: ping.data })
      return
    }
    const event = this.#channels.take(payload)
    if (event === undefined) return
    if (event.type === 'global' && event.request.type === 'hostkeys-prove-00@openssh.com') {
      const proof = proveHostKeys(event.request.keys, this.#hostKeys, this.#transport)
      this.#channels.replyGlobal(event.ticket, proof !== undefined, proof)
      return
    }
    this.#relay?.person(event)
  }

  /** Data that waited for new keys goes on, and the host hears what it may send. */
  #afterwards(): void {
    const { rekeying } = this.#transport
    if (this.#rekeying && !rekeying) this.#channels.resume()
    this.#rekeying = rekeying
    const credits = this.#channels.takeCredits()
    if (credits.length === 0) return
    this.#steps.flush()
    for (const { channel, bytes } of credits) this.#steps.push({ type: 'credit', channel, bytes })
  }

  #finish(code: number, reason: CloseReason): void {
    this.#relay?.abort()
    this.#steps.hold()
    this.#transport.disconnect(code, reason.message)
    this.#over = true
    this.#steps.flush()
    this.#steps.push({ type: 'close', reason })
  }
}
