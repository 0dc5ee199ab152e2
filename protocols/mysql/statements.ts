/**
 * Prepared statements: which text runs when one is executed, with which types, and with what was sent ahead.
 * The target gives the numbers; -1 means the last one prepared, which may not have its number yet.
 */
import { createHash, type Hash } from 'node:crypto'
import { duplicate, ProtocolError, Writer } from '../bytes.ts'
import type { Payload } from '../events.ts'
import { describeBytes, type ParamType, type Value } from './values.ts'

/** MySQL's own default for a whole server. */
const STATEMENTS_MAX = 16_382
/** Text that is kept for all statements of a session; of others the operation that prepared them is named. */
const TEXT_BYTES_MAX = 16 << 20
/** Values sent ahead and not yet used, and how much of them is kept to be shown; of all, length and hash. */
const AHEAD_VALUES_MAX = 1024
const AHEAD_BYTES_MAX = 1 << 20

const NONE_AHEAD: ReadonlyMap<number, Value> = new Map()

/** The last statement prepared, for MariaDB's pipelines. */
const LAST_STATEMENT = 0xffff_ffff

/** A value that comes in pieces, by COM_STMT_SEND_LONG_DATA. */
class LongValue {
  bytes = 0
  readonly #hash: Hash = createHash('sha256')
  #kept: Writer | undefined = new Writer()

  /** How many bytes this keeps. */
  get kept(): number {
    return this.#kept?.length ?? 0
  }

  add(piece: Uint8Array, room: number): void {
    this.bytes += piece.length
    this.#hash.update(piece)
    if (piece.length > room) this.#kept = undefined
    else this.#kept?.bytes(piece)
  }

  describe(): Value {
    if (this.#kept !== undefined) return describeBytes(this.#kept.done())
    return { bytes: this.bytes, sha256: this.#hash.digest('hex') }
  }
}

export class Prepared {
  /** Undefined once the session keeps too much text. */
  readonly sql: Payload | undefined
  /** The operation that prepared it. */
  readonly preparedBy: number
  readonly rule: string | undefined
  /** Names of local files that its text asks for. */
  readonly files: readonly string[]
  id: number | undefined
  /** What the target told; before that, what the text seems to have. */
  params: number | undefined
  /** An execution was decoded by what the text seems to have. */
  assumed = false
  types: readonly ParamType[] = []
  readonly ahead = new Map<number, LongValue>()
  /** A value was refused because of its length: an execution would run without it. */
  incomplete = false
  /** The execution whose cursor COM_STMT_FETCH reads. */
  executedBy: number | undefined

  constructor(sql: Payload | undefined, facts: Pick<Prepared, 'preparedBy' | 'rule' | 'files' | 'params'>) {
    this.sql = sql
    this.preparedBy = facts.preparedBy
    this.rule = facts.rule
    this.files = facts.files
    this.params = facts.params
  }
}

export class Statements {
  readonly #byId = new Map<number, Prepared>()
  /** Those with values sent ahead. */
  readonly #waiting = new Set<Prepared>()
  #textBytes = 0
  #unconfirmed = 0
  /** `refused`: an execution of -1 must not reach an older statement. */
  #last: Prepared | undefined | 'refused'

  /** How many the target has not answered for. */
  get unconfirmed(): number {
    return this.#unconfirmed
  }

  /** The text as a payload that lasts, where there is room for it. */
  keepText(text: Uint8Array): Payload | undefined {
    if (this.#textBytes + text.length > TEXT_BYTES_MAX) return undefined
    this.#textBytes += text.length
    return { type: 'sql', body: duplicate(text), repeats: true }
  }

  /** Sent to the target, which has not answered. */
  announce(prepared: Prepared): void {
    if (this.#byId.size >= STATEMENTS_MAX) throw new ProtocolError(`${STATEMENTS_MAX} prepared statements`)
    this.#last = prepared
    this.#unconfirmed++
  }

  refuse(): void {
    this.#last = 'refused'
  }

  confirm(prepared: Prepared, id: number, params: number): void {
    this.#unconfirmed--
    if (prepared.assumed && prepared.params !== params) {
      throw new ProtocolError(`a statement of ${params} parameters where its text shows ${prepared.params}`)
    }
    prepared.id = id
    prepared.params = params
    this.#byId.set(id, prepared)
  }

  /** The target refused it. */
  fail(prepared: Prepared): void {
    this.#unconfirmed--
    this.#drop(prepared)
  }

  find(id: number): Prepared | undefined | 'refused' {
    return id === LAST_STATEMENT ? this.#last : this.#byId.get(id)
  }

  close(id: number): void {
    const prepared = this.find(id)
    if (prepared === undefined || prepared === 'refused') return
    if (prepared.id !== undefined) this.#byId.delete(prepared.id)
    this.#drop(prepared)
  }

  /** COM_RESET_CONNECTION and COM_CHANGE_USER leave none. */
  clear(): void {
    this.#byId.clear()
    this.#waiting.clear()
    this.#last = undefined
    this.#textBytes = 0
  }

  /** A piece of a value. */
  addAhead(prepared: Prepared, param: number, piece: Uint8Array): void {
    let [count, kept] = [0, 0]
    for (const { ahead } of this.#waiting) {
      count += ahead.size
      for (const value of ahead.values()) kept += value.kept
    }
    let value = prepared.ahead.get(param)
    if (value === undefined) {
      if (count >= AHEAD_VALUES_MAX) throw new ProtocolError(`${AHEAD_VALUES_MAX} values sent ahead`)
      value = new LongValue()
      prepared.ahead.set(param, value)
      this.#waiting.add(prepared)
    }
    value.add(piece, AHEAD_BYTES_MAX - kept)
  }

  /** What was sent ahead, as the record shows it. It is used up by an execution, whatever becomes of that. */
  takeAhead(prepared: Prepared): ReadonlyMap<number, Value> {
    if (prepared.ahead.size === 0 && !prepared.incomplete) return NONE_AHEAD
    const values = new Map([...prepared.ahead].map(([param, value]) => [param, value.describe()] as const))
    this.forgetAhead(prepared)
    return values
  }

  forgetAhead(prepared: Prepared): void {
    prepared.ahead.clear()
    prepared.incomplete = false
    this.#waiting.delete(prepared)
  }

  #drop(prepared: Prepared): void {
    this.#textBytes -= prepared.sql?.body.length ?? 0
    this.#waiting.delete(prepared)
    if (this.#last === prepared) this.#last = undefined
  }
}
