/**
 * What is asked inside the connection protocol (RFC 4254, OpenSSH's PROTOCOL): kinds of channels, requests on a
 * session, global requests. A name that is not in these tables is answered by failure and goes no further.
 */
import { Reader } from '../bytes.ts'
import { boolean, decodeForm, encodeForm, type Form, rest, string, text, uint32, type Value } from './wire.ts'

const SIZE = { columns: uint32, rows: uint32, width: uint32, height: uint32 }

/** What the person may open. */
const OPENS = {
  session: {},
  'direct-tcpip': { host: text, port: uint32, originator: text, originatorPort: uint32 },
  'direct-streamlocal@openssh.com': { path: text, reserved: text, reservedNumber: uint32 },
} as const satisfies Record<string, Form>

/** What we open toward the person, when the host has opened it toward us. */
const FORWARDED = {
  'forwarded-tcpip': { host: text, port: uint32, originator: text, originatorPort: uint32 },
  'forwarded-streamlocal@openssh.com': { path: text, reserved: text },
  'auth-agent@openssh.com': {},
} as const satisfies Record<string, Form>

const CHANNEL_REQUESTS = {
  'pty-req': { term: text, ...SIZE, modes: string },
  env: { name: text, value: string },
  shell: {},
  exec: { command: string },
  subsystem: { name: text },
  'window-change': SIZE,
  signal: { signal: text },
  break: { milliseconds: uint32 },
  'auth-agent-req@openssh.com': {},
  'eow@openssh.com': {},
} as const satisfies Record<string, Form>

const GLOBAL_REQUESTS = {
  'tcpip-forward': { host: text, port: uint32 },
  'cancel-tcpip-forward': { host: text, port: uint32 },
  'streamlocal-forward@openssh.com': { path: text },
  'cancel-streamlocal-forward@openssh.com': { path: text },
  'no-more-sessions@openssh.com': {},
  'hostkeys-prove-00@openssh.com': { keys: rest },
} as const satisfies Record<string, Form>

/** The host's word on how a program ended. */
const ENDINGS = {
  'exit-status': { status: uint32 },
  'exit-signal': { signal: text, coreDumped: boolean, message: text, language: text },
} as const satisfies Record<string, Form>

type Tagged<Table extends Record<string, Form>> = {
  [Name in keyof Table]: { readonly type: Name } & Value<Table[Name]>
}[keyof Table]

export type OpenRequest = Tagged<typeof OPENS>
export type Forwarded = Tagged<typeof FORWARDED>
export type ChannelRequest = Tagged<typeof CHANNEL_REQUESTS>
export type GlobalRequest = Tagged<typeof GLOBAL_REQUESTS>
export type Ending = Tagged<typeof ENDINGS>
export type TerminalSize = Value<typeof SIZE>

/** Undefined for a name that is not in the table; throws for fields that do not fit it. */
function decodeTagged<Table extends Record<string, Form>>(
  table: Table,
  name: string,
  fields: Uint8Array,
): Tagged<Table> | undefined {
  const form = Object.hasOwn(table, name) ? table[name] : undefined
  if (form === undefined) return undefined
  const from = new Reader(fields)
  const value = decodeForm(form, from)
  from.end()
  return { type: name, ...value } as Tagged<Table>
}

function encodeTagged<Table extends Record<string, Form>>(table: Table, value: Tagged<Table>): Uint8Array {
  return encodeForm<Form>(table[value.type] ?? {}, value)
}

export const decodeOpen = (name: string, fields: Uint8Array) => decodeTagged(OPENS, name, fields)
export const decodeChannelRequest = (name: string, fields: Uint8Array) =>
  decodeTagged(CHANNEL_REQUESTS, name, fields)
export const decodeGlobalRequest = (name: string, fields: Uint8Array) =>
  decodeTagged(GLOBAL_REQUESTS, name, fields)
export const encodeForwarded = (value: Forwarded) => encodeTagged(FORWARDED, value)
export const encodeEnding = (value: Ending) => encodeTagged(ENDINGS, value)
