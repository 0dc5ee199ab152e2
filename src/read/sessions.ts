/** Sessions as they are shown: lists, one of them, what happened in it, its recordings, commands and files. */
import type { Database } from 'better-sqlite3-multiple-ciphers'
import type {
  CommandsAnswer,
  DerivedCommand,
  FileRow,
  FilesAnswer,
  RecordingRow,
  SessionAnswer,
  SessionRow,
  SessionsAnswer,
  TimelineAnswer,
} from './answers.ts'
import { PAGE_ROWS_MAX } from './answers.ts'
import { type Deriver, markerOf, spanOf } from './derive.ts'
import { FLAG } from './index-file.ts'
import { ROWS_OF_SESSION } from './marks.ts'
import { type Asker, NoAnswer, type SessionsQuestion, type TimelineQuestion } from './questions.ts'
import type { Records } from './records.ts'
import { type EntryRow, present, type Rows } from './rows.ts'
import { PROTOCOLS } from './search/keys.ts'
import { PAGE_ROWS, type Searching } from './searching.ts'
import { Sight, type Whose } from './sight.ts'

export interface IndexedSessionRow {
  readonly n: number
  readonly sid: string
  readonly seq: number
  readonly ts: number
  readonly proto: number
  readonly actor: number | null
  readonly sub: number | null
  readonly target: number | null
  readonly addr: number | null
  readonly client: string | null
  readonly closed: number | null
  readonly why: string | null
  readonly ops: number
  readonly errors: number
  readonly denied: number
  readonly terminal: number
}

export interface SessionsParts {
  readonly index: Database
  readonly rows: Rows
  readonly records: Records
  readonly deriver: Deriver
  readonly searching: Searching
  readonly meet: (session: number) => void
  readonly size: () => number
}

export class Sessions {
  readonly #parts: SessionsParts

  constructor(parts: SessionsParts) {
    this.#parts = parts
  }

