/**
 * What happens between opening a book and taking the first record, in this order: the journal is judged and
 * drained, sessions without a beginning lose their keys, `boot` is written, and what was left open is closed as
 * unknown. Nothing is encrypted for an earlier session: its key died with its process.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { BookError } from '../book/database.ts'
import { JOURNAL_FILE, journalPath } from '../book/files.ts'
import { type Leaf, type Members, parseLeaf } from '../book/format.ts'
import {
  BATCH_ENTRIES_MAX,
  type Batch,
  JOURNAL_BYTES_MAX,
  type Judgement,
  judgeJournal,
} from '../book/journal.ts'
import type { KeyStore } from '../book/keys.ts'
import { setJournalAside } from '../book/lost-journals.ts'
import type { OpenedBook } from '../book/open.ts'
import { readLeaves } from '../book/reader.ts'
import { type AppendOptions, newRecord, type Store } from '../book/store.ts'
import { overwrite, preallocate, removeFileDurably } from '../system/durable.ts'
import { readGap, TARGETS_MAX } from './gap.ts'
import { Gathering } from './join.ts'

export interface Recovered {
  /** Highest number ever used in the journal: the next batch goes behind it. */
  readonly lastBatch: number
  /** Records taken from the journal. */
  readonly records: number
  readonly closedAsUnknown: number
  /** The newest deletion that is not finished; nothing that it concerns is in the journal any more. */
  readonly scrubbed: number
}

export interface RecoveryOptions {
  readonly release: string
  readonly acceptJournalLoss: boolean
  /** Microseconds since 1970. */
  readonly now: () => number
}

interface JournalRow {
  file: number
  size: number
  batch: number
}

export function recover(book: OpenedBook, store: Store, keys: KeyStore, options: RecoveryOptions): Recovered {
  const row = book.db.prepare('SELECT file, size, batch FROM journal WHERE file = ?').get(JOURNAL_FILE) as
    | JournalRow
    | undefined
  if (row === undefined) throw new BookError('damaged', `${book.files.book} names no journal`)
  const { judgement, loss } = judge(book, row)
  if (loss !== undefined && !options.acceptJournalLoss) {
    throw new BookError(
      'journal-loss',
      `${loss}. \`gatebook serve --accept-journal-loss\` goes on without them`,
    )
  }
  const records = drainJudged(store, row.file, judgement.batches)
  const now = options.now()
  const open = findOpen(book, keys)
  const dangling = closings(open, now)
  const boot: Members = {
    kind: 'boot',
    ts: now,
    rel: options.release,
    clean: book.clean && records === 0 && open.size === 0,
    ops: dangling.operations,
    recovered: records,
  }
  const lost: Members = { kind: 'gap', ts: now, from: Math.min(store.head.ts, now), to: now, why: 'journal' }
  // The order is the point: until the gap is in the book, the loss is there to be found; and what was cut, or
  // accepted as lost, comes back from no journal, for its numbers are below the mark that is committed with it.
  // The damaged file is kept as evidence; its successor goes on counting behind it.
  if (loss !== undefined) setJournalAside(book.files, row.file, now)
  const gaps = [...(loss === undefined ? [] : [lost]), ...unrecorded(book, store, now)]
  append(store, [boot, ...gaps, ...dangling.members], {
    journal: { file: row.file, batch: judgement.highest },
  })
  if (existsSync(book.files.gap)) removeFileDurably(book.files.gap)
  if (loss !== undefined) preallocate(journalPath(book.files, row.file), row.size)
  keys.markClosed([...open.keys()])
  const scrubbed = scrub(book, row)
  return { lastBatch: judgement.highest, records, closedAsUnknown: dangling.operations, scrubbed }
}

/** A deletion that was interrupted may have left its ciphertexts in the journal, which holds nothing else by now. */
function scrub(book: OpenedBook, row: JournalRow): number {
  const newest = book.db.prepare('SELECT max(seq) FROM deletion WHERE done = 0').pluck().get()
  if (typeof newest !== 'number') return -1
  overwrite(journalPath(book.files, row.file))
  return newest
}

/** What passed unrecorded, but for what a start that was interrupted here has put into the book already. */
function unrecorded(book: OpenedBook, store: Store, now: number): Members[] {
  const gaps = readGap(book.files.gap, store.head.ts, now)
  if (gaps.length === 0) return []
  const same = (a: Members, b: Members): boolean =>
    a.kind === b.kind && a.from === b.from && a.tgt === b.tgt && a.ops === b.ops && a.why === b.why
  const written = [...readLeaves(book.db, Math.max(0, store.head.size - 2 * TARGETS_MAX))]
  return gaps.filter((gap) => !written.some((leaf) => same(leaf, gap)))
}

