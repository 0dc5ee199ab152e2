/** Keys of fixed bytes, so that what is signed with them is always the same. */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { hostKey, publicBlob } from '../../protocols/ssh/host-keys.ts'
import { encodeForm, string, text } from '../../protocols/ssh/wire.ts'

/** An Ed25519 key of fixed bytes. */
export function ed25519Key(byte: number): KeyObject {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, byte)])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

export const HOST_KEY = hostKey(ed25519Key(1))

export function signEd25519(key: KeyObject, data: Uint8Array): Uint8Array {
  return encodeForm(
    { algorithm: text, signature: string },
    { algorithm: 'ssh-ed25519', signature: sign(null, data, key) },
  )
}

export function ed25519Blob(key: KeyObject): Uint8Array {
  return publicBlob(createPublicKey(key))
}
