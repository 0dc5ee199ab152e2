/**
 * The packets by which a server tells how something ended: OK, EOF and ERR, and the request for a local file;
 * also those among them that the gateway sends itself.
 */
import { decodeLossy, encodeText, ProtocolError, Reader, Writer } from '../bytes.ts'
import type { Refusal } from '../relay.ts'
import { type Capabilities, FLAG, has } from './capabilities.ts'
import { lenenc, lenencBytes, lenencValue, writeLenenc } from './packets.ts'

/** Server status flags that the relay looks at. */
export const STATUS = {
  IN_TRANSACTION: 0x1,
  AUTOCOMMIT: 0x2,
  MORE_RESULTS: 0x8,
  CURSOR_EXISTS: 0x40,
  NO_BACKSLASH_ESCAPES: 0x200,
  SESSION_STATE_CHANGED: 0x4000,
  /** Told by MariaDB only. */
  ANSI_QUOTES: 0x8000,
} as const

/** An OK with the session changes of many variables, an ERR of 512 characters: far below this. */
export const OUTCOME_BYTES_MAX = 1 << 20

/** What is shown of an error by every client: the text is cut behind about 509 bytes. */
const MESSAGE_BYTES_MAX = 509

export interface Ok {
  readonly affected: bigint
  readonly insertId: bigint
  readonly status: number
  readonly warnings: number
  readonly info: Uint8Array
  readonly changes: readonly SessionChange[]
}

export type SessionChange =
  | { readonly type: 'schema'; readonly name: string }
  | { readonly type: 'variable'; readonly name: string; readonly value: string }
  | { readonly type: 'other' }

export interface ErrorAnswer {
  readonly code: number
  readonly state: string
  readonly message: Uint8Array
}

/** Also reads the OK that stands for an EOF: behind 0xfe instead of 0x00. */
export function decodeOk(payload: Uint8Array, agreed: Capabilities): Ok {
  const r = new Reader(payload)
  r.uint8()
  const affected = lenencValue(r)
  const insertId = lenencValue(r)
  const status = r.uint16LE()
  const warnings = r.uint16LE()
  if (!has(agreed, FLAG.SESSION_TRACK)) {
    return { affected, insertId, status, warnings, info: r.rest(), changes: [] }
  }
  const info = r.left === 0 ? new Uint8Array(0) : lenencBytes(r)
  const changed = (status & STATUS.SESSION_STATE_CHANGED) !== 0 && r.left > 0
  const changes = changed ? decodeChanges(lenencBytes(r)) : []
  r.end()
  return { affected, insertId, status, warnings, info, changes }
}

function decodeChanges(block: Uint8Array): SessionChange[] {
  const r = new Reader(block)
  const changes: SessionChange[] = []
  while (r.left > 0) {
    const type = r.uint8()
    const data = new Reader(lenencBytes(r))
    if (type === 0) {
      while (data.left > 0) {
        const name = decodeLossy(lenencBytes(data))
        changes.push({ type: 'variable', name, value: decodeLossy(lenencBytes(data)) })
      }
    } else if (type === 1) changes.push({ type: 'schema', name: decodeLossy(lenencBytes(data)) })
    else changes.push({ type: 'other' })
  }
  return changes
}

/** The EOF of a session that has not agreed on its deprecation. */
export function decodeEof(payload: Uint8Array): { warnings: number; status: number } {
  const r = new Reader(payload)
  r.uint8()
  const warnings = r.uint16LE()
  const status = r.uint16LE()
  r.end()
  return { warnings, status }
}

/** Before the handshake is over some servers leave the SQLSTATE out. */
export function decodeError(payload: Uint8Array): ErrorAnswer {
  const r = new Reader(payload)
  r.uint8()
  const code = r.uint16LE()
  const rest = r.rest()
  if (rest[0] !== 0x23 || rest.length < 6) return { code, state: '', message: rest }
  return { code, state: decodeLossy(rest.subarray(1, 6)), message: rest.subarray(6) }
}

export function encodeOk(status: number, info: Uint8Array, agreed: Capabilities): Uint8Array {
  const w = new Writer().uint8(0).uint8(0).uint8(0).uint16LE(status).uint16LE(0)
  if (info.length > 0 && has(agreed, FLAG.SESSION_TRACK)) writeLenenc(w, info.length)
  return w.bytes(info).done()
}

export function encodeError(code: number, state: string, message: string): Uint8Array {
  return new Writer().uint8(0xff).uint16LE(code).text('#').text(state).text(message).done()
}

/** The number and SQLSTATE of each cause; clients decide by them whether to try again. */
function codesOf(cause: Refusal['cause']): readonly [code: number, state: string] {
  switch (cause) {
    case 'access':
    case 'credential':
      return [1045, '28000']
    case 'statement':
      return [1142, '42000']
    case 'limit':
      return [1317, '70100']
    case 'ended':
      return [1053, '08S01']
    case 'busy':
      return [1040, '08004']
    case 'recorder':
      return [1105, 'HY000']
    case 'unsupported':
      return [1235, '42000']
    case 'target':
      return [1429, 'HY000']
  }
}

/** The payload of the ERR that tells a person what was refused, why, what to do next, and where it is recorded. */
export function encodeRefusal(refusal: Refusal): Uint8Array {
  const [code, state] = codesOf(refusal.cause)
  return encodeError(code, state, refusalText(refusal))
}

/** `what` and the id are always whole as far as there is room; `why` and then `next` give way. */
function refusalText({ what, why, next, record }: Refusal): string {
  const id = record === '' ? '' : `\nid  : ${record}`
  const head = cut(what, MESSAGE_BYTES_MAX - bytesOf(id))
  let room = MESSAGE_BYTES_MAX - bytesOf(head) - bytesOf(id)
  const nextLine = next === '' ? '' : cut(`\nnext: ${next}`, room)
  room -= bytesOf(nextLine)
  const whyLine = why === '' ? '' : cut(`\nwhy : ${why}`, room)
  return `${head}${whyLine}${nextLine}${id}`
}

function bytesOf(text: string): number {
  return encodeText(text).length
}

/** Cuts behind a whole character. */
function cut(text: string, bytesMax: number): string {
  const bytes = encodeText(text)
  if (bytes.length <= bytesMax) return text
  let end = Math.max(0, bytesMax)
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return decodeLossy(bytes.subarray(0, end))
}

export interface ColumnCount {
  readonly columns: number
  /** Whether their definitions follow; both dialects may leave out what the client already has. */
  readonly defined: boolean
}

/** The first packet of a result with rows. A byte behind the count tells whether definitions follow. */
export function decodeColumnCount(payload: Uint8Array, tells: boolean): ColumnCount {
  const r = new Reader(payload)
  const columns = lenenc(r)
  const defined = !tells || r.uint8() !== 0
  r.end()
  if (columns === 0) throw new ProtocolError('a result of no columns')
  return { columns, defined }
}

export interface PrepareAnswer {
  readonly id: number
  readonly columns: number
  readonly params: number
  readonly warnings: number
  readonly defined: boolean
}

export function decodePrepareAnswer(payload: Uint8Array, agreed: Capabilities): PrepareAnswer {
  const r = new Reader(payload)
  r.uint8()
  const id = r.uint32LE()
  const columns = r.uint16LE()
  const params = r.uint16LE()
  r.bytes(1)
  const warnings = r.uint16LE()
  const tells = has(agreed, FLAG.OPTIONAL_RESULTSET_METADATA) && r.left > 0
  const defined = !tells || r.uint8() !== 0
  r.end()
  return { id, columns, params, warnings, defined }
}
