/** Numbers the operations of a session and says of each what it was and how it ended. */
import type { Act, Outcome, OutcomeFacts, Payload, RelayEvent } from '../events.ts'
import { json, text } from '../payloads.ts'

/** One of several answers to a statement; the tag is the server's own word for what it did. */
export interface Result {
  readonly outcome: Outcome
  readonly code?: string
  readonly tag?: string
  /** The portal has more rows; another Execute will fetch them. */
  readonly suspended?: boolean
  readonly rows?: number | undefined
  readonly message?: string
  /** So many results stand together here. */
  readonly count?: number
}

/** Of one text, kept one by one. Sixteen megabytes hold a million statements. */
const RESULTS_MAX = 10_000

export class Operation {
  readonly number: number
  readonly act: Act
  /** Rows and their bytes since the last result. */
  rows = 0
  bytes = 0
  bytesInAll = 0
  /** Counted only under a limit. */
  rowsInAll = 0
  readonly results: Result[] = []
  /** How many results were recorded while the operation went on. */
  told = 0

  constructor(number: number, act: Act) {
    this.number = number
    this.act = act
  }
}

export interface Beginning {
  readonly parent?: number | undefined
  readonly rule?: string | undefined
}

const NOTHING: readonly Payload[] = []
const NO_FACTS = {}

export class Ledger {
  readonly #record: (event: RelayEvent) => void
  readonly #open = new Set<Operation>()
  #next: number

  constructor(first: number, record: (event: RelayEvent) => void) {
    this.#next = first
    this.#record = record
  }

  get idle(): boolean {
    return this.#open.size === 0
  }

  begin(act: Act, payloads: readonly Payload[], { parent, rule }: Beginning = {}): Operation {
    const operation = new Operation(this.#next++, act)
    this.#open.add(operation)
    this.#record({ type: 'begin', op: operation.number, act, parent, rule, payloads })
    return operation
  }

  /** Refused: takes a number and is over. */
  decide(act: Act, payloads: readonly Payload[], rule?: string): number {
    const op = this.#next++
    this.#record({ type: 'decision', op, act, ...(rule === undefined ? {} : { rule }), payloads })
    return op
  }

  /**
   * Collects one result; `finish` or `tell` record it. What failed in its middle has given rows all the
   * same. `decisive` ones are kept one by one, however many there are.
   */
  add(operation: Operation, result: Result, decisive = result.outcome !== 'ok'): void {
    const isCounted = result.rows !== undefined || operation.rows === 0
    push(operation, isCounted ? result : { ...result, rows: operation.rows }, decisive)
    operation.bytesInAll += operation.bytes
    operation.rows = 0
    operation.bytes = 0
  }

  /** Records the results that nobody has recorded yet, the operation going on. */
  tell(operation: Operation): void {
    if (operation.told === operation.results.length || !this.#open.has(operation)) return
    for (const result of operation.results.slice(operation.told)) {
      const { outcome, code, rows, message } = result
      this.#record({
        type: 'result',
        op: operation.number,
        outcome,
        ...(code === undefined ? {} : { code }),
        ...(rows === undefined ? {} : { rows }),
        ...(message === undefined ? {} : { payloads: [text('msg', message)] }),
      })
    }
    operation.told = operation.results.length
  }

  /** Ends an operation with the results it has; several stand in `res`, one by one. */
  finish(operation: Operation, payloads: readonly Payload[] = NOTHING): void {
    const { results } = operation
    const [only] = results
    if (only !== undefined && results.length === 1 && only.outcome === 'ok' && only.suspended !== true) {
      this.end(operation, 'ok', { rows: only.rows, bytes: operation.bytesInAll, payloads })
      return
    }
    const failed = results.find(({ outcome }) => outcome !== 'ok')
    const rows = results.reduce((sum, result) => sum + (result.rows ?? 0), 0)
    this.end(operation, failed?.outcome ?? 'ok', {
      ...(failed?.code === undefined ? {} : { code: failed.code }),
      ...(results.some((result) => result.rows !== undefined) ? { rows } : {}),
      bytes: operation.bytesInAll,
      payloads: [
        ...(results.length > 1 || results[0]?.suspended === true
          ? [json('res', results.map(withoutMessage))]
          : NOTHING),
        ...(failed?.message === undefined ? NOTHING : [text('msg', failed.message)]),
        ...payloads,
      ],
    })
  }

  /** Ends it once; a second end is of no consequence, since whoever comes later knows less. */
  end(
    operation: Operation,
    outcome: Outcome,
    { code, rows, bytes, payloads }: Omit<OutcomeFacts, 'outcome'> = NO_FACTS,
  ): void {
    if (!this.#open.delete(operation)) return
    this.#record({
      type: 'end',
      op: operation.number,
      outcome,
      code,
      rows,
      bytes: bytes === 0 ? undefined : bytes,
      payloads: payloads?.length === 0 ? undefined : payloads,
    })
  }

  /** Somebody else will record its end. */
  release(operation: Operation): void {
    this.#open.delete(operation)
  }

  isOpen(operation: Operation): boolean {
    return this.#open.has(operation)
  }

  /** The connection ends first. */
  abortAll(): void {
    for (const operation of this.#open) {
      if (operation.results.at(-1)?.outcome !== 'aborted') this.add(operation, { outcome: 'aborted' })
      this.finish(operation)
    }
  }
}

/** Beyond the limit only decisive results stand by themselves; the others are told together. */
function push(operation: Operation, result: Result, decisive: boolean): void {
  const { results } = operation
  const last = results.at(-1)
  if (decisive || results.length < RESULTS_MAX) results.push(result)
  else if (last?.count === undefined) results.push({ outcome: 'ok', count: 1, rows: result.rows ?? 0 })
  else {
    const rows = (last.rows ?? 0) + (result.rows ?? 0)
    results[results.length - 1] = { outcome: 'ok', count: last.count + 1, rows }
    operation.told = Math.min(operation.told, results.length - 1)
  }
}

function withoutMessage({ message: _, ...result }: Result): Omit<Result, 'message'> {
  return result
}
