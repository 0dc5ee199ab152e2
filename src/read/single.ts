/** One record and everything about it: by its link, its index, or the id that was shown to whoever was refused. */
import type { Database } from 'better-sqlite3-multiple-ciphers'
import { parseCheckpoint } from '../book/checkpoint.ts'
import type { Ref } from '../book/format.ts'
import { proveRecord } from '../book/prove.ts'
import { BookSource } from '../book/source.ts'
import { SourceError } from '../book/verify/source.ts'
import type { ProofAnswer, RecordAnswer, RecordPayload, Withheld } from './answers.ts'
import { PLACES } from './derive.ts'
import { markOf, rowsMarked } from './marks.ts'
import { type Asker, NoAnswer } from './questions.ts'
import type { FoundRecord, Records } from './records.ts'
import type { EntryRow, Rows } from './rows.ts'
import { Sight, type Whose } from './sight.ts'
import type { Unsealer } from './unseal.ts'

/** Of one payload's text in an answer. */
const PAYLOAD_CHARACTERS_MAX = 1 << 20

export interface SingleParts {
  readonly index: Database
  readonly rows: Rows
  readonly records: Records
  readonly unsealer: Unsealer
  readonly bookFile: string
  readonly meet: (session: number) => void
  readonly indexed: () => number
}

/** What of a record decides who may see it: the row it belongs to. */
interface Resolved {
  readonly seq: number
  readonly found: FoundRecord | undefined
  readonly entry: EntryRow | undefined
  readonly differs: boolean
}

export class Single {
  readonly #parts: SingleParts

  constructor(parts: SingleParts) {
    this.#parts = parts
  }

  record(id: string, asker: Asker): RecordAnswer {
    const sight = new Sight(asker)
    const { records, rows } = this.#parts
    const { size } = records
    const resolved = this.#resolve(id)
    if (resolved === undefined) return { status: 'none', size }
    const { seq, found, entry, differs } = resolved
    if (found === undefined)
      return { status: seq < size || seq < this.#parts.indexed() ? 'none' : 'pending', size }
    if (entry === undefined && seq >= this.#parts.indexed()) return { status: 'pending', size }
    if (!this.#mayKnow(entry, asker, sight)) return { status: 'none', size }
    const row = entry === undefined ? undefined : rows.row(entry, sight)
    const fin = entry?.fin === null || entry === undefined ? undefined : records.find(entry.fin)
    const end = fin === undefined || fin.leaf.seq === seq ? undefined : fin
    const payloads = [found, ...(end === undefined ? [] : [end])].flatMap((one) =>
      this.#payloads(one, entry, sight),
    )
    return {
      status: differs ? 'differs' : 'found',
      ...(row === undefined ? {} : { row }),
      leaf: Buffer.from(found.bytes).toString('latin1'),
      ...(end === undefined
        ? {}
        : { end: { seq: end.leaf.seq, hash: end.hash, leaf: Buffer.from(end.bytes).toString('latin1') } }),
      payloads,
      size,
    }
  }

  proof(id: string, payloads: boolean, asker: Asker): ProofAnswer {
    const resolved = this.#resolve(id)
    const sight = new Sight(asker)
    if (resolved?.found === undefined || !this.#mayKnow(resolved.entry, asker, sight)) {
      throw new NoAnswer('none', `there is no record ${id} that you may see`)
    }
    if (resolved.differs) {
      throw new NoAnswer(
        'evidence',
        `record ${resolved.seq} has the hash ${resolved.found.hash.slice(0, 8)}, not that of ${id}`,
      )
    }
    const opening =
      resolved.found.leaf.sid === undefined ? undefined : this.#openingOf(resolved.found.leaf.sid)
    const places = { keys: this.keyChanges(), ...(opening === undefined ? {} : { opening }) }
    try {
      using source = BookSource.open(this.#parts.bookFile)
      const proof = proveRecord(source, resolved.seq, { payloads, places })
      return { seq: resolved.seq, hash: resolved.found.hash, proof: `${JSON.stringify(proof, null, 1)}\n` }
    } catch (cause) {
      if (cause instanceof SourceError)
        throw new NoAnswer('evidence', `the book does not prove it: ${cause.message}`)
      throw cause
    }
  }

  /** Records by which the signing key changed, below the head. */
  keyChanges(): number[] {
    const { index, records } = this.#parts
    const { size } = parseCheckpoint(records.head)
    const ids = index
      .prepare(
        `SELECT e.id FROM ${rowsMarked('action')}
         WHERE m.what = ${markOf('action', "(SELECT id FROM name WHERE kind = 6 AND value = 'book.key')")} ORDER BY m.span, e.id`,
      )
      .pluck()
      .all() as number[]
    return ids.map((id) => Math.floor(id / PLACES)).filter((seq) => seq < size)
  }

  #openingOf(sid: string): number | undefined {
    return this.#parts.index.prepare('SELECT seq FROM session WHERE sid = ?').pluck().get(sid) as
      | number
      | undefined
  }

  #mayKnow(entry: EntryRow | undefined, asker: Asker, sight: Sight): boolean {
    // A record of nobody's, such as a change of key, is the gateway's own.
    return entry === undefined ? asker.rights.all : sight.metadata(this.#whose(entry))
  }

  #whose(entry: EntryRow): Whose {
    return { sub: this.#parts.rows.name(entry.sub), target: this.#parts.rows.name(entry.target) }
  }

  #resolve(id: string): Resolved | undefined {
    const [, sid, op] = /^([a-z2-7]{16})\.(\d{1,12})$/.exec(id) ?? []
    if (sid !== undefined) {
      const entry = this.#operation(sid, Number(op))
      if (entry === undefined) return undefined
      const seq = Math.floor(entry.id / PLACES)
      return { seq, found: this.#parts.records.find(seq), entry, differs: false }
    }
    const [, index, digits = ''] = /^(\d{1,15})(?:-([0-9a-f]{1,64}))?$/.exec(id) ?? []
    if (index === undefined) {
      throw new NoAnswer('query', `"${id}" names no record: 184302-9f2c1b77, 184302 or k3v5o2n7q4w6x2za.3`)
    }
    const seq = Number(index)
    const found = this.#parts.records.find(seq)
    return {
      seq,
      found,
      entry: this.#entryOf(seq, found),
      differs: found !== undefined && !found.hash.startsWith(digits),
    }
  }

  /** The row of a record, or of the operation that it ends or is part of. */
  #entryOf(seq: number, found: FoundRecord | undefined): EntryRow | undefined {
    const own = this.#parts.rows.entry(seq * PLACES)
    if (own !== undefined || found?.leaf.sid === undefined || found.leaf.op === undefined) return own
    return this.#operation(found.leaf.sid, found.leaf.op)
  }

  #operation(sid: string, op: number): EntryRow | undefined {
    return this.#parts.index
      .prepare(
        `SELECT e.* FROM ${rowsMarked('session')}
         WHERE m.what = ${markOf('session', '(SELECT n FROM session WHERE sid = ?)')} AND e.op = ?
         ORDER BY m.span, e.id LIMIT 1`,
      )
      .get(sid, op) as EntryRow | undefined
  }

