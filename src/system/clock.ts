/** Time, as an argument: whoever needs it is handed a Clock, and tests hand in one that they move themselves. */
import { microseconds } from './microseconds.ts'

export interface Clock {
  /** Milliseconds since 1970 UTC, as the machine has it: it may jump, so it dates things and measures nothing. */
  now(): number
  /** The same in microseconds, as the book dates its records. */
  nowMicros(): number
  /** Milliseconds from an arbitrary start, never going back: for durations and limits. */
  steady(): number
  /** Runs `act` once, unless the timer is disposed of before. It does not keep the process alive. */
  after(ms: number, act: () => void): Disposable
}

/** When things happen, for whoever is not asked what time it is. */
export interface Schedule extends Pick<Clock, 'after'> {
  /** After the sockets that are ready now have been read. */
  soon(act: () => void): void
}

/** Node fires a longer timer at once. */
const TIMER_MS_MAX = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  nowMicros: microseconds,
  steady: () => performance.now(),
  after(ms, act) {
    if (ms > TIMER_MS_MAX) throw new RangeError(`a timer of ${ms} ms`)
    const timer = setTimeout(act, ms)
    timer.unref()
    return timer
  },
}

export const systemSchedule: Schedule = {
  soon: (act) => void setImmediate(act),
  after: systemClock.after,
}
