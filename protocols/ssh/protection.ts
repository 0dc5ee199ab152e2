/**
 * What the packets of one direction are protected by: the seam between framing (packets.ts) and the ciphers.
 *
 * A packet in clear is `length (4) || padding length (1) || payload || padding`.
 */
import { duplicate, ProtocolError, sameBytes } from '../bytes.ts'

export interface Sealer {
  /** Padding fills the packet up to a multiple of this. */
  readonly blockLength: number
  /** Whether the length field stands outside what padding aligns. */
  readonly lengthApart: boolean
  /** The pieces to be sent, in order, in memory of their own: `packet` is the caller's, who uses it again. */
  seal(sequence: number, packet: Uint8Array): readonly Uint8Array[]
}

export interface Opener {
  readonly blockLength: number
  readonly lengthApart: boolean
  /** How many bytes tell the packet's length, and how many of a tag stand behind the packet. */
  readonly headLength: number
  readonly tagLength: number
  /** The length field, called once per packet and before `open`. */
  packetLength(sequence: number, head: Uint8Array): number
  /** The packet in clear without its length field, in memory of its own; throws when the tag is wrong. */
  open(sequence: number, sealed: Uint8Array): Uint8Array
}

/** Keys of one direction, taken from the exchange by length (RFC 4253, section 7.2). */
export interface KeySource {
  key(length: number): Uint8Array
  iv(length: number): Uint8Array
  integrity(length: number): Uint8Array
}

export interface Mac {
  readonly hash: string
  readonly length: number
  /** Whether the tag is over the ciphertext, as it should be, and the length stands in clear. */
  readonly encryptThenMac: boolean
}

/** Before the first NEWKEYS. */
export const CLEAR_SEALER: Sealer = {
  blockLength: 8,
  lengthApart: false,
  seal: (_sequence, packet) => [duplicate(packet)],
}

export const CLEAR_OPENER: Opener = {
  blockLength: 8,
  lengthApart: false,
  headLength: 4,
  tagLength: 0,
  packetLength: (_sequence, head) => readLength(head),
  open: (_sequence, sealed) => duplicate(sealed, 4),
}

export function readLength(head: Uint8Array): number {
  return new DataView(head.buffer, head.byteOffset, 4).getUint32(0)
}

export function checkTag(expected: Uint8Array, found: Uint8Array): void {
  if (!sameBytes(expected, found)) throw new ProtocolError('a packet with a wrong tag')
}
