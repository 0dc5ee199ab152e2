/** Messages from a client, after the startup. Decoding bounds every count by the bytes that are there. */
import { ProtocolError, Reader } from '../bytes.ts'
import { message } from './frames.ts'

/** A parameter as it came: null is SQL's NULL. Views of the message. */
export type WireValue = Uint8Array | null

export interface Bind {
  readonly type: 'bind'
  readonly portal: Uint8Array
  readonly statement: Uint8Array
  /** None: all text. One: for all. Else one for each value; 0 is text, 1 binary. */
  readonly formats: readonly number[]
  readonly values: readonly WireValue[]
}

export interface Parse {
  readonly type: 'parse'
  readonly name: Uint8Array
  readonly sql: Uint8Array
  /** OIDs as far as the client names them; 0 leaves one to the server. */
  readonly types: readonly number[]
}

export interface FunctionCall {
  readonly type: 'call'
  readonly oid: number
  readonly formats: readonly number[]
  readonly values: readonly WireValue[]
  readonly resultFormat: number
}

export interface Named {
  readonly what: 'statement' | 'portal'
  readonly name: Uint8Array
}

export interface Execute {
  readonly type: 'execute'
  readonly portal: Uint8Array
  /** 0: all. */
  readonly rows: number
}

export type FrontendMessage =
  | Bind
  | Parse
  | FunctionCall
  | Execute
  | (Named & { readonly type: 'close' | 'describe' })
  | { readonly type: 'query'; readonly sql: Uint8Array }
  | { readonly type: 'copy-data'; readonly bytes: Uint8Array }
  | { readonly type: 'copy-fail'; readonly message: Uint8Array }
  | { readonly type: 'copy-done' | 'flush' | 'sync' | 'terminate' }

/** Decodes the body of one message, at bytes[start..end). `tag` is the byte before the length. */
export function decodeFrontend(
  tag: number,
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
): FrontendMessage {
  const r = new Reader(bytes, start, end)
  const message = decodeBody(tag, r)
  r.end()
  return message
}

function decodeBody(tag: number, r: Reader): FrontendMessage {
  switch (String.fromCharCode(tag)) {
    case 'B':
      return bind(r)
    case 'C':
      return { type: 'close', ...named(r) }
    case 'D':
      return { type: 'describe', ...named(r) }
    case 'E':
      return { type: 'execute', portal: r.cbytes(), rows: r.int32() }
    case 'F':
      return {
        type: 'call',
        oid: r.uint32(),
        formats: formats(r),
        values: values(r),
        resultFormat: format(r),
      }
    case 'H':
      return { type: 'flush' }
    case 'P':
      return { type: 'parse', name: r.cbytes(), sql: r.cbytes(), types: oids(r) }
    case 'Q':
      return { type: 'query', sql: r.cbytes() }
    case 'S':
      return { type: 'sync' }
    case 'X':
      return { type: 'terminate' }
    case 'c':
      return { type: 'copy-done' }
    case 'd':
      return { type: 'copy-data', bytes: r.rest() }
    case 'f':
      return { type: 'copy-fail', message: r.cbytes() }
    default:
      throw new ProtocolError(`invalid frontend message type ${tag}`)
  }
}

/** The formats of the result columns belong to the server: they are checked and not kept. */
function bind(r: Reader): Bind {
  const portal = r.cbytes()
  const statement = r.cbytes()
  const ofValues = formats(r)
  const found = values(r)
  if (ofValues.length > 1 && ofValues.length !== found.length) {
    throw new ProtocolError(`${ofValues.length} formats for ${found.length} parameters`)
  }
  formats(r)
  return { type: 'bind', portal, statement, formats: ofValues, values: found }
}

function named(r: Reader): Named {
  const kind = String.fromCharCode(r.uint8())
  if (kind !== 'S' && kind !== 'P') throw new ProtocolError(`neither a statement nor a portal: ${kind}`)
  return { what: kind === 'S' ? 'statement' : 'portal', name: r.cbytes() }
}

export function format(r: Reader): number {
  const found = r.uint16()
  if (found > 1) throw new ProtocolError(`unknown format ${found}`)
  return found
}

export function formats(r: Reader): number[] {
  const count = r.uint16()
  // Checked before allocating: the count is the peer's word, the bytes are not.
  if (r.left < count * 2) throw new ProtocolError(`impossible count of formats ${count}`)
  const found: number[] = []
  for (let i = 0; i < count; i++) found.push(format(r))
  return found
}

export function oids(r: Reader): number[] {
  const count = r.uint16()
  if (r.left < count * 4) throw new ProtocolError(`impossible count of types ${count}`)
  const found: number[] = []
  for (let i = 0; i < count; i++) found.push(r.uint32())
  return found
}

export function values(r: Reader): WireValue[] {
  const count = r.uint16()
  if (r.left < count * 4) throw new ProtocolError(`impossible count of values ${count}`)
  const found: WireValue[] = []
  for (let i = 0; i < count; i++) {
    const length = r.int32()
    if (length < -1) throw new ProtocolError(`a value of ${length} bytes`)
    found.push(length === -1 ? null : r.bytes(length))
  }
  return found
}

export function encodeQuery(sql: string): Uint8Array {
  return message('Q', (w) => w.cstring(sql))
}

export function encodeParse(name: Uint8Array, sql: string): Uint8Array {
  return message('P', (w) => w.bytes(name).uint8(0).cstring(sql).uint16(0))
}

export function encodeBind(portal: Uint8Array, statement: string): Uint8Array {
  return message('B', (w) => w.bytes(portal).uint8(0).cstring(statement).uint16(0).uint16(0).uint16(0))
}

/** A call of `oid` without arguments. */
export function encodeCall(oid: number): Uint8Array {
  return message('F', (w) => w.uint32(oid).uint16(0).uint16(0).uint16(0))
}

export function encodeSaslInitial(mechanism: string, response: Uint8Array): Uint8Array {
  return message('p', (w) => w.cstring(mechanism).int32(response.length).bytes(response))
}

export function encodeSaslResponse(response: Uint8Array): Uint8Array {
  return message('p', (w) => w.bytes(response))
}

export function encodePassword(password: Uint8Array): Uint8Array {
  return message('p', (w) => w.bytes(password).uint8(0))
}
