/**
 * Bound parameters: the binary values of COM_STMT_EXECUTE and the attributes of queries, decoded into what a
 * record shows of them.
 */
import { decodeLossy, encodeText, ProtocolError, type Reader } from '../bytes.ts'
import { lenenc, lenencBytes } from './packets.ts'

/** MySQL's own cap. */
const PARAMS_MAX = 65_535

/**
 * As it stands in the record, which is JSON: a number where that is exact, the text of decimals, dates and of
 * what is valid UTF-8, the hex of other bytes. `bytes` and `sha256` stand for a value that was streamed and is
 * not kept.
 */
export type Value =
  | null
  | number
  | string
  | { readonly hex: string }
  | { readonly bytes: number; readonly sha256: string }

export interface Argument {
  readonly name: string
  readonly value: Value
}

/** The type of a parameter as the wire has it: a code, and 0x80 in the byte behind it for unsigned. */
export interface ParamType {
  readonly code: number
  readonly unsigned: boolean
}

export interface Bound {
  readonly types: readonly ParamType[]
  readonly values: readonly Value[]
  /** Behind the statement's own parameters, where query attributes were agreed on. */
  readonly attributes: readonly Argument[]
}

/** Attributes of a query. Their types must be there: no earlier execution could have told them. */
export function decodeNamedArguments(r: Reader, count: number): Argument[] {
  const nulls = nullBitmap(r, count)
  if (r.uint8() !== 1) throw new ProtocolError('query attributes without types')
  const { types, names } = decodeTypes(r, count, true)
  return types.map((type, i) => ({
    name: names[i] ?? '',
    value: isNull(nulls, i) ? null : decodeValue(r, type),
  }))
}

export interface Expected {
  /** How many parameters the statement has. */
  readonly params: number
  /** Of an earlier execution: they hold until others are sent. */
  readonly types: readonly ParamType[]
  /** Values that were sent ahead, by parameter: nothing stands for them here. */
  readonly ahead: ReadonlyMap<number, Value>
  /** Whether a count and names are sent, for attributes behind the parameters. */
  readonly named: boolean
}

/** What stands behind the iteration count of COM_STMT_EXECUTE, to its last byte. */
export function decodeBound(r: Reader, expected: Expected): Bound {
  const count = expected.named ? lenenc(r) : expected.params
  if (count < expected.params) throw new ProtocolError(`${count} values for ${expected.params} parameters`)
  if (count === 0) {
    r.end()
    return { types: [], values: [], attributes: [] }
  }
  const nulls = nullBitmap(r, count)
  const sent = r.uint8() === 1 ? decodeTypes(r, count, expected.named) : undefined
  const types = sent?.types ?? expected.types
  const values: Value[] = []
  for (let i = 0; i < count; i++) {
    const type = types[i]
    if (type === undefined) throw new ProtocolError(`no type is known for parameter ${i}`)
    const ahead = expected.ahead.get(i)
    if (ahead !== undefined) values.push(ahead)
    else values.push(isNull(nulls, i) ? null : decodeValue(r, type))
  }
  r.end()
  const attributes = values.slice(expected.params).map((value, i) => ({
    name: sent?.names[expected.params + i] ?? '',
    value,
  }))
  return { types: types.slice(0, expected.params), values: values.slice(0, expected.params), attributes }
}

function nullBitmap(r: Reader, count: number): Uint8Array {
  if (count > PARAMS_MAX) throw new ProtocolError(`${count} parameters`)
  return r.bytes((count + 7) >> 3)
}

function isNull(nulls: Uint8Array, index: number): boolean {
  return ((nulls[index >> 3] ?? 0) & (1 << (index & 7))) !== 0
}

function decodeTypes(r: Reader, count: number, named: boolean): { types: ParamType[]; names: string[] } {
  const types: ParamType[] = []
  const names: string[] = []
  for (let i = 0; i < count; i++) {
    types.push({ code: r.uint8(), unsigned: (r.uint8() & 0x80) !== 0 })
    if (named) names.push(decodeLossy(lenencBytes(r)))
  }
  return { types, names }
}

