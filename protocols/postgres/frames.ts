/**
 * Messages of protocol 3: one byte of tag, four of length (itself included), the body. This file cuts a stream
 * at them and knows how long each may be; what is in them is known in frontend.ts and backend.ts.
 */
import { concat, duplicate, ProtocolError, Writer } from '../bytes.ts'
import { type Conversation, read } from '../conversation.ts'

export const HEADER_BYTES = 5

const NOTHING = new Uint8Array(0)

/** PostgreSQL's own limits for what a client sends (PQ_SMALL_ and PQ_LARGE_MESSAGE_LIMIT), by tag. */
const SMALL = 10_000
const LARGE = 0x3fffffff - 1

/** Body lengths that a tag allows. A tag that is not listed does not exist in the steady state. */
type Lengths = readonly [min: number, max: number]

export const FRONTEND_LENGTHS: ReadonlyMap<number, Lengths> = new Map(
  Object.entries({
    B: [8, LARGE],
    C: [2, SMALL],
    D: [2, SMALL],
    E: [5, SMALL],
    F: [10, LARGE],
    H: [0, 0],
    P: [4, LARGE],
    Q: [1, LARGE],
    S: [0, 0],
    X: [0, 0],
    c: [0, 0],
    d: [0, LARGE],
    f: [1, SMALL],
  } satisfies Record<string, Lengths>).map(([tag, lengths]) => [tag.charCodeAt(0), lengths]),
)

/** Of what a server says only what must be held in one piece is bounded tightly; the rest streams through. */
const TEXT = 16 << 20
const TAG = 1024

export const BACKEND_LENGTHS: ReadonlyMap<number, Lengths> = new Map(
  Object.entries({
    '1': [0, 0],
    '2': [0, 0],
    '3': [0, 0],
    A: [6, TEXT],
    C: [1, TAG],
    D: [2, LARGE],
    E: [1, TEXT],
    G: [3, 3 + 2 * 65_535],
    H: [3, 3 + 2 * 65_535],
    I: [0, 0],
    N: [1, TEXT],
    S: [2, 65_536],
    T: [2, LARGE],
    V: [4, LARGE],
    W: [3, 3 + 2 * 65_535],
    Z: [1, 1],
    c: [0, 0],
    d: [0, LARGE],
    n: [0, 0],
    s: [0, 0],
    t: [2, 2 + 4 * 65_535],
  } satisfies Record<string, Lengths>).map(([tag, lengths]) => [tag.charCodeAt(0), lengths]),
)

/** A message with a body that `write` fills. */
export function message(tag: string, write: (body: Writer) => unknown = () => undefined): Uint8Array {
  const writer = new Writer(64).uint8(tag.charCodeAt(0)).uint32(0)
  write(writer)
  return writer.patchUint32(1, writer.length - 1).done()
}

export interface Message {
  readonly tag: string
  readonly body: Uint8Array
}

/** Reads one message of a handshake. */
export function* readMessage(bodyMax: number): Conversation<Message> {
  const header = yield* read(HEADER_BYTES)
  const tag = String.fromCharCode(header[0] ?? 0)
  const length = lengthAt(header, 1) - 4
  if (length < 0 || length > bodyMax) {
    throw new ProtocolError(
      `a message ${JSON.stringify(tag)} of ${length} bytes where ${bodyMax} are the most`,
    )
  }
  return { tag, body: length === 0 ? NOTHING : yield* read(length) }
}

/** Four bytes, big-endian, unsigned; past the end they count as zeros, so callers check what is there first. */
export function lengthAt(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0)) >>>
    0
  )
}

/** How a message is to be cut: told when it is whole, or piece by piece as it comes. */
export type Manner = 'whole' | 'stream'

const HELD_BYTES_MIN = 256

/**
 * Cuts a stream of chunks at its messages. What lies whole in a chunk is told as a view of it; only a message
 * that the network cut is copied, into memory that grows with what came and not with what was announced.
 *
 * Used as: feed(chunk), then next() until it says 'none'. Whoever stops before that calls keep(), since the
 * chunk goes back to its owner. The fields describe what the last next() found.
 */
export class Cutter {
  tag = 0
  /** Of the body, as the message's header says it. */
  length = 0
  /** What was found lies at bytes[start..end): a whole message with its header, or the next piece of one. */
  bytes: Uint8Array = NOTHING
  start = 0
  end = 0
  first = false
  last = false

