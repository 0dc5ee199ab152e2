/** The connection numbers that MySQL clients are given, and what they stand for at the targets. */

/** Above this, Connector/J asks to kill a negative number. */
const THREAD_MAX = 2 ** 31 - 1

interface Thread {
  readonly sub: string
  readonly target: string
  readonly real: number
}

export class Threads {
  readonly #open = new Map<number, Thread | undefined>()
  #last = 0

  /** A number that no open connection has. */
  take(): number {
    do this.#last = this.#last >= THREAD_MAX ? 1 : this.#last + 1
    while (this.#open.has(this.#last))
    this.#open.set(this.#last, undefined)
    return this.#last
  }

  stands(given: number, thread: Thread): void {
    this.#open.set(given, thread)
  }

  leave(given: number): void {
    this.#open.delete(given)
  }

  /** The target's number of a connection of the same person's at the same target. */
  find(given: number, sub: string, target: string): number | undefined {
    const thread = this.#open.get(given)
    return thread !== undefined && thread.sub === sub && thread.target === target ? thread.real : undefined
  }
}
