/** What both directions of a relay share: the queue between them, the names, and what the server has reported. */
import { duplicate } from '../bytes.ts'
import type { Outcome, Payload } from '../events.ts'
import { json } from '../payloads.ts'
import type { Statement as JudgedStatement, Verdict } from '../relay.ts'
import type { TransactionStatus } from './backend.ts'
import type { Ready } from './connect.ts'
import { Flow } from './flow.ts'
import { Names } from './names.ts'
import { Ledger, type Operation, type Result } from './operations.ts'
import { type Copy, type Expectation, Queue } from './queue.ts'
import { changedBy, type Portal, type Reading, type Statement, settleChanges } from './statements.ts'

export interface RelayOptions {
  /** Names the records that refusals quote: `<session>.<operation>`. */
  readonly session: string
  /** The number of the first operation. */
  readonly firstOperation: number
  readonly database: string
  readonly ready: Pick<Ready, 'pid' | 'parameters'>
  /** Random, 16 characters or more: a statement's name that exists at no target, for substitutes. */
  readonly unguessable: string
  /** Whether each Query, Parse, Bind and FunctionCall is to be judged before it is forwarded. */
  readonly judge: boolean
  /** Tried before a `judge` step is made: a verdict at hand spares the copy of what would have to wait. */
  readonly judgeAtOnce?: (statement: JudgedStatement) => Verdict | undefined
  /** The session's role may not write: FunctionCall, which no parser sees through, is refused. */
  readonly readOnly: boolean
  /** Parameters: `mask` is stored like `keep` (who looks decides), of `redact` only count and types. */
  readonly parameters: 'keep' | 'mask' | 'redact'
  /** Of one statement, its parameters included; 16 MiB unless told. */
  readonly statementBytesMax?: number
  /** Rows of one statement that may reach the client. */
  readonly rowsMax?: number
  /** The session replicates: its COPYs carry what no statement of it names. */
  readonly replication?: boolean
  /** Whether COPY data is recorded whole, beside count and hash. */
  readonly copyBodies?: boolean
}

export const STATEMENT_BYTES_MAX = 16 << 20

/** Texts of prepared statements kept in memory; beyond, the operation that prepared one is referred to by number. */
const TEXTS_BYTES_MAX = 64 << 20

/** Unanswered messages at which the client has to wait, so that they do not fill the memory. */
const UNANSWERED_MAX = 16_384

/** Encodings in which a byte below 0x80 may be the second half of a character. */
const ASCII_UNSAFE = /^(?:sjis|big5|gbk|uhc|gb18030|johab|shift_jis_2004)$/i

const TRANSACTION = { I: 'none', T: 'open', E: 'failed' } as const satisfies Record<TransactionStatus, string>

export class Session {
  readonly options: RelayOptions
  readonly flow: Flow
  readonly ledger: Ledger
  readonly queue = new Queue()
  readonly statements = new Names<Statement>()
  readonly portals = new Names<Portal>()
  /** Counts the Syncs and Queries of the client: what stands between two of them fails together. */
  batch = 0
  /** The server has failed a message and discards all until the next Sync that it gets. */
  skipping = false
  /** What the client's COPY data belongs to: the last Query or Execute it sent, while that is unanswered. */
  copyHost: Expectation | undefined
  /** Syncs that the server met inside a COPY, or behind its failure: it answers them only in the second case. */
  strays: { readonly host: Expectation; count: number } | undefined
  /**
   * After a COPY by Execute has failed, with such Syncs: whether the server goes on behind one of them or skips
   * to the next cannot be told, so what runs must not hang on it. `ready`: the client waits for a ReadyForQuery.
   * `sync`: it has to send a Sync first, as every client does.
   */
  doubt: 'ready' | 'sync' | undefined
  /** Cancels of our own that are on their way; statements wait for them, lest they hit the wrong one. */
  readonly cancels: Operation[] = []
  encoding: string

  #transaction: TransactionStatus = 'I'
  #plainStrings: boolean
  #textBytes = 0
  /** The same few bodies over and over, so that the recorder may know them again. */
  readonly #metas = new Map<TransactionStatus, Payload>()

  constructor(options: RelayOptions) {
    this.options = options
    this.flow = new Flow(() => this.tell())
    this.ledger = new Ledger(options.firstOperation, (event) => this.flow.record(event))
    this.encoding = options.ready.parameters.get('client_encoding') ?? 'UTF8'
    this.#plainStrings = options.ready.parameters.get('standard_conforming_strings') !== 'off'
  }

  get transaction(): TransactionStatus {
    return this.#transaction
  }

  get crowded(): boolean {
    return this.queue.length >= UNANSWERED_MAX
  }

  /** How the server reads texts, for `dependable`. */
  get reading(): Reading {
    return {
      plainStrings: this.#plainStrings,
      asciiSafe: !ASCII_UNSAFE.test(this.encoding),
      settled: this.queue.length === 0,
    }
  }

  /** A setting that the server reports. */
  setting(name: string, value: string): void {
    if (name === 'client_encoding') this.encoding = value
    if (name === 'standard_conforming_strings') this.#plainStrings = value === 'on'
  }