  #payloads(found: FoundRecord, entry: EntryRow | undefined, sight: Sight): RecordPayload[] {
    const whose = entry === undefined ? {} : this.#whose(entry)
    if (entry?.session != null) this.#parts.meet(entry.session)
    const byType = Map.groupBy(found.leaf.ref ?? [], ({ t }) => t)
    return [...byType].map(([type, refs]) => {
      const bytes = refs.reduce((sum, { n }) => sum + n, 0)
      const withheld = this.#withheld(type, whose, sight)
      if (withheld !== undefined) return { type, bytes, withheld }
      const text = this.#text(found, refs)
      return text === undefined ? { type, bytes, withheld: 'erased' } : { type, bytes, text }
    })
  }

  #withheld(type: string, whose: Whose, sight: Sight): Withheld | undefined {
    const may =
      type === 'who' ? sight.metadata(whose) : STREAMS.has(type) ? sight.replay(whose) : sight.content(whose)
    if (!may) return 'right'
    return type !== 'who' && sight.wantsReason(whose) ? 'reason' : undefined
  }

  #text({ leaf }: FoundRecord, refs: readonly Ref[]): string | undefined {
    const bodies: Buffer[] = []
    for (const ref of refs) {
      const opened = this.#parts.unsealer.open(leaf, ref)
      if (opened.type !== 'opened') return undefined
      bodies.push(opened.body)
    }
    const glue = refs[0]?.t === 'path' ? Buffer.from(' → ') : Buffer.alloc(0)
    const all = bodies.flatMap((body, k) => (k === 0 ? [body] : [glue, body]))
    return Buffer.concat(all).toString('utf8').slice(0, PAYLOAD_CHARACTERS_MAX)
  }
}

const STREAMS = new Set(['tty', 'out', 'in', 'rows'])
