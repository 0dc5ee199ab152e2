import fc from 'fast-check'
import { expect, test } from 'vitest'
import { concat } from '../../../protocols/bytes.ts'
import { chachaPolyOpener, chachaPolySealer } from '../../../protocols/ssh/chacha-poly.ts'
import { poly1305 } from '../../../protocols/ssh/poly1305.ts'
import { field, fromHex, readVectors, toHex } from '../../support/ssh-vectors.ts'

test.each(readVectors('poly1305'))('Poly1305 makes the published tag: $name', (vector) => {
  expect(toHex(poly1305(fromHex(field(vector, 'key')), vector.bytes))).toBe(field(vector, 'expect'))
})

/** The definition (RFC 8439, section 2.5.1), with numbers as large as they are. */
function byDefinition(key: Uint8Array, message: Uint8Array): string {
  const number = (bytes: Uint8Array): bigint =>
    bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
  const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn
  let sum = 0n
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16)
    sum = ((sum + number(block) + (1n << BigInt(8 * block.length))) * r) % ((1n << 130n) - 5n)
  }
  const tag = (sum + number(key.subarray(16))) & ((1n << 128n) - 1n)
  return toHex(Uint8Array.from({ length: 16 }, (_, i) => Number((tag >> BigInt(8 * i)) & 0xffn)))
}

test('Poly1305 agrees with its definition, at the edges of its limbs too', () => {
  const edge = fc.constantFrom(0x00, 0x01, 0x03, 0x0f, 0x3f, 0x7f, 0x80, 0xfb, 0xfc, 0xfe, 0xff)
  const bytes = (minLength: number, maxLength: number) =>
    fc.oneof(
      fc.uint8Array({ minLength, maxLength }),
      fc.array(edge, { minLength, maxLength }).map((array) => Uint8Array.from(array)),
    )
  fc.assert(
    fc.property(bytes(32, 32), bytes(0, 130), (key, message) => {
      expect(toHex(poly1305(key, message))).toBe(byDefinition(key, message))
    }),
    { numRuns: 2000, seed: 1 },
  )
})

test.each(readVectors('chacha-poly'))('chacha20-poly1305@openssh.com seals and opens: $name', (vector) => {
  const key = fromHex(field(vector, 'key'))
  const sequence = Number(field(vector, 'sequence'))
  const sealed = concat(chachaPolySealer(key).seal(sequence, vector.bytes.slice()))
  expect(toHex(sealed)).toBe(field(vector, 'expect'))

  const opener = chachaPolyOpener(key)
  expect(opener.packetLength(sequence, sealed.subarray(0, 4))).toBe(vector.bytes.length - 4)
  expect(toHex(opener.open(sequence, sealed))).toBe(toHex(vector.bytes.subarray(4)))
  for (let i = 0; i < sealed.length; i++) {
    const changed = sealed.slice()
    changed[i] = (changed[i] ?? 0) ^ 1
    expect(() => opener.open(sequence, changed), `bit 0 of byte ${i}`).toThrow('wrong tag')
  }
  expect(() => opener.open(sequence + 1, sealed)).toThrow('wrong tag')
})
