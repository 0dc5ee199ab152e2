/**
 * Key agreement, the server's side of it (RFC 4253 section 8, RFC 5656, RFC 8268, RFC 8731,
 * draft-ietf-sshm-mlkem-hybrid-kex). The client's public value comes in, ours and the shared secret go out.
 */
import {
  createECDH,
  createHash,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  getDiffieHellman,
  type KeyObject,
} from 'node:crypto'
import { concat, ProtocolError } from '../bytes.ts'
import { rawPublicKey } from './keys.ts'
import { encodeForm, mpint, signed, string, unsigned } from './wire.ts'

export type Curve = 'prime256v1' | 'secp384r1' | 'secp521r1'
export type Group = 'modp14' | 'modp16' | 'modp18'

/** One half of a Diffie-Hellman exchange. */
export interface Ephemeral {
  readonly publicValue: Uint8Array
  /** Throws when the peer's value is malformed or lies in a small subgroup. */
  agree(peer: Uint8Array): Uint8Array
}

/** Where ephemeral keys come from: an argument, so that a whole handshake can be a vector. */
export interface EphemeralKeys {
  x25519(): Ephemeral
  ecdh(curve: Curve): Ephemeral
  dh(group: Group): Ephemeral
  /** ML-KEM-768, to the client's encapsulation key. */
  encapsulate(key: KeyObject): { readonly ciphertext: Uint8Array; readonly sharedKey: Uint8Array }
}

export interface Agreed {
  readonly serverValue: Uint8Array
  /** K as it goes into the exchange hash and the derivation: an mpint, or a string for the hybrid. */
  readonly secret: Uint8Array
}

export interface KexMethod {
  readonly hash: 'sha256' | 'sha384' | 'sha512'
  respond(clientValue: Uint8Array, keys: EphemeralKeys): Agreed
}

const curve25519: KexMethod = {
  hash: 'sha256',
  respond: (clientValue, keys) => {
    if (clientValue.length !== X25519_LENGTH) throw new ProtocolError('an X25519 value of another length')
    const own = keys.x25519()
    return { serverValue: own.publicValue, secret: secretNumber(agree(own, clientValue)) }
  },
}

/** In the order in which they are offered; group 18 last, because it takes 10 ms of everybody's time. */
export const KEX_METHODS: ReadonlyMap<string, KexMethod> = new Map([
  ['mlkem768x25519-sha256', { hash: 'sha256', respond: respondHybrid }],
  ['curve25519-sha256', curve25519],
  ['curve25519-sha256@libssh.org', curve25519],
  ['ecdh-sha2-nistp256', ecdh('prime256v1', 'sha256', 65)],
  ['ecdh-sha2-nistp384', ecdh('secp384r1', 'sha384', 97)],
  ['ecdh-sha2-nistp521', ecdh('secp521r1', 'sha512', 133)],
  ['diffie-hellman-group14-sha256', dh('modp14', 'sha256')],
  ['diffie-hellman-group16-sha512', dh('modp16', 'sha512')],
  ['diffie-hellman-group18-sha512', dh('modp18', 'sha512')],
])

const X25519_LENGTH = 32
const MLKEM768_KEY_LENGTH = 1184

function respondHybrid(clientValue: Uint8Array, keys: EphemeralKeys): Agreed {
  if (clientValue.length !== MLKEM768_KEY_LENGTH + X25519_LENGTH) {
    throw new ProtocolError('an ML-KEM and X25519 value of another length')
  }
  const own = keys.x25519()
  const classical = agree(own, clientValue.subarray(MLKEM768_KEY_LENGTH))
  const { ciphertext, sharedKey } = keys.encapsulate(mlkemKey(clientValue.subarray(0, MLKEM768_KEY_LENGTH)))
  const combined = createHash('sha256').update(sharedKey).update(classical).digest()
  return {
    serverValue: concat([ciphertext, own.publicValue]),
    secret: encodeForm({ secret: string }, { secret: combined }),
  }
}

/** OpenSSL checks the modulus of each coefficient, as FIPS 203 section 7.2 demands. */
function mlkemKey(key: Uint8Array): KeyObject {
  try {
    return rawPublicKey(key, 'ml-kem-768')
  } catch (cause) {
    throw new ProtocolError('a malformed ML-KEM key', { cause })
  }
}

function ecdh(curve: Curve, hash: KexMethod['hash'], pointLength: number): KexMethod {
  return {
    hash,
    respond: (clientValue, keys) => {
      // RFC 5656, section 4: uncompressed points only.
      if (clientValue.length !== pointLength || clientValue[0] !== 4)
        throw new ProtocolError('a malformed point')
      const own = keys.ecdh(curve)
      return { serverValue: own.publicValue, secret: secretNumber(agree(own, clientValue)) }
    },
  }
}

function dh(group: Group, hash: KexMethod['hash']): KexMethod {
  return {
    hash,
    respond: (clientValue, keys) => {
      const own = keys.dh(group)
      const shared = agree(own, unsigned(clientValue))
      return { serverValue: signed(own.publicValue), secret: secretNumber(shared) }
    },
  }
}

function agree(own: Ephemeral, peer: Uint8Array): Uint8Array {
  try {
    return own.agree(peer)
  } catch (cause) {
    throw new ProtocolError('a key exchange value that does not fit', { cause })
  }
}

function secretNumber(secret: Uint8Array): Uint8Array {
  return encodeForm({ secret: mpint }, { secret })
}

/** Fresh keys of node:crypto: what the gate hands in. Nothing in this folder calls it by itself. */
export const freshEphemeralKeys: EphemeralKeys = {
  x25519: () => {
    const { publicKey, privateKey } = generateKeyPairSync('x25519')
    return {
      publicValue: publicKey.export({ format: 'raw-public' }),
      agree: (peer) => agreeX25519(privateKey, peer),
    }
  },
  ecdh: (curve) => withSecret(createECDH(curve)),
  dh: (group) => withSecret(getDiffieHellman(group)),
  encapsulate: (key) => encapsulate(key),
}

export function agreeX25519(privateKey: KeyObject, peer: Uint8Array): Uint8Array {
  return diffieHellman({ privateKey, publicKey: rawPublicKey(peer, 'x25519') })
}

interface Exchange {
  generateKeys(): Uint8Array
  computeSecret(peer: Uint8Array): Uint8Array
}

function withSecret(exchange: Exchange): Ephemeral {
  const publicValue = exchange.generateKeys()
  return { publicValue, agree: (peer) => exchange.computeSecret(peer) }
}
