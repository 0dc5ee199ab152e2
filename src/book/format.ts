/**
 * Leaves and bundles as bytes (FORMAT.md, "Leaf" and "Bundle"). The writer canonicalises; a reader hashes the
 * stored bytes as they are and accepts only the one canonical spelling of them, so no two parsers can read one
 * signed record differently.
 */
import assert from 'node:assert/strict'
import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib'
import { ENTRIES, explain, type Grammar, type Grammars, LEAVES } from './grammar.ts'
import type { ALWAYS, MEMBERS, MemberName, PLACE, Shape } from './kinds.ts'

export { REFS_MAX } from './grammar.ts'

export const LEAF_BYTES_MAX = 16_384
export const BUNDLE_LEAVES_MAX = 512
export const PAYLOADS_MAX = 2 ** 32
/** Ciphertext: blind, codec and tag around a body of 0 to 1 MiB. */
export const PAYLOAD_BYTES_MIN = 33
export const PAYLOAD_BYTES_MAX = 1_048_609

/** A payload: index in its session, SHA-256 and length of its ciphertext, type. */
export interface Ref {
  readonly h: string
  readonly i: number
  readonly n: number
  readonly t: string
}

/** What an `erase` covers: single payloads, whole sessions, or all sessions closed below an index. */
export type Scope =
  | { readonly refs: readonly (readonly [string, number])[] }
  | { readonly sids: readonly string[] }
  | { readonly below: number }

type ValueOf<S extends Shape> = S extends 'int' | 'count'
  ? number
  : S extends 'flag'
    ? boolean
    : S extends 'refs'
      ? readonly Ref[]
      : S extends 'tokens'
        ? readonly string[]
        : S extends 'scope'
          ? Scope
          : string

type PlaceName = (typeof PLACE)[number]
type AlwaysName = (typeof ALWAYS)[number]

/** What a record says: a leaf without its place in the book. A member that is undefined is absent. */
export type Members = { readonly kind: string; readonly ts: number } & {
  readonly [N in Exclude<MemberName, PlaceName | AlwaysName>]?: ValueOf<(typeof MEMBERS)[N]> | undefined
}

export interface Place {
  readonly log: string
  readonly seq: number
  readonly prev: string
  readonly salt: string
}

export type Leaf = Members & Place & { readonly v: 1 }

