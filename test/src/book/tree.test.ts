import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  consistencyProof,
  EMPTY_ROOT,
  type HashReader,
  inclusionProof,
  leafHash,
  nodeHash,
  RightEdge,
  readEdge,
  verifyConsistency,
  verifyInclusion,
} from '../../../src/book/tree.ts'
import { readForeignVectors } from '../../support/book-vectors.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const sha256 = (...parts: (Uint8Array | string)[]): Buffer => {
  const state = createHash('sha256')
  for (const part of parts) state.update(part)
  return state.digest()
}

/** RFC 6962 section 2.1 word by word, over leaf hashes. */
function definition(hashes: readonly Uint8Array[]): Uint8Array {
  if (hashes.length === 0) return sha256()
  if (hashes.length === 1) return hashes[0] ?? sha256()
  const k = 2 ** Math.floor(Math.log2(hashes.length - 1))
  return sha256(Buffer.of(1), definition(hashes.slice(0, k)), definition(hashes.slice(k)))
}

const leaves = Array.from({ length: 70 }, (_, at) => leafHash(Buffer.from(`leaf ${at}`)))
const reader: HashReader = {
  hash: (level, index) => {
    const slice = leaves.slice(index * 2 ** level, (index + 1) * 2 ** level)
    expect(slice).toHaveLength(2 ** level)
    return definition(slice)
  },
}
const root = (size: number): Uint8Array => definition(leaves.slice(0, size))
const roots = Array.from({ length: 71 }, (_, size) => root(size))
const rootAt = (size: number): Uint8Array => roots[size] ?? EMPTY_ROOT

function edgeOf(hashes: readonly Uint8Array[]): RightEdge {
  const edge = RightEdge.empty()
  for (const item of hashes) edge.append(item)
  return edge
}

describe('published values', () => {
  // github.com/transparency-dev/merkle, testonly (Apache-2.0).
  const inputs = [
    '',
    '00',
    '10',
    '2021',
    '3031',
    '40414243',
    '5051525354555657',
    '606162636465666768696a6b6c6d6e6f',
  ]
  const published = [
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ]
  const hashes = inputs.map((item) => leafHash(Buffer.from(item, 'hex')))
  const small: HashReader = {
    hash: (level, index) => definition(hashes.slice(index * 2 ** level, (index + 1) * 2 ** level)),
  }
  const firstInEight = [
    'lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=',
    'Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=',
    'a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=',
  ]

  test.each(published.map((expected, size) => [size, expected] as const))(
    'root of %i leaves',
    (size, expected) => {
      expect(hex(edgeOf(hashes.slice(0, size)).root())).toBe(expected)
    },
  )

  test('inclusion of leaf 0 and consistency from 1, in 8', () => {
    expect(inclusionProof(0, 8, small).map(base64)).toEqual(firstInEight)
    expect(consistencyProof(1, 8, small).map(base64)).toEqual(firstInEight)
  })

  test('leaf and node hashes', () => {
    expect(hex(leafHash(Buffer.from('L123456')))).toBe(
      '395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56',
    )
    // The published node has children of four bytes, which nodeHash refuses; the definition takes them.
    expect(hex(sha256(Buffer.of(1), 'N123', 'N456'))).toBe(
      'aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb',
    )
    const [left, right] = [Buffer.alloc(32, 'N123'), Buffer.alloc(32, 'N456')]
    expect(nodeHash(left, right)).toEqual(sha256(Buffer.of(1), left, right))
    // golang.org/x/mod/sumdb (BSD-3-Clause).
    expect(base64(leafHash(Buffer.from('hello world')))).toBe('TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=')
  })

  test('a whole small log', () => {
    // github.com/transparency-dev/tessera, testdata (Apache-2.0).
    const words = 'one two three four five six seven eit nain ten ileven twelf threeten fourten fivten'
    const edge = edgeOf(words.split(' ').map((word) => leafHash(Buffer.from(word))))
    expect([edge.size, base64(edge.root())]).toEqual([15, 'rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs='])
  })

  interface ForeignProof {
    readonly file: string
    readonly root?: string
    readonly root1?: string
    readonly leafIdx?: number
    readonly treeSize?: number
    readonly size1?: number
    readonly size2?: number
    readonly root2?: string
    readonly leafHash?: string
    readonly proof: readonly string[] | null
    readonly wantErr: boolean
  }
  const foreign = readForeignVectors('merkle-proofs.json') as { cases: ForeignProof[] }
  test('196 proofs, valid and invalid', () => {
    const bytes = (text: string | undefined): Uint8Array => Buffer.from(text ?? '', 'base64')
    const differing = foreign.cases.filter((item) => {
      const proof = (item.proof ?? []).map(bytes)
      const valid =
        item.leafHash === undefined
          ? verifyConsistency(item.size1 ?? 0, item.size2 ?? 0, proof, bytes(item.root1), bytes(item.root2))
          : verifyInclusion(
              item.leafIdx ?? 0,
              item.treeSize ?? 0,
              bytes(item.leafHash),
              proof,
              bytes(item.root),
            )
      return valid === item.wantErr
    })
    expect(foreign.cases).toHaveLength(196)
    // Its roots are not 32 bytes, which we refuse.
    expect(differing.map((item) => item.file)).toEqual([
      expect.stringContaining('sizes-are-equal-one-and-proof-is-empty'),
    ])
  })
})

