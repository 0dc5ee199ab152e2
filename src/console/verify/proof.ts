/** One record's proof, checked here (FORMAT.md, 10.2): leaf, tree, checkpoint, key; and its session's opening. */
import { type Bytes, fromBase64, hex, leafHash, rootOfInclusion, sameBytes } from './hash.ts'
import { type Checkpoint, isSignedBy, readCheckpoint, readKey, type VerifyingKey } from './note.ts'
import { canonical } from './walk.ts'

export interface ProvenRecord {
  readonly seq: number
  readonly hash: string
  /** Of the checkpoint that it stands under. */
  readonly size: number
  readonly leaf: string
  readonly sid: string | undefined
}

interface Proven {
  readonly leaf: string
  readonly proof: string
}

interface Epoch {
  readonly from: number
  readonly key: VerifyingKey
}

const PROOF_CHARACTERS_MAX = 134_217_728

export async function verifyProof(text: string, vkey: string): Promise<ProvenRecord> {
  if (text.length > PROOF_CHARACTERS_MAX) throw new Error('this is longer than any proof')
  const given = JSON.parse(text) as Partial<Proven> & {
    v?: unknown
    session?: Proven
    keys?: readonly Proven[]
  }
  if (given.v !== 1 || typeof given.leaf !== 'string' || typeof given.proof !== 'string')
    throw new Error('this is no proof of a record')
  const first = await readKey(vkey)
  const epochs: Epoch[] = [{ from: 0, key: first }]
  for (const change of given.keys ?? []) await takeChange(change, epochs, first.name)
  const record = await included({ leaf: given.leaf, proof: given.proof }, epochs, first.name)
  const { sid } = record.members
  if (sid !== undefined) {
    if (given.session === undefined) throw new Error('the opening of its session is missing')
    const opening = await included(given.session, epochs, first.name)
    if (
      opening.members['kind'] !== 'session.open' ||
      opening.members['sid'] !== sid ||
      opening.index > record.index
    )
      throw new Error('what is given as the opening of its session is not')
  }
  return {
    seq: record.index,
    hash: hex(record.hash),
    size: record.checkpoint.size,
    leaf: given.leaf,
    sid: typeof sid === 'string' ? sid : undefined,
  }
}

/** Both the key before and the one it names have signed the checkpoint that ends with the change. */
async function takeChange(change: Proven, epochs: Epoch[], origin: string): Promise<void> {
  const { index, checkpoint, members } = await opened(change, origin)
  const before = epochs.at(-1)
  if (
    members['kind'] !== 'key.next' ||
    checkpoint.size !== index + 1 ||
    before === undefined ||
    index < before.from
  )
    throw new Error('a change of key that is none')
  const next = await readKey(String(members['next']))
  if (!(await isSignedBy(checkpoint, before.key)) || !(await isSignedBy(checkpoint, next)))
    throw new Error(`the change of key by record ${index} is not signed by both keys`)
  epochs.push({ from: index + 1, key: next })
}

async function included(given: Proven, epochs: readonly Epoch[], origin: string) {
  const found = await opened(given, origin)
  const epoch = epochs.findLast(({ from }) => from < found.checkpoint.size)
  if (epoch === undefined || !(await isSignedBy(found.checkpoint, epoch.key)))
    throw new Error('its checkpoint is not signed by the key of this book')
  return found
}

interface Opened {
  readonly index: number
  readonly hash: Bytes
  readonly checkpoint: Checkpoint
  readonly members: Readonly<Record<string, unknown>>
}

/** The leaf stands in the tree of its checkpoint; who signed that is not asked here. */
async function opened({ leaf, proof }: Proven, origin: string): Promise<Opened> {
  const end = proof.indexOf('\n\n')
  const [format, second = '', ...lines] = proof.slice(0, Math.max(0, end)).split('\n')
  const [, index] = /^index (0|[1-9]\d{0,15})$/.exec(second) ?? []
  if (format !== 'c2sp.org/tlog-proof@v1' || index === undefined)
    throw new Error('this is no proof of inclusion')
  const members = JSON.parse(leaf) as Record<string, unknown>
  if (canonical(members) !== leaf) throw new Error('the record is not in canonical form')
  const checkpoint = readCheckpoint(proof.slice(end + 2))
  if (checkpoint.origin !== origin || members['log'] !== origin) throw new Error('it is of another book')
  if (members['seq'] !== Number(index)) throw new Error('the record has another number than its proof')
  const hash = await leafHash(new TextEncoder().encode(leaf))
  const root = await rootOfInclusion(Number(index), checkpoint.size, hash, lines.map(fromBase64))
  if (!sameBytes(root, checkpoint.root))
    throw new Error('the record is not in the tree that its checkpoint signs')
  return { index: Number(index), hash, checkpoint, members }
}
