/** Makes the proof of one record (FORMAT.md, "Proof") from a book or an export. */
import { parseCheckpoint } from './checkpoint.ts'
import { encodeBase64, type Leaf, parseLeaf } from './format.ts'
import { StoredHashes, sourceHashes } from './hashes.ts'
import { formatTlogProof, PROOF_FORMAT, type ProvenLeaf, type RecordProof } from './proof.ts'
import { inclusionProof } from './tree.ts'
import { Authority } from './verify/authority.ts'
import { type Source, SourceError } from './verify/source.ts'

export interface ProofOptions {
  readonly payloads: boolean
  /** Where the session's opening and the changes of key stand, from whoever knows; else the book is looked through. */
  readonly places?: { readonly opening?: number; readonly keys: readonly number[] }
}

/** Makes the proof of a record under the newest head. It judges nothing: checking the proof is the check. */
export function proveRecord(source: Source, index: number, options: ProofOptions): RecordProof {
  const { head, end } = source
  if (head === undefined) throw new SourceError('damaged', 'the book has no head')
  if (!(Number.isSafeInteger(index) && index >= 0 && index < end)) {
    throw new SourceError('foreign', `there is no record ${index}: the book has ${end}`)
  }
  const hashes = new StoredHashes(sourceHashes(source))
  const prove = (at: number, bytes: Uint8Array, note: Uint8Array): ProvenLeaf => {
    const { size } = parseCheckpoint(note)
    return {
      leaf: textOf(bytes),
      proof: formatTlogProof({ index: at, hashes: inclusionProof(at, size, hashes), note: textOf(note) }),
    }
  }
  const bytes = findLeaf(source, index)
  const leaf = parseLeaf(bytes)
  const { places } = options
  const opening = leaf.sid === undefined ? undefined : openingOf(source, leaf.sid, index, places?.opening)
  return {
    v: PROOF_FORMAT,
    ...prove(index, bytes, head),
    ...(opening === undefined ? {} : { session: prove(opening.seq, opening.bytes, head) }),
    keys: keyChanges(source, places?.keys).map(({ seq, bytes: change, note }) => prove(seq, change, note)),
    ...(options.payloads ? { payloads: ciphertexts(source, leaf) } : {}),
  }
}

function openingOf(
  source: Source,
  sid: string,
  below: number,
  place: number | undefined,
): { seq: number; bytes: Uint8Array } {
  return place === undefined
    ? findOpening(source, sid, below)
    : { seq: place, bytes: findLeaf(source, place) }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
}

function findLeaf(source: Source, index: number): Uint8Array {
  for (const { seq, leaf } of source.kept()) if (seq === index) return leaf
  for (const commit of source.commits(index)) {
    const leaf = commit.leaves()[index - commit.first]
    if (leaf !== undefined) return leaf
    break
  }
  throw new SourceError('foreign', `record ${index} has been pruned`)
}

/** Nothing in a book tells where a session begins, so its records are looked through from the first. */
function findOpening(source: Source, sid: string, below: number): { seq: number; bytes: Uint8Array } {
  const isOpening = (bytes: Uint8Array): boolean => {
    const text = textOf(bytes)
    return text.includes(`"sid":"${sid}"`) && parseLeaf(bytes).kind === 'session.open'
  }
  for (const { seq, leaf } of source.kept()) if (isOpening(leaf)) return { seq, bytes: leaf }
  for (const { first, leaves } of source.commits(0)) {
    if (first > below) break
    const at = leaves().findIndex(isOpening)
    const bytes = leaves()[at]
    if (bytes !== undefined) return { seq: first + at, bytes }
  }
  throw new SourceError('damaged', `session ${sid} has no opening`)
}

function keyChanges(
  source: Source,
  places: readonly number[] | undefined,
): { seq: number; bytes: Uint8Array; note: Uint8Array }[] {
  const leaves = places?.map((seq) => [seq, findLeaf(source, seq)] as const) ?? keyLeavesOf(source)
  if (leaves.length === 0) return []
  const notes = new Map([...source.checkpoints()].map(({ size, note }) => [size, note]))
  return [...leaves]
    .sort(([a], [b]) => a - b)
    .map(([seq, bytes]) => {
      const note = notes.get(seq + 1)
      if (note === undefined)
        throw new SourceError('damaged', `the change of key by record ${seq} has no checkpoint`)
      return { seq, bytes, note }
    })
}

function keyLeavesOf(source: Source): readonly (readonly [number, Uint8Array])[] {
  const authority = new Authority()
  authority.read(source)
  return [...authority.keyLeaves]
}

function ciphertexts(source: Source, { sid, ref = [] }: Leaf): { i: number; data: string }[] {
  const found: { i: number; data: string }[] = []
  for (const { i } of ref) {
    const data = sid === undefined ? undefined : source.payloads?.take(sid, i)
    if (data !== undefined) found.push({ i, data: encodeBase64(data) })
  }
  return found
}
