import { createHash, createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { parsePassword, scramVerifier, verifierOf } from '../../../src/access/verifier.ts'

const RFC7677_SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')

test('a SCRAM verifier fits the exchange of RFC 7677', () => {
  const message =
    'n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,' +
    's=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
  const proof = Buffer.from('dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', 'base64')
  const { storedKey, serverKey } = scramVerifier('pencil', RFC7677_SALT)
  const signature = createHmac('sha256', storedKey).update(message).digest()
  const clientKey = proof.map((byte, i) => byte ^ (signature[i] ?? 0))
  expect(createHash('sha256').update(clientKey).digest()).toEqual(storedKey)
  expect(createHmac('sha256', serverKey).update(message).digest('base64')).toBe(
    '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
  )
})

test('what MySQL checks against is what its servers store', () => {
  const { sha1Twice, sha256Twice } = verifierOf('password', RFC7677_SALT)
  expect(Buffer.from(sha1Twice).toString('hex')).toBe('2470c0c06dee42fd1618bb99005adca2ec9d1e19')
  const once = createHash('sha256').update('password').digest()
  expect(sha256Twice).toEqual(createHash('sha256').update(once).digest())
})

const scramText = (salt: Uint8Array, iterations = 4096) => {
  const { storedKey, serverKey } = scramVerifier('pencil', salt)
  const [s, k, v] = [salt, storedKey, serverKey].map((bytes) => Buffer.from(bytes).toString('base64'))
  return `SCRAM-SHA-256$${iterations}:${s}$${k}:${v}`
}

describe('a stored password', () => {
  test('in PHC form is read whole', () => {
    const text = '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4'
    expect(parsePassword(text, 'password')).toEqual({
      type: 'argon2id',
      text,
      cost: { memory: 256, passes: 2, parallelism: 1 },
      salt: Buffer.from('somesalt'),
      hash: Buffer.from('9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe', 'hex'),
    })
  })

  test('in the form of pg_authid is read whole', () => {
    expect(parsePassword(scramText(RFC7677_SALT), 'password')).toEqual({
      type: 'scram',
      salt: RFC7677_SALT,
      ...scramVerifier('pencil', RFC7677_SALT),
    })
  })

  test.each([
    [
      'in clear',
      'hunter2',
      /^pw: expected \$argon2id\$v=19\$… or SCRAM-SHA-256\$4096:…, never the password itself$/,
    ],
    ['as md5', 'md5c20c7ffe4f8b2a2c5a8b3b5a17f1f3a2', /never the password itself$/],
    [
      'too costly',
      '$argon2id$v=19$m=1048576,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
      /would stop the gateway$/,
    ],
    [
      'of no cost',
      '$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4',
      /impossible costs$/,
    ],
    [
      'with a count of its own',
      scramText(RFC7677_SALT, 10_000),
      /^pw: a SCRAM verifier needs 4096 iterations and a salt of 16 bytes, as everybody has$/,
    ],
    ['with a salt of its own length', scramText(RFC7677_SALT.subarray(4)), /a salt of 16 bytes/],
    [
      'with short keys',
      `${scramText(RFC7677_SALT).split(':').slice(0, 2).join(':')}:AAAA`,
      /keys that are not 32 bytes$/,
    ],
  ])('%s is refused without being repeated', (_, text, message) => {
    expect(() => parsePassword(text, 'pw')).toThrow(message)
    expect(() => parsePassword(text, 'pw')).not.toThrow(text)
  })
})
