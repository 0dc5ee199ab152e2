/**
 * The target's side of a relay. Rows and definitions pass as they come, a walk over their headers; only what
 * tells an outcome is read, and held back until its record is safe.
 */
import { createHash } from 'node:crypto'
import { decodeLossy, ProtocolError } from '../bytes.ts'
import { describeError, type Told } from './answer.ts'
import type { Result } from './operations.ts'
import { encodePacket, Packets } from './packets.ts'
import { REASONS } from './refusals.ts'
import { decodeError, type ErrorAnswer, encodeRefusal, type Ok, OUTCOME_BYTES_MAX } from './results.ts'
import { Expectation, type Session } from './session.ts'
import { decodeLatin } from './sql/tokens.ts'

export class Replies {
  readonly #session: Session
  readonly #packets = new Packets()
  /** The answer that is being read; its packets count from its own beginning. */
  #current: Expectation | undefined
  /** The target has said by itself why it ends. */
  #farewell: string | undefined

  constructor(session: Session) {
    this.#session = session
    this.#packets.next = -1
  }

  get farewell(): string | undefined {
    return this.#farewell
  }

  /** The sequence id that the client awaits, for an ERR of ours; undefined where it could not read one. */
  get interruption(): number | undefined {
    const { queue, upload } = this.#session
    const item = this.#current ?? queue[0]
    if (!(item instanceof Expectation) || item.ours) return 1
    if (item.refusal !== undefined) return item.refusal.sequence
    if (item.withheld !== undefined) return item.withheld.sequence
    if (upload !== undefined || this.#packets.begun) return undefined
    return item === this.#current ? this.#packets.next : item.sequence
  }

  receive(chunk: Uint8Array): void {
    this.#turn()
    this.#packets.feed(chunk)
    while (this.#packets.peek()) {
      const whole = this.#current === undefined ? this.#unasked() : this.#step(this.#current)
      if (!whole) break
    }
    this.#release()
  }

  /** Answers of our own whose turn has come, then whose answer is next. */
  settle(): void {
    const { queue } = this.#session
    while (queue[0] !== undefined && !(queue[0] instanceof Expectation)) {
      this.#session.step({ type: 'hold' })
      this.#session.send('client', queue[0].own)
      queue.shift()
    }
  }

  #turn(): void {
    this.settle()
    const [head] = this.#session.queue
    const { sequenceBehindUpload } = this.#session
    if (sequenceBehindUpload !== undefined) {
      this.#packets.next = sequenceBehindUpload
      this.#session.sequenceBehindUpload = undefined
    }
    if (head === this.#current) return
    this.#current = head instanceof Expectation ? head : undefined
    this.#packets.next = this.#current?.sequence ?? -1
  }

  /** One packet, or what there is of it; false when more bytes are needed. */
  #step(item: Expectation): boolean {
    const { answer } = item
    const max = answer.reads(this.#packets.first, this.#packets.length)
    if (max === 0) {
      if (!this.#packets.begun) this.#limitRows(item)
      if (!this.#packets.pass()) return false
      answer.passed(this.#packets.size)
    } else {
      this.#release()
      const payload = this.#packets.take(max)
      if (payload === 'partial') return false
      if (payload === 'over')
        throw new ProtocolError(`a packet of ${this.#packets.length} bytes tells an outcome`)
      this.#tell(item, answer.read(payload), payload)
    }
    if (answer.over) {
      this.#release()
      this.#session.answered()
      this.#turn()
    }
    return true
  }

  /** Hands on what has passed, or drops it where the client is not to see it. */
  #release(): void {
    const pieces = this.#packets.passed()
    const item = this.#current
    if (item === undefined || item.ours || item.refusal !== undefined || item.withheld !== undefined) return
    for (const piece of pieces) this.#session.send('client', piece)
  }

  #limitRows(item: Expectation): void {
    const { rowsMax } = this.#session.options
    if (rowsMax === undefined || item.withheld !== undefined || item.ours) return
    if ((item.operation.rows ?? 0) + item.answer.rows < rowsMax || !item.answer.inRows) return
    this.#release()
    const { ledger } = this.#session
    const meta = this.#session.meta({ gateway: true })
    this.#session.cancels.push(ledger.begin('db.cancel', [meta], { parent: item.operation.number }))
    item.withheld = { sequence: this.#packets.sequence }
    this.#session.step({ type: 'cancel' })
  }

  #tell(item: Expectation, told: Told, payload: Uint8Array): void {
    if (item.refusal !== undefined) {
      this.#tellRefused(item, item.refusal, told)
      return
    }
    switch (told.type) {
      case 'nothing':
        this.#forward(item, payload)
        return
      case 'file':
        this.#askFile(item, told.name)
        this.#forward(item, payload)
        return
      case 'text':
        this.#end(item, { outcome: 'ok' }, payload)
        return
      case 'prepared':
        this.#tellPrepared(item, told.prepared)
        this.#end(item, { outcome: 'ok', ...warningsOf(told.prepared.warnings) }, payload)
        return
      case 'ok':
        this.#tellOk(item, told.ok, told.rows, told.more, payload)
        return
      case 'error':
        this.#tellError(item, told.error, payload)
    }
  }

  #forward(item: Expectation, payload: Uint8Array): void {
    if (!item.ours && item.withheld === undefined) this.#session.send('client', this.#packets.raw(payload))
  }

  /** The outcome of the whole command: recorded, then held with all that follows. */
  #end(item: Expectation, result: Result, payload: Uint8Array): void {
    const { ledger } = this.#session
    ledger.add(item.operation, result)
    ledger.finish(item.operation, item.file === undefined ? [] : [item.file])
    if (item.ours) return
    this.#session.step({ type: 'hold' })
    this.#forward(item, payload)
  }

