/**
 * The Merkle tree of RFC 6962 section 2.1, with the proofs of RFC 9162 sections 2.1.3 and 2.1.4. Sizes go to
 * 2^53 - 1, so nothing here uses the 32-bit operators.
 */
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'

export const HASH_BYTES = 32
/** Hashes of one tile, as tlog-tiles has it. */
export const TILE_HASHES = 256

/** A string is the quickest way out of node:crypto; asking it for a buffer costs twice as much. */
function sha256(bytes: Uint8Array): Uint8Array {
  return Buffer.from(hash('sha256', bytes, 'binary'), 'binary')
}

export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array(0))

// Both are filled and read within one call; nothing runs between.
let leafInput = new Uint8Array(1 + 16_384)
const nodeInput = new Uint8Array(1 + 2 * HASH_BYTES).fill(1, 0, 1)

export function leafHash(leaf: Uint8Array): Uint8Array {
  if (leaf.length >= leafInput.length) leafInput = new Uint8Array(1 + leaf.length)
  leafInput.set(leaf, 1)
  return sha256(leafInput.subarray(0, 1 + leaf.length))
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  assert(left.length === HASH_BYTES && right.length === HASH_BYTES, 'a node has two hashes')
  nodeInput.set(left, 1)
  nodeInput.set(right, 1 + HASH_BYTES)
  return sha256(nodeInput)
}

export function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === HASH_BYTES && b.length === HASH_BYTES && Buffer.compare(a, b) === 0
}

/** The roots of the complete subtrees that a tree of `size` consists of, the largest and leftmost first. */
export class RightEdge {
  #size: number
  readonly #hashes: Uint8Array[]

  private constructor(size: number, hashes: Uint8Array[]) {
    this.#size = size
    this.#hashes = hashes
  }

  static empty(): RightEdge {
    return new RightEdge(0, [])
  }

  static from(size: number, hashes: readonly Uint8Array[]): RightEdge {
    assert(Number.isSafeInteger(size) && size >= 0, 'a size is a count')
    assert.equal(
      hashes.length,
      subtrees(0, size).length,
      `the right edge of ${size} has another number of hashes`,
    )
    assert(hashes.every((item) => item.length === HASH_BYTES))
    return new RightEdge(size, [...hashes])
  }

  get size(): number {
    return this.#size
  }

