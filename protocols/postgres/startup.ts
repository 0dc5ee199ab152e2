/**
 * The packets that have no tag: they come first on a connection, before both sides know what they speak.
 * Length (itself included), then a code that is either a protocol version or one of three requests.
 */
import { duplicate, ProtocolError, Reader, Writer } from '../bytes.ts'
import { type Conversation, read } from '../conversation.ts'
import { lengthAt } from './frames.ts'

export const PROTOCOL_3_0 = 0x0003_0000
export const PROTOCOL_3_2 = 0x0003_0002

const CANCEL_REQUEST = 80877102
const SSL_REQUEST = 80877103
const GSSENC_REQUEST = 80877104

/** PostgreSQL's MAX_STARTUP_PACKET_LENGTH, the length's own four bytes not counted. */
const STARTUP_BYTES_MAX = 10_000
const SECRET_BYTES_MAX = 256

export interface CancelRequest {
  readonly type: 'cancel'
  readonly pid: number
  readonly secret: Uint8Array
}

export interface StartupMessage {
  readonly type: 'startup'
  readonly version: number
  /** In the client's order; of a name that comes twice the last counts, as in PostgreSQL. */
  readonly parameters: ReadonlyMap<string, string>
}

export type StartupPacket =
  | { readonly type: 'ssl' }
  | { readonly type: 'gssenc' }
  | CancelRequest
  | StartupMessage

export function* readStartupPacket(): Conversation<StartupPacket> {
  const length = lengthAt(yield* read(4), 0) - 4
  if (length < 4 || length > STARTUP_BYTES_MAX) {
    throw new ProtocolError(`invalid length of startup packet: ${length + 4}`)
  }
  return decodeStartup(yield* read(length))
}

/** Decodes what follows the length. */
export function decodeStartup(body: Uint8Array): StartupPacket {
  const r = new Reader(body)
  const code = r.uint32()
  switch (code) {
    case SSL_REQUEST:
      r.end()
      return { type: 'ssl' }
    case GSSENC_REQUEST:
      r.end()
      return { type: 'gssenc' }
    case CANCEL_REQUEST:
      return { type: 'cancel', pid: r.uint32(), secret: secret(r) }
    default:
      // Another major version may lay its parameters out otherwise, so they are not looked at.
      return { type: 'startup', version: code, parameters: code >>> 16 === 3 ? pairs(r) : new Map() }
  }
}

/** The rest of a message, copied because it outlives the message. */
export function secret(r: Reader): Uint8Array {
  if (r.left < 4 || r.left > SECRET_BYTES_MAX) throw new ProtocolError(`a cancel secret of ${r.left} bytes`)
  return duplicate(r.rest())
}

function pairs(r: Reader): Map<string, string> {
  const parameters = new Map<string, string>()
  for (let name = r.cstring(); name !== ''; name = r.cstring()) parameters.set(name, r.cstring())
  r.end()
  return parameters
}

function packet(code: number, write: (body: Writer) => unknown): Uint8Array {
  const writer = new Writer(64).uint32(0).uint32(code)
  write(writer)
  return writer.patchUint32(0, writer.length).done()
}

export function encodeSslRequest(): Uint8Array {
  return packet(SSL_REQUEST, () => undefined)
}

export function encodeCancel(pid: number, secret: Uint8Array): Uint8Array {
  return packet(CANCEL_REQUEST, (w) => w.uint32(pid).bytes(secret))
}

export function encodeStartup(version: number, parameters: ReadonlyMap<string, string>): Uint8Array {
  return packet(version, (w) => {
    for (const [name, value] of parameters) w.cstring(name).cstring(value)
    w.uint8(0)
  })
}
