import { type Clock, systemClock } from '../../src/system/clock.ts'

interface Timer {
  readonly at: number
  readonly act: () => void
  readonly real: Disposable
}

/** The machine's time, which a test may also put forward: what is due by then happens at once. */
export class HurriedClock implements Clock {
  #ahead = 0
  readonly #timers = new Set<Timer>()

  now(): number {
    return systemClock.now() + this.#ahead
  }

  nowMicros(): number {
    return this.now() * 1000
  }

  steady(): number {
    return systemClock.steady() + this.#ahead
  }

  after(ms: number, act: () => void): Disposable {
    const run = (): void => {
      this.#timers.delete(timer)
      act()
    }
    const timer = { at: this.steady() + ms, act: run, real: systemClock.after(ms, run) }
    this.#timers.add(timer)
    return {
      [Symbol.dispose]: () => {
        timer.real[Symbol.dispose]()
        this.#timers.delete(timer)
      },
    }
  }

  /** Timers that are set while others run are not due yet: what repeats, repeats once. */
  advance(ms: number): void {
    this.#ahead += ms
    const due = [...this.#timers].filter(({ at }) => at <= this.steady()).sort((a, b) => a.at - b.at)
    for (const timer of due) {
      if (!this.#timers.has(timer)) continue
      timer.real[Symbol.dispose]()
      timer.act()
    }
  }
}
