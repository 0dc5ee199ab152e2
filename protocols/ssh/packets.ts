/**
 * The binary packet protocol (RFC 4253, section 6), one direction at a time: payloads to bytes, bytes to
 * payloads. Each side counts its packets and bytes, which is what re-keying is decided by.
 */
import { concat, ProtocolError } from '../bytes.ts'
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

  /** The pieces to be sent, in order. */
  write(payload: Uint8Array): readonly Uint8Array[] {
    if (++this.#packets > PACKETS_PER_KEY_MAX) throw new ProtocolError('too many packets under one key')
    const { blockLength, lengthApart } = this.#sealer
    const unaligned = (lengthApart ? 1 : 5) + payload.length
    let padding = blockLength - (unaligned % blockLength)
    if (padding < PADDING_LENGTH_MIN) padding += blockLength
    const packet = new Uint8Array(5 + payload.length + padding)
    new DataView(packet.buffer).setUint32(0, 1 + payload.length + padding)
    packet[4] = padding
    packet.set(payload, 5)
    packet.set(this.#random(padding), 5 + payload.length)
    this.#bytes += packet.length
    const sealed = this.#sealer.seal(this.#sequence, packet)
    this.#sequence = (this.#sequence + 1) >>> 0
    return sealed
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
  #pending: Uint8Array = new Uint8Array(0)
  /** The length of the packet at the head of `pending`, once it is known. */
  #packetLength: number | undefined

  get traffic(): Traffic {
    return { bytes: this.#bytes, packets: this.#packets }
  }

  /** Bytes that were received and not yet read. */
  get pending(): number {
    return this.#pending.length
  }

  use(opener: Opener, restart: boolean): void {
    this.#opener = opener
    if (restart) this.#sequence = 0
    this.#bytes = 0
    this.#packets = 0
  }

  push(chunk: Uint8Array): void {
    this.#pending = this.#pending.length === 0 ? chunk : concat([this.#pending, chunk])
  }

  /** Copies what is left, so that the last chunk is its owner's again (`slice` of a Buffer would not copy). */
  release(): void {
    this.#pending = new Uint8Array(this.#pending)
  }

  /** Up to and with the next LF, for the version exchange; undefined while there is none. */
  line(lengthMax: number): Uint8Array | undefined {
    const end = this.#pending.indexOf(10)
    if (end === -1 ? this.#pending.length >= lengthMax : end >= lengthMax) {
      throw new ProtocolError(`a version line above ${lengthMax} bytes`)
    }
    if (end === -1) return undefined
    const line = new Uint8Array(this.#pending.subarray(0, end + 1))
    this.#pending = this.#pending.subarray(end + 1)
    return line
  }

  /** The next payload, in memory of its own; undefined while its packet is not whole. */
  read(): Uint8Array | undefined {
    const { headLength, tagLength } = this.#opener
    if (this.#pending.length < headLength) return undefined
    this.#packetLength ??= this.#checkedLength()
    const whole = 4 + this.#packetLength + tagLength
    if (this.#pending.length < whole) return undefined
    const packet = this.#opener.open(this.#sequence, this.#pending.subarray(0, whole))
    this.#pending = this.#pending.subarray(whole)
    this.#packetLength = undefined
    this.#sequence = (this.#sequence + 1) >>> 0
    this.#bytes += whole
    if (++this.#packets > PACKETS_PER_KEY_MAX) throw new ProtocolError('too many packets under one key')
    return payloadOf(packet)
  }

  #checkedLength(): number {
    const { headLength, blockLength, lengthApart } = this.#opener
    const length = this.#opener.packetLength(this.#sequence, this.#pending.subarray(0, headLength))
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
  return packet.subarray(1, 1 + length)
}