  /** The circumstances of an operation; a trace, or more, makes them its own. */
  meta(trace: string | undefined, more?: Record<string, unknown>): Payload {
    if (trace !== undefined || more !== undefined) {
      return json('meta', { ...this.#circumstances(), ...(trace === undefined ? {} : { trace }), ...more })
    }
    const found = this.#metas.get(this.#transaction)
    if (found !== undefined) return found
    const made = json('meta', this.#circumstances(), true)
    this.#metas.set(this.#transaction, made)
    return made
  }

  #circumstances(): Record<string, unknown> {
    return {
      database: this.options.database,
      transaction: TRANSACTION[this.#transaction],
      pid: this.options.ready.pid,
    }
  }

  /** The text of a prepared statement, kept for those who run it; undefined if it is one too much. */
  keepText(sql: Uint8Array): Payload | undefined {
    if (this.#textBytes + sql.length > TEXTS_BYTES_MAX) {
      // Counted up at each Parse and never down: only now is it worth looking what is still in use.
      this.#textBytes = 0
      for (const statement of this.statements.known()) this.#textBytes += statement.sql?.body.length ?? 0
      if (this.#textBytes + sql.length > TEXTS_BYTES_MAX) return undefined
    }
    this.#textBytes += sql.length
    return { type: 'sql', body: duplicate(sql), repeats: true, kept: true }
  }

  /** Whether the server is reading COPY data now, as far as we can know. */
  takesCopyData(): boolean {
    const copy = this.copyHost?.copy
    return copy !== undefined && copy.mode !== 'out' && !copy.ended
  }

  stray(host: Expectation): void {
    if (this.strays?.host === host) this.strays.count++
    else this.strays = { host, count: 1 }
  }

  recordName(operation: number): string {
    return `${this.options.session}.${operation}`
  }

  /** Results of a statement that goes on stand in the journal before the client sees them. */
  tell(): void {
    const operation = this.queue.head?.operation
    if (operation !== undefined) this.ledger.tell(operation)
  }

  /** ReadyForQuery. Outside a transaction there are no portals any more. */
  becomeReady(status: TransactionStatus): void {
    this.#transaction = status
    if (status !== 'I') return
    for (const portal of this.portals.clear()) this.endPortal(portal)
  }

  /** A portal that is gone, if it was never executed: planning it may still have run functions of its text. */
  endPortal(portal: Portal | undefined): void {
    if (portal === undefined || portal.claimed) return
    const payloads = portal.bound ? [json('res', [{ outcome: 'skipped', bound: true }])] : []
    this.ledger.end(portal.operation, 'skipped', { payloads })
  }

  endCopy(copy: Copy, outcome: Outcome, facts: { code?: string; rows?: number } = {}): void {
    const { in: toServer, out: toClient } = copy
    const bytes = toServer.bytes + toClient.bytes
    const meta = json('meta', {
      ...(toServer.bytes > 0 || copy.mode !== 'out' ? { in: toServer.done() } : {}),
      ...(toClient.bytes > 0 || copy.mode === 'out' ? { out: toClient.done() } : {}),
      ...(copy.mode === 'both' || this.options.replication === true ? { content: 'not recorded' } : {}),
    })
    this.ledger.end(copy.operation, outcome, { ...facts, bytes, payloads: [meta] })
  }

  /** Data that the server never asked for: it has ignored it. */
  endCopies(item: Expectation): void {
    for (const copy of item.copies) if (this.ledger.isOpen(copy.operation)) this.endCopy(copy, 'skipped')
    if (this.copyHost === item) this.copyHost = undefined
  }

  /** The connection ends: what was carried so far stays provable. */
  abort(): void {
    for (const host of new Set([this.queue.head, this.copyHost])) {
      for (const copy of host?.copies ?? []) {
        if (this.ledger.isOpen(copy.operation)) this.endCopy(copy, 'aborted')
      }
    }
    this.ledger.abortAll()
  }

  /** The server has discarded a message: its answer does not come, and nothing it announced has happened. */
  skip(item: Expectation): void {
    this.settle(item, false)
    this.endCopies(item)
    const { portal, operation } = item
    if (item.kind !== 'execute' || portal?.operation !== operation || portal === undefined) {
      if (operation !== undefined) this.ledger.end(operation, 'skipped')
      return
    }
    // The portal may outlive this, and then waits for another Execute.
    portal.claimed = false
    if (!this.portals.means(item.name, portal)) this.endPortal(portal)
  }

  /** What a message announced about names has come to pass, or not. */
  settle(item: Expectation, applied: boolean): void {
    switch (item.kind) {
      case 'parse':
        this.statements.settle(item.name, applied)
        return
      case 'bind':
        this.endPortal(this.portals.settle(item.name, applied))
        // Under a name that is not followed nobody will find it again: its Executes are recorded by themselves.
        if (applied && item.name === undefined) this.endPortal(item.portal)
        return
      case 'close':
        if (item.closes === 'statement') this.statements.settle(item.name, applied)
        else this.endPortal(this.portals.settle(item.name, applied))
        return
      case 'query':
        this.statements.settle('', applied)
        // Only a statement of its own takes the unnamed portal's place: an empty one, or one that fails, leaves it.
        this.endPortal(this.portals.settle('', applied && item.operation?.results.some(hasRun) === true))
        this.#settleChanges(item, applied)
        return
      case 'execute':
        this.#settleChanges(item, applied)
        return
      default:
    }
  }

  #settleChanges(item: Expectation, applied: boolean): void {
    const changes = item.statement?.changes ?? NOTHING
    const results = applied ? (item.operation?.results ?? NOTHING) : NOTHING
    if (changes.length === 0 && !results.some(({ tag }) => tag !== undefined && changedBy(tag) !== undefined))
      return
    const tags = results.flatMap(({ tag }) => tag ?? [])
    settleChanges(this.statements, 'statement', changes, tags)
    for (const portal of settleChanges(this.portals, 'portal', changes, tags)) this.endPortal(portal)
  }
}

/** What was empty has no tag. */
function hasRun({ outcome, tag }: Result): boolean {
  return outcome === 'ok' && tag !== ''
}

const NOTHING: readonly never[] = []
