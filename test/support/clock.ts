import type { Clock } from '../../src/system/clock.ts'

/** Stands still until it is moved; timers run in their order when their time has come. */
export class TestClock implements Clock {
  #ms: number
  #timers: { readonly at: number; readonly act: () => void }[] = []

  constructor(start = Date.UTC(2027, 0, 4, 12)) {
    this.#ms = start
  }

  now(): number {
    return this.#ms
  }

  nowMicros(): number {
    return this.#ms * 1000
  }

  steady(): number {
    return this.#ms
  }

  after(ms: number, act: () => void): Disposable {
    const timer = { at: this.#ms + ms, act }
    this.#timers.push(timer)
    return { [Symbol.dispose]: () => this.#drop(timer) }
  }

  advance(ms: number): void {
    const end = this.#ms + ms
    while (true) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#drop(next)
      this.#ms = next.at
      next.act()
    }
    this.#ms = end
  }

  #drop(timer: object): void {
    this.#timers = this.#timers.filter((other) => other !== timer)
  }
}
