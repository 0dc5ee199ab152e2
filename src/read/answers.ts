/**
 * What readers of the book are told, as plain JSON. Recorded texts are hostile: whoever shows them makes control
 * characters visible and never takes them for markup.
 */

export const PAGE_ROWS_MAX = 1000
export const FACET_VALUES_MAX = 50
export const HISTOGRAM_BARS_MAX = 200
/** Of a text in a row; the record has it whole. */
export const ROW_TEXT_MAX = 2000
/** What counts and shares are of, the newest ones, where a query finds more. */
export const SUMMARY_ROWS_MAX = 1_000_000

/** Microseconds since 1970, UTC, as in the book. */
export type Micros = number

/** Why a text that is recorded is not in the answer. */
export type Withheld =
  /** The asker may see that something was run, and not what. */
  | 'right'
  /** The target is sensitive, and no reason was given. */
  | 'reason'
  /** Its payload was erased, or its session's key. */
  | 'erased'

/** One thing that happened: a statement, a command, a login, a session's opening, an act of an administrator. */
export interface Row {
  /** Orders rows; a cursor. Several rows may stand on one record: a terminal's commands. */
  readonly id: number
  readonly seq: number
  /** Of the record, in hex. */
  readonly hash: string
  /** `184302-9f2c1b77`: index and the hash's first digits, for links and proofs. */
  readonly record: string
  readonly ts: Micros
  /** The record's kind, see FORMAT.md; `command` for one that was derived from a terminal. */
  readonly kind: string
  /** In the words of the search language: `db.query`, `session.start`, `auth.failed`, `audit.search`. */
  readonly action: string
  readonly session?: string
  readonly op?: number
  readonly parent?: number
  /** The name of the person, or the pseudonym where the name is gone. */
  readonly actor?: string
  readonly sub?: string
  readonly target?: string
  readonly protocol?: 'postgres' | 'mysql' | 'ssh' | 'gateway' | 'web'
  readonly address?: string
  readonly database?: string
  /** Outer before inner; none where the text is none of SQL. */
  readonly verbs?: readonly string[]
  readonly tables?: readonly string[]
  /** Same for texts that differ in their literals only. */
  readonly shape?: string
  /** Statement, command or path, at most ROW_TEXT_MAX characters. */
  readonly text?: string
  readonly textCut?: boolean
  readonly withheld?: Withheld
  /** Absent while it goes on. */
  readonly outcome?: string
  readonly code?: string
  readonly rows?: number
  readonly bytes?: number
  /** Microseconds. */
  readonly duration?: number
  /** Why a session ended, what was refused, how often. */
  readonly why?: string
  readonly rule?: string
}

export interface SearchAnswer {
  readonly rows: readonly Row[]
  /** The cursor of the next page; absent on the last. */
  readonly next?: number
  /** The book's size up to which the answer speaks. */
  readonly size: number
  /** Whether the index is behind the book by that many records: they are not in the answer. */
  readonly behind: number
}

export type FacetKey =
  | 'actor'
  | 'target'
  | 'verb'
  | 'table'
  | 'status'
  | 'ip'
  | 'action'
  | 'proto'
  | 'db'
  | 'fp'

export interface FacetValue {
  readonly value: string
  readonly count: number
}

export interface SummaryAnswer {
  readonly count: number
  /** False where only the newest SUMMARY_ROWS_MAX rows were counted. */
  readonly complete: boolean
  /** Most frequent first. A key that the asker may not search by is absent. */
  readonly facets: { readonly [Key in FacetKey]?: readonly FacetValue[] }
  readonly histogram?: {
    readonly from: Micros
    readonly barMicros: number
    readonly counts: readonly number[]
  }
  readonly size: number
}

export interface CompleteAnswer {
  /** `from` to `to` is replaced by one of the texts. */
  readonly from: number
  readonly to: number
  readonly choices: readonly { readonly text: string; readonly count?: number; readonly about?: string }[]
}

export interface SessionRow {
  readonly session: string
  /** The index of its opening record; a cursor. */
  readonly seq: number
  readonly record: string
  readonly protocol: Row['protocol']
  readonly actor?: string
  readonly sub?: string
  readonly target?: string
  readonly address?: string
  readonly roles?: readonly string[]
  /** What the client says of itself. */
  readonly client?: string
  readonly opened: Micros
  /** Absent while it is open. */
  readonly closed?: Micros
  readonly why?: string
  readonly operations: number
  readonly errors: number
  readonly denied: number
  /** Whether there is a terminal to be played. */
  readonly terminal: boolean
  /** Whether opening it asks for a reason. */
  readonly sensitive: boolean
}

export interface SessionsAnswer {
  readonly sessions: readonly SessionRow[]
  readonly next?: number
  readonly size: number
}

