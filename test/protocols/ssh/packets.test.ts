import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, ProtocolError } from '../../../protocols/bytes.ts'
import { CIPHERS, MACS, macFor } from '../../../protocols/ssh/ciphers.ts'
import { PACKET_LENGTH_MAX, PacketReader, PacketWriter } from '../../../protocols/ssh/packets.ts'
import { CLEAR_OPENER, CLEAR_SEALER, type KeySource } from '../../../protocols/ssh/protection.ts'
import { fromHex, toHex } from '../../support/ssh-vectors.ts'

/** Keys that differ by purpose and are always the same. */
const KEYS: KeySource = {
  iv: (length) => seeded('iv', length),
  key: (length) => seeded('key', length),
  integrity: (length) => seeded('integrity', length),
}

function seeded(seed: string, length: number): Uint8Array {
  return createHash('shake256', { outputLength: length }).update(seed).digest()
}

const PROTECTIONS = [...CIPHERS.keys()].flatMap((cipher) =>
  CIPHERS.get(cipher)?.needsMac
    ? [...MACS.keys()].map((mac) => [cipher, mac] as const)
    : [[cipher, ''] as const],
)

function pair(cipher: string, mac: string): { writer: PacketWriter; reader: PacketReader } {
  const writer = new PacketWriter((bytes) => bytes.fill(0xaa))
  const reader = new PacketReader()
  const suite = CIPHERS.get(cipher)
  if (suite !== undefined) {
    writer.use(suite.sealer(KEYS, macFor(suite, mac)), true)
    reader.use(suite.opener(KEYS, macFor(suite, mac)), true)
  }
  return { writer, reader }
}

function readAll(reader: PacketReader): string[] {
  const found: string[] = []
  for (let payload = reader.read(); payload !== undefined; payload = reader.read()) found.push(toHex(payload))
  return found
}

const PAYLOADS = [1, 2, 3, 4, 7, 8, 11, 12, 15, 16, 31, 300].map((length) =>
  seeded(`payload${length}`, length),
)

