/**
 * How a target answers one command: which of its packets tell an outcome and must be read, which only pass. A
 * packet means something only by its place: a row may begin with the bytes of an OK, an EOF or a file request.
 */
import { decodeLossy, duplicate, ProtocolError } from '../bytes.ts'
import { type Capabilities, EXTENDED, FLAG, has, hasExtended } from './capabilities.ts'
import { PAYLOAD_MAX } from './packets.ts'
import {
  decodeColumnCount,
  decodeEof,
  decodeError,
  decodeOk,
  decodePrepareAnswer,
  type ErrorAnswer,
  type Ok,
  OUTCOME_BYTES_MAX,
  type PrepareAnswer,
  STATUS,
} from './results.ts'

export type AnswerKind =
  /** COM_QUERY, COM_STMT_EXECUTE and COM_PROCESS_INFO: results, one or several. */
  | 'results'
  /** The rows that COM_STMT_FETCH takes from a cursor. */
  | 'rows'
  /** COM_FIELD_LIST: column definitions up to their end. */
  | 'columns'
  /** COM_STMT_PREPARE. */
  | 'prepared'
  /** An OK, or what stands for it. */
  | 'ok'
  /** COM_STATISTICS: one packet of text. */
  | 'text'

/** What a packet that was read tells. */
export type Told =
  | { readonly type: 'nothing' | 'text' }
  | { readonly type: 'ok'; readonly ok: Ok; readonly rows: number | undefined; readonly more: boolean }
  | { readonly type: 'prepared'; readonly prepared: PrepareAnswer }
  | { readonly type: 'error'; readonly error: ErrorAnswer }
  | { readonly type: 'file'; readonly name: Uint8Array }

const NOTHING: Told = { type: 'nothing' }
const EMPTY = new Uint8Array(0)
/** MySQL has at most 4,096 columns; definitions only pass, so this bounds a lie and not memory. */
const COLUMNS_MAX = 65_535
/** In place of an error's number it announces a report on how far a MariaDB server has come. */
const PROGRESS = 0xffff

export class Answer {
  readonly kind: AnswerKind
  /** Nothing more of it will come. */
  over = false
  /** Rows of the result under way, and the bytes of their packets. */
  rows = 0
  bytes = 0
  readonly #agreed: Capabilities
  readonly #deprecatesEof: boolean
  readonly #tellsDefinitions: boolean
  #phase: 'first' | 'definitions' | 'definitions-end' | 'rows'
  /** Definitions still to come, in groups: a prepared statement has those of its parameters and of its columns. */
  #definitions = 0
  readonly #groups: number[] = []

  constructor(kind: AnswerKind, agreed: Capabilities) {
    this.kind = kind
    this.#agreed = agreed
    this.#deprecatesEof = has(agreed, FLAG.DEPRECATE_EOF)
    this.#tellsDefinitions =
      has(agreed, FLAG.OPTIONAL_RESULTSET_METADATA) || hasExtended(agreed, EXTENDED.CACHE_METADATA)
    this.#phase = kind === 'rows' || kind === 'columns' ? 'rows' : 'first'
  }

  /** What passes next is rows, not definitions. */
  get inRows(): boolean {
    return this.#phase === 'rows' && this.kind !== 'columns'
  }

  /** Whether the packet must be read whole, and how long it may be then; 0: it passes. By its first byte and length. */
  reads(first: number, length: number): number {
    if (first === -1) throw new ProtocolError('an empty packet in an answer')
    switch (this.#phase) {
      case 'first':
        return OUTCOME_BYTES_MAX
      case 'definitions':
        return first === 0xff ? OUTCOME_BYTES_MAX : 0
      case 'definitions-end':
        return OUTCOME_BYTES_MAX
      case 'rows':
        return first === 0xff || this.#endsRows(first, length) ? OUTCOME_BYTES_MAX : 0
    }
  }

  /** An 0xfe that begins a row stands before eight bytes of length, of a value that fills a whole packet. */
  #endsRows(first: number, length: number): boolean {
    return first === 0xfe && (this.#deprecatesEof ? length < PAYLOAD_MAX : length < 9)
  }

