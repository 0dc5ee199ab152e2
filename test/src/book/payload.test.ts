import { createCipheriv, createDecipheriv, createHash } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Ref } from '../../../src/book/format.ts'
import {
  commitment,
  DataKey,
  KEY_RESERVE,
  OpenedKey,
  PAYLOAD_BODY_MAX,
  PAYLOAD_OVERHEAD,
  type Random,
} from '../../../src/book/payload.ts'
import { systemRandom } from '../../../src/record/random.ts'

const ORIGIN = 'gw1.example/book'
const SID = 'k3v5o2n7q4w6x2za'
const KEY = Buffer.from(Array.from({ length: 32 }, (_, k) => k))
const COM = 'zqYP4IYkNSRijTb1Ukiv+TCUVTk5xKNu2aT5rzh20ow='

/** First the key 00…1f, then for payload i a blind of sixteen bytes a0 + i. */
function exampleRandom(): Random {
  let blinds = 0
  return (length) => (length === 32 ? Buffer.from(KEY) : Buffer.alloc(length, 0xa0 + blinds++))
}

const exampleKey = (): DataKey => new DataKey(ORIGIN, SID, exampleRandom())
const opener = (): OpenedKey => new OpenedKey(ORIGIN, SID, KEY, COM)
const body = (words: string): Buffer => Buffer.from(words)

const nonceOf = (i: number): Buffer => Buffer.from(i.toString(16).padStart(24, '0'), 'hex')
const associated = (i: number, type: string): Buffer =>
  Buffer.from(`gatebook/payload/v1\n${ORIGIN}\n${SID}\n${i}\n${type}\n`)

/** The format's own words: under the cipher stands whatever the test says. */
function sealed(i: number, type: string, plain: Uint8Array): { ref: Ref; bytes: Buffer } {
  const cipher = createCipheriv('aes-256-gcm', KEY, nonceOf(i))
  cipher.setAAD(associated(i, type))
  const bytes = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
  return {
    ref: { h: createHash('sha256').update(bytes).digest('base64'), i, n: bytes.length, t: type },
    bytes,
  }
}

function plainOf({ i, t }: Ref, bytes: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', KEY, nonceOf(i))
  decipher.setAAD(associated(i, t))
  decipher.setAuthTag(bytes.subarray(-16))
  return Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()])
}

describe('the published example', () => {
  test('the commitment to its key', () => {
    expect(exampleKey().commitment).toBe(COM)
    expect(commitment(KEY).toString()).toBe(COM)
    expect(Buffer.from(COM, 'base64').toString('hex')).toBe(
      'cea60fe086243524628d36f55248aff93094553939c4a36ed9a4f9af3876d28c',
    )
  })

  test('its two payloads, byte for byte', () => {
    const key = exampleKey()
    const who = key.seal('who', body('{"addr":"192.0.2.7","name":"alice","port":50123}'), true)
    const sql = key.seal('sql', body('SELECT 1'), true)

    expect(who.ref).toEqual({ h: 'bNU/K2atXiT0lqG/WoxXvbUAj5WY1AlDjVVLwrCegKU=', i: 0, n: 81, t: 'who' })
    expect(sql.ref).toEqual({ h: 'xm1gCMKXC1Pkr8NFIc11HFklimh7/eETgdAnIKh9RJg=', i: 1, n: 41, t: 'sql' })
    expect(Buffer.from(sql.bytes).toString('hex')).toBe(
      'b4771e5de55591bfaf8ff0984d079b5615cc591821f100a442c9aaa3879384651ce894683314baba83',
    )
    expect(opener().open(who.ref, who.bytes).toString()).toBe(
      '{"addr":"192.0.2.7","name":"alice","port":50123}',
    )
    expect(opener().open(sql.ref, sql.bytes).toString()).toBe('SELECT 1')
  })
})

