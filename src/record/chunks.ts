/**
 * Streams (terminal, COPY, files) become chunks: lists of timed frames, each chunk one payload. FORMAT.md, section
 * on streams, has the bytes.
 */
import type { FrameKind } from '../book/frames.ts'

export { decodeFrames, type FrameKind } from '../book/frames.ts'

/** A chunk of a terminal ends before its body would pass this; other streams' bodies may be larger. */
export const TERMINAL_CHUNK_MAX = 64 << 10
export const CHUNK_MAX = 1 << 20
/** A chunk waits this long for more, counted from its first frame. */
export const CHUNK_AGE_US = 1_000_000
/** LEB128 of a delay and of a length, and the kind. */
const FRAME_HEADER_MAX = 8 + 1 + 5

export interface Chunk {
  readonly body: Uint8Array
  /** Raw bytes of the stream before this chunk, and in it: frames of kinds o, e and i. */
  readonly offset: number
  readonly bytes: number
  readonly startedAt: number
}

function putLeb128(into: Buffer, at: number, value: number): number {
  let rest = value
  let place = at
  while (rest >= 0x80) {
    into[place++] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  into[place++] = rest
  return place
}

/** One stream of one operation. */
export class Chunker {
  readonly #max: number
  #body: Buffer
  #length = 0
  #offset = 0
  #bytes = 0
  #startedAt = 0
  #lastAt = 0

  constructor(max: number) {
    this.#max = max
    this.#body = Buffer.allocUnsafe(Math.min(max, 16 << 10))
  }

  /** Bytes of the chunk that is being filled. */
  get length(): number {
    return this.#length
  }

  get isEmpty(): boolean {
    return this.#length === 0
  }

  /** Time of the first frame of the chunk that is being filled. */
  get startedAt(): number {
    return this.#startedAt
  }

  /** Adds a frame at `now`; each chunk that becomes full meanwhile goes to `full`. */
  add(kind: FrameKind, bytes: Uint8Array, now: number, full: (chunk: Chunk) => void): void {
    let rest = bytes
    do {
      if (this.#length + FRAME_HEADER_MAX + Math.min(rest.length, 1024) > this.#max) full(this.cut())
      const piece = rest.subarray(0, this.#max - this.#length - FRAME_HEADER_MAX)
      this.#put(kind, piece, now)
      rest = rest.subarray(piece.length)
    } while (rest.length > 0)
  }

  /** The chunk as it stands; the next frame begins a new one. */
  cut(): Chunk {
    const body = this.#give()
    const chunk = { body, offset: this.#offset, bytes: this.#bytes, startedAt: this.#startedAt }
    this.#offset += this.#bytes
    this.#bytes = 0
    this.#length = 0
    return chunk
  }

  /** A large body goes as it lies, and the next one, which will be as large, gets memory of its own at once. */
  #give(): Buffer {
    const body = this.#body.subarray(0, this.#length)
    if (body.length < this.#max / 2) return Buffer.from(body)
    this.#body = Buffer.allocUnsafe(this.#body.length)
    return body
  }

  #put(kind: FrameKind, bytes: Uint8Array, now: number): void {
    if (this.#length === 0) {
      this.#startedAt = now
      this.#lastAt = now
    }
    const wanted = this.#length + FRAME_HEADER_MAX + bytes.length
    if (wanted > this.#body.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#max, Math.max(wanted, this.#body.length * 2)))
      this.#body.copy(grown, 0, 0, this.#length)
      this.#body = grown
    }
    // A clock that was set back must not make a delay negative.
    const delay = Math.max(0, now - this.#lastAt)
    let at = putLeb128(this.#body, this.#length, delay)
    this.#body[at++] = kind.charCodeAt(0)
    at = putLeb128(this.#body, at, bytes.length)
    this.#body.set(bytes, at)
    this.#length = at + bytes.length
    this.#lastAt = Math.max(this.#lastAt, now)
    if (kind === 'o' || kind === 'e' || kind === 'i') this.#bytes += bytes.length
  }
}
