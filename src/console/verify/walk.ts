/**
 * The whole book, checked here: every leaf's form, number and predecessor, the tree over all of them, and every kept
 * checkpoint's signature and root. Nothing that the gateway says of the book is believed; its bytes are held against
 * the one key that was given. Payloads are not looked at: `gatebook verify` does that too.
 */
import { type Bytes, fromBase64, hex, leafHash, sameBytes, Tree } from './hash.ts'
import { type Checkpoint, isSignedBy, readCheckpoint, readKey, type VerifyingKey } from './note.ts'

export interface BookSource {
  readonly head: string
  /** The first record that is still there. */
  readonly first: number
  /** Leaves behind their length in two bytes; empty at the end. */
  readonly leaves: (from: number) => Promise<Bytes>
  readonly checkpoints: (above: number) => Promise<{
    readonly checkpoints: readonly { readonly size: number; readonly note: string }[]
    readonly next?: number | undefined
  }>
}

export interface Verdict {
  readonly size: number
  /** Kept checkpoints that hold. */
  readonly checkpoints: number
  readonly keys: number
  readonly headHash: string
  readonly root: string
}

/** The book is not what it should be, at this record. */
export class Broken extends Error {
  override readonly name = 'Broken'
  readonly seq: number
  readonly lastGood: number

  constructor(seq: number, lastGood: number, message: string) {
    super(message)
    this.seq = seq
    this.lastGood = lastGood
  }
}

const BATCH = 2000

interface Leaf {
  readonly seq?: unknown
  readonly log?: unknown
  readonly prev?: unknown
  readonly ts?: unknown
  readonly kind?: unknown
  readonly next?: unknown
}

export async function verifyBook(
  source: BookSource,
  vkey: string,
  onProgress: (done: number, size: number) => void,
): Promise<Verdict> {
  if (source.first > 0) {
    throw new Error(
      `records below ${source.first} were removed in order; this page cannot judge such a book, gatebook verify can`,
    )
  }
  const walk = new Walk(await readKey(vkey))
  const head = readCheckpoint(source.head)
  const due = await allCheckpoints(source, head.size)
  due.push(head)
  while (walk.size < head.size) {
    const page = split(await source.leaves(walk.size))
    if (page.length === 0)
      throw new Broken(
        walk.size,
        walk.lastGood,
        `the book ends here, and its head speaks of ${head.size} records`,
      )
    for (let at = 0; at < page.length && walk.size < head.size; at += BATCH) {
      await walk.batch(page.slice(at, at + BATCH).slice(0, head.size - walk.size), due)
      onProgress(walk.size, head.size)
    }
  }
  if (head.size === 0) await walk.hold(head)
  return walk.verdict()
}

async function allCheckpoints(source: BookSource, size: number): Promise<Checkpoint[]> {
  const found: Checkpoint[] = []
  let above: number | undefined = -1
  while (above !== undefined) {
    const page = await source.checkpoints(above)
    for (const { size: said, note } of page.checkpoints) {
      const checkpoint = readCheckpoint(note)
      if (checkpoint.size !== said)
        throw new Broken(said, 0, `the checkpoint kept for size ${said} is one for ${checkpoint.size}`)
      if (checkpoint.size < size) found.push(checkpoint)
    }
    above = page.next
  }
  return found
}

class Walk {
  readonly #tree = new Tree()
  readonly #keys: { readonly from: number; readonly key: VerifyingKey }[]
  readonly #origin: string
  #prev: Bytes = new Uint8Array(32)
  #time = 0
  #held = 0
  #good = 0

  constructor(key: VerifyingKey) {
    this.#keys = [{ from: 0, key }]
    this.#origin = key.name
  }

  get size(): number {
    return this.#tree.size
  }

  /** Of the last checkpoint that holds. */
  get lastGood(): number {
    return this.#good
  }

  async batch(leaves: readonly Bytes[], due: Checkpoint[]): Promise<void> {
    const hashes = await Promise.all(leaves.map(leafHash))
    let from = 0
    for (const [i, leaf] of leaves.entries()) {
      await this.#leaf(leaf, this.#tree.size + i - from)
      this.#prev = hashes[i] ?? this.#prev
      const size = this.#tree.size + i - from + 1
      if (due[0]?.size !== size) continue
      await this.#tree.append(hashes.slice(from, i + 1))
      from = i + 1
      while (due[0]?.size === size) {
        const checkpoint = due.shift()
        if (checkpoint !== undefined) await this.hold(checkpoint)
      }
    }
    await this.#tree.append(hashes.slice(from))
  }

  async #leaf(bytes: Bytes, seq: number): Promise<void> {
    const broken = (what: string): Broken => new Broken(seq, this.#good, what)
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const leaf = parsed(text)
    if (leaf === undefined || canonical(leaf) !== text)
      throw broken('its bytes are no leaf in canonical form')
    if (leaf.seq !== seq) throw broken(`it says that it is record ${String(leaf.seq)}`)
    if (leaf.log !== this.#origin) throw broken('it belongs to another book')
    if (typeof leaf.prev !== 'string' || !sameBytes(fromBase64(leaf.prev), this.#prev)) {
      throw new Broken(
        Math.max(0, seq - 1),
        this.#good,
        seq === 0
          ? 'the first record names a record before it'
          : `record ${seq - 1} was changed: record ${seq} names another hash than it has now`,
      )
    }
    if (typeof leaf.ts !== 'number' || leaf.ts < this.#time)
      throw broken('it is older than the record before it')
    this.#time = leaf.ts
    if (leaf.kind === 'key.next') this.#keys.push({ from: seq + 1, key: await readKey(String(leaf.next)) })
  }

  /** The tree has exactly the checkpoint's size now. */
  async hold(checkpoint: Checkpoint): Promise<void> {
    const { size, origin, root } = checkpoint
    const broken = (what: string): Broken => new Broken(Math.max(0, size - 1), this.#good, what)
    if (origin !== this.#origin) throw broken(`the checkpoint of size ${size} is of another book`)
    for (const { key } of this.#signersOf(size)) {
      if (!(await isSignedBy(checkpoint, key)))
        throw broken(`the checkpoint of size ${size} is not signed by the key ${key.id}`)
    }
    if (!sameBytes(await this.#tree.root(), root)) {
      throw broken(`the records up to ${size - 1} are not those that the checkpoint of size ${size} signs`)
    }
    this.#held++
    this.#good = size
  }

  /** The key of the size's epoch; at a change of key the next one too. */
  #signersOf(size: number) {
    const own = this.#keys.filter(({ from }) => from < size || (from === 0 && size === 0)).slice(-1)
    return [...own, ...this.#keys.filter(({ from }) => from === size && size > 0)]
  }

  async verdict(): Promise<Verdict> {
    return {
      size: this.#tree.size,
      checkpoints: this.#held,
      keys: this.#keys.length,
      headHash: hex(this.#prev),
      root: hex(await this.#tree.root()),
    }
  }
}

function split(page: Bytes): readonly Bytes[] {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  const leaves: Bytes[] = []
  let at = 0
  while (at + 2 <= page.length) {
    const length = view.getUint16(at)
    if (at + 2 + length > page.length) throw new Error('a page of leaves that is cut short')
    leaves.push(page.slice(at + 2, at + 2 + length))
    at += 2 + length
  }
  return leaves
}

function parsed(text: string): Leaf | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** RFC 8785 for what a leaf may hold: members in order, no white space, whole numbers, texts without escapes. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`
}
