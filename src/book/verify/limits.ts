/**
 * What a verification could not establish. It is part of every report: an "OK" that is silent about it says more
 * than was checked.
 */
import type { Leaf } from '../format.ts'
import type { Limit } from './report.ts'
import type { OpenOperation } from './sessions.ts'

/** Spans of each sort that are named one by one. */
const SPANS_SHOWN_MAX = 20

/** Times in which, by its own word, the gateway recorded nothing or took no work. */
export class Spans {
  readonly #gaps: string[] = []
  readonly #suspensions: string[] = []
  #gapCount = 0
  #suspensionCount = 0
  #suspended: Leaf | undefined

  see(leaf: Leaf): void {
    if (leaf.kind === 'gap') {
      const operations = leaf.ops === undefined ? 'an unknown number of' : String(leaf.ops)
      const target = leaf.tgt === undefined ? 'any target' : leaf.tgt
      const text = `${time(leaf.from)} to ${time(leaf.to)} (${leaf.why}): ${operations} operations on ${target}, record ${leaf.seq}`
      if (++this.#gapCount <= SPANS_SHOWN_MAX) this.#gaps.push(text)
    }
    if (leaf.kind === 'suspend') this.#suspended ??= leaf
    // A process that starts takes work, or says anew that it does not.
    if (leaf.kind === 'resume' || (leaf.kind === 'boot' && this.#suspended !== undefined)) this.#end(leaf)
  }

  #end(leaf: Leaf): void {
    const why = this.#suspended?.why ?? leaf.why
    const text = `${time(this.#suspended?.ts)} to ${time(leaf.ts)} (${why}), record ${leaf.seq}`
    if (++this.#suspensionCount <= SPANS_SHOWN_MAX) this.#suspensions.push(text)
    this.#suspended = undefined
  }

  list(): Limit[] {
    if (this.#suspended !== undefined) {
      this.#suspensionCount++
      this.#suspensions.push(
        `since ${time(this.#suspended.ts)} (${this.#suspended.why}), record ${this.#suspended.seq}`,
      )
    }
    const limits: Limit[] = []
    if (this.#gapCount > 0)
      limits.push({ code: 'gap', text: `work went on unrecorded: ${join(this.#gaps, this.#gapCount)}` })
    if (this.#suspensionCount > 0) {
      limits.push({
        code: 'suspended',
        text: `new work was refused: ${join(this.#suspensions, this.#suspensionCount)}`,
      })
    }
    return limits
  }
}

function join(shown: readonly string[], count: number): string {
  const more = count > shown.length ? `; and ${count - shown.length} more` : ''
  return shown.join('; ') + more
}

/** Microseconds since 1970 as a date; a leaf may hold times beyond what a date can say. */
export function time(ts: number | undefined): string {
  if (ts === undefined) return 'an unknown time'
  const date = new Date(Math.floor(ts / 1000))
  return Number.isNaN(date.getTime())
    ? `${ts} µs`
    : `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

export interface Circumstances {
  readonly size: number
  readonly keyFromOutside: boolean
  readonly newestOutside: number | undefined
  readonly open: { readonly count: number; readonly shown: readonly OpenOperation[] }
  readonly stopped: boolean
  readonly integrityChecked: boolean
  readonly from: number
  readonly pruned: { readonly below: number; readonly by: number | undefined } | undefined
  readonly erased: ReadonlyMap<number, number>
  readonly undeleted: number
  readonly unjudged: number
  readonly hasPayloads: boolean
  readonly spans: Spans
}

export function listLimits(at: Circumstances): Limit[] {
  const limits: (Limit | false)[] = [
    !at.keyFromOutside && {
      code: 'key',
      text: 'the key was found beside the book: this proves nothing against a whole book exchanged, until it is compared with one kept elsewhere',
    },
    outside(at.newestOutside, at.size),
    at.open.count > 0 && { code: 'open-op', text: openOperations(at.open) },
    !at.stopped && {
      code: 'journal',
      text: 'the book does not end with a stop: records may be in the journal that are not yet in the book',
    },
    !at.integrityChecked && {
      code: 'integrity-check',
      text: 'the file was not checked by SQLite itself (PRAGMA integrity_check)',
    },
    at.from > 0 && {
      code: 'from',
      text: `the contents of the records below ${at.from}, and sessions begun there: taken by their hashes`,
    },
    at.pruned !== undefined && {
      code: 'pruned',
      text: `the contents of the records below ${at.pruned.below}, removed as record ${at.pruned.by ?? '?'} says`,
    },
    ...erasures(at),
    at.unjudged > 0 && {
      code: 'payload-rows',
      text: `${at.unjudged} payloads of sessions whose records were not all read`,
    },
    !at.hasPayloads && { code: 'payload-bytes', text: 'the payloads: this copy has none' },
    ...at.spans.list(),
    { code: 'plaintext', text: 'what the payloads say: they are encrypted, and no key was used' },
    { code: 'clock', text: 'times between outside confirmations: they rest on the clock of the gateway' },
    {
      code: 'durability',
      text: 'what a power cut may have taken before it was durable, within what the durability modes allow',
    },
  ]
  return limits.filter((limit) => limit !== false)
}

function outside(newest: number | undefined, size: number): Limit | false {
  const remains = 'an older copy, a second history or a cut tail by whoever holds the key'
  if (newest === undefined)
    return { code: 'outside', text: `no checkpoint from outside: ${remains} remain possible` }
  return (
    newest < size && {
      code: 'outside',
      text: `no checkpoint from outside since size ${newest}: beyond it ${remains} remain possible`,
    }
  )
}

function openOperations({ count, shown }: Circumstances['open']): string {
  const names = shown.map(({ sid, op, seq }) => `${sid}.${op} (record ${seq})`)
  return `the outcome of ${count} operations that are open: ${join(names, Math.max(count, names.length))}`
}

function erasures({ erased, undeleted }: Circumstances): Limit[] {
  const byRecord = [...erased].sort(([a], [b]) => a - b)
  const limits: Limit[] = byRecord.map(([seq, count]) => ({
    code: 'erased',
    text: `${count} payloads, erased by record ${seq}`,
  }))
  if (undeleted > 0)
    limits.push({
      code: 'erased',
      text: `${undeleted} payloads are still there although a record erases them`,
    })
  return limits
}
