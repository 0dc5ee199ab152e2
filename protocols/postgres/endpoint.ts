/**
 * The channel binding `tls-server-end-point` (RFC 5929): a hash of the server's certificate, made with the hash
 * function of the certificate's own signature. Only that is read from the DER, hence no X.509 library.
 */
import { hash } from 'node:crypto'
import { ProtocolError, Reader } from '../bytes.ts'

const SEQUENCE = 0x30
const OBJECT_IDENTIFIER = 0x06
const CONTEXT_0 = 0xa0

const SHA_1 = '2b0e03021a'

/** By the OID's DER content in hex. MD5 and SHA-1 are replaced by SHA-256, as the RFC demands. */
const HASHES: ReadonlyMap<string, string> = new Map([
  ['2a864886f70d010104', 'sha256'], // md5WithRSAEncryption
  ['2a864886f70d010105', 'sha256'], // sha1WithRSAEncryption
  ['2a864886f70d01010e', 'sha224'],
  ['2a864886f70d01010b', 'sha256'],
  ['2a864886f70d01010c', 'sha384'],
  ['2a864886f70d01010d', 'sha512'],
  ['2a8648ce3d0401', 'sha256'], // ecdsa-with-SHA1
  ['2a8648ce3d040301', 'sha224'],
  ['2a8648ce3d040302', 'sha256'],
  ['2a8648ce3d040303', 'sha384'],
  ['2a8648ce3d040304', 'sha512'],
  [SHA_1, 'sha256'],
  ['608648016503040204', 'sha224'],
  ['608648016503040201', 'sha256'],
  ['608648016503040202', 'sha384'],
  ['608648016503040203', 'sha512'],
])

const RSASSA_PSS = '2a864886f70d01010a'

/** Undefined where the signature has no hash function of its own (Ed25519): then there is no such binding. */
export function endpointHash(certificate: Uint8Array): Uint8Array | undefined {
  const algorithm = signatureHash(certificate)
  return algorithm === undefined ? undefined : hash(algorithm, certificate, 'buffer')
}

function signatureHash(certificate: Uint8Array): string | undefined {
  const outer = element(new Reader(certificate), SEQUENCE)
  element(outer, SEQUENCE)
  const signature = element(outer, SEQUENCE)
  const oid = hex(element(signature, OBJECT_IDENTIFIER).rest())
  return HASHES.get(oid === RSASSA_PSS ? pssHash(signature) : oid)
}

/** RSASSA-PSS names its hash in its parameters; left out, it is SHA-1. */
function pssHash(signature: Reader): string {
  const parameters = element(signature, SEQUENCE).rest()
  if (parameters[0] !== CONTEXT_0) return SHA_1
  const hashAlgorithm = element(element(new Reader(parameters), CONTEXT_0), SEQUENCE)
  return hex(element(hashAlgorithm, OBJECT_IDENTIFIER).rest())
}

/** The content of the next element, which must have this tag. */
function element(r: Reader, tag: number): Reader {
  const found = r.uint8()
  if (found !== tag)
    throw new ProtocolError(`certificate: element 0x${found.toString(16)} in the wrong place`)
  const short = r.uint8()
  if (short < 0x80) return new Reader(r.bytes(short))
  const size = short & 0x7f
  if (size === 0 || size > 3) throw new ProtocolError('certificate: a length out of bounds')
  let length = 0
  for (let i = 0; i < size; i++) length = length * 256 + r.uint8()
  return new Reader(r.bytes(length))
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
