/** Messages from a server. A hostile one is expected: each count and each length is checked by what is there. */
import { decodeLossy, ProtocolError, Reader } from '../bytes.ts'
import { message } from './frames.ts'
import { format, oids, values, type WireValue } from './frontend.ts'
import { secret } from './startup.ts'

/** Fields of an ErrorResponse or NoticeResponse by their letter, as bytes in whatever encoding is in force. */
export type Fields = ReadonlyMap<string, Uint8Array>

export type TransactionStatus = 'I' | 'T' | 'E'

export interface Column {
  readonly name: string
  readonly table: number
  readonly attribute: number
  readonly type: number
  readonly size: number
  readonly modifier: number
  readonly format: number
}

export type Authentication =
  | { readonly type: 'auth-ok' }
  | { readonly type: 'auth-cleartext' }
  | { readonly type: 'auth-md5'; readonly salt: Uint8Array }
  | { readonly type: 'auth-sasl'; readonly mechanisms: readonly string[] }
  | { readonly type: 'auth-sasl-continue' | 'auth-sasl-final'; readonly data: Uint8Array }
  | { readonly type: 'auth-unsupported'; readonly code: number }

export type BackendMessage =
  | Authentication
  | { readonly type: 'backend-key'; readonly pid: number; readonly secret: Uint8Array }
  | { readonly type: 'error' | 'notice'; readonly fields: Fields }
  | { readonly type: 'parameter-status'; readonly name: string; readonly value: string }
  | { readonly type: 'negotiate'; readonly version: number; readonly options: readonly string[] }
  | { readonly type: 'ready'; readonly status: TransactionStatus }
  | { readonly type: 'command-complete'; readonly tag: string }
  | { readonly type: 'parameter-description'; readonly types: readonly number[] }
  | { readonly type: 'row-description'; readonly columns: readonly Column[] }
  | { readonly type: 'data-row'; readonly values: readonly WireValue[] }
  | { readonly type: 'call-result'; readonly value: WireValue }
  | {
      readonly type: 'notification'
      readonly pid: number
      readonly channel: string
      readonly payload: string
    }
  | {
      readonly type: 'copy-in' | 'copy-out' | 'copy-both'
      readonly format: number
      readonly formats: readonly number[]
    }
  | { readonly type: 'copy-data'; readonly bytes: Uint8Array }
  | { readonly type: (typeof BARE)[keyof typeof BARE] }

const BARE = {
  '1': 'parse-complete',
  '2': 'bind-complete',
  '3': 'close-complete',
  I: 'empty-query',
  c: 'copy-done',
  n: 'no-data',
  s: 'portal-suspended',
} as const

/** Decodes the body of one message, its tag given as a character. */
export function decodeBackend(tag: string, body: Uint8Array): BackendMessage {
  const r = new Reader(body)
  const message = decodeBody(tag, r)
  r.end()
  return message
}

function decodeBody(tag: string, r: Reader): BackendMessage {
  switch (tag) {
    case 'A':
      return { type: 'notification', pid: r.uint32(), channel: lossy(r), payload: lossy(r) }
    case 'C':
      return { type: 'command-complete', tag: lossy(r) }
    case 'D':
      return { type: 'data-row', values: values(r) }
    case 'E':
      return { type: 'error', fields: fields(r) }
    case 'G':
      return { type: 'copy-in', ...copyFormats(r) }
    case 'H':
      return { type: 'copy-out', ...copyFormats(r) }
    case 'K':
      return { type: 'backend-key', pid: r.uint32(), secret: secret(r) }
    case 'N':
      return { type: 'notice', fields: fields(r) }
    case 'R':
      return authentication(r)
    case 'S':
      return { type: 'parameter-status', name: lossy(r), value: lossy(r) }
    case 'T':
      return { type: 'row-description', columns: columns(r) }
    case 'V':
      return { type: 'call-result', value: callResult(r) }
    case 'W':
      return { type: 'copy-both', ...copyFormats(r) }
    case 'Z':
      return { type: 'ready', status: transactionStatus(r.uint8()) }
    case 'd':
      return { type: 'copy-data', bytes: r.rest() }
    case 't':
      return { type: 'parameter-description', types: oids(r) }
    case 'v':
      return { type: 'negotiate', version: r.uint32(), options: names(r) }
    default:
      return { type: bare(tag) }
  }
}

