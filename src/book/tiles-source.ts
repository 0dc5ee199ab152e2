/** An exported book as the verifier reads it. */
import { CheckpointError, parseCheckpoint } from './checkpoint.ts'
import { decodeEntries } from './format.ts'
import { CHECKPOINTS, ENTRIES, type Folder, KEPT, PAYLOADS, tilePath } from './tile-paths.ts'
import { TILE_HASHES } from './tree.ts'
import {
  type Commit,
  type KeptCheckpoint,
  type KeptLeaf,
  type PayloadRows,
  type Source,
  SourceError,
} from './verify/source.ts'

const SID = /^[a-z2-7]{16}$/
/** Groups of three digits that a number of bundles below 2^53 can have, less one. */
const GROUPS_MAX = 4
const NUMBER = /^(?:0|[1-9][0-9]{0,15})$/

export class TilesSource implements Source {
  readonly first: number
  readonly end: number
  readonly head: Uint8Array | undefined
  readonly payloads: PayloadRows | undefined
  /** Partial tiles come and go, so their number says nothing. */
  readonly tiles = undefined
  readonly #folder: Folder
  /** The entry bundles there are: a size is only a word, so nothing is counted up to it. */
  readonly #bundles: readonly number[]
  /** Where they begin; what stands before them with its leaf stands among the kept ones. */
  readonly #entries: number

  constructor(folder: Folder) {
    this.#folder = folder
    this.head = folder.read('checkpoint')
    if (this.head === undefined)
      throw new SourceError('foreign', 'there is no file "checkpoint": this is no export')
    this.end = sizeOf(this.head)
    this.#bundles = [...new Set(findBundles(folder, `tile/${ENTRIES}`, 0, 0))].sort((a, b) => a - b)
    this.#entries = (this.#bundles[0] ?? 0) * TILE_HASHES
    const kept = new Set(this.#numbers(KEPT))
    let first = this.#entries
    while (first > 0 && this.#entries - first < TILE_HASHES && kept.has(first - 1)) first--
    this.first = first
    this.payloads = folder.list(PAYLOADS).length > 0 ? new PayloadFiles(folder) : undefined
  }

  #bundle(start: number): { readonly bytes: Uint8Array; readonly count: number } | undefined {
    const n = start / TILE_HASHES
    const width = Math.min(TILE_HASHES, this.end - start)
    const whole = this.#folder.read(tilePath(ENTRIES, n, TILE_HASHES))
    if (whole !== undefined) return { bytes: whole, count: TILE_HASHES }
    const bytes = this.#folder.read(tilePath(ENTRIES, n, width))
    return bytes === undefined ? undefined : { bytes, count: width }
  }

  #numbers(path: string): number[] {
    const names = this.#folder.list(path).filter((name) => NUMBER.test(name))
    return names.map(Number).sort((a, b) => a - b)
  }

  *commits(from: number): Iterable<Commit> {
    if (this.first < this.#entries && from < this.#entries) {
      const count = this.#entries - this.first
      yield { first: this.first, count, leaves: () => this.#keptLeaves(count) }
    }
    for (const n of this.#bundles) {
      const start = n * TILE_HASHES
      if (start + TILE_HASHES <= from || start >= this.end) continue
      const bundle = this.#bundle(start)
      const count = Math.min(TILE_HASHES, this.end - start)
      if (bundle === undefined) continue
      // A bundle may have grown beyond what the checkpoint signs.
      yield { first: start, count, leaves: () => decodeEntries(bundle.bytes, bundle.count).slice(0, count) }
    }
  }

  #keptLeaves(count: number): Uint8Array[] {
    return Array.from({ length: count }, (_, at) => this.#read(`${KEPT}/${this.first + at}`))
  }

  #read(path: string): Uint8Array {
    const bytes = this.#folder.read(path)
    if (bytes === undefined) throw new SourceError('damaged', `${path} is gone`)
    return bytes
  }

  *checkpoints(): Iterable<KeptCheckpoint> {
    for (const size of this.#numbers(CHECKPOINTS)) yield { size, note: this.#read(`${CHECKPOINTS}/${size}`) }
  }

  *kept(): Iterable<KeptLeaf> {
    for (const seq of this.#numbers(KEPT)) yield { seq, leaf: this.#read(`${KEPT}/${seq}`) }
  }

  tile(level: number, n: number): Uint8Array | undefined {
    return this.#folder.read(tilePath(String(level), n, TILE_HASHES))
  }
}

/** Numbers of bundles, whole or partial, from the names of files and folders. */
function* findBundles(folder: Folder, path: string, above: number, depth: number): Iterable<number> {
  for (const name of folder.list(path)) {
    const [, group, digits] = /^(x?)(\d{3})(?:\.p)?$/.exec(name) ?? []
    if (digits === undefined) continue
    const n = above * 1000 + Number(digits)
    if (group === '') yield n
    else if (depth < GROUPS_MAX) yield* findBundles(folder, `${path}/${name}`, n, depth + 1)
  }
}

/** What the checkpoint says; where it says nothing that can be read, the verifier will find that out by itself. */
function sizeOf(note: Uint8Array): number {
  try {
    return parseCheckpoint(note).size
  } catch (cause) {
    if (cause instanceof CheckpointError) return 0
    throw cause
  }
}

class PayloadFiles implements PayloadRows {
  readonly #folder: Folder
  readonly #taken = new Set<string>()

  constructor(folder: Folder) {
    this.#folder = folder
  }

  take(sid: string, i: number): Uint8Array | undefined {
    const bytes = SID.test(sid) ? this.#folder.read(`${PAYLOADS}/${sid}/${i}`) : undefined
    if (bytes !== undefined) this.#taken.add(`${sid}/${i}`)
    return bytes
  }

  *rest(): Iterable<{ readonly sid: string; readonly i: number }> {
    for (const sid of this.#folder.list(PAYLOADS)) {
      for (const name of this.#folder.list(`${PAYLOADS}/${sid}`)) {
        if (!this.#taken.has(`${sid}/${name}`)) yield { sid, i: Number(name) }
      }
    }
  }
}
