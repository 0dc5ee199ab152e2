import { createPublicKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concat, ProtocolError } from '../../../protocols/bytes.ts'
import {
  type CertificateDemands,
  certifiedName,
  checkCertificate,
  parseCertificate,
} from '../../../protocols/ssh/certificates.ts'
import { parsePublicKey } from '../../../protocols/ssh/keys.ts'
import { field, fromHex, readVector, readVectors, toHex, type Vector } from '../../support/ssh-vectors.ts'

function demands(vector: Vector, changes: Partial<CertificateDemands> = {}): CertificateDemands {
  return {
    authorities: [fromHex(field(vector, 'authority'))],
    principals: ['alice'],
    now: 1_780_000_000n,
    addressIn: (range) => range === '10.0.0.0/8',
    verifiedUser: false,
    ...changes,
  }
}

function outcome(vector: Vector, changes: Partial<CertificateDemands> = {}): string {
  const verdict = checkCertificate(parseCertificate(vector.bytes), demands(vector, changes))
  return verdict.valid ? 'valid' : verdict.reason
}

describe.each(readVectors('certificates'))('$name, made by ssh-keygen', (vector) => {
  test('says what ssh-keygen put into it', () => {
    const certificate = parseCertificate(vector.bytes)
    expect({
      type: certificate.key.type,
      serial: String(certificate.serial),
      kind: certificate.kind,
      keyId: certificate.keyId,
      principals: certificate.principals,
      validAfter: String(certificate.validAfter),
      validBefore: String(certificate.validBefore),
      critical: [...certificate.critical.keys()],
      extensions: [...certificate.extensions.keys()],
    }).toEqual(JSON.parse(field(vector, 'expect')))
    expect(parsePublicKey(certificate.key.blob).type).toBe(certificate.key.type)
  })

  test('is judged as it should be', () => {
    expect(outcome(vector)).toBe(field(vector, 'verdict'))
  })

  test('cut anywhere it is refused, and so is a changed byte', () => {
    for (let cut = 0; cut < vector.bytes.length; cut++) {
      expect(() => parseCertificate(vector.bytes.subarray(0, cut)), `cut at ${cut}`).toThrow(ProtocolError)
    }
    expect(() => parseCertificate(concat([vector.bytes, Uint8Array.of(0)]))).toThrow(ProtocolError)
    for (let i = 0; i < vector.bytes.length; i += 3) {
      const changed = { ...vector, bytes: vector.bytes.with(i, (vector.bytes[i] ?? 0) ^ 1) }
      const judged = (): string => {
        try {
          parseCertificate(changed.bytes)
        } catch (error) {
          return String(error instanceof ProtocolError)
        }
        return outcome(changed)
      }
      expect(judged(), `byte ${i}`).not.toBe('valid')
    }
  })
})

test('a certificate holds from its first second up to its last, which is not in it', () => {
  const vector = readVector('certificates/plain.txt')
  expect(outcome(vector, { now: 1_767_225_599n })).toBe('not valid yet')
  expect(outcome(vector, { now: 1_767_225_600n })).toBe('valid')
  expect(outcome(vector, { now: 1_798_761_599n })).toBe('valid')
  expect(outcome(vector, { now: 1_798_761_600n })).toBe('expired')
})

test('what a certificate forces and permits comes out of the verdict', () => {
  const vector = readVector('certificates/forced.txt')
  expect(checkCertificate(parseCertificate(vector.bytes), demands(vector))).toEqual({
    valid: true,
    grant: { keyId: 'forced', serial: 0n, forceCommand: 'uptime -p', extensions: new Set(['permit-pty']) },
  })
  expect(outcome(vector, { addressIn: (range) => range === '192.0.2.7' })).toBe('valid')
  expect(outcome(vector, { addressIn: () => false })).toBe('not valid from this address')
})

test('a demanded PIN is found in the signature', () => {
  expect(outcome(readVector('certificates/verify-required.txt'), { verifiedUser: true })).toBe('valid')
})

test('an authority that is itself a certificate signs nothing', () => {
  const vector = readVector('certificates/plain.txt')
  const authority = readVector('certificates/untrusted.txt').bytes
  const certificate = { ...parseCertificate(vector.bytes), authority }
  expect(checkCertificate(certificate, demands(vector, { authorities: [authority] }))).toEqual({
    valid: false,
    reason: 'a key of the unknown type ssh-ed25519-cert-v01@openssh.com',
  })
})

test('the names of certificates belong to the names of their keys', () => {
  expect(certifiedName('ssh-ed25519-cert-v01@openssh.com')).toBe('ssh-ed25519')
  expect(certifiedName('rsa-sha2-512-cert-v01@openssh.com')).toBe('rsa-sha2-512')
  expect(certifiedName('sk-ssh-ed25519-cert-v01@openssh.com')).toBe('sk-ssh-ed25519@openssh.com')
  expect(certifiedName('ssh-ed25519')).toBeUndefined()
  const { key } = parseCertificate(readVector('certificates/ecdsa.txt').bytes)
  expect(toHex(parsePublicKey(key.blob).blob)).toBe(toHex(key.blob))
  expect(createPublicKey(key.key.export({ format: 'pem', type: 'spki' })).asymmetricKeyType).toBe('ec')
})
