/**
 * The binary packet protocol (RFC 4253, section 6), one direction at a time: payloads to bytes, bytes to
 * payloads. Each side counts its packets and bytes, which is what re-keying is decided by.
 */
import { duplicate, ProtocolError, viewOf } from '../bytes.ts'
import { CLEAR_OPENER, CLEAR_SEALER, type Opener, type Sealer } from './protection.ts'

/** RFC 4253, section 6.1 demands this much; nothing of ours or of OpenSSH's is longer. */
export const PACKET_LENGTH_MAX = 35_000
const PADDING_LENGTH_MIN = 4
/** Padding length, one byte of payload, the least padding. */
const PACKET_LENGTH_MIN = 1 + 1 + PADDING_LENGTH_MIN
/** Random bytes are drawn this many at a time: one call for padding per packet was 7 % of the cost. */
const POOL_LENGTH = 8192
/** Under one key a sequence number must not come twice (RFC 4344, section 3.1). */
const PACKETS_PER_KEY_MAX = 2 ** 32 - 1

/**
 * Where packets are put together before they are sealed: one place for all connections, for nothing in it outlives
 * a call. Memory of its own for each packet, and for each step on its way, was collected at more cost than all the
 * ciphers'.
 */
const workbench = new Uint8Array(4 + PACKET_LENGTH_MAX)
/** Of a packet that came in part; freed when nothing is left over. */
const HELD_MIN = 256
const NOTHING = new Uint8Array(0)

export type FillRandom = (bytes: Uint8Array) => void

/** Bytes and packets that went under the present key. */
interface Traffic {
  readonly bytes: number
  readonly packets: number
}

export class PacketWriter {
  readonly #fill: FillRandom
  readonly #pool = new Uint8Array(POOL_LENGTH)
  #poolAt = POOL_LENGTH
  #sealer: Sealer = CLEAR_SEALER
  #sequence = 0
  #bytes = 0
  #packets = 0

  constructor(fill: FillRandom) {
    this.#fill = fill
  }

  get traffic(): Traffic {
    return { bytes: this.#bytes, packets: this.#packets }
  }

  /** From the packet behind NEWKEYS on. Under strict key exchange numbers begin anew. */
  use(sealer: Sealer, restart: boolean): void {
    this.#sealer = sealer
    if (restart) this.#sequence = 0
    this.#bytes = 0
    this.#packets = 0
  }

  /** The pieces to be sent, in order. The payload is `head`, and behind it `body`, which are the caller's again. */
  write(head: Uint8Array, body: Uint8Array = NOTHING): readonly Uint8Array[] {
    if (++this.#packets > PACKETS_PER_KEY_MAX) throw new ProtocolError('too many packets under one key')
    const { blockLength, lengthApart } = this.#sealer
    const length = head.length + body.length
    const unaligned = (lengthApart ? 1 : 5) + length
    let padding = blockLength - (unaligned % blockLength)
    if (padding < PADDING_LENGTH_MIN) padding += blockLength
    const packet = this.#place(5 + length + padding)
    new DataView(packet.buffer).setUint32(0, 1 + length + padding)
    packet[4] = padding
    packet.set(head, 5)
    packet.set(body, 5 + head.length)
    packet.set(this.#random(padding), 5 + length)
    this.#bytes += packet.length
    const sealed = this.#sealer.seal(this.#sequence, packet)
    this.#sequence = (this.#sequence + 1) >>> 0
    return sealed
  }

  /** Ours may be longer than what we take: a list of many host keys. */
  #place(length: number): Uint8Array {
    return length <= workbench.length ? viewOf(workbench, 0, length) : new Uint8Array(length)
  }

  #random(length: number): Uint8Array {
    if (this.#poolAt + length > POOL_LENGTH) {
      this.#fill(this.#pool)
      this.#poolAt = 0
    }
    this.#poolAt += length
    return this.#pool.subarray(this.#poolAt - length, this.#poolAt)
  }
}

export class PacketReader {
  #opener: Opener = CLEAR_OPENER
  #sequence = 0
  #bytes = 0
  #packets = 0
  /** Bytes of earlier chunks, from `heldAt` to `heldEnd`; what of `chunk` is unread comes behind them. */
  #held = NOTHING
  #heldAt = 0
  #heldEnd = 0
  #chunk: Uint8Array = NOTHING
  /** The length of the packet at the head, once it is known. */
  #packetLength: number | undefined

