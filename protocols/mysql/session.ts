/** What both directions of a relay share: what was agreed, the queue between them, and what the target has told. */
import type { Hash } from 'node:crypto'
import type { Payload, RelayEvent } from '../events.ts'
import { json } from '../payloads.ts'
import type { Side, Statement, Step, Verdict } from '../relay.ts'
import type { Login } from './accept.ts'
import type { Answer } from './answer.ts'
import type { Capabilities } from './capabilities.ts'
import { charsetName, isUnsafeCollation, isUtf8 } from './charsets.ts'
import type { Ready } from './connect.ts'
import type { Challenge, Credential } from './log-in.ts'
import { Ledger, type Operation } from './operations.ts'
import type { Method } from './prove.ts'
import { type Ok, STATUS } from './results.ts'
import { type Prepared, Statements } from './statements.ts'

export interface RelayOptions {
  /** Names the records that refusals quote: `<session>.<operation>`. */
  readonly session: string
  /** The number of the first operation. */
  readonly firstOperation: number
  readonly login: Login
  readonly ready: Ready
  readonly database: string | undefined
  /** Whether each text is to be judged before it is forwarded, and again when it is executed. */
  readonly judge: boolean
  /** Where the verdict is at hand: nothing waits for it then, and `judge` is not asked. */
  readonly judgeAtOnce?: (statement: Statement) => Verdict
  /** The session's role may not write: each transaction is told to be read-only, as a guard rail. */
  readonly readOnly: boolean
  /** Parameters: `mask` is stored like `keep` (who looks decides), of `redact` only count and types. */
  readonly parameters: 'keep' | 'mask' | 'redact'
  /** Of one command, its parameters included; 16 MiB unless told. */
  readonly statementBytesMax?: number
  /** Rows of one command that may reach the client. */
  readonly rowsMax?: number
  /** Whether LOAD DATA LOCAL may ask the client for the file that it names. */
  readonly localFiles: boolean
  /** Whether files are recorded whole, beside count and hash. */
  readonly copyBodies?: boolean
  /** The target's number of a connection that we gave this number, if it is the same person's at the same target. */
  readonly findThread: (given: number) => number | undefined
  /** For COM_CHANGE_USER: how we prove ourselves to the target again, and what the client may use. */
  readonly credential: Credential
  readonly methods: readonly Method[]
  readonly random: (length: number) => Uint8Array
}

export const STATEMENT_BYTES_MAX = 16 << 20

/** Unanswered commands at which the client has to wait, so that they do not fill the memory. */
const UNANSWERED_MAX = 8192

/** What becomes true when the target has said OK. */
export type Effect =
  | { readonly type: 'prepared'; readonly prepared: Prepared }
  | {
      readonly type: 'set'
      readonly database?: string | undefined
      readonly charset?: string | undefined
      /** What the client sends is UTF-8 from then on. */
      readonly utf8?: boolean
    }
  /** COM_RESET_CONNECTION: the session has begun anew. */
  | { readonly type: 'renewed' }
  /** The read-only guard: a target that refuses it is not worked with. */
  | { readonly type: 'guarded' }

/** A command that the target has to answer. */
export class Expectation {
  readonly answer: Answer
  readonly operation: Operation
  /** The sequence id of its first answer. */
  readonly sequence: number
  effect: Effect | undefined
  /** A statement of our own: the client never sees the answer. */
  ours = false
  /** A substitute: the payload of the ERR to give in place of the target's, and its sequence id for the client. */
  refusal: { readonly payload: Uint8Array; readonly sequence: number } | undefined
  /** Local files that its text asks for, and the one that was sent. */
  files: readonly string[] = []
  file: Payload | undefined
  /** The row limit is passed: nothing more reaches the client but an error with this sequence id. */
  withheld: { readonly sequence: number } | undefined

  constructor(answer: Answer, operation: Operation, sequence: number) {
    this.answer = answer
    this.operation = operation
    this.sequence = sequence
  }
}

/** An answer of our own, in its place among the target's. */
export interface OwnAnswer {
  readonly own: Uint8Array
}

/** A file that the target has asked the client for, while it comes. */
export interface Upload {
  readonly expectation: Expectation
  readonly name: string
  readonly hash: Hash
  bytes: number
  /** The sequence id of the file's next packet. */
  sequence: number
}

