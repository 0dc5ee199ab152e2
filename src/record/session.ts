/**
 * One session's way into the journal: numbers its operations, seals its payloads once, finds a repeated text again,
 * and knows which operations are open. It lives in the gate's thread; its key never leaves it.
 */
import assert from 'node:assert/strict'
import type { EndEvent, Payload, RelayEvent, ResultEvent } from '../../protocols/events.ts'
import { canonical, type Members, REFS_MAX, type Ref } from '../book/format.ts'
import type { Carried } from '../book/journal.ts'
import { type DataKey, PAYLOAD_BODY_MAX } from '../book/payload.ts'
import type { Durability } from './barrier.ts'
import { CHUNK_AGE_US, CHUNK_MAX, type Chunk, Chunker, type FrameKind, TERMINAL_CHUNK_MAX } from './chunks.ts'
import type { GroupCommit, Mark } from './group-commit.ts'
import { Repeats } from './repeats.ts'

/** Requests under way at once in one session; a client that pipelines more waits for answers. */
export const OPEN_OPERATIONS_MAX = 65_536

/** A record that does not fit the format: refused before any byte of it is recorded or forwarded. */
export class RecordTooLargeError extends Error {
  override readonly name = 'RecordTooLargeError'
}

interface OpenOperation {
  readonly startedAt: number
  parts: number
  readonly streams: Map<string, Chunker>
}

/** What a record says beside what its session knows of itself. */
export type Saying = Omit<Members, 'ts' | 'sid' | 'ref'>

export type CloseWhy = 'client' | 'target' | 'idle' | 'limit' | 'admin' | 'stop' | 'renew'

export interface SessionParts {
  readonly key: DataKey
  readonly log: GroupCommit
  /** Microseconds since 1970. */
  readonly now: () => number
  readonly compress: boolean
  readonly onClosed: (session: RecordedSession) => void
  /** Told when a stream's chunk begins to fill: `cutOldChunks` is due within a second. */
  readonly onFilling: (session: RecordedSession) => void
}

export class RecordedSession {
  readonly sid: string
  readonly mode: Durability
  readonly #key: DataKey
  readonly #log: GroupCommit
  readonly #now: () => number
  readonly #compress: boolean
  readonly #onClosed: (session: RecordedSession) => void
  readonly #onFilling: (session: RecordedSession) => void
  readonly #repeats = new Repeats()
  readonly #open = new Map<number, OpenOperation>()
  #lastOp = 0
  #closed = false

  constructor(mode: Durability, parts: SessionParts) {
    this.mode = mode
    this.sid = parts.key.sid
    this.#key = parts.key
    this.#log = parts.log
    this.#now = parts.now
    this.#compress = parts.compress
    this.#onClosed = parts.onClosed
    this.#onFilling = parts.onFilling
  }

  get closed(): boolean {
    return this.#closed
  }

  get openOperations(): number {
    return this.#open.size
  }

  /** The number that the next operation, or refused operation, of this session takes. */
  get nextOp(): number {
    return this.#lastOp + 1
  }

  /** Writes down what a relay saw. The mark is that of the last entry made; 0 where a stream's chunk still fills. */
  record(event: RelayEvent): Mark {
    const now = this.#now()
    switch (event.type) {
      case 'begin': {
        this.#number(event.op)
        if (this.#open.size >= OPEN_OPERATIONS_MAX) {
          throw new RecordTooLargeError(`${this.#open.size} operations under way at once`)
        }
        const { act, parent, rule } = event
        const mark = this.append(
          { kind: 'op.begin', op: event.op, act, par: parent, rule },
          event.payloads,
          now,
        )
        this.#open.set(event.op, { startedAt: now, parts: 0, streams: new Map() })
        return mark
      }
      case 'decision': {
        this.#number(event.op)
        const { op, act, rule } = event
        return this.append({ kind: 'decision', out: 'denied', op, act, rule }, event.payloads, now)
      }
      case 'data':
        return this.#stream(event.op, event.stream, event.frame, event.bytes, now)
      case 'result':
        return this.#outcome('op.result', event, now)
      case 'end':
        return this.#outcome('op.end', event, now)
    }
  }

