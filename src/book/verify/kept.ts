/** The leaves that have outlived pruning, met in their places. */
import type { Findings } from './report.ts'
import type { KeptLeaf } from './source.ts'

export class KeptLeaves {
  readonly #findings: Findings
  #rows: Iterator<KeptLeaf> = [][Symbol.iterator]()
  #row: KeptLeaf | undefined

  constructor(findings: Findings) {
    this.#findings = findings
  }

  start(rows: Iterable<KeptLeaf>): void {
    this.#rows = rows[Symbol.iterator]()
    this.#next()
  }

  #next(): void {
    const { done, value } = this.#rows.next()
    this.#row = done === true ? undefined : value
  }

  /** The leaf that is kept of this record. Asked for every record in turn, so one passed over has no place. */
  at(index: number): Uint8Array | undefined {
    if (this.#row === undefined || this.#row.seq > index) return undefined
    const { seq, leaf } = this.#row
    this.#next()
    if (seq === index) return leaf
    this.#findings.add('prune', seq, `the leaf kept as record ${seq} has no place here`)
    return this.at(index)
  }

  finish(size: number): void {
    if (this.#row !== undefined)
      this.#findings.add('prune', size, `a leaf is kept of record ${this.#row.seq}; there are ${size}`)
  }
}
