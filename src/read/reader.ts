/**
 * Answers questions from the index and the book. Synchronous, as SQLite is: it runs in a thread of its own, where a
 * question that takes long holds nobody up but other readers. It writes to nothing.
 */
import type { Database as Book } from 'better-sqlite3'
import { openForReading } from '../book/database.ts'
import { bookFiles } from '../book/files.ts'
import { type Kek, KeyStore } from '../book/keys.ts'
import { readHeadNote } from '../book/reader.ts'
import type { Answers, StateAnswer } from './answers.ts'
import { Deriver, type Understanding } from './derive.ts'
import { IndexFile, indexFiles } from './index-file.ts'
import { overview } from './overview.ts'
import { type AnswerTo, type Asker, NoAnswer, type Question, requireForm } from './questions.ts'
import { Recordings } from './recordings.ts'
import { Records } from './records.ts'
import { Rows } from './rows.ts'
import type { CompileParts } from './search/compile.ts'
import { Lookup } from './search/lookup.ts'
import { SCATTERED_ROWS_MAX, Searching } from './searching.ts'
import { Sessions } from './sessions.ts'
import { Single } from './single.ts'
import { Unsealer } from './unseal.ts'

export interface ReaderOptions {
  readonly directory: string
  readonly kek: Kek
  readonly understanding: Understanding
  /** Microseconds since 1970. */
  readonly now: () => number
  /** A test has it small, so that small books go both ways. */
  readonly scatteredRowsMax?: number
}

export type Labels = CompileParts['labels']

export class Reader {
  readonly #index: IndexFile
  readonly #book: Book
  readonly #keys: Book
  readonly #records: Records
  readonly #unsealer: Unsealer
  readonly #rows: Rows
  readonly #lookup: Lookup
  readonly #searching: Searching
  readonly #sessions: Sessions
  readonly #single: Single
  readonly #recordings: Recordings
  readonly #origin: string
  readonly #now: () => number
  readonly #met = new Set<number>()
  #labels: Labels = {}

  constructor({ directory, kek, understanding, now, scatteredRowsMax = SCATTERED_ROWS_MAX }: ReaderOptions) {
    const files = bookFiles(directory)
    this.#book = openForReading(files.book)
    this.#keys = openForReading(files.keys)
    this.#origin = (readHeadNote(this.#book) ?? '').split('\n')[0] ?? ''
    this.#index = IndexFile.openForReading(indexFiles(directory), kek, this.#origin)
    const index = this.#index.db
    this.#now = now
    this.#records = new Records(this.#book)
    this.#unsealer = new Unsealer(this.#book, new KeyStore(this.#keys), kek, this.#origin)
    const deriver = new Deriver(this.#unsealer, understanding)
    const meet = (session: number): void => this.#meet(session)
    const common = { index, records: this.#records, deriver, meet }
    this.#lookup = new Lookup(index)
    this.#rows = new Rows(common)
    const withRows = { ...common, rows: this.#rows, unsealer: this.#unsealer, bookFile: files.book }
    const sizes = () => ({ size: this.#records.size, indexed: this.#indexed() })
    this.#searching = new Searching({
      index,
      rows: this.#rows,
      scatteredRowsMax,
      compiling: () => this.#compiling(),
      sizes,
    })
    this.#sessions = new Sessions({ ...withRows, searching: this.#searching, size: () => this.#records.size })
    this.#single = new Single({ ...withRows, indexed: () => this.#indexed() })
    const keyChanges = (): number[] => this.#single.keyChanges()
    this.#recordings = new Recordings({ ...withRows, sessions: this.#sessions, keyChanges })
  }

  /** Throws a NoAnswer where there is none. */
  answer<Q extends Question>(question: Q, asker: Asker, labels: Labels): AnswerTo<Q> {
    this.#labels = labels
    requireForm(question)
    return this.#answer(question, asker) as AnswerTo<Q>
  }

  close(): void {
    for (const db of [this.#index.db, this.#book, this.#keys]) db.close()
  }

  #answer(question: Question, asker: Asker): Answers[Question['type']] {
    switch (question.type) {
      case 'search':
        return this.#searching.search(question, asker)
      case 'summary':
        return this.#searching.summary(question, asker)
      case 'complete':
        return this.#searching.complete(question, asker)
      case 'follow':
        return this.#searching.follow(question, asker)
      case 'sessions':
        return this.#sessions.list(question, asker)
      case 'session':
        return this.#sessions.one(question.session, asker)
      case 'timeline':
        return this.#sessions.timeline(question, asker)
      case 'commands':
        return this.#sessions.commands(question.session, question.op, asker)
      case 'files':
        return this.#sessions.files(question.session, asker)
      case 'frames':
        return this.#recordings.frames(question, asker)
      case 'evidence':
        return this.#recordings.evidence(question, asker)
      case 'record':
        return this.#single.record(question.record, asker)
      case 'proof':
        return this.#single.proof(question.record, question.payloads ?? false, asker)
      case 'overview':
        return this.#overview(question.micros, asker)
      case 'state':
        return this.#state(asker)
    }
  }

  #overview(micros: number, asker: Asker): Answers['overview'] {
    const sizes = () => ({ size: this.#records.size, indexed: this.#indexed() })
    const parts = {
      index: this.#index.db,
      rows: this.#rows,
      searching: this.#searching,
      lookup: this.#lookup,
      now: this.#now,
      sizes,
    }
    return overview({ type: 'overview', micros }, asker, parts)
  }

  #state({ rights }: Asker): StateAnswer {
    if (!rights.all && !rights.verify)
      throw new NoAnswer('right', 'you may not look at the state of the book')
    const { size, head } = this.#records
    const indexed = this.#indexed()
    return { origin: this.#origin, size, head, indexed, rebuilding: size - indexed > 100_000 }
  }

  #compiling(): CompileParts {
    return {
      lookup: this.#lookup,
      now: this.#now(),
      labels: this.#labels,
      hashOf: (seq) => this.#records.find(seq)?.hash,
    }
  }

  #indexed(): number {
    const next = this.#index.db.prepare('SELECT next FROM state').pluck().get()
    return Number(next ?? 0)
  }

  /** A session's opening leaf, which its key is held against, is known by its place. */
  #meet(session: number): void {
    if (this.#met.has(session)) return
    const seq = this.#index.db.prepare('SELECT seq FROM session WHERE n = ?').pluck().get(session) as
      | number
      | undefined
    const found = seq === undefined ? undefined : this.#records.find(seq)
    if (found !== undefined) this.#unsealer.learn(found.leaf)
    if (this.#met.size > 10_000) this.#met.clear()
    this.#met.add(session)
  }
}
