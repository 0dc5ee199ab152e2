/** The forms of what the API takes and answers. The console imports the types; the OpenAPI document is made of the rest. */
import { z } from 'zod'

const list = <T extends z.ZodType>(item: T) => z.array(item).readonly()
const count = z.int().min(0)
/** Microseconds since 1970, UTC. */
const micros = z.number().describe('Microseconds since 1970, UTC')
const durationMicros = z.number().describe('Microseconds')

export const PROBLEM = z.object({
  error: z.object({
    code: z.enum([
      'bad-request',
      'bad-query',
      'not-signed-in',
      'bad-credential',
      'code-needed',
      'forbidden',
      'bad-origin',
      'bad-csrf',
      'reason-needed',
      'not-found',
      'gone',
      'too-large',
      'wrong-host',
      'too-many',
      'fault',
      'busy',
    ]),
    what: z.string(),
    why: z.string().optional(),
    next: z.string().optional(),
    record: z.string().optional().describe('The id of the record that tells of it'),
    column: count.optional().describe('Of a search: where in its text, from 1'),
  }),
})
export type ProblemBody = z.output<typeof PROBLEM>

const WITHHELD = z
  .enum(['right', 'reason', 'erased'])
  .describe(
    'Why a recorded text is absent: no right to it, the target asks for a reason, or its payload was erased',
  )
export type Withheld = z.output<typeof WITHHELD>

const PROTOCOL = z.enum(['postgres', 'mysql', 'ssh', 'gateway', 'web']).optional()

export const ROW = z
  .object({
    id: z.number().describe('Orders rows'),
    seq: count,
    hash: z.string(),
    record: z.string().describe('Index and first digits of the hash: 184302-9f2c1b77'),
    ts: micros,
    kind: z.string(),
    action: z.string(),
    session: z.string().optional(),
    op: count.optional(),
    parent: count.optional(),
    actor: z.string().optional(),
    sub: z.string().optional(),
    target: z.string().optional(),
    protocol: PROTOCOL,
    address: z.string().optional(),
    database: z.string().optional(),
    verbs: list(z.string()).optional(),
    tables: list(z.string()).optional(),
    shape: z.string().optional().describe('The same for statements that differ in their literals only'),
    text: z.string().optional(),
    textCut: z.boolean().optional(),
    withheld: WITHHELD.optional(),
    outcome: z.string().optional().describe('Absent while it goes on'),
    code: z.string().optional(),
    rows: count.optional(),
    bytes: count.optional(),
    duration: durationMicros.optional(),
    why: z.string().optional(),
    rule: z.string().optional(),
  })
  .readonly()
export type Row = z.output<typeof ROW>

export const SEARCH = z.object({
  rows: list(ROW),
  next: z.number().optional().describe('Cursor of the next page'),
  size: count.describe("The book's size up to which this speaks"),
  behind: count.describe('Records that are in the book and not yet in the index'),
})
export type SearchAnswer = z.output<typeof SEARCH>

export const FACET_KEYS = [
  'actor',
  'target',
  'verb',
  'table',
  'status',
  'ip',
  'action',
  'proto',
  'db',
  'fp',
] as const
export type FacetKey = (typeof FACET_KEYS)[number]

const FACET = z.object({ value: z.string(), count }).readonly()
export type FacetValue = z.output<typeof FACET>
const HISTOGRAM = z.object({ from: micros, barMicros: durationMicros, counts: list(count) }).readonly()
export type Histogram = z.output<typeof HISTOGRAM>

export const SUMMARY = z.object({
  count,
  complete: z.boolean().describe('False where only the newest million was counted'),
  facets: z.partialRecord(z.enum(FACET_KEYS), list(FACET)).readonly(),
  histogram: HISTOGRAM.optional(),
  size: count,
})
export type SummaryAnswer = z.output<typeof SUMMARY>