describe.each([['none', ''] as const, ...PROTECTIONS])('%s %s', (cipher, mac) => {
  const sealed = () => {
    const { writer } = pair(cipher, mac)
    return concat(PAYLOADS.flatMap((payload) => writer.write(payload)))
  }

  test('carries payloads, whatever pieces the bytes come in', () => {
    const bytes = sealed()
    const whole = PAYLOADS.map(toHex)
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { reader } = pair(cipher, mac)
      reader.push(bytes.subarray(0, cut))
      const before = readAll(reader)
      reader.release()
      reader.push(bytes.subarray(cut))
      expect([...before, ...readAll(reader)], `cut at ${cut}`).toEqual(whole)
      expect(reader.pending).toBe(0)
    }
    const { reader } = pair(cipher, mac)
    const found = Array.from(bytes).flatMap((byte) => {
      reader.push(Uint8Array.of(byte))
      return readAll(reader)
    })
    expect(found).toEqual(whole)
  })

  test('keeps nothing of a chunk that is its owner’s again', () => {
    const bytes = sealed()
    for (let cut = 0; cut <= bytes.length; cut += 7) {
      const { reader } = pair(cipher, mac)
      // A Buffer, as sockets give them: its `slice` is a view.
      const chunk = Buffer.from(bytes.subarray(0, cut))
      reader.push(chunk)
      const before = readAll(reader)
      reader.release()
      chunk.fill(0)
      reader.push(Buffer.from(bytes.subarray(cut)))
      expect([...before, ...readAll(reader)], `cut at ${cut}`).toEqual(PAYLOADS.map(toHex))
    }
  })

  test('hands out payloads in memory of their own', () => {
    const { reader } = pair(cipher, mac)
    const chunk = Buffer.from(sealed())
    reader.push(chunk)
    const payload = reader.read()
    chunk.fill(0)
    expect(toHex(payload ?? chunk)).toBe(toHex(PAYLOADS[0] ?? chunk))
  })

  if (cipher !== 'none')
    test('a changed bit ends the connection, and nothing of its packet is read', () => {
      const { writer } = pair(cipher, mac)
      const bytes = concat(writer.write(seeded('payload', 20)))
      for (let i = 0; i < bytes.length * 8; i++) {
        const changed = bytes.slice()
        changed[i >> 3] = (changed[i >> 3] ?? 0) ^ (1 << (i & 7))
        const { reader } = pair(cipher, mac)
        reader.push(changed)
        const outcome = attempt(() => reader.read())
        // A smaller or larger length may only mean that more bytes are waited for.
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(ProtocolError)
        else expect([outcome, i < 32], `bit ${i}`).toEqual([undefined, true])
      }
    })

  if (cipher !== 'none')
    test('a packet that is dropped, repeated or moved ends the connection', () => {
      const { writer } = pair(cipher, mac)
      const [a, b] = [concat(writer.write(seeded('a', 20))), concat(writer.write(seeded('a', 20)))]
      for (const wrong of [[b], [a, a], [b, a]]) {
        const { reader } = pair(cipher, mac)
        reader.push(concat(wrong))
        expect(() => readAll(reader)).toThrow(ProtocolError)
      }
    })

  test('a length that is none is refused before memory is taken', () => {
    const { writer, reader } = pair(cipher, mac)
    const suite = CIPHERS.get(cipher)
    const sealer = suite?.sealer(KEYS, macFor(suite, mac)) ?? CLEAR_SEALER
    const opener = suite?.opener(KEYS, macFor(suite, mac)) ?? CLEAR_OPENER
    expect(sealer.blockLength).toBe(opener.blockLength)
    expect(writer.traffic).toEqual({ bytes: 0, packets: 0 })
    const head = (length: number): Uint8Array => {
      const fresh = suite?.sealer(KEYS, macFor(suite, mac)) ?? CLEAR_SEALER
      const packet = new Uint8Array(32)
      new DataView(packet.buffer).setUint32(0, length)
      return concat(fresh.seal(0, packet)).subarray(0, 16)
    }
    for (const length of [0, 1, 5, 13, PACKET_LENGTH_MAX + 4, 2 ** 31, 2 ** 32 - 1, 17]) {
      const { reader: fresh } = pair(cipher, mac)
      fresh.push(head(length))
      expect(() => fresh.read(), `${length}`).toThrow(`a packet of ${length} bytes`)
    }
    expect(reader.pending).toBe(0)
  })
})

function attempt(work: () => Uint8Array | undefined): Uint8Array | undefined | Error {
  try {
    return work()
  } catch (error) {
    if (error instanceof Error) return error
    throw error
  }
}

test('a packet in clear is length, padding length, payload, padding', () => {
  const { writer } = pair('none', '')
  expect(toHex(concat(writer.write(fromHex('15'))))).toBe('0000000c0a15aaaaaaaaaaaaaaaaaaaa')
})

test.each([
  ['no payload', '0000000c0bffffffffffffffffffffff'],
  ['padding beyond the packet', '0000000cff1500000000000000000000'],
  ['less padding than is demanded', '0000000c031500000000000000000000'],
])('a packet with %s is refused', (_, hex) => {
  const reader = new PacketReader()
  reader.push(fromHex(hex))
  expect(() => reader.read()).toThrow(/bytes of padding/)
})

test('padding fills the block and is random', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 400 }),
      fc.constantFrom(...PROTECTIONS),
      (length, [cipher, mac]) => {
        const { writer, reader } = pair(cipher, mac)
        const bytes = concat(writer.write(new Uint8Array(length)))
        reader.push(bytes)
        expect(toHex(reader.read() ?? bytes)).toBe('00'.repeat(length))
        expect(reader.traffic.bytes).toBe(bytes.length)
      },
    ),
    { numRuns: 300, seed: 2 },
  )
  let drawn = 0
  const counting = new PacketWriter((bytes) => {
    drawn += bytes.length
  })
  for (let i = 0; i < 1000; i++) counting.write(Uint8Array.of(1))
  expect(drawn).toBeGreaterThanOrEqual(10_000)
})
