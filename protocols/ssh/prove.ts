/**
 * hostkeys-prove-00@openssh.com (OpenSSH's PROTOCOL, section 2.5): the client has seen the names of our other host
 * keys and wants each to sign, before it remembers them.
 */
import { ProtocolError, Reader, sameBytes, Writer } from '../bytes.ts'
import type { HostKey } from './host-keys.ts'
import { encodeForm, string, text } from './wire.ts'

const REQUEST = 'hostkeys-prove-00@openssh.com'
const KEYS_MAX = 16

/** One signature per key asked for; undefined when one of them is not ours. */
export function proveHostKeys(
  asked: Uint8Array,
  hostKeys: readonly HostKey[],
  { sessionId, algorithms }: { readonly sessionId: Uint8Array; readonly algorithms: readonly string[] },
): Uint8Array | undefined {
  const from = new Reader(asked)
  const signatures: Uint8Array[] = []
  while (from.left > 0) {
    if (signatures.length >= KEYS_MAX) throw new ProtocolError(`more than ${KEYS_MAX} host keys asked for`)
    const blob = string.read(from)
    const key = hostKeys.find((own) => sameBytes(own.blob, blob))
    // An RSA key has two algorithms: the client expects the one of the key exchange, if that was with RSA.
    const algorithm = key?.algorithms.find((name) => algorithms.includes(name)) ?? key?.algorithms[0]
    if (key === undefined || algorithm === undefined) return undefined
    const data = encodeForm(
      { request: text, sessionId: string, blob: string },
      { request: REQUEST, sessionId, blob },
    )
    signatures.push(key.sign(algorithm, data))
  }
  const proof = new Writer()
  for (const signature of signatures) string.write(proof, signature)
  return proof.done()
}