describe('sealing', () => {
  test('any body opens again to the same bytes, compressed or not', () => {
    const key = exampleKey()
    const any = fc.oneof(
      fc.uint8Array({ maxLength: 3000 }),
      fc
        .record({ byte: fc.nat(255), length: fc.integer({ min: 500, max: 100_000 }) })
        .map(({ byte, length }) => Buffer.alloc(length, byte)),
    )
    fc.assert(
      fc.property(any, fc.constantFrom('sql', 'tty', 'x"\\y'), fc.boolean(), (bytes, type, compress) => {
        const { ref, bytes: stored } = key.seal(type, bytes, compress)
        expect(ref.n).toBe(stored.length)
        expect(opener().open(ref, stored)).toEqual(Buffer.from(bytes))
      }),
    )
  })

  test('the plaintext is a blind of 16 bytes, a codec, and the body', () => {
    const key = exampleKey()
    const short = key.seal('sql', body('SELECT 2'), true)
    expect(plainOf(short.ref, short.bytes)).toEqual(
      Buffer.concat([Buffer.alloc(16, 0xa0), Buffer.of(0), body('SELECT 2')]),
    )
    const text = body('SELECT 3 '.repeat(100))
    const long = key.seal('sql', text, true)
    expect(plainOf(long.ref, long.bytes).subarray(0, 17)).toEqual(
      Buffer.concat([Buffer.alloc(16, 0xa1), Buffer.of(1)]),
    )
    const open = key.seal('sql', text, false)
    expect(open.ref.n, 'where compression is switched off, lengths tell nothing').toBe(
      text.length + PAYLOAD_OVERHEAD,
    )
    const noise = systemRandom()(4000)
    expect(key.seal('out', noise, true).ref.n, 'what does not shrink stays as it is').toBe(
      4000 + PAYLOAD_OVERHEAD,
    )
    expect(key.seal('out', body(''), true).ref.n).toBe(PAYLOAD_OVERHEAD)
  })

  test('the same text twice gives two ciphertexts under two blinds', () => {
    const random = systemRandom()
    const drawn: number[] = []
    const key = new DataKey(ORIGIN, SID, (length) => {
      drawn.push(length)
      return length === 32 ? Buffer.from(KEY) : random(length)
    })
    const all = Array.from({ length: 50 }, () => key.seal('sql', body('SELECT 1'), true))
    expect(drawn).toEqual([32, ...Array.from({ length: 50 }, () => 16)])
    const blinds = all.map(({ ref, bytes }) => plainOf(ref, bytes).subarray(0, 16).toString('hex'))
    expect(new Set(blinds).size).toBe(50)
    expect(all.map(({ ref }) => ref.i)).toEqual(Array.from({ length: 50 }, (_, i) => i))
  })

  test('a key that seals much seals the same way, however long what it seals', () => {
    const key = exampleKey()
    for (let i = 0; i < 200; i++) {
      const plain = Buffer.alloc((i * 37) % 300, i)
      const { ref, bytes } = key.seal(i % 2 === 0 ? 'args' : 'sql', plain, false)

      expect(ref).toMatchObject({ i, n: plain.length + PAYLOAD_OVERHEAD })
      const blindAndCodec = Buffer.concat([Buffer.alloc(16, 0xa0 + i), Buffer.alloc(1)])
      expect(plainOf(ref, bytes)).toEqual(Buffer.concat([blindAndCodec, plain]))
    }
  })

  test('an index is used up even when sealing fails half-way, and never comes back', () => {
    let fail = false
    const key = new DataKey(ORIGIN, SID, (length) => {
      if (fail) throw new Error('no randomness')
      return length === 32 ? Buffer.from(KEY) : Buffer.alloc(length)
    })
    expect(key.seal('sql', body('a'), true).ref.i).toBe(0)
    fail = true
    expect(() => key.seal('sql', body('b'), true)).toThrow('no randomness')
    fail = false
    expect(key.seal('sql', body('c'), true).ref.i).toBe(2)
  })

  test('a key has its limits, and keeps a reserve for what a session that ends still seals', () => {
    const limits = { payloads: KEY_RESERVE.payloads + 2, bytes: KEY_RESERVE.bytes + 10 }
    const key = new DataKey(ORIGIN, SID, systemRandom(), limits)
    expect([key.hasRoom(2, 10), key.hasRoom(3, 1), key.hasRoom(1, 11)]).toEqual([true, false, false])
    key.seal('sql', body('123456'), true)
    expect([key.hasRoom(1, 4), key.hasRoom(2, 4), key.hasRoom(1, 5)]).toEqual([true, false, false])
    expect(key.seal('sql', body('the reserve'), true).ref.i).toBe(1)
    const last = new DataKey(ORIGIN, SID, systemRandom(), { payloads: 1, bytes: 100 })
    last.seal('sql', body('a'), true)
    expect(() => last.seal('sql', body('b'), true)).toThrow('used up')
  })

  test('a body above 1 MiB is refused; one of just that size is not', () => {
    const key = exampleKey()
    expect(() => key.seal('sql', Buffer.alloc(PAYLOAD_BODY_MAX + 1), true)).toThrow(RangeError)
    const { ref, bytes } = key.seal('sql', systemRandom()(PAYLOAD_BODY_MAX), true)
    expect(ref).toMatchObject({ i: 0, n: 1_048_609 })
    expect(opener().open(ref, bytes)).toHaveLength(PAYLOAD_BODY_MAX)
  })

  test('bytes that change after the call are sealed as they were', () => {
    const key = exampleKey()
    const view = body('SELECT 1')
    const { ref, bytes } = key.seal('sql', view, true)
    view.fill(0)
    expect(opener().open(ref, bytes).toString()).toBe('SELECT 1')
  })
})

