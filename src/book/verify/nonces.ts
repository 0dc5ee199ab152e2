/**
 * That no nonce can have been used twice under a session's key, checked without the key (FORMAT.md, "Nonces"):
 * what a session's records name is enough, for a payload's nonce is its index.
 */
import type { Ref } from '../format.ts'

/** How far back a record may name a payload again, and so what is remembered of a session. */
export const REPEAT_WINDOW = 256

export interface Nonces {
  /** `first`: nothing has named this payload before; `again`: the same one as before; `wrong`: against the rules. */
  meet(ref: Ref, boots: number): 'first' | 'again' | 'wrong'
}

function same(a: Ref, b: Ref): boolean {
  return a.h === b.h && a.n === b.n && a.t === b.t
}

/** Of a session whose records are all read: first appearances ascend, and none comes after a later boot. */
export class StrictNonces implements Nonces {
  readonly #boots: number
  readonly #window = new Map<number, Ref>()
  #highest = -1

  constructor(boots: number) {
    this.#boots = boots
  }

  meet(ref: Ref, boots: number): 'first' | 'again' | 'wrong' {
    const known = this.#window.get(ref.i)
    if (known !== undefined) return same(known, ref) ? 'again' : 'wrong'
    if (ref.i <= this.#highest || boots !== this.#boots) return 'wrong'
    this.#highest = ref.i
    this.#window.set(ref.i, ref)
    if (this.#window.size > REPEAT_WINDOW)
      for (const oldest of this.#window.keys()) return this.#forget(oldest)
    return 'first'
  }

  #forget(i: number): 'first' {
    this.#window.delete(i)
    return 'first'
  }
}

/**
 * Of a session whose beginning is gone: what its records name may have been named there first, in any order. So
 * only the highest are remembered, and a name that has to be lower than all of them is refused.
 */
export class PartialNonces implements Nonces {
  readonly #highest = new Map<number, Ref>()

  meet(ref: Ref): 'first' | 'again' | 'wrong' {
    const known = this.#highest.get(ref.i)
    if (known !== undefined) return same(known, ref) ? 'again' : 'wrong'
    if (this.#highest.size === REPEAT_WINDOW) {
      const lowest = Math.min(...this.#highest.keys())
      if (ref.i < lowest) return 'wrong'
      this.#highest.delete(lowest)
    }
    this.#highest.set(ref.i, ref)
    return 'first'
  }
}
