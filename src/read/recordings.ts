/** Recorded streams, frame by frame, and what a session's evidence consists of: both read back from the book in pages. */
import type { Database } from 'better-sqlite3-multiple-ciphers'
import { parseCheckpoint } from '../book/checkpoint.ts'
import { encodeBase64, type Ref } from '../book/format.ts'
import { StoredHashes, sourceHashes } from '../book/hashes.ts'
import { proveRecord } from '../book/prove.ts'
import { BookSource } from '../book/source.ts'
import { inclusionProof } from '../book/tree.ts'
import type { EvidenceAnswer, Frame, FramesAnswer } from './answers.ts'
import { type Deriver, PLACES, spanOf } from './derive.ts'
import { ROWS_OF_SESSION } from './marks.ts'
import { type Asker, type EvidenceQuestion, type FramesQuestion, NoAnswer } from './questions.ts'
import type { Records } from './records.ts'
import type { IndexedSessionRow, Sessions } from './sessions.ts'
import { Sight } from './sight.ts'
import type { Unsealer } from './unseal.ts'

/** Bytes of frames in one answer, and chunks looked at for it. */
const PAGE_BYTES = 256 << 10
const PAGE_CHUNKS = 256
const EVIDENCE_RECORDS = 100
const EVIDENCE_BYTES = 4 << 20

export interface RecordingsParts {
  readonly index: Database
  readonly sessions: Sessions
  readonly records: Records
  readonly deriver: Deriver
  readonly unsealer: Unsealer
  readonly bookFile: string
  readonly meet: (session: number) => void
  readonly keyChanges: () => readonly number[]
}

export class Recordings {
  readonly #parts: RecordingsParts

  constructor(parts: RecordingsParts) {
    this.#parts = parts
  }

  frames({ session: sid, op, stream, cursor }: FramesQuestion, asker: Asker): FramesAnswer {
    const sight = new Sight(asker)
    const { sessions, index, records, deriver } = this.#parts
    const row = sessions.find(sid, sight)
    const whose = sessions.whose(row)
    if (!sight.replay(whose))
      throw new NoAnswer('right', 'you may not see what terminals and programs showed there')
    sight.demandReason(whose)
    this.#parts.meet(row.n)
    const seqs = index
      .prepare(
        'SELECT seq FROM chunk WHERE session = ? AND op = ? AND stream = ? AND seq > ? ORDER BY seq LIMIT ?',
      )
      .pluck()
      .all(row.n, op, stream, cursor ?? -1, PAGE_CHUNKS) as number[]
    const start = sessions.start(row.n, op, stream)
    const frames: Frame[] = []
    let erased = 0
    let bytes = 0
    let last = cursor
    for (const seq of seqs) {
      if (bytes > PAGE_BYTES) break
      last = seq
      const found = records.find(seq)
      const chunk = found === undefined ? undefined : deriver.frames(found.leaf)
      if (found === undefined || chunk === undefined) {
        erased++
        continue
      }
      let at = (found.leaf.t0 ?? start) - start
      for (const frame of chunk) {
        at += frame.delay
        bytes += frame.bytes.length
        frames.push({ at: Math.max(0, at), kind: frame.kind, data: encodeBase64(frame.bytes) })
      }
    }
    const more = seqs.at(-1) !== last || seqs.length === PAGE_CHUNKS || this.#isOpen(row.n, op)
    return { frames, erased, ...(more ? { next: last ?? -1 } : {}) }
  }

