/**
 * C2SP signed notes, tlog-checkpoints and verifier keys (FORMAT.md, "Checkpoint"), with Ed25519 signatures. A
 * note comes from whoever holds the file: nothing in it counts before a signature under a known key does.
 */
import assert from 'node:assert/strict'
import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { decodeBase64, encodeBase64, FormatError } from './format.ts'
import { HASH_BYTES } from './tree.ts'

export const NOTE_BYTES_MAX = 65_536
export const NOTE_LINES_MAX = 64
const ED25519 = 0x01
const PUBLIC_KEY_BYTES = 32
const SIGNATURE_BYTES = 64
/** What stands before a raw Ed25519 key in its DER form (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** A public key with its name: `name+hex(key id)+base64(0x01 || key)` as text. */
export interface Vkey {
  readonly name: string
  /** Eight hexadecimal digits. */
  readonly id: string
  readonly publicKey: Uint8Array
}

export interface Signer {
  readonly vkey: Vkey
  readonly privateKey: KeyObject
}

export interface NoteSignature {
  readonly name: string
  readonly id: string
  /** What follows the key id: for Ed25519, 64 bytes. */
  readonly bytes: Uint8Array
}

export interface Note {
  /** What is signed, with its last newline. */
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

export interface Tree {
  readonly origin: string
  readonly size: number
  readonly root: Uint8Array
}

export type Checkpoint = Tree & Note

/** `checkpoint`: not the form; `signature`: no valid signature, or one of a known key that is wrong. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError'
  readonly code: 'checkpoint' | 'signature'
  constructor(code: CheckpointError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export function keyId(name: string, publicKey: Uint8Array): string {
  const input = Buffer.concat([Buffer.from(`${name}\n`), Uint8Array.of(ED25519), publicKey])
  return hash('sha256', input, 'hex').slice(0, 8)
}

export function makeVkey(name: string, publicKey: Uint8Array): Vkey {
  if (!isKeyName(name)) throw new CheckpointError('checkpoint', `${JSON.stringify(name)} cannot name a key`)
  assert.equal(publicKey.length, PUBLIC_KEY_BYTES)
  return { name, id: keyId(name, publicKey), publicKey }
}

export function makeSigner(name: string, privateKey: KeyObject): Signer {
  assert.equal(privateKey.asymmetricKeyType, 'ed25519')
  const der = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  return { vkey: makeVkey(name, der.subarray(SPKI_PREFIX.length)), privateKey }
}

export function formatVkey({ name, id, publicKey }: Vkey): string {
  return `${name}+${id}+${encodeBase64(Buffer.concat([Uint8Array.of(ED25519), publicKey]))}`
}

export function parseVkey(text: string): Vkey {
  // Only the first two: base64 has "+" too.
  const [, name = '', id = '', encoded = ''] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text) ?? []
  const bytes = strictBase64(encoded)
  if (bytes[0] !== ED25519 || bytes.length !== 1 + PUBLIC_KEY_BYTES) {
    throw new CheckpointError('checkpoint', 'not the public key of an Ed25519 signer')
  }
  const vkey = makeVkey(name, bytes.subarray(1))
  if (vkey.id !== id) throw new CheckpointError('checkpoint', `the id of the key ${name} is not ${id}`)
  return vkey
}

export function sameVkey(a: Vkey, b: Vkey): boolean {
  return formatVkey(a) === formatVkey(b)
}

function strictBase64(text: string): Uint8Array {
  try {
    return decodeBase64(text)
  } catch (cause) {
    if (cause instanceof FormatError) throw new CheckpointError('checkpoint', cause.message, { cause })
    throw cause
  }
}

/** As sumdb/note has it: no space of any script, no plus. */
function isKeyName(name: string): boolean {
  return /^[^\s+\p{Z}\p{Cc}]+$/u.test(name)
}

export function signNote(text: string, signers: readonly Signer[]): string {
  assert(text.endsWith('\n'), 'a note ends its last line')
  const message = Buffer.from(text)
  const lines = signers.map(({ vkey, privateKey }) => {
    const signature = sign(null, message, privateKey)
    return `— ${vkey.name} ${encodeBase64(Buffer.concat([Buffer.from(vkey.id, 'hex'), signature]))}\n`
  })
  return `${text}\n${lines.join('')}`
}

export function signCheckpoint(signers: readonly Signer[], { origin, size, root }: Tree): string {
  return signNote(`${origin}\n${size}\n${encodeBase64(root)}\n`, signers)
}

/** Takes a note apart. Text and signatures part at the last empty line; no signature is checked here. */
export function parseNote(note: string | Uint8Array): Note {
  const whole = typeof note === 'string' ? note : decodeText(note)
  if (whole.length > NOTE_BYTES_MAX) throw new CheckpointError('checkpoint', 'a note beyond 64 KiB')
  const end = whole.lastIndexOf('\n\n')
  if (end < 0 || !whole.endsWith('\n')) throw new CheckpointError('checkpoint', 'not a note')
  // One whose signatures have been taken away is still a note, so that what is missing can be said.
  const lines = end + 2 === whole.length ? [] : whole.slice(end + 2, -1).split('\n')
  if (whole.split('\n').length - 1 > NOTE_LINES_MAX)
    throw new CheckpointError('checkpoint', 'a note beyond 64 lines')
  return { text: whole.slice(0, end + 1), signatures: lines.map(parseSignature) }
}

function decodeText(bytes: Uint8Array): string {
  if (bytes.length > NOTE_BYTES_MAX) throw new CheckpointError('checkpoint', 'a note beyond 64 KiB')
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new CheckpointError('checkpoint', 'a note that is not UTF-8', { cause })
  }
}