  readonly #manner: (tag: number, length: number) => Manner
  #chunk: Uint8Array = NOTHING
  /** The chunk is a copy of ours, so that nobody overwrites it. */
  #owned = false
  #at = 0
  #held: Uint8Array = NOTHING
  #heldLength = 0
  /** Bytes still to come of the message that is being told in pieces. */
  #left = 0

  /** `manner` throws a ProtocolError for what must not be cut at all. */
  constructor(manner: (tag: number, length: number) => Manner) {
    this.#manner = manner
  }

  /** Whether nothing of a message is waiting for its rest. */
  get empty(): boolean {
    return this.#left === 0 && this.#heldLength === 0 && this.#at === this.#chunk.length
  }

  feed(chunk: Uint8Array): void {
    this.#owned = this.#at < this.#chunk.length
    this.#chunk = this.#owned ? concat([this.#chunk.subarray(this.#at), chunk]) : chunk
    this.#at = 0
  }

  /** Copies what was not read yet. */
  keep(): void {
    if (this.#owned) return
    this.#chunk = duplicate(this.#chunk, this.#at)
    this.#owned = true
    this.#at = 0
  }

  next(): 'message' | 'piece' | 'none' {
    const available = this.#chunk.length - this.#at
    if (available === 0) {
      this.#chunk = NOTHING
      this.#at = 0
      return 'none'
    }
    if (this.#left > 0) return this.#piece(Math.min(available, this.#left))
    if (this.#heldLength > 0) return this.#goOn()
    if (available < HEADER_BYTES) return this.#hold(available)
    const manner = this.#begin(this.#chunk, this.#at)
    const total = HEADER_BYTES + this.length
    if (manner === 'stream') {
      this.#left = total
      this.first = true
      return this.#piece(Math.min(available, total))
    }
    if (available < total) return this.#hold(available)
    return this.#tell(this.#chunk, this.#at, total)
  }

  #begin(bytes: Uint8Array, at: number): Manner {
    this.tag = bytes[at] ?? 0
    this.length = lengthAt(bytes, at + 1) - 4
    return this.#manner(this.tag, this.length)
  }

  #tell(bytes: Uint8Array, start: number, total: number): 'message' {
    this.bytes = bytes
    this.start = start
    this.end = start + total
    if (bytes === this.#chunk) this.#at += total
    return 'message'
  }

  #piece(length: number): 'piece' {
    this.first = this.#left === HEADER_BYTES + this.length
    this.bytes = this.#chunk
    this.start = this.#at
    this.end = this.#at + length
    this.#at += length
    this.#left -= length
    this.last = this.#left === 0
    return 'piece'
  }

  /** A message that an earlier chunk began and did not end. */
  #goOn(): 'message' | 'piece' | 'none' {
    const headerMissing = HEADER_BYTES - this.#heldLength
    if (headerMissing > 0) {
      const available = this.#chunk.length - this.#at
      if (available < headerMissing) return this.#hold(available)
      this.#copy(headerMissing)
      const manner = this.#begin(this.#held, 0)
      if (manner === 'stream') return this.#heldHeader()
    }
    const missing = HEADER_BYTES + this.length - this.#heldLength
    this.#copy(Math.min(missing, this.#chunk.length - this.#at))
    if (this.#heldLength < HEADER_BYTES + this.length) return this.next()
    const held = this.#release()
    return this.#tell(held, 0, held.length)
  }

  /** The header of a streamed message came in two: it is told as a piece of its own. */
  #heldHeader(): 'piece' {
    this.bytes = this.#release()
    this.start = 0
    this.end = HEADER_BYTES
    this.#left = this.length
    this.first = true
    this.last = this.length === 0
    return 'piece'
  }

  #hold(length: number): 'none' {
    this.#copy(length)
    return 'none'
  }

  #copy(length: number): void {
    const needed = this.#heldLength + length
    if (needed > this.#held.length) {
      // Twice as much each time, but never more than the message: a long one is copied seldom and held once.
      const whole = this.#heldLength >= HEADER_BYTES ? HEADER_BYTES + this.length : HELD_BYTES_MIN
      const grown = new Uint8Array(Math.max(needed, Math.min(whole, this.#held.length * 2 + HELD_BYTES_MIN)))
      grown.set(this.#held.subarray(0, this.#heldLength))
      this.#held = grown
    }
    this.#held.set(this.#chunk.subarray(this.#at, this.#at + length), this.#heldLength)
    this.#heldLength = needed
    this.#at += length
  }

  #release(): Uint8Array {
    const held = this.#held.subarray(0, this.#heldLength)
    this.#held = NOTHING
    this.#heldLength = 0
    return held
  }
}
