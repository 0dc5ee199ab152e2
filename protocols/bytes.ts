/**
 * Reading and writing bytes that a peer wrote. Every read checks its bounds, so a lying length ends in a
 * ProtocolError and never beyond the message it stands in.
 */

/** A peer broke its protocol. Ends that peer's connection, never the process. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const utf8Lossy = new TextDecoder('utf-8', { ignoreBOM: true })
const encoder = new TextEncoder()

/** UTF-8 that must be valid: names and settings that decide something. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw new ProtocolError('text is not valid UTF-8', { cause })
  }
}

/** UTF-8 for the eye only: invalid bytes become U+FFFD. Never use the result to decide or to forward. */
export function decodeLossy(bytes: Uint8Array): string {
  return utf8Lossy.decode(bytes)
}

const latin1 = new TextDecoder('latin1')
/** Searched in one go. */
const SEARCHED_BYTES = 64 << 10
const MATCH_BYTES_MAX = 128

/**
 * Looks for what is ASCII and of at most MATCH_BYTES_MAX bytes. A long text is searched in pieces, so that it need not
 * be a string as well, whose memory is as long and is given back much later.
 */
export function find(bytes: Uint8Array, pattern: RegExp): RegExpExecArray | null {
  for (let at = 0; ; at += SEARCHED_BYTES - MATCH_BYTES_MAX) {
    const isLast = at + SEARCHED_BYTES >= bytes.length
    const piece = at === 0 && isLast ? bytes : bytes.subarray(at, at + SEARCHED_BYTES)
    const found = pattern.exec(latin1.decode(piece))
    if (found !== null || isLast) return found
  }
}

/** Above this the system's encoder is faster than a loop. */
const SHORT_TEXT = 64

export function encodeText(text: string): Uint8Array {
  return text.length > SHORT_TEXT ? encoder.encode(text) : encodeShort(text)
}

function encodeShort(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x80) return encoder.encode(text)
    bytes[i] = code
  }
  return bytes
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts
  if (only !== undefined && parts.length === 1) return only
  let length = 0
  for (const part of parts) length += part.length
  const whole = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Compares without telling by its time where two secrets differ; lengths are not secret. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0)
  return difference === 0
}

const NOTHING = new Uint8Array(0)

/** A view without the detour that a view of a Node buffer takes. */
export function viewOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return start === end ? NOTHING : new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)
}

/** A copy of bytes[start..end). `slice` would do, were it not another view where the bytes are a Node buffer. */
export function duplicate(bytes: Uint8Array, start = 0, end = bytes.length): Uint8Array {
  return new Uint8Array(viewOf(bytes, start, end))
}

/** Reads one message from its first byte to its last. Multi-byte integers are big-endian unless named `LE`. */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #start: number
  readonly #end: number
  #at: number

  /** The message lies at bytes[start..end). */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#start = start
    this.#end = end
    this.#at = start
  }

  get left(): number {
    return this.#end - this.#at
  }

  get at(): number {
    return this.#at - this.#start
  }

  /** Demands that nothing is left: bytes behind a message's end are where two parsers disagree. */
  end(): void {
    if (this.left !== 0) throw new ProtocolError(`${this.left} bytes behind the end of a message`)
  }

  uint8(): number {
    return this.#byte(this.#take(1))
  }

  uint16(): number {
    const at = this.#take(2)
    return (this.#byte(at) << 8) | this.#byte(at + 1)
  }

  uint16LE(): number {
    const at = this.#take(2)
    return this.#byte(at) | (this.#byte(at + 1) << 8)
  }

  uint24LE(): number {
    const at = this.#take(3)
    return this.#byte(at) | (this.#byte(at + 1) << 8) | (this.#byte(at + 2) << 16)
  }

  int16(): number {
    return (this.uint16() << 16) >> 16
  }

  uint32(): number {
    return this.int32() >>> 0
  }

  uint32LE(): number {
    const at = this.#take(4)
    const low = this.#byte(at) | (this.#byte(at + 1) << 8) | (this.#byte(at + 2) << 16)
    return (low | (this.#byte(at + 3) << 24)) >>> 0
  }

  int32(): number {
    const at = this.#take(4)
    const high = (this.#byte(at) << 24) | (this.#byte(at + 1) << 16)
    return high | (this.#byte(at + 2) << 8) | this.#byte(at + 3)
  }

  uint64(): bigint {
    return this.#view(8).getBigUint64(0)
  }

  uint64LE(): bigint {
    return this.#view(8).getBigUint64(0, true)
  }

  /** A view, not a copy: whoever keeps it beyond the message copies it. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length)
    return viewOf(this.#bytes, at, at + length)
  }

  rest(): Uint8Array {
    return this.bytes(this.left)
  }

  /** The bytes up to a NUL, which is consumed and not returned. */
  cbytes(): Uint8Array {
    const start = this.#at
    const end = this.#bytes.indexOf(0, start)
    if (end === -1 || end >= this.#end) throw new ProtocolError('a string without its NUL')
    this.#at = end + 1
    return viewOf(this.#bytes, start, end)
  }

  cstring(): string {
    return decodeText(this.cbytes())
  }

  #byte(at: number): number {
    return this.#bytes[at] ?? 0
  }

  #view(length: number): DataView {
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#take(length), length)
  }

  #take(length: number): number {
    if (length < 0 || length > this.left) {
      throw new ProtocolError(`${length} bytes wanted where ${this.left} are left`)
    }
    const at = this.#at
    this.#at += length
    return at
  }
}

/** Builds a message; grows as needed. Its user bounds what it writes. */
export class Writer {
  #bytes: Uint8Array
  #view: DataView
  #at = 0

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  get length(): number {
    return this.#at
  }

  uint8(value: number): this {
    const at = this.#room(1)
    this.#view.setUint8(at, value)
    return this
  }

  uint16(value: number): this {
    const at = this.#room(2)
    this.#view.setUint16(at, value)
    return this
  }

  uint16LE(value: number): this {
    const at = this.#room(2)
    this.#view.setUint16(at, value, true)
    return this
  }

  uint24LE(value: number): this {
    const at = this.#room(3)
    this.#view.setUint16(at, value & 0xffff, true)
    this.#view.setUint8(at + 2, value >>> 16)
    return this
  }

  uint32(value: number): this {
    const at = this.#room(4)
    this.#view.setUint32(at, value)
    return this
  }

  uint32LE(value: number): this {
    const at = this.#room(4)
    this.#view.setUint32(at, value, true)
    return this
  }

  int32(value: number): this {
    const at = this.#room(4)
    this.#view.setInt32(at, value)
    return this
  }

  uint64(value: bigint): this {
    const at = this.#room(8)
    this.#view.setBigUint64(at, value)
    return this
  }

  uint64LE(value: bigint): this {
    const at = this.#room(8)
    this.#view.setBigUint64(at, value, true)
    return this
  }

  bytes(value: Uint8Array): this {
    const at = this.#room(value.length)
    this.#bytes.set(value, at)
    return this
  }

  text(value: string): this {
    return this.bytes(encodeText(value))
  }

  cstring(value: string): this {
    return this.text(value).uint8(0)
  }

  /** Overwrites four bytes at `at`: a length that is known only at the end. */
  patchUint32(at: number, value: number): this {
    this.#view.setUint32(at, value)
    return this
  }

  /** What was written, as a view of this writer's memory; the writer is not used afterwards. */
  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  /** May replace the memory: callers take the place first and then look at `#view`. */
  #room(length: number): number {
    const at = this.#at
    this.#at += length
    if (this.#at > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at))
      grown.set(this.#bytes)
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    return at
  }
}
