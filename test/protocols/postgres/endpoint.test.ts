import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ProtocolError } from '../../../protocols/bytes.ts'
import { endpointHash } from '../../../protocols/postgres/endpoint.ts'

const certificate = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../vectors/certificates/${name}.der`, import.meta.url)))

test.each([
  ['rsa-md5', 'sha256'],
  ['rsa-sha1', 'sha256'],
  ['rsa-sha256', 'sha256'],
  ['rsa-sha512', 'sha512'],
  ['ecdsa-sha1', 'sha256'],
  ['ecdsa-sha256', 'sha256'],
  ['ecdsa-sha384', 'sha384'],
  ['ecdsa-sha512', 'sha512'],
  ['pss-sha1', 'sha256'],
  ['pss-sha384', 'sha384'],
])('a certificate signed with %s is hashed with %s', (name, algorithm) => {
  const der = certificate(name)
  expect(Buffer.from(endpointHash(der) ?? [])).toEqual(createHash(algorithm).update(der).digest())
})

test('a signature without a hash of its own gives no binding', () => {
  expect(endpointHash(certificate('ed25519'))).toBeUndefined()
})

describe('what is no certificate is refused', () => {
  const der = certificate('ecdsa-sha256')
  // What follows the algorithm is the signature itself, which is not looked at.
  const looked = der.length - 80
  test('cut anywhere before its signature', () => {
    for (let at = 0; at < looked; at++) expect(() => endpointHash(der.subarray(0, at))).toThrow(ProtocolError)
  })

  test.each([0, 1, 4, 5])('with byte %i changed', (at) => {
    const changed = der.slice()
    changed[at] = 0xff
    expect(() => endpointHash(changed)).toThrow(ProtocolError)
  })
})
