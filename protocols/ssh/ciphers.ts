/**
 * What protects the packets of one direction (RFC 4253 section 6, RFC 4344, RFC 5647, OpenSSH's PROTOCOL and
 * PROTOCOL.chacha20poly1305). A key becomes a key object once: making one per packet was a quarter of the cost.
 */
import {
  type Cipheriv,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  type Decipheriv,
  type KeyObject,
} from 'node:crypto'
import { concat, duplicate, ProtocolError, viewOf } from '../bytes.ts'
import { chachaPolyOpener, chachaPolySealer } from './chacha-poly.ts'
import { checkTag, type KeySource, type Mac, type Opener, readLength, type Sealer } from './protection.ts'

export interface CipherSuite {
  /** False where the tag is part of the cipher, and the list of MACs is not looked at. */
  readonly needsMac: boolean
  sealer(keys: KeySource, mac: Mac): Sealer
  opener(keys: KeySource, mac: Mac): Opener
}

const NO_MAC: Mac = { hash: 'none', length: 0, encryptThenMac: false }

/** In the order in which they are offered; the client's own order decides. */
export const CIPHERS: ReadonlyMap<string, CipherSuite> = new Map([
  ['aes256-gcm@openssh.com', gcm('aes-256-gcm', 32)],
  ['aes128-gcm@openssh.com', gcm('aes-128-gcm', 16)],
  ['aes256-ctr', ctr('aes-256-ctr', 32)],
  ['aes192-ctr', ctr('aes-192-ctr', 24)],
  ['aes128-ctr', ctr('aes-128-ctr', 16)],
  [
    'chacha20-poly1305@openssh.com',
    {
      needsMac: false,
      sealer: (keys) => chachaPolySealer(keys.key(64)),
      opener: (keys) => chachaPolyOpener(keys.key(64)),
    },
  ],
])

export const MACS: ReadonlyMap<string, Mac> = new Map([
  ['hmac-sha2-256-etm@openssh.com', { hash: 'sha256', length: 32, encryptThenMac: true }],
  ['hmac-sha2-512-etm@openssh.com', { hash: 'sha512', length: 64, encryptThenMac: true }],
  // Last, for dropbear 2022 where it has neither GCM nor the two above.
  ['hmac-sha2-256', { hash: 'sha256', length: 32, encryptThenMac: false }],
])

export function macFor(suite: CipherSuite, name: string): Mac {
  return suite.needsMac ? (MACS.get(name) ?? NO_MAC) : NO_MAC
}

const GCM_TAG_LENGTH = 16

/** RFC 5647: the last eight bytes of the IV count the packets, the length is authenticated in clear. */
class GcmNonce {
  readonly bytes: Uint8Array
  readonly #view: DataView

  constructor(iv: Uint8Array) {
    this.bytes = new Uint8Array(iv)
    this.#view = new DataView(this.bytes.buffer)
  }

  advance(): void {
    this.#view.setBigUint64(4, this.#view.getBigUint64(4) + 1n)
  }
}

function gcm(algorithm: 'aes-256-gcm' | 'aes-128-gcm', keyLength: number): CipherSuite {
  return {
    needsMac: false,
    sealer: (keys) => {
      const key = createSecretKey(keys.key(keyLength))
      const nonce = new GcmNonce(keys.iv(12))
      return {
        blockLength: 16,
        lengthApart: true,
        seal: (_sequence, packet) => {
          const head = duplicate(packet, 0, 4)
          const cipher = createCipheriv(algorithm, key, nonce.bytes).setAAD(head)
          nonce.advance()
          const body = cipher.update(viewOf(packet, 4, packet.length))
          cipher.final()
          return [head, body, cipher.getAuthTag()]
        },
      }
    },
    opener: (keys) => {
      const key = createSecretKey(keys.key(keyLength))
      const nonce = new GcmNonce(keys.iv(12))
      return {
        blockLength: 16,
        lengthApart: true,
        headLength: 4,
        tagLength: GCM_TAG_LENGTH,
        packetLength: (_sequence, head) => readLength(head),
        open: (_sequence, sealed) => {
          const end = sealed.length - GCM_TAG_LENGTH
          const decipher = createDecipheriv(algorithm, key, nonce.bytes, { authTagLength: GCM_TAG_LENGTH })
          decipher.setAAD(sealed.subarray(0, 4)).setAuthTag(sealed.subarray(end))
          nonce.advance()
          const packet = decipher.update(sealed.subarray(4, end))
          try {
            decipher.final()
          } catch (cause) {
            throw new ProtocolError('a packet with a wrong tag', { cause })
          }
          return packet
        },
      }
    },
  }
}

function ctr(algorithm: string, keyLength: number): CipherSuite {
  return {
    needsMac: true,
    sealer: (keys, mac) => {
      const cipher = createCipheriv(algorithm, keys.key(keyLength), keys.iv(16))
      const key = createSecretKey(keys.integrity(mac.length))
      return {
        blockLength: 16,
        lengthApart: mac.encryptThenMac,
        seal: (sequence, packet) => sealWithMac(cipher, mac, key, sequence, packet),
      }
    },
    opener: (keys, mac) => {
      const decipher = createDecipheriv(algorithm, keys.key(keyLength), keys.iv(16))
      const key = createSecretKey(keys.integrity(mac.length))
      return mac.encryptThenMac ? etmOpener(decipher, mac, key) : mteOpener(decipher, mac, key)
    },
  }
}

function sealWithMac(cipher: Cipheriv, mac: Mac, key: KeyObject, sequence: number, packet: Uint8Array) {
  if (!mac.encryptThenMac) return [cipher.update(packet), tag(mac, key, sequence, packet)]
  const head = duplicate(packet, 0, 4)
  const body = cipher.update(viewOf(packet, 4, packet.length))
  return [head, body, tag(mac, key, sequence, head, body)]
}

function etmOpener(decipher: Decipheriv, mac: Mac, key: KeyObject): Opener {
  return {
    blockLength: 16,
    lengthApart: true,
    headLength: 4,
    tagLength: mac.length,
    packetLength: (_sequence, head) => readLength(head),
    open: (sequence, sealed) => {
      const end = sealed.length - mac.length
      checkTag(tag(mac, key, sequence, sealed.subarray(0, end)), sealed.subarray(end))
      return decipher.update(sealed.subarray(4, end))
    },
  }
}

/** MAC then encrypt: the first block is opened to learn the length, and kept until the rest is there. */
function mteOpener(decipher: Decipheriv, mac: Mac, key: KeyObject): Opener {
  let first = new Uint8Array(0)
  return {
    blockLength: 16,
    lengthApart: false,
    headLength: 16,
    tagLength: mac.length,
    packetLength: (_sequence, head) => {
      first = decipher.update(head)
      return readLength(first)
    },
    open: (sequence, sealed) => {
      const end = sealed.length - mac.length
      const packet = concat([first, decipher.update(sealed.subarray(first.length, end))])
      checkTag(tag(mac, key, sequence, packet), sealed.subarray(end))
      return packet.subarray(4)
    },
  }
}

function tag(mac: Mac, key: KeyObject, sequence: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const number = new Uint8Array(4)
  new DataView(number.buffer).setUint32(0, sequence)
  const hmac = createHmac(mac.hash, key).update(number)
  for (const part of parts) hmac.update(part)
  return hmac.digest()
}