export const COMPLETE = z.object({
  from: count,
  to: count,
  choices: list(
    z.object({ text: z.string(), count: count.optional(), about: z.string().optional() }).readonly(),
  ),
})
export type CompleteAnswer = z.output<typeof COMPLETE>

export const SESSION_ROW = z
  .object({
    session: z.string(),
    seq: count,
    record: z.string(),
    protocol: PROTOCOL,
    actor: z.string().optional(),
    sub: z.string().optional(),
    target: z.string().optional(),
    address: z.string().optional(),
    roles: list(z.string()).optional(),
    client: z.string().optional(),
    opened: micros,
    closed: micros.optional().describe('Absent while it is open'),
    why: z.string().optional(),
    operations: count,
    errors: count,
    denied: count,
    terminal: z.boolean(),
    sensitive: z.boolean(),
  })
  .readonly()
export type SessionRow = z.output<typeof SESSION_ROW>

export const SESSIONS = z.object({ sessions: list(SESSION_ROW), next: z.number().optional(), size: count })
export type SessionsAnswer = z.output<typeof SESSIONS>

const RECORDING_ROW = z
  .object({
    op: count,
    act: z.string(),
    stream: z.enum(['tty', 'out', 'in', 'rows']),
    from: micros,
    duration: durationMicros,
    bytes: count,
    columns: count.optional(),
    lines: count.optional(),
  })
  .readonly()
export type RecordingRow = z.output<typeof RECORDING_ROW>

export const SESSION = z.object({
  session: SESSION_ROW,
  who: z.unknown().optional(),
  withheld: WITHHELD.optional(),
  recordings: list(RECORDING_ROW),
})
export type SessionAnswer = z.output<typeof SESSION>

export const TIMELINE = z.object({ rows: list(ROW), next: z.number().optional(), size: count })
export type TimelineAnswer = z.output<typeof TIMELINE>

export const RECORD = z.object({
  status: z.enum(['found', 'differs', 'none', 'pending']),
  row: ROW.optional(),
  leaf: z.string().optional().describe('The leaf as it was hashed'),
  end: z.object({ seq: count, hash: z.string(), leaf: z.string() }).readonly().optional(),
  payloads: list(
    z
      .object({
        type: z.string(),
        text: z.string().optional(),
        bytes: count,
        withheld: WITHHELD.optional(),
      })
      .readonly(),
  ).optional(),
  size: count,
})
export type RecordAnswer = z.output<typeof RECORD>

export const COMMANDS = z.object({
  commands: list(
    z
      .object({
        op: count,
        at: durationMicros,
        ts: micros,
        text: z.string(),
        by: z.string(),
        status: z.int().optional().describe('What the shell said it ended with'),
        record: z.string(),
      })
      .readonly(),
  ),
  withheld: WITHHELD.optional(),
})
export type CommandsAnswer = z.output<typeof COMMANDS>

export const FRAMES = z.object({
  frames: list(
    z
      .object({
        at: durationMicros.describe("Microseconds since the recording's first frame"),
        kind: z.enum(['o', 'e', 'i', 'r', 'm', 'x']),
        data: z.string().describe('base64'),
      })
      .readonly(),
  ),
  next: z.number().optional().describe('Cursor of the next page; absent at the end'),
  erased: count.describe('Pieces whose payload is gone'),
})
export type FramesAnswer = z.output<typeof FRAMES>

export const FILES = z.object({
  files: list(
    z
      .object({
        op: count,
        ts: micros,
        act: z.string(),
        path: z.string().optional(),
        direction: z.enum(['read', 'written']).optional(),
        bytes: count.optional(),
        sha256: z.string().optional(),
        outcome: z.string().optional(),
        record: z.string(),
      })
      .readonly(),
  ),
  withheld: WITHHELD.optional(),
})
export type FilesAnswer = z.output<typeof FILES>

export const OVERVIEW = z.object({
  size: count,
  behind: count,
  from: micros,
  sessions: count,
  open: count,
  operations: count,
  errors: count,
  denied: count,
  failedLogins: count,
  rows: count,
  histogram: HISTOGRAM,
  actors: list(FACET),
  targets: list(FACET),
  verbs: list(FACET),
  attention: list(ROW),
})
export type OverviewAnswer = z.output<typeof OVERVIEW>

