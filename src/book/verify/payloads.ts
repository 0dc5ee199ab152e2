/**
 * Payload rows against the hashes in the leaves. What is gone needs a record that lets it be gone; for those by
 * age that depends on where the session closes, so what is missing waits for its session's close.
 */
import { hash } from 'node:crypto'
import type { Ref } from '../format.ts'
import type { Authority } from './authority.ts'
import type { Findings } from './report.ts'
import type { PayloadRows } from './source.ts'

/** Missing payloads of one session that are named one by one. */
const MISSING_SHOWN_MAX = 100

/** What is known of one session's payloads until it closes. */
export interface PayloadTally {
  readonly sid: string
  readonly missing: { readonly i: number; readonly seq: number }[]
  missingMore: number
  present: number
}

export class PayloadCheck {
  readonly #rows: PayloadRows | undefined
  readonly #authority: Authority
  readonly #findings: Findings
  /** By the record that let them go. */
  readonly #erased = new Map<number, number>()
  #checked = 0
  #bytes = 0
  #undeleted = 0
  #unjudged = 0

  constructor(rows: PayloadRows | undefined, authority: Authority, findings: Findings) {
    this.#rows = rows
    this.#authority = authority
    this.#findings = findings
  }

  get checked(): number {
    return this.#checked
  }

  get bytes(): number {
    return this.#bytes
  }

  get erased(): ReadonlyMap<number, number> {
    return this.#erased
  }

  /** Payloads still there although a record erases them. */
  get undeleted(): number {
    return this.#undeleted
  }

  /** Rows that a record may name which was not read. */
  get unjudged(): number {
    return this.#unjudged
  }

  tally(sid: string): PayloadTally {
    return { sid, missing: [], missingMore: 0, present: 0 }
  }

  /** Record `seq` is the first to name this payload. */
  check(tally: PayloadTally, ref: Ref, seq: number): void {
    if (this.#rows === undefined) return
    const { sid } = tally
    const data = this.#rows.take(sid, ref.i)
    const erasedBy = this.#authority.erases(sid, ref.i, seq)
    if (data === undefined) {
      if (erasedBy !== undefined) this.#count(erasedBy, 1)
      else if (tally.missing.length < MISSING_SHOWN_MAX) tally.missing.push({ i: ref.i, seq })
      else tally.missingMore++
      return
    }
    if (erasedBy !== undefined) this.#undeleted++
    else tally.present++
    if (data.length !== ref.n || hash('sha256', data, 'base64') !== ref.h) {
      this.#findings.add('payload', seq, `payload ${ref.i} of ${sid} is not the one that record ${seq} names`)
      return
    }
    this.#checked++
    this.#bytes += data.length
  }

  #count(seq: number, payloads: number): void {
    this.#erased.set(seq, (this.#erased.get(seq) ?? 0) + payloads)
  }

  /** The session closed at `seq`. */
  close(tally: PayloadTally, seq: number): void {
    const erasedBy = this.#authority.erasesClosed(seq)
    if (erasedBy === undefined) {
      this.leave(tally)
      return
    }
    const missing = tally.missing.length + tally.missingMore
    if (missing > 0) this.#count(erasedBy, missing)
    this.#undeleted += tally.present
  }

  /** Nothing more can excuse what is missing in this session. */
  leave({ sid, missing, missingMore }: PayloadTally): void {
    for (const { i, seq } of missing) {
      this.#findings.add('payload-missing', seq, `payload ${i} of ${sid} is gone, and no record lets it be`)
    }
    if (missingMore > 0) {
      this.#findings.add('payload-missing', undefined, `${missingMore} more payloads of ${sid} are gone`)
    }
  }

  /** What no record has named. `isWhole`: all that could name a session's payloads was read. */
  finish(isWhole: (sid: string) => boolean): void {
    for (const { sid, i } of this.#rows?.rest() ?? []) {
      if (isWhole(sid))
        this.#findings.add('payload-orphan', undefined, `no record names payload ${i} of ${sid}`)
      else this.#unjudged++
    }
  }
}
