/**
 * The young generation of the heap, collected by how much has passed through instead of when V8 would.
 *
 * Bytes that are deciphered and enciphered leave memory behind outside the heap, held by small objects that are long
 * dead. V8 waits until 64 MB of it have come together and then looks through the whole heap, with helpers of its own:
 * more than half of what a moved megabyte of SSH cost. The young objects alone give nearly all of it back.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Each is copied several times on its way; what they leave stays well below the 64 MB. */
const PASSED_BYTES_MAX = 7_000_000

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
