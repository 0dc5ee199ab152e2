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

  /** The leaf that is kept of this record, or of one passed over, whose hash will not be the one of this. */
  at(index: number): Uint8Array | undefined {
    if (this.#row === undefined || this.#row.seq > index) return undefined
    const { leaf } = this.#row
    this.#next()
    return leaf
  }

  finish(size: number): void {
    if (this.#row !== undefined)
      this.#findings.add('prune', size, `a leaf is kept of record ${this.#row.seq}; there are ${size}`)
  }
}
