import { expect } from 'vitest'
import type { Login } from '../../../protocols/mysql/accept.ts'
import { makeVerifier } from '../../../protocols/mysql/auth.ts'
import { capabilities, FLAG } from '../../../protocols/mysql/capabilities.ts'
import type { Ready } from '../../../protocols/mysql/connect.ts'
import { type MysqlRelay, relay } from '../../../protocols/mysql/relay.ts'
import type { RelayOptions } from '../../../protocols/mysql/session.ts'
import type { Refusal } from '../../../protocols/relay.ts'
import {
  bytewise,
  cutAt,
  join,
  Ledger,
  type Part,
  packet,
  playRelay,
  text,
  whole,
} from '../../support/mysql-play.ts'

export const SCRAMBLE = new Uint8Array(20).fill(7)
export const PROVEN = makeVerifier('token', text('right'))

export interface Flags {
  readonly flags?: number
  readonly extended?: number
  /** Whether the last OK told of a status beyond autocommit. */
  readonly status?: number
  readonly charset?: number
}

const BASE =
  FLAG.PROTOCOL_41 | FLAG.SECURE_CONNECTION | FLAG.PLUGIN_AUTH | FLAG.MULTI_STATEMENTS | FLAG.MULTI_RESULTS

/** Without EOF deprecated, unless the flags say so. */
export function relayOptions(options: Partial<RelayOptions> = {}, flags: Flags = {}): RelayOptions {
  const agreed = capabilities(BASE | (flags.flags ?? 0), flags.extended ?? 0)
  const login: Login = {
    type: 'login',
    user: 'alice~shop',
    database: 'shop',
    capabilities: agreed,
    charset: flags.charset ?? 45,
    attributes: [],
    tls: undefined,
    method: 'mysql_native_password',
    secret: 'token',
    proven: PROVEN,
    threadId: 77,
    sequence: 2,
    signature: new Uint8Array(0),
  }
  const ready: Ready = {
    type: 'ready',
    greeting: {
      version: '8',
      charset: 255,
      status: 2,
      capabilities: agreed,
      plugin: 'mysql_native_password',
    },
    threadId: 4711,
    status: flags.status ?? 2,
    capabilities: agreed,
    secure: false,
    challenge: { plugin: 'mysql_native_password', scramble: SCRAMBLE },
    welcome: new Uint8Array(0),
  }
  return {
    session: 'k3v5',
    firstOperation: 1,
    login,
    ready,
    database: 'shop',
    judge: false,
    readOnly: false,
    parameters: 'keep',
    localFiles: false,
    findThread: (given) => (given === 78 ? 4712 : undefined),
    credential: { user: 'app', password: 'secret' },
    methods: ['mysql_native_password'],
    random: (length) => new Uint8Array(length).fill(8),
    ...options,
  }
}

export const client = (...packets: readonly Uint8Array[]): Part => ({
  from: 'client',
  bytes: join(...packets),
})
export const target = (...packets: readonly Uint8Array[]): Part => ({
  from: 'target',
  bytes: join(...packets),
})

type Bytes = readonly (Uint8Array | string | number)[]

export const query = (sql: string): Uint8Array => packet(0, 3, sql)
export const prepare = (sql: string): Uint8Array => packet(0, 0x16, sql)
export const execute = (id: number, ...rest: Bytes): Uint8Array =>
  packet(0, 0x17, u32(id), 0, u32(1), ...rest)

export function u32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24)
}

export const ok = (sequence: number, affected = 0, status = 2, warnings = 0): Uint8Array =>
  packet(sequence, 0, affected, 0, status & 0xff, status >> 8, warnings, 0)
export const eof = (sequence: number, status = 2, warnings = 0): Uint8Array =>
  packet(sequence, 0xfe, warnings, 0, status & 0xff, status >> 8)
export const error = (sequence: number, code: number, message: string): Uint8Array =>
  packet(sequence, 0xff, code & 0xff, code >> 8, `#42000${message}`)

/** A definition, as far as anybody here looks at it. */
export const definition = (sequence: number): Uint8Array =>
  packet(sequence, '\x03def\x00\x01t\x01t\x01a\x01a\x0c')

/** A result of one column: count, definition, EOF, the rows, EOF with this status. */
export function rows(from: number, values: readonly string[], status = 2): Uint8Array[] {
  return [
    packet(from, 1),
    definition(from + 1),
    eof(from + 2),
    ...values.map((value, i) => packet(from + 3 + i, value.length, value)),
    eof(from + 3 + values.length, status),
  ]
}

export const prepared = (id: number, params: number, columns: number): Uint8Array[] => [
  packet(1, 0, u32(id), columns, 0, params, 0, 0, 0, 0),
  ...Array.from({ length: params }, (_, i) => definition(2 + i)),
  ...(params > 0 ? [eof(2 + params)] : []),
  ...Array.from({ length: columns }, (_, i) => definition(2 + params + (params > 0 ? 1 : 0) + i)),
  ...(columns > 0 ? [eof(2 + params + (params > 0 ? 1 : 0) + columns)] : []),
]

export const REFUSAL: Refusal = {
  cause: 'statement',
  what: 'no bare DELETE',
  why: 'DELETE needs a WHERE here',
  next: 'add one',
  record: '',
}

/** For exchanges that need more than bytes. */
export function begin(options: RelayOptions): { machine: MysqlRelay; ledger: Ledger } {
  return { machine: relay(options), ledger: new Ledger() }
}

/** Plays an exchange whole, byte by byte, and with every part cut at each place: it must say the same. */
export function play(
  options: RelayOptions,
  parts: readonly Part[],
  judge?: (sql: string) => Refusal | undefined,
): Ledger {
  const made = (): MysqlRelay => relay(options)
  const once = playRelay(made(), parts, whole, judge)
  const longest = Math.max(...parts.map(({ bytes }) => bytes.length))
  expect(playRelay(made(), parts, bytewise, judge).done).toEqual(once.done)
  for (let at = 1; at < Math.min(longest, 400); at++) {
    expect(playRelay(made(), parts, cutAt(at), judge).done, `cut at ${at}`).toEqual(once.done)
  }
  return once
}