  #isOpen(n: number, op: number): boolean {
    const found = this.#parts.index
      .prepare('SELECT 1 FROM entry INDEXED BY by_open WHERE session = ? AND op = ? AND out IS NULL LIMIT 1')
      .get(n, op)
    return found !== undefined
  }

  /** One page of the evidence of a session: a first line, then a line for each record with its proof and payloads. */
  evidence({ session: sid, cursor, size: given }: EvidenceQuestion, asker: Asker): EvidenceAnswer {
    const sight = new Sight(asker)
    const row = this.#parts.sessions.find(sid, sight)
    sight.demandReason(this.#parts.sessions.whose(row))
    this.#parts.meet(row.n)
    using source = BookSource.open(this.#parts.bookFile)
    const note = Buffer.from(source.head ?? '').toString('utf8')
    const size = given ?? parseCheckpoint(note).size
    const lines = given === undefined ? [this.#firstLine(source, row, note)] : []
    const hashes = new StoredHashes(sourceHashes(source))
    let bytes = 0
    let last = cursor ?? -1
    const seqs = this.#records(row.n, last).filter((seq) => seq < size)
    for (const seq of seqs.slice(0, EVIDENCE_RECORDS)) {
      if (bytes > EVIDENCE_BYTES) break
      last = seq
      const found = this.#parts.records.find(seq)
      if (found === undefined) continue
      const proof = inclusionProof(seq, size, hashes).map(encodeBase64)
      const leaf = Buffer.from(found.bytes).toString('latin1')
      const payloads = (found.leaf.ref ?? []).map((ref) => this.#payload(sid, ref, row, sight))
      const line = JSON.stringify({ type: 'record', seq, hash: found.hash, leaf, proof, payloads })
      bytes += line.length
      lines.push(line)
    }
    const more = seqs.at(-1) !== undefined && seqs.at(-1) !== last
    return { lines, size, ...(more ? { next: last } : {}) }
  }

  #firstLine(source: BookSource, row: IndexedSessionRow, checkpoint: string): string {
    // The opening's proof brings the changes of key along.
    const places = { opening: row.seq, keys: this.#parts.keyChanges() }
    const { keys } = proveRecord(source, row.seq, { payloads: false, places })
    return JSON.stringify({ type: 'evidence', v: 1, session: row.sid, checkpoint, keys })
  }

  /** Every record of a session behind `after`, in order. */
  #records(n: number, after: number): number[] {
    const { index } = this.#parts
    const limit = EVIDENCE_RECORDS + 1
    const from = (after + 1) * PLACES
    const own = index
      .prepare(
        `SELECT DISTINCT e.id / ${PLACES} FROM ${ROWS_OF_SESSION} AND m.span >= ? AND e.id >= ? ORDER BY m.span, e.id LIMIT ?`,
      )
      .pluck()
      .all(n, spanOf(from), from, limit) as number[]
    const ends = index
      .prepare(`SELECT e.fin FROM ${ROWS_OF_SESSION} AND e.fin > ? ORDER BY e.fin LIMIT ?`)
      .pluck()
      .all(n, after, limit) as number[]
    const chunks = index
      .prepare('SELECT seq FROM chunk WHERE session = ? AND seq > ? ORDER BY seq LIMIT ?')
      .pluck()
      .all(n, after, limit) as number[]
    return [...new Set([...own, ...ends, ...chunks])].sort((a, b) => a - b).slice(0, limit)
  }

  /** The sealed bytes, which the record's leaf commits to, and what they open to, where the asker may see it. */
  #payload(sid: string, ref: Ref, row: IndexedSessionRow, sight: Sight): Record<string, unknown> {
    const { i, t } = ref
    const sealed = this.#parts.unsealer.sealed(sid, i)
    const whose = this.#parts.sessions.whose(row)
    const stream = t === 'tty' || t === 'out' || t === 'in' || t === 'rows'
    const may = t === 'who' ? sight.metadata(whose) : stream ? sight.replay(whose) : sight.content(whose)
    if (sealed === undefined) return { i, t, withheld: 'erased' }
    const data = encodeBase64(sealed)
    if (!may) return { i, t, data, withheld: 'right' }
    const opened = this.#parts.unsealer.open({ sid }, ref)
    if (opened.type !== 'opened') return { i, t, data, withheld: 'erased' }
    return {
      i,
      t,
      data,
      [stream ? 'frames' : 'text']: stream ? encodeBase64(opened.body) : opened.body.toString('utf8'),
    }
  }
}
