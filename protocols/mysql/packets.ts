/**
 * MySQL's framing: three bytes of length (little-endian), one of sequence id, the payload. A payload of
 * 16,777,215 bytes goes on in the next packet; an exact multiple ends with an empty one. The sequence id counts
 * every packet of an exchange, both ways, and wraps behind 255; a wrong one ends the connection.
 */
import { duplicate, ProtocolError, type Reader, Writer } from '../bytes.ts'
import { type Conversation, read, send } from '../conversation.ts'

/** The largest payload of one packet; a longer message is split. */
export const PAYLOAD_MAX = 0xffffff

const HEADER = 4
const NOTHING = new Uint8Array(0)

/** Frames a payload, split where it must be; `sequence` is the id of the first packet. */
export function encodePacket(sequence: number, payload: Uint8Array): Uint8Array {
  const packets = Math.floor(payload.length / PAYLOAD_MAX) + 1
  const framed = new Uint8Array(payload.length + packets * HEADER)
  for (let i = 0; i < packets; i++) {
    const part = payload.subarray(i * PAYLOAD_MAX, (i + 1) * PAYLOAD_MAX)
    const at = i * (PAYLOAD_MAX + HEADER)
    framed[at] = part.length & 0xff
    framed[at + 1] = (part.length >>> 8) & 0xff
    framed[at + 2] = part.length >>> 16
    framed[at + 3] = (sequence + i) & 0xff
    framed.set(part, at + HEADER)
  }
  return framed
}

/** A length-encoded integer. 0xfb (NULL) and 0xff are for the caller to have ruled out: here they are faults. */
export function lenenc(r: Reader): number {
  const first = r.uint8()
  if (first < 0xfb) return first
  if (first === 0xfc) return r.uint16LE()
  if (first === 0xfd) return r.uint24LE()
  if (first !== 0xfe) throw new ProtocolError(`a length that begins with 0x${first.toString(16)}`)
  const value = r.uint64LE()
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ProtocolError(`a length of ${value}`)
  return Number(value)
}

/** The same for a value that is no length and may use all 64 bits, such as an insert id. */
export function lenencValue(r: Reader): bigint {
  const first = r.uint8()
  if (first < 0xfb) return BigInt(first)
  if (first === 0xfc) return BigInt(r.uint16LE())
  if (first === 0xfd) return BigInt(r.uint24LE())
  if (first !== 0xfe) throw new ProtocolError(`an integer that begins with 0x${first.toString(16)}`)
  return r.uint64LE()
}

/** A string behind its length; the length is checked against the bytes that are there. */
export function lenencBytes(r: Reader): Uint8Array {
  return r.bytes(lenenc(r))
}

export function writeLenenc(w: Writer, value: number): Writer {
  if (value < 0xfb) return w.uint8(value)
  if (value <= 0xffff) return w.uint8(0xfc).uint16LE(value)
  if (value <= 0xffffff) return w.uint8(0xfd).uint24LE(value)
  return w.uint8(0xfe).uint64LE(BigInt(value))
}

/** The packets of a handshake, both ways, under one running sequence id. */
export class Wire {
  #sequence: number

  constructor(sequence: number) {
    this.#sequence = sequence & 0xff
  }

  /** The sequence id of the next packet, whoever sends it. */
  get sequence(): number {
    return this.#sequence
  }

  *read(payloadMax: number): Conversation<Uint8Array> {
    const header = yield* read(HEADER)
    const [a = 0, b = 0, c = 0, sequence = 0] = header
    const length = a | (b << 8) | (c << 16)
    if (sequence !== this.#sequence) {
      throw new ProtocolError(`handshake packet ${sequence} where ${this.#sequence} was due`)
    }
    if (length > payloadMax) throw new ProtocolError(`a handshake packet of ${length} bytes`)
    this.#sequence = (sequence + 1) & 0xff
    return length === 0 ? NOTHING : yield* read(length)
  }

  *send(payload: Uint8Array): Conversation<void> {
    yield* send(this.frame(payload))
  }

