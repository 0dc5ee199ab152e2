/** PostgreSQL's binary formats of the common types. Each decoder reads all of its value or throws a ProtocolError. */
import { ProtocolError, Reader } from '../bytes.ts'

/** What a parameter is in the record. Numbers are exact: what a double cannot hold is a string of digits. */
export type Decoded =
  | null
  | boolean
  | number
  | string
  | readonly Decoded[]
  | { readonly oid: number; readonly hex: string }

type DecodeText = (bytes: Uint8Array) => string | undefined
type Decoder = (r: Reader, text: DecodeText) => Decoded | undefined

const decodeText: Decoder = (r, text) => text(r.rest())
const decodeInt8: Decoder = (r) => exact(BigInt.asIntN(64, r.uint64()))
const decodeDate: Decoder = (r) => {
  const days = r.int32()
  return infinity(days === 0x7fffffff, days === -0x80000000) ?? dateOf(days)
}

const BY_OID: ReadonlyMap<number, Decoder> = new Map<number, Decoder>([
  [16, (r) => r.uint8() !== 0],
  [17, (r) => `\\x${hex(r.rest())}`],
  [18, decodeText], // char
  [19, decodeText], // name
  [20, decodeInt8],
  [21, (r) => r.int16()],
  [23, (r) => r.int32()],
  [25, decodeText],
  [26, (r) => r.uint32()],
  [114, decodeText], // json
  [142, decodeText], // xml
  [650, decodeInet], // cidr
  [700, (r) => double(new DataView(copy(r.bytes(4))).getFloat32(0))],
  [701, (r) => double(new DataView(copy(r.bytes(8))).getFloat64(0))],
  [705, decodeText], // unknown
  [829, (r) => Array.from(r.bytes(6), (byte) => hex(Uint8Array.of(byte))).join(':')], // macaddr
  [869, decodeInet],
  [1042, decodeText], // bpchar
  [1043, decodeText], // varchar
  [1082, decodeDate],
  [1083, (r) => timeOf(r.uint64())],
  [1114, (r) => timestamp(r, '')],
  [1184, (r) => timestamp(r, 'Z')],
  [1186, decodeInterval],
  [1700, decodeNumeric],
  [2950, decodeUuid],
  [3802, decodeJsonb],
])

/** Arrays say their element's type themselves; these are the arrays of the types above. */
const ARRAYS: ReadonlySet<number> = new Set([
  143, 199, 651, 1000, 1001, 1002, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1028, 1040, 1041,
  1115, 1182, 1183, 1185, 1187, 1231, 2951, 3807,
])

export function binaryDecoder(oid: number): Decoder | undefined {
  return ARRAYS.has(oid) ? decodeArray : BY_OID.get(oid)
}

function exact(value: bigint): number | string {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : String(value)
}

/** JSON has no NaN and no infinities. */
function double(value: number): number | string {
  return Number.isFinite(value) ? value : String(value)
}

function copy(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer
}

function hex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}

function pad(value: number | bigint, digits: number): string {
  return String(value).padStart(digits, '0')
}

function infinity(plus: boolean, minus: boolean): string | undefined {
  return plus ? 'infinity' : minus ? '-infinity' : undefined
}

const DAY = 86_400_000_000n
/** From 0000-03-01 to 2000-01-01: the era's start, where leap days come last, and PostgreSQL's. */
const DAYS_TO_2000 = 730_425

