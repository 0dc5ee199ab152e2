/**
 * Sessions and their operations, one record after the other: nothing before a session's opening or after its
 * close, operations counted up by one, each with one outcome, streams without holes. What is held is one entry
 * per open session and per open operation; of the sessions that are closed only the name.
 */
import type { Leaf } from '../format.ts'
import { type Nonces, PartialNonces, StrictNonces } from './nonces.ts'
import type { PayloadCheck, PayloadTally } from './payloads.ts'
import type { Findings } from './report.ts'
import { SidSet } from './sid-set.ts'

/** Open sessions and operations that a report names one by one. */
const SHOWN_MAX = 20

interface Operation {
  readonly seq: number
  /** The next chunk of its stream; undefined while chunks may have come before the part that was read. */
  part: number | undefined
  /** Chunks there must be, for one whose outcome came first; undefined while it is open. */
  readonly parts: number | undefined
}

interface Session {
  readonly sid: string
  readonly act: string | undefined
  /** Its beginning was not read: pruned but for the opening leaf, or below the first record that was asked for. */
  readonly partial: boolean
  /** The operation counted last, and the first one read; undefined before any could be. */
  ops: number | undefined
  firstOp: number | undefined
  readonly running: Map<number, Operation>
  /** Of a partial session: operations that ended without their begin having been read. */
  readonly ended: Set<number>
  readonly nonces: Nonces
  readonly payloads: PayloadTally
}

export interface OpenOperation {
  readonly sid: string
  readonly op: number
  readonly seq: number
}

export class Sessions {
  readonly #findings: Findings
  readonly #payloads: PayloadCheck
  /** Whether sessions may be met that nothing opened. */
  readonly #late: boolean
  readonly #open = new Map<string, Session>()
  readonly #met = new SidSet()
  #boots = 0
  /** Those whose beginning was not read. */
  readonly #partial = new SidSet()
  #stopped = false

  constructor(findings: Findings, payloads: PayloadCheck, late: boolean) {
    this.#findings = findings
    this.#payloads = payloads
    this.#late = late
  }

  get opened(): number {
    return this.#met.size - this.#partial.size
  }

  get open(): number {
    return this.#open.size
  }

  /** Whether the last record closes the gateway's own session because it stopped. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** The opening leaf of a session whose beginning is gone otherwise. */
  keep(leaf: Leaf, seq: number): void {
    if (leaf.kind !== 'session.open' || leaf.sid === undefined) return
    const session = this.#begin(seq, leaf.sid, leaf.act, true)
    if (session !== undefined) this.#name(session, leaf, seq)
  }

  see(leaf: Leaf, seq: number): void {
    this.#stopped = false
    if (leaf.kind === 'boot') this.#boots++
    const { sid } = leaf
    if (sid === undefined) return
    const session =
      leaf.kind === 'session.open' ? this.#begin(seq, sid, leaf.act, false) : this.#find(seq, sid)
    if (session === undefined) return
    this.#count(session, leaf, seq)
    this.#name(session, leaf, seq)
    if (leaf.kind === 'session.close') this.#end(session, leaf, seq)
  }

