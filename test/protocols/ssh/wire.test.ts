import { expect, test } from 'vitest'
import { ProtocolError } from '../../../protocols/bytes.ts'
import {
  decodeAs,
  decodeMessage,
  encodeMessage,
  type Message,
  NUMBER,
} from '../../../protocols/ssh/messages.ts'
import { decodeWhole, encodeForm, mpint, names } from '../../../protocols/ssh/wire.ts'
import { fromHex, toHex } from '../../support/ssh-vectors.ts'

// RFC 4251, section 5, but for the negative numbers, which are refused.
test.each([
  ['00000000', ''],
  ['0000000809a378f9b2e332a7', '09a378f9b2e332a7'],
  ['000000020080', '80'],
])('the mpint %s is the number %s', (encoded, magnitude) => {
  expect(toHex(decodeWhole({ n: mpint }, fromHex(encoded)).n)).toBe(magnitude)
  expect(toHex(encodeForm({ n: mpint }, { n: fromHex(magnitude) }))).toBe(encoded)
})

test.each([
  ['00000002edcc', 'a negative number'],
  ['00000005ff21524111', 'a negative number'],
  ['00000001ff', 'a negative number'],
  ['0000000100', 'needless leading bytes'],
  ['000000020001', 'needless leading bytes'],
])('the mpint %s is refused: %s', (encoded, reason) => {
  expect(() => decodeWhole({ n: mpint }, fromHex(encoded))).toThrow(reason)
})

test('leading zeros of a number are not sent', () => {
  expect(toHex(encodeForm({ n: mpint }, { n: fromHex('000000ff') }))).toBe('0000000200ff')
})

test('a name-list is split at its commas, and empty when it is empty', () => {
  const list = (value: string) => encodeForm({ n: names }, { n: [value] })
  expect(decodeWhole({ n: names }, list('zlib,none')).n).toEqual(['zlib', 'none'])
  expect(decodeWhole({ n: names }, list('')).n).toEqual([])
  for (const bad of ['a,,b', ',a', 'a,', 'a b', 'a\0', 'ä', 'x'.repeat(65)]) {
    expect(() => decodeWhole({ n: names }, list(bad)), JSON.stringify(bad)).toThrow('malformed name-list')
  }
})

const bytes = fromHex('0102')
const MESSAGES: readonly Message[] = [
  { type: 'DISCONNECT', reason: 11, description: 'so long', language: '' },
  { type: 'IGNORE', data: bytes },
  { type: 'UNIMPLEMENTED', sequence: 4_000_000_000 },
  { type: 'DEBUG', alwaysDisplay: true, message: bytes, language: 'en' },
  { type: 'SERVICE_REQUEST', service: 'ssh-userauth' },
  { type: 'SERVICE_ACCEPT', service: 'ssh-userauth' },
  { type: 'EXT_INFO', extensions: bytes },
  { type: 'NEWKEYS' },
  { type: 'KEX_ECDH_INIT', clientKey: bytes },
  { type: 'KEX_ECDH_REPLY', hostKey: bytes, serverKey: bytes, signature: bytes },
  { type: 'USERAUTH_REQUEST', user: 'ä', service: 'ssh-connection', method: 'none', fields: bytes },
  { type: 'USERAUTH_FAILURE', methods: ['publickey'], partial: true },
  { type: 'USERAUTH_SUCCESS' },
  { type: 'USERAUTH_BANNER', message: 'welcome', language: '' },
  { type: 'USERAUTH_PK_OK', algorithm: 'ssh-ed25519', key: bytes },
  { type: 'USERAUTH_INFO_RESPONSE', responses: bytes },
  { type: 'GLOBAL_REQUEST', request: 'x', wantReply: false, fields: bytes },
  { type: 'REQUEST_SUCCESS', fields: bytes },
  { type: 'REQUEST_FAILURE' },
  { type: 'CHANNEL_OPEN', channel: 'session', sender: 1, window: 2, packetMax: 3, fields: bytes },
  { type: 'CHANNEL_OPEN_CONFIRMATION', recipient: 1, sender: 2, window: 3, packetMax: 4, fields: bytes },
  { type: 'CHANNEL_OPEN_FAILURE', recipient: 1, reason: 2, description: 'no', language: '' },
  { type: 'CHANNEL_WINDOW_ADJUST', recipient: 1, bytes: 4_294_967_295 },
  { type: 'CHANNEL_DATA', recipient: 1, data: bytes },
  { type: 'CHANNEL_EXTENDED_DATA', recipient: 1, code: 1, data: bytes },
  { type: 'CHANNEL_EOF', recipient: 1 },
  { type: 'CHANNEL_CLOSE', recipient: 1 },
  { type: 'CHANNEL_REQUEST', recipient: 1, request: 'shell', wantReply: true, fields: bytes },
  { type: 'CHANNEL_SUCCESS', recipient: 1 },
  { type: 'CHANNEL_FAILURE', recipient: 1 },
  { type: 'PING', data: bytes },
  { type: 'PONG', data: bytes },
]

test.each(MESSAGES)('$type is decoded to what was encoded, and cut short it is refused', (message) => {
  const payload = encodeMessage(message)
  expect(payload[0]).toBe(NUMBER[message.type])
  expect(decodeMessage(payload)).toEqual(message)
  for (let length = 0; length < payload.length; length++) {
    const cut = () => decodeMessage(payload.subarray(0, length))
    // A message that ends in whatever is left over is shorter, and still one.
    if (length >= payload.length - 2 && Object.values(message).at(-1) === bytes) continue
    expect(cut, `${length} of ${payload.length}`).toThrow(ProtocolError)
  }
})

test('bytes behind the end of a message are refused', () => {
  expect(() => decodeMessage(fromHex('5e00000001000000020102ff'))).toThrow('1 bytes behind the end')
})

test('a message of number 60 is what the method under way makes of it', () => {
  const asked = encodeMessage({
    type: 'USERAUTH_INFO_REQUEST',
    name: 'n',
    instruction: 'i',
    language: '',
    prompts: bytes,
  })
  expect(decodeAs('USERAUTH_INFO_REQUEST', asked)).toMatchObject({ name: 'n', instruction: 'i' })
  expect(() => decodeAs('CHANNEL_DATA', asked)).toThrow('message 60 where CHANNEL_DATA should be')
})

test.each([0, 8, 19, 52 + 20, 127, 128, 255])('the number %s is no message', (number) => {
  expect(() => decodeMessage(Uint8Array.of(number))).toThrow(`unknown message ${number}`)
})