  list({ query, cursor, limit = PAGE_ROWS }: SessionsQuestion, asker: Asker): SessionsAnswer {
    const wanted = Math.max(1, Math.min(limit, PAGE_ROWS_MAX))
    const before = cursor ?? Number.MAX_SAFE_INTEGER
    const found = this.#parts.searching.sessions(query, asker, before, wanted + 1)
    const sight = new Sight(asker)
    const sessions = found.slice(0, wanted).flatMap((n) => {
      const row = this.#byNumber(n)
      return row === undefined ? [] : [this.#shown(row, sight)]
    })
    const last = found.length > wanted ? this.#byNumber(found[wanted - 1] ?? 0)?.seq : undefined
    return { sessions, ...(last === undefined ? {} : { next: last }), size: this.#parts.size() }
  }

  one(sid: string, asker: Asker): SessionAnswer {
    const sight = new Sight(asker)
    const row = this.find(sid, sight)
    const whose = this.whose(row)
    const session = this.#shown(row, sight)
    const opening = this.#parts.records.find(row.seq)
    this.#parts.meet(row.n)
    const who = opening === undefined ? undefined : this.#parts.deriver.who(opening.leaf)
    const recordings = sight.content(whose) || sight.replay(whose) ? this.#recordings(row.n) : []
    return { session, ...(who === undefined ? { withheld: 'erased' } : { who }), recordings }
  }

  timeline({ session: sid, cursor, limit = PAGE_ROWS_MAX }: TimelineQuestion, asker: Asker): TimelineAnswer {
    const sight = new Sight(asker)
    const row = this.find(sid, sight)
    sight.demandReason(this.whose(row))
    const wanted = Math.max(1, Math.min(limit, PAGE_ROWS_MAX))
    const ids = this.#parts.index
      .prepare(
        `SELECT e.id FROM ${ROWS_OF_SESSION} AND m.span >= ? AND e.id > ? AND e.flags & ${FLAG.quiet} = 0
         ORDER BY m.span, e.id LIMIT ?`,
      )
      .pluck()
      .all(row.n, spanOf(cursor ?? 0), cursor ?? -1, wanted + 1) as number[]
    const page = ids.slice(0, wanted)
    const next = ids.length > wanted ? page.at(-1) : undefined
    const rows = this.#parts.rows.shown(page, sight)
    return { rows, ...(next === undefined ? {} : { next }), size: this.#parts.size() }
  }

  commands(sid: string, op: number | undefined, asker: Asker): CommandsAnswer {
    const sight = new Sight(asker)
    const row = this.find(sid, sight)
    const whose = this.whose(row)
    if (!sight.content(whose)) return { commands: [], withheld: 'right' }
    sight.demandReason(whose)
    this.#parts.meet(row.n)
    const commands: (DerivedCommand & { status?: number })[] = []
    const starts = new Map<number, number>()
    for (const seq of this.#terminalChunks(row.n, op)) {
      const found = this.#parts.records.find(seq)
      const frames = found === undefined ? undefined : this.#parts.deriver.frames(found.leaf)
      if (found === undefined || frames === undefined) continue
      const { op: number = 0, t0 = found.leaf.ts } = found.leaf
      const start = starts.get(number) ?? t0
      starts.set(number, start)
      const record = `${seq}-${found.hash.slice(0, 8)}`
      let ts = t0
      for (const { delay, kind, bytes } of frames) {
        ts += delay
        const { command, status: ended } = kind === 'm' ? markerOf(bytes) : {}
        if (command !== undefined)
          commands.push({ op: number, at: Math.max(0, ts - start), ts, ...command, record })
        else if (ended !== undefined) {
          const last = commands.findLast((one) => one.op === number)
          if (last !== undefined) last.status ??= ended
        }
      }
    }
    return { commands }
  }

  #terminalChunks(n: number, op: number | undefined): number[] {
    const one = op === undefined ? '' : 'AND op = ?'
    return this.#parts.index
      .prepare(`SELECT seq FROM chunk WHERE session = ? AND stream = 'tty' ${one} ORDER BY op, seq`)
      .pluck()
      .all(...(op === undefined ? [n] : [n, op])) as number[]
  }

  files(sid: string, asker: Asker): FilesAnswer {
    const sight = new Sight(asker)
    const row = this.find(sid, sight)
    const whose = this.whose(row)
    if (!sight.content(whose)) return { files: [], withheld: 'right' }
    sight.demandReason(whose)
    this.#parts.meet(row.n)
    return { files: this.#entries(row.n, 'sftp.*', 'ssh.*').flatMap((entry) => this.#filesOf(entry, sight)) }
  }

  #filesOf(entry: EntryRow, sight: Sight): FileRow[] {
    const row = this.#parts.rows.row(entry, sight)
    if (row === undefined) return []
    const { records, deriver } = this.#parts
    const ends = records.find(entry.fin ?? row.seq)
    const facts = ends === undefined ? {} : deriver.facts(ends.leaf)
    const common = { op: row.op ?? 0, ts: row.ts, act: row.action, outcome: row.outcome, record: row.record }
    if (!row.action.startsWith('sftp.')) {
      const files = Array.isArray(facts['files']) ? (facts['files'] as Record<string, unknown>[]) : []
      return files.map((file) =>
        present<FileRow>({ ...common, act: 'scp', ...transferOf(file), path: textIn(file, 'path') }),
      )
    }
    const moved = (['read', 'written'] as const).flatMap((direction) => {
      const transfer = facts[direction]
      if (typeof transfer !== 'object' || transfer === null) return []
      const found = transferOf(transfer as Record<string, unknown>)
      return [present<FileRow>({ ...common, path: row.text, direction, ...found })]
    })
    return moved.length > 0 ? moved : [present<FileRow>({ ...common, path: row.text })]
  }

  /** Entries of a session whose action is one of these, in their order. */
  #entries(n: number, ...actions: string[]): EntryRow[] {
    const like = actions.map((action) => `a.value GLOB '${action}'`).join(' OR ')
    return this.#parts.index
      .prepare(
        `SELECT e.* FROM ${ROWS_OF_SESSION} AND e.flags & ${FLAG.quiet} = 0
         AND EXISTS (SELECT 1 FROM name a WHERE a.id = e.action AND (${like})) ORDER BY m.span, e.id`,
      )
      .all(n) as EntryRow[]
  }

  /** Time of a recording's first frame. */
  start(n: number, op: number, stream: string): number {
    return Number(
      this.#parts.index
        .prepare('SELECT t0 FROM chunk WHERE session = ? AND op = ? AND stream = ? ORDER BY seq LIMIT 1')
        .pluck()
        .get(n, op, stream) ?? 0,
    )
  }

  find(sid: string, sight: Sight): IndexedSessionRow {
    const row = this.#parts.index.prepare('SELECT * FROM session WHERE sid = ?').get(sid) as
      | IndexedSessionRow
      | undefined
    // One that may not be seen is as if it were not there.
    if (row === undefined || !sight.metadata(this.whose(row))) {
      throw new NoAnswer('none', `there is no session ${sid} that you may see`)
    }
    return row
  }

  whose(row: Pick<IndexedSessionRow, 'sub' | 'target'>): Whose {
    return { sub: this.#parts.rows.name(row.sub), target: this.#parts.rows.name(row.target) }
  }

  #byNumber(n: number): IndexedSessionRow | undefined {
    return this.#parts.index.prepare('SELECT * FROM session WHERE n = ?').get(n) as
      | IndexedSessionRow
      | undefined
  }

  #shown(row: IndexedSessionRow, sight: Sight): SessionRow {
    const { rows, records, index } = this.#parts
    const roles = index
      .prepare('SELECT value FROM session_role JOIN name ON id = name WHERE session = ? ORDER BY value')
      .pluck()
      .all(row.n) as string[]
    const hash = records.find(row.seq)?.hash ?? ''
    return present<SessionRow>({
      session: row.sid,
      seq: row.seq,
      record: `${row.seq}-${hash.slice(0, 8)}`,
      protocol: PROTOCOLS[row.proto],
      actor: rows.name(row.actor),
      sub: rows.name(row.sub),
      target: rows.name(row.target),
      address: rows.name(row.addr),
      roles,
      client: row.client ?? undefined,
      opened: row.ts,
      closed: row.closed ?? undefined,
      why: row.why ?? undefined,
      operations: row.ops,
      errors: row.errors,
      denied: row.denied,
      terminal: row.terminal === 1,
      sensitive: sight.wantsReason(this.whose(row)),
    })
  }

