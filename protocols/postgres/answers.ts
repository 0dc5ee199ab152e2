/**
 * The server's side of a relay: each answer finds what it answers at the head of the queue. Rows are counted by
 * their headers and go on as views; only what decides something is looked into.
 */
import { decodeLossy, ProtocolError, Reader } from '../bytes.ts'
import { type Fields, fields, transactionStatus } from './backend.ts'
import { addCopyData, endCopy, startCopy } from './copies.ts'
import { BACKEND_LENGTHS, Cutter, HEADER_BYTES, type Manner } from './frames.ts'
import { oids } from './frontend.ts'
import type { Operation, Result } from './operations.ts'
import type { Expectation, Withheld } from './queue.ts'
import { encodeError } from './refusal.ts'
import { resultOf, type Tag, tagOf } from './results.ts'
import type { Session } from './session.ts'

/** Of these only the header matters, and they may be long. */
const STREAMED: ReadonlySet<number> = new Set(Array.from('ADNTVd', (tag) => tag.charCodeAt(0)))

/** A limit was passed where only the end of the connection is a truthful answer. */
export class LimitPassed extends Error {
  override readonly name = 'LimitPassed'
}

export class Answers {
  readonly #session: Session
  readonly #cutter = new Cutter((tag, length) => manner(tag, length))
  /** Of the message that is coming in pieces: whether the client gets them. */
  #passing = true
  /** The client has got the beginning of a message and not its end. */
  #inside = false
  #fatal = false

  constructor(session: Session) {
    this.#session = session
  }

  /** Whether the client has got whole messages only: something of ours may be put behind them. */
  get between(): boolean {
    return !this.#inside
  }

  /** The server has told the client itself that the connection ends. */
  get fatal(): boolean {
    return this.#fatal
  }

  receive(chunk: Uint8Array): void {
    const cutter = this.#cutter
    cutter.feed(chunk)
    for (let cut = cutter.next(); cut !== 'none'; cut = cutter.next()) {
      if (cut === 'message') this.#message(cutter.tag, cutter.bytes, cutter.start, cutter.end)
      else this.#piece(cutter.tag, cutter.bytes, cutter.start, cutter.end)
    }
  }

