/** Certificates for a test: one authority, and what it vouches for on this machine. */
import { randomBytes } from 'node:crypto'
import {
  type Certified,
  issueCertificate,
  makeAuthority,
  newCertificateKey,
  toPem,
} from '../../src/system/certificate.ts'

/** In PEM. */
export interface TestCertificate {
  readonly cert: string
  readonly key: string
}

export interface TestAuthority {
  readonly ca: string
  issue(commonName: string, hosts?: readonly string[]): TestCertificate
}

const DAY = 24 * 3600_000

export function newAuthority(commonName: string): TestAuthority {
  const request = { notBefore: new Date(Date.now() - DAY), notAfter: new Date(Date.now() + 30 * DAY) }
  const serial = (): Uint8Array => randomBytes(16)
  const authority: Certified = makeAuthority(
    { ...request, serial: serial(), commonName, hosts: [] },
    newCertificateKey(),
  )
  return {
    ca: toPem(authority.der),
    issue(name, hosts = ['localhost', '127.0.0.1', '::1']) {
      const key = newCertificateKey()
      const issued = issueCertificate(
        { ...request, serial: serial(), commonName: name, hosts },
        key,
        authority,
      )
      return { cert: toPem(issued.der), key: String(key.export({ type: 'pkcs8', format: 'pem' })) }
    },
  }
}