function parseSignature(line: string): NoteSignature {
  const [, name = '', encoded = ''] = /^— ([^ ]+) ([A-Za-z0-9+/=]+)$/.exec(line) ?? []
  if (!isKeyName(name)) throw new CheckpointError('checkpoint', 'a malformed signature line')
  const bytes = strictBase64(encoded)
  if (bytes.length < 5) throw new CheckpointError('checkpoint', 'a signature too short for its key id')
  return { name, id: encodeHex(bytes.subarray(0, 4)), bytes: bytes.subarray(4) }
}

function encodeHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** A checkpoint has exactly three lines: no extensions, which cosignatures would not cover. */
export function parseCheckpoint(note: string | Uint8Array): Checkpoint {
  const { text, signatures } = parseNote(note)
  const [, origin, size, root] = /^([^\n]+)\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/=]+)\n$/.exec(text) ?? []
  if (origin === undefined || root === undefined || !Number.isSafeInteger(Number(size))) {
    throw new CheckpointError('checkpoint', 'not the three lines of a checkpoint')
  }
  const bytes = strictBase64(root)
  if (bytes.length !== HASH_BYTES) throw new CheckpointError('checkpoint', 'a root is 32 bytes')
  return { origin, size: Number(size), root: bytes, text, signatures }
}

/**
 * The keys among `keys` that signed the note; a signature by any other is ignored. One by a known name and id
 * that does not verify makes the note invalid, however many others do.
 */
export function signersOf<K extends Vkey>({ text, signatures }: Note, keys: readonly K[]): K[] {
  const signed: K[] = []
  for (const { name, id, bytes } of signatures) {
    const known = keys.filter((key) => key.name === name && key.id === id)
    if (known.length === 0) continue
    const valid = known.filter((key) => verifies(key, text, bytes))
    if (valid.length === 0)
      throw new CheckpointError('signature', `the signature of ${name}+${id} does not verify`)
    signed.push(...valid.filter((key) => !signed.includes(key)))
  }
  return signed
}

/** The keys that signed the note, at least one. */
export function verifyNote<K extends Vkey>(note: Note, keys: readonly K[]): K[] {
  const signed = signersOf(note, keys)
  if (signed.length === 0) throw new CheckpointError('signature', 'no signature by a known key')
  return signed
}

function verifies({ publicKey }: Vkey, text: string, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' })
  return verify(null, Buffer.from(text), key, signature)
}
