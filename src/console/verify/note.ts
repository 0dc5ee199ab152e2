/** Signed checkpoints and the keys that sign them (FORMAT.md, 3.2 to 3.4). All of it may come from an attacker. */
import { type Bytes, fromBase64, sha256 } from './hash.ts'

export interface VerifyingKey {
  readonly name: string
  readonly id: string
  readonly key: CryptoKey
}

export interface Checkpoint {
  readonly origin: string
  readonly size: number
  readonly root: Bytes
  /** The signed text. */
  readonly text: string
  readonly signatures: readonly { readonly name: string; readonly id: string; readonly signature: Bytes }[]
}

const NOTE_CHARACTERS_MAX = 65_536
const NOTE_LINES_MAX = 64

/** `name+hex of the id+base64`; its id must be that of its own bytes. */
export async function readKey(vkey: string): Promise<VerifyingKey> {
  const [, name = '', id = '', base64 = ''] = /^([^+\s]+)\+([0-9a-f]{8})\+(\S+)$/.exec(vkey.trim()) ?? []
  if (name === '') throw new Error('this is no public key of a book: expected name+id+key')
  const bytes = fromBase64(base64)
  if (bytes.length !== 33 || bytes[0] !== 1) throw new Error('the key is not one for Ed25519')
  const named = new TextEncoder().encode(`${name}\n`)
  const whole = new Uint8Array(named.length + bytes.length)
  whole.set(named)
  whole.set(bytes, named.length)
  const own = (await sha256(whole)).subarray(0, 4).toHex()
  if (own !== id) throw new Error('the key is not the one that its id says: a character is wrong')
  const key = await crypto.subtle.importKey('raw', bytes.slice(1), { name: 'Ed25519' }, true, ['verify'])
  return { name, id, key }
}

export function readCheckpoint(note: string): Checkpoint {
  if (note.length > NOTE_CHARACTERS_MAX) throw new Error('a checkpoint that is too long')
  const split = note.lastIndexOf('\n\n')
  const text = note.slice(0, split + 1)
  const [origin = '', size = '', root = '', ...more] = text.split('\n')
  const lines = note.slice(split + 2).split('\n')
  if (
    split < 0 ||
    more.join('') !== '' ||
    more.length !== 1 ||
    lines.length > NOTE_LINES_MAX ||
    lines.at(-1) !== ''
  )
    throw new Error('this is no checkpoint')
  if (!/^(0|[1-9]\d{0,15})$/.test(size)) throw new Error('a checkpoint without a size')
  const bytes = fromBase64(root)
  if (bytes.length !== 32) throw new Error('a checkpoint without a root')
  return { origin, size: Number(size), root: bytes, text, signatures: lines.slice(0, -1).map(readSignature) }
}

function readSignature(line: string): Checkpoint['signatures'][number] {
  const [, name = '', base64 = ''] = /^— ([^+\s]+) (\S+)$/.exec(line) ?? []
  const bytes = fromBase64(base64)
  if (name === '' || bytes.length < 5) throw new Error('a signature that cannot be read')
  return { name, id: bytes.subarray(0, 4).toHex(), signature: bytes.slice(4) }
}

/** Whether this very key has signed it. One signature under its name and id that does not hold spoils the whole. */
export async function isSignedBy(checkpoint: Checkpoint, { name, id, key }: VerifyingKey): Promise<boolean> {
  const own = checkpoint.signatures.filter((one) => one.name === name && one.id === id)
  const text = new TextEncoder().encode(checkpoint.text)
  for (const { signature } of own) {
    if (!(await crypto.subtle.verify({ name: 'Ed25519' }, key, signature, text))) return false
  }
  return own.length > 0
}