/** By the codes of MySQL's enum_field_types. A code without a known length cannot be framed. */
function decodeValue(r: Reader, { code, unsigned }: ParamType): Value {
  switch (code) {
    case 0x01:
      return unsigned ? r.uint8() : (r.uint8() << 24) >> 24
    case 0x02:
    case 0x0d:
      return unsigned ? r.uint16LE() : (r.uint16LE() << 16) >> 16
    case 0x03:
    case 0x09:
      return unsigned ? r.uint32LE() : r.uint32LE() | 0
    case 0x08:
      return exact(unsigned ? r.uint64LE() : BigInt.asIntN(64, r.uint64LE()))
    case 0x04:
      return real(float(r))
    case 0x05:
      return real(viewOf(r, 8).getFloat64(0, true))
    case 0x06:
      return null
    case 0x07:
    case 0x0a:
    case 0x0c:
    case 0x0e:
    case 0x11:
    case 0x12:
      return decodeDate(r)
    case 0x0b:
    case 0x13:
      return decodeTime(r)
    default:
      if (!isText(code)) throw new ProtocolError(`a parameter of type 0x${code.toString(16)}`)
      return describeBytes(r.bytes(lenenc(r)))
  }
}

const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [0x00, 'DECIMAL'],
  [0x01, 'TINY'],
  [0x02, 'SHORT'],
  [0x03, 'LONG'],
  [0x04, 'FLOAT'],
  [0x05, 'DOUBLE'],
  [0x06, 'NULL'],
  [0x07, 'TIMESTAMP'],
  [0x08, 'LONGLONG'],
  [0x0a, 'DATE'],
  [0x0b, 'TIME'],
  [0x0c, 'DATETIME'],
  [0xf6, 'NEWDECIMAL'],
  [0xfc, 'BLOB'],
  [0xfd, 'VAR_STRING'],
  [0xfe, 'STRING'],
])

/** For records that may show no values. */
export function typeName(code: number): string {
  return TYPE_NAMES.get(code) ?? `type 0x${code.toString(16)}`
}

/** Sent as a length and bytes: DECIMAL, VARCHAR, BIT; VECTOR; JSON, NEWDECIMAL, ENUM, SET, blobs, strings, GEOMETRY. */
function isText(code: number): boolean {
  return code === 0x00 || code === 0x0f || code === 0x10 || code === 0xf2 || code >= 0xf5
}

export function describeBytes(bytes: Uint8Array): Value {
  const text = decodeLossy(bytes)
  return text.includes('\ufffd') ? { hex: hex(bytes) } : text
}

export function hex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += HEX[byte]
  return text
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

function exact(value: bigint): Value {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : String(value)
}

/** JSON has no infinity and no NaN. */
function real(value: number): Value {
  return Number.isFinite(value) ? value : String(value)
}

/** The shortest decimal that is the same number in four bytes: 0.1, not 0.10000000149011612. */
function float(r: Reader): number {
  const value = viewOf(r, 4).getFloat32(0, true)
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return short
  }
  return value
}

function viewOf(r: Reader, length: number): DataView {
  const bytes = r.bytes(length)
  return new DataView(bytes.buffer, bytes.byteOffset, length)
}

function decodeDate(r: Reader): Value {
  const length = r.uint8()
  if (length !== 0 && length !== 4 && length !== 7 && length !== 11) {
    throw new ProtocolError(`a date of ${length} bytes`)
  }
  if (length === 0) return '0000-00-00'
  const date = `${pad(r.uint16LE(), 4)}-${pad(r.uint8())}-${pad(r.uint8())}`
  return length === 4 ? date : `${date} ${clock(r, r.uint8())}${length === 11 ? fraction(r) : ''}`
}

function decodeTime(r: Reader): Value {
  const length = r.uint8()
  if (length !== 0 && length !== 8 && length !== 12) throw new ProtocolError(`a time of ${length} bytes`)
  if (length === 0) return '00:00:00'
  const sign = r.uint8() === 0 ? '' : '-'
  const days = r.uint32LE()
  return `${sign}${clock(r, days * 24 + r.uint8())}${length === 12 ? fraction(r) : ''}`
}

function clock(r: Reader, hours: number): string {
  return `${pad(hours)}:${pad(r.uint8())}:${pad(r.uint8())}`
}

function fraction(r: Reader): string {
  return `.${pad(r.uint32LE(), 6)}`
}

function pad(value: number, length = 2): string {
  return String(value).padStart(length, '0')
}

/** The `args` of a record: a list, each parameter its value, each attribute its name and value. */
export function encodeArguments(values: readonly Value[], attributes: readonly Argument[]): Uint8Array {
  return encodeText(JSON.stringify([...values, ...attributes]))
}
