/**
 * Holds a session of the book against the log of the server's backend: what ran is in the book, in its order and
 * with its parameters; what the book calls done is in the log; what it calls skipped is not.
 */
import type { Operation, Session } from '../../support/gateway-book.ts'
import type { Logged } from '../../support/postgres-server-log.ts'

type Executed = Extract<Logged, { type: 'execute' }>

export function compareWithLog({ operations }: Session, log: readonly Logged[]): string[] {
  const comparison = new Comparison(operations, log)
  return comparison.findings()
}

const DONE: ReadonlySet<string | undefined> = new Set(['ok', 'error'])
/** Whether the server has met it is not known. */
const UNDECIDED: ReadonlySet<string | undefined> = new Set(['aborted', 'unknown'])

/** In a failed transaction, or of no function that there is: refused before the server logs that it was called. */
const UNLOGGED_CALL: ReadonlySet<string | undefined> = new Set(['25P02', '42883'])

class Comparison {
  readonly #operations: readonly Operation[]
  readonly #log: readonly Logged[]
  readonly #findings: string[] = []
  /** Operations whose statement stands in the log. */
  readonly #seen = new Set<Operation>()
  /** Texts that failed, and codes of what failed without a text that the server knew. */
  readonly #failed: ReadonlySet<string>
  readonly #codes: ReadonlySet<string>

  constructor(operations: readonly Operation[], log: readonly Logged[]) {
    this.#operations = operations
    this.#log = log
    const errors = log.filter((entry) => entry.type === 'error')
    this.#failed = new Set(errors.map(({ text }) => text))
    this.#codes = new Set(errors.filter(({ text }) => text === '').map(({ code }) => code))
  }

  findings(): string[] {
    this.#statements('statement', 'db.query')
    this.#statements('parse', 'db.prepare')
    this.#executions()
    this.#calls()
    this.#binds()
    for (const operation of this.#operations) this.#judge(operation)
    return this.#findings
  }

  #find(text: string): void {
    this.#findings.push(text)
  }

  #acts(act: string): Operation[] {
    return this.#operations.filter((operation) => operation.act === act)
  }

  /** Each is in the book, in the same order. */
  #statements(type: 'statement' | 'parse', act: string): void {
    let after = 0
    const operations = this.#acts(act)
    for (const entry of this.#log) {
      if (entry.type !== type) continue
      const at = operations.findIndex((one, i) => i >= after && one.text === entry.text)
      const found = operations[at]
      if (found === undefined) this.#find(`the book lacks, or has out of order: ${type} ${entry.text}`)
      else {
        after = at + 1
        this.#seen.add(found)
      }
    }
  }

  /** Portals may be run in another order than they were bound in, so only those without a name keep it. */
  #executions(): void {
    let after = 0
    const operations = this.#acts('db.execute')
    for (const [i, entry] of this.#log.entries()) {
      if (entry.type !== 'execute') continue
      const from = entry.portal === '' ? after : 0
      const isMeant = (one: Operation, k: number): boolean =>
        k >= from &&
        !this.#seen.has(one) &&
        isExecutionOf(one, entry, this.#operations, isInFailed(this.#log[i + 1]))
      // The same text may have been bound twice without parameters, and skipped once.
      const ran = operations.findIndex((one, k) => one.out !== 'skipped' && isMeant(one, k))
      const at = ran === -1 ? operations.findIndex(isMeant) : ran
      const found = operations[at]
      if (found === undefined) {
        this.#find(`the book lacks, or has out of order: execute ${entry.text} with ${entry.parameters}`)
        continue
      }
      this.#seen.add(found)
      if (entry.portal === '' && found.par === undefined) after = at
    }
  }

  #calls(): void {
    const logged = this.#log.flatMap((entry) => (entry.type === 'call' ? [entry.oid] : []))
    let at = 0
    for (const operation of this.#acts('db.call')) {
      const { function: oid } = operation.args as { function: number }
      const isUnheard = operation.out === 'skipped' || UNLOGGED_CALL.has(operation.code)
      if (logged[at] !== oid || isUnheard) continue
      at++
      this.#seen.add(operation)
    }
    if (at < logged.length) this.#find(`the book lacks a call of function ${logged[at]}`)
  }

  /** The log does not say what was bound, so they are counted. */
  #binds(): void {
    const logged = this.#log.filter(({ type }) => type === 'bind').length
    const bound = this.#acts('db.execute').filter(
      ({ par, meta }) => par === undefined && meta['unknown'] !== 'portal',
    )
    const surely = bound.filter((one) => DONE.has(one.out) || isBound(one)).length
    const perhaps = bound.filter((one) => UNDECIDED.has(one.out)).length
    if (logged < surely || logged > surely + perhaps)
      this.#find(`${logged} Binds in the log, ${surely} in the book and ${perhaps} that may be`)
  }

  #judge(operation: Operation): void {
    const { out, act, text, op } = operation
    const name = `operation ${op} (${act} ${text ?? ''})`
    if (out === undefined) this.#find(`${name} has no outcome`)
    if (DONE.has(out) && !this.#seen.has(operation) && !this.#needsNoLog(operation))
      this.#find(`${name} is called ${out} and is not in the log`)
    if (out === 'skipped' && this.#seen.has(operation)) this.#find(`${name} is called skipped, and it ran`)
  }

  #needsNoLog({ act, out, text, code }: Operation): boolean {
    const failed = text !== undefined && this.#failed.has(text)
    switch (act) {
      case 'db.copy':
      case 'db.cancel':
      case 'db.other':
        return true
      case 'db.query':
        return out === 'error' && failed
      case 'db.prepare':
        return false
      case 'db.call':
        return out === 'error'
      default:
        // What the server does not know has no text there, and an Execute of nothing is not logged.
        if (out === 'error') return failed || (code !== undefined && this.#codes.has(code))
        return text !== undefined && isNothing(text)
    }
  }
}

function isBound({ out, results }: Operation): boolean {
  return out === 'skipped' && results[0]?.['bound'] === true
}

function isNothing(text: string): boolean {
  return text.replace(/\/\*[^*]*\*\//g, '').trim() === ''
}

/** In a failed transaction a portal has lost its parameters, and nothing runs. */
function isInFailed(next: Logged | undefined): boolean {
  return next?.type === 'error' && next.code === '25P02'
}

function isExecutionOf(
  operation: Operation,
  entry: Executed,
  all: readonly Operation[],
  isFutile: boolean,
): boolean {
  if (operation.text !== entry.text) return false
  const first = operation.par === undefined ? undefined : all.find(({ op }) => op === operation.par)
  // Not the reverse: a portal that has not begun, or not to be run twice, is executed from its start again.
  if (entry.fetch && first === undefined) return false
  return isFutile || describeArguments((first ?? operation).args) === entry.parameters
}

/** As the server's log has them. */
function describeArguments(args: unknown): string {
  if (!Array.isArray(args)) return ''
  return args.map((value: unknown, i) => `$${i + 1} = ${describeValue(value)}`).join(', ')
}

function describeValue(value: unknown): string {
  if (value === null) return 'NULL'
  if (typeof value !== 'object' || value === undefined) return `'${String(value).replaceAll("'", "''")}'`
  // A binary value of a type that the client has not named.
  const { hex = '' } = value as { hex?: string }
  return `'${Buffer.from(hex, 'hex').readInt32BE(0)}'`
}
