/** Lawful erasing and pruning of a sample book, as its gateway would do them (FORMAT.md, "Retention"). */
import { parseLeaf } from '../../src/book/format.ts'
import { type BookBuilder, readLeaves, type TestSession } from './book-builder.ts'

const KEPT = ['key.next', 'erase', 'retain']

function gatewayOf(book: BookBuilder): TestSession {
  const gateway = book.sessions.get('gateway')
  if (gateway !== undefined) return gateway
  const leaf = readLeaves(book.db)
    .map(parseLeaf)
    .find(({ act }) => act === 'gateway')
  return { sid: leaf?.sid ?? '', key: new Uint8Array(32), next: 900, ops: 0 }
}

/** Removes payloads of the sessions that closed below this index. */
function removePayloads(book: BookBuilder, below: number, seq: number): void {
  for (const { kind, sid, seq: at } of readLeaves(book.db).map(parseLeaf)) {
    if (kind !== 'session.close' || at >= below || sid === undefined) continue
    book.db.prepare('INSERT INTO erased VALUES (?, NULL, ?)').run(sid, seq)
    book.db.prepare('DELETE FROM payload WHERE sid = ?').run(sid)
  }
}

export function eraseBelow(book: BookBuilder, below: number): number {
  const seq = book.commit([{ kind: 'erase', sid: gatewayOf(book).sid, scope: { below }, sub: 'u_1' }])
  removePayloads(book, below, seq)
  return seq
}

/** Prunes below `below`, while the record allows it below `allowed` only (0: there is no record at all). */
export function pruneBook(book: BookBuilder, below: number, allowed = below): void {
  const seq =
    allowed === 0
      ? 0
      : book.commit([{ kind: 'retain', sid: gatewayOf(book).sid, below: allowed, sub: 'u_1' }])
  const leaves = readLeaves(book.db).map((bytes) => ({ bytes, leaf: parseLeaf(bytes) }))
  const living = new Set(leaves.filter(({ leaf }) => leaf.seq >= below).map(({ leaf }) => leaf.sid))
  for (const { bytes, leaf } of leaves.filter(({ leaf }) => leaf.seq < below)) {
    const keeps = KEPT.includes(leaf.kind) || (leaf.kind === 'session.open' && living.has(leaf.sid))
    if (keeps) book.db.prepare('INSERT OR IGNORE INTO kept VALUES (?, ?)').run(leaf.seq, bytes)
  }
  removePayloads(book, below, seq)
  book.db.prepare('INSERT INTO prune VALUES (?, ?)').run(below, seq)
  book.db.prepare('DELETE FROM bundle WHERE first < ?').run(below)
  book.db.close()
}
