/** Node hashes of any source: from its full tiles and, behind the last full one, from its leaves. */

import { HASH_BYTES, type HashReader, leafHash, nodeHash, TILE_HASHES } from './tree.ts'
import type { Source } from './verify/source.ts'
import { SourceError } from './verify/source.ts'

const TILE_LEVELS = 8

export class SourceHashes implements HashReader {
  readonly #source: Source
  /** Of the records behind the last full tile, from this index on. */
  readonly #tailStart: number
  #tail: Uint8Array[] | undefined

  constructor(source: Source) {
    this.#source = source
    this.#tailStart = Math.floor(source.end / TILE_HASHES) * TILE_HASHES
  }

  hash(level: number, index: number): Uint8Array {
    const height = level % TILE_LEVELS
    const nodes = this.nodes((level - height) / TILE_LEVELS, index * 2 ** height, 2 ** height)
    return fold(nodes)
  }

  /** Nodes of one tile, at the level of its hashes. */
  nodes(tileLevel: number, first: number, count: number): readonly Uint8Array[] {
    const n = Math.floor(first / TILE_HASHES)
    const at = first - n * TILE_HASHES
    const tile = this.#source.tile(tileLevel, n)
    if (tile !== undefined) {
      return Array.from({ length: count }, (_, k) =>
        tile.subarray((at + k) * HASH_BYTES, (at + k + 1) * HASH_BYTES),
      )
    }
    if (tileLevel > 0) {
      return Array.from({ length: count }, (_, k) =>
        fold(this.nodes(tileLevel - 1, (first + k) * TILE_HASHES, TILE_HASHES)),
      )
    }
    const nodes = this.#leaves().slice(first - this.#tailStart, first - this.#tailStart + count)
    if (first < this.#tailStart || nodes.length !== count)
      throw new SourceError('damaged', `tile ${n} of level 0 is missing`)
    return nodes
  }

  #leaves(): readonly Uint8Array[] {
    this.#tail ??= this.#readTail()
    return this.#tail
  }

  #readTail(): Uint8Array[] {
    const hashes: Uint8Array[] = []
    for (const commit of this.#source.commits(this.#tailStart)) {
      commit.leaves().forEach((leaf, at) => {
        if (commit.first + at >= this.#tailStart) hashes.push(leafHash(leaf))
      })
    }
    return hashes
  }
}

function fold(nodes: readonly Uint8Array[]): Uint8Array {
  const [left, right] = nodes
  if (left === undefined) throw new SourceError('damaged', 'a tile without hashes')
  if (right === undefined) return left
  const above: Uint8Array[] = []
  for (let at = 0; at < nodes.length; at += 2) {
    above.push(nodeHash(nodes[at] ?? left, nodes[at + 1] ?? left))
  }
  return fold(above)
}
