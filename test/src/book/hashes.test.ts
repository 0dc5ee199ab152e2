import { expect, test } from 'vitest'
import { bookHashes, fold, StoredHashes } from '../../../src/book/hashes.ts'
import { readLeafBytes } from '../../../src/book/reader.ts'
import { leafHash, nodeHash, RightEdge, readEdge } from '../../../src/book/tree.ts'
import { newBook } from '../../support/recorder.ts'
import { heartbeats, openStore } from '../../support/store.ts'

test('every complete subtree that a book stores has the hash that its leaves give', () => {
  using open = openStore(newBook())
  for (const count of [1, 100, 300, 7, 512, 200, 3]) open.store.append(heartbeats(count))
  const { db } = open.book
  const stored = new StoredHashes(bookHashes(db))
  const size = open.store.head.size
  let row = Array.from(readLeafBytes(db, 0), ([, leaf]) => leafHash(leaf))
  expect(row).toHaveLength(1123)
  const edges: RightEdge[] = [RightEdge.empty()]
  for (const hash of row) {
    const edge = (edges.at(-1) as RightEdge).copy()
    edge.append(hash)
    edges.push(edge)
  }
  for (let level = 0; row.length > 0; level++) {
    for (const [index, hash] of row.entries())
      expect(stored.hash(level, index), `${level}/${index}`).toEqual(hash)
    const above: Uint8Array[] = []
    for (let k = 0; k + 1 < row.length; k += 2)
      above.push(nodeHash(row[k] as Uint8Array, row[k + 1] as Uint8Array))
    row = above
  }
  for (const at of [0, 1, 2, 255, 256, 257, 511, 512, 513, 1000, size]) {
    expect(readEdge(at, stored).root(), `root at ${at}`).toEqual(edges[at]?.root())
  }
})

test('leaves that are not in the book are asked for in vain', () => {
  using open = openStore(newBook())
  open.store.append(heartbeats(5))
  const stored = new StoredHashes(bookHashes(open.book.db))
  expect(stored.nodes(0, 0, 5)).toHaveLength(5)
  expect(() => stored.nodes(0, 0, 6)).toThrow('leaves 0 to 6 are not all in the book')
  expect(() => stored.hash(3, 0)).toThrow(RangeError)
  expect(() => fold([])).toThrow(RangeError)
})
