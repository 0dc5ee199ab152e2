/**
 * The young generation of the heap, collected by how much has passed through instead of when V8 would.
 *
 * Bytes that are deciphered and enciphered leave memory behind outside the heap, held by small objects that are long
 * dead. V8 waits until 64 MB of it have come together and then looks through the whole heap, with helpers of its own:
 * more than half of what a moved megabyte of SSH cost. The young objects alone give nearly all of it back.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** As a share of what was alive when V8 last looked through everything. */
const GROWTH_PERCENT = 100

/** Each leaves three to five behind on its way; that stays well below what makes V8 look through everything. */
const PASSED_BYTES_MAX = 3_500_000

export class Nursery {
  readonly #collect: () => void
  #passed = 0

  constructor(collect: () => void) {
    this.#collect = collect
  }

  /** So many bytes have come in, from whichever side. */
  passed(bytes: number): void {
    this.#passed += bytes
    if (this.#passed < PASSED_BYTES_MAX) return
    this.#passed = 0
    this.#collect()
  }
}

/** V8's own collection of the young, which only its flag gives out; without one, V8 does as it always does. */
export function youngCollection(): () => void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('globalThis.gc')
  setFlagsFromString('--no-expose-gc')
  if (typeof collect !== 'function') return () => {}
  return () => void collect({ type: 'minor', execution: 'sync' })
}

/**
 * What the old generation may grow by, memory outside the heap included, before V8 looks through all of it. By itself
 * V8 chooses that anew each time, and the less the more time collection took: down to a tenth. One round of the young
 * leaves as much outside, so every round began to look through everything, which took time, and it went on like that.
 */
export function growSteadily(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`)
}
