/**
 * OpenSSH's user certificates (PROTOCOL.certkeys): a key, and what an authority says about its holder. Whether
 * the authority is trusted and whether the time is right is decided by `checkCertificate`, which is told both.
 */
import { ProtocolError, Reader, sameBytes } from '../bytes.ts'
import { type PublicKey, parsePublicKey, readKeyFields, verifySignature } from './keys.ts'
import { decodeForm, decodeWhole, type Field, string, text, uint32, uint64 } from './wire.ts'

const CERT_SUFFIX = '-cert-v01@openssh.com'
const USER_CERTIFICATE = 1
const PRINCIPALS_MAX = 256
const OPTIONS_MAX = 64

export interface Certificate {
  /** The holder's key, which must make the signature of the login. */
  readonly key: PublicKey
  readonly blob: Uint8Array
  readonly serial: bigint
  readonly kind: number
  readonly keyId: string
  readonly principals: readonly string[]
  /** Seconds since 1970; the last second is not in it. */
  readonly validAfter: bigint
  readonly validBefore: bigint
  readonly critical: ReadonlyMap<string, Uint8Array>
  readonly extensions: ReadonlyMap<string, Uint8Array>
  /** The authority's key, as a blob: compared with the trusted ones byte for byte. */
  readonly authority: Uint8Array
  readonly signature: Uint8Array
  /** What the authority signed. */
  readonly signed: Uint8Array
}

/** `ssh-ed25519` for `ssh-ed25519-cert-v01@openssh.com`; undefined for a name that is no certificate's. */
export function certifiedName(name: string): string | undefined {
  if (!name.endsWith(CERT_SUFFIX)) return undefined
  const base = name.slice(0, -CERT_SUFFIX.length)
  return base.startsWith('sk-') ? `${base}@openssh.com` : base
}

export function parseCertificate(blob: Uint8Array): Certificate {
  const from = new Reader(blob)
  const { name } = decodeForm({ name: text, nonce: string }, from)
  const type = certifiedName(name)
  if (type === undefined) throw new ProtocolError(`a certificate of the unknown type ${name.slice(0, 64)}`)
  const start = from.at
  const { key, application } = readKeyFields(type, from)
  const keyFields = blob.subarray(start, from.at)
  const body = decodeForm(
    {
      serial: uint64,
      kind: uint32,
      keyId: text,
      principals: list('principals', PRINCIPALS_MAX, text),
      validAfter: uint64,
      validBefore: uint64,
      critical: options,
      extensions: options,
      reserved: string,
      authority: string,
    },
    from,
  )
  const signed = blob.subarray(0, from.at)
  const { signature } = decodeForm({ signature: string }, from)
  from.end()
  return {
    ...body,
    blob,
    key: { type, blob: plainBlob(type, keyFields), key, application },
    signature,
    signed,
  }
}

/** The holder's key as it would stand without a certificate. */
function plainBlob(type: string, fields: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(type)
  const blob = new Uint8Array(4 + name.length + fields.length)
  new DataView(blob.buffer).setUint32(0, name.length)
  blob.set(name, 4)
  blob.set(fields, 4 + name.length)
  return blob
}

/** Items packed into a string, until it ends. */
function list<T>(what: string, countMax: number, item: Field<T>): Field<readonly T[]> {
  return {
    read: (from) => {
      const inner = new Reader(string.read(from))
      const found: T[] = []
      while (inner.left > 0) {
        if (found.length >= countMax)
          throw new ProtocolError(`more than ${countMax} ${what} in a certificate`)
        found.push(item.read(inner))
      }
      return found
    },
    write: () => {
      throw new Error('certificates are read here, not made')
    },
  }
}

const optionList = list('options', OPTIONS_MAX, {
  read: (from): readonly [string, Uint8Array] => [text.read(from), string.read(from)],
  write: () => undefined,
})

