/** PostgreSQL messages written out by hand, apart from the code under test. */
import { Buffer } from 'node:buffer'

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value & 0xffff)
  return bytes
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`)
}

type Part = string | Uint8Array

export function bytes(...parts: readonly Part[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part))),
  )
}

export function message(tag: string, ...parts: readonly Part[]): Uint8Array {
  const body = bytes(...parts)
  return bytes(tag, int32(body.length + 4), body)
}

export type Value = string | Uint8Array | null

function values(list: readonly Value[]): Buffer {
  const encoded = list.map((value) => {
    if (value === null) return int32(-1)
    const found = Buffer.from(value)
    return Buffer.concat([int32(found.length), found])
  })
  return Buffer.concat([int16(list.length), ...encoded])
}

/** What clients send. */
export const front = {
  query: (sql: string) => message('Q', text(sql)),
  parse: (name: string, sql: string, types: readonly number[] = []) =>
    message('P', text(name), text(sql), int16(types.length), ...types.map(int32)),
  bind: (portal: string, statement: string, list: readonly Value[] = [], formats: readonly number[] = []) =>
    message(
      'B',
      text(portal),
      text(statement),
      int16(formats.length),
      ...formats.map(int16),
      values(list),
      int16(0),
    ),
  describe: (what: 'S' | 'P', name = '') => message('D', what, text(name)),
  execute: (portal = '', rows = 0) => message('E', text(portal), int32(rows)),
  close: (what: 'S' | 'P', name = '') => message('C', what, text(name)),
  call: (oid: number, list: readonly Value[] = []) =>
    message('F', int32(oid), int16(0), values(list), int16(0)),
  sync: message('S'),
  flush: message('H'),
  terminate: message('X'),
  copyData: (data: Part) => message('d', data),
  copyDone: message('c'),
  copyFail: (why: string) => message('f', text(why)),
  startup: (version: number, parameters: Record<string, string>) => {
    const pairs = Object.entries(parameters).flatMap(([name, value]) => [text(name), text(value)])
    const body = bytes(int32(version), ...pairs, Uint8Array.of(0))
    return bytes(int32(body.length + 4), body)
  },
  sslRequest: bytes(int32(8), int32(80877103)),
  gssencRequest: bytes(int32(8), int32(80877104)),
  cancelRequest: (pid: number, secret: Uint8Array) =>
    bytes(int32(12 + secret.length), int32(80877102), int32(pid), secret),
  sasl: (mechanism: string, response: string) =>
    message('p', text(mechanism), int32(Buffer.byteLength(response)), response),
  saslResponse: (response: string) => message('p', response),
  password: (password: string) => message('p', text(password)),
}

function fields(found: Record<string, string>): Part[] {
  return [...Object.entries(found).map(([letter, value]) => letter + text(value)), Uint8Array.of(0)]
}

/** What servers send. */
export const back = {
  authentication: (code: number, data: Part = '') => message('R', int32(code), data),
  mechanisms: (...names: string[]) => message('R', int32(10), ...names.map(text), Uint8Array.of(0)),
  backendKey: (pid: number, secret: Uint8Array) => message('K', int32(pid), secret),
  negotiate: (version: number, ...options: string[]) =>
    message('v', int32(version), int32(options.length), ...options.map(text)),
  parameter: (name: string, value: string) => message('S', text(name), text(value)),
  ready: (status: 'I' | 'T' | 'E' = 'I') => message('Z', status),
  parseComplete: message('1'),
  bindComplete: message('2'),
  closeComplete: message('3'),
  noData: message('n'),
  suspended: message('s'),
  emptyQuery: message('I'),
  rows: (...names: string[]) =>
    message(
      'T',
      int16(names.length),
      ...names.flatMap((name) => [text(name), int32(0), int16(0), int32(25), int16(-1), int32(-1), int16(0)]),
    ),
  row: (...list: Value[]) => message('D', values(list)),
  complete: (tag: string) => message('C', text(tag)),
  error: (code: string, what: string, more: Record<string, string> = {}) =>
    message('E', ...fields({ S: 'ERROR', V: 'ERROR', C: code, M: what, ...more })),
  fatal: (code: string, what: string, more: Record<string, string> = {}) =>
    message('E', ...fields({ S: 'FATAL', V: 'FATAL', C: code, M: what, ...more })),
  notice: (what: string) => message('N', ...fields({ S: 'NOTICE', V: 'NOTICE', C: '00000', M: what })),
  notification: (pid: number, channel: string, payload: string) =>
    message('A', int32(pid), text(channel), text(payload)),
  parameters: (...types: number[]) => message('t', int16(types.length), ...types.map(int32)),
  callResult: (value: Value) => {
    if (value === null) return message('V', int32(-1))
    return message('V', int32(Buffer.from(value).length), value)
  },
  copyIn: message('G', Uint8Array.of(0), int16(1), int16(0)),
  copyOut: message('H', Uint8Array.of(0), int16(1), int16(0)),
  copyBoth: message('W', Uint8Array.of(0), int16(0)),
  copyData: (data: Part) => message('d', data),
  copyDone: message('c'),
}
