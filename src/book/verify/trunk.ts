/**
 * The tree as it grows record by record, compared with the stored tiles of 256 hashes. Where leaves are gone,
 * by lawful pruning or not, the stored hashes stand in for them; the signed roots then judge the hashes.
 */
import assert from 'node:assert/strict'
import { HASH_BYTES, RightEdge, TILE_HASHES } from '../tree.ts'
import type { Findings } from './report.ts'
import type { Source } from './source.ts'

const TILE_BYTES = TILE_HASHES * HASH_BYTES

/** The tile of one level that is being filled: its hashes, and their tree. */
interface Layer {
  n: number
  edge: RightEdge
  readonly hashes: Uint8Array
}

export class Trunk {
  readonly #source: Source
  readonly #findings: Findings
  readonly #layers: Layer[] = []
  #size = 0
  #lost = false
  #tiles = 0

  constructor(source: Source, findings: Findings) {
    this.#source = source
    this.#findings = findings
  }

  get size(): number {
    return this.#size
  }

  append(leaf: Uint8Array): void {
    this.#size++
    if (this.#lost) return
    let node = leaf
    for (let level = 0; ; level++) {
      const layer = this.#layer(level)
      layer.hashes.set(node, layer.edge.size * HASH_BYTES)
      layer.edge.append(node)
      if (layer.edge.size < TILE_HASHES) return
      this.#compare(level, layer)
      node = layer.edge.root()
      layer.edge = RightEdge.empty()
      layer.n++
    }
  }

  #layer(level: number): Layer {
    const layer = this.#layers[level] ?? { n: 0, edge: RightEdge.empty(), hashes: new Uint8Array(TILE_BYTES) }
    this.#layers[level] = layer
    return layer
  }

  #compare(level: number, { n, hashes }: Layer): void {
    this.#tiles++
    const stored = this.#source.tile(level, n)
    const width = TILE_HASHES ** level
    if (stored === undefined) {
      this.#findings.add('tile', n * TILE_HASHES * width, `tile ${n} of level ${level} is missing`)
    } else if (Buffer.compare(stored, hashes) !== 0) {
      const at = firstDifference(stored, hashes)
      const text = `tile ${n} of level ${level}: stored hash ${show(stored, at)}, computed ${show(hashes, at)}`
      this.#findings.add('tile', (n * TILE_HASHES + at) * width, text)
    }
  }

  /** Takes stored hashes for records up to `end`, each to `visit` first; without them there is no root any more. */
  appendStored(end: number, visit: (index: number, hash: Uint8Array) => void): void {
    while (this.#size < end) {
      const n = Math.floor(this.#size / TILE_HASHES)
      const tile = this.#lost ? undefined : this.#source.tile(0, n)
      if (tile?.length !== TILE_BYTES) {
        this.#lose(n, end)
        return
      }
      for (let at = this.#size % TILE_HASHES; at < TILE_HASHES && this.#size < end; at++) {
        const hash = Uint8Array.from(tile.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES))
        const index = this.#size
        this.append(hash)
        visit(index, hash)
      }
    }
  }

  #lose(n: number, end: number): void {
    if (!this.#lost) this.#findings.add('tile', this.#size, `no leaf and no tile ${n}: no root from here on`)
    this.#lost = true
    this.#size = end
  }

  /** All records have been met. A tile beyond them is not of this tree, and whoever asks for it later is misled. */
  finish(): void {
    const { tiles = this.#tiles } = this.#source
    if (tiles > this.#tiles && !this.#lost) {
      this.#findings.add('tile', undefined, `there are ${tiles} tiles, and the records fill ${this.#tiles}`)
    }
  }

  /** The root over the records so far; undefined once neither a leaf nor a stored hash was there for one. */
  root(): Uint8Array | undefined {
    if (this.#lost) return undefined
    const hashes = this.#layers.toReversed().flatMap(({ edge }) => [...edge.hashes()])
    return RightEdge.from(this.#size, hashes).root()
  }
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const byte = a.findIndex((value, at) => value !== b[at])
  assert(byte >= 0 || a.length !== b.length)
  return Math.floor((byte < 0 ? Math.min(a.length, TILE_BYTES - 1) : byte) / HASH_BYTES)
}

function show(hashes: Uint8Array, at: number): string {
  const hash = hashes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES)
  return `${Buffer.from(hash).toString('hex').slice(0, 12)}…`
}
