/**
 * One session's way into the journal: numbers its operations, seals its payloads once, finds a repeated text again,
 * and knows which operations are open. It lives in the gate's thread; its key never leaves it.
 */
import assert from 'node:assert/strict'
import type { EndEvent, Payload, RelayEvent, ResultEvent } from '../../protocols/events.ts'
import { canonical, type Members, REFS_MAX, type Ref } from '../book/format.ts'
import { ENTRIES } from '../book/grammar.ts'
import type { Carried } from '../book/journal.ts'
import { type DataKey, PAYLOAD_BODY_MAX } from '../book/payload.ts'
import type { Durability } from './barrier.ts'
import { CHUNK_AGE_US, CHUNK_MAX, type Chunk, Chunker, type FrameKind, TERMINAL_CHUNK_MAX } from './chunks.ts'
import type { GroupCommit, Mark } from './group-commit.ts'
import { Repeats } from './repeats.ts'

/** A record that carries more is encoded at once: to put it off would take a copy. */
const LATER_BYTES_MAX = 16 << 10

/** Requests under way at once in one session; a client that pipelines more waits for answers. */
export const OPEN_OPERATIONS_MAX = 65_536

/**
 * A record that does not fit the format, not the journal as it is, or no more under its session's key: refused before
 * any of it is recorded. What it announces does not run, and the session is closed with `limit`.
 */
export class RecordTooLargeError extends Error {
  override readonly name = 'RecordTooLargeError'
}

/** A record that is put off. Until it is written, the end of its operation can be said with it. */
interface PutOff {
  saying: Saying
  payloads: readonly Payload[]
  isWritten: boolean
}

interface OpenOperation {
  readonly startedAt: number
  /** Its begin, if that is put off and its end may stand in the same place. */
  begin: PutOff | undefined
  parts: number
  /** Most operations have none. */
  streams: Map<string, Chunker> | undefined
}