export const ME = z.object({
  user: z.string(),
  gateway: z.string(),
  release: z.string(),
  csrf: z.string().optional(),
  /** Which screens there are for this person; each request is judged by itself all the same. */
  sees: z.object({
    others: z.boolean().describe("Others' sessions"),
    verify: z.boolean(),
    end: z.boolean(),
    all: z.boolean().describe('Everything, the configuration too'),
  }),
})
export type Me = z.output<typeof ME>

export const LIVE_SESSIONS = z.object({
  sessions: list(
    z
      .object({
        session: z.string(),
        protocol: z.enum(['postgres', 'mysql', 'ssh']),
        user: z.string(),
        target: z.string(),
        roles: list(z.string()),
        address: z.string(),
        since: z.number().describe('Milliseconds since 1970'),
        lastTraffic: z.number(),
        idle: z.boolean(),
        mayEnd: z.boolean(),
      })
      .readonly(),
  ),
})
export type LiveSession = z.output<typeof LIVE_SESSIONS>['sessions'][number]

export const REACH = z.object({
  reach: list(
    z
      .object({
        user: z.string(),
        target: z.string(),
        type: z.enum(['postgres', 'mysql', 'ssh']),
        role: z.string(),
        group: z.string().optional(),
        standing: z.enum(['holds', 'other-database', 'expired', 'outside-hours']),
        limits: z.string(),
        line: z.string(),
      })
      .readonly(),
  ),
  users: list(z.object({ user: z.string(), groups: list(z.string()), kind: z.string() }).readonly()),
  targets: list(
    z.object({ target: z.string(), type: z.string(), labels: z.record(z.string(), z.string()) }).readonly(),
  ),
})
export type ReachAnswer = z.output<typeof REACH>

export const WHY = z.object({ allowed: z.boolean(), lines: list(z.string()) })
export type WhyAnswer = z.output<typeof WHY>

export const MY_TARGETS = z.object({
  targets: list(
    z
      .object({
        target: z.string(),
        type: z.enum(['postgres', 'mysql', 'ssh']),
        roles: list(z.string()),
        limits: list(z.string()),
        usable: z.boolean().describe('Whether it may be used at this hour'),
        ways: list(z.object({ name: z.string(), text: z.string() }).readonly()),
      })
      .readonly(),
  ),
})
export type MyTargets = z.output<typeof MY_TARGETS>

export const BOOK = z.object({
  origin: z.string(),
  size: count,
  head: z.string().describe('The newest signed checkpoint'),
  vkey: z.string().describe('The first key as this gateway has it; compare it with the one kept elsewhere'),
  state: z.enum(['open', 'low', 'suspended', 'failed']),
  first: count.describe('Records below have been removed in order'),
})
export type BookAnswer = z.output<typeof BOOK>

export const CHECKPOINTS = z.object({
  checkpoints: list(z.object({ size: count, note: z.string() }).readonly()),
  next: z.number().optional(),
})
export type CheckpointsAnswer = z.output<typeof CHECKPOINTS>

export const SETTINGS = z.object({
  effective: z.string().describe('The configuration in force as JSON; secrets by their reference alone'),
  release: z.string(),
  listening: list(z.object({ name: z.string(), type: z.string(), address: z.string() }).readonly()),
})
export type Settings = z.output<typeof SETTINGS>

/** What a page is told over its WebSocket. */
export type LiveSaid =
  | { readonly type: 'sessions'; readonly id: number; readonly sessions: readonly LiveSession[] }
  | { readonly type: 'rows'; readonly id: number; readonly rows: readonly Row[] }
  /** More came than could be sent: ask again from the last row. */
  | { readonly type: 'gap'; readonly id: number }
  | ({ readonly type: 'problem'; readonly id: number } & ProblemBody)
