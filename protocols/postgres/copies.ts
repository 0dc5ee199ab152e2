/** The data of COPY: an operation of its own within the statement that asked for it, counted and hashed as it passes. */
import { ProtocolError } from '../bytes.ts'
import { Copy, type Expectation } from './queue.ts'
import type { Session } from './session.ts'

/** Of one text; a client could otherwise begin one with every five bytes that it sends. */
const COPIES_MAX = 1000

/**
 * The COPY that the client's data belongs to. A client need not wait for the server's consent, so data may come
 * ahead of it; without anything that could be a COPY the server ignores the data, and there is none.
 */
export function copyOf(session: Session): Copy | undefined {
  const host = session.copyHost
  if (host === undefined) return undefined
  const last = host.copies.at(-1)
  return last === undefined || last.ended ? beginCopy(session, host) : last
}

function beginCopy(session: Session, host: Expectation): Copy {
  if (host.copies.length === COPIES_MAX)
    throw new ProtocolError(`more than ${COPIES_MAX} COPYs in one statement`)
  const parent = host.operation?.number
  const copy = new Copy(session.ledger.begin('db.copy', [], { parent }))
  host.copies = [...host.copies, copy]
  return copy
}

/** The server agrees to a COPY. Data that the client has sent ahead is this one's. */
export function startCopy(session: Session, head: Expectation, mode: 'in' | 'out' | 'both'): void {
  const ahead = head.copies.find((copy) => copy.mode === undefined && session.ledger.isOpen(copy.operation))
  const copy = (mode === 'out' ? undefined : ahead) ?? beginCopy(session, head)
  copy.mode = mode
  head.copy = copy
  if (mode === 'out') return
  // The Syncs that the client sent before the end of its data: the server will ignore them.
  const index = head.copies.indexOf(copy)
  for (
    let next = session.queue.next;
    next?.kind === 'sync' && next.copiesEnded <= index;
    next = session.queue.next
  ) {
    session.queue.removeNext()
    session.stray(head)
  }
}

export function addCopyData(session: Session, copy: Copy, direction: 'in' | 'out', piece: Uint8Array): void {
  if (piece.length === 0) return
  copy[direction].add(piece)
  if (session.options.copyBodies !== true) return
  const frame = direction === 'in' ? 'i' : 'o'
  session.flow.record({ type: 'data', op: copy.operation.number, stream: direction, frame, bytes: piece })
}

export function endCopy(
  session: Session,
  head: Expectation,
  outcome: 'ok' | 'error',
  facts: { code?: string; rows?: number },
): void {
  if (head.copy === undefined) return
  const seen = head.operation?.rows ?? 0
  session.endCopy(head.copy, outcome, { ...(seen > 0 ? { rows: seen } : {}), ...facts })
  head.copy = undefined
  // With all data taken, the Syncs inside it are gone for good.
  if (outcome === 'ok') session.strays = undefined
}