  /** Writes any record of this session's: seals its payloads, adds time and session. */
  append(saying: Saying, payloads: readonly Payload[] = [], now = this.#now()): Mark {
    assert(!this.#closed, 'nothing is recorded in a closed session')
    const carried: Carried[] = []
    const ref = payloads.length === 0 ? undefined : this.#seal(payloads, carried)
    return this.#log.append(canonical({ ...saying, ts: now, sid: this.sid, ref } as Members), carried)
  }

  /** A number for a refusal that no relay counts: a login, a decision at the door. */
  takeOp(): number {
    return ++this.#lastOp
  }

  /** Ends the chunks whose first frame is older than a second. Whether others still fill. */
  cutOldChunks(): boolean {
    const now = this.#now()
    let filling = false
    for (const [op, open] of this.#open) {
      for (const [stream, chunker] of open.streams) {
        if (chunker.isEmpty) continue
        if (now - chunker.startedAt >= CHUNK_AGE_US) this.#chunk(op, open, stream, chunker.cut())
        else filling = true
      }
    }
    return filling
  }

  /** Ends what is open as `aborted`, then the session. The key is gone when this returns. */
  close(why: CloseWhy): Mark {
    for (const op of [...this.#open.keys()]) this.record({ type: 'end', op, outcome: 'aborted' })
    const mark = this.append({ kind: 'session.close', why })
    this.#closed = true
    this.#key.destroy()
    this.#onClosed(this)
    return mark
  }

  #number(op: number): void {
    assert.equal(op, this.#lastOp + 1, 'operations are counted without holes')
    this.#lastOp = op
  }

  #outcome(kind: 'op.result' | 'op.end', event: ResultEvent | EndEvent, now: number): Mark {
    const open = this.#open.get(event.op)
    assert(open !== undefined, `operation ${event.op} is not open`)
    const { op, outcome: out, code, rows, bytes, payloads } = event
    let parts: number | undefined
    if (kind === 'op.end') {
      for (const [stream, chunker] of open.streams) {
        if (!chunker.isEmpty) this.#chunk(op, open, stream, chunker.cut())
      }
      this.#open.delete(op)
      if (open.parts > 0) parts = open.parts
    }
    const dur = Math.max(0, now - open.startedAt)
    return this.append({ kind, op, out, code, rows, bytes, dur, parts }, payloads, now)
  }

  #stream(
    op: number,
    stream: 'tty' | 'out' | 'in' | 'rows',
    frame: FrameKind,
    bytes: Uint8Array,
    now: number,
  ): Mark {
    const open = this.#open.get(op)
    assert(open !== undefined, `operation ${op} is not open`)
    let chunker = open.streams.get(stream)
    if (chunker === undefined) {
      chunker = new Chunker(stream === 'tty' ? TERMINAL_CHUNK_MAX : CHUNK_MAX)
      open.streams.set(stream, chunker)
    }
    let mark = 0
    chunker.add(frame, bytes, now, (chunk) => {
      mark = this.#chunk(op, open, stream, chunk)
    })
    // Input is recorded before it is forwarded, and strict output before it is shown: their chunks cannot wait.
    const atOnce = this.mode === 'strict' || (stream === 'in' && this.mode === 'standard')
    if (atOnce || now - chunker.startedAt >= CHUNK_AGE_US) mark = this.#chunk(op, open, stream, chunker.cut())
    if (!chunker.isEmpty) this.#onFilling(this)
    return mark
  }

  #chunk(op: number, open: OpenOperation, stream: string, chunk: Chunk): Mark {
    const saying: Saying = {
      kind: 'data',
      op,
      part: open.parts++,
      off: chunk.offset,
      bytes: chunk.bytes,
      t0: chunk.startedAt,
    }
    return this.append(saying, [{ type: stream as Payload['type'], body: chunk.body }])
  }

  /** Seals bodies, each cut in parts of at most 1 MiB; a text that was sealed lately is named again instead. */
  #seal(payloads: readonly Payload[], carried: Carried[]): Ref[] {
    const refs: Ref[] = []
    let parts = 0
    for (const { body } of payloads) parts += Math.max(1, Math.ceil(body.length / PAYLOAD_BODY_MAX))
    if (parts > REFS_MAX) throw new RecordTooLargeError(`a record of ${parts} payloads`)
    for (const { type, body, repeats } of payloads) {
      const known = repeats === true ? this.#repeats.find(type, body) : undefined
      if (known !== undefined) {
        refs.push(...known)
        continue
      }
      const sealed: Ref[] = []
      for (let at = 0; at === 0 || at < body.length; at += PAYLOAD_BODY_MAX) {
        const { ref, bytes } = this.#key.seal(type, body.subarray(at, at + PAYLOAD_BODY_MAX), this.#compress)
        carried.push({ ref: refs.length + sealed.length, bytes })
        sealed.push(ref)
        this.#repeats.advance(ref.i)
      }
      if (repeats === true) this.#repeats.keep(type, body, sealed)
      refs.push(...sealed)
    }
    return refs
  }
}
