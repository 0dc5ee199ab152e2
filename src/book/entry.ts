/**
 * A record as its journal entry spells it, one text for each member of its kind. What was spelled once, in the gate,
 * is taken into the leaf letter by letter: on the way nothing becomes a value but what somebody has to know.
 */
import { hash } from 'node:crypto'
import {
  type Bundle,
  canonical,
  compressBundle,
  FormatError,
  LEAF_BYTES_MAX,
  type Members,
  type Place,
  quote,
  refusal,
} from './format.ts'
import { ENTRIES, explain, type Grammar } from './grammar.ts'
import type { MemberName, PLACE } from './kinds.ts'

export interface Entry {
  readonly grammar: Grammar
  /** By the grammar's groups; group 0 is the whole entry, where it was read and not put together. */
  readonly groups: readonly (string | undefined)[]
}

/** Reads an entry as strictly as its leaf will be read. */
export function readEntry(text: string): Entry {
  const start = text.indexOf('"kind":"') + 8
  const grammar = ENTRIES.get(text.slice(start, text.indexOf('"', start)))
  const groups = grammar?.pattern.exec(text)
  if (grammar === undefined || groups === null || groups === undefined)
    throw refusal(Buffer.from(text, 'latin1'), ENTRIES)
  return { grammar, groups }
}

/** The entry that says this. Refuses what no leaf can say. */
export function entryOf(members: Members): Entry {
  const text = canonical(members)
  const grammar = ENTRIES.get(members.kind)
  const groups = grammar?.pattern.exec(text)
  if (grammar === undefined || groups === null || groups === undefined || !saysAll(members, grammar))
    throw new FormatError('schema', grammar === undefined ? text : explain({ ...members }, grammar))
  return { grammar, groups }
}

/** A member that the kind does not have must not vanish in silence. */
function saysAll(members: Members, grammar: Grammar): boolean {
  const said = Object.entries(members).filter(([, value]) => value !== undefined)
  return said.every(([name]) => grammar.groups.has(name as MemberName))
}

/** A member as it is spelled; undefined where the entry does not have it. */
export function spelled({ grammar, groups }: Entry, name: MemberName): string | undefined {
  const group = grammar.groups.get(name)
  return group === undefined ? undefined : groups[group]
}

/** The session of an entry. */
export function sidOf(entry: Entry): string | undefined {
  return spelled(entry, 'sid')?.slice(1, -1)
}

export function timeOf(entry: Entry): number {
  return Number(spelled(entry, 'ts'))
}

export function withTime({ grammar, groups }: Entry, ts: number): Entry {
  const group = grammar.groups.get('ts')
  // What the whole entry was spelled like says the other time.
  return {
    grammar,
    groups: groups.map((text, at) => (at === group ? String(ts) : at === 0 ? undefined : text)),
  }
}

/** What stands between the indices of two payloads that an entry names, at least: the hash of the second, and more. */
const BETWEEN_INDICES_MIN = '[{"h":"",'.length + 44

/** The index of the `k`-th payload that the entry names; undefined where it names fewer. */
export function payloadIndex(entry: Entry, k: number): number | undefined {
  const refs = spelled(entry, 'ref') ?? ''
  let at = 0
  // Inside of a string a quotation mark has a backslash before it.
  for (let count = 0; count <= k; count++) {
    at = refs.indexOf('"i":', at + BETWEEN_INDICES_MIN)
    if (at === -1) return undefined
  }
  return Number(refs.slice(at + 4, refs.indexOf(',', at)))
}

/** Where in the leaves of a kind the book's members stand among the entry's own. */
interface Layout {
  /** Of what stands before the value of each group. */
  readonly labelLengths: readonly number[]
  /** How many groups stand before each of the book's members. */
  readonly before: { readonly [N in (typeof PLACE)[number]]: number }
}

const LAYOUTS = new Map<Grammar, Layout>(
  Array.from(ENTRIES.values(), (grammar) => [grammar, layout(grammar)]),
)

