import { describe, expect, test } from 'vitest'
import { encodeText, ProtocolError } from '../../../protocols/bytes.ts'
import {
  authMessage,
  channelBinding,
  checkServerFinal,
  clientFinalWithoutProof,
  decodeClientFinal,
  decodeClientFirst,
  decodeServerFirst,
  encodeClientFinal,
  encodeServerFinal,
  makeVerifier,
  matchProof,
  mockSalt,
  prove,
  saltPassword,
  saslPrep,
  type Verifier,
} from '../../../protocols/postgres/scram.ts'

// RFC 7677, section 3.
const CLIENT_FIRST = 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO'
const SERVER_FIRST = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'
const CLIENT_FINAL =
  'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ='
const SERVER_FINAL = 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='

const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
const salted = saltPassword('pencil', salt, 4096)
const verifier = makeVerifier('pencil', salted)
const first = decodeClientFirst(encodeText(CLIENT_FIRST))
const final = decodeClientFinal(encodeText(CLIENT_FINAL))
const transcript = authMessage(first.bare, SERVER_FIRST, final.withoutProof)

describe('the exchange of RFC 7677', () => {
  test('as the server: the proof fits the verifier, and the signature is the published one', () => {
    expect(matchProof({ salt, iterations: 4096, verifiers: [verifier] }, transcript, final.proof)).toBe(
      verifier,
    )
    expect(Buffer.from(encodeServerFinal(verifier.serverKey, transcript)).toString()).toBe(SERVER_FINAL)
  })

  test('as the client: the proof is the published one, and the signature is verified', () => {
    const { nonce } = decodeServerFirst(encodeText(SERVER_FIRST), 'rOprNGfwEbeRWgbNEkqO')
    const withoutProof = clientFinalWithoutProof(channelBinding('n,,'), nonce)
    const { proof, serverSignature } = prove(salted, authMessage(first.bare, SERVER_FIRST, withoutProof))
    expect(Buffer.from(encodeClientFinal(withoutProof, proof)).toString()).toBe(CLIENT_FINAL)
    checkServerFinal(encodeText(SERVER_FINAL), serverSignature)
    expect(() => checkServerFinal(encodeText(SERVER_FINAL.replace('6', '7')), serverSignature)).toThrow(
      'the server does not know the password either',
    )
  })
})

test('of sixteen verifiers the one that fits is found, wherever it stands', () => {
  const others = Array.from({ length: 15 }, (_, i) =>
    makeVerifier(`other-${i}`, saltPassword(`p${i}`, salt, 1)),
  )
  for (const place of [0, 7, 15]) {
    const verifiers: Verifier[] = [...others.slice(0, place), verifier, ...others.slice(place)]
    expect(matchProof({ salt, iterations: 4096, verifiers }, transcript, final.proof)?.id).toBe('pencil')
  }
  expect(matchProof({ salt, iterations: 4096, verifiers: others }, transcript, final.proof)).toBeUndefined()
  expect(matchProof({ salt, iterations: 4096, verifiers: [] }, transcript, final.proof)).toBeUndefined()
})

test('the salt of a user who does not exist is the same each time, and differs from the next one', () => {
  const secret = new Uint8Array(32).fill(7)
  expect(mockSalt(secret, 'nobody')).toEqual(mockSalt(secret, 'nobody'))
  expect(mockSalt(secret, 'nobody')).not.toEqual(mockSalt(secret, 'nobody2'))
  expect(mockSalt(secret, 'nobody')).toHaveLength(16)
})

describe('T-PG-05: what a target may make us compute is bounded', () => {
  const own = 'abc'
  test.each([
    ['one iteration', 'r=abcdef,s=AAAA,i=1', 'SCRAM: 1 iterations, allowed are 4096 to 100000'],
    [
      'two billion',
      'r=abcdef,s=AAAA,i=2000000000',
      'SCRAM: 2000000000 iterations, allowed are 4096 to 100000',
    ],
    ['no number', 'r=abcdef,s=AAAA,i=x', 'SCRAM: malformed first message of the server'],
    ['a nonce of 60 kB', `r=abc${'d'.repeat(60_000)},s=AAAA,i=4096`, 'SCRAM: a nonce of 60003 characters'],
    ['a nonce not ours', 'r=xbcdef,s=AAAA,i=4096', "SCRAM: the server's nonce does not continue ours"],
    ['our nonce alone', 'r=abc,s=AAAA,i=4096', "SCRAM: the server's nonce does not continue ours"],
    ['no salt', 'r=abcdef,s=,i=4096', 'SCRAM: a salt of 0 bytes'],
    ['a salt that is no base64', 'r=abcdef,s=A,i=4096', 'SCRAM: malformed base64'],
    ['spare bits in base64', 'r=abcdef,s=AB==,i=4096', 'SCRAM: malformed base64'],
    ['an extension', 'm=x,r=abcdef,s=AAAA,i=4096', 'SCRAM: malformed first message of the server'],
  ])('%s', (_, message, problem) => {
    expect(() => decodeServerFirst(encodeText(message), own)).toThrow(new ProtocolError(problem))
  })
})

describe('a client may write nothing but what the RFC allows', () => {
  test.each([
    ['', 'malformed first message'],
    ['n,,', 'malformed first message'],
    ['n,a=root,n=,r=abc', 'malformed first message'],
    ['n,,m=x,n=,r=abc', 'malformed first message'],
    ['n,,n=,r=abc,x=y', 'malformed first message'],
    ['n,,n=,r=', 'malformed nonce'],
    ['n,,n=,r=a b', 'malformed nonce'],
    [`n,,n=,r=${'a'.repeat(1025)}`, 'malformed nonce'],
    ['p=tls-unique,,n=,r=abc', 'unsupported channel binding'],
    ['q,,n=,r=abc', 'malformed first message'],
  ])('first message %j', (message, problem) => {
    expect(() => decodeClientFirst(encodeText(message))).toThrow(problem)
  })

  test.each([
    ['', 'malformed last message'],
    ['c=biws,r=abc', 'malformed last message'],
    ['c=biws,r=abc,p=', 'a proof of 0 bytes'],
    ['c=biws,r=abc,p=AAAA', 'a proof of 3 bytes'],
    ['c=biws,r=abc,x=1,p=AAAA', 'malformed last message'],
    ['c=!,r=abc,p=AAAA', 'malformed base64'],
  ])('last message %j', (message, problem) => {
    expect(() => decodeClientFinal(encodeText(message))).toThrow(problem)
  })
})

test.each([
  ['I\u00adX', 'IX'],
  ['user', 'user'],
  ['\u00aa', 'a'],
  ['\u2168', 'IX'],
  ['a\u00a0b', 'a b'],
  ['bell\u0007', 'bell\u0007'],
  ['\u0627\u0031', '\u0627\u0031'],
])('SASLprep makes of %j what RFC 4013 says, or leaves a prohibited text alone', (password, prepared) => {
  expect(saslPrep(password)).toBe(prepared)
})