export class Session {
  readonly options: RelayOptions
  readonly agreed: Capabilities
  readonly ledger: Ledger
  readonly statements = new Statements()
  readonly queue: (Expectation | OwnAnswer)[] = []
  database: string | undefined
  /** Its answer tells what the commands behind it mean: in which database and character set, and of which session. */
  #unsettled: Expectation | undefined
  upload: Upload | undefined
  /** Asked for, and not yet carried out: what is sent meanwhile might be what it hits. */
  readonly cancels: Operation[] = []
  /** Where the target goes on counting, behind a file of the client. */
  sequenceBehindUpload: number | undefined
  /** A command waits, for a verdict or for the answers before it. */
  waiting = false
  charset: number
  /** The character set of texts, where a statement has set another since the login. */
  charsetSet: string | undefined
  /** What the target asked us last: COM_CHANGE_USER begins with an answer to it. */
  challenge: Challenge
  #status: number
  /** A statement has set, or the target has told, that texts may be read otherwise; until the session begins anew. */
  #unclear = false
  #utf8: boolean
  #steps: Step[] = []
  readonly #metas = new Map<string, Payload>()

  constructor(options: RelayOptions) {
    this.options = options
    this.agreed = options.ready.capabilities
    this.ledger = new Ledger(options.firstOperation, (event) => this.record(event))
    this.database = options.database
    this.charset = options.login.charset
    this.#utf8 = isUtf8(charsetName(this.charset))
    this.challenge = options.ready.challenge
    this.#status = options.ready.status
  }

  record(event: RelayEvent): void {
    this.#steps.push({ type: 'record', event })
  }

  send(to: Side, bytes: Uint8Array): void {
    if (bytes.length > 0) this.#steps.push({ type: 'send', to, bytes })
  }

  step(step: Step): void {
    this.#steps.push(step)
  }

  /** The steps so far; the next call collects anew. */
  take(): readonly Step[] {
    const steps = this.#steps
    this.#steps = []
    return steps
  }

  get crowded(): boolean {
    return this.queue.length >= UNANSWERED_MAX
  }

  /** Whether the next command must wait to be understood. */
  get unsettled(): boolean {
    return this.#unsettled !== undefined
  }

  awaitEffect(item: Expectation, effect: Effect): void {
    item.effect = effect
    this.#unsettled = item
  }

  /** The answer at the head of the queue is over. */
  answered(): void {
    if (this.queue.shift() === this.#unsettled) this.#unsettled = undefined
  }

  get inTransaction(): boolean {
    return (this.#status & STATUS.IN_TRANSACTION) !== 0
  }

  /** Whether every parser reads this text alike, as this session's. */
  readsAlike(text: Uint8Array): boolean {
    const odd = STATUS.NO_BACKSLASH_ESCAPES | STATUS.ANSI_QUOTES
    if (this.#unclear || isUnsafeCollation(this.charset) || (this.#status & odd) !== 0) return false
    return this.#utf8 || text.every((byte) => byte < 0x80)
  }

  set utf8(is: boolean) {
    this.#utf8 = is
  }

  /** Texts may be read otherwise from here on. */
  makeUnclear(): void {
    this.#unclear = true
  }

  /** What the target says of its state, with each result. */
  learn({ status, changes }: Pick<Ok, 'status' | 'changes'>): void {
    this.#status = status
    for (const change of changes) {
      if (change.type === 'schema') this.database = change.name
      else if (change.type === 'variable' && change.name === 'character_set_client') {
        this.learnCharset(change.value)
        this.#utf8 = isUtf8(change.value)
      }
    }
  }

  learnCharset(name: string): void {
    this.charsetSet = name
    if (/^(?:big5|sjis|gbk|cp932|gb18030|gb2312|euckr)$/i.test(name)) this.#unclear = true
  }

  /** The target has begun the session anew, for COM_RESET_CONNECTION or COM_CHANGE_USER. */
  renew(charset: number): void {
    this.statements.clear()
    this.charset = charset
    this.charsetSet = undefined
    this.#utf8 = isUtf8(charsetName(charset))
    this.#unclear = false
  }

  /** The circumstances of an operation; `more` makes them its own. */
  meta(more?: Record<string, unknown>): Payload {
    const circumstances = {
      ...(this.database === undefined ? {} : { database: this.database }),
      transaction: this.inTransaction ? 'open' : 'none',
      charset: this.charsetSet ?? charsetName(this.charset),
      pid: this.options.ready.threadId,
    }
    if (more !== undefined) return json('meta', { ...circumstances, ...more })
    const key = `${circumstances.transaction} ${circumstances.charset} ${this.database ?? ''}`
    const found = this.#metas.get(key)
    if (found !== undefined) return found
    const made = json('meta', circumstances, true)
    if (this.#metas.size >= METAS_MAX) this.#metas.clear()
    this.#metas.set(key, made)
    return made
  }

  recordName(operation: number): string {
    return `${this.options.session}.${operation}`
  }
}

/** The same few bodies over and over, so that the recorder may know them again. */
const METAS_MAX = 64
