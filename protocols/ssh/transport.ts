/**
 * The transport layer (RFC 4253), the server's side: version exchange, packets, key exchange whenever either
 * side wants one. Bytes go in by `push`, payloads of the layers above come out by `next`, one at a time, so that
 * whoever must answer first can stop reading; what is to be written collects until `output` takes it.
 */
import { concat, encodeText, ProtocolError, Writer } from '../bytes.ts'
import type { EphemeralKeys } from './agreements.ts'
import type { HostKey } from './host-keys.ts'
import { deriveKeys, type Kexinit, type Negotiated, negotiate, ownKexinit, respond } from './kex.ts'
import { SIGNATURE_ALGORITHMS } from './keys.ts'
import { decodeAs, encodeMessage, type Message, NUMBER } from './messages.ts'
import { type FillRandom, PacketReader, PacketWriter } from './packets.ts'
import { text } from './wire.ts'

export interface TransportOptions {
  /** Stands behind `SSH-2.0-`: printable, without spaces or hyphens. */
  readonly software: string
  readonly hostKeys: readonly HostKey[]
  readonly ephemeralKeys: EphemeralKeys
  readonly fill: FillRandom
  /** Bytes in one direction after which we want new keys; RFC 4253, section 9 recommends a gibibyte. */
  readonly rekeyBytes?: number
}

const REKEY_BYTES = 2 ** 30
/** RFC 4344, section 3.1. */
const REKEY_PACKETS = 2 ** 31
/** RFC 4253, section 4.2, CR and LF included. */
const VERSION_LENGTH_MAX = 255
const VERSION = /^SSH-2\.0-[\x21-\x7e][\x20-\x7e]*$/
/** Each costs us up to 10 ms: who is not known yet gets no more of them than any client needs. */
const EXCHANGES_OF_STRANGERS_MAX = 4
/** What waits for the end of a key exchange that the client never ends; data waits in its channels. */
const QUEUE_BYTES_MAX = 4 * 1024 * 1024

/** Lengths and tags, and all of short packets. */
const JOIN_BELOW = 4096

/** What the client may send now. Our own key exchange may be under way meanwhile: see `#ownKexinit`. */
type Phase = 'version' | 'kexinit' | 'exchange' | 'newkeys' | 'open'

export class Transport {
  readonly #options: TransportOptions
  readonly #reader = new PacketReader()
  readonly #writer: PacketWriter
  readonly #serverVersion: string
  #clientVersion = ''
  #phase: Phase = 'version'
  /** Set from our KEXINIT until our NEWKEYS: nothing of the layers above is sent in between. */
  #ownKexinit: { readonly message: Kexinit; readonly payload: Uint8Array } | undefined
  #clientKexinit: Uint8Array = new Uint8Array(0)
  #negotiated: Negotiated | undefined
  #sessionId: Uint8Array | undefined
  #strict = false
  /** Until the client's first NEWKEYS. */
  #initial = true
  #passOver = false
  #exchangesLeft = EXCHANGES_OF_STRANGERS_MAX
  /** RFC 8308, section 2.4: directly behind the client's first NEWKEYS. */
  #mayExtInfo = false
  #useClientKeys: (() => void) | undefined
  #queue: Uint8Array[] = []
  #queueBytes = 0
  #out: Uint8Array[] = []

  constructor(options: TransportOptions) {
    this.#options = options
    this.#writer = new PacketWriter(options.fill)
    this.#serverVersion = `SSH-2.0-${options.software}`
    this.#out.push(encodeText(`${this.#serverVersion}\r\n`))
    this.#sendKexinit()
  }