/** In lexical order and each once, as PROTOCOL.certkeys demands. */
const options: Field<ReadonlyMap<string, Uint8Array>> = {
  read: (from) => {
    const found = optionList.read(from)
    found.forEach(([name], i) => {
      if (i > 0 && name <= (found[i - 1]?.[0] ?? ''))
        throw new ProtocolError('options out of order in a certificate')
    })
    return new Map(found)
  },
  write: () => undefined,
}

/** What must hold beside the signature, told by whoever has the clock, the configuration and the socket. */
export interface CertificateDemands {
  /** Blobs of the authorities' keys. */
  readonly authorities: readonly Uint8Array[]
  readonly principals: readonly string[]
  /** Seconds since 1970. */
  readonly now: bigint
  /** Whether the client's address lies in a range such as `10.0.0.0/8`, or is it. */
  readonly addressIn: (range: string) => boolean
  /** What the authenticator said in the signature of this login. */
  readonly verifiedUser: boolean
}

/** What the certificate allows its holder. */
export interface CertificateGrant {
  readonly keyId: string
  readonly serial: bigint
  /** Runs in place of whatever is asked for. */
  readonly forceCommand: string | undefined
  readonly extensions: ReadonlySet<string>
}

export type CertificateVerdict =
  | { readonly valid: true; readonly grant: CertificateGrant }
  | { readonly valid: false; readonly reason: string }

export function checkCertificate(certificate: Certificate, demands: CertificateDemands): CertificateVerdict {
  try {
    return check(certificate, demands)
  } catch (error) {
    // Signature and options are the holder's bytes still: what cannot be read in them is no certificate.
    if (error instanceof ProtocolError) return { valid: false, reason: error.message }
    throw error
  }
}

function check(certificate: Certificate, demands: CertificateDemands): CertificateVerdict {
  const no = (reason: string): CertificateVerdict => ({ valid: false, reason })
  const { critical, principals } = certificate
  if (certificate.kind !== USER_CERTIFICATE) return no('not a user certificate')
  // Compared before it is parsed: the trusted list holds plain keys, so a certificate never passes for one.
  const authority = demands.authorities.find((blob) => sameBytes(blob, certificate.authority))
  if (authority === undefined) return no('signed by an authority that is not trusted')
  if (!signedBy(parsePublicKey(authority), certificate)) return no('the signature of the authority is wrong')
  if (demands.now < certificate.validAfter) return no('not valid yet')
  if (demands.now >= certificate.validBefore) return no('expired')
  // An empty list would be valid for everybody; sshd refuses it too.
  if (!principals.some((name) => demands.principals.includes(name))) return no('made for other names')
  for (const name of critical.keys()) {
    if (!CRITICAL_OPTIONS.has(name)) return no(`with the unknown critical option ${name.slice(0, 64)}`)
  }
  const addresses = critical.get('source-address')
  if (addresses !== undefined && !optionText(addresses).split(',').some(demands.addressIn)) {
    return no('not valid from this address')
  }
  if (critical.has('verify-required') && !demands.verifiedUser)
    return no('the key must be unlocked with its PIN')
  const command = critical.get('force-command')
  return {
    valid: true,
    grant: {
      keyId: certificate.keyId,
      serial: certificate.serial,
      forceCommand: command === undefined ? undefined : optionText(command),
      extensions: new Set(certificate.extensions.keys()),
    },
  }
}

const CRITICAL_OPTIONS = new Set(['force-command', 'source-address', 'verify-required'])

function optionText(data: Uint8Array): string {
  return decodeWhole({ value: text }, data).value
}

/** An RSA authority signs with SHA-2 only, as the list of `verifySignature` has it. */
function signedBy(authority: PublicKey, certificate: Certificate): boolean {
  const { algorithm } = decodeForm({ algorithm: text }, new Reader(certificate.signature))
  return verifySignature(authority, algorithm, certificate.signature, certificate.signed) !== undefined
}