  /** Adds a leaf's hash; `complete` is told the root of every subtree that is complete now, from the leaf upwards. */
  append(leaf: Uint8Array, complete?: (height: number, root: Uint8Array) => void): void {
    let node = leaf
    let height = 0
    complete?.(height, node)
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      const left = this.#hashes.pop()
      assert(left !== undefined)
      node = nodeHash(left, node)
      complete?.(++height, node)
    }
    this.#hashes.push(node)
    this.#size++
  }

  root(): Uint8Array {
    return this.#hashes.reduceRight<Uint8Array | undefined>(fold, undefined) ?? EMPTY_ROOT
  }

  copy(): RightEdge {
    return new RightEdge(this.#size, [...this.#hashes])
  }

  hashes(): readonly Uint8Array[] {
    return [...this.#hashes]
  }
}

function fold(right: Uint8Array | undefined, left: Uint8Array): Uint8Array {
  return right === undefined ? left : nodeHash(left, right)
}

/** Hashes of complete subtrees: `level` 0 are the leaf hashes, and `index` counts within the level. */
export interface HashReader {
  hash(level: number, index: number): Uint8Array
}

/** A complete subtree: the hash at `level` and `index`. */
export interface Subtree {
  readonly level: number
  readonly index: number
}

/** The fewest complete subtrees that the leaves from `start` to before `end` consist of, from left to right. */
export function subtrees(start: number, end: number): Subtree[] {
  const found: Subtree[] = []
  let at = start
  while (at < end) {
    let level = 0
    let width = 1
    while (at % (2 * width) === 0 && at + 2 * width <= end) {
      width *= 2
      level++
    }
    found.push({ level, index: at / width })
    at += width
  }
  return found
}

/** The right edge of the tree at `size`, from hashes kept elsewhere. */
export function readEdge(size: number, reader: HashReader): RightEdge {
  return RightEdge.from(
    size,
    subtrees(0, size).map(({ level, index }) => reader.hash(level, index)),
  )
}

/** Root of the subtree over a range that begins where RFC 6962 splits: only its right side may be incomplete. */
function rangeHash(start: number, end: number, reader: HashReader): Uint8Array {
  const hashes = subtrees(start, end).map(({ level, index }) => reader.hash(level, index))
  const root = hashes.reduceRight<Uint8Array | undefined>(fold, undefined)
  assert(root !== undefined, 'a range has leaves')
  return root
}

/** The largest power of two below `size`. */
function split(size: number): number {
  let width = 1
  while (2 * width < size) width *= 2
  return width
}

/** From the leaf's sibling to the root's child. */
export function inclusionProof(index: number, size: number, reader: HashReader): Uint8Array[] {
  assert(index >= 0 && index < size, `no leaf ${index} in a tree of ${size}`)
  const proof: Uint8Array[] = []
  let start = 0
  let end = size
  while (end - start > 1) {
    const middle = start + split(end - start)
    if (index < middle) {
      proof.push(rangeHash(middle, end, reader))
      end = middle
    } else {
      proof.push(rangeHash(start, middle, reader))
      start = middle
    }
  }
  return proof.reverse()
}

/** That the tree of `from` leaves is the beginning of the tree of `to` leaves. Nothing is said from size 0. */
export function consistencyProof(from: number, to: number, reader: HashReader): Uint8Array[] {
  assert(from >= 1 && from <= to, `no consistency from ${from} to ${to}`)
  const proof: Uint8Array[] = []
  let start = 0
  let end = to
  let known = true
  while (end !== from) {
    const middle = start + split(end - start)
    if (from <= middle) {
      proof.push(rangeHash(middle, end, reader))
      end = middle
    } else {
      proof.push(rangeHash(start, middle, reader))
      start = middle
      known = false
    }
  }
  if (!known) proof.push(rangeHash(start, end, reader))
  return proof.reverse()
}

/** Whether `leaf`, a leaf's hash, stands at `index` in the tree of `size` with this root (RFC 9162, 2.1.3.2). */
export function verifyInclusion(
  index: number,
  size: number,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): boolean {
  if (!isCount(index) || !isCount(size) || index >= size || !areHashes([leaf, root, ...proof])) return false
  let at = index
  let last = size - 1
  let node = leaf
  for (const sibling of proof) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      node = nodeHash(sibling, node)
      while (at % 2 === 0 && at !== 0) {
        at /= 2
        last = Math.floor(last / 2)
      }
    } else {
      node = nodeHash(node, sibling)
    }
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && sameHash(node, root)
}

/** Whether the tree of `from` leaves begins the tree of `to` leaves (RFC 9162, 2.1.4.2). Size 0 begins nothing. */
export function verifyConsistency(
  from: number,
  to: number,
  proof: readonly Uint8Array[],
  fromRoot: Uint8Array,
  toRoot: Uint8Array,
): boolean {
  if (!isCount(from) || !isCount(to) || from < 1 || from > to) return false
  if (!areHashes([fromRoot, toRoot, ...proof])) return false
  if (from === to) return proof.length === 0 && sameHash(fromRoot, toRoot)
  let at = from - 1
  let last = to - 1
  while (at % 2 === 1) {
    at = (at - 1) / 2
    last = Math.floor(last / 2)
  }
  // A complete tree is its own first node, which the proof therefore leaves out.
  const [first, ...rest] = at === 0 ? [fromRoot, ...proof] : proof
  if (first === undefined || proof.length === 0) return false
  let older = first
  let newer = first
  for (const node of rest) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      older = nodeHash(node, older)
      newer = nodeHash(node, newer)
      while (at % 2 === 0 && at !== 0) {
        at /= 2
        last = Math.floor(last / 2)
      }
    } else {
      newer = nodeHash(newer, node)
    }
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && sameHash(older, fromRoot) && sameHash(newer, toRoot)
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.every((item) => item.length === HASH_BYTES)
}
