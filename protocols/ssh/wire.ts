/**
 * The data types of SSH (RFC 4251, section 5), each as a field that reads and writes itself, so that a message
 * is a list of fields and is the same in both directions.
 */
import { decodeText, encodeText, ProtocolError, Reader, Writer } from '../bytes.ts'

export interface Field<T> {
  read(from: Reader): T
  write(to: Writer, value: T): void
}

/** A message or a part of one: its fields in their order. */
export type Form = Readonly<Record<string, Field<unknown>>>

export type Value<F extends Form> = {
  readonly [Name in keyof F]: F[Name] extends Field<infer T> ? T : never
}

/** RFC 4251, section 6: a name is at most 64 printable characters. */
const NAME_LENGTH_MAX = 64
const NAME = /^[\x21-\x2b\x2d-\x7e]+$/

export const uint8: Field<number> = {
  read: (from) => from.uint8(),
  write: (to, value) => void to.uint8(value),
}

export const uint32: Field<number> = {
  read: (from) => from.uint32(),
  write: (to, value) => void to.uint32(value),
}

export const uint64: Field<bigint> = {
  read: (from) => from.uint64(),
  write: (to, value) => void to.uint64(value),
}

export const boolean: Field<boolean> = {
  read: (from) => from.uint8() !== 0,
  write: (to, value) => void to.uint8(value ? 1 : 0),
}

/** A string whose bytes are kept as they are. */
export const string: Field<Uint8Array> = {
  read: (from) => from.bytes(from.uint32()),
  write: (to, value) => void to.uint32(value.length).bytes(value),
}

/** A string that must be UTF-8: names and addresses, which decide something. */
export const text: Field<string> = {
  read: (from) => decodeText(string.read(from)),
  write: (to, value) => string.write(to, encodeText(value)),
}

/** Names between commas, each as RFC 4251, section 6 allows it. */
export const names: Field<readonly string[]> = {
  read: (from) => {
    const list = text.read(from)
    if (list === '') return []
    const found = list.split(',')
    for (const name of found) {
      if (name.length > NAME_LENGTH_MAX || !NAME.test(name)) throw new ProtocolError('a malformed name-list')
    }
    return found
  },
  write: (to, value) => text.write(to, value.join(',')),
}

/** A number that is not negative, as its big-endian bytes without leading zeros. */
export const mpint: Field<Uint8Array> = {
  read: (from) => unsigned(string.read(from)),
  write: (to, value) => string.write(to, signed(value)),
}

/** Everything up to the end of the message. */
export const rest: Field<Uint8Array> = {
  read: (from) => from.rest(),
  write: (to, value) => void to.bytes(value),
}

export function fixed(length: number): Field<Uint8Array> {
  return {
    read: (from) => from.bytes(length),
    write: (to, value) => void to.bytes(value),
  }
}

/** The magnitude of an mpint's content. Negative numbers and needless leading bytes are refused. */
export function unsigned(content: Uint8Array): Uint8Array {
  const [first = 0x01, second = 0] = content
  if (first >= 0x80) throw new ProtocolError('a negative number')
  if (first === 0 && second < 0x80) throw new ProtocolError('a number with needless leading bytes')
  return first === 0 ? content.subarray(1) : content
}

/** The content of an mpint: no leading zero but the one that keeps the number from looking negative. */
export function signed(magnitude: Uint8Array): Uint8Array {
  let start = 0
  while (magnitude[start] === 0) start++
  const bare = magnitude.subarray(start)
  if ((bare[0] ?? 0) < 0x80) return bare
  const padded = new Uint8Array(bare.length + 1)
  padded.set(bare, 1)
  return padded
}

export function decodeForm<F extends Form>(form: F, from: Reader): Value<F> {
  const fields: Record<string, unknown> = {}
  for (const name in form) fields[name] = form[name]?.read(from)
  return fields as Value<F>
}

/** Decodes bytes that hold this form and nothing else. */
export function decodeWhole<F extends Form>(form: F, bytes: Uint8Array): Value<F> {
  const from = new Reader(bytes)
  const value = decodeForm(form, from)
  from.end()
  return value
}

export function encodeForm<F extends Form>(form: F, value: Value<F>, to = new Writer()): Uint8Array {
  for (const name in form) form[name]?.write(to, value[name])
  return to.done()
}
