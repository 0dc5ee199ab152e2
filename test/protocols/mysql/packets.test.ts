import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ProtocolError, Reader, Writer } from '../../../protocols/bytes.ts'
import {
  encodePacket,
  lenenc,
  lenencValue,
  PAYLOAD_MAX,
  Packets,
  writeLenenc,
} from '../../../protocols/mysql/packets.ts'
import { bytewise, hex, join, packet, unhex } from '../../support/mysql-play.ts'

/** Walks a stream, taking or passing each packet as told, and tells what came of each. */
function walk(
  packets: Packets,
  chunks: readonly Uint8Array[],
  passes: (index: number) => boolean,
  max: number,
) {
  const seen: string[] = []
  let passing = ''
  for (const chunk of chunks) {
    packets.feed(chunk)
    while (packets.peek()) {
      if (passes(seen.length)) {
        const whole = packets.pass()
        passing += packets.passed().map(hex).join('')
        if (!whole) break
        seen.push(`pass ${packets.size} ${passing}`)
        passing = ''
      } else {
        const taken = packets.take(max)
        if (taken === 'partial') break
        if (taken === 'over') throw new Error('over')
        seen.push(`take ${packets.sequence} ${hex(taken)} ${hex(packets.raw(taken))}`)
      }
    }
  }
  return seen
}

describe('Packets', () => {
  test('says the same however the stream is cut and whichever packets are passed', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 12 }), { minLength: 1, maxLength: 8 }),
        fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
        fc.array(fc.nat(60), { maxLength: 6 }),
        (payloads, passes, cuts) => {
          const frames = payloads.map((payload, i) => packet(i, payload))
          const stream = join(...frames)
          const at = [...new Set(cuts.filter((c) => c < stream.length))].sort((a, b) => a - b)
          const chunks = [0, ...at].map((from, i) => stream.slice(from, at[i]))
          const expected = payloads.map((payload, i) =>
            passes[i] === true
              ? `pass ${payload.length} ${hex(frames[i] ?? payload)}`
              : `take ${i} ${hex(payload)} ${hex(frames[i] ?? payload)}`,
          )
          expect(walk(new Packets(), chunks, (i) => passes[i] === true, 100)).toEqual(expected)
          expect(walk(new Packets(), bytewise(stream), (i) => passes[i] === true, 100)).toEqual(expected)
        },
      ),
    )
  })

  test.each([PAYLOAD_MAX - 1, PAYLOAD_MAX, PAYLOAD_MAX + 1, 2 * PAYLOAD_MAX])(
    'a payload of %i bytes is split, taken and passed whole, in pieces of a network',
    (length) => {
      const payload = new Uint8Array(length).fill(7)
      payload[length - 1] = 9
      const framed = encodePacket(254, payload)
      expect(framed.length).toBe(length + 4 * (Math.floor(length / PAYLOAD_MAX) + 1))
      const chunks = Array.from({ length: Math.ceil(framed.length / 65_537) }, (_, i) =>
        framed.subarray(i * 65_537, (i + 1) * 65_537),
      )
      const taking = new Packets()
      taking.next = 254
      const passing = new Packets()
      passing.next = 254
      let taken: Uint8Array | string = 'partial'
      let passed = 0
      let ends = 0
      for (const chunk of chunks) {
        taking.feed(chunk)
        passing.feed(chunk)
        if (taking.peek()) taken = taking.take(2 ** 26)
        if (passing.peek() && passing.pass()) ends++
        for (const piece of passing.passed()) passed += piece.length
      }
      expect(taken instanceof Uint8Array && Buffer.compare(taken, payload)).toBe(0)
      expect(Buffer.compare(taking.raw(payload), framed)).toBe(0)
      expect([passed, ends, passing.size]).toEqual([framed.length, 1, length])
      expect([taking.next, passing.next]).toEqual(
        Array(2).fill((254 + Math.floor(length / PAYLOAD_MAX) + 1) & 0xff),
      )
    },
  )

  test('an exact multiple ends with an empty packet (T-MY-11)', () => {
    const framed = encodePacket(0, new Uint8Array(PAYLOAD_MAX))
    expect(hex(framed.subarray(-4))).toBe('00000001')
  })

  test.each([0, 4, 5, 30])(
    'a packet longer than is allowed is told by its header and can be skipped, cut behind %i bytes',
    (cut) => {
      const packets = new Packets()
      const stream = join(packet(0, new Uint8Array(50).fill(3)), packet(1, 'next'))
      let skipped = 0
      const answers: string[] = []
      for (const chunk of [stream.subarray(0, cut), stream.subarray(cut)]) {
        packets.feed(chunk)
        if (packets.peek() && !answers.includes('over')) answers.push(String(packets.take(49)))
        const ended =
          answers.length === 1 &&
          packets.begun &&
          packets.skip((bytes) => (skipped += bytes.filter((b) => b === 3).length))
        if (ended && packets.peek()) answers.push(Buffer.from(packets.take(49)).toString())
      }
      expect([skipped, answers]).toEqual([50, ['over', 'next']])
    },
  )

  test('a split packet that grows over the limit is skipped whole', () => {
    const packets = new Packets()
    packets.feed(encodePacket(0, new Uint8Array(PAYLOAD_MAX + 10).fill(3)))
    expect(packets.peek()).toBe(true)
    expect(packets.take(PAYLOAD_MAX + 9)).toBe('over')
    let skipped = 0
    expect(packets.skip((bytes) => (skipped += bytes.length))).toBe(true)
    expect([skipped, packets.size, packets.next]).toEqual([PAYLOAD_MAX + 10, PAYLOAD_MAX + 10, 2])
  })

  test('a wrong sequence id ends the connection, in a header and between the parts of a split packet', () => {
    const packets = new Packets()
    packets.feed(packet(1, 'x'))
    expect(() => packets.peek()).toThrow(ProtocolError)
    const split = encodePacket(0, new Uint8Array(PAYLOAD_MAX))
    split[split.length - 1] = 5
    const second = new Packets()
    second.feed(split)
    expect(second.peek()).toBe(true)
    expect(() => second.take(2 ** 25)).toThrow('part 5 where 1 was due')
  })

  test('sequence ids wrap behind 255 (T-MY-11)', () => {
    const packets = new Packets()
    const stream = join(...Array.from({ length: 300 }, (_, i) => packet(i & 0xff, 'x')))
    expect(walk(packets, [stream], () => true, 10)).toHaveLength(300)
    expect(packets.next).toBe(300 & 0xff)
  })
})

describe('length-encoded integers', () => {
  test.each([
    [0, '00'],
    [250, 'fa'],
    [251, 'fcfb00'],
    [65_535, 'fcffff'],
    [65_536, 'fd000001'],
    [16_777_216, 'fe0000000100000000'],
  ])('%i', (value, bytes) => {
    expect(hex(writeLenenc(new Writer(), value).done())).toBe(bytes)
    expect(lenenc(new Reader(unhex(bytes)))).toBe(value)
  })

  test.each(['', 'fb', 'ff', 'fc01', 'fd0101', 'fe01010101010101', 'feffffffffffffffff'])(
    '%s is no length',
    (bytes) => {
      expect(() => lenenc(new Reader(unhex(bytes)))).toThrow(ProtocolError)
    },
  )

  test('a value may use 64 bits', () => {
    expect(lenencValue(new Reader(unhex('feffffffffffffffff')))).toBe(2n ** 64n - 1n)
  })
})
