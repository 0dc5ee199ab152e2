/**
 * chacha20-poly1305@openssh.com (OpenSSH's PROTOCOL.chacha20poly1305): two ChaCha20 keys, one for the length and
 * one for the rest, the sequence number as nonce, and a tag over both ciphertexts.
 */
import { createCipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import { POLY1305_TAG_LENGTH, poly1305 } from './poly1305.ts'
import { checkTag, type Opener, readLength, type Sealer } from './protection.ts'

const LENGTH_FIELD = 4
const CHACHA_BLOCK = 64
const CHACHA_KEY = 32

/** The one buffer of each direction that holds the nonce: counter 0, then the sequence number. */
class Keystream {
  readonly #lengthKey: KeyObject
  readonly #mainKey: KeyObject
  readonly #nonce = new Uint8Array(16)
  readonly #view = new DataView(this.#nonce.buffer)

  constructor(key: Uint8Array) {
    this.#mainKey = createSecretKey(key.subarray(0, CHACHA_KEY))
    this.#lengthKey = createSecretKey(key.subarray(CHACHA_KEY))
  }

  length(sequence: number, field: Uint8Array): Uint8Array {
    this.#view.setUint32(12, sequence)
    return createCipheriv('chacha20', this.#lengthKey, this.#nonce).update(field)
  }

  /**
   * Block 0 of the main keystream is the key of the tag, the packet begins with block 1: one cipher object makes
   * both. `body` stands behind a block of zeros in `padded`.
   */
  main(sequence: number, padded: Uint8Array): Uint8Array {
    this.#view.setUint32(12, sequence)
    return createCipheriv('chacha20', this.#mainKey, this.#nonce).update(padded)
  }
}

export function chachaPolySealer(key: Uint8Array): Sealer {
  const keystream = new Keystream(key)
  return {
    blockLength: 8,
    lengthApart: true,
    seal: (sequence, packet) => {
      const padded = new Uint8Array(CHACHA_BLOCK + packet.length - LENGTH_FIELD)
      padded.set(packet.subarray(LENGTH_FIELD), CHACHA_BLOCK)
      const streamed = keystream.main(sequence, padded)
      const sealed = new Uint8Array(packet.length)
      sealed.set(keystream.length(sequence, packet.subarray(0, LENGTH_FIELD)))
      sealed.set(streamed.subarray(CHACHA_BLOCK), LENGTH_FIELD)
      return [sealed, poly1305(streamed.subarray(0, CHACHA_KEY), sealed)]
    },
  }
}

export function chachaPolyOpener(key: Uint8Array): Opener {
  const keystream = new Keystream(key)
  return {
    blockLength: 8,
    lengthApart: true,
    headLength: LENGTH_FIELD,
    tagLength: POLY1305_TAG_LENGTH,
    packetLength: (sequence, head) => readLength(keystream.length(sequence, head)),
    open: (sequence, sealed) => {
      const end = sealed.length - POLY1305_TAG_LENGTH
      const padded = new Uint8Array(CHACHA_BLOCK + end - LENGTH_FIELD)
      padded.set(sealed.subarray(LENGTH_FIELD, end), CHACHA_BLOCK)
      // Decrypting before the tag is checked costs time only: nothing of it is looked at before.
      const streamed = keystream.main(sequence, padded)
      const tag = poly1305(streamed.subarray(0, CHACHA_KEY), sealed.subarray(0, end))
      checkTag(tag, sealed.subarray(end))
      return streamed.subarray(CHACHA_BLOCK)
    },
  }
}
