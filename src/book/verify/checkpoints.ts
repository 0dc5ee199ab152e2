/**
 * The checkpoints of a book, its head and those kept elsewhere, each judged when the walk is at its size: origin,
 * signatures of its epoch, and the root computed from the records.
 */
import { type Checkpoint, CheckpointError, parseCheckpoint } from '../checkpoint.ts'
import { sameHash } from '../tree.ts'
import type { Epochs } from './epochs.ts'
import type { Findings } from './report.ts'
import type { KeptCheckpoint, Source } from './source.ts'

/** A checkpoint that somebody has kept outside the book. */
export interface OutsideCheckpoint {
  /** What a person calls it. */
  readonly name: string
  readonly note: Uint8Array
  /** It lies beside the book: whoever exchanges one exchanges both, so it must agree and is no evidence. */
  readonly beside?: boolean
}

/** Where the walk is: the records so far, their root where it can be known, and the time of the last. */
export interface Standpoint {
  readonly size: number
  readonly root: () => Uint8Array | undefined
  readonly ts: number | undefined
}

interface Waiting {
  readonly name: string
  readonly role: 'kept' | 'head' | 'outside' | 'beside'
  readonly checkpoint: Checkpoint
}

export class Checkpoints {
  readonly #origin: string
  readonly #epochs: Epochs
  readonly #findings: Findings
  #rows: Iterator<KeptCheckpoint> = [][Symbol.iterator]()
  /** Head and outside ones by size; those done are taken off the front. */
  #loose: Waiting[] = []
  #head: Checkpoint | undefined
  #row: Waiting | undefined
  #rowSize = -1
  readonly #valid = { kept: 0, head: 0, outside: 0, beside: 0 }
  #newestOutside: number | undefined
  #lastGood: { readonly size: number; readonly ts: number | undefined } | undefined

  constructor(origin: string, epochs: Epochs, findings: Findings) {
    this.#origin = origin
    this.#epochs = epochs
    this.#findings = findings
  }

  start(source: Source, outside: readonly OutsideCheckpoint[]): void {
    if (source.head === undefined) this.#findings.add('head', undefined, 'there is no head')
    const head = source.head === undefined ? undefined : this.#parse('the head', 'head', source.head)
    this.#head = head?.checkpoint
    const given = outside.map(({ name, note, beside }) =>
      this.#parse(name, beside === true ? 'beside' : 'outside', note),
    )
    this.#loose = [head, ...given]
      .filter((waiting) => waiting !== undefined)
      .sort((a, b) => a.checkpoint.size - b.checkpoint.size)
    this.#rows = source.checkpoints()[Symbol.iterator]()
    this.#row = this.#readRow()
  }

  get counts(): { readonly kept: number; readonly outside: number } {
    return { kept: this.#valid.kept, outside: this.#valid.outside }
  }

  get newestOutside(): number | undefined {
    return this.#newestOutside
  }

  get lastGood(): { readonly size: number; readonly ts: number | undefined } | undefined {
    return this.#lastGood
  }

  #parse(name: string, role: Waiting['role'], note: Uint8Array): Waiting | undefined {
    try {
      return { name, role, checkpoint: parseCheckpoint(note) }
    } catch (cause) {
      if (!(cause instanceof CheckpointError)) throw cause
      this.#findings.add('checkpoint', undefined, `${name}: ${cause.message}`)
      return undefined
    }
  }

  /** The next kept checkpoint that can be read and stands where it says. */
  #readRow(): Waiting | undefined {
    for (let item = this.#rows.next(); item.done !== true; item = this.#rows.next()) {
      const { size, note } = item.value
      const row = this.#parse(`the kept checkpoint of size ${size}`, 'kept', note)
      if (row === undefined) continue
      if (row.checkpoint.size === size && size > this.#rowSize) {
        this.#rowSize = size
        return row
      }
      this.#findings.add('checkpoint', undefined, `${row.name} is of size ${row.checkpoint.size}`)
    }
    return undefined
  }

  /** Whether there is anything to judge at this size: asked for every record, so that little is done for most. */
  isDue(size: number): boolean {
    if (this.#epochs.changing) return true
    const row = this.#row?.checkpoint.size ?? Number.POSITIVE_INFINITY
    return Math.min(row, this.#loose[0]?.checkpoint.size ?? row) <= size
  }

  /** Judges what is of this size. */
  at(standpoint: Standpoint): void {
    const { size } = standpoint
    let changed = false
    while (this.#row !== undefined && this.#row.checkpoint.size <= size) {
      const { valid, byNext } = this.#judge(this.#row, standpoint)
      changed ||= valid && byNext && this.#row.checkpoint.size === size
      this.#row = this.#readRow()
    }
    for (
      let [loose] = this.#loose;
      loose !== undefined && loose.checkpoint.size <= size;
      [loose] = this.#loose
    ) {
      this.#loose.shift()
      if (this.#judge(loose, standpoint).valid && loose.role === 'outside')
        this.#newestOutside = loose.checkpoint.size
    }
    if (!this.#epochs.changing) return
    if (!changed) {
      const text = `no kept checkpoint of size ${size} has the signatures of the old and the new key`
      this.#findings.add('epoch', size - 1, text)
    }
    this.#epochs.change(size)
  }

  #judge(
    { name, role, checkpoint }: Waiting,
    { size, root, ts }: Standpoint,
  ): { valid: boolean; byNext: boolean } {
    const refuse = { valid: false, byNext: false }
    if (checkpoint.origin !== this.#origin) {
      this.#findings.add('origin', undefined, `${name} is of ${JSON.stringify(checkpoint.origin)}`)
      return refuse
    }
    const standing = this.#epochs.judge(checkpoint)
    if (standing.verdict !== 'valid') {
      this.#findings.add(standing.verdict, undefined, `${name} ${standing.text}`)
      return refuse
    }
    // Sizes are passed over only where leaves and their stored hashes are gone, which is a finding already.
    const computed = checkpoint.size === size ? root() : undefined
    if (computed === undefined) return refuse
    if (!sameHash(computed, checkpoint.root)) {
      this.#findings.add('root', undefined, `${name} has another root than the records below ${size}`)
      return refuse
    }
    this.#valid[role]++
    if (this.#findings.none) this.#lastGood = { size, ts }
    return { valid: true, byNext: standing.byNext }
  }

  /** The walk has met all records: what is signed beyond them has been cut off, what is beyond the head is unsigned. */
  finish(size: number): void {
    for (; this.#row !== undefined; this.#row = this.#readRow()) this.#missing(this.#row, size)
    for (const loose of this.#loose) this.#missing(loose, size)
    if (this.#head !== undefined && this.#head.size < size) {
      this.#findings.add(
        'unsigned-tail',
        this.#head.size,
        `the head ends at ${this.#head.size}, the records at ${size}`,
      )
    }
  }

  #missing({ name, checkpoint }: Waiting, size: number): void {
    if (checkpoint.origin !== this.#origin) {
      this.#findings.add('origin', undefined, `${name} is of ${JSON.stringify(checkpoint.origin)}`)
      return
    }
    // The key of a size beyond the end may have been named by a record that is gone as well.
    const signed = this.#epochs.isKnown(checkpoint) ? '' : ', under a key that no record here names'
    this.#findings.add(
      'truncated',
      size,
      `${name} is signed for ${checkpoint.size} records${signed}; there are ${size}`,
    )
  }
}