  /** The payloads that a record names. */
  #name(session: Session, leaf: Leaf, seq: number): void {
    for (const ref of leaf.ref ?? []) {
      const met = session.nonces.meet(ref, this.#boots)
      if (met === 'first') this.#payloads.check(session.payloads, ref, seq)
      if (met === 'wrong') {
        this.#findings.add(
          'nonce',
          seq,
          `record ${seq} names payload ${ref.i} of ${session.sid} against the rules`,
        )
      }
    }
  }

  #begin(seq: number, sid: string, act: string | undefined, partial: boolean): Session | undefined {
    if (!this.#met.add(sid)) {
      this.#findings.add('session', seq, `record ${seq} opens session ${sid} a second time`)
      return undefined
    }
    if (partial) this.#partial.add(sid)
    const session: Session = {
      sid,
      act,
      partial,
      ops: partial ? undefined : 0,
      firstOp: undefined,
      running: new Map(),
      ended: new Set(),
      nonces: partial ? new PartialNonces() : new StrictNonces(this.#boots),
      payloads: this.#payloads.tally(sid),
    }
    this.#open.set(sid, session)
    return session
  }

  #find(seq: number, sid: string): Session | undefined {
    const session = this.#open.get(sid)
    if (session !== undefined) return session
    if (this.#met.has(sid)) {
      this.#findings.add('session', seq, `record ${seq} stands in session ${sid} after its close`)
      return undefined
    }
    if (!this.#late)
      this.#findings.add('session', seq, `record ${seq} stands in session ${sid}, which nothing opened`)
    return this.#begin(seq, sid, undefined, true)
  }

  #count(session: Session, leaf: Leaf, seq: number): void {
    const { op, kind } = leaf
    if (op === undefined || kind === 'alert') return
    switch (kind) {
      case 'op.end':
      case 'op.result':
      case 'data':
        this.#continue(session, leaf, op, seq)
        return
      default:
        if (session.ops !== undefined && op !== session.ops + 1) {
          this.#findings.add(
            'session',
            seq,
            `record ${seq} is operation ${op} of ${session.sid} after ${session.ops}`,
          )
        }
        session.ops = op
        session.firstOp ??= op
        if (kind === 'op.begin') session.running.set(op, { seq, part: 0, parts: undefined })
        if (kind === 'op' && (leaf.parts ?? 0) > 0)
          session.running.set(op, { seq, part: 0, parts: leaf.parts })
    }
  }

  /** A record of an operation that has begun. */
  #continue(session: Session, leaf: Leaf, op: number, seq: number): void {
    const running = session.running.get(op) ?? this.#missed(session, op, seq)
    const refuse = (text: string) =>
      this.#findings.add('session', seq, `record ${seq}, ${leaf.kind} of ${session.sid}.${op}: ${text}`)
    if (running === undefined) {
      refuse('no such operation is open')
      return
    }
    if (leaf.kind === 'data') {
      if (running.part !== undefined && leaf.part !== running.part)
        refuse(`chunk ${leaf.part} instead of ${running.part}`)
      running.part = (leaf.part ?? 0) + 1
      if (running.part === running.parts) session.running.delete(op)
      return
    }
    if (running.parts !== undefined) {
      refuse('its outcome stands in its begin')
      return
    }
    if (leaf.kind !== 'op.end') return
    const parts = leaf.parts ?? 0
    if (running.part !== undefined && running.part !== parts)
      refuse(`${parts} chunks, but there are ${running.part}`)
    session.running.delete(op)
    if (op < (session.firstOp ?? 0) || session.ops === undefined) session.ended.add(op)
  }

  /** An operation that may have begun in the part of a session that was not read. */
  #missed(session: Session, op: number, seq: number): Operation | undefined {
    const { partial, firstOp, ended, running } = session
    if (!partial || ended.has(op) || op >= (firstOp ?? Number.POSITIVE_INFINITY)) return undefined
    const operation: Operation = { seq, part: undefined, parts: undefined }
    running.set(op, operation)
    return operation
  }

  #end(session: Session, leaf: Leaf, seq: number): void {
    for (const [op, running] of session.running) {
      if (running.parts === undefined)
        this.#findings.add(
          'open-op',
          running.seq,
          `${session.sid}.${op} has no outcome, and its session is closed`,
        )
      else this.#short(session, op, running)
    }
    this.#payloads.close(session.payloads, seq)
    this.#open.delete(session.sid)
    this.#stopped = session.act === 'gateway' && leaf.why === 'stop'
  }

  #short(session: Session, op: number, { seq, part, parts }: Operation): void {
    this.#findings.add('session', seq, `${session.sid}.${op} has ${part} of ${parts} chunks`)
  }

  /** The operations open at the end, the first of them by name. */
  finish(closed: boolean): { readonly count: number; readonly shown: readonly OpenOperation[] } {
    let count = 0
    const shown: OpenOperation[] = []
    for (const session of this.#open.values()) {
      for (const [op, running] of session.running) {
        if (running.parts !== undefined) {
          this.#short(session, op, running)
          continue
        }
        count++
        if (shown.length < SHOWN_MAX) shown.push({ sid: session.sid, op, seq: running.seq })
        if (closed) this.#findings.add('open-op', running.seq, `${session.sid}.${op} has no outcome`)
      }
      this.#payloads.leave(session.payloads)
    }
    return { count, shown }
  }

  /** Whether the rows of this session can be judged: all that could name one was read. */
  isWhole(sid: string): boolean {
    return !this.#partial.has(sid) && (this.#met.has(sid) || !this.#late)
  }
}