function layout({ fields }: Grammar): Layout {
  const count = (place: MemberName): number => fields.filter(({ name }) => name < place).length
  return {
    labelLengths: [0, ...fields.map(({ label }) => label.length)],
    before: {
      log: count('log'),
      prev: count('prev'),
      salt: count('salt'),
      seq: count('seq'),
      v: count('v'),
    },
  }
}

/** The leaf at `place`: the entry as it is spelled, cut where the book's members belong. */
function leafText(entry: Entry, { log, seq, prev, salt }: Place): string {
  const { groups } = entry
  const text = groups[0] ?? wholeText(entry)
  const { labelLengths, before } = LAYOUTS.get(entry.grammar) ?? layout(entry.grammar)
  const forLog = lengthOf(groups, labelLengths, 0, before.log)
  const forPrev = forLog + lengthOf(groups, labelLengths, before.log, before.prev)
  const forSalt = forPrev + lengthOf(groups, labelLengths, before.prev, before.salt)
  const forSeq = forSalt + lengthOf(groups, labelLengths, before.salt, before.seq)
  const forV = forSeq + lengthOf(groups, labelLengths, before.seq, before.v)
  return (
    `${text.slice(0, forLog)},"log":${quote(log)}${text.slice(forLog, forPrev)},"prev":"${prev}"` +
    `${text.slice(forPrev, forSalt)},"salt":"${salt}"${text.slice(forSalt, forSeq)},"seq":${seq}` +
    `${text.slice(forSeq, forV)},"v":1${text.slice(forV)}`
  )
}

/** Of the members behind group `from`, to group `to`, as they are spelled. */
function lengthOf(
  groups: Entry['groups'],
  labelLengths: readonly number[],
  from: number,
  to: number,
): number {
  let length = 0
  for (let group = from + 1; group <= to; group++) {
    const value = groups[group]
    if (value !== undefined) length += (labelLengths[group] ?? 0) + value.length
  }
  return length
}

/** Of an entry that was put together, and not read. */
function wholeText({ grammar, groups }: Entry): string {
  let text = ''
  for (const [at, { label }] of grammar.fields.entries()) {
    const value = groups[at + 1]
    if (value !== undefined) text += label + value
  }
  return `{${text.slice(1)}}`
}

const LENGTH_BYTES = 2

/** The leaves of one commit, written one behind the other as the book's row has them. */
export class BundleWriter {
  #bytes = Buffer.allocUnsafe(64 << 10)
  #length = 0
  #count = 0

  get count(): number {
    return this.#count
  }

  /** Writes the record's leaf and gives its hash (RFC 6962). */
  add(entry: Entry, place: Place): Buffer {
    const text = leafText(entry, place)
    if (text.length > LEAF_BYTES_MAX) throw new FormatError('schema', `${entry.grammar.kind}: too long`)
    this.#reserve(LENGTH_BYTES + text.length)
    const bytes = this.#bytes
    const start = this.#length + LENGTH_BYTES
    const end = start + bytes.write(text, start, 'latin1')
    // A leaf is hashed behind a zero: it stands where, a moment later, the length ends.
    bytes[start - 1] = 0
    const digest = Buffer.from(hash('sha256', bytes.subarray(start - 1, end), 'binary'), 'binary')
    bytes.writeUInt16BE(text.length, this.#length)
    this.#length = end
    this.#count++
    return digest
  }

  /** The row of what was written; the next commit begins anew. */
  finish(): Bundle & { readonly count: number } {
    const count = this.#count
    const bundle = compressBundle(this.#bytes.subarray(0, this.#length), count)
    this.clear()
    return { ...bundle, count }
  }

  clear(): void {
    this.#length = 0
    this.#count = 0
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(2 * this.#bytes.length + length)
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
  }
}

/** The bytes of one record at its place. */
export function encodeLeaf(members: Members, place: Place): Uint8Array {
  const text = leafText(entryOf(members), place)
  if (text.length > LEAF_BYTES_MAX) throw new FormatError('schema', `${members.kind}: too long`)
  return Buffer.from(text, 'latin1')
}
