/** The operations of one session: their numbers, and which of them are still open. */
import type { Act, DataEvent, OutcomeFacts, Payload, RelayEvent } from '../events.ts'

export interface Begin {
  readonly act: Act
  readonly payloads: readonly Payload[]
  readonly parent?: number | undefined
  readonly rule?: string | undefined
}

export class Operations {
  readonly #record: (event: RelayEvent) => void
  readonly #open = new Set<number>()
  #next: number

  constructor(record: (event: RelayEvent) => void, first = 1) {
    this.#record = record
    this.#next = first
  }

  get idle(): boolean {
    return this.#open.size === 0
  }

  begin({ act, payloads, parent, rule }: Begin): number {
    const op = this.#next++
    this.#open.add(op)
    this.#record({ type: 'begin', op, act, payloads, ...present({ parent, rule }) })
    return op
  }

  /** Something was refused, and nothing of it is forwarded. */
  decline({ act, payloads, rule }: Begin): number {
    const op = this.#next++
    this.#record({ type: 'decision', op, act, payloads, ...present({ rule }) })
    return op
  }

  data(event: Omit<DataEvent, 'type'>): void {
    if (this.#open.has(event.op)) this.#record({ type: 'data', ...event })
  }

  /** Ends an operation once; what is told of it later is not written down. */
  end(op: number, facts: OutcomeFacts): void {
    if (!this.#open.delete(op)) return
    this.#record({ type: 'end', op, ...facts })
  }
}

function present<T extends object>(fields: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}
