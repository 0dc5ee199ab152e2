/**
 * The proof of one record as one JSON file (FORMAT.md, "Proof"): whoever has the first public key can check
 * without the book that the record stands in it, and in which session. It is made of texts that can each be
 * checked alone, by other programs too. The file may come from an attacker.
 */
import { decodeBase64, encodeBase64, FormatError } from './format.ts'

export const PROOF_FORMAT = 1
/** 64 payloads of 1 MiB in base64, and room for the rest. */
export const PROOF_BYTES_MAX = 134_217_728
/** Changes of key, and hashes of one proof, that are read. */
const KEYS_MAX = 10_000
const HASHES_MAX = 64

/** A leaf as its text, and its tlog-proof. */
export interface ProvenLeaf {
  readonly leaf: string
  readonly proof: string
}

export interface RecordProof extends ProvenLeaf {
  readonly v: typeof PROOF_FORMAT
  /** The opening leaf of the record's session, where it is in one. */
  readonly session?: ProvenLeaf
  /** For each change of key, its record under the checkpoint that both keys signed. */
  readonly keys: readonly ProvenLeaf[]
  /** Ciphertexts of payloads that the record names. */
  readonly payloads?: readonly { readonly i: number; readonly data: string }[]
  /** The session's data key. It opens everything in the session, so it is given away by consent only. */
  readonly key?: string
}

const MEMBERS = ['v', 'leaf', 'proof', 'session', 'keys', 'payloads', 'key']

/** Reads a proof's form; nothing in it has been checked then. */
export function parseProof(text: string): RecordProof {
  if (text.length > PROOF_BYTES_MAX) throw new FormatError('format', 'a proof of more than 128 MiB')
  const value = object(parseJson(text), MEMBERS)
  if (value['v'] !== PROOF_FORMAT)
    throw new FormatError('format', `a proof of format ${JSON.stringify(value['v'])}`)
  const { session, payloads, key } = value
  return {
    v: PROOF_FORMAT,
    ...proven({ leaf: value['leaf'], proof: value['proof'] }),
    keys: array(value['keys'], KEYS_MAX).map(proven),
    ...(session === undefined ? {} : { session: proven(session) }),
    ...(payloads === undefined ? {} : { payloads: array(payloads, KEYS_MAX).map(payload) }),
    ...(key === undefined ? {} : { key: string(key) }),
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new FormatError('format', 'a proof that is not JSON', { cause })
  }
}

function object(value: unknown, members: readonly string[]): Readonly<Record<string, unknown>> {
  if (
    typeof value !== 'object' ||
    value === null ||
    !Object.keys(value).every((name) => members.includes(name))
  ) {
    throw new FormatError('format', `not an object of ${members.join(', ')}`)
  }
  return value as Record<string, unknown>
}

function array(value: unknown, max: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > max)
    throw new FormatError('format', `not a list of up to ${max}`)
  return value
}

function string(value: unknown): string {
  if (typeof value !== 'string') throw new FormatError('format', 'not a text where a text belongs')
  return value
}

function proven(value: unknown): ProvenLeaf {
  const { leaf, proof } = object(value, ['leaf', 'proof'])
  return { leaf: string(leaf), proof: string(proof) }
}

function payload(value: unknown): { readonly i: number; readonly data: string } {
  const { i, data } = object(value, ['i', 'data'])
  if (!Number.isSafeInteger(i)) throw new FormatError('format', 'not an index where an index belongs')
  return { i: Number(i), data: string(data) }
}

const TLOG_PROOF = 'c2sp.org/tlog-proof@v1'

export interface TlogProof {
  readonly index: number
  readonly hashes: readonly Uint8Array[]
  /** The checkpoint, verbatim. */
  readonly note: string
}

export function formatTlogProof({ index, hashes, note }: TlogProof): string {
  const lines = hashes.map((item) => `${encodeBase64(item)}\n`)
  return `${TLOG_PROOF}\nindex ${index}\n${lines.join('')}\n${note}`
}

export function parseTlogProof(text: string): TlogProof {
  const end = text.indexOf('\n\n')
  const [first, second = '', ...lines] = text.slice(0, Math.max(0, end)).split('\n')
  const [, index] = /^index (0|[1-9][0-9]{0,15})$/.exec(second) ?? []
  if (
    first !== TLOG_PROOF ||
    index === undefined ||
    lines.length > HASHES_MAX ||
    !Number.isSafeInteger(Number(index))
  ) {
    throw new FormatError('format', 'not a tlog-proof')
  }
  return { index: Number(index), hashes: lines.map(decodeBase64), note: text.slice(end + 2) }
}