  /** The exchange hash of the first key exchange; what signatures bind to. */
  get sessionId(): Uint8Array {
    if (this.#sessionId === undefined) throw new Error('no key exchange has ended')
    return this.#sessionId
  }

  get clientVersion(): string {
    return this.#clientVersion
  }

  /** Key exchange, host key, ciphers and MACs in use. */
  get algorithms(): readonly string[] {
    return this.#negotiated?.names ?? []
  }

  /** Whether what is sent now waits for new keys. */
  get rekeying(): boolean {
    return this.#ownKexinit !== undefined
  }

  /** Bytes received and not yet looked at. */
  get pending(): number {
    return this.#reader.pending
  }

  push(chunk: Uint8Array): void {
    this.#reader.push(chunk)
  }

  /** Ends a turn: the chunks that were pushed are their owner's again. */
  release(): void {
    this.#reader.release()
  }

  /** The next payload that is not the transport's own business, DISCONNECT among them. */
  next(): Uint8Array | undefined {
    if (this.#phase === 'version' && !this.#readVersion()) return undefined
    while (true) {
      const payload = this.#reader.read()
      if (payload === undefined) return undefined
      if (this.#take(payload)) {
        this.#checkTraffic()
        return payload
      }
    }
  }

  send(message: Message): void {
    this.sendPayload(encodeMessage(message))
  }

  /** `body`, where there is one, stands behind `payload` in the same message; it is copied here and nowhere before. */
  sendPayload(payload: Uint8Array, body?: Uint8Array): void {
    if (this.#ownKexinit === undefined) {
      this.#write(payload, body)
      this.#checkTraffic()
      return
    }
    if (body !== undefined) throw new Error('data waits in its channel while keys are exchanged')
    this.#queueBytes += payload.length
    if (this.#queueBytes > QUEUE_BYTES_MAX)
      throw new ProtocolError('the client does not finish a key exchange')
    this.#queue.push(payload)
  }

  /** New keys by our own wish: at a limit in bytes by ourselves, at one in time by whoever has the clock. */
  rekey(): void {
    if (this.#phase === 'open' && this.#ownKexinit === undefined) this.#sendKexinit()
  }

  /** May be sent at any time, in the midst of a key exchange too. */
  disconnect(reason: number, description: string): void {
    this.#write(encodeMessage({ type: 'DISCONNECT', reason, description, language: '' }))
  }

  /** Everything to be written since the last call, in order. */
  output(): readonly Uint8Array[] {
    const pieces = joinShort(this.#out)
    this.#out = []
    return pieces
  }

  /** The client is known, and its wishes for new keys are its own business. */
  trust(): void {
    this.#exchangesLeft = Number.POSITIVE_INFINITY
  }

  get hasOutput(): boolean {
    return this.#out.length > 0
  }

  #write(payload: Uint8Array, body?: Uint8Array): void {
    this.#out.push(...this.#writer.write(payload, body))
  }

  #readVersion(): boolean {
    const line = this.#reader.line(VERSION_LENGTH_MAX)
    if (line === undefined) return false
    const version = String.fromCharCode(...line).replace(/\r?\n$/, '')
    if (!VERSION.test(version))
      throw new ProtocolError(`not a client of SSH 2: ${JSON.stringify(version.slice(0, 40))}`)
    this.#clientVersion = version
    this.#phase = 'kexinit'
    return true
  }

  /** Whether the payload is for the layer above. The one place that says what may come in which phase. */
  #take(payload: Uint8Array): boolean {
    const number = payload[0] ?? 0
    const mayExtInfo = this.#mayExtInfo
    this.#mayExtInfo = false
    switch (number) {
      case NUMBER.DISCONNECT:
        return true
      case NUMBER.IGNORE:
      case NUMBER.UNIMPLEMENTED:
      case NUMBER.DEBUG:
        if (this.#strict && this.#initial) break
        return false
      case NUMBER.KEXINIT:
        if (this.#phase !== 'kexinit' && this.#phase !== 'open') break
        this.#onKexinit(payload)
        return false
      case NUMBER.NEWKEYS:
        if (this.#phase !== 'newkeys') break
        this.#onNewkeys()
        return false
      case NUMBER.EXT_INFO:
        if (!mayExtInfo) break
        decodeAs('EXT_INFO', payload)
        return false
    }
    if (this.#phase === 'exchange' && this.#passOver && number >= 30 && number <= 49) {
      this.#passOver = false
      return false
    }
    if (this.#phase === 'exchange' && number === NUMBER.KEX_ECDH_INIT) {
      this.#onKexInit(payload)
      return false
    }
    const above = number === NUMBER.SERVICE_REQUEST || number >= NUMBER.USERAUTH_REQUEST
    if (this.#phase !== 'open' || !above) {
      throw new ProtocolError(`message ${number} in the phase ${this.#phase} of key exchange`)
    }
    return true
  }

  #sendKexinit(): void {
    const { hostKeys, fill } = this.#options
    const message = ownKexinit(hostKeys, this.#sessionId === undefined, fill)
    const payload = encodeMessage(message)
    this.#write(payload)
    this.#ownKexinit = { message, payload }
  }

  #onKexinit(payload: Uint8Array): void {
    const client = decodeAs('KEXINIT', payload)
    if (this.#ownKexinit === undefined) this.#sendKexinit()
    const own = this.#ownKexinit
    if (own === undefined) throw new Error('our KEXINIT was sent')
    const negotiated = negotiate(client, own.message, this.#options.hostKeys)
    if (this.#sessionId === undefined) {
      this.#strict = negotiated.strict
      if (this.#strict && this.#reader.traffic.packets !== 1) {
        throw new ProtocolError('a packet before KEXINIT under strict key exchange')
      }
    }
    this.#negotiated = negotiated
    this.#clientKexinit = payload
    this.#passOver = negotiated.wrongGuess
    this.#phase = 'exchange'
  }

  /** Our reply, our NEWKEYS, and from here on our new keys: all that waited goes out under them. */
  #onKexInit(payload: Uint8Array): void {
    const negotiated = this.#negotiated
    const own = this.#ownKexinit
    if (negotiated === undefined || own === undefined) throw new Error('both KEXINIT have passed')
    if (--this.#exchangesLeft < 0) throw new ProtocolError('new keys again and again before authentication')
    const { clientKey } = decodeAs('KEX_ECDH_INIT', payload)
    const transcript = {
      clientVersion: this.#clientVersion,
      serverVersion: this.#serverVersion,
      clientKexinit: this.#clientKexinit,
      serverKexinit: own.payload,
    }
    const exchanged = respond(negotiated, transcript, clientKey, this.#options.ephemeralKeys)
    this.#sessionId ??= exchanged.hash
    const keys = deriveKeys(negotiated.method.hash, exchanged, this.#sessionId)
    this.#write(exchanged.reply)
    this.#write(encodeMessage({ type: 'NEWKEYS' }))
    const { toClient, toServer } = negotiated
    this.#writer.use(toClient.suite.sealer(keys.toClient, toClient.mac), this.#strict)
    this.#useClientKeys = () =>
      this.#reader.use(toServer.suite.opener(keys.toServer, toServer.mac), this.#strict)
    this.#phase = 'newkeys'
    if (this.#initial && negotiated.wantsExtInfo) this.#write(extInfo())
    this.#ownKexinit = undefined
    const waiting = this.#queue
    this.#queue = []
    this.#queueBytes = 0
    for (const queued of waiting) this.#write(queued)
  }

  #onNewkeys(): void {
    this.#useClientKeys?.()
    this.#useClientKeys = undefined
    this.#mayExtInfo = this.#initial
    this.#initial = false
    this.#phase = 'open'
  }

  #checkTraffic(): void {
    const limit = this.#options.rekeyBytes ?? REKEY_BYTES
    const { bytes: sent, packets: sentPackets } = this.#writer.traffic
    const { bytes: received, packets: receivedPackets } = this.#reader.traffic
    if (sent > limit || received > limit || sentPackets > REKEY_PACKETS || receivedPackets > REKEY_PACKETS) {
      this.rekey()
    }
  }
}

/** Puts runs of short pieces together; of a long one the copy would cost more than a place of its own in a write. */
function joinShort(pieces: readonly Uint8Array[]): Uint8Array[] {
  const joined: Uint8Array[] = []
  let run: Uint8Array[] = []
  for (const piece of pieces) {
    if (piece.length < JOIN_BELOW) {
      run.push(piece)
      continue
    }
    if (run.length > 0) joined.push(concat(run))
    joined.push(piece)
    run = []
  }
  if (run.length > 0) joined.push(concat(run))
  return joined
}

/** RFC 8308, and OpenSSH's ping, by which its clients hide the rhythm of typing. */
function extInfo(): Uint8Array {
  const extensions: readonly (readonly [string, string])[] = [
    ['server-sig-algs', SIGNATURE_ALGORITHMS.join(',')],
    ['ping@openssh.com', '0'],
  ]
  const fields = new Writer().uint32(extensions.length)
  for (const [name, value] of extensions) {
    text.write(fields, name)
    text.write(fields, value)
  }
  return encodeMessage({ type: 'EXT_INFO', extensions: fields.done() })
}
