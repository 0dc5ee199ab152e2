/**
 * One key exchange, the server's side (RFC 4253, sections 7 and 8): what the two lists agree on, the exchange
 * hash, our signature over it, and the keys that follow from it.
 */
import { createHash } from 'node:crypto'
import { concat, encodeText, ProtocolError } from '../bytes.ts'
import { type EphemeralKeys, KEX_METHODS, type KexMethod } from './agreements.ts'
import { CIPHERS, type CipherSuite, MACS, macFor } from './ciphers.ts'
import type { HostKey } from './host-keys.ts'
import { encodeMessage, type MessageOf } from './messages.ts'
import type { FillRandom } from './packets.ts'
import type { KeySource, Mac } from './protection.ts'
import { encodeForm, string } from './wire.ts'

/** draft-miller-sshm-strict-kex: nothing but key exchange in the first one, sequence numbers begin anew. */
const STRICT_CLIENT = 'kex-strict-c-v00@openssh.com'
const STRICT_SERVER = 'kex-strict-s-v00@openssh.com'
const EXT_INFO_CLIENT = 'ext-info-c'

export type Kexinit = MessageOf<'KEXINIT'>

/** Our offer. Strict key exchange is a matter of the first exchange only. */
export function ownKexinit(hostKeys: readonly HostKey[], first: boolean, fill: FillRandom): Kexinit {
  const cookie = new Uint8Array(16)
  fill(cookie)
  const ciphers = [...CIPHERS.keys()]
  const macs = [...MACS.keys()]
  return {
    type: 'KEXINIT',
    cookie,
    kex: [...KEX_METHODS.keys(), ...(first ? [STRICT_SERVER] : [])],
    hostKey: hostKeys.flatMap((key) => key.algorithms),
    cipherToServer: ciphers,
    cipherToClient: ciphers,
    macToServer: macs,
    macToClient: macs,
    compressionToServer: ['none'],
    compressionToClient: ['none'],
    languageToServer: [],
    languageToClient: [],
    firstKexPacketFollows: false,
    reserved: 0,
  }
}

export interface Direction {
  readonly suite: CipherSuite
  readonly mac: Mac
}

export interface Negotiated {
  readonly method: KexMethod
  readonly hostKey: HostKey
  readonly hostKeyAlgorithm: string
  readonly toServer: Direction
  readonly toClient: Direction
  readonly strict: boolean
  readonly wantsExtInfo: boolean
  /** The client sent its first message on a guess that was wrong: the next one is to be passed over. */
  readonly wrongGuess: boolean
  /** Of the algorithms, for the record: what a person's client is able to. */
  readonly names: readonly string[]
}

export function negotiate(client: Kexinit, server: Kexinit, hostKeys: readonly HostKey[]): Negotiated {
  const kex = choose('key exchange', client.kex, server.kex)
  const hostKeyAlgorithm = choose('host key', client.hostKey, server.hostKey)
  const toServer = direction(client.cipherToServer, client.macToServer)
  const toClient = direction(client.cipherToClient, client.macToClient)
  choose('compression', client.compressionToServer, server.compressionToServer)
  choose('compression', client.compressionToClient, server.compressionToClient)
  const method = KEX_METHODS.get(kex)
  const hostKey = hostKeys.find((key) => key.algorithms.includes(hostKeyAlgorithm))
  if (method === undefined || hostKey === undefined) throw new Error('we offered what we do not have')
  return {
    method,
    hostKey,
    hostKeyAlgorithm,
    toServer: toServer.direction,
    toClient: toClient.direction,
    strict: client.kex.includes(STRICT_CLIENT),
    wantsExtInfo: client.kex.includes(EXT_INFO_CLIENT),
    wrongGuess:
      client.firstKexPacketFollows &&
      (client.kex[0] !== server.kex[0] || client.hostKey[0] !== server.hostKey[0]),
    names: [kex, hostKeyAlgorithm, ...toServer.names, ...toClient.names],
  }
}

/** The first of the client's that is also ours (RFC 4253, section 7.1). */
function choose(what: string, client: readonly string[], server: readonly string[]): string {
  const found = client.find((name) => server.includes(name))
  if (found === undefined)
    throw new ProtocolError(`no ${what} algorithm in common: ${client.slice(0, 8).join()}`)
  return found
}

function direction(ciphers: readonly string[], macs: readonly string[]) {
  const cipher = choose('cipher', ciphers, [...CIPHERS.keys()])
  const suite = CIPHERS.get(cipher)
  if (suite === undefined) throw new Error('we offered what we do not have')
  const mac = suite.needsMac ? choose('MAC', macs, [...MACS.keys()]) : ''
  return { direction: { suite, mac: macFor(suite, mac) }, names: mac === '' ? [cipher] : [cipher, mac] }
}

/** What both sides have said so far, byte for byte. */
export interface Transcript {
  readonly clientVersion: string
  readonly serverVersion: string
  readonly clientKexinit: Uint8Array
  readonly serverKexinit: Uint8Array
}

export interface Exchanged {
  readonly reply: Uint8Array
  readonly hash: Uint8Array
  readonly secret: Uint8Array
}

export function respond(
  negotiated: Negotiated,
  transcript: Transcript,
  clientKey: Uint8Array,
  keys: EphemeralKeys,
): Exchanged {
  const { method, hostKey } = negotiated
  const { serverValue, secret } = method.respond(clientKey, keys)
  const hash = exchangeHash(method.hash, transcript, hostKey.blob, clientKey, serverValue, secret)
  const signature = hostKey.sign(negotiated.hostKeyAlgorithm, hash)
  const reply = encodeMessage({
    type: 'KEX_ECDH_REPLY',
    hostKey: hostKey.blob,
    serverKey: serverValue,
    signature,
  })
  return { reply, hash, secret }
}

/** RFC 4253, section 8: `secret` is encoded already, as an mpint or as a string. */
export function exchangeHash(
  hash: string,
  transcript: Transcript,
  hostKey: Uint8Array,
  clientValue: Uint8Array,
  serverValue: Uint8Array,
  secret: Uint8Array,
): Uint8Array {
  const { clientVersion, serverVersion, clientKexinit, serverKexinit } = transcript
  const digest = createHash(hash)
  for (const part of [
    encodeText(clientVersion),
    encodeText(serverVersion),
    clientKexinit,
    serverKexinit,
    hostKey,
    clientValue,
    serverValue,
  ]) {
    digest.update(encodeForm({ part: string }, { part }))
  }
  return digest.update(secret).digest()
}

/** RFC 4253, section 7.2. */
export function deriveKeys(
  hash: string,
  exchanged: Pick<Exchanged, 'hash' | 'secret'>,
  sessionId: Uint8Array,
): { readonly toServer: KeySource; readonly toClient: KeySource } {
  const derive = (letter: string) => (length: number) => {
    const start = createHash(hash).update(exchanged.secret).update(exchanged.hash)
    let key: Uint8Array = start.copy().update(letter).update(sessionId).digest()
    while (key.length < length) key = concat([key, start.copy().update(key).digest()])
    return key.subarray(0, length)
  }
  return {
    toServer: { iv: derive('A'), key: derive('C'), integrity: derive('E') },
    toClient: { iv: derive('B'), key: derive('D'), integrity: derive('F') },
  }
}
