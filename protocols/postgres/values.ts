/**
 * Parameters as JSON for a reader of the book: by type where it is one of the common ones, else the bytes in hex
 * with their OID. Nothing is guessed and nothing lost: what does not decode exactly is kept as bytes.
 */
import { encodeText, ProtocolError, Reader } from '../bytes.ts'
import { binaryDecoder, type Decoded } from './binary.ts'
import type { Bind, FunctionCall, WireValue } from './frontend.ts'

export type Policy = 'keep' | 'mask' | 'redact'

const BOOL = 16
const INTEGERS: ReadonlySet<number> = new Set([20, 21, 23, 26])
/** At most 15 digits, canonical: then the number prints as it came. */
const PLAIN_INTEGER = /^(?:0|-?[1-9][0-9]{0,14})$/

/** PostgreSQL's names of encodings and the names TextDecoder has for them or for a superset. */
const ENCODINGS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    BIG5: 'big5',
    EUC_CN: 'gbk',
    EUC_JP: 'euc-jp',
    EUC_KR: 'euc-kr',
    GB18030: 'gb18030',
    GBK: 'gbk',
    KOI8R: 'koi8-r',
    KOI8U: 'koi8-u',
    LATIN1: 'windows-1252',
    LATIN2: 'iso-8859-2',
    LATIN5: 'windows-1254',
    LATIN9: 'iso-8859-15',
    SJIS: 'shift_jis',
    SQL_ASCII: 'utf-8',
    UHC: 'euc-kr',
    UNICODE: 'utf-8',
    UTF8: 'utf-8',
    WIN1250: 'windows-1250',
    WIN1251: 'windows-1251',
    WIN1252: 'windows-1252',
    WIN1253: 'windows-1253',
    WIN1254: 'windows-1254',
    WIN866: 'ibm866',
  }),
)

/** The parameters of a Bind; undefined where there are none. `types` may be shorter than they are. */
export function describeArguments(
  { values, formats }: Bind,
  types: readonly number[] = [],
  encoding: string,
  policy: Policy,
): Uint8Array | undefined {
  if (values.length === 0) return undefined
  if (policy === 'redact') return redacted(values, types)
  const parts: string[] = []
  for (let i = 0; i < values.length; i++) {
    const format = formats.length === 1 ? formats[0] : formats[i]
    parts.push(toJson(decodeValue(values[i] ?? null, types[i] ?? 0, format === 1, encoding)))
  }
  return encodeText(`[${parts.join(',')}]`)
}

/** A FunctionCall names its function by OID, and no types. */
export function describeCall(
  { oid, values, formats }: FunctionCall,
  encoding: string,
  policy: Policy,
): Uint8Array {
  const args =
    policy === 'redact'
      ? { count: values.length }
      : values.map((value, i) => {
          const format = formats.length === 1 ? formats[0] : formats[i]
          return decodeValue(value, 0, format === 1, encoding)
        })
  return encodeText(JSON.stringify({ function: oid, args }))
}

function redacted(values: readonly WireValue[], types: readonly number[]): Uint8Array {
  return encodeText(JSON.stringify({ count: values.length, types: values.map((_, i) => types[i] ?? 0) }))
}

function toJson(value: Decoded): string {
  return value === null ? 'null' : JSON.stringify(value)
}

export function decodeValue(value: WireValue, oid: number, binary: boolean, encoding: string): Decoded {
  if (value === null) return null
  return (
    (binary ? decodeBinary(value, oid, encoding) : decodeAsText(value, oid, encoding)) ?? inHex(value, oid)
  )
}

function inHex(value: Uint8Array, oid: number): Decoded {
  let hex = ''
  for (const byte of value) hex += byte.toString(16).padStart(2, '0')
  return { oid, hex }
}

function decodeAsText(value: Uint8Array, oid: number, encoding: string): Decoded | undefined {
  const text = decodeEncoded(value, encoding)
  if (text === undefined) return undefined
  if (INTEGERS.has(oid) && PLAIN_INTEGER.test(text)) return Number(text)
  if (oid === BOOL && (text === 't' || text === 'true')) return true
  if (oid === BOOL && (text === 'f' || text === 'false')) return false
  return text
}

function decodeBinary(value: Uint8Array, oid: number, encoding: string): Decoded | undefined {
  const decode = binaryDecoder(oid)
  if (decode === undefined) return undefined
  try {
    const r = new Reader(value)
    const decoded = decode(r, (bytes) => decodeEncoded(bytes, encoding))
    r.end()
    return decoded
  } catch (problem) {
    // A value that is not of its type: the server will say so, and the book has its bytes.
    if (problem instanceof ProtocolError) return undefined
    throw problem
  }
}

const SHORT = 64

/** Undefined where the bytes are not text in this encoding, or the encoding is not known here. */
function decodeEncoded(bytes: Uint8Array, encoding: string): string | undefined {
  if (bytes.length <= SHORT) {
    const ascii = decodeAscii(bytes)
    if (ascii !== undefined) return ascii
  }
  const label = ENCODINGS.get(encoding.toUpperCase())
  if (label === undefined) return decodeAscii(bytes)
  try {
    return decoderOf(label).decode(bytes)
  } catch (problem) {
    if (problem instanceof TypeError) return undefined
    throw problem
  }
}

/** In every encoding that a client can have, bytes below 0x80 alone are ASCII. */
function decodeAscii(bytes: Uint8Array): string | undefined {
  let text = ''
  for (const byte of bytes) {
    if (byte >= 0x80) return undefined
    text += String.fromCharCode(byte)
  }
  return text
}

const decoders = new Map<string, InstanceType<typeof TextDecoder>>()

function decoderOf(label: string): InstanceType<typeof TextDecoder> {
  const found = decoders.get(label)
  if (found !== undefined) return found
  const made = new TextDecoder(label, { fatal: true, ignoreBOM: true })
  decoders.set(label, made)
  return made
}