describe('the right edge', () => {
  test('has the root of the recursive definition, at every size', () => {
    const edge = RightEdge.empty()
    expect(edge.root()).toEqual(EMPTY_ROOT)
    leaves.forEach((leaf, at) => {
      edge.append(leaf)
      expect(edge.size).toBe(at + 1)
      expect(edge.root()).toEqual(rootAt(at + 1))
    })
  })

  test('goes on from its hashes, from a reader, and from a copy that it does not share', () => {
    for (let size = 0; size < 70; size++) {
      const edge = edgeOf(leaves.slice(0, size))
      const others = [edge.copy(), RightEdge.from(size, edge.hashes()), readEdge(size, reader)]
      edge.append(leaves[size] ?? EMPTY_ROOT)
      for (const other of others) {
        expect(other.root()).toEqual(rootAt(size))
        other.append(leaves[size] ?? EMPTY_ROOT)
        expect(other.root()).toEqual(rootAt(size + 1))
      }
    }
  })

  test('is not made from another number of hashes', () => {
    expect(() => RightEdge.from(3, [leaves[0] ?? EMPTY_ROOT])).toThrow('the right edge of 3')
  })
})

describe('proofs', () => {
  test('every inclusion up to 70 leaves verifies, and at no other place', () => {
    for (let size = 1; size <= 70; size++) {
      for (let index = 0; index < size; index++) {
        const proof = inclusionProof(index, size, reader)
        const leaf = leaves[index] ?? EMPTY_ROOT
        expect(verifyInclusion(index, size, leaf, proof, rootAt(size))).toBe(true)
        expect(verifyInclusion((index + 1) % (size + 1), size, leaf, proof, rootAt(size))).toBe(false)
        expect(verifyInclusion(index, size, leaf, [...proof, leaf], rootAt(size))).toBe(false)
        if (proof.length > 0)
          expect(verifyInclusion(index, size, leaf, proof.slice(1), rootAt(size))).toBe(false)
      }
    }
  })

  test('every consistency up to 70 leaves verifies, and to no other size', () => {
    for (let to = 1; to <= 70; to++) {
      for (let from = 1; from <= to; from++) {
        const proof = consistencyProof(from, to, reader)
        expect(verifyConsistency(from, to, proof, rootAt(from), rootAt(to))).toBe(true)
        expect(verifyConsistency(from, to, [...proof, EMPTY_ROOT], rootAt(from), rootAt(to))).toBe(false)
        expect(verifyConsistency(from, to, proof, rootAt(from - 1), rootAt(to))).toBe(false)
        if (proof.length > 0)
          expect(verifyConsistency(from, to, proof.slice(1), rootAt(from), rootAt(to))).toBe(false)
      }
    }
  })

  const flip = (bytes: Uint8Array, bit: number): Uint8Array => {
    const changed = Uint8Array.from(bytes)
    const at = (bit >> 3) % bytes.length
    changed[at] = (changed[at] ?? 0) ^ (1 << (bit & 7))
    return changed
  }

  test('every changed bit of one fails', () => {
    const size = 13
    const [index, from] = [7, 6]
    const inclusion = inclusionProof(index, size, reader)
    const consistency = consistencyProof(from, size, reader)
    const leaf = leaves[index] ?? EMPTY_ROOT
    for (let bit = 0; bit < 256; bit++) {
      const swap = (proof: readonly Uint8Array[], at: number) =>
        proof.map((item, k) => (k === at ? flip(item, bit) : item))
      for (const at of inclusion.keys())
        expect(verifyInclusion(index, size, leaf, swap(inclusion, at), rootAt(size))).toBe(false)
      for (const at of consistency.keys()) {
        expect(verifyConsistency(from, size, swap(consistency, at), rootAt(from), rootAt(size))).toBe(false)
      }
      expect(verifyInclusion(index, size, flip(leaf, bit), inclusion, rootAt(size))).toBe(false)
      expect(verifyInclusion(index, size, leaf, inclusion, flip(rootAt(size), bit))).toBe(false)
      expect(verifyConsistency(from, size, consistency, flip(rootAt(from), bit), rootAt(size))).toBe(false)
      expect(verifyConsistency(from, size, consistency, rootAt(from), flip(rootAt(size), bit))).toBe(false)
    }
  })

  test('any changed bit of any fails', () => {
    const place = fc
      .integer({ min: 2, max: 70 })
      .chain((size) => fc.tuple(fc.nat(size - 1), fc.constant(size)))
    fc.assert(
      fc.property(place, fc.nat(), fc.nat(255), ([index, size], which, bit) => {
        const swap = (proof: readonly Uint8Array[]) =>
          proof.map((item, k) => (k === which % proof.length ? flip(item, bit) : item))
        const inclusion = inclusionProof(index, size, reader)
        expect(verifyInclusion(index, size, leaves[index] ?? EMPTY_ROOT, swap(inclusion), rootAt(size))).toBe(
          false,
        )
        const from = index + 1
        const consistency = consistencyProof(from, size, reader)
        if (from < size)
          expect(verifyConsistency(from, size, swap(consistency), rootAt(from), rootAt(size))).toBe(false)
      }),
    )
  })

  test('what is no statement is refused', () => {
    const [leaf = EMPTY_ROOT] = leaves
    const short = leaf.subarray(1)
    expect(verifyInclusion(0, 1, leaf, [], leaf)).toBe(true)
    for (const index of [1, -1, 0.5, Number.NaN, 2 ** 53])
      expect(verifyInclusion(index, 1, leaf, [], leaf)).toBe(false)
    expect(verifyInclusion(0, 0, leaf, [], EMPTY_ROOT)).toBe(false)
    expect(verifyInclusion(0, 1, short, [], short)).toBe(false)
    expect(verifyConsistency(1, 1, [], leaf, leaf)).toBe(true)
    expect(verifyConsistency(1, 1, [], short, short)).toBe(false)
    expect(verifyConsistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)).toBe(false)
    expect(verifyConsistency(0, 1, [], EMPTY_ROOT, leaf)).toBe(false)
    expect(verifyConsistency(2, 1, [], rootAt(2), leaf)).toBe(false)
    expect(verifyConsistency(1, 1, [leaf], leaf, leaf)).toBe(false)
  })

  test('sizes beyond 32 bits are whole numbers too', () => {
    // Every leaf is the same, so a complete subtree is known by its level alone.
    const levels: Uint8Array[] = [leafHash(Buffer.from('same'))]
    for (let level = 0; level < 53; level++) {
      const below = levels[level] ?? EMPTY_ROOT
      levels.push(nodeHash(below, below))
    }
    const same: HashReader = { hash: (level) => levels[level] ?? EMPTY_ROOT }
    const [size, index, from] = [2 ** 52 + 2 ** 33 + 5, 2 ** 52 + 7, 2 ** 33 + 1]
    const [newer, older] = [readEdge(size, same).root(), readEdge(from, same).root()]
    expect(verifyInclusion(index, size, same.hash(0, index), inclusionProof(index, size, same), newer)).toBe(
      true,
    )
    expect(verifyConsistency(from, size, consistencyProof(from, size, same), older, newer)).toBe(true)
    expect(verifyConsistency(from + 1, size, consistencyProof(from, size, same), older, newer)).toBe(false)
  })
})