  #pass(bytes: Uint8Array, start: number, end: number): void {
    this.#session.flow.pass('client', bytes, start, end)
  }

  #piece(tag: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#cutter.first) this.#passing = this.#begin(String.fromCharCode(tag))
    if (!this.#passing) return
    const copy = tag === COPY_DATA ? this.#session.queue.head?.copy : undefined
    if (copy !== undefined) {
      addCopyData(
        this.#session,
        copy,
        'out',
        bytes.subarray(start + (this.#cutter.first ? HEADER_BYTES : 0), end),
      )
    }
    this.#pass(bytes, start, end)
    this.#inside = !this.#cutter.last
  }

  /** A message that is told in pieces; says whether the client gets it. */
  #begin(tag: string): boolean {
    switch (tag) {
      case 'D':
        return this.#row(this.#running('a row'))
      case 'T': {
        const head = this.#session.queue.head
        if (head?.kind === 'describe') this.#settle(head)
        return head?.kind === 'describe' || this.#running('a description of rows').withheld === undefined
      }
      case 'V':
        this.#callResult()
        return true
      case 'd':
        if (this.#session.queue.head?.copy === undefined) throw unexpected('COPY data')
        return this.#session.queue.head.copy.mode === 'out' ? this.#row(this.#running('COPY data')) : true
      default:
        // Notices and notifications come at any time and answer nothing.
        return true
    }
  }

  #message(tag: number, bytes: Uint8Array, start: number, end: number): void {
    const { queue } = this.#session
    switch (String.fromCharCode(tag)) {
      case '1':
        this.#parsed(this.#expected('parse'))
        break
      case '2':
        this.#bound(this.#expected('bind'))
        break
      case '3':
        this.#settle(this.#expected('close'))
        break
      case 'n':
        this.#settle(this.#expected('describe'))
        break
      case 't':
        this.#describeParameters(this.#expected('describe'), new Reader(bytes, start + HEADER_BYTES, end))
        break
      case 'S':
        this.#parameterStatus(new Reader(bytes, start + HEADER_BYTES, end))
        break
      case 'C':
      case 'I':
      case 's':
        this.#complete(String.fromCharCode(tag), bytes, start, end)
        return
      case 'E':
        this.#error(fields(new Reader(bytes, start + HEADER_BYTES, end)), bytes, start, end)
        return
      case 'Z':
        this.#ready(bytes[start + HEADER_BYTES] ?? 0)
        break
      case 'c':
        if (queue.head?.copy === undefined) throw unexpected('the end of COPY data')
        if (queue.head.withheld !== undefined) return
        break
      default:
        if (!this.#startCopy(tag)) return
    }
    this.#pass(bytes, start, end)
  }

  /** Says whether the client hears of it: behind a withheld result it is not asked for data any more. */
  #startCopy(tag: number): boolean {
    const head = this.#running('COPY')
    const mode = tag === COPY_IN ? 'in' : tag === COPY_OUT ? 'out' : 'both'
    if (head.withheld !== undefined && mode !== 'out')
      throw new LimitPassed('more rows than allowed, before a COPY')
    startCopy(this.#session, head, mode)
    return head.withheld === undefined
  }

  #expected(kind: Expectation['kind']): Expectation {
    const head = this.#session.queue.head
    if (head?.kind !== kind) throw unexpected(`an answer to ${kind}`)
    return head
  }

  /** The statement that produces results. */
  #running(what: string): Expectation {
    const head = this.#session.queue.head
    if (head === undefined || (head.kind !== 'query' && head.kind !== 'execute')) throw unexpected(what)
    if (head.refusal !== undefined) throw new ProtocolError(`the server ran what it was to refuse: ${what}`)
    this.#passed(head)
    return head
  }

  /** An answer to something sent after a COPY: the server has dealt with every Sync that came before. */
  #passed(head: Expectation): void {
    const { strays } = this.#session
    if (strays !== undefined && strays.host !== head) this.#session.strays = undefined
  }

  /** A message that has but one answer has got it, and has had its effect on names. */
  #settle(head: Expectation): void {
    this.#passed(head)
    this.#session.queue.shift()
    this.#session.settle(head, true)
  }

  #parsed(head: Expectation): void {
    if (head.refusal !== undefined) throw new ProtocolError('the server parsed what it was to refuse')
    this.#settle(head)
    if (head.operation !== undefined) this.#session.ledger.end(head.operation, 'ok')
  }

  #bound(head: Expectation): void {
    if (head.refusal !== undefined) throw new ProtocolError('the server bound what it was to refuse')
    if (head.portal !== undefined) head.portal.bound = true
    this.#settle(head)
  }

  #describeParameters(head: Expectation, body: Reader): void {
    const types = oids(body)
    body.end()
    if (head.statement !== undefined) head.statement.types = types
  }

  #parameterStatus(body: Reader): void {
    const name = decodeLossy(body.cbytes())
    const value = decodeLossy(body.cbytes())
    body.end()
    this.#session.setting(name, value)
  }

  /** Counts a row; the one above the limit, and all behind it, stay here. */
  #row(head: Expectation): boolean {
    const { operation, portal } = head
    if (operation === undefined || head.withheld !== undefined) return false
    const max = this.#session.options.rowsMax
    if (max !== undefined) {
      const rows = portal === undefined ? ++operation.rowsInAll : ++portal.rows
      if (rows > max) {
        this.#withhold(head, operation, max)
        return false
      }
    }
    operation.rows++
    operation.bytes += this.#cutter.length
    return true
  }

  /** Asks the server to stop; its error, or whatever else it says of this statement, is replaced by ours. */
  #withhold(head: Expectation, { number }: Operation, max: number): void {
    const { ledger, flow } = this.#session
    const meta = this.#session.meta(undefined, { gateway: true })
    const error = encodeError('ERROR', '57014', {
      M: `more than ${max} rows`,
      D: `Your role allows ${max} rows of one statement; the rest was withheld.`,
      H: `Narrow the query, or ask for another role.\nRecord ${this.#session.recordName(number)}.`,
    })
    head.withheld = { error, told: false }
    this.#session.cancels.push(ledger.begin('db.cancel', [meta], { parent: number }))
    flow.step({ type: 'cancel' })
  }

  /** CommandComplete, EmptyQueryResponse, PortalSuspended: the end of a result. */
  #complete(kind: string, bytes: Uint8Array, start: number, end: number): void {
    const session = this.#session
    const head = this.#running('the end of a statement')
    const { operation } = head
    if (operation === undefined || (kind === 's' && head.kind !== 'execute'))
      throw unexpected('PortalSuspended')
    const tag = kind === 'C' ? tagOf(bytes, start + HEADER_BYTES, end) : NO_TAG
    // Without a count of the server's, as for SHOW, the rows seen are counted; of those withheld it does not tell.
    const rows = kind === 's' ? operation.rows : head.withheld === undefined ? tag.rows : undefined
    if (head.copy !== undefined) endCopy(this.#session, head, 'ok', rows === undefined ? {} : { rows })
    head.answered = true
    const result: Result =
      kind === 's' ? { outcome: 'ok', suspended: true, rows } : { outcome: 'ok', tag: tag.text, rows }
    // What such a tag says of names must be known for each.
    session.ledger.add(operation, result, tag.changesNames)
    session.flow.hold()
    if (head.kind === 'execute') this.#executed(head)
    if (head.withheld === undefined) this.#pass(bytes, start, end)
    else if (!head.withheld.told) this.#overtaken(head, head.withheld)
  }

  #executed(head: Expectation): void {
    this.#session.queue.shift()
    this.#session.settle(head, true)
    this.#finish(head)
  }

  #finish(head: Expectation): void {
    const { ledger } = this.#session
    this.#session.endCopies(head)
    if (head.operation !== undefined) ledger.finish(head.operation)
  }

  /**
   * The statement was over before the cancel reached it. The client is told of an error all the same, for rows are
   * missing; where it would take what it has sent behind as skipped, while the server runs it, the two could no
   * longer agree, and only the end of the connection is left.
   */
  #overtaken(head: Expectation, withheld: Withheld): void {
    const next = this.#session.queue.head
    if (head.kind === 'execute' && next !== undefined && next.kind !== 'sync') {
      throw new LimitPassed('more rows than allowed, in the middle of a pipeline')
    }
    withheld.told = true
    this.#session.flow.insert('client', withheld.error)
  }

  #callResult(): void {
    const head = this.#expected('call')
    if (head.refusal !== undefined) throw new ProtocolError('the server called what it was to refuse')
    this.#passed(head)
    if (head.operation !== undefined) this.#session.ledger.add(head.operation, { outcome: 'ok' })
    head.answered = true
    this.#session.flow.hold()
  }

  #error(found: Fields, bytes: Uint8Array, start: number, end: number): void {
    const session = this.#session
    const head = session.queue.head
    const result = resultOf(found)
    session.flow.hold()
    const severity = decodeLossy(found.get('V') ?? found.get('S') ?? NOTHING)
    if (severity === 'FATAL' || severity === 'PANIC') {
      this.#fatal = true
      if (head?.operation !== undefined) session.ledger.add(head.operation, { ...result, outcome: 'aborted' })
      this.#pass(bytes, start, end)
      return
    }
    if (head === undefined) {
      this.#pass(bytes, start, end)
      return
    }
    this.#failed(head, result)
    const { refusal, withheld } = head
    const ours = refusal ?? (result.code === '57014' ? withheld?.error : undefined)
    if (withheld?.told === true) return
    if (withheld !== undefined) withheld.told = true
    if (ours === undefined) this.#pass(bytes, start, end)
    else session.flow.insert('client', ours)
  }

  #failed(head: Expectation, result: Result): void {
    const session = this.#session
    this.#passed(head)
    if (session.copyHost === head) session.copyHost = undefined
    endCopy(this.#session, head, 'error', result.code === undefined ? {} : { code: result.code })
    if (head.kind === 'sync') {
      this.#failedCommit(result)
      return
    }
    if (head.operation !== undefined) session.ledger.add(head.operation, result)
    if (head.kind === 'query' || head.kind === 'call') {
      head.answered = true
      return
    }
    session.queue.shift()
    session.settle(head, false)
    if (head.kind === 'parse' && head.name === '') session.statements.drop('')
    if (head.operation !== undefined) this.#finish(head)
    else session.endCopies(head)
    this.#skip()
  }

  /** The server discards everything up to the next Sync, a simple Query among it, without an answer. */
  #skip(): void {
    const { queue } = this.#session
    for (let head = queue.head; head?.kind !== 'sync'; head = queue.head) {
      if (head === undefined) {
        this.#session.skipping = true
        break
      }
      queue.shift()
      this.#session.skip(head)
    }
    if (this.#session.strays !== undefined) this.#session.doubt = queue.length > 0 ? 'ready' : 'sync'
  }

  /** At a Sync the implicit transaction commits. That it failed would else be known to nobody but the client. */
  #failedCommit(result: Result): void {
    const { ledger } = this.#session
    const operation = ledger.begin('db.other', [this.#session.meta(undefined, { commit: 'sync' })])
    ledger.add(operation, result)
    ledger.finish(operation)
  }

  #ready(byte: number): void {
    const session = this.#session
    const status = transactionStatus(byte)
    const head = session.queue.head
    const due = head?.kind === 'sync' || ((head?.kind === 'query' || head?.kind === 'call') && head.answered)
    if (due && head !== undefined) {
      session.queue.shift()
      session.settle(head, true)
      if (head.operation !== undefined) this.#finish(head)
    } else if (session.strays !== undefined && session.strays.count > 0) {
      session.strays.count--
      session.skipping = false
    } else throw unexpected('ReadyForQuery')
    session.doubt = undefined
    session.becomeReady(status)
  }
}

function manner(tag: number, length: number): Manner {
  const lengths = BACKEND_LENGTHS.get(tag)
  if (lengths === undefined) throw new ProtocolError(`the server sent a message of unknown type ${tag}`)
  if (length < lengths[0] || length > lengths[1]) {
    throw new ProtocolError(`the server sent a message ${String.fromCharCode(tag)} of ${length + 4} bytes`)
  }
  return STREAMED.has(tag) ? 'stream' : 'whole'
}

function unexpected(what: string): ProtocolError {
  return new ProtocolError(`the server sent ${what} that nothing had asked for`)
}

const COPY_DATA = 'd'.charCodeAt(0)
const COPY_IN = 'G'.charCodeAt(0)
const COPY_OUT = 'H'.charCodeAt(0)
const NOTHING = new Uint8Array(0)
const NO_TAG: Tag = { text: '', rows: undefined, changesNames: false }
