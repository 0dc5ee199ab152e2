import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  constants as rsa,
  verify,
} from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  answerNative,
  answerSha2,
  encryptPassword,
  makeVerifier,
  provesNative,
  provesSha2,
  signCertificate,
} from '../../../protocols/mysql/auth.ts'
import { ed25519PublicKey, signEd25519 } from '../../../protocols/mysql/ed25519.ts'
import { hex, join, text, unhex } from '../../support/mysql-play.ts'

const SCRAMBLE = unhex('0102030405060708090a0b0c0d0e0f1011121314')

const sha = (name: string, ...parts: Uint8Array[]) =>
  new Uint8Array(
    createHash(name)
      .update(join(...parts))
      .digest(),
  )

/** Written down from the documents, apart from the code under test. */
function expectedAnswer(name: string, password: string, scramble: Uint8Array): string {
  const once = sha(name, text(password))
  const twice = sha(name, once)
  const mask = name === 'sha1' ? sha(name, scramble, twice) : sha(name, twice, scramble)
  return hex(Uint8Array.from(once, (byte, i) => byte ^ (mask[i] ?? 0)))
}

describe('what a client answers', () => {
  test.each(['a', 'pässword', 'x'.repeat(200)])('to a scramble, for %s', (password) => {
    expect(hex(answerNative(text(password), SCRAMBLE))).toBe(expectedAnswer('sha1', password, SCRAMBLE))
    expect(hex(answerSha2(text(password), SCRAMBLE))).toBe(expectedAnswer('sha256', password, SCRAMBLE))
  })

  test('for no password is nothing', () => {
    expect(answerNative(text(''), SCRAMBLE)).toHaveLength(0)
    expect(answerSha2(text(''), SCRAMBLE)).toHaveLength(0)
  })
})

describe('an answer proves', () => {
  const stored = makeVerifier('id', text('right'))
  const none = new Uint8Array(0)

  test('the password and nothing else', () => {
    expect(provesNative(answerNative(text('right'), SCRAMBLE), SCRAMBLE, stored.sha1 ?? none)).toBe(true)
    expect(provesSha2(answerSha2(text('right'), SCRAMBLE), SCRAMBLE, stored.sha256 ?? none)).toBe(true)
    expect(provesNative(answerNative(text('wrong'), SCRAMBLE), SCRAMBLE, stored.sha1 ?? none)).toBe(false)
    expect(provesSha2(answerSha2(text('wrong'), SCRAMBLE), SCRAMBLE, stored.sha256 ?? none)).toBe(false)
  })

  test('nothing under another scramble, cut short, or empty', () => {
    const other = SCRAMBLE.map((byte) => byte + 1)
    const native = answerNative(text('right'), SCRAMBLE)
    const sha2 = answerSha2(text('right'), SCRAMBLE)
    expect(provesNative(native, other, stored.sha1 ?? none)).toBe(false)
    expect(provesSha2(sha2, other, stored.sha256 ?? none)).toBe(false)
    expect(provesNative(native.subarray(1), SCRAMBLE, stored.sha1 ?? none)).toBe(false)
    expect(provesSha2(none, SCRAMBLE, stored.sha256 ?? none)).toBe(false)
  })
})

test('a pinned RSA key gets the password under the padding that servers open', () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const seed = new Uint8Array(20).fill(9)
  const sealed = encryptPassword(text('secret'), SCRAMBLE, pem, () => seed)
  const opened = privateDecrypt({ key: privateKey, padding: rsa.RSA_PKCS1_OAEP_PADDING }, sealed)
  expect(Buffer.from(opened.map((byte, i) => byte ^ (SCRAMBLE[i] ?? 0))).toString()).toBe('secret\0')
  expect(sealed).toEqual(encryptPassword(text('secret'), SCRAMBLE, pem, () => seed))
})

test.each(['s3cret', '', 'ü'.repeat(100)])(
  'an Ed25519 signature by %j verifies under its public key',
  (password) => {
    const x = Buffer.from(ed25519PublicKey(text(password))).toString('base64url')
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
    const message = sha('sha256', SCRAMBLE)
    expect(verify(null, message, key, signEd25519(text(password), message))).toBe(true)
    expect(verify(null, SCRAMBLE, key, signEd25519(text(password), message))).toBe(false)
  },
)

test('the Ed25519 key of a password is the one that MariaDB shows in its documentation', () => {
  const stored = Buffer.from(ed25519PublicKey(text('secret'))).toString('base64')
  expect(stored).toBe('ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY=')
})

test('the OK that vouches for a certificate binds secret, scramble and certificate', () => {
  const hash = makeVerifier('id', text('secret')).sha1 ?? new Uint8Array(0)
  const certificate = text('DER')
  const digest = sha('sha256', hash, SCRAMBLE, sha('sha256', certificate))
  expect(Buffer.from(signCertificate(hash, SCRAMBLE, certificate)).toString()).toBe(
    `\x01${hex(digest).toUpperCase()}`,
  )
})
