/**
 * The client's side of a relay. Every command is framed and read whole, under a limit, before any of it is
 * forwarded; what is refused is replaced by a command that the target refuses by itself.
 */
import { createHash, type Hash } from 'node:crypto'
import { concat, duplicate, encodeText, ProtocolError, Reader } from '../bytes.ts'
import type { Payload } from '../events.ts'
import type { Statement, Verdict } from '../relay.ts'
import { announce, type Request, sendGuard } from './announce.ts'
import { type ChangeUserCommand, COM, type Command, commandBytesMax, decodeCommand } from './commands.ts'
import { deny, refuse, replace, textOf } from './decisions.ts'
import { Packets } from './packets.ts'
import { REASONS, type Reason } from './refusals.ts'
import { type Session, STATEMENT_BYTES_MAX } from './session.ts'
import { type Concerns, concernsOf, NO_CONCERNS } from './sql/concerns.ts'

/** A command of which only its beginning and its hash are known. */
interface Oversized {
  readonly code: number
  readonly head: number[]
  readonly hash: Hash
}

const ALLOWED: Verdict = { allow: true }
const JUDGED: ReadonlySet<Command['type']> = new Set<Command['type']>([
  'query',
  'prepare',
  'execute',
  'init-db',
  'create-db',
  'drop-db',
  'process-kill',
])

/** As much as tells which statement a piece of data was for. */
const HEAD_BYTES = 5

/** A command that waits, copied: for a verdict, or until everything before it is answered. */
interface Waiting {
  readonly for: 'verdict' | 'quiet'
  readonly request: Request
}

export class Requests {
  readonly #session: Session
  readonly #packets = new Packets()
  readonly #bytesMax: number
  /** What the client has sent and nobody has looked at yet. */
  #kept: Uint8Array[] = []
  #waiting: Waiting | undefined
  /** A command above the limit, while it comes in. */
  #oversized: Oversized | undefined
  #uploading = false
  #guarded = false
  #quit = false
  #change: { readonly command: ChangeUserCommand; readonly sequence: number } | undefined

  constructor(session: Session) {
    this.#session = session
    this.#bytesMax = session.options.statementBytesMax ?? STATEMENT_BYTES_MAX
  }

  get waiting(): boolean {
    return this.#waiting !== undefined
  }

  /** The client has said goodbye. */
  get quit(): boolean {
    return this.#quit
  }

  /** Whether no command has come in part only. */
  get between(): boolean {
    return this.#waiting === undefined && this.#kept.length === 0 && this.#packets.between
  }