/** Howard Hinnant's civil_from_days; years before 1 are counted astronomically, as in ISO 8601. */
function dateOf(days2000: number): string {
  const days = days2000 + DAYS_TO_2000
  const era = Math.floor(days / 146_097)
  const ofEra = days - era * 146_097
  const yearOfEra = Math.floor(
    (ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365,
  )
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shifted = Math.floor((5 * ofYear + 2) / 153)
  const day = ofYear - Math.floor((153 * shifted + 2) / 5) + 1
  const month = shifted < 10 ? shifted + 3 : shifted - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  return `${year < 0 ? '-' : ''}${pad(Math.abs(year), 4)}-${pad(month, 2)}-${pad(day, 2)}`
}

function timeOf(microseconds: bigint): string {
  if (microseconds < 0n || microseconds > DAY) throw new ProtocolError('a time beyond the day')
  const seconds = Number(microseconds / 1_000_000n)
  const fraction = pad(microseconds % 1_000_000n, 6).replace(/0+$/, '')
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  const whole = `${pad(hours, 2)}:${pad(minutes, 2)}:${pad(seconds % 60, 2)}`
  return fraction === '' ? whole : `${whole}.${fraction}`
}

function timestamp(r: Reader, zone: string): string {
  const value = BigInt.asIntN(64, r.uint64())
  const never = infinity(value === 0x7fffffffffffffffn, value === -0x8000000000000000n)
  if (never !== undefined) return never
  const ofDay = ((value % DAY) + DAY) % DAY
  return `${dateOf(Number((value - ofDay) / DAY))}T${timeOf(ofDay)}${zone}`
}

/** As ISO 8601 writes it; the three parts are independent of each other. */
function decodeInterval(r: Reader): string {
  const microseconds = BigInt.asIntN(64, r.uint64())
  const days = r.int32()
  const months = r.int32()
  const magnitude = microseconds < 0n ? -microseconds : microseconds
  const fraction = pad(magnitude % 1_000_000n, 6).replace(/0+$/, '')
  const seconds = `${microseconds < 0n ? '-' : ''}${magnitude / 1_000_000n}${fraction === '' ? '' : `.${fraction}`}`
  return `P${months}M${days}DT${seconds}S`
}

const NUMERIC_SPECIAL: ReadonlyMap<number, string> = new Map([
  [0xc000, 'NaN'],
  [0xd000, 'Infinity'],
  [0xf000, '-Infinity'],
])
/** Groups of four zeros that a header may ask for beyond the digits it brings; 8 bytes could otherwise become 130,000 characters. */
const NUMERIC_ZEROS_MAX = 16

function decodeNumeric(r: Reader): string | undefined {
  const count = r.uint16()
  const weight = r.int16()
  const sign = r.uint16()
  const scale = r.uint16()
  const groups = Array.from({ length: count > r.left ? 0 : count }, () => r.uint16())
  const special = NUMERIC_SPECIAL.get(sign)
  if (special !== undefined) return special
  const whole = weight + 1
  if (whole - count > NUMERIC_ZEROS_MAX || -whole > NUMERIC_ZEROS_MAX) return undefined
  if (scale > (count - Math.min(whole, count) + NUMERIC_ZEROS_MAX) * 4) return undefined
  const group = (i: number): string => pad(groups[i] ?? 0, 4)
  let integer = ''
  for (let i = 0; i < whole; i++) integer += group(i)
  let fraction = ''
  for (let i = whole; fraction.length < scale; i++) fraction += i < 0 ? '0000' : group(i)
  const digits = integer.replace(/^0+(?=\d)/, '') || '0'
  const text = scale === 0 ? digits : `${digits}.${fraction.slice(0, scale)}`
  return sign === 0x4000 ? `-${text}` : text
}

function decodeUuid(r: Reader): string {
  const text = hex(r.bytes(16))
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

function decodeJsonb(r: Reader, text: DecodeText): string | undefined {
  return r.uint8() === 1 ? text(r.rest()) : undefined
}

function decodeInet(r: Reader): string | undefined {
  const family = r.uint8()
  const bits = r.uint8()
  const network = r.uint8() !== 0
  const address = r.bytes(r.uint8())
  const size = family === 2 ? 4 : 16
  if ((family !== 2 && family !== 3) || address.length !== size) return undefined
  const text = size === 4 ? address.join('.') : hex(address).replace(/(.{4})(?=.)/g, '$1:')
  return bits === size * 8 && !network ? text : `${text}/${bits}`
}

const DIMENSIONS_MAX = 6

function decodeArray(r: Reader, text: DecodeText): Decoded | undefined {
  const dimensions = r.int32()
  r.uint32()
  const decode = BY_OID.get(r.uint32())
  if (decode === undefined || dimensions < 0 || dimensions > DIMENSIONS_MAX) return undefined
  const sizes: number[] = []
  for (let i = 0; i < dimensions; i++) {
    sizes.push(r.uint32())
    // The lower bound; almost always 1, and no part of the values.
    r.int32()
  }
  // Each element has a length of four bytes. Without this, empty inner dimensions would multiply for nothing.
  const count = sizes.reduce((product, size) => product * size, 1)
  if (dimensions > 0 && (count === 0 || count * 4 > r.left)) return undefined
  return dimensions === 0 ? [] : elements(r, sizes, 0, (value) => decode(value, text))
}

function elements(
  r: Reader,
  sizes: readonly number[],
  depth: number,
  decode: (r: Reader) => Decoded | undefined,
): Decoded {
  return Array.from({ length: sizes[depth] ?? 0 }, () => {
    if (depth + 1 < sizes.length) return elements(r, sizes, depth + 1, decode)
    const length = r.int32()
    if (length === -1) return null
    const element = new Reader(r.bytes(length))
    const decoded = decode(element)
    element.end()
    if (decoded === undefined) throw new ProtocolError('an element that is not of its type')
    return decoded
  })
}
