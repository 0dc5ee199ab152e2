import { spawnSync } from 'node:child_process'
import { randomBytes, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { issueCertificate, makeAuthority, newCertificateKey, toPem } from '../../../src/system/certificate.ts'

const times = { notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2055-06-01T12:30:00Z') }

function make(serial: Uint8Array = randomBytes(16)) {
  const authority = makeAuthority(
    { ...times, serial, commonName: 'Authority', hosts: [] },
    newCertificateKey(),
  )
  const hosts = ['gw.example.com', '192.0.2.7', '::1', '2001:db8::5:6']
  const key = newCertificateKey()
  return {
    authority,
    server: issueCertificate({ ...times, serial, commonName: 'gw', hosts }, key, authority),
    key,
  }
}

test('OpenSSL accepts the chain in its strict mode, for names and addresses, and for nothing else', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gb-certificate-'))
  const { authority, server } = make()
  writeFileSync(join(folder, 'ca.pem'), toPem(authority.der))
  writeFileSync(join(folder, 'server.pem'), toPem(server.der))
  const verify = (...args: string[]): number | null =>
    spawnSync(
      'openssl',
      ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', 'ca.pem', ...args, 'server.pem'],
      {
        cwd: folder,
      },
    ).status
  expect(verify('-verify_hostname', 'gw.example.com')).toBe(0)
  expect(verify('-verify_ip', '192.0.2.7')).toBe(0)
  expect(verify('-verify_ip', '2001:db8::5:6')).toBe(0)
  expect(verify('-verify_hostname', 'other.example.com')).not.toBe(0)
  rmSync(folder, { recursive: true })
})

test('Node reads what was written', () => {
  const { authority, server, key } = make(Uint8Array.of(0, 0, 0x81, 2))
  const read = new X509Certificate(server.der)
  expect(read.checkIssued(new X509Certificate(authority.der))).toBe(true)
  expect(read.checkPrivateKey(key)).toBe(true)
  expect(read.ca).toBe(false)
  expect(new X509Certificate(authority.der).ca).toBe(true)
  expect(read.serialNumber).toBe('8102')
  expect([new Date(read.validFrom), new Date(read.validTo)]).toEqual([times.notBefore, times.notAfter])
  expect(read.subjectAltName).toBe(
    'DNS:gw.example.com, IP Address:192.0.2.7, IP Address:0:0:0:0:0:0:0:1, IP Address:2001:DB8:0:0:0:0:5:6',
  )
})