  /** Frames without sending: for what must leave together with something else. */
  frame(payload: Uint8Array): Uint8Array {
    const framed = encodePacket(this.#sequence, payload)
    this.#sequence = (this.#sequence + 1) & 0xff
    return framed
  }
}

/**
 * Walks the packets of one direction. A packet is either taken (gathered whole, under a limit) or passed (its
 * bytes handed on as views of the chunk, however long it is). Usage: `feed`, then while `peek` tells of a next
 * packet, `take` or `pass` it until that is done; what was passed is fetched with `passed`.
 */
export class Packets {
  /** The sequence id that the next packet must carry; -1 where nothing was asked, and any will do. */
  next = 0
  #chunk: Uint8Array = NOTHING
  #at = 0
  /** A header, and the byte behind it, that chunks cut in two. */
  readonly #carry = new Uint8Array(HEADER + 1)
  #carried = 0
  #peeked = false
  #started = false
  #length = 0
  #first = -1
  #sequence = 0
  /** Of the packet under way: payload bytes still to come in this part, and whether another part follows. */
  #left = 0
  #split = false
  #size = 0
  #gathered: Writer | undefined
  #rawFrom = -1
  readonly #pieces: Uint8Array[] = []
  #runFrom = -1

  /** Everything fed before must have been used up. The chunk is only looked at until the next `feed`. */
  feed(chunk: Uint8Array): void {
    if (this.#at !== this.#chunk.length) throw new Error('a chunk was fed before the last was used up')
    this.#chunk = chunk
    this.#at = 0
    this.#rawFrom = -1
  }

  /** Copies what was not used and lets go of the chunk. */
  rest(): Uint8Array {
    const rest = duplicate(this.#chunk, this.#at)
    this.#chunk = NOTHING
    this.#at = 0
    return rest
  }

  /** The length that the header of the packet peeked at tells: of its first part, where it is split. */
  get length(): number {
    return this.#length
  }

  /** The first byte of its payload, or -1 where it is empty. */
  get first(): number {
    return this.#first
  }

  /** The sequence id of its first part. */
  get sequence(): number {
    return this.#sequence
  }

  /** Payload bytes of the packet so far, over its parts; after its end, of the whole. */
  get size(): number {
    return this.#size
  }

  /** Whether a part of a packet was taken or passed, and its end has not come. */
  get begun(): boolean {
    return this.#started
  }

  /** Whether no byte of a packet has come whose end has not. */
  get between(): boolean {
    return !this.#started && this.#carried === 0
  }

  /** Looks at the header and first byte of the next packet, or of the one under way. */
  peek(): boolean {
    if (this.#peeked) return true
    const have = this.#chunk.length - this.#at
    if (this.#carried === 0 && have > HEADER) {
      this.#readHeader(this.#chunk, this.#at)
      this.#first = this.#length === 0 ? -1 : (this.#chunk[this.#at + HEADER] ?? -1)
    } else {
      this.#closeRun()
      if (!this.#fillCarry(HEADER)) return false
      this.#readHeader(this.#carry, 0)
      if (this.#length > 0 && !this.#fillCarry(HEADER + 1)) return false
      this.#first = this.#length === 0 ? -1 : (this.#carry[HEADER] ?? -1)
    }
    if (this.next === -1) this.next = this.#sequence
    if (this.#sequence !== this.next) {
      throw new ProtocolError(`packet ${this.#sequence} where ${this.next} was due`)
    }
    this.#peeked = true
    return true
  }

  /** The payload once all of it is there; `over` as soon as its headers tell more than `max`: then skip it. */
  take(max: number): Uint8Array | 'partial' | 'over' {
    if (!this.#started) {
      this.#closeRun()
      if (this.#carried === 0 && this.#fitsChunk()) return this.#takeView(max)
      this.#start(false)
      this.#gathered = new Writer(Math.min(this.#length, 4096) + 1)
      if (this.#carried > HEADER) this.#gathered.bytes(this.#carry.subarray(HEADER, this.#carried))
      this.#carried = 0
    }
    const gathered = this.#gathered
    if (gathered === undefined) throw new Error('a packet was passed and then taken')
    while (true) {
      // The header's word is enough to refuse: nothing is gathered for a length that will not be accepted.
      if (gathered.length + this.#left > max) return 'over'
      const part = this.#advance()
      gathered.bytes(part)
      if (this.#left > 0) return 'partial'
      if (!this.#split) break
      if (!this.#continuation()) return 'partial'
      this.#carried = 0
    }
    this.#finish()
    this.#gathered = undefined
    return gathered.done()
  }

  /** Reads a packet that is over the limit to its end, giving away its payload piece by piece; true at the end. */
  skip(payload: (bytes: Uint8Array) => void): boolean {
    if (this.#gathered !== undefined) payload(this.#gathered.done())
    this.#gathered = undefined
    while (true) {
      payload(this.#advance())
      if (this.#left > 0) return false
      if (!this.#split) break
      if (!this.#continuation()) return false
      this.#carried = 0
    }
    this.#finish()
    return true
  }

  /** What was taken last as it stood on the wire. */
  raw(payload: Uint8Array): Uint8Array {
    if (this.#rawFrom >= 0) return this.#chunk.subarray(this.#rawFrom, this.#at)
    return encodePacket(this.#sequence, payload)
  }

  /** Moves over what is there of the packet; true when its end was reached. `passed` has the bytes. */
  pass(): boolean {
    if (!this.#started) {
      if (this.#runFrom < 0) this.#runFrom = this.#at
      this.#start(true)
    }
    while (true) {
      if (this.#runFrom < 0 && this.#carried === 0) this.#runFrom = this.#at
      this.#advance()
      if (this.#left > 0) return false
      if (!this.#split) break
      if (!this.#continuation()) return false
      this.#releaseCarry()
    }
    this.#finish()
    return true
  }

  /** What was passed since the last call, in order: views of the chunk, so to be used before the next `feed`. */
  passed(): readonly Uint8Array[] {
    this.#closeRun()
    return this.#pieces.splice(0)
  }

  #fitsChunk(): boolean {
    return this.#length < PAYLOAD_MAX && this.#chunk.length - this.#at >= HEADER + this.#length
  }

  #takeView(max: number): Uint8Array | 'over' {
    if (this.#length > max) {
      this.#start(false)
      return 'over'
    }
    this.#rawFrom = this.#at
    this.#at += HEADER + this.#length
    this.#size = this.#length
    this.next = (this.next + 1) & 0xff
    this.#peeked = false
    return this.#chunk.subarray(this.#rawFrom + HEADER, this.#at)
  }

  #start(passing: boolean): void {
    this.#started = true
    this.#rawFrom = -1
    this.#size = this.#length
    this.#split = this.#length === PAYLOAD_MAX
    this.#left = this.#length
    this.next = (this.next + 1) & 0xff
    if (this.#carried === 0) this.#at += HEADER
    else {
      this.#left -= this.#carried - HEADER
      if (passing) this.#releaseCarry()
    }
  }

  #finish(): void {
    this.#started = false
    this.#peeked = false
  }

  /** Steps over the payload bytes of this part that the chunk holds. */
  #advance(): Uint8Array {
    const from = this.#at
    this.#at = Math.min(this.#chunk.length, from + this.#left)
    this.#left -= this.#at - from
    return this.#chunk.subarray(from, this.#at)
  }

  /** Reads the header of the next part of a split packet; false while it is not all there. */
  #continuation(): boolean {
    if (this.#carried === 0 && this.#chunk.length - this.#at >= HEADER) {
      this.#readPart(this.#chunk, this.#at)
      this.#at += HEADER
      return true
    }
    this.#closeRun()
    if (!this.#fillCarry(HEADER)) return false
    this.#readPart(this.#carry, 0)
    return true
  }

  #readPart(bytes: Uint8Array, at: number): void {
    const length = lengthAt(bytes, at)
    const sequence = bytes[at + 3] ?? 0
    if (sequence !== this.next) throw new ProtocolError(`part ${sequence} where ${this.next} was due`)
    this.next = (this.next + 1) & 0xff
    this.#left = length
    this.#size += length
    this.#split = length === PAYLOAD_MAX
  }

  #readHeader(bytes: Uint8Array, at: number): void {
    this.#length = lengthAt(bytes, at)
    this.#sequence = bytes[at + 3] ?? 0
  }

  #fillCarry(wanted: number): boolean {
    const missing = wanted - this.#carried
    if (missing <= 0) return true
    const part = this.#chunk.subarray(this.#at, this.#at + missing)
    this.#carry.set(part, this.#carried)
    this.#carried += part.length
    this.#at += part.length
    return this.#carried >= wanted
  }

  #releaseCarry(): void {
    if (this.#carried === 0) return
    this.#pieces.push(duplicate(this.#carry, 0, this.#carried))
    this.#carried = 0
    this.#runFrom = this.#at
  }

  #closeRun(): void {
    if (this.#runFrom >= 0 && this.#at > this.#runFrom) {
      this.#pieces.push(this.#chunk.subarray(this.#runFrom, this.#at))
    }
    this.#runFrom = -1
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16)
}
