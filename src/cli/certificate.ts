/**
 * Certificates for a first installation, in the DER of RFC 5280: an authority of its own and a server's
 * certificate signed by it, with ECDSA on P-256 and SHA-256. Not Ed25519, because the channel binding of SCRAM
 * takes its hash from the certificate's signature, and Ed25519 names none.
 */
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import { isIP, isIPv6 } from 'node:net'

export interface Issued {
  readonly certificate: string
  /** PKCS#8 in PEM. */
  readonly key: string
}

export interface Validity {
  /** Milliseconds since 1970. */
  readonly from: number
  readonly until: number
}

/** Signs nothing but servers' certificates: its path length is zero. */
export function issueAuthority(name: string, validity: Validity): Issued {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const extensions = [
    extension(OID.basicConstraints, true, sequence(TRUE, integer(Uint8Array.of(0)))),
    extension(OID.keyUsage, true, bits(0x06, 1)),
    extension(OID.subjectKeyIdentifier, false, tagged(0x04, identifierOf(publicKey))),
  ]
  return issue(
    { subject: name, issuer: name, publicKey, signer: privateKey, validity, extensions },
    privateKey,
  )
}

/** For the names and IP addresses under which clients reach the server. */
export function issueServer(
  authority: Issued,
  authorityName: string,
  hosts: readonly string[],
  validity: Validity,
): Issued {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signer = createPrivateKey(authority.key)
  const extensions = [
    extension(OID.basicConstraints, true, sequence()),
    extension(OID.keyUsage, true, bits(0x80, 7)),
    extension(OID.extendedKeyUsage, false, sequence(OID.serverAuth)),
    extension(OID.subjectAlternativeName, false, sequence(...hosts.map(generalName))),
    extension(OID.authorityKeyIdentifier, false, sequence(tagged(0x80, identifierOf(signer)))),
  ]
  const [subject = 'gatebook'] = hosts
  return issue({ subject, issuer: authorityName, publicKey, signer, validity, extensions }, privateKey)
}

interface Body {
  readonly subject: string
  readonly issuer: string
  readonly publicKey: KeyObject
  readonly signer: KeyObject
  readonly validity: Validity
  readonly extensions: readonly Uint8Array[]
}

function issue(
  { subject, issuer, publicKey, signer, validity, extensions }: Body,
  privateKey: KeyObject,
): Issued {
  const algorithm = sequence(OID.ecdsaWithSha256)
  const serial = randomBytes(16)
  // Positive and not zero, as RFC 5280 demands.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  const body = sequence(
    tagged(0xa0, integer(Uint8Array.of(2))),
    integer(serial),
    algorithm,
    distinguishedName(issuer),
    sequence(time(validity.from), time(validity.until)),
    distinguishedName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', body, signer)
  const der = sequence(body, algorithm, tagged(0x03, Uint8Array.of(0), signature))
  return {
    certificate: pem('CERTIFICATE', der),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

const OID = {
  commonName: objectId(2, 5, 4, 3),
  ecdsaWithSha256: objectId(1, 2, 840, 10045, 4, 3, 2),
  subjectKeyIdentifier: objectId(2, 5, 29, 14),
  keyUsage: objectId(2, 5, 29, 15),
  subjectAlternativeName: objectId(2, 5, 29, 17),
  basicConstraints: objectId(2, 5, 29, 19),
  authorityKeyIdentifier: objectId(2, 5, 29, 35),
  extendedKeyUsage: objectId(2, 5, 29, 37),
  serverAuth: objectId(1, 3, 6, 1, 5, 5, 7, 3, 1),
} as const

const TRUE = tagged(0x01, Uint8Array.of(0xff))

function tagged(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts)
  const { length } = content
  const long = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Uint8Array.of(tag, ...(length < 0x80 ? [length] : long)), content])
}

function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return tagged(0x30, ...parts)
}

function integer(value: Uint8Array): Uint8Array {
  return tagged(0x02, value)
}

function bits(value: number, unused: number): Uint8Array {
  return tagged(0x03, Uint8Array.of(unused, value))
}

/** The first two numbers share a byte; the others are written in base 128. */
function objectId(first: number, second: number, ...rest: readonly number[]): Uint8Array {
  const bytes = rest.flatMap((value) => {
    const digits = [value & 0x7f]
    for (let left = value >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80)
    return digits
  })
  return tagged(0x06, Uint8Array.of(first * 40 + second, ...bytes))
}

function extension(oid: Uint8Array, critical: boolean, value: Uint8Array): Uint8Array {
  return sequence(oid, ...(critical ? [TRUE] : []), tagged(0x04, value))
}

function distinguishedName(commonName: string): Uint8Array {
  return sequence(tagged(0x31, sequence(OID.commonName, tagged(0x0c, Buffer.from(commonName)))))
}

/** DNS name or IP address, by the tags of RFC 5280, section 4.2.1.6. */
function generalName(host: string): Uint8Array {
  return isIP(host) === 0 ? tagged(0x82, Buffer.from(host)) : tagged(0x87, addressBytes(host))
}

function addressBytes(host: string): Uint8Array {
  if (!isIPv6(host)) return Uint8Array.from(host.split('.'), Number)
  // The URL parser knows every spelling of an address and gives back one without dots.
  const [head = '', tail] = new URL(`http://[${host}]`).hostname.slice(1, -1).split('::')
  const groups = (part: string) =>
    part
      .split(':')
      .filter((group) => group !== '')
      .map((group) => Number.parseInt(group, 16))
  const [left, right] = [groups(head), groups(tail ?? '')]
  const all = [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right]
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]))
}

/** UTCTime until 2049, GeneralizedTime from then on: RFC 5280, section 4.1.2.5. */
function time(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/[-T:]|\.\d+/g, '')
  return Number(digits.slice(0, 4)) < 2050
    ? tagged(0x17, Buffer.from(digits.slice(2)))
    : tagged(0x18, Buffer.from(digits))
}

function identifierOf(key: KeyObject): Uint8Array {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  const point = Buffer.concat([Uint8Array.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')])
  return createHash('sha1').update(point).digest()
}

function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}
