import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concat, ProtocolError } from '../../../protocols/bytes.ts'
import { hostKey, parsePrivateKey, publicBlob } from '../../../protocols/ssh/host-keys.ts'
import {
  fingerprint,
  type PublicKey,
  parseKeyLine,
  parsePublicKey,
  verifySignature,
} from '../../../protocols/ssh/keys.ts'
import { encodeForm, mpint, string, text, uint8, uint32 } from '../../../protocols/ssh/wire.ts'
import { ed25519Blob, ed25519Key } from '../../support/ssh-keys.ts'
import { field, readVectors, toHex } from '../../support/ssh-vectors.ts'

const DATA = new TextEncoder().encode('what is signed')

describe.each(readVectors('keys'))('$name, made by ssh-keygen', (vector) => {
  const file = new TextDecoder().decode(vector.bytes)
  const line = field(vector, 'public')

  test('its public line and its private file are one key, with the fingerprint that ssh-keygen shows', () => {
    const key = parseKeyLine(line)
    expect(fingerprint(key.blob)).toBe(field(vector, 'expect'))
    expect(line.startsWith(`${key.type} ${Buffer.from(key.blob).toString('base64')} `)).toBe(true)
    expect(toHex(hostKey(parsePrivateKey(file)).blob)).toBe(toHex(key.blob))
  })

  test('what it signs, it is found to have signed, and nothing else', () => {
    const own = hostKey(parsePrivateKey(file))
    const key = parsePublicKey(own.blob)
    expect(own.algorithms.length).toBeGreaterThan(0)
    for (const algorithm of own.algorithms) {
      const signature = own.sign(algorithm, DATA)
      expect(verifySignature(key, algorithm, signature, DATA)).toEqual({ touch: undefined })
      expect(verifySignature(key, algorithm, signature, concat([DATA, DATA]))).toBeUndefined()
      expect(verifySignature(key, 'ssh-rsa', signature, DATA)).toBeUndefined()
      const changed = signature.slice()
      changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
      expect(verifySignature(key, algorithm, changed, DATA)).toBeUndefined()
      expect(() => verifySignature(key, algorithm, concat([signature, DATA]), DATA)).toThrow(ProtocolError)
      for (let cut = 0; cut < signature.length; cut++) {
        expect(() => {
          if (verifySignature(key, algorithm, signature.subarray(0, cut), DATA) === undefined) {
            throw new ProtocolError('refused')
          }
        }).toThrow(ProtocolError)
      }
    }
  })

  test('a blob that is cut or has bytes behind it is refused', () => {
    const { blob } = parseKeyLine(line)
    for (let cut = 0; cut < blob.length; cut++) {
      expect(() => parsePublicKey(blob.subarray(0, cut)), `cut at ${cut}`).toThrow(ProtocolError)
    }
    expect(() => parsePublicKey(concat([blob, Uint8Array.of(0)]))).toThrow('1 bytes behind')
  })
})

test('a signature by SHA-1 is refused, though the key would be right', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key = parsePublicKey(publicBlob(publicKey))
  const signature = encodeForm(
    { algorithm: text, signature: string },
    { algorithm: 'ssh-rsa', signature: sign('sha1', DATA, privateKey) },
  )
  expect(verifySignature(key, 'ssh-rsa', signature, DATA)).toBeUndefined()
  expect(verifySignature(key, 'rsa-sha2-256', signature, DATA)).toBeUndefined()
})

test('an Ed25519 key that is not 32 bytes is refused, whatever its length', () => {
  for (const length of [0, 1, 31, 33, 64]) {
    const blob = encodeForm({ type: text, key: string }, { type: 'ssh-ed25519', key: new Uint8Array(length) })
    expect(() => parsePublicKey(blob)).toThrow(`an Ed25519 key of ${length} bytes`)
  }
})

describe('RSA keys', () => {
  const rsa = (e: Uint8Array, n: Uint8Array) =>
    encodeForm({ type: text, e: mpint, n: mpint }, { type: 'ssh-rsa', e, n })
  const modulus = (bits: number) => {
    const n = new Uint8Array(bits / 8).fill(0xff)
    return n
  }

  test.each([
    ['too short', rsa(Uint8Array.of(1, 0, 1), modulus(1024)), 'an RSA key of 1024 bits'],
    [
      'too short by one bit',
      rsa(Uint8Array.of(1, 0, 1), modulus(2048).with(0, 0x7f)),
      'an RSA key of 2047 bits',
    ],
    ['too long', rsa(Uint8Array.of(1, 0, 1), modulus(16384 + 8)), 'an RSA key of 16392 bits'],
    ['with an even exponent', rsa(Uint8Array.of(2), modulus(2048)), 'impossible exponent'],
    ['with the exponent 1', rsa(Uint8Array.of(1), modulus(2048)), 'impossible exponent'],
    ['with an exponent without end', rsa(new Uint8Array(9).fill(0xff), modulus(2048)), 'impossible exponent'],
  ])('%s are refused', (_, blob, reason) => {
    expect(() => parsePublicKey(blob)).toThrow(reason)
  })
})

