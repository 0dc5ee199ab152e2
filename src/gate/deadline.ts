/** A limit on a wait, by the gateway's clock. Disposing of it takes the limit back. */
import type { Clock } from '../system/clock.ts'

export interface Deadline extends Disposable {
  readonly signal: AbortSignal
}

export function deadline(clock: Clock, ms: number): Deadline {
  const controller = new AbortController()
  const timer = clock.after(ms, () => controller.abort())
  return { signal: controller.signal, [Symbol.dispose]: () => timer[Symbol.dispose]() }
}