/** A missing or shortened file, or a hole below what was known durable, is loss and never a torn tail. */
function judge(book: OpenedBook, row: JournalRow): { judgement: Judgement; loss: string | undefined } {
  const path = journalPath(book.files, row.file)
  const nothing: Judgement = { batches: [], missing: [], highest: row.batch }
  if (!existsSync(path)) return { judgement: nothing, loss: `${path} is missing` }
  const { size } = statSync(path)
  const wrongSize = size === row.size ? undefined : `${path} has ${size} bytes where ${row.size} belong`
  if (size > JOURNAL_BYTES_MAX) return { judgement: nothing, loss: wrongSize ?? `${path} has ${size} bytes` }
  const judgement = judgeJournal(readFileSync(path), row.batch)
  const [first] = judgement.missing
  const last = judgement.missing.at(-1)
  const damage =
    first === undefined ? undefined : `${path}: batches ${first} to ${last} were durable and are damaged`
  return { judgement, loss: wrongSize ?? damage }
}

function drainJudged(store: Store, file: number, batches: readonly Batch[]): number {
  let records = 0
  let gathered = new Gathering()
  const commit = (): void => {
    const { last } = gathered
    if (last === undefined) return
    const joined = gathered.records()
    store.append(joined, { journal: { file, batch: last.number } })
    records += joined.length
    gathered = new Gathering()
  }
  for (const batch of batches) {
    if (gathered.take(batch)) continue
    commit()
    gathered.take(batch)
  }
  commit()
  return records
}

interface OpenSession {
  readonly operations: Map<number, { parts: number }>
}

/** Sessions without a close, with their open operations, found from the smallest place where one can begin. */
function findOpen(book: OpenedBook, keys: KeyStore): Map<string, OpenSession> {
  const rows = keys.unclosed()
  const wanted = new Set(rows.map(({ sid }) => sid))
  const open = openBelow(book, wanted)
  const closed: string[] = []
  const [first] = rows
  if (first !== undefined) {
    for (const leaf of readLeaves(book.db, first.floor)) {
      if (leaf.sid === undefined || !wanted.has(leaf.sid)) continue
      if (leaf.kind === 'session.close') {
        open.delete(leaf.sid)
        closed.push(leaf.sid)
      } else follow(open, leaf.sid, leaf)
    }
  }
  keys.markClosed(closed)
  const seen = new Set([...closed, ...open.keys()])
  // Made for a session whose opening never reached the journal: nothing was sealed under them.
  keys.remove(rows.map(({ sid }) => sid).filter((sid) => !seen.has(sid)))
  return open
}

/** Sessions whose opening leaf is all that retention has left of their beginning. */
function openBelow(book: OpenedBook, wanted: ReadonlySet<string>): Map<string, OpenSession> {
  const open = new Map<string, OpenSession>()
  for (const bytes of book.db.prepare('SELECT leaf FROM kept').pluck().iterate() as Iterable<Buffer>) {
    const { kind, sid = '' } = parseLeaf(bytes)
    if (kind === 'session.open' && wanted.has(sid)) open.set(sid, { operations: new Map() })
  }
  return open
}

function follow(open: Map<string, OpenSession>, sid: string, { kind, op }: Leaf): void {
  if (kind === 'session.open') open.set(sid, { operations: new Map() })
  const operations = open.get(sid)?.operations
  if (operations === undefined || op === undefined) return
  if (kind === 'op.begin') operations.set(op, { parts: 0 })
  else if (kind === 'op.end') operations.delete(op)
  else if (kind === 'data') {
    const operation = operations.get(op)
    if (operation !== undefined) operation.parts++
  }
}

function closings(open: Map<string, OpenSession>, ts: number): { members: Members[]; operations: number } {
  const members: Members[] = []
  let count = 0
  for (const [sid, { operations }] of open) {
    for (const [op, { parts }] of operations) {
      members.push({ kind: 'op.end', ts, sid, op, out: 'unknown', parts: parts === 0 ? undefined : parts })
      count++
    }
    members.push({ kind: 'session.close', ts, sid, why: 'crash' })
  }
  return { members, operations: count }
}

/** In as many commits as it takes; the first carries what `options` says. */
function append(store: Store, members: readonly Members[], options: AppendOptions): void {
  for (let at = 0; at < members.length; at += BATCH_ENTRIES_MAX) {
    const records = members.slice(at, at + BATCH_ENTRIES_MAX).map((one) => newRecord(one))
    store.append(records, at === 0 ? options : {})
  }
}
