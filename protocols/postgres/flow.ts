/**
 * Collects the steps of one call. Neighbouring ranges of one buffer become one `send`, a view: what merely passes
 * is neither copied nor cut into single messages.
 */
import type { RelayEvent } from '../events.ts'
import type { Side, Step } from '../relay.ts'

export class Flow {
  #steps: Step[] = []
  #to: Side = 'client'
  #bytes: Uint8Array | undefined
  #start = 0
  #end = 0
  #holds = false
  readonly #beforeHold: () => void

  /** `beforeHold` may record more: it runs before an outcome is let go. */
  constructor(beforeHold: () => void) {
    this.#beforeHold = beforeHold
  }

  /** Stands before everything that was passed since the last flush, which is earlier than asked and never later. */
  record(event: RelayEvent): void {
    this.#steps.push({ type: 'record', event })
  }

  pass(to: Side, bytes: Uint8Array, start: number, end: number): void {
    if (this.#bytes === bytes && this.#end === start && this.#to === to) {
      this.#end = end
      return
    }
    this.#flush()
    this.#to = to
    this.#bytes = bytes
    this.#start = start
    this.#end = end
  }

  insert(to: Side, bytes: Uint8Array): void {
    this.pass(to, bytes, 0, bytes.length)
  }

  /** What goes to the client next, or is about to, tells an outcome. */
  hold(): void {
    this.#holds = true
  }

  step(step: Step): void {
    this.#flush()
    this.#steps.push(step)
  }

  /** The steps so far; the next call collects anew. */
  take(): readonly Step[] {
    this.#flush()
    const steps = this.#steps
    this.#steps = []
    return steps
  }

  #flush(): void {
    const bytes = this.#bytes
    if (bytes === undefined) return
    if (this.#holds && this.#to === 'client') {
      this.#beforeHold()
      this.#holds = false
      this.#steps.push({ type: 'hold' })
    }
    const whole = this.#start === 0 && this.#end === bytes.length
    this.#bytes = undefined
    if (this.#end === this.#start) return
    this.#steps.push({
      type: 'send',
      to: this.#to,
      bytes: whole ? bytes : bytes.subarray(this.#start, this.#end),
    })
  }
}
