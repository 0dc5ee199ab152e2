/**
 * Journal entries become records of the book. The begin of an operation and its end, drained together, are one
 * leaf, `op`, in the begin's place: it halves what a statement costs. Where one leaf cannot say it, two do.
 */
import assert from 'node:assert/strict'
import { payloadIndex, readEntry, spelled } from '../book/entry.ts'
import { LEAF_BYTES_MAX, REFS_MAX } from '../book/format.ts'
import { ENTRIES } from '../book/grammar.ts'
import { BATCH_BYTES_MAX, type Batch, decodeEntries, type Entry as JournalEntry } from '../book/journal.ts'
import type { NewPayload } from '../book/payload-rows.ts'
import { COMMIT_LEAVES_MAX, type NewRecord } from '../book/store.ts'

/** What the book adds to an entry's members, at most: log, prev, salt, seq and v with their names. */
const PLACE_BYTES_MAX = 320

interface Draft extends NewRecord {
  readonly length: number
}

/** The batches that one commit takes, and the records that they become. */
export class Gathering {
  readonly #joined = new Joined()
  #bytes = 0
  #last: Batch | undefined

  /** The last batch taken. */
  get last(): Batch | undefined {
    return this.#last
  }

  /** Of the journal. */
  get bytes(): number {
    return this.#bytes
  }

  /** Takes the batch, or says that it is for the next commit. The first is taken however large it is. */
  take(batch: Batch): boolean {
    const entries = decodeEntries(batch.bytes)
    const isFull =
      this.#joined.count + entries.length > COMMIT_LEAVES_MAX ||
      this.#bytes + batch.bytes.length > BATCH_BYTES_MAX
    if (this.#last !== undefined && isFull) return false
    for (const entry of entries) this.#joined.add(readDraft(entry))
    this.#bytes += batch.bytes.length
    this.#last = batch
    return true
  }

  records(): NewRecord[] {
    return this.#joined.records()
  }
}

/** The journal is our own and its CRC held: an entry that cannot be read is our mistake. */
export function readDraft({ members, carried }: JournalEntry): Draft {
  const entry = readEntry(members)
  const payloads = carried.map(({ ref, bytes }): NewPayload => {
    const i = payloadIndex(entry, ref)
    if (i === undefined) throw new RangeError(`an entry carries a payload that it does not name: ${ref}`)
    return { i, bytes }
  })
  return { entry, payloads, length: members.length }
}

interface Operation {
  /** Where its begin stands, if that is here. */
  readonly begin: number | undefined
  /** Where its results stand that its end may do without. */
  readonly results: number[]
  /** A result stays a record of its own: it must stand between its begin and its end. */
  isTold: boolean
}

interface Session {
  readonly operations: Map<number, Operation>
  /** Where a record last named payloads: nothing that names some may be moved before it. */
  naming: number
}

/** Joins what one commit holds. The order of what remains is the order in which it was written. */
export class Joined {
  readonly #kept: (Draft | undefined)[] = []
  readonly #sessions = new Map<string, Session>()
  #count = 0

  /** Records so far. */
  get count(): number {
    return this.#count
  }

  records(): NewRecord[] {
    return this.#kept.filter((draft) => draft !== undefined)
  }

  add(draft: Draft): void {
    const { entry } = draft
    const { kind } = entry.grammar
    const session = this.#session(spelled(entry, 'sid') ?? '')
    const isNaming = spelled(entry, 'ref') !== undefined
    const op = Number(spelled(entry, 'op'))
    const at = this.#kept.length
    if (kind === 'op.end') {
      const operation = session.operations.get(op)
      this.#drop(operation?.results)
      if (this.#join(draft, session, operation, isNaming)) return
    } else if (kind === 'op.begin') session.operations.set(op, { begin: at, results: [], isTold: false })
    else if (kind === 'op.result') {
      const operation = session.operations.get(op) ?? { begin: undefined, results: [], isTold: false }
      session.operations.set(op, operation)
      // Its facts stand in the end's `res` payload too; alone it is needed only while the operation goes on.
      if (isNaming) operation.isTold = true
      else operation.results.push(at)
    }
    if (isNaming) session.naming = at
    this.#kept.push(draft)
    this.#count++
  }

  #session(sid: string): Session {
    let session = this.#sessions.get(sid)
    if (session === undefined) {
      session = { operations: new Map(), naming: -1 }
      this.#sessions.set(sid, session)
    }
    return session
  }

  /** Puts an end into its begin's place, where one leaf can say both. */
  #join(end: Draft, session: Session, operation: Operation | undefined, isNaming: boolean): boolean {
    const at = operation?.begin
    const begin = at === undefined ? undefined : this.#kept[at]
    if (at === undefined || begin === undefined || operation?.isTold === true) return false
    if ((isNaming && session.naming > at) || !fitsOneLeaf(begin, end)) return false
    this.#kept[at] = joined(begin, end)
    if (isNaming) session.naming = Math.max(session.naming, at)
    return true
  }

  #drop(results: readonly number[] | undefined): void {
    for (const result of results ?? []) {
      this.#kept[result] = undefined
      this.#count--
    }
  }
}

const TYPE = /"t":("(?:[^"\\]|\\.)*")/g

function fitsOneLeaf(begin: Draft, end: Draft): boolean {
  if (begin.length + end.length + PLACE_BYTES_MAX > LEAF_BYTES_MAX) return false
  const [first, second] = [begin, end].map(({ entry }) => spelled(entry, 'ref'))
  if (first === undefined || second === undefined) return true
  const [before = [], after = []] = [first, second].map((refs) =>
    Array.from(refs.matchAll(TYPE), ([, type]) => type),
  )
  return before.length + after.length <= REFS_MAX && !after.some((type) => before.includes(type))
}

const OP = ENTRIES.get('op')
assert(OP !== undefined)
/** Where each member of an `op` is spelled in its begin and in its end. Group 0 stands for nowhere. */
const SOURCES = OP.fields.map(({ name }) => ({
  name,
  begin: ENTRIES.get('op.begin')?.groups.get(name) ?? 0,
  end: ENTRIES.get('op.end')?.groups.get(name) ?? 0,
}))

function joined(begin: Draft, end: Draft): Draft {
  const [from, to] = [begin.entry.groups, end.entry.groups]
  const groups: (string | undefined)[] = [undefined]
  for (const source of SOURCES) {
    const first = source.begin === 0 ? undefined : from[source.begin]
    const second = source.end === 0 ? undefined : to[source.end]
    if (source.name === 'kind') groups.push('"op"')
    else if (source.name === 'ref' && first !== undefined && second !== undefined)
      groups.push(`${first.slice(0, -1)},${second.slice(1)}`)
    else groups.push(first ?? second)
  }
  return {
    entry: { grammar: OP ?? begin.entry.grammar, groups },
    payloads: end.payloads.length === 0 ? begin.payloads : [...begin.payloads, ...end.payloads],
    length: begin.length + end.length,
  }
}