describe('ECDSA keys', () => {
  const ecdsa = (type: string, curve: string, point: Uint8Array) =>
    encodeForm({ type: text, curve: text, point: string }, { type, curve, point })
  const P256 = 'ecdsa-sha2-nistp256'

  test.each([
    ['that name another curve', ecdsa(P256, 'nistp384', new Uint8Array(65).fill(4))],
    ['with a compressed point', ecdsa(P256, 'nistp256', new Uint8Array(33).fill(2))],
    ['with a point that is not on the curve', ecdsa(P256, 'nistp256', new Uint8Array(65).fill(4))],
    ['at infinity', ecdsa(P256, 'nistp256', Uint8Array.of(0))],
  ])('%s are refused', (_, blob) => {
    expect(() => parsePublicKey(blob)).toThrow(/malformed/)
  })

  test('a signature whose numbers do not fit the curve is none', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const key = parsePublicKey(publicBlob(publicKey))
    const numbers = encodeForm({ r: mpint, s: mpint }, { r: new Uint8Array(33).fill(1), s: Uint8Array.of(1) })
    const signature = encodeForm(
      { algorithm: text, signature: string },
      { algorithm: 'ecdsa-sha2-nistp256', signature: numbers },
    )
    expect(verifySignature(key, 'ecdsa-sha2-nistp256', signature, DATA)).toBeUndefined()
  })
})

/** An authenticator: signs as PROTOCOL.u2f says, with the flags and the counter that it is told. */
function touch(type: string, privateKey: KeyObject, flags: number, counter: number): Uint8Array {
  const signed = concat([
    createHash('sha256').update('ssh:').digest(),
    encodeForm({ flags: uint8, counter: uint32 }, { flags, counter }),
    createHash('sha256').update(DATA).digest(),
  ])
  const ecdsa = type.startsWith('sk-ecdsa')
  const raw = ecdsa
    ? sign('sha256', signed, { key: privateKey, dsaEncoding: 'ieee-p1363' })
    : sign(null, signed, privateKey)
  const signature = ecdsa
    ? encodeForm({ r: mpint, s: mpint }, { r: raw.subarray(0, 32), s: raw.subarray(32) })
    : raw
  return encodeForm(
    { algorithm: text, signature: string, flags: uint8, counter: uint32 },
    { algorithm: type, signature, flags, counter },
  )
}

function touchKey(type: string, publicKey: KeyObject): PublicKey {
  const plain = publicBlob(publicKey)
  const nameLength = new DataView(plain.buffer, plain.byteOffset).getUint32(0)
  const fields = plain.subarray(4 + nameLength)
  const head = encodeForm({ type: text }, { type })
  return parsePublicKey(concat([head, fields, encodeForm({ application: text }, { application: 'ssh:' })]))
}

describe.each([
  ['sk-ssh-ed25519@openssh.com', generateKeyPairSync('ed25519')],
  ['sk-ecdsa-sha2-nistp256@openssh.com', generateKeyPairSync('ec', { namedCurve: 'prime256v1' })],
] as const)('%s', (type, { privateKey, publicKey }) => {
  test('tells by its signature whether somebody was there', () => {
    const key = touchKey(type, publicKey)
    expect(verifySignature(key, type, touch(type, privateKey, 0x01, 7), DATA)).toEqual({
      touch: { present: true, verified: false, counter: 7 },
    })
    expect(verifySignature(key, type, touch(type, privateKey, 0x05, 4_294_967_295), DATA)).toEqual({
      touch: { present: true, verified: true, counter: 4_294_967_295 },
    })
    expect(verifySignature(key, type, touch(type, privateKey, 0x00, 0), DATA)).toEqual({
      touch: { present: false, verified: false, counter: 0 },
    })
  })

  test('flags and counter are part of what is signed', () => {
    const key = touchKey(type, publicKey)
    const signature = touch(type, privateKey, 0x00, 1)
    for (const back of [1, 5]) {
      const changed = signature.with(signature.length - back, 1 + (signature.at(-back) ?? 0))
      expect(verifySignature(key, type, changed, DATA)).toBeUndefined()
    }
  })
})

test('a line that calls a key by another name is refused', () => {
  const blob = Buffer.from(ed25519Blob(ed25519Key(1))).toString('base64')
  expect(parseKeyLine(`ssh-ed25519 ${blob}`).type).toBe('ssh-ed25519')
  expect(() => parseKeyLine(`ssh-rsa ${blob}`)).toThrow('a ssh-ed25519 key that is called ssh-rsa')
  expect(() => parseKeyLine('ssh-ed25519 %%%')).toThrow('malformed base64')
  expect(() => parseKeyLine('')).toThrow(ProtocolError)
})

test('a private key is taken in the forms of OpenSSL too', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' })
  expect(toHex(hostKey(parsePrivateKey(pem.toString())).blob)).toBe(
    toHex(publicBlob(createPublicKey(privateKey))),
  )
})
