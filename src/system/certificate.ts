/**
 * X.509 certificates for a first installation and the demo: an authority of the gateway's own and what it vouches
 * for (RFC 5280). DER is written here in the few forms that are needed; a real authority's certificates replace them.
 */
import { createPublicKey, generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto'
import { isIP } from 'node:net'

export interface CertificateRequest {
  readonly commonName: string
  /** Names and addresses under which it is reached. */
  readonly hosts: readonly string[]
  readonly notBefore: Date
  readonly notAfter: Date
  readonly serial: Uint8Array
}

export interface Certified {
  readonly key: KeyObject
  readonly der: Uint8Array
  readonly commonName: string
}

export function newCertificateKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
}

/** Signs itself: an authority that vouches for server certificates and nothing else. */
export function makeAuthority(request: CertificateRequest, key: KeyObject): Certified {
  return {
    key,
    der: certificate(request, key, { key, commonName: request.commonName }, true),
    commonName: request.commonName,
  }
}

export function issueCertificate(
  request: CertificateRequest,
  key: KeyObject,
  authority: Certified,
): Certified {
  return { key, der: certificate(request, key, authority, false), commonName: request.commonName }
}

export function toPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

const OID = {
  ecdsaWithSha256: '2a8648ce3d040302',
  commonName: '550403',
  basicConstraints: '551d13',
  keyUsage: '551d0f',
  extendedKeyUsage: '551d25',
  serverAuth: '2b06010505070301',
  subjectAltName: '551d11',
  subjectKeyId: '551d0e',
  authorityKeyId: '551d23',
} as const

function certificate(
  request: CertificateRequest,
  key: KeyObject,
  issuer: { readonly key: KeyObject; readonly commonName: string },
  isAuthority: boolean,
): Uint8Array {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const algorithm = sequence(oid(OID.ecdsaWithSha256))
  const extensions = [
    extension(OID.basicConstraints, sequence(...(isAuthority ? [der(0x01, [0xff])] : [])), true),
    // Bits from the left: digitalSignature is 0, keyCertSign is 5.
    extension(OID.keyUsage, der(0x03, isAuthority ? [2, 0x04] : [7, 0x80]), true),
    extension(OID.subjectKeyId, der(0x04, keyIdOf(key))),
    extension(OID.authorityKeyId, sequence(der(0x80, keyIdOf(issuer.key)))),
    ...(isAuthority ? [] : [extension(OID.extendedKeyUsage, sequence(oid(OID.serverAuth)))]),
    ...(isAuthority ? [] : [extension(OID.subjectAltName, sequence(...request.hosts.map(alternativeName)))]),
  ]
  const body = sequence(
    der(0xa0, integer(Uint8Array.of(2))),
    integer(request.serial),
    algorithm,
    name(issuer.commonName),
    sequence(time(request.notBefore), time(request.notAfter)),
    name(request.commonName),
    publicKey,
    der(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', body, issuer.key)
  return sequence(body, algorithm, der(0x03, Buffer.concat([Uint8Array.of(0), signature])))
}

function der(tag: number, content: Uint8Array | readonly number[]): Buffer {
  const body = Buffer.from(content)
  const long: number[] = []
  for (let rest = body.length; rest > 0; rest = Math.floor(rest / 256)) long.unshift(rest % 256)
  const length = body.length < 0x80 ? [body.length] : [0x80 | long.length, ...long]
  return Buffer.concat([Uint8Array.of(tag, ...length), body])
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(0x30, Buffer.concat(parts))
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'))
}

/** In the fewest bytes; a leading bit that is set would make it negative. */
function integer(bytes: Uint8Array): Buffer {
  const significant = bytes.subarray(
    Math.max(
      0,
      bytes.findIndex((byte) => byte !== 0),
    ),
  )
  return der(
    0x02,
    (significant[0] ?? 0) >= 0x80 ? Buffer.concat([Uint8Array.of(0), significant]) : significant,
  )
}

function name(commonName: string): Buffer {
  return sequence(der(0x31, sequence(oid(OID.commonName), der(0x0c, Buffer.from(commonName)))))
}

/** UTCTime until 2049, GeneralizedTime from then on, as the RFC demands. */
function time(date: Date): Buffer {
  const text = `${date.toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`
  return date.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(text.slice(2))) : der(0x18, Buffer.from(text))
}

function extension(id: string, value: Uint8Array, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [der(0x01, [0xff])] : []), der(0x04, value))
}

function keyIdOf(key: KeyObject): Buffer {
  return hash('sha1', createPublicKey(key).export({ type: 'spki', format: 'der' }), 'buffer')
}

function alternativeName(host: string): Buffer {
  return isIP(host) === 0 ? der(0x82, Buffer.from(host, 'ascii')) : der(0x87, addressBytes(host))
}

function addressBytes(address: string): number[] {
  if (isIP(address) === 4) return address.split('.').map(Number)
  const [head = '', tail] = address.split('::')
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const [left, right] = [groups(head), groups(tail ?? '')]
  const gap = tail === undefined ? 0 : 8 - left.length - right.length
  return [...left, ...Array<number>(gap).fill(0), ...right].flatMap((group) => [group >> 8, group & 0xff])
}
