/**
 * What a client sends once it is logged in: one command per message, its first byte the code. A body that is
 * shorter or longer than its command has it is a fault; nothing behind a message's end is passed over.
 */
import { ProtocolError, Reader, Writer } from '../bytes.ts'
import { type Capabilities, FLAG, has } from './capabilities.ts'
import { type Attribute, AUTH_BYTES_MAX, decodeAttributes, name } from './handshake.ts'
import { lenenc } from './packets.ts'
import { type Argument, decodeNamedArguments } from './values.ts'

export const COM = {
  QUIT: 0x01,
  INIT_DB: 0x02,
  QUERY: 0x03,
  FIELD_LIST: 0x04,
  CREATE_DB: 0x05,
  DROP_DB: 0x06,
  STATISTICS: 0x09,
  PROCESS_INFO: 0x0a,
  PROCESS_KILL: 0x0c,
  PING: 0x0e,
  CHANGE_USER: 0x11,
  STMT_PREPARE: 0x16,
  STMT_EXECUTE: 0x17,
  STMT_SEND_LONG_DATA: 0x18,
  STMT_CLOSE: 0x19,
  STMT_RESET: 0x1a,
  SET_OPTION: 0x1b,
  STMT_FETCH: 0x1c,
  RESET_CONNECTION: 0x1f,
} as const

/** Known, and never forwarded: they reach the server itself, its replication, or what was not agreed on. */
const DENIED: ReadonlyMap<number, string> = new Map([
  [0x07, 'COM_REFRESH'],
  [0x08, 'COM_SHUTDOWN'],
  [0x0d, 'COM_DEBUG'],
  [0x12, 'COM_BINLOG_DUMP'],
  [0x13, 'COM_TABLE_DUMP'],
  [0x15, 'COM_REGISTER_SLAVE'],
  [0x1e, 'COM_BINLOG_DUMP_GTID'],
  [0x20, 'COM_CLONE'],
  [0x21, 'COM_SUBSCRIBE_GROUP_REPLICATION_STREAM'],
  [0xfa, 'COM_STMT_BULK_EXECUTE'],
  [0xfe, 'COM_MULTI'],
])

/** Names of databases and tables, with room to spare; texts and parameters have a limit of their own. */
const SHORT_COMMAND_MAX = 4096
/** COM_CHANGE_USER carries attributes. */
const CHANGE_USER_MAX = 70 * 1024
/** Before a statement's text or its parameters: the code, a number, flags. */
const HEAD_ROOM = 16
/** Beside a query's text: its attributes and their names. */
const ATTRIBUTES_ROOM = 64 * 1024

export interface ChangeUserCommand {
  readonly type: 'change-user'
  readonly user: string
  readonly response: Uint8Array
  readonly database: string | undefined
  readonly charset: number | undefined
  readonly plugin: string | undefined
  readonly attributes: readonly Attribute[]
}

export interface ExecuteCommand {
  readonly type: 'execute'
  readonly statement: number
  readonly flags: number
  /** Bitmap, types and values; what they mean depends on the statement. */
  readonly body: Uint8Array
}

export type Command =
  | { readonly type: 'query'; readonly text: Uint8Array; readonly attributes: readonly Argument[] }
  | { readonly type: 'prepare'; readonly text: Uint8Array }
  | ExecuteCommand
  | { readonly type: 'fetch'; readonly statement: number; readonly rows: number }
  | {
      readonly type: 'long-data'
      readonly statement: number
      readonly param: number
      readonly data: Uint8Array
    }
  | { readonly type: 'close'; readonly statement: number }
  | { readonly type: 'reset-statement'; readonly statement: number }
  | { readonly type: 'init-db'; readonly name: Uint8Array }
  | { readonly type: 'create-db'; readonly name: Uint8Array }
  | { readonly type: 'drop-db'; readonly name: Uint8Array }
  | { readonly type: 'field-list'; readonly table: Uint8Array; readonly wildcard: Uint8Array }
  | { readonly type: 'process-kill'; readonly thread: number }
  | { readonly type: 'set-option'; readonly option: number }
  | { readonly type: 'quit' }
  | { readonly type: 'statistics' }
  | { readonly type: 'process-info' }
  | { readonly type: 'ping' }
  | { readonly type: 'reset-connection' }
  | ChangeUserCommand
  | { readonly type: 'denied'; readonly name: string }
  | { readonly type: 'unknown'; readonly code: number }

/** How long a command may be, told from its first byte, before anything is gathered of it. */
export function commandBytesMax(code: number, statementBytesMax: number): number {
  switch (code) {
    case COM.QUERY:
      return statementBytesMax + ATTRIBUTES_ROOM
    case COM.STMT_PREPARE:
    case COM.STMT_EXECUTE:
    case COM.STMT_SEND_LONG_DATA:
      return statementBytesMax + HEAD_ROOM
    case COM.CHANGE_USER:
      return CHANGE_USER_MAX
    default:
      return SHORT_COMMAND_MAX
  }
}

