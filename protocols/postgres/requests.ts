/**
 * The client's side of a relay. Everything is framed here; what cannot be framed is not forwarded, and what is
 * refused is replaced by a statement that the server refuses by itself, so that both go on agreeing about
 * transactions, savepoints and what is skipped until the next Sync.
 */
import { createHash, type Hash } from 'node:crypto'
import { duplicate, ProtocolError } from '../bytes.ts'
import type { Payload } from '../events.ts'
import { json } from '../payloads.ts'
import type { Statement, Verdict } from '../relay.ts'
import { announce, announceSubstitute } from './announce.ts'
import { addCopyData, copyOf } from './copies.ts'
import { Cutter, FRONTEND_LENGTHS, HEADER_BYTES, type Manner, message } from './frames.ts'
import { decodeFrontend, type FrontendMessage } from './frontend.ts'
import { nameKey } from './names.ts'
import { Expectation } from './queue.ts'
import { encodeError, refuse } from './refusal.ts'
import { type Session, STATEMENT_BYTES_MAX } from './session.ts'
import { dependable } from './statements.ts'
import { type Refusable, substituteFor } from './substitutes.ts'
import { describeArguments, describeCall } from './values.ts'

const COPY_DATA = 'd'.charCodeAt(0)

/** What may come while the server takes COPY data; anything else makes PostgreSQL lose its place and give up. */
const DURING_COPY: ReadonlySet<FrontendMessage['type']> = new Set([
  'copy-done',
  'copy-fail',
  'flush',
  'sync',
  'terminate',
])

/** A message that waits, copied: for a verdict, or for answers of the server without which it has two meanings. */
interface Waiting {
  readonly for: 'verdict' | 'answer'
  readonly message: FrontendMessage
  readonly bytes: Uint8Array
}

export class Requests {
  readonly #session: Session
  readonly #cutter = new Cutter((tag, length) => this.#manner(tag, length))
  readonly #bytesMax: number
  #waiting: Waiting | undefined
  /** Of a statement above the limit, while it comes in. */
  #oversized: Hash | undefined
  #terminated = false

  constructor(session: Session) {
    this.#session = session
    this.#bytesMax = session.options.statementBytesMax ?? STATEMENT_BYTES_MAX
  }

  get waiting(): boolean {
    return this.#waiting !== undefined
  }

  /** Whether no message has come in part only. */
  get between(): boolean {
    return this.#waiting === undefined && this.#cutter.empty
  }

  /** The client has said goodbye. */
  get terminated(): boolean {
    return this.#terminated
  }

  receive(chunk: Uint8Array): void {
    this.#cutter.feed(chunk)
    this.#go()
  }

  /** Something has come: perhaps what was waited for. */
  resume(): void {
    const waiting = this.#waiting
    if (waiting?.for !== 'answer') return
    this.#waiting = undefined
    this.#take(waiting.message, waiting.bytes, 0, waiting.bytes.length)
    this.#go()
  }

  verdict(verdict: Verdict): void {
    const waiting = this.#waiting
    if (waiting?.for !== 'verdict') throw new TypeError('a verdict that was not asked for')
    this.#waiting = undefined
    this.#decide(verdict, waiting.message, waiting.bytes, 0, waiting.bytes.length)
    this.#go()
  }