export interface SessionAnswer {
  readonly session: SessionRow
  /** As the client claims, and as was proved. */
  readonly who?: unknown
  readonly withheld?: Withheld
  /** Operations that have a recording, oldest first. */
  readonly recordings: readonly RecordingRow[]
}

export interface RecordingRow {
  readonly op: number
  readonly act: string
  readonly stream: 'tty' | 'out' | 'in' | 'rows'
  readonly from: Micros
  readonly duration: number
  readonly bytes: number
  /** Size of the terminal at its beginning. */
  readonly columns?: number
  readonly lines?: number
}

export interface TimelineAnswer {
  readonly rows: readonly Row[]
  readonly next?: number
  readonly size: number
}

export interface RecordAnswer {
  /** `differs`: the digits in the link are not those of the record's hash: link or record was changed. */
  readonly status: 'found' | 'differs' | 'none' | 'pending'
  readonly row?: Row
  /** The leaf as it was hashed. */
  readonly leaf?: string
  /** The leaf of its outcome, where that is another. */
  readonly end?: { readonly seq: number; readonly hash: string; readonly leaf: string }
  readonly payloads?: readonly RecordPayload[]
  readonly size: number
}

export interface RecordPayload {
  readonly type: string
  /** UTF-8 as well as it can be read; absent where withheld. */
  readonly text?: string
  readonly bytes: number
  readonly withheld?: Withheld
}

export interface Frame {
  /** Microseconds since the recording's first frame. */
  readonly at: number
  /** o output, e error output, i input, r size "80x24", m marker (JSON), x exit status */
  readonly kind: 'o' | 'e' | 'i' | 'r' | 'm' | 'x'
  /** base64 */
  readonly data: string
}

export interface FramesAnswer {
  readonly frames: readonly Frame[]
  /** Ask again with it, also when there was nothing yet and the recording goes on; absent at the end. */
  readonly next?: number
  /** Chunks whose payload is gone. */
  readonly erased: number
}

export interface DerivedCommand {
  readonly op: number
  /** Microseconds since the recording's first frame. */
  readonly at: number
  readonly ts: Micros
  readonly text: string
  readonly by: string
  /** What the shell said it ended with, where it did. */
  readonly status?: number
  readonly record: string
}

export interface CommandsAnswer {
  readonly commands: readonly DerivedCommand[]
  readonly withheld?: Withheld
}

export interface FileRow {
  readonly op: number
  readonly ts: Micros
  /** `sftp.open`, `scp`, … */
  readonly act: string
  readonly path?: string
  readonly direction?: 'read' | 'written'
  readonly bytes?: number
  readonly sha256?: string
  readonly outcome?: string
  readonly record: string
}

export interface FilesAnswer {
  readonly files: readonly FileRow[]
  readonly withheld?: Withheld
}

export interface FollowAnswer {
  readonly rows: readonly Row[]
  /** Ask again with it. */
  readonly cursor: number
}

export interface OverviewAnswer {
  readonly size: number
  readonly behind: number
  readonly from: Micros
  readonly sessions: number
  readonly open: number
  readonly operations: number
  readonly errors: number
  readonly denied: number
  readonly failedLogins: number
  readonly rows: number
  /** Operations over time, in bars of equal width. */
  readonly histogram: {
    readonly from: Micros
    readonly barMicros: number
    readonly counts: readonly number[]
  }
  readonly actors: readonly FacetValue[]
  readonly targets: readonly FacetValue[]
  readonly verbs: readonly FacetValue[]
  /** What somebody should look at, newest first: refusals, failures, gaps, crashes. */
  readonly attention: readonly Row[]
}

export interface ProofAnswer {
  readonly seq: number
  readonly hash: string
  /** JSON of FORMAT.md, 10.2. */
  readonly proof: string
}

export interface EvidenceAnswer {
  /** Lines of evidence.jsonl, see evidence.ts. */
  readonly lines: readonly string[]
  /** Of the checkpoint that all proofs stand under. */
  readonly size: number
  readonly next?: number
}

export interface StateAnswer {
  readonly origin: string
  readonly size: number
  readonly head: string
  readonly indexed: number
  readonly rebuilding: boolean
}

export interface Answers {
  readonly search: SearchAnswer
  readonly summary: SummaryAnswer
  readonly complete: CompleteAnswer
  readonly sessions: SessionsAnswer
  readonly session: SessionAnswer
  readonly timeline: TimelineAnswer
  readonly record: RecordAnswer
  readonly frames: FramesAnswer
  readonly commands: CommandsAnswer
  readonly files: FilesAnswer
  readonly follow: FollowAnswer
  readonly overview: OverviewAnswer
  readonly proof: ProofAnswer
  readonly evidence: EvidenceAnswer
  readonly state: StateAnswer
}
