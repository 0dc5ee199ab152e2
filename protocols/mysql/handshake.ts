/**
 * The messages before the first command: MySQL's HandshakeV10, SSLRequest, HandshakeResponse41,
 * AuthSwitchRequest and AuthMoreData, and MariaDB's variants of the first three.
 */
import { concat, decodeLossy, decodeText, encodeText, ProtocolError, Reader, Writer } from '../bytes.ts'
import { type Capabilities, capabilities, FLAG, has, isMariaDb } from './capabilities.ts'
import { lenenc, lenencBytes, writeLenenc } from './packets.ts'

/** A greeting is a few hundred bytes; the version is the only part of free length. */
export const GREETING_BYTES_MAX = 1024
/** Names (200 characters at most for MySQL), a response, and attributes, which alone may take 64 KiB. */
export const RESPONSE_BYTES_MAX = 70 * 1024
const NAME_BYTES_MAX = 1024
const ATTRIBUTES_BYTES_MAX = 64 * 1024
export const AUTH_BYTES_MAX = 4096

export const SCRAMBLE_BYTES = 20
const SCRAMBLE_HEAD = 8
const PROTOCOL_VERSION = 10
/** Up to the user's name; an SSLRequest is exactly this. */
const RESPONSE_HEAD = 32

/** What a server tells of itself, the same to everybody: plain data, so that a target's can be kept and shown. */
export interface Greeting {
  /** With MariaDB's "5.5.5-" in front, where the target sends it. */
  readonly version: string
  readonly charset: number
  readonly status: number
  readonly capabilities: Capabilities
  readonly plugin: string
}

/** A greeting as it is sent: with what belongs to one connection. */
export interface Hello {
  readonly greeting: Greeting
  readonly threadId: number
  readonly scramble: Uint8Array
}

export function encodeGreeting({ greeting, threadId, scramble }: Hello): Uint8Array {
  const { flags, extended } = greeting.capabilities
  return new Writer()
    .uint8(PROTOCOL_VERSION)
    .cstring(greeting.version)
    .uint32LE(threadId)
    .bytes(scramble.subarray(0, SCRAMBLE_HEAD))
    .uint8(0)
    .uint16LE(flags & 0xffff)
    .uint8(greeting.charset)
    .uint16LE(greeting.status)
    .uint16LE(flags >>> 16)
    .uint8(SCRAMBLE_BYTES + 1)
    .bytes(new Uint8Array(6))
    .uint32LE(isMariaDb(greeting.capabilities) ? extended : 0)
    .bytes(scramble.subarray(SCRAMBLE_HEAD))
    .uint8(0)
    .cstring(greeting.plugin)
    .done()
}

export function decodeGreeting(payload: Uint8Array): Hello {
  const r = new Reader(payload)
  const version = r.uint8()
  if (version !== PROTOCOL_VERSION) throw new ProtocolError(`a greeting of protocol ${version}`)
  const text = decodeLossy(r.cbytes())
  const threadId = r.uint32LE()
  const head = r.bytes(SCRAMBLE_HEAD)
  r.bytes(1)
  const low = r.uint16LE()
  const charset = r.uint8()
  const status = r.uint16LE()
  const flags = (low | (r.uint16LE() << 16)) >>> 0
  const length = r.uint8()
  r.bytes(6)
  const reserved = r.uint32LE()
  const wanted = FLAG.PROTOCOL_41 | FLAG.SECURE_CONNECTION
  if ((flags & wanted) !== wanted) throw new ProtocolError('a server older than MySQL 4.1')
  // The NUL behind the scramble is counted in `length`, which may be 0; the field is at least 13 bytes.
  const tail = r.bytes(Math.max(13, length - SCRAMBLE_HEAD)).subarray(0, SCRAMBLE_BYTES - SCRAMBLE_HEAD)
  const plugin = (flags & FLAG.PLUGIN_AUTH) === 0 ? 'mysql_native_password' : lastString(r)
  const offered = capabilities(flags, (flags & FLAG.MYSQL) === 0 ? reserved : 0)
  return {
    greeting: { version: text, charset, status, capabilities: offered, plugin },
    threadId,
    scramble: concat([head, tail]),
  }
}

/** A name at a message's end, of which some servers leave out the NUL. */
function lastString(r: Reader): string {
  const rest = r.rest()
  const end = rest.indexOf(0)
  return decodeLossy(end === -1 ? rest : rest.subarray(0, end))
}

export type Attribute = readonly [name: string, value: string]

export interface HandshakeResponse {
  readonly capabilities: Capabilities
  readonly packetMax: number
  readonly charset: number
  readonly user: string
  readonly response: Uint8Array
  readonly database: string | undefined
  readonly plugin: string | undefined
  readonly attributes: readonly Attribute[]
}

/** The first 32 bytes of a HandshakeResponse41, which are also the whole of an SSLRequest. */
export interface ResponseHead {
  readonly capabilities: Capabilities
  readonly packetMax: number
  readonly charset: number
}