  #go(): void {
    while (this.#waiting === undefined && !this.#terminated) {
      const cut = this.#cutter.next()
      if (cut === 'none') return
      const { tag, bytes, start, end } = this.#cutter
      if (cut === 'message')
        this.#takeNew(decodeFrontend(tag, bytes, start + HEADER_BYTES, end), bytes, start, end)
      else if (tag === COPY_DATA) this.#copyData(bytes, start, end)
      else this.#dropOversized(bytes, start, end)
    }
    this.#cutter.keep()
  }

  #manner(tag: number, length: number): Manner {
    const lengths = FRONTEND_LENGTHS.get(tag)
    if (lengths === undefined) throw new ProtocolError(`invalid frontend message type ${tag}`)
    if (length < lengths[0] || length > lengths[1])
      throw new ProtocolError(`invalid message length ${length + 4}`)
    return tag === COPY_DATA || length > this.#bytesMax ? 'stream' : 'whole'
  }

  /** The client need not have asked for the answers that its message has to wait for, and then nobody has. */
  #takeNew(message: FrontendMessage, bytes: Uint8Array, start: number, end: number): void {
    this.#take(message, bytes, start, end)
    if (this.#waiting?.for !== 'answer' || this.#session.cancels.length > 0) return
    const { last } = this.#session.queue
    if (last !== undefined && !ANSWERED_AT_ONCE.has(last.kind)) this.#session.flow.insert('target', FLUSH)
  }

  #take(message: FrontendMessage, bytes: Uint8Array, start: number, end: number): void {
    const wait = DURING_COPY.has(message.type)
      ? undefined
      : (this.#waitFirst(message.type) ?? this.#wait(message))
    if (wait === undefined) {
      this.#forward(message, bytes, start, end)
      return
    }
    if (wait === 'refuse') {
      this.#refuse(message, readOnlyCall)
      return
    }
    const statement = wait === 'verdict' ? this.#statementOf(message) : undefined
    const verdict = statement === undefined ? undefined : this.#session.options.judgeAtOnce?.(statement)
    if (verdict !== undefined) {
      this.#decide(verdict, message, bytes, start, end)
      return
    }
    // The chunk goes back to its owner meanwhile, so the message is decoded again from a copy.
    const copy = duplicate(bytes, start, end)
    const again = decodeFrontend(copy[0] ?? 0, copy, HEADER_BYTES)
    this.#waiting = { for: wait, message: again, bytes: copy }
    if (wait === 'verdict') this.#session.flow.step({ type: 'judge', statement: this.#statementOf(again) })
  }

  #decide(verdict: Verdict, message: FrontendMessage, bytes: Uint8Array, start: number, end: number): void {
    if (verdict.allow) this.#forward(message, bytes, start, end, verdict.rule)
    else this.#refuse(message, (record) => refuse(verdict.refusal, 'ERROR', record), verdict.rule)
  }

  /** Whether it must first be known how a COPY before this has ended, or that a cancel does not hit this. */
  #waitFirst(type: string): Waiting['for'] | undefined {
    if (this.#session.takesCopyData())
      throw new ProtocolError(`unexpected message during COPY from stdin: ${type}`)
    if (this.#session.doubt === 'sync')
      throw new ProtocolError(`a Sync must follow failed COPY data, not ${type}`)
    const { copyHost, doubt, cancels } = this.#session
    return copyHost?.blurred === true || doubt === 'ready' || cancels.length > 0 ? 'answer' : undefined
  }

  #wait(message: FrontendMessage): Waiting['for'] | 'refuse' | undefined {
    const { statements, portals, batch, skipping, options } = this.#session
    // What the server is going to discard needs no judgement, and its names mean nothing.
    if (skipping) return undefined
    const judged = options.judge ? 'verdict' : undefined
    switch (message.type) {
      case 'bind':
        return statements.ambiguous(nameKey(message.statement), batch) ? 'answer' : judged
      case 'execute':
        // Its operation was begun with the Bind, if that succeeds.
        return portals.unsure(nameKey(message.portal), batch) ? 'answer' : undefined
      case 'describe':
        if (message.what === 'portal') return undefined
        return statements.ambiguous(nameKey(message.name), batch) ? 'answer' : undefined
      case 'query':
      case 'parse':
        return judged
      case 'call':
        return options.readOnly ? 'refuse' : judged
      default:
        return undefined
    }
  }

  /** What is not known has no text, and counts as a text that cannot be read. */
  #statementOf(message: FrontendMessage): Statement {
    const { options, reading } = this.#session
    const text = this.#textOf(message)
    if (text === undefined) return { text: NOTHING, database: options.database, dependable: false }
    const statement = { text, database: options.database, dependable: dependable(text, reading) }
    return message.type === 'bind' ? { ...statement, kept: true } : statement
  }

  #textOf(message: FrontendMessage): Uint8Array | undefined {
    if (message.type === 'query' || message.type === 'parse') return message.sql
    if (message.type !== 'bind') return undefined
    return this.#session.statements.get(nameKey(message.statement))?.sql?.body
  }

  #forward(message: FrontendMessage, bytes: Uint8Array, start: number, end: number, rule?: string): void {
    announce(this.#session, message, rule)
    this.#session.flow.pass('target', bytes, start, end)
    if (message.type === 'terminate') this.#terminated = true
  }

  /** `error` makes the client's answer, given the name of the record of the decision. */
  #refuse(message: FrontendMessage, error: (record: string) => Uint8Array, rule?: string): void {
    const { type } = message
    if (type !== 'query' && type !== 'parse' && type !== 'bind' && type !== 'call') {
      throw new TypeError(`${type} is nothing to be refused`)
    }
    const unnamed = type === 'parse' && message.name.length === 0
    const portal = type === 'bind' ? message.portal : undefined
    this.#replace(unnamed ? 'unnamed parse' : type, this.#refusedPayloads(message), error, rule, portal)
  }

  #refusedPayloads(message: FrontendMessage): Payload[] {
    const { encoding, options } = this.#session
    const payloads: Payload[] = []
    const sql = this.#textOf(message)
    if (sql !== undefined) payloads.push({ type: 'sql', body: sql })
    if (message.type === 'call') {
      payloads.push({ type: 'args', body: describeCall(message, encoding, options.parameters) })
    }
    if (message.type === 'bind') {
      const types = this.#session.statements.get(nameKey(message.statement))?.types
      const args = describeArguments(message, types, encoding, options.parameters)
      if (args !== undefined) payloads.push({ type: 'args', body: args })
    }
    return payloads
  }

  /** The decision first, then what goes to the server instead: a statement of our own, recorded like any. */
  #replace(
    refused: Refusable,
    payloads: readonly Payload[],
    error: (record: string) => Uint8Array,
    rule?: string,
    portal?: Uint8Array,
  ): void {
    const session = this.#session
    const substitute = substituteFor(refused, session.options.unguessable)
    const decision = session.ledger.decide(substitute.act, payloads, rule)
    // Discarded unseen it would be anyway.
    if (session.skipping) return
    const meta = json('meta', { gateway: true })
    const own: Payload[] =
      substitute.text === undefined ? [meta] : [{ type: 'sql', body: substitute.text }, meta]
    const item = new Expectation(
      substitute.kind,
      session.ledger.begin(substitute.act, own, { parent: decision }),
    )
    item.refusal = error(session.recordName(decision))
    announceSubstitute(session, item, refused, portal)
    session.flow.insert('target', substitute.bytes)
  }

  #copyData(bytes: Uint8Array, start: number, end: number): void {
    const copy = copyOf(this.#session)
    const body = bytes.subarray(start + (this.#cutter.first ? HEADER_BYTES : 0), end)
    if (copy !== undefined) addCopyData(this.#session, copy, 'in', body)
    this.#session.flow.pass('target', bytes, start, end)
  }

  /** Refused and not truncated; what it was stays provable by its hash. */
  #dropOversized(bytes: Uint8Array, start: number, end: number): void {
    if (this.#cutter.first) {
      if (this.#waitFirst('an oversized message') !== undefined) {
        throw new ProtocolError('an oversized message where the client has to wait')
      }
      this.#oversized = createHash('sha256')
    }
    this.#oversized?.update(bytes.subarray(start + (this.#cutter.first ? HEADER_BYTES : 0), end))
    if (!this.#cutter.last) return
    const { tag, length } = this.#cutter
    const payloads = [json('meta', { bytes: length, sha256: this.#oversized?.digest('hex') })]
    this.#oversized = undefined
    this.#replace(OVERSIZED.get(tag) ?? 'query', payloads, (record) =>
      encodeError('ERROR', '54000', {
        M: `a statement of ${length} bytes is too long to be recorded`,
        D: `This gateway records statements of up to ${this.#bytesMax} bytes, parameters included, and passes no others.`,
        H: `Send it in parts, or its data by COPY.\nRecord ${record}.`,
      }),
    )
  }
}

const NOTHING = new Uint8Array(0)
const FLUSH = message('H')
const ANSWERED_AT_ONCE: ReadonlySet<Expectation['kind']> = new Set(['sync', 'query', 'call'])

/** What each message that has no limit of its own is replaced by. */
const OVERSIZED: ReadonlyMap<number, Refusable> = new Map([
  ['Q'.charCodeAt(0), 'query'],
  ['P'.charCodeAt(0), 'parse'],
  ['B'.charCodeAt(0), 'bind'],
  ['F'.charCodeAt(0), 'call'],
])

function readOnlyCall(record: string): Uint8Array {
  return encodeError('ERROR', '42501', {
    M: 'a function call by the fastpath protocol is not allowed on a read-only session',
    D: 'It names its function by a number, so nobody can tell here whether it writes.',
    H: `Call the function in a SELECT.\nRecord ${record}.`,
  })
}