const NO_STREAMS: ReadonlyMap<string, Chunker> = new Map()

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
  /** Told of each operation that has begun, with its mark. */
  readonly onBegun?: (mark: Mark) => void
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
  readonly #onBegun: ((mark: Mark) => void) | undefined
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
    this.#onBegun = parts.onBegun
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

  /**
   * Writes down what a relay saw. The mark is that of the last entry made; 0 where a stream's chunk still fills, and
   * under `relaxed`, where nothing waits.
   */
  record(event: RelayEvent): Mark {
    const now = this.#now()
    switch (event.type) {
      case 'begin': {
        if (this.#open.size >= OPEN_OPERATIONS_MAX) {
          throw new RecordTooLargeError(`${this.#open.size} operations under way at once`)
        }
        const { op, act, parent, rule } = event
        const saying = { kind: 'op.begin', op, act, par: parent, rule }
        const put = this.#numbered(saying, event.payloads, now, this.#onBegun)
        const begin = typeof put === 'number' ? undefined : put
        this.#open.set(op, { startedAt: now, begin, parts: 0, streams: undefined })
        return markOf(put)
      }
      case 'decision': {
        const { op, act, rule } = event
        return markOf(this.#numbered({ kind: 'decision', out: 'denied', op, act, rule }, event.payloads, now))
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
    this.#refuseTooLarge(payloads)
    return this.#putNow(saying, payloads, now)
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
      for (const [stream, chunker] of open.streams ?? NO_STREAMS) {
        if (chunker.isEmpty) continue
        if (isOld(chunker, now)) this.#chunk(op, open, stream, chunker.cut())
        else filling = true
      }
    }
    return filling
  }

  /** Ends what is open as `aborted`, then the session. The key is gone then, whatever became of the journal. */
  close(why: CloseWhy): Mark {
    try {
      for (const op of [...this.#open.keys()]) this.record({ type: 'end', op, outcome: 'aborted' })
      return this.append({ kind: 'session.close', why })
    } finally {
      this.#closed = true
      this.#key.destroy()
      this.#onClosed(this)
    }
  }

  /** A record that is refused has not used up its number. */
  #numbered(
    saying: Saying & { readonly op: number },
    payloads: readonly Payload[],
    now: number,
    onMark?: (mark: Mark) => void,
  ): Mark | PutOff {
    assert.equal(saying.op, this.#lastOp + 1, 'operations are counted without holes')
    this.#refuseTooLarge(payloads)
    const put = this.#put(saying, payloads, now, onMark)
    this.#lastOp = saying.op
    return put
  }

  #outcome(kind: 'op.result' | 'op.end', event: ResultEvent | EndEvent, now: number): Mark {
    const open = this.#open.get(event.op)
    assert(open !== undefined, `operation ${event.op} is not open`)
    const { op, outcome: out, payloads = [] } = event
    this.#refuseTooLarge(payloads)
    let parts: number | undefined
    if (kind === 'op.end') {
      for (const [stream, chunker] of open.streams ?? NO_STREAMS) {
        if (!chunker.isEmpty) this.#chunk(op, open, stream, chunker.cut())
      }
      this.#open.delete(op)
      if (open.parts > 0) parts = open.parts
    }
    // These are the target's own words: what a leaf cannot say must not stop the book.
    const code = event.code === undefined || CODE.test(event.code) ? event.code : 'other'
    const [rows, bytes] = [event.rows, event.bytes].map((count) => (isCount(count) ? count : undefined))
    const dur = Math.max(0, now - open.startedAt)
    const saying = { kind, op, out, code, rows, bytes, dur, parts }
    if (kind === 'op.end' && open.begin !== undefined && this.#join(open.begin, saying, payloads)) return 0
    // What is told meanwhile stands between the begin and the end.
    open.begin = undefined
    return markOf(this.#put(saying, payloads, now))
  }

  /** Says the end where the begin has not been written yet: one record instead of two, as the recorder makes of them. */
  #join(begin: PutOff, end: Saying, payloads: readonly Payload[]): boolean {
    if (begin.isWritten || begin.payloads.length + payloads.length > REFS_MAX) return false
    if (payloads.some(({ type }) => begin.payloads.some((one) => one.type === type))) return false
    const bytes = bytesOf(payloads)
    if (bytes > LATER_BYTES_MAX) return false
    begin.saying = { ...begin.saying, ...end, kind: 'op' }
    if (payloads.length > 0) begin.payloads = [...begin.payloads, ...payloads.map(kept)]
    // Last: it may write what is put off.
    this.#log.addLater(bytes)
    return true
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
    let chunker = open.streams?.get(stream)
    if (!this.#log.hasRoom(bytes.length + (chunker?.length ?? 0))) throw tooLarge(bytes.length)
    this.#refuseUsedUp(1 + Math.ceil(bytes.length / TERMINAL_CHUNK_MAX), bytes.length)
    if (chunker === undefined) {
      chunker = new Chunker(stream === 'tty' ? TERMINAL_CHUNK_MAX : CHUNK_MAX)
      open.streams ??= new Map()
      open.streams.set(stream, chunker)
    }
    let mark = 0
    chunker.add(frame, bytes, now, (chunk) => {
      mark = this.#chunk(op, open, stream, chunk)
    })
    // Input is recorded before it is forwarded, and strict output before it is shown: their chunks cannot wait.
    const atOnce = this.mode === 'strict' || (stream === 'in' && this.mode === 'standard')
    if (atOnce || isOld(chunker, now)) mark = this.#chunk(op, open, stream, chunker.cut())
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
    return this.#putNow(saying, [{ type: stream as Payload['type'], body: chunk.body }], this.#now())
  }

  /** Said before anything is sealed: an index that was taken and a text that was remembered do not come back. */
  #refuseTooLarge(payloads: readonly Payload[]): void {
    let parts = 0
    let bytes = 0
    for (const { body } of payloads) {
      parts += Math.max(1, Math.ceil(body.length / PAYLOAD_BODY_MAX))
      bytes += body.length
    }
    if (parts > REFS_MAX) throw new RecordTooLargeError(`a record of ${parts} payloads`)
    // What carries nothing may use the room that is kept for closing what runs.
    if (parts > 0 && !this.#log.hasRoom(bytes)) throw tooLarge(bytes)
    if (parts > 0) this.#refuseUsedUp(parts, bytes)
  }

  /** Whoever is told so closes the session: what that takes, its key can still seal. */
  #refuseUsedUp(payloads: number, bytes: number): void {
    if (!this.#key.hasRoom(payloads, bytes)) {
      throw new RecordTooLargeError(
        `the data key of session ${this.sid} is used up: only a new session goes on`,
      )
    }
  }

  /** Under `relaxed`, of which nobody waits for anything, with others and a little later. */
  #put(
    saying: Saying,
    payloads: readonly Payload[],
    now: number,
    onMark?: (mark: Mark) => void,
  ): Mark | PutOff {
    const bytes = bytesOf(payloads)
    if (this.mode !== 'relaxed' || bytes > LATER_BYTES_MAX) {
      const mark = this.#putNow(saying, payloads, now)
      onMark?.(mark)
      return mark
    }
    assert(!this.#closed, 'nothing is recorded in a closed session')
    const put = { saying, payloads: payloads.map(kept), isWritten: false }
    this.#log.later(bytes, () => {
      put.isWritten = true
      const mark = this.#putNow(put.saying, put.payloads, now)
      onMark?.(mark)
    })
    return put
  }

  #putNow(saying: Saying, payloads: readonly Payload[], now: number): Mark {
    assert(!this.#closed, 'nothing is recorded in a closed session')
    // Payloads are counted in the order in which they stand in the book.
    this.#log.catchUp()
    const carried: Carried[] = []
    const fresh: (() => void)[] = []
    const ref = payloads.length === 0 ? undefined : this.#seal(payloads, carried, fresh)
    const text = canonical({ ...saying, ts: now, sid: this.sid, ref } as Members)
    // An entry that the book refuses would stop it for good: recovery meets it again at every start.
    assert(ENTRIES.get(saying.kind)?.pattern.test(text), `no leaf can say ${text}`)
    const mark = this.#log.append(text, carried)
    // Only now: a text may be named again when its payload is in the journal.
    for (const keep of fresh) keep()
    return mark
  }

  /** Seals bodies, each cut in parts of at most 1 MiB; a text that was sealed lately is named again instead. */
  #seal(payloads: readonly Payload[], carried: Carried[], fresh: (() => void)[]): Ref[] {
    const refs: Ref[] = []
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
      if (repeats === true) fresh.push(() => this.#repeats.keep(type, body, sealed))
      refs.push(...sealed)
    }
    return refs
  }
}

/** Nobody waits for what is put off. */
function markOf(put: Mark | PutOff): Mark {
  return typeof put === 'number' ? put : 0
}

function bytesOf(payloads: readonly Payload[]): number {
  return payloads.reduce((sum, { body }) => sum + body.length, 0)
}

/** As it can be put off: in memory that nobody writes over meanwhile. */
function kept(payload: Payload): Payload {
  return payload.kept === true ? payload : { ...payload, body: Buffer.from(payload.body) }
}

function tooLarge(bytes: number): RecordTooLargeError {
  return new RecordTooLargeError(`the journal has no room for a record of ${bytes} bytes`)
}

/** A chunk from the future began before the clock was set back: it waits no longer. */
function isOld({ startedAt }: Chunker, now: number): boolean {
  return now - startedAt >= CHUNK_AGE_US || now < startedAt
}

const CODE = /^[!-~]{1,32}$/

function isCount(value: number | undefined): boolean {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0
}