function bare(tag: string): (typeof BARE)[keyof typeof BARE] {
  for (const [known, type] of Object.entries(BARE)) if (tag === known) return type
  throw new ProtocolError(`unknown message ${JSON.stringify(tag)} of the server`)
}

function lossy(r: Reader): string {
  return decodeLossy(r.cbytes())
}

export function fields(r: Reader): Fields {
  const found = new Map<string, Uint8Array>()
  for (let code = r.uint8(); code !== 0; code = r.uint8()) found.set(String.fromCharCode(code), r.cbytes())
  return found
}

export function transactionStatus(byte: number): TransactionStatus {
  const status = String.fromCharCode(byte)
  if (status !== 'I' && status !== 'T' && status !== 'E') {
    throw new ProtocolError(`unknown transaction status ${JSON.stringify(status)}`)
  }
  return status
}

function copyFormats(r: Reader): { format: number; formats: number[] } {
  const overall = r.uint8()
  if (overall > 1) throw new ProtocolError(`unknown format ${overall}`)
  const count = r.uint16()
  if (r.left < count * 2) throw new ProtocolError(`impossible count of columns ${count}`)
  return { format: overall, formats: Array.from({ length: count }, () => format(r)) }
}

function columns(r: Reader): Column[] {
  const count = r.uint16()
  if (r.left < count * 19) throw new ProtocolError(`impossible count of columns ${count}`)
  return Array.from({ length: count }, () => ({
    name: lossy(r),
    table: r.uint32(),
    attribute: r.int16(),
    type: r.uint32(),
    size: r.int16(),
    modifier: r.int32(),
    format: format(r),
  }))
}

function callResult(r: Reader): WireValue {
  const length = r.int32()
  if (length < -1) throw new ProtocolError(`a result of ${length} bytes`)
  return length === -1 ? null : r.bytes(length)
}

function names(r: Reader): string[] {
  const count = r.uint32()
  if (r.left < count) throw new ProtocolError(`impossible count of options ${count}`)
  return Array.from({ length: count }, () => lossy(r))
}

function authentication(r: Reader): Authentication {
  const code = r.uint32()
  switch (code) {
    case 0:
      return { type: 'auth-ok' }
    case 3:
      return { type: 'auth-cleartext' }
    case 5:
      return { type: 'auth-md5', salt: r.bytes(4) }
    case 10:
      return { type: 'auth-sasl', mechanisms: mechanisms(r) }
    case 11:
      return { type: 'auth-sasl-continue', data: r.rest() }
    case 12:
      return { type: 'auth-sasl-final', data: r.rest() }
    default:
      r.rest()
      return { type: 'auth-unsupported', code }
  }
}

function mechanisms(r: Reader): string[] {
  const found: string[] = []
  for (let name = lossy(r); name !== ''; name = lossy(r)) found.push(name)
  return found
}

export function encodeAuthentication(code: number, data: Uint8Array = NOTHING): Uint8Array {
  return message('R', (w) => w.uint32(code).bytes(data))
}

export function encodeMechanisms(names: readonly string[]): Uint8Array {
  return message('R', (w) => {
    w.uint32(10)
    for (const name of names) w.cstring(name)
    w.uint8(0)
  })
}

export function encodeBackendKey(pid: number, secret: Uint8Array): Uint8Array {
  return message('K', (w) => w.uint32(pid).bytes(secret))
}

/** Tells the newest version we speak, and every option that we do not know. */
export function encodeNegotiate(version: number, options: readonly string[]): Uint8Array {
  return message('v', (w) => {
    w.uint32(version).uint32(options.length)
    for (const option of options) w.cstring(option)
  })
}

const NOTHING = new Uint8Array(0)