  get traffic(): Traffic {
    return { bytes: this.#bytes, packets: this.#packets }
  }

  /** Bytes that were received and not yet read. */
  get pending(): number {
    return this.#heldEnd - this.#heldAt + this.#chunk.length
  }

  use(opener: Opener, restart: boolean): void {
    this.#opener = opener
    if (restart) this.#sequence = 0
    this.#bytes = 0
    this.#packets = 0
  }

  /** `chunk` must stay as it is until `release`. */
  push(chunk: Uint8Array): void {
    this.release()
    this.#chunk = chunk
  }

  /** Copies what is left, so that the last chunk is its owner's again. */
  release(): void {
    if (this.pending === 0) {
      this.#held = NOTHING
      this.#heldAt = 0
      this.#heldEnd = 0
    } else this.#hold(this.#chunk.length)
    this.#chunk = NOTHING
  }

  /** Up to and with the next LF, for the version exchange; undefined while there is none. */
  line(lengthMax: number): Uint8Array | undefined {
    this.#hold(this.#chunk.length)
    const pending = viewOf(this.#held, this.#heldAt, this.#heldEnd)
    const end = pending.indexOf(10)
    if (end === -1 ? pending.length >= lengthMax : end >= lengthMax) {
      throw new ProtocolError(`a version line above ${lengthMax} bytes`)
    }
    if (end === -1) return undefined
    this.#heldAt += end + 1
    return duplicate(pending, 0, end + 1)
  }

  /** The next payload, in memory of its own; undefined while its packet is not whole. */
  read(): Uint8Array | undefined {
    const { headLength, tagLength } = this.#opener
    if (this.pending < headLength) return undefined
    this.#packetLength ??= this.#checkedLength()
    const whole = 4 + this.#packetLength + tagLength
    if (this.pending < whole) return undefined
    const packet = this.#opener.open(this.#sequence, this.#peek(whole))
    this.#pass(whole)
    this.#packetLength = undefined
    this.#sequence = (this.#sequence + 1) >>> 0
    this.#bytes += whole
    if (++this.#packets > PACKETS_PER_KEY_MAX) throw new ProtocolError('too many packets under one key')
    return payloadOf(packet)
  }

  /** The next `length` bytes, which are there, in one piece: of a chunk only what completes a packet is copied. */
  #peek(length: number): Uint8Array {
    const held = this.#heldEnd - this.#heldAt
    if (held === 0) return viewOf(this.#chunk, 0, length)
    if (held < length) this.#hold(length - held)
    return viewOf(this.#held, this.#heldAt, this.#heldAt + length)
  }

  #pass(length: number): void {
    if (this.#heldEnd > this.#heldAt) this.#heldAt += length
    else this.#chunk = viewOf(this.#chunk, length, this.#chunk.length)
  }

  /** Moves the first `length` bytes of the chunk behind what is held. */
  #hold(length: number): void {
    const kept = viewOf(this.#held, this.#heldAt, this.#heldEnd)
    if (this.#heldEnd + length > this.#held.length) {
      const wanted = kept.length + length
      const room = wanted <= this.#held.length ? this.#held : new Uint8Array(Math.max(wanted, HELD_MIN))
      room.set(kept)
      this.#held = room
      this.#heldAt = 0
      this.#heldEnd = kept.length
    }
    this.#held.set(viewOf(this.#chunk, 0, length), this.#heldEnd)
    this.#heldEnd += length
    this.#chunk = viewOf(this.#chunk, length, this.#chunk.length)
  }

  #checkedLength(): number {
    const { headLength, blockLength, lengthApart } = this.#opener
    const length = this.#opener.packetLength(this.#sequence, this.#peek(headLength))
    const aligned = lengthApart ? length : 4 + length
    if (length < PACKET_LENGTH_MIN || length > PACKET_LENGTH_MAX || aligned % blockLength !== 0) {
      throw new ProtocolError(`a packet of ${length} bytes`)
    }
    return length
  }
}

function payloadOf(packet: Uint8Array): Uint8Array {
  const padding = packet[0] ?? 0
  const length = packet.length - 1 - padding
  if (padding < PADDING_LENGTH_MIN || length < 1)
    throw new ProtocolError(`a packet with ${padding} bytes of padding`)
  return viewOf(packet, 1, 1 + length)
}