/** `canonical`: not the one spelling; `schema`: not a member of its kind; `format`: not the framing. */
export class FormatError extends Error {
  override readonly name = 'FormatError'
  readonly code: 'canonical' | 'schema' | 'format'
  constructor(code: FormatError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The canonical form of a leaf, or of a journal entry's members. Of what it is given it judges only the integers. */
export function canonical(value: Members | Leaf): string {
  const grammar = grammarOf('v' in value ? LEAVES : ENTRIES, value.kind)
  return write(grammar, value, value)
}

function grammarOf(grammars: Grammars, kind: string): Grammar {
  const grammar = grammars.get(kind)
  if (grammar === undefined) throw new FormatError('schema', `there is no kind ${JSON.stringify(kind)}`)
  return grammar
}

/** Members one by one in their order: no sorting, and names like "10" stand where they belong. */
function write(grammar: Grammar, members: Partial<Leaf>, place: Partial<Leaf>): string {
  let text = ''
  for (const { name, label, shape, placed } of grammar.fields) {
    const value = name === 'v' ? 1 : (placed ? place : members)[name]
    if (value === undefined) continue
    text += label
    if (typeof value === 'string') text += quote(value)
    else if (typeof value === 'number') {
      // Beyond 2^53 - 1 two integers share one number, and no reader takes them.
      if (!Number.isSafeInteger(value)) throw impossible(members.kind, name)
      text += value
    } else if (typeof value === 'boolean') text += value
    else if (shape === 'refs') text += writeRefs(members.ref ?? [])
    else text += JSON.stringify(value)
  }
  return `{${text.slice(1)}}`
}

function impossible(kind: string | undefined, name: MemberName): FormatError {
  return new FormatError('schema', `${kind}: ${name} has an impossible value`)
}

export function quote(text: string): string {
  return text.includes('"') || text.includes('\\') ? JSON.stringify(text) : `"${text}"`
}

function writeRefs(refs: readonly Ref[]): string {
  return `[${readRefs(refs)
    .map((ref) => `{"h":"${ref.h}","i":${ref.i},"n":${ref.n},"t":${quote(ref.t)}}`)
    .join(',')}]`
}

/** Reads a leaf: canonical, of its kind's schema, within its limits, or a FormatError. */
export function parseLeaf(bytes: Uint8Array): Leaf {
  return parse(bytes, LEAVES) as unknown as Leaf
}

/** Reads a journal entry's members as strictly. */
export function parseMembers(bytes: Uint8Array): Members {
  return parse(bytes, ENTRIES) as unknown as Members
}

function parse(bytes: Uint8Array, grammars: Grammars): Record<string, unknown> {
  if (bytes.length > LEAF_BYTES_MAX) throw new FormatError('canonical', `a leaf of ${bytes.length} bytes`)
  const text = latin1(bytes)
  const start = text.indexOf('"kind":"') + 8
  const grammar = grammars.get(text.slice(start, text.indexOf('"', start)))
  const match = grammar?.pattern.exec(text)
  if (grammar === undefined || match === null || match === undefined) throw refusal(bytes, grammars)
  const value: Record<string, unknown> = {}
  for (let at = 0; at < grammar.fields.length; at++) {
    const spelled = match[at + 1]
    const field = grammar.fields[at]
    if (spelled !== undefined && field !== undefined) value[field.name] = read(field.shape, spelled)
  }
  return value
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

function read(shape: Shape, spelled: string): unknown {
  switch (shape) {
    case 'int':
    case 'count':
      return integer(Number(spelled), Number.MAX_SAFE_INTEGER)
    case 'format':
      return 1
    case 'flag':
      return spelled === 'true'
    case 'refs':
      return readRefs(JSON.parse(spelled) as Ref[])
    case 'scope':
      return readScope(JSON.parse(spelled) as Scope)
    case 'tokens':
      return JSON.parse(spelled) as string[]
    default:
      return spelled.includes('\\') ? (JSON.parse(spelled) as string) : spelled.slice(1, -1)
  }
}

function integer(value: number, max: number, min = 0): number {
  if (value > max || value < min) throw new FormatError('schema', `${value} is not within ${min} to ${max}`)
  return value
}

function readRefs(refs: readonly Ref[]): readonly Ref[] {
  for (const { i, n } of refs) {
    integer(i, PAYLOADS_MAX - 1)
    integer(n, PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MIN)
  }
  return refs
}

function readScope(scope: Scope): Scope {
  if ('below' in scope) integer(scope.below, Number.MAX_SAFE_INTEGER)
  if ('refs' in scope) for (const [, i] of scope.refs) integer(i, PAYLOADS_MAX - 1)
  return scope
}

/** Why these bytes are no leaf, or no entry. `canonical` unless they are RFC 8785 and only say what the schema does not know. */
export function refusal(bytes: Uint8Array, grammars: Grammars): FormatError {
  let value: unknown
  try {
    const text = utf8.decode(bytes)
    value = JSON.parse(text)
    if (canonicalJson(value) !== text) return new FormatError('canonical', 'not in canonical form')
  } catch (cause) {
    return new FormatError('canonical', 'not JSON', { cause })
  }
  if (typeof value !== 'object' || value === null) return new FormatError('schema', 'not an object')
  const leaf = value as Record<string, unknown>
  const grammar = grammars.get(String(leaf['kind']))
  if (grammar === undefined)
    return new FormatError('schema', `there is no kind ${JSON.stringify(leaf['kind'])}`)
  return new FormatError('schema', explain(leaf, grammar))
}

// A byte-order mark is content, and content that no leaf has.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Deeper than anything in a leaf, and far from the end of the stack. */
const DEPTH_MAX = 64

/** RFC 8785 for any value that JSON.parse returns. */
export function canonicalJson(value: unknown, depth = 0): string {
  if (depth > DEPTH_MAX) throw new FormatError('canonical', `nested more than ${DEPTH_MAX} deep`)
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, item]) => `${JSON.stringify(name)}:${canonicalJson(item, depth + 1)}`).join(',')}}`
}

/** Node's decoder skips what it does not know and ignores spare bits; here one value has one spelling. */
export function decodeBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw new FormatError('format', 'not base64 in its one spelling')
  return bytes
}

export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** The leaves of one commit, as its row holds them. */
export interface Bundle {
  /** 0: as they are, 1: raw DEFLATE. */
  readonly codec: number
  /** CRC-32 of `bytes`: DEFLATE has spare bits, and a changed bit must be found even there. */
  readonly crc: number
  readonly bytes: Uint8Array
}

/** Each leaf with its length before it, compressed where that is shorter. */
export function encodeBundle(leaves: readonly Uint8Array[]): Bundle & { readonly codec: 0 | 1 } {
  return compressBundle(encodeEntries(leaves), leaves.length)
}

/** The largest table for matches is the quickest: a fifth less time for the same bytes. */
const DEFLATE = { level: 1, memLevel: 9, chunkSize: 64 << 10 }

export function compressBundle(plain: Uint8Array, count: number): Bundle & { readonly codec: 0 | 1 } {
  assert(count >= 1 && count <= BUNDLE_LEAVES_MAX, `a bundle of ${count} leaves`)
  const deflated = deflateRawSync(plain, DEFLATE)
  const codec = deflated.length < plain.length ? 1 : 0
  const bytes = codec === 1 ? deflated : Uint8Array.from(plain)
  return { codec, crc: crc32(bytes), bytes }
}

/** The entry bundle of tlog-tiles: uint16 length, then the leaf. */
export function encodeEntries(leaves: readonly Uint8Array[]): Uint8Array {
  const whole = Buffer.allocUnsafe(leaves.reduce((sum, leaf) => sum + 2 + leaf.length, 0))
  let at = 0
  for (const leaf of leaves) {
    at = whole.writeUInt16BE(leaf.length, at)
    whole.set(leaf, at)
    at += leaf.length
  }
  return whole
}

/** Reads a row of `bundle`. Nothing is left over at any layer: not in the stream, not behind it, not in the framing. */
export function decodeBundle(row: {
  readonly count: number
  readonly codec: number
  readonly crc: number
  readonly leaves: Uint8Array
}): Uint8Array[] {
  const { count, codec, crc, leaves } = row
  if (!(count >= 1 && count <= BUNDLE_LEAVES_MAX))
    throw new FormatError('format', `a bundle of ${count} leaves`)
  if (crc32(leaves) !== crc) throw new FormatError('format', 'the checksum of a bundle differs')
  if (codec === 0) return decodeEntries(leaves, count)
  if (codec === 1) return decodeEntries(inflate(leaves, (LEAF_BYTES_MAX + 2) * count), count)
  throw new FormatError('format', `unknown codec ${codec}`)
}

function inflate(stream: Uint8Array, bytesMax: number): Uint8Array {
  let result: { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } }
  try {
    // Most bundles are small, and what Node takes by default is more than a leaf and its hash cost together.
    const chunkSize = Math.min(Math.max(1_024, 8 * stream.length), 65_536)
    result = inflateRawSync(stream, {
      maxOutputLength: bytesMax,
      chunkSize,
      info: true,
    }) as unknown as typeof result
  } catch (cause) {
    throw new FormatError('format', 'a bundle does not inflate', { cause })
  }
  if (result.engine.bytesWritten !== stream.length)
    throw new FormatError('format', 'bytes after a DEFLATE stream')
  return result.buffer
}

export function decodeEntries(bytes: Uint8Array, count: number): Uint8Array[] {
  const leaves: Uint8Array[] = []
  let at = 0
  while (leaves.length < count && at + 2 <= bytes.length) {
    const start = at + 2
    at = start + (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0))
    leaves.push(bytes.subarray(start, at))
  }
  if (leaves.length !== count || at !== bytes.length)
    throw new FormatError('format', 'the lengths of a bundle do not add up')
  return leaves
}
