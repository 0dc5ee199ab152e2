import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, isIP } from 'node:net'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { beforeAll, describe, expect, test } from 'vitest'
import { type Issued, issueAuthority, issueServer } from '../../../src/cli/certificate.ts'
import { temporaryFolder } from '../../support/access.ts'

const DAY = 86_400_000
const HOSTS = ['gw.example.com', '127.0.0.1', '2001:db8::1:2', '::1']
const now = Date.now()

let authority: Issued
let server: Issued
beforeAll(() => {
  authority = issueAuthority('Gatebook gw', { from: now - DAY, until: now + 3650 * DAY })
  server = issueServer(authority, 'Gatebook gw', HOSTS, { from: now - DAY, until: now + 825 * DAY })
})

test('a server’s certificate says what it was issued for', () => {
  const certificate = new X509Certificate(server.certificate)
  const [ca, seconds] = [new X509Certificate(authority.certificate), 1000]
  expect({
    subject: certificate.subject,
    issuer: certificate.issuer,
    names: certificate.subjectAltName,
    ca: [certificate.ca, ca.ca],
    from: Date.parse(certificate.validFrom),
    until: Date.parse(certificate.validTo),
    usage: certificate.keyUsage,
    signed: certificate.verify(ca.publicKey),
    issued: certificate.checkIssued(ca),
    algorithm: certificate.publicKey.asymmetricKeyDetails,
  }).toEqual({
    subject: 'CN=gw.example.com',
    issuer: 'CN=Gatebook gw',
    names:
      'DNS:gw.example.com, IP Address:127.0.0.1, IP Address:2001:DB8:0:0:0:0:1:2, IP Address:0:0:0:0:0:0:0:1',
    ca: [false, true],
    from: Math.floor((now - DAY) / seconds) * seconds,
    until: Math.floor((now + 825 * DAY) / seconds) * seconds,
    usage: ['1.3.6.1.5.5.7.3.1'],
    signed: true,
    issued: true,
    algorithm: { namedCurve: 'prime256v1' },
  })
})

test('OpenSSL accepts the chain under its strictest rules', () => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'ca.crt'), authority.certificate)
  writeFileSync(join(folder, 'tls.crt'), server.certificate)
  const args = [
    'verify',
    '-x509_strict',
    '-check_ss_sig',
    '-purpose',
    'sslserver',
    '-verify_hostname',
    'gw.example.com',
  ]
  const { stdout, stderr } = spawnSync('openssl', [...args, '-CAfile', 'ca.crt', 'tls.crt'], {
    cwd: folder,
    encoding: 'utf8',
  })
  expect([stdout, stderr]).toEqual(['tls.crt: OK\n', ''])
})

test('a date beyond 2049 has the longer form', () => {
  const until = Date.UTC(2061, 4, 6, 7, 8, 9)
  const { certificate } = issueAuthority('x', { from: Date.UTC(2049, 11, 31), until })
  expect(Date.parse(new X509Certificate(certificate).validTo)).toBe(until)
})

describe('a client that trusts the authority', () => {
  test.each([
    ['gw.example.com', undefined],
    ['127.0.0.1', undefined],
    ['other.example.com', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('asked for %s', async (host, failure) => {
    const listener = createServer({ cert: server.certificate, key: server.key })
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
    const { port } = listener.address() as AddressInfo
    const name = isIP(host) === 0 ? { servername: host } : {}
    const code = await new Promise<string | undefined>((resolve) => {
      const socket: TLSSocket = connect({ host: '127.0.0.1', port, ca: authority.certificate, ...name }, () =>
        resolve(undefined),
      )
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
      socket.on('secureConnect', () => socket.destroy())
    })
    listener.close()
    expect(code).toBe(failure)
  })
})