describe('a destroyed key', () => {
  test('is overwritten and seals nothing more', () => {
    const key = exampleKey()
    const { ref, bytes } = key.seal('sql', body('SELECT 1'), true)
    let held: Uint8Array = new Uint8Array()
    key.wrap((its) => {
      held = its
    })
    expect(Buffer.from(held)).toEqual(KEY)
    key.destroy()
    expect(Buffer.from(held)).toEqual(Buffer.alloc(32))
    expect(() => key.seal('sql', body('SELECT 2'), true)).toThrow()
    expect(opener().open(ref, bytes).toString(), 'what is sealed stays as it is').toBe('SELECT 1')
  })

  test('leaves no copy: the bytes that were drawn for it are the ones it overwrites', () => {
    const drawn = Buffer.from(KEY)
    new DataKey(ORIGIN, SID, () => drawn).destroy()
    expect(drawn).toEqual(Buffer.alloc(32))
  })
})

describe('opening', () => {
  const one = exampleKey().seal('sql', body('SELECT 1'), true)
  const refused = (run: () => unknown, code: string): void =>
    expect(run).toThrow(expect.objectContaining({ name: 'PayloadError', code }))

  test('a key that is not the one the session names is refused before it touches anything', () => {
    refused(() => new OpenedKey(ORIGIN, SID, Buffer.alloc(32), COM), 'commitment')
    refused(() => new OpenedKey(ORIGIN, SID, KEY, commitment(Buffer.alloc(32))), 'commitment')
  })

  test('bytes that are not those the leaf names are refused before the cipher sees them', () => {
    for (let bit = 0; bit < one.bytes.length * 8; bit++) {
      const changed = Buffer.from(one.bytes)
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      refused(() => opener().open(one.ref, changed), 'payload')
    }
    refused(() => opener().open(one.ref, Buffer.concat([one.bytes, Buffer.of(0)])), 'payload')
    refused(() => opener().open({ ...one.ref, n: one.ref.n + 1 }, one.bytes), 'payload')
  })

  test.each([
    ['another index', ORIGIN, SID, { i: 1 }],
    ['another type', ORIGIN, SID, { t: 'cmd' }],
    ['another session', ORIGIN, 'aaaaaaaaaaaaaaaa', {}],
    ['another gateway', 'gw2.example/book', SID, {}],
  ])('a payload of %s does not open, though its hash is right', (_, origin, sid, change) => {
    const key = new OpenedKey(origin, sid, KEY, COM)
    refused(() => key.open({ ...one.ref, ...change }, one.bytes), 'decrypt')
  })

  test('a stream that inflates beyond 1 MiB is refused, as is an unknown codec', () => {
    const blind = Buffer.alloc(16)
    const bomb = deflateRawSync(Buffer.alloc(PAYLOAD_BODY_MAX + 1))
    const fits = deflateRawSync(Buffer.alloc(PAYLOAD_BODY_MAX))
    const open = (plain: Uint8Array) => {
      const { ref, bytes } = sealed(7, 'out', plain)
      return opener().open(ref, bytes)
    }
    expect(open(Buffer.concat([blind, Buffer.of(1), fits]))).toHaveLength(PAYLOAD_BODY_MAX)
    refused(() => open(Buffer.concat([blind, Buffer.of(1), bomb])), 'decrypt')
    refused(() => open(Buffer.concat([blind, Buffer.of(2), body('x')])), 'decrypt')
    refused(() => open(blind.subarray(0, 10)), 'decrypt')
  })
})
