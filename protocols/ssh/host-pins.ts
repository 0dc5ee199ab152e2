/**
 * Which keys a host may show: pinned by the configuration as a key, as a fingerprint, or by an imported
 * known_hosts. A host whose key is not among them is not the host.
 */
import { createHmac } from 'node:crypto'
import { ProtocolError, sameBytes } from '../bytes.ts'
import { algorithmsOf, decodeBase64, fingerprint, parseKeyLine } from './keys.ts'

export interface HostPin {
  /** The type of the key, which is all that the host is asked for. */
  readonly keyType: string
  readonly matches: (blob: Uint8Array) => boolean
}

/** `type base64` or `type SHA256:fingerprint`. */
export function parseHostPin(line: string): HostPin {
  const [keyType = '', value = ''] = line.trim().split(/\s+/)
  if (!value.startsWith('SHA256:')) {
    const { blob } = parseKeyLine(line)
    return { keyType, matches: (shown) => sameBytes(shown, blob) }
  }
  if (algorithmsOf(keyType).length === 0) throw new ProtocolError(`a host key of the unknown type ${keyType}`)
  if (!/^SHA256:[A-Za-z0-9+/]{43}$/.test(value)) throw new ProtocolError('a malformed fingerprint')
  return { keyType, matches: (shown) => fingerprint(shown) === value }
}

/** The pins of one host in a known_hosts file (sshd(8)), names hashed or not. */
export function parseKnownHosts(file: string, host: string, port: number): readonly HostPin[] {
  const name = port === 22 ? host : `[${host}]:${port}`
  const pins: HostPin[] = []
  const revoked: Uint8Array[] = []
  file.split('\n').forEach((line, i) => {
    const words = line.trim().split(/\s+/)
    if (line.trim() === '' || line.startsWith('#')) return
    const marker = words[0]?.startsWith('@') ? words.shift() : undefined
    const [names = '', ...key] = words
    if (!namesHost(names, name)) return
    if (marker === '@cert-authority') {
      throw new ProtocolError(
        `line ${i + 1} trusts an authority for hosts, which is not supported: pin the key itself`,
      )
    }
    if (marker === '@revoked') revoked.push(parseKeyLine(key.join(' ')).blob)
    else pins.push(parseHostPin(key.join(' ')))
  })
  return pins.map(({ keyType, matches }) => ({
    keyType,
    matches: (blob) => matches(blob) && !revoked.some((key) => sameBytes(key, blob)),
  }))
}

/** Patterns are for people: a pin names its host, or hides it in a hash. */
function namesHost(names: string, name: string): boolean {
  if (!names.startsWith('|1|')) return names.split(',').includes(name)
  const [salt = '', hash = ''] = names.slice(3).split('|')
  return sameBytes(createHmac('sha1', decodeBase64(salt)).update(name).digest(), decodeBase64(hash))
}
