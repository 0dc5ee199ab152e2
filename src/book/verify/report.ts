/** What a verification says: findings, what was counted, and what nobody could have established this way. */

export type FindingCode =
  | 'canonical'
  | 'chain'
  | 'checkpoint'
  | 'commitment'
  | 'decrypt'
  | 'epoch'
  | 'format'
  | 'gap'
  | 'head'
  | 'nonce'
  | 'open-op'
  | 'origin'
  | 'payload'
  | 'payload-missing'
  | 'payload-orphan'
  | 'prune'
  | 'root'
  | 'schema'
  | 'seq'
  | 'session'
  | 'signature'
  | 'silence'
  | 'sqlite'
  | 'stale'
  | 'tile'
  | 'time'
  | 'truncated'
  | 'unsigned-tail'

export interface Finding {
  readonly code: FindingCode
  /** The first record that it is about, where it is about one. */
  readonly seq?: number
  readonly text: string
}

/** Findings kept to be shown; beyond them only their number counts on. */
export const FINDINGS_MAX = 1_000

export class Findings {
  readonly #list: Finding[] = []
  readonly #counts = new Map<FindingCode, number>()
  #firstBroken: number | undefined

  add(code: FindingCode, seq: number | undefined, text: string): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1)
    if (this.#list.length < FINDINGS_MAX)
      this.#list.push(seq === undefined ? { code, text } : { code, seq, text })
    if (seq !== undefined && seq < (this.#firstBroken ?? Number.POSITIVE_INFINITY)) this.#firstBroken = seq
  }

  get list(): readonly Finding[] {
    return this.#list
  }

  get none(): boolean {
    return this.#counts.size === 0
  }

  get counts(): Readonly<Partial<Record<FindingCode, number>>> {
    return Object.fromEntries(this.#counts)
  }

  get firstBroken(): number | undefined {
    return this.#firstBroken
  }
}

/** Something that this verification could not establish, for a reason that is no finding. */
export interface Limit {
  readonly code:
    | 'clock'
    | 'durability'
    | 'erased'
    | 'from'
    | 'gap'
    | 'integrity-check'
    | 'journal'
    | 'key'
    | 'open-op'
    | 'outside'
    | 'payload-bytes'
    | 'payload-rows'
    | 'plaintext'
    | 'pruned'
    | 'suspended'
  readonly text: string
}

export interface Report {
  readonly origin: string
  /** Records there are, and the first of them whose leaf was read. */
  readonly size: number
  readonly first: number
  readonly checkpoints: { readonly kept: number; readonly outside: number }
  /** The keys of the book in their order: from which size on each of them signs. */
  readonly keys: readonly { readonly from: number; readonly id: string }[]
  readonly payloads: { readonly checked: number; readonly bytes: number; readonly erased: number }
  readonly sessions: { readonly opened: number; readonly open: number }
  readonly firstBroken: number | undefined
  /** The last checkpoint before anything was found, and the time of its last record in microseconds. */
  readonly lastGood: { readonly size: number; readonly ts: number | undefined } | undefined
  readonly findings: readonly Finding[]
  readonly counts: Readonly<Partial<Record<FindingCode, number>>>
  readonly limits: readonly Limit[]
  /** Why not everything could be read. */
  readonly error: string | undefined
}

export const EXIT = { ok: 0, error: 1, usage: 2, broken: 4, evidence: 5 } as const

/** A finding outweighs an error, so that damage cannot be hidden behind unreadable bytes. */
export function exitCode(report: Report, requireEvidence = false): number {
  if (Object.keys(report.counts).length > 0) return EXIT.broken
  if (report.error !== undefined) return EXIT.error
  const missing = report.limits.some(({ code }) => code === 'key' || code === 'outside')
  return requireEvidence && missing ? EXIT.evidence : EXIT.ok
}