export function decodeCommand(payload: Uint8Array, agreed: Capabilities): Command {
  const r = new Reader(payload)
  const code = r.uint8()
  const command = decodeBody(code, r, agreed)
  if (command.type !== 'denied' && command.type !== 'unknown') r.end()
  return command
}

function decodeBody(code: number, r: Reader, agreed: Capabilities): Command {
  switch (code) {
    case COM.QUERY:
      return decodeQuery(r, agreed)
    case COM.STMT_PREPARE:
      return { type: 'prepare', text: r.rest() }
    case COM.STMT_EXECUTE:
      return decodeExecute(r)
    case COM.STMT_FETCH:
      return { type: 'fetch', statement: r.uint32LE(), rows: r.uint32LE() }
    case COM.STMT_SEND_LONG_DATA:
      return { type: 'long-data', statement: r.uint32LE(), param: r.uint16LE(), data: r.rest() }
    case COM.STMT_CLOSE:
      return { type: 'close', statement: r.uint32LE() }
    case COM.STMT_RESET:
      return { type: 'reset-statement', statement: r.uint32LE() }
    case COM.INIT_DB:
      return { type: 'init-db', name: r.rest() }
    case COM.CREATE_DB:
      return { type: 'create-db', name: r.rest() }
    case COM.DROP_DB:
      return { type: 'drop-db', name: r.rest() }
    case COM.FIELD_LIST:
      return { type: 'field-list', table: r.cbytes(), wildcard: r.rest() }
    case COM.PROCESS_KILL:
      return { type: 'process-kill', thread: r.uint32LE() }
    case COM.SET_OPTION:
      return { type: 'set-option', option: r.uint16LE() }
    case COM.CHANGE_USER:
      return decodeChangeUser(r, agreed)
    case COM.QUIT:
      return { type: 'quit' }
    case COM.STATISTICS:
      return { type: 'statistics' }
    case COM.PROCESS_INFO:
      return { type: 'process-info' }
    case COM.PING:
      return { type: 'ping' }
    case COM.RESET_CONNECTION:
      return { type: 'reset-connection' }
    default: {
      const denied = DENIED.get(code)
      return denied === undefined ? { type: 'unknown', code } : { type: 'denied', name: denied }
    }
  }
}

/** Whoever takes the attributes for the beginning of the text reads another text than the server. */
function decodeQuery(r: Reader, agreed: Capabilities): Command {
  if (!has(agreed, FLAG.QUERY_ATTRIBUTES)) return { type: 'query', text: r.rest(), attributes: [] }
  const count = lenenc(r)
  const sets = lenenc(r)
  if (sets !== 1) throw new ProtocolError(`a query with ${sets} sets of attributes`)
  const attributes = count === 0 ? [] : decodeNamedArguments(r, count)
  return { type: 'query', text: r.rest(), attributes }
}

function decodeExecute(r: Reader): Command {
  const statement = r.uint32LE()
  const flags = r.uint8()
  const iterations = r.uint32LE()
  if (iterations !== 1) throw new ProtocolError(`an execution of ${iterations} iterations`)
  return { type: 'execute', statement, flags, body: r.rest() }
}

function decodeChangeUser(r: Reader, agreed: Capabilities): Command {
  const user = name(r)
  const length = r.uint8()
  if (length > AUTH_BYTES_MAX) throw new ProtocolError(`an authentication response of ${length} bytes`)
  const response = r.bytes(length)
  const database = name(r)
  const charset = r.left > 0 ? r.uint16LE() : undefined
  const plugin = r.left > 0 && has(agreed, FLAG.PLUGIN_AUTH) ? name(r) : undefined
  const attributes = r.left > 0 && has(agreed, FLAG.CONNECT_ATTRS) ? decodeAttributes(r) : []
  return {
    type: 'change-user',
    user,
    response,
    database: database === '' ? undefined : database,
    charset,
    plugin,
    attributes,
  }
}

/** The payload of a query of the gateway's own. */
export function encodeQuery(text: Uint8Array, agreed: Capabilities): Uint8Array {
  const w = new Writer(text.length + 3).uint8(COM.QUERY)
  // No attributes, in one set.
  if (has(agreed, FLAG.QUERY_ATTRIBUTES)) w.uint8(0).uint8(1)
  return w.bytes(text).done()
}

export function encodePrepare(text: Uint8Array): Uint8Array {
  return new Writer(text.length + 1).uint8(COM.STMT_PREPARE).bytes(text).done()
}

export function encodeExecute(statement: number): Uint8Array {
  return new Writer(10).uint8(COM.STMT_EXECUTE).uint32LE(statement).uint8(0).uint32LE(1).done()
}

export function encodeProcessKill(thread: number): Uint8Array {
  return new Writer(5).uint8(COM.PROCESS_KILL).uint32LE(thread).done()
}
