/**
 * Repeated events of strangers as counted records, so that nobody can fill the book from outside. The first of a
 * kind is told at once; what follows within the minute is told once, at its end, with its count. An address that
 * comes with many names is counted by its address alone, and when too many addresses come, they are counted
 * together.
 */
import type { Clock } from '../system/clock.ts'

export interface Occurrence {
  /** What happened, from a closed list of the caller's. */
  readonly what: string
  readonly name: string
  readonly address: string
}

export interface Counted {
  readonly what: string
  /** Absent: several. */
  readonly name?: string
  readonly address?: string
  readonly count: number
  readonly firstMicros: number
}

export const TALLY_WINDOW_MS = 60_000
export const TALLY_ADDRESSES_MAX = 256
export const TALLY_NAMES_MAX = 4

interface Entry {
  readonly told: Omit<Counted, 'count' | 'firstMicros'>
  count: number
  firstMicros: number
}

export class Tally {
  readonly #clock: Clock
  readonly #tell: (counted: Counted) => void
  readonly #entries = new Map<string, Entry>()
  /** Distinct names seen of each address within the window. */
  readonly #names = new Map<string, Set<string>>()
  #timer: Disposable | undefined

  constructor(clock: Clock, tell: (counted: Counted) => void) {
    this.#clock = clock
    this.#tell = tell
  }

  add(occurrence: Occurrence): void {
    const told = this.#generalize(occurrence)
    const key = JSON.stringify([told.what, told.address ?? null, told.name ?? null])
    const entry = this.#entries.get(key)
    const now = this.#clock.nowMicros()
    if (entry !== undefined) {
      if (entry.count === 0) entry.firstMicros = now
      entry.count++
      return
    }
    this.#entries.set(key, { told, count: 0, firstMicros: now })
    this.#timer ??= this.#clock.after(TALLY_WINDOW_MS, () => this.flush())
    this.#tell({ ...told, count: 1, firstMicros: now })
  }

  /** Tells what was counted and begins anew; also to be called before the process stops. */
  flush(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    this.#names.clear()
    for (const { told, count, firstMicros } of entries)
      if (count > 0) this.#tell({ ...told, count, firstMicros })
  }

  #generalize({ what, name, address }: Occurrence): Entry['told'] {
    const names = this.#names.get(address)
    if (names === undefined) {
      if (this.#names.size >= TALLY_ADDRESSES_MAX) return { what }
      this.#names.set(address, new Set([name]))
      return { what, name, address }
    }
    if (names.has(name)) return { what, name, address }
    if (names.size >= TALLY_NAMES_MAX) return { what, address }
    names.add(name)
    return { what, name, address }
  }
}
