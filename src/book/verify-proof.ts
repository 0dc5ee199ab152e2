/**
 * Checks a proof, step by step: leaf, inclusion, checkpoint, and where they are in it ciphertext, commitment and
 * plaintext. It starts from the first public key alone and goes through every change of key.
 */
import {
  type Checkpoint,
  CheckpointError,
  parseCheckpoint,
  parseVkey,
  sameVkey,
  signersOf,
  type Vkey,
} from './checkpoint.ts'
import { decodeBase64, FormatError, type Leaf, parseLeaf, type Ref } from './format.ts'
import { OpenedKey, PayloadError, requireNamed } from './payload.ts'
import { type ProvenLeaf, parseProof, parseTlogProof, type RecordProof } from './proof.ts'
import { leafHash, verifyInclusion } from './tree.ts'
import type { Finding, FindingCode, Limit } from './verify/report.ts'

export interface CheckedPayload {
  readonly ref: Ref
  /** Where the proof has the data key: what was sealed. */
  readonly body: Uint8Array | undefined
}

export interface ProofReport {
  readonly findings: readonly Finding[]
  readonly limits: readonly Limit[]
  /** The rest is what the proof says; it is proven where there are no findings. */
  readonly record: Leaf | undefined
  readonly session: Leaf | undefined
  readonly size: number | undefined
  readonly keys: number
  readonly payloads: readonly CheckedPayload[]
}

/** A finding that ends the check: every later step builds on the earlier ones. */
class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: FindingCode
  constructor(code: FindingCode, message: string) {
    super(message)
    this.code = code
  }
}

interface Epoch {
  /** Checkpoints larger than this. */
  readonly from: number
  readonly vkey: Vkey
}

interface Standing {
  readonly leaf: Leaf
  readonly index: number
  readonly checkpoint: Checkpoint
}

export function verifyProof(text: string, key: Vkey): ProofReport {
  let partial: Partial<Omit<ProofReport, 'findings' | 'limits'>> = {}
  const findings: Finding[] = []
  try {
    const proof = parseProof(text)
    const epochs = followKeys(proof.keys, key)
    const record = stand(proof, epochs)
    partial = { record: record.leaf, size: record.checkpoint.size, keys: epochs.length - 1 }
    const session = standSession(proof.session, record, epochs)
    partial = { ...partial, session }
    partial = { ...partial, payloads: checkPayloads(proof, record.leaf, session) }
  } catch (cause) {
    findings.push(findingOf(cause))
  }
  const report = { record: undefined, session: undefined, size: undefined, keys: 0, payloads: [], ...partial }
  return { ...report, findings, limits: limitsOf(report.size) }
}

function findingOf(cause: unknown): Finding {
  if (cause instanceof Refusal || cause instanceof FormatError)
    return { code: cause.code, text: cause.message }
  if (cause instanceof CheckpointError || cause instanceof PayloadError)
    return { code: cause.code, text: cause.message }
  throw cause
}

function limitsOf(size: number | undefined): Limit[] {
  return [
    {
      code: 'outside',
      text: `whether the book of size ${size ?? '?'} is the only one under this key: compare its root with one kept elsewhere`,
    },
    { code: 'clock', text: 'the times in the record: they rest on the clock of the gateway' },
  ]
}

/** Through every change of key: each under a checkpoint that ends with it and that both keys have signed. */
function followKeys(changes: readonly ProvenLeaf[], first: Vkey): Epoch[] {
  const epochs: Epoch[] = [{ from: 0, vkey: first }]
  for (const change of changes) {
    const { from, vkey } = epochs.at(-1) ?? { from: 0, vkey: first }
    const { leaf, index, checkpoint } = readProven(change, first.name)
    if (leaf.kind !== 'key.next' || leaf.next === undefined)
      throw new Refusal('epoch', `record ${index} changes no key`)
    const next = parseVkey(leaf.next)
    if (next.name !== first.name)
      throw new Refusal('epoch', `record ${index} names a key of ${JSON.stringify(next.name)}`)
    if (checkpoint.size !== index + 1 || checkpoint.size <= from) {
      throw new Refusal('epoch', `the change of key by record ${index} is not the end of its checkpoint`)
    }
    for (const signer of [vkey, next]) requireSignature(checkpoint, signer)
    epochs.push({ from: checkpoint.size, vkey: next })
  }
  return epochs
}

function requireSignature(checkpoint: Checkpoint, key: Vkey): void {
  if (!signersOf(checkpoint, [key]).some((signer) => sameVkey(signer, key))) {
    throw new Refusal('signature', `the checkpoint of size ${checkpoint.size} is not signed by ${key.id}`)
  }
}

/** A leaf that stands in the tree of its checkpoint, whoever signed that. */
function readProven({ leaf: text, proof }: ProvenLeaf, origin: string): Standing {
  const bytes = Buffer.from(text)
  const leaf = parseLeaf(bytes)
  const { index, hashes, note } = parseTlogProof(proof)
  const checkpoint = parseCheckpoint(note)
  if (leaf.seq !== index) throw new Refusal('seq', `record ${index} calls itself ${leaf.seq}`)
  for (const name of [leaf.log, checkpoint.origin]) {
    if (name !== origin) throw new Refusal('origin', `record ${index} is of ${JSON.stringify(name)}`)
  }
  if (!verifyInclusion(index, checkpoint.size, leafHash(bytes), hashes, checkpoint.root)) {
    throw new Refusal('root', `record ${index} does not stand in the tree of size ${checkpoint.size}`)
  }
  return { leaf, index, checkpoint }
}

/** A leaf under a checkpoint that the key of its size has signed. */
function stand(proven: ProvenLeaf, epochs: readonly Epoch[]): Standing {
  const standing = readProven(proven, epochs[0]?.vkey.name ?? '')
  const epoch = epochs.findLast(({ from }) => from < standing.checkpoint.size)
  if (epoch === undefined) throw new Refusal('epoch', 'a checkpoint of no epoch')
  requireSignature(standing.checkpoint, epoch.vkey)
  return standing
}

function standSession(
  proven: ProvenLeaf | undefined,
  record: Standing,
  epochs: readonly Epoch[],
): Leaf | undefined {
  if (record.leaf.sid === undefined) return undefined
  if (proven === undefined) throw new Refusal('session', 'the opening of the session is not in the proof')
  const { leaf, index } = stand(proven, epochs)
  if (leaf.kind !== 'session.open' || leaf.sid !== record.leaf.sid || index > record.index) {
    throw new Refusal('session', `record ${index} does not open the session of record ${record.index}`)
  }
  return leaf
}

function checkPayloads(proof: RecordProof, { ref = [] }: Leaf, session: Leaf | undefined): CheckedPayload[] {
  const key = proof.key === undefined ? undefined : dataKey(proof.key, session)
  return (proof.payloads ?? []).map(({ i, data }) => {
    const named = ref.find((item) => item.i === i)
    if (named === undefined) throw new Refusal('payload-orphan', `the record does not name payload ${i}`)
    const bytes = decodeBase64(data)
    requireNamed(named, bytes)
    return { ref: named, body: key?.open(named, bytes) }
  })
}

/** Held against the commitment of the session's opening before anything is opened. */
function dataKey(text: string, session: Leaf | undefined): OpenedKey {
  const { log, sid, com } = session ?? {}
  if (log === undefined || sid === undefined || com === undefined)
    throw new Refusal('commitment', 'a data key, and no session that has committed to one')
  return new OpenedKey(log, sid, decodeBase64(text), com)
}