export function encodeResponseHead(head: ResponseHead): Uint8Array {
  return new Writer(RESPONSE_HEAD)
    .uint32LE(head.capabilities.flags)
    .uint32LE(head.packetMax)
    .uint8(head.charset)
    .bytes(new Uint8Array(19))
    .uint32LE(head.capabilities.extended)
    .done()
}

export function isSslRequest(payload: Uint8Array): boolean {
  return payload.length === RESPONSE_HEAD && ((payload[1] ?? 0) & (FLAG.SSL >>> 8)) !== 0
}

export function decodeResponseHead(r: Reader, offered: Capabilities): ResponseHead {
  const flags = r.uint32LE()
  const packetMax = r.uint32LE()
  const charset = r.uint8()
  r.bytes(19)
  const extended = r.uint32LE()
  // MySQL's clients fill these four bytes with zeros, and may fill them with anything.
  return { capabilities: capabilities(flags, isMariaDb(offered) ? extended : 0), packetMax, charset }
}

/**
 * Which fields follow is told by the flags that both sides set: clients that do not mask theirs still leave
 * out what the server did not offer.
 */
export function decodeResponse(payload: Uint8Array, offered: Capabilities): HandshakeResponse {
  const r = new Reader(payload)
  const head = decodeResponseHead(r, offered)
  const both = capabilities(head.capabilities.flags & offered.flags, 0)
  if (!has(both, FLAG.PROTOCOL_41) || !has(both, FLAG.SECURE_CONNECTION)) {
    throw new ProtocolError('a client older than MySQL 4.1')
  }
  const user = name(r)
  const length = has(both, FLAG.PLUGIN_AUTH_LENENC) ? lenenc(r) : r.uint8()
  if (length > AUTH_BYTES_MAX) throw new ProtocolError(`an authentication response of ${length} bytes`)
  const response = r.bytes(length)
  const database = has(both, FLAG.CONNECT_WITH_DB) ? name(r) : ''
  const plugin = has(both, FLAG.PLUGIN_AUTH) && r.left > 0 ? name(r) : undefined
  const attributes = has(both, FLAG.CONNECT_ATTRS) && r.left > 0 ? decodeAttributes(r) : []
  r.end()
  return { ...head, user, response, database: database === '' ? undefined : database, plugin, attributes }
}

export function encodeResponse(response: HandshakeResponse): Uint8Array {
  const { capabilities: agreed } = response
  const w = new Writer().bytes(encodeResponseHead(response)).cstring(response.user)
  if (has(agreed, FLAG.PLUGIN_AUTH_LENENC)) writeLenenc(w, response.response.length)
  else w.uint8(response.response.length)
  w.bytes(response.response)
  if (has(agreed, FLAG.CONNECT_WITH_DB)) w.cstring(response.database ?? '')
  if (has(agreed, FLAG.PLUGIN_AUTH)) w.cstring(response.plugin ?? '')
  if (has(agreed, FLAG.CONNECT_ATTRS)) encodeAttributes(w, response.attributes)
  return w.done()
}

export function name(r: Reader): string {
  const bytes = r.cbytes()
  if (bytes.length > NAME_BYTES_MAX) throw new ProtocolError(`a name of ${bytes.length} bytes`)
  return decodeText(bytes)
}

/** Claims of the client about itself: read for the record, never believed. */
export function decodeAttributes(r: Reader): Attribute[] {
  const length = lenenc(r)
  if (length > ATTRIBUTES_BYTES_MAX) throw new ProtocolError(`connection attributes of ${length} bytes`)
  const block = new Reader(r.bytes(length))
  const found: Attribute[] = []
  while (block.left > 0) {
    found.push([decodeLossy(lenencBytes(block)), decodeLossy(lenencBytes(block))])
  }
  return found
}

export function encodeAttributes(w: Writer, attributes: readonly Attribute[]): void {
  const block = new Writer()
  for (const text of attributes.flat()) {
    const bytes = encodeText(text)
    writeLenenc(block, bytes.length).bytes(bytes)
  }
  writeLenenc(w, block.length).bytes(block.done())
}

export interface AuthSwitch {
  readonly plugin: string
  readonly data: Uint8Array
}

export function encodeAuthSwitch({ plugin, data }: AuthSwitch): Uint8Array {
  return new Writer().uint8(0xfe).cstring(plugin).bytes(data).done()
}

/** Behind the 0xfe. Without a name it is a request for the hash of MySQL 3.23, which nobody should answer. */
export function decodeAuthSwitch(r: Reader): AuthSwitch {
  if (r.left === 0) throw new ProtocolError('a server asked for the password hash of MySQL 3.23')
  const plugin = decodeLossy(r.cbytes())
  const data = r.rest()
  return { plugin, data: data.at(-1) === 0 ? data.subarray(0, -1) : data }
}

export function encodeAuthMore(data: Uint8Array): Uint8Array {
  return concat([Uint8Array.of(0x01), data])
}
