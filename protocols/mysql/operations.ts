/** Numbers the operations of a session and says of each what it was and how it ended. */
import type { Act, Outcome, Payload, RelayEvent } from '../events.ts'
import { json, text } from '../payloads.ts'

/** One of several results of a command. */
export interface Result {
  readonly outcome: Outcome
  /** MySQL's error number. */
  readonly code?: string
  /** Rows sent, or rows changed. */
  readonly rows?: number
  readonly bytes?: number
  readonly warnings?: number
  readonly message?: string
}

/** A procedure may send results without end; of those beyond this only the sums are kept. */
const RESULTS_KEPT_MAX = 1000

export class Operation {
  readonly number: number
  readonly results: Result[] = []
  /** Results beyond those that are kept. */
  more = 0
  rows: number | undefined
  bytes = 0
  failed: Result | undefined

  constructor(number: number) {
    this.number = number
  }
}

export interface Beginning {
  readonly parent?: number | undefined
  readonly rule?: string | undefined
}

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
    const operation = new Operation(this.#next++)
    this.#open.add(operation)
    this.#record({
      type: 'begin',
      op: operation.number,
      act,
      ...(parent === undefined ? {} : { parent }),
      ...(rule === undefined ? {} : { rule }),
      payloads,
    })
    return operation
  }

  /** Refused: takes a number and is over. */
  decide(act: Act, payloads: readonly Payload[], rule?: string): number {
    const op = this.#next++
    this.#record({ type: 'decision', op, act, ...(rule === undefined ? {} : { rule }), payloads })
    return op
  }

  data(operation: Operation, bytes: Uint8Array): void {
    this.#record({ type: 'data', op: operation.number, stream: 'in', frame: 'i', bytes })
  }

  add(operation: Operation, result: Result): void {
    if (operation.results.length < RESULTS_KEPT_MAX) operation.results.push(result)
    else operation.more++
    if (result.rows !== undefined) operation.rows = (operation.rows ?? 0) + result.rows
    operation.bytes += result.bytes ?? 0
    if (result.outcome !== 'ok') operation.failed ??= result
  }

  /** A result after which the operation goes on: recorded by itself, because the client sees it now. */
  tell(operation: Operation, result: Result): void {
    this.add(operation, result)
    this.#record({ type: 'result', op: operation.number, outcome: result.outcome, ...facts(result) })
  }

  /** Ends an operation with the results it has; several, or warnings, stand in `res`, one by one. */
  finish(operation: Operation, payloads: readonly Payload[] = []): void {
    this.#open.delete(operation)
    const { results, more, rows, bytes, failed } = operation
    const detailed = results.length > 1 || results.some(({ warnings }) => warnings !== undefined)
    const shown = [...results.map(withoutMessage), ...(more === 0 ? [] : [{ more }])]
    const told = [
      ...(detailed ? [json('res', shown)] : []),
      ...(failed?.message === undefined ? [] : [text('msg', failed.message)]),
      ...payloads,
    ]
    this.#record({
      type: 'end',
      op: operation.number,
      outcome: failed?.outcome ?? 'ok',
      ...(failed?.code === undefined ? {} : { code: failed.code }),
      ...(rows === undefined ? {} : { rows }),
      ...(bytes === 0 ? {} : { bytes }),
      ...(told.length === 0 ? {} : { payloads: told }),
    })
  }

  /** The connection ends first. */
  abortAll(): void {
    for (const operation of this.#open) {
      this.add(operation, { outcome: 'aborted' })
      this.finish(operation)
    }
  }
}

function facts({ code, rows, bytes, warnings }: Result) {
  return {
    ...(code === undefined ? {} : { code }),
    ...(rows === undefined ? {} : { rows }),
    ...(bytes === undefined || bytes === 0 ? {} : { bytes }),
    ...(warnings === undefined ? {} : { payloads: [json('res', [{ warnings }])] }),
  }
}

function withoutMessage({ message: _, ...result }: Result): Omit<Result, 'message'> {
  return result
}
