/**
 * The one way of asking the book. Who reads never touches the book's files: questions go to a thread of their own, to
 * the control socket of a running gateway, or to a book that nobody holds, and are the same everywhere. In a gateway
 * each question is a record of the book before its answer is shown; src/wiring/reading.ts says how.
 */
import type {
  CommandsAnswer,
  CompleteAnswer,
  FilesAnswer,
  Frame,
  OverviewAnswer,
  ProofAnswer,
  RecordAnswer,
  Row,
  SearchAnswer,
  SessionAnswer,
  SessionsAnswer,
  StateAnswer,
  SummaryAnswer,
  TimelineAnswer,
} from './answers.ts'
import type {
  AnswerTo,
  Asker,
  EvidenceQuestion,
  FramesQuestion,
  Question,
  SearchQuestion,
  SessionsQuestion,
  SummaryQuestion,
  TimelineQuestion,
} from './questions.ts'

/** Rejects with a NoAnswer where there is none to be had. */
export type Ask = <Q extends Question>(question: Q, asker: Asker) => Promise<AnswerTo<Q>>

type Without<Q extends Question> = Omit<Q, 'type'>

export interface LibraryParts {
  readonly ask: Ask
  /** Waits between two looks for what is new. */
  readonly sleep: (ms: number) => Promise<void>
}

export const LOOK_EVERY_MS = 100

export class Library {
  readonly #parts: LibraryParts

  constructor(parts: LibraryParts) {
    this.#parts = parts
  }

  ask<Q extends Question>(question: Q, asker: Asker): Promise<AnswerTo<Q>> {
    return this.#parts.ask(question, asker)
  }

  /** One page of what a query finds. */
  search(asker: Asker, question: Without<SearchQuestion>): Promise<SearchAnswer> {
    return this.ask({ type: 'search', ...question }, asker)
  }

  /** Count, facets and histogram of what a query finds. */
  summary(asker: Asker, question: Without<SummaryQuestion>): Promise<SummaryAnswer> {
    return this.ask({ type: 'summary', ...question }, asker)
  }

  complete(asker: Asker, query: string, at: number): Promise<CompleteAnswer> {
    return this.ask({ type: 'complete', query, at }, asker)
  }

  sessions(asker: Asker, question: Without<SessionsQuestion>): Promise<SessionsAnswer> {
    return this.ask({ type: 'sessions', ...question }, asker)
  }

  session(asker: Asker, session: string): Promise<SessionAnswer> {
    return this.ask({ type: 'session', session }, asker)
  }

  timeline(asker: Asker, question: Without<TimelineQuestion>): Promise<TimelineAnswer> {
    return this.ask({ type: 'timeline', ...question }, asker)
  }

  /** Every row of a session, page by page. */
  async *wholeTimeline(asker: Asker, session: string): AsyncGenerator<Row> {
    let cursor: number | undefined
    do {
      const page = await this.timeline(asker, { session, ...(cursor === undefined ? {} : { cursor }) })
      yield* page.rows
      cursor = page.next
    } while (cursor !== undefined)
  }

  /** A record by its link, its index, or the id that was shown to whoever was refused. */
  record(asker: Asker, record: string): Promise<RecordAnswer> {
    return this.ask({ type: 'record', record }, asker)
  }

  commands(asker: Asker, session: string, op?: number): Promise<CommandsAnswer> {
    return this.ask({ type: 'commands', session, ...(op === undefined ? {} : { op }) }, asker)
  }

  files(asker: Asker, session: string): Promise<FilesAnswer> {
    return this.ask({ type: 'files', session }, asker)
  }

  /** The frames of one recording, in their order; goes on while the session does, until the signal. */
  async *frames(
    asker: Asker,
    question: Omit<FramesQuestion, 'type' | 'cursor'>,
    signal?: AbortSignal,
  ): AsyncGenerator<Frame> {
    let cursor: number | undefined
    do {
      const page = await this.ask(
        { type: 'frames', ...question, ...(cursor === undefined ? {} : { cursor }) },
        asker,
      )
      yield* page.frames
      if (page.frames.length === 0 && page.next !== undefined) await this.#parts.sleep(LOOK_EVERY_MS)
      cursor = page.next
    } while (cursor !== undefined && signal?.aborted !== true)
  }

  /** New rows that fit a query, as they come, until the signal. `from` is an index of the book. */
  async *follow(asker: Asker, query: string, signal: AbortSignal, from?: number): AsyncGenerator<Row> {
    let cursor: number | undefined
    while (!signal.aborted) {
      const found = await this.ask(
        {
          type: 'follow',
          query,
          ...(from === undefined ? {} : { from }),
          ...(cursor === undefined ? {} : { cursor }),
        },
        asker,
      )
      yield* found.rows
      if (found.rows.length === 0) await this.#parts.sleep(LOOK_EVERY_MS)
      cursor = found.cursor
    }
  }

  overview(asker: Asker, micros: number): Promise<OverviewAnswer> {
    return this.ask({ type: 'overview', micros }, asker)
  }

  proof(asker: Asker, record: string, payloads = false): Promise<ProofAnswer> {
    return this.ask({ type: 'proof', record, payloads }, asker)
  }

  /** The lines of a session's evidence bundle; evidence.ts puts the page around them. */
  async *evidence(asker: Asker, session: string): AsyncGenerator<string> {
    let size: number | undefined
    let cursor: number | undefined
    do {
      const question: EvidenceQuestion = {
        type: 'evidence',
        session,
        ...(cursor === undefined ? {} : { cursor }),
        ...(size === undefined ? {} : { size }),
      }
      const page = await this.ask(question, asker)
      yield* page.lines
      size = page.size
      cursor = page.next
    } while (cursor !== undefined)
  }

  state(asker: Asker): Promise<StateAnswer> {
    return this.ask({ type: 'state' }, asker)
  }
}