  /** A packet has passed to its end. */
  passed(size: number): void {
    if (this.#phase === 'rows') {
      this.rows++
      this.bytes += size
    } else if (this.#phase === 'definitions' && --this.#definitions === 0) this.#endDefinitions()
  }

  read(payload: Uint8Array): Told {
    const first = payload[0]
    if (first === 0xff) return this.#readError(payload)
    switch (this.#phase) {
      case 'first':
        return this.#readFirst(payload, first)
      case 'definitions-end':
        return this.#readDefinitionsEnd(payload)
      default:
        return this.#readEnd(payload)
    }
  }

  #readError(payload: Uint8Array): Told {
    const error = decodeError(payload)
    if (error.code === PROGRESS && this.#phase === 'first' && hasExtended(this.#agreed, EXTENDED.PROGRESS)) {
      return NOTHING
    }
    this.over = true
    return { type: 'error', error: { ...error, message: duplicate(error.message) } }
  }

  #readFirst(payload: Uint8Array, first: number | undefined): Told {
    switch (this.kind) {
      case 'text':
        this.over = true
        return { type: 'text' }
      case 'prepared':
        if (first !== 0x00) throw unexpected(first, 'COM_STMT_PREPARE')
        return this.#readPrepared(decodePrepareAnswer(payload, this.#agreed))
      case 'ok':
        if (first !== 0x00 && first !== 0xfe) throw unexpected(first, 'a command without a result')
        return this.#readEnd(payload)
      default:
        if (first === 0x00) return this.#readEnd(payload)
        if (first === 0xfb) return { type: 'file', name: duplicate(payload, 1) }
        return this.#readColumnCount(payload)
    }
  }

  #readPrepared(prepared: PrepareAnswer): Told {
    // Each group has its EOF, even where its definitions are left out.
    const { params, columns, defined } = prepared
    this.#groups.push(...[params, columns].filter((count) => count > 0))
    if (!defined) this.#groups.fill(0)
    this.#nextGroup()
    return { type: 'prepared', prepared }
  }

  #readColumnCount(payload: Uint8Array): Told {
    const { columns, defined } = decodeColumnCount(payload, this.#tellsDefinitions)
    if (columns > COLUMNS_MAX) throw new ProtocolError(`a result of ${columns} columns`)
    this.#groups.push(defined ? columns : 0)
    this.#nextGroup()
    return NOTHING
  }

  #nextGroup(): void {
    const count = this.#groups.shift()
    if (count === undefined) {
      if (this.kind === 'prepared') this.over = true
      else this.#phase = 'rows'
      return
    }
    this.#definitions = count
    if (count > 0) this.#phase = 'definitions'
    else this.#endDefinitions()
  }

  #endDefinitions(): void {
    if (this.#deprecatesEof) this.#nextGroup()
    else this.#phase = 'definitions-end'
  }

  #readDefinitionsEnd(payload: Uint8Array): Told {
    if (payload[0] !== 0xfe) throw unexpected(payload[0], 'column definitions')
    const { status, warnings } = decodeEof(payload)
    // With a cursor the rows are asked for later, and this is all there is.
    if (this.kind === 'results' && (status & STATUS.CURSOR_EXISTS) !== 0) {
      return this.#ended({ affected: 0n, insertId: 0n, status, warnings, info: EMPTY, changes: [] }, 0)
    }
    this.#nextGroup()
    return NOTHING
  }

  /** An OK, an EOF, or an OK in the place of an EOF. */
  #readEnd(payload: Uint8Array): Told {
    const eof = payload[0] === 0xfe && !this.#deprecatesEof
    const ok: Ok = eof
      ? { affected: 0n, insertId: 0n, info: EMPTY, changes: [], ...decodeEof(payload) }
      : decodeOk(payload, this.#agreed)
    const rows = this.#phase === 'rows' ? this.rows : undefined
    return this.#ended(ok, rows)
  }

  #ended(ok: Ok, rows: number | undefined): Told {
    const more = this.kind === 'results' && (ok.status & STATUS.MORE_RESULTS) !== 0
    if (more) this.#phase = 'first'
    else this.over = true
    return { type: 'ok', ok, rows, more }
  }

  /** The next result counts anew. */
  clear(): void {
    this.rows = 0
    this.bytes = 0
  }
}

function unexpected(first: number | undefined, where: string): ProtocolError {
  return new ProtocolError(`the target answers ${where} with 0x${(first ?? 0).toString(16)}`)
}

/** How an error is shown in a record: with its SQLSTATE, as clients print it. */
export function describeError({ code, state, message }: ErrorAnswer): string {
  return `ERROR ${code}${state === '' ? '' : ` (${state})`}: ${decodeLossy(message)}`
}
