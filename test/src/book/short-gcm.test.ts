import { createCipheriv, createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SHORT_BYTES_MAX, ShortGcm, TAG_BYTES } from '../../../src/book/short-gcm.ts'

function sealed(gcm: ShortGcm, number: number, own: string, plain: Uint8Array): string {
  const message = Buffer.concat([plain, Buffer.alloc(TAG_BYTES, 0xee)])
  gcm.seal(number, own, message)
  return message.toString('hex')
}

/** What OpenSSL makes of the same. */
function expected(key: Uint8Array, number: number, associated: Uint8Array, plain: Uint8Array): string {
  const nonce = Buffer.alloc(12)
  nonce.writeBigUInt64BE(BigInt(number), 4)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(associated)
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString('hex')
}

describe('short messages', () => {
  test('the published vectors (GCM specification, test cases 13 and 14)', () => {
    const gcm = new ShortGcm(createSecretKey(Buffer.alloc(32)), new Uint8Array(0))

    expect(sealed(gcm, 0, '', new Uint8Array(0))).toBe('530f8afbc74536b9a963b4f1c4cb738b')
    expect(sealed(gcm, 0, '', new Uint8Array(16))).toBe(
      'cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919',
    )
  })

  test('are what OpenSSL makes of them, whatever the key, the numbers, the lengths and the associated data', () => {
    const message = fc.record({
      skipped: fc.oneof(fc.nat(40), fc.integer({ min: 0, max: 2 ** 33 })),
      own: fc.string({
        unit: fc.integer({ min: 1, max: 126 }).map((code) => String.fromCharCode(code)),
        maxLength: 48,
      }),
      plain: fc.uint8Array({ maxLength: SHORT_BYTES_MAX }),
    })
    const given = fc.tuple(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ maxLength: 70 }),
      fc.array(message, { minLength: 1, maxLength: 30 }),
    )
    fc.assert(
      fc.property(given, ([key, prefix, messages]) => {
        const gcm = new ShortGcm(createSecretKey(key), prefix)
        let number = 0
        for (const { skipped, own, plain } of messages) {
          number += skipped
          const associated = Buffer.concat([prefix, Buffer.from(own, 'latin1')])
          expect(sealed(gcm, number, own, plain)).toBe(expected(key, number, associated, plain))
          number++
        }
      }),
    )
  })

  test('are not longer than the key stream that is made for them', () => {
    const gcm = new ShortGcm(createSecretKey(Buffer.alloc(32, 1)), new Uint8Array(0))

    expect(() => gcm.seal(0, '', Buffer.alloc(SHORT_BYTES_MAX + TAG_BYTES + 1))).toThrow('is not short')
  })
})