  receive(chunk: Uint8Array): void {
    if (this.#quit) return
    if (this.#kept.length > 0 || this.#halted) {
      this.#kept.push(duplicate(chunk))
      return
    }
    this.#packets.feed(chunk)
    this.#go()
  }

  /** Goes on with what was kept, now that the target has answered something or the session was changed. */
  resume(): void {
    const waiting = this.#waiting
    const { queue, cancels } = this.#session
    if (waiting?.for === 'quiet' && queue.length === 0 && cancels.length === 0) {
      this.#setWaiting(undefined)
      this.#decide(waiting.request)
    }
    if (this.#kept.length === 0 || this.#halted) return
    this.#packets.feed(concat(this.#kept.splice(0)))
    this.#go()
  }

  /** COM_CHANGE_USER, once nothing else is under way, and what came behind it: the exchange is not ours. */
  takeChange(): { command: ChangeUserCommand; sequence: number; rest: Uint8Array } | undefined {
    const change = this.#change
    if (change === undefined) return undefined
    this.#change = undefined
    return { ...change, rest: concat(this.#kept.splice(0)) }
  }

  keep(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#kept.push(duplicate(bytes))
  }

  verdict(verdict: Verdict): void {
    const waiting = this.#waiting
    if (waiting?.for !== 'verdict') throw new TypeError('a verdict that was not asked for')
    this.#setWaiting(undefined)
    this.#carryOut(waiting.request, verdict)
    this.resume()
  }

  get #halted(): boolean {
    const { crowded, cancels } = this.#session
    return (
      this.#waiting !== undefined || this.#change !== undefined || this.#quit || crowded || cancels.length > 0
    )
  }

  #setWaiting(waiting: Waiting | undefined): void {
    this.#waiting = waiting
    this.#session.waiting = waiting !== undefined
  }

  #go(): void {
    this.#beginUpload()
    while (!this.#halted && this.#packets.peek()) {
      if (!this.#step()) break
    }
    if (this.#halted) this.keep(this.#packets.rest())
  }

  /** One packet, or what there is of it; false when more bytes are needed. */
  #step(): boolean {
    if (this.#oversized !== undefined) return this.#skip()
    const code = this.#packets.first
    const max = this.#uploading ? this.#bytesMax : commandBytesMax(code, this.#bytesMax)
    const payload = this.#packets.take(max)
    if (payload === 'partial') return false
    if (payload === 'over') return this.#beginOversized(code)
    if (this.#uploading) this.#upload(payload)
    else this.#command(payload)
    return true
  }

  #command(payload: Uint8Array): void {
    const bytes = this.#packets.raw(payload)
    const request = this.#understand(payload, bytes, this.#packets.next)
    this.#packets.next = 0
    if (!this.#guarded) sendGuard(this.#session)
    this.#guarded = true
    this.#decide(request)
  }

  /** Lets it pass, refuses it, or has it wait. */
  #decide(request: Request): void {
    const { command } = request
    if (command.type === 'denied' || command.type === 'unknown') {
      deny(this.#session, command, request.sequence)
      return
    }
    const reason = this.#objection(request)
    if (reason !== undefined) {
      refuse(this.#session, request, { ...reason, record: '' })
      return
    }
    if (this.#mustBeQuiet(command)) {
      this.#keepWaiting('quiet', request)
      return
    }
    const statement = this.#judged(command)
    const verdict = statement === undefined ? ALLOWED : this.#session.options.judgeAtOnce?.(statement)
    if (verdict !== undefined) this.#carryOut(request, verdict)
    else {
      this.#keepWaiting('verdict', request)
      if (statement !== undefined) this.#session.step({ type: 'judge', statement })
    }
  }

  #carryOut(request: Request, verdict: Verdict): void {
    const { command, sequence } = request
    if (!verdict.allow) refuse(this.#session, request, verdict.refusal, verdict.rule)
    else if (command.type === 'change-user') this.#change = { command, sequence }
    else {
      announce(this.#session, request, verdict.rule)
      this.#quit = command.type === 'quit'
    }
  }

  /** The chunk goes back to its owner meanwhile, so the command is decoded again from a copy. */
  #keepWaiting(wait: Waiting['for'], request: Request): void {
    const payload = duplicate(request.payload)
    const command = decodeCommand(payload, this.#session.agreed)
    this.#setWaiting({
      for: wait,
      request: { ...request, payload, command, bytes: duplicate(request.bytes) },
    })
  }

  #understand(payload: Uint8Array, bytes: Uint8Array, sequence: number): Request {
    const command = decodeCommand(payload, this.#session.agreed)
    const texts = command.type === 'query' || command.type === 'prepare'
    const concerns = texts ? concernsOf(command.text, this.#session.readsAlike(command.text)) : NO_CONCERNS
    return { command, payload, bytes, sequence, concerns, thread: this.#threadOf(command, concerns) }
  }

  /** Looked up once: the connection that is to be killed may end while a verdict is awaited. */
  #threadOf(command: Command, { kill }: Concerns): Request['thread'] {
    const given = command.type === 'process-kill' ? command.thread : kill === 'unclear' ? kill : kill?.thread
    if (given === undefined || given === 'unclear') return given === undefined ? undefined : 'nobody'
    const target = this.#session.options.findThread(given)
    return target === undefined ? 'nobody' : { given, target }
  }

  /** What is refused without asking anybody. */
  #objection({ command, concerns, thread }: Request): Reason | undefined {
    if (thread === 'nobody') return REASONS.kill
    if (concerns.files.length > 0 && !this.#session.options.localFiles) return REASONS.localFile
    if (command.type === 'query' && command.text.length > this.#bytesMax) {
      return REASONS.oversized(command.text.length, this.#bytesMax)
    }
    if (command.type !== 'execute') return undefined
    const prepared = this.#session.statements.find(command.statement)
    if (prepared === 'refused') return REASONS.lastPrepared
    return prepared?.incomplete === true ? REASONS.incomplete : undefined
  }

  /** What it means is told by answers that have not come. */
  #mustBeQuiet(command: Command): boolean {
    if (this.#session.unsettled) return true
    switch (command.type) {
      case 'change-user':
        return this.#session.queue.length > 0
      case 'execute':
      case 'fetch':
      case 'long-data':
      case 'close':
      case 'reset-statement':
        // Whoever guesses the number that a statement will get is understood once it has it.
        return (
          this.#session.statements.unconfirmed > 0 &&
          this.#session.statements.find(command.statement) === undefined
        )
      default:
        return false
    }
  }

  /** What a policy is to decide on; undefined where nothing is judged. */
  #judged(command: Command): Statement | undefined {
    if (!this.#session.options.judge || !JUDGED.has(command.type)) return undefined
    const text = textOf(this.#session, command)
    return {
      text: text ?? new Uint8Array(0),
      database: this.#session.database ?? '',
      // A statement that is not known has no text, and counts as one that cannot be read.
      dependable: text !== undefined && this.#session.readsAlike(text),
    }
  }

  /** Refused and not truncated; what it was stays provable by its hash. */
  #beginOversized(code: number): true {
    if (this.#uploading || !OVERSIZED.has(code)) {
      throw new ProtocolError(`a command longer than ${commandBytesMax(code, this.#bytesMax)} bytes`)
    }
    this.#oversized = { code, head: [], hash: createHash('sha256') }
    return true
  }

  #skip(): boolean {
    const oversized = this.#oversized
    if (oversized === undefined) throw new TypeError('nothing is too long')
    const { head, hash } = oversized
    const whole = this.#packets.skip((bytes) => {
      hash.update(bytes)
      head.push(...bytes.subarray(0, HEAD_BYTES - head.length))
    })
    if (!whole) return false
    this.#oversized = undefined
    const sequence = this.#packets.next
    this.#packets.next = 0
    const { size } = this.#packets
    const seen = { bytes: size, sha256: hash.digest('hex') }
    const refused = OVERSIZED.get(oversized.code)
    if (refused === undefined) throw new TypeError(`command ${oversized.code} is never skipped`)
    if (refused === 'long-data') this.#dropLongData(Uint8Array.from(head), seen)
    else {
      const reason = REASONS.oversized(size, this.#bytesMax)
      replace(this.#session, refused, [this.#session.meta(seen)], sequence, { ...reason, record: '' })
    }
    return true
  }

  /** It has no answer, so its statement is not executed until it is reset. */
  #dropLongData(head: Uint8Array, seen: Record<string, unknown>): void {
    const statement = new Reader(head.subarray(1)).uint32LE()
    const cmd: Payload = { type: 'cmd', body: encodeText(`COM_STMT_SEND_LONG_DATA ${statement}`) }
    this.#session.ledger.decide('db.other', [cmd, this.#session.meta(seen)])
    const prepared = this.#session.statements.find(statement)
    if (prepared !== undefined && prepared !== 'refused') prepared.incomplete = true
  }

  /** The target has asked for a file: the client's next packets are its content, in the target's own count. */
  #beginUpload(): void {
    const { upload } = this.#session
    if (upload === undefined || this.#uploading) return
    if (!this.#packets.between) throw new ProtocolError('half a command where a file was asked for')
    this.#uploading = true
    this.#packets.next = upload.sequence
  }

  #upload(payload: Uint8Array): void {
    const { upload, ledger, options } = this.#session
    if (upload === undefined) throw new TypeError('nobody asked for a file')
    if (payload.length > 0) {
      upload.bytes += payload.length
      upload.hash.update(payload)
      if (options.copyBodies === true) ledger.data(upload.expectation.operation, payload)
    }
    this.#session.send('target', this.#packets.raw(payload))
    if (payload.length > 0) return
    // An empty packet ends it, or says that the client does not give it.
    const { name, bytes, hash } = upload
    const told = { name, bytes, sha256: hash.digest('hex') }
    upload.expectation.file = this.#session.meta({ file: told })
    this.#session.sequenceBehindUpload = this.#packets.next
    this.#session.upload = undefined
    this.#uploading = false
    this.#packets.next = 0
  }
}

/** Commands of free length, and what is refused when they are too long. */
const OVERSIZED: ReadonlyMap<number, 'query' | 'prepare' | 'execute' | 'long-data'> = new Map([
  [COM.STMT_SEND_LONG_DATA, 'long-data'],
  [COM.QUERY, 'query'],
  [COM.STMT_PREPARE, 'prepare'],
  [COM.STMT_EXECUTE, 'execute'],
])
