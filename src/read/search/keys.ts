/** What can be searched by. One table for parsing, compiling, completing and for what a reader may use. */

export type KeyKind =
  /** A name with globs, looked up among those that occur. */
  | 'name'
  /** One of a list. */
  | 'word'
  | 'number'
  | 'size'
  | 'duration'
  | 'ts'
  | 'since'
  | 'outside'
  | 'address'
  | 'session'
  | 'record'
  | 'text'

export interface Key {
  readonly kind: KeyKind
  readonly about: string
  /** Derived from what statements, commands or recordings say: for those who may read that. */
  readonly content?: true
  readonly words?: readonly string[]
}

export const OUTCOMES = ['ok', 'error', 'denied', 'aborted', 'unknown', 'skipped'] as const
export const PROTOCOLS = ['postgres', 'mysql', 'ssh', 'gateway', 'web'] as const

export const KEYS = {
  actor: { kind: 'name', about: 'person or service' },
  role: { kind: 'name', about: 'role in force when the session was opened' },
  ip: { kind: 'address', about: "the client's address, or a network" },
  target: { kind: 'name', about: 'target' },
  db: { kind: 'name', about: 'database' },
  table: { kind: 'name', about: 'table, with or without its schema', content: true },
  proto: { kind: 'word', about: 'protocol', words: PROTOCOLS },
  action: { kind: 'name', about: 'what was done: session.start, auth.failed, audit.*' },
  verb: { kind: 'name', about: 'what a statement does: SELECT, DELETE', content: true },
  status: { kind: 'word', about: 'outcome', words: OUTCOMES },
  session: { kind: 'session', about: 'id of a session' },
  record: { kind: 'record', about: 'index of a record, with its hash or without' },
  trace: { kind: 'name', about: 'trace id' },
  fp: { kind: 'name', about: 'shape of a statement', content: true },
  rows: { kind: 'number', about: 'rows returned or changed' },
  bytes: { kind: 'size', about: 'bytes carried' },
  duration: { kind: 'duration', about: 'how long it took' },
  ts: { kind: 'ts', about: 'time or span of time, UTC' },
  since: { kind: 'since', about: 'from then on: 24h, now/d, 2026-11-01' },
  outside: { kind: 'outside', about: 'time of day, UTC: 08:00-19:00' },
  is: { kind: 'word', about: 'a state', words: ['live', 'denied', 'admin'] },
  has: {
    kind: 'word',
    about: 'something recorded with it',
    words: ['params', 'no-where', 'recording', 'trace'],
  },
  text: { kind: 'text', about: 'words of a statement, command, path or transcript', content: true },
} as const satisfies Readonly<Record<string, Key>>

export type KeyName = keyof typeof KEYS

/** `has:` by its words: only these tell of contents. */
export const CONTENT_STATES: ReadonlySet<string> = new Set(['params', 'no-where'])

/** Keys of the reference that nothing recorded can answer yet. */
export const ABSENT: Readonly<Record<string, string>> = {
  group: 'groups are not recorded; search by role: or actor:',
  host: 'names of clients are not recorded; search by ip:',
  commit: 'no deployment is recorded yet',
}

export function isKey(name: string): name is KeyName {
  return Object.hasOwn(KEYS, name)
}

/** The known word nearest to `word`, where one is near. */
export function nearestWord(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = 3
  for (const candidate of known) {
    const far = distance(word, candidate)
    if (far < least && far < Math.max(word.length, candidate.length) - 1) {
      least = far
      best = candidate
    }
  }
  return best
}

/** Letters to change, add or leave out, two exchanged ones counting once. Both are short. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  const cell = (i: number, j: number): number => rows[i]?.[j] ?? 0
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    rows.push(row)
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      row[j] = Math.min(cell(i - 1, j) + 1, (row[j - 1] ?? 0) + 1, cell(i - 1, j - 1) + same)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) row[j] = Math.min(row[j] ?? 0, cell(i - 2, j - 2) + 1)
    }
  }
  return cell(a.length, b.length)
}
