/**
 * Records after a cursor, then those that come. Every reader of the book works like this: it asks for what is
 * behind the last index it has seen, and is never called by the writer. Each look is a short read of its own.
 */
import type { Database } from 'better-sqlite3'
import { type Leaf, parseLeaf } from '../book/format.ts'
import { readLeafBytes } from '../book/reader.ts'
import { leafHash } from '../book/tree.ts'

/** Between two looks when nothing new is there. */
export const LOOK_EVERY_MS = 50

export interface Followed {
  readonly leaf: Leaf
  /** Hex of the record's hash; its first eight digits stand in links. */
  readonly hash: string
}

export interface FollowParts {
  readonly sleep: (ms: number) => Promise<void>
  readonly signal: AbortSignal
}

/** Never ends by itself: the signal ends it. A reader that is slow holds nobody up, it only falls behind. */
export async function* follow(db: Database, from: number, parts: FollowParts): AsyncGenerator<Followed> {
  let next = from
  while (!parts.signal.aborted) {
    const before = next
    for (const [seq, bytes] of readLeafBytes(db, next)) {
      yield { leaf: parseLeaf(bytes), hash: Buffer.from(leafHash(bytes)).toString('hex') }
      if (parts.signal.aborted) return
      next = seq + 1
    }
    if (next === before) await parts.sleep(LOOK_EVERY_MS)
  }
}