  #tellPrepared(item: Expectation, { id, params }: { id: number; params: number }): void {
    const { effect } = item
    if (effect?.type !== 'prepared') throw new TypeError('a statement was prepared for nobody')
    this.#session.statements.confirm(effect.prepared, id, params)
  }

  #tellOk(item: Expectation, ok: Ok, rows: number | undefined, more: boolean, payload: Uint8Array): void {
    const { answer, operation } = item
    const changed = ok.affected === 0n && answer.kind === 'ok' ? undefined : Number(ok.affected)
    const count = rows ?? changed
    const result: Result = {
      outcome: 'ok',
      ...(count === undefined ? {} : { rows: count }),
      ...(answer.bytes === 0 ? {} : { bytes: answer.bytes }),
      ...warningsOf(ok.warnings),
    }
    answer.clear()
    if (!more) this.#become(item)
    this.#session.learn(ok)
    if (item.withheld !== undefined) {
      if (!more) this.#endWithheld(item, item.withheld)
    } else if (!more) this.#end(item, result, payload)
    else {
      this.#session.ledger.tell(operation, result)
      this.#session.step({ type: 'hold' })
      this.#forward(item, payload)
    }
  }

  /** What the target's OK makes true. */
  #become({ effect }: Expectation): void {
    if (effect?.type === 'set') {
      this.#session.database = effect.database ?? this.#session.database
      if (effect.charset !== undefined) this.#session.learnCharset(effect.charset)
      if (effect.utf8) this.#session.utf8 = true
    }
    if (effect?.type === 'renewed') this.#session.renew(this.#session.options.login.charset)
  }

  #tellError(item: Expectation, error: ErrorAnswer, payload: Uint8Array): void {
    const { effect, answer } = item
    if (effect?.type === 'guarded') {
      throw new ProtocolError(`the target refuses the read-only guard: ${describeError(error)}`)
    }
    if (effect?.type === 'prepared') this.#session.statements.fail(effect.prepared)
    if (item.withheld !== undefined) {
      this.#endWithheld(item, item.withheld)
      return
    }
    const rows = answer.rows === 0 ? {} : { rows: answer.rows, bytes: answer.bytes }
    const message = describeError(error)
    this.#end(item, { outcome: 'error', code: String(error.code), ...rows, message }, payload)
  }

  /** The substitute must fail; its error is replaced by what the person is to read. */
  #tellRefused(item: Expectation, refusal: NonNullable<Expectation['refusal']>, told: Told): void {
    if (told.type !== 'error') throw new ProtocolError('the target accepts what no target accepts')
    const { ledger } = this.#session
    ledger.add(item.operation, { outcome: 'error', code: String(told.error.code) })
    ledger.finish(item.operation)
    this.#session.step({ type: 'hold' })
    this.#session.send('client', encodePacket(refusal.sequence, refusal.payload))
  }

  /** However the target ended it, to the client it ends with the limit. */
  #endWithheld(item: Expectation, { sequence }: NonNullable<Expectation['withheld']>): void {
    const { ledger, options } = this.#session
    const rowsMax = options.rowsMax ?? 0
    const reason = REASONS.rows(rowsMax)
    const record = this.#session.recordName(item.operation.number)
    const rows = rowsMax - (item.operation.rows ?? 0)
    ledger.add(item.operation, { outcome: 'error', code: '1317', rows, message: reason.what })
    ledger.finish(item.operation)
    this.#session.step({ type: 'hold' })
    this.#session.send('client', encodePacket(sequence, encodeRefusal({ ...reason, record })))
  }

  /**
   * A target that asks for a file may be asking for any file of the client's machine. Only the name that the
   * person's own statement has passes, and only while nothing else of the client's is under way.
   */
  #askFile(item: Expectation, name: Uint8Array): void {
    const { options, queue, waiting } = this.#session
    const asked = decodeLatin(name)
    if (item.ours || !options.localFiles || !item.files.includes(asked)) {
      throw new ProtocolError(
        `the target asks for a file that nobody offered: ${JSON.stringify(decodeLossy(name))}`,
      )
    }
    if (queue.length > 1 || waiting) throw new ProtocolError('commands were sent ahead of a file')
    const sequence = this.#packets.next
    const hash = createHash('sha256')
    this.#session.upload = { expectation: item, name: decodeLossy(name), hash, bytes: 0, sequence }
  }

  /** Nothing is under way: a target that ends says so, and nothing else is expected of it. */
  #unasked(): boolean {
    if (this.#packets.first !== 0xff) throw new ProtocolError('the target speaks unasked')
    const payload = this.#packets.take(OUTCOME_BYTES_MAX)
    if (payload === 'partial') return false
    if (payload === 'over') throw new ProtocolError('the target speaks unasked, and at length')
    this.#farewell = describeError(decodeError(payload))
    this.#session.send('client', this.#packets.raw(payload))
    return true
  }
}

function warningsOf(warnings: number): { warnings?: number } {
  return warnings === 0 ? {} : { warnings }
}
