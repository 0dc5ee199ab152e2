import { expect, test } from 'vitest'
import { ProtocolError } from '../../../protocols/bytes.ts'
import { readProxyHeader } from '../../../src/gate/proxy-header.ts'
import { playConversation } from '../../support/play.ts'

const SIGNATURE = '0d0a0d0a000d0a515549540a'

function read(hex: string) {
  return playConversation(readProxyHeader(), [Buffer.from(hex.replaceAll(' ', ''), 'hex')])
}

test('an IPv4 client is known by the address its balancer tells', () => {
  const played = read(`${SIGNATURE} 21 11 000c c0000207 0a000001 c3bf 1538 ffff`)
  expect(played.end).toEqual({ result: { address: '192.0.2.7', port: 50111 } })
  expect(Buffer.from(played.left).toString('hex')).toBe('ffff')
})

test('an IPv6 client, with extensions behind the addresses', () => {
  const from = '20010db8000000000000000000000005'
  const played = read(`${SIGNATURE} 21 21 0029 ${from} ${from} c3bf 1538 0300020102`)
  expect(played.end).toEqual({ result: { address: '2001:db8:0:0:0:0:0:5', port: 50111 } })
})

test('a health check of the balancer is nobody', () => {
  expect(read(`${SIGNATURE} 20 00 0000`).end).toEqual({ result: undefined })
})

test.each([
  ['another signature', '0d0a0d0a000d0a515549540b 21 11 000c c0000207 0a000001 c3bf 1538'],
  ['an unknown command', `${SIGNATURE} 22 11 000c c0000207 0a000001 c3bf 1538`],
  ['a datagram', `${SIGNATURE} 21 12 000c c0000207 0a000001 c3bf 1538`],
  ['addresses cut short', `${SIGNATURE} 21 11 0004 c0000207`],
  ['a header longer than any', `${SIGNATURE} 21 11 ffff`],
])('%s is refused', (_, hex) => {
  const { end } = read(hex)
  expect('thrown' in end && end.thrown).toBeInstanceOf(ProtocolError)
})
