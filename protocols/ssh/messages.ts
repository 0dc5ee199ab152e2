/**
 * Every message of RFC 4250 to 4256, RFC 8308 and OpenSSH's PROTOCOL that this role knows, by the RFCs' names,
 * as typed values in both directions. What a number means while another key exchange or authentication method
 * is under way is the business of whoever decodes: see `KEX_ECDH_INIT` and `decodeAs`.
 */
import { ProtocolError, Reader, Writer } from '../bytes.ts'
import {
  boolean,
  decodeForm,
  encodeForm,
  type Form,
  fixed,
  names,
  rest,
  string,
  text,
  uint8,
  uint32,
  type Value,
} from './wire.ts'

const FORMS = {
  DISCONNECT: [1, { reason: uint32, description: text, language: text }],
  IGNORE: [2, { data: string }],
  UNIMPLEMENTED: [3, { sequence: uint32 }],
  DEBUG: [4, { alwaysDisplay: boolean, message: string, language: text }],
  SERVICE_REQUEST: [5, { service: text }],
  SERVICE_ACCEPT: [6, { service: text }],
  EXT_INFO: [7, { extensions: rest }],
  KEXINIT: [
    20,
    {
      cookie: fixed(16),
      kex: names,
      hostKey: names,
      cipherToServer: names,
      cipherToClient: names,
      macToServer: names,
      macToClient: names,
      compressionToServer: names,
      compressionToClient: names,
      languageToServer: names,
      languageToClient: names,
      firstKexPacketFollows: boolean,
      reserved: uint32,
    },
  ],
  NEWKEYS: [21, {}],
  // KEXDH_INIT and KEXDH_REPLY have the same form: an mpint is a string by its bytes.
  KEX_ECDH_INIT: [30, { clientKey: string }],
  KEX_ECDH_REPLY: [31, { hostKey: string, serverKey: string, signature: string }],
  USERAUTH_REQUEST: [50, { user: text, service: text, method: text, fields: rest }],
  USERAUTH_FAILURE: [51, { methods: names, partial: boolean }],
  USERAUTH_SUCCESS: [52, {}],
  USERAUTH_BANNER: [53, { message: text, language: text }],
  USERAUTH_PK_OK: [60, { algorithm: text, key: string }],
  USERAUTH_INFO_REQUEST: [60, { name: text, instruction: text, language: text, prompts: rest }],
  USERAUTH_INFO_RESPONSE: [61, { responses: rest }],
  GLOBAL_REQUEST: [80, { request: text, wantReply: boolean, fields: rest }],
  REQUEST_SUCCESS: [81, { fields: rest }],
  REQUEST_FAILURE: [82, {}],
  CHANNEL_OPEN: [90, { channel: text, sender: uint32, window: uint32, packetMax: uint32, fields: rest }],
  CHANNEL_OPEN_CONFIRMATION: [
    91,
    { recipient: uint32, sender: uint32, window: uint32, packetMax: uint32, fields: rest },
  ],
  CHANNEL_OPEN_FAILURE: [92, { recipient: uint32, reason: uint32, description: text, language: text }],
  CHANNEL_WINDOW_ADJUST: [93, { recipient: uint32, bytes: uint32 }],
  CHANNEL_DATA: [94, { recipient: uint32, data: string }],
  CHANNEL_EXTENDED_DATA: [95, { recipient: uint32, code: uint32, data: string }],
  CHANNEL_EOF: [96, { recipient: uint32 }],
  CHANNEL_CLOSE: [97, { recipient: uint32 }],
  CHANNEL_REQUEST: [98, { recipient: uint32, request: text, wantReply: boolean, fields: rest }],
  CHANNEL_SUCCESS: [99, { recipient: uint32 }],
  CHANNEL_FAILURE: [100, { recipient: uint32 }],
  PING: [192, { data: string }],
  PONG: [193, { data: string }],
} as const satisfies Record<string, readonly [number, Form]>

export type MessageName = keyof typeof FORMS
export type MessageOf<Name extends MessageName> = { readonly type: Name } & Value<(typeof FORMS)[Name][1]>
export type Message = { [Name in MessageName]: MessageOf<Name> }[MessageName]

/** A message's number by its name: `NUMBER.KEXINIT` is 20. */
export const NUMBER = Object.fromEntries(
  Object.entries(FORMS).map(([name, [number]]) => [name, number]),
) as Readonly<Record<MessageName, number>>

/** The first name of each number; the second of 60 is reached by `decodeAs` alone. */
const NAMES = new Map<number, MessageName>()
for (const name of Object.keys(FORMS) as MessageName[]) {
  if (!NAMES.has(NUMBER[name])) NAMES.set(NUMBER[name], name)
}

export function decodeMessage(payload: Uint8Array): Message {
  const name = NAMES.get(payload[0] ?? 0)
  if (name === undefined) throw new ProtocolError(`unknown message ${payload[0]}`)
  return decodeAs(name, payload) as Message
}

export function decodeAs<Name extends MessageName>(name: Name, payload: Uint8Array): MessageOf<Name> {
  const from = new Reader(payload)
  if (from.uint8() !== NUMBER[name]) throw new ProtocolError(`message ${payload[0]} where ${name} should be`)
  const form: Form = FORMS[name][1]
  const fields = decodeForm(form, from)
  from.end()
  return { type: name, ...fields } as unknown as MessageOf<Name>
}

export function encodeMessage(message: Message): Uint8Array {
  const [number, form]: readonly [number, Form] = FORMS[message.type]
  const to = new Writer()
  uint8.write(to, number)
  return encodeForm(form, message as unknown as Value<Form>, to)
}

/** RFC 4250, section 4.2.2. */
export const DISCONNECT = {
  PROTOCOL_ERROR: 2,
  KEY_EXCHANGE_FAILED: 3,
  SERVICE_NOT_AVAILABLE: 7,
  PROTOCOL_VERSION_NOT_SUPPORTED: 8,
  BY_APPLICATION: 11,
  TOO_MANY_CONNECTIONS: 12,
  NO_MORE_AUTH_METHODS_AVAILABLE: 14,
} as const

/** RFC 4250, section 4.3. */
export const OPEN_FAILURE = {
  ADMINISTRATIVELY_PROHIBITED: 1,
  CONNECT_FAILED: 2,
  UNKNOWN_CHANNEL_TYPE: 3,
  RESOURCE_SHORTAGE: 4,
} as const

/** The one type of extended data that is defined (RFC 4254, section 5.2). */
export const STDERR = 1