  #recordings(n: number): RecordingRow[] {
    const found = this.#parts.index
      .prepare(
        `SELECT op, stream, min(seq) AS seq, min(t0) AS start, max(t0) AS last, sum(bytes) AS bytes FROM chunk
         WHERE session = ? GROUP BY op, stream ORDER BY op, stream`,
      )
      .all(n) as {
      op: number
      stream: RecordingRow['stream']
      seq: number
      start: number
      last: number
      bytes: number
    }[]
    return found.map(({ op, stream, seq, start, last, bytes }) => {
      const entry = this.#operation(n, op)
      const size = stream === 'tty' ? this.#sizeAt(seq) : undefined
      return present<RecordingRow>({
        op,
        act: this.#parts.rows.name(entry?.action ?? null) ?? '',
        stream,
        from: start,
        duration: Math.max(entry?.dur ?? 0, last - start),
        bytes,
        columns: size?.columns,
        lines: size?.lines,
      })
    })
  }

  #operation(n: number, op: number): EntryRow | undefined {
    return this.#parts.index
      .prepare(`SELECT e.* FROM ${ROWS_OF_SESSION} AND e.op = ? ORDER BY m.span, e.id LIMIT 1`)
      .get(n, op) as EntryRow | undefined
  }

  #sizeAt(seq: number): { columns: number; lines: number } | undefined {
    const found = this.#parts.records.find(seq)
    return found === undefined ? undefined : this.#parts.deriver.sizeOf(found.leaf)
  }
}

function transferOf(file: Readonly<Record<string, unknown>>): Pick<FileRow, 'bytes' | 'sha256'> {
  const { bytes, sha256 } = file
  return {
    ...(typeof bytes === 'number' ? { bytes } : {}),
    ...(typeof sha256 === 'string' ? { sha256 } : {}),
  }
}

function textIn(file: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = file[name]
  return typeof value === 'string' ? value : undefined
}
