import type { Schedule } from '../../src/system/clock.ts'

interface Due {
  readonly at: number
  readonly run: () => void
}

/** A schedule that a test turns by hand; nothing happens between two of its calls. */
export class HandSchedule implements Schedule {
  now = 0
  #soon: (() => void)[] = []
  readonly #later = new Set<Due>()

  soon(run: () => void): void {
    this.#soon.push(run)
  }

  after(ms: number, run: () => void): Disposable {
    const due = { at: this.now + ms, run }
    this.#later.add(due)
    return { [Symbol.dispose]: () => this.#later.delete(due) }
  }

  get timers(): number {
    return this.#later.size
  }

  /** One turn of the event loop. */
  turn(): void {
    for (const run of this.#soon.splice(0)) run()
  }

  /** Lets time pass and runs what has become due, in order. */
  pass(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const [next] = [...this.#later].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#later.delete(next)
      this.now = Math.max(this.now, next.at)
      next.run()
      this.turn()
    }
    this.now = end
  }
}
