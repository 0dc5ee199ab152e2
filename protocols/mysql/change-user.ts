/**
 * COM_CHANGE_USER: the client proves itself to us again, the same person with the same secret, and we to the
 * target with the account that is used there. The session then begins anew, read-only again where it was.
 * Nothing else is under way meanwhile.
 */
import { ProtocolError, sameBytes } from '../bytes.ts'
import type { Side } from '../relay.ts'
import { sendGuard } from './announce.ts'
import { makeVerifier } from './auth.ts'
import type { ChangeUserCommand } from './commands.ts'
import { SCRAMBLE_BYTES } from './handshake.ts'
import { Inner } from './inner.ts'
import { type Challenge, changeUser, Failed } from './log-in.ts'
import type { Operation } from './operations.ts'
import { describeCommand } from './others.ts'
import { encodePacket, Wire } from './packets.ts'
import { isClear, type Proof, prove, type Question } from './prove.ts'
import { REASONS } from './refusals.ts'
import { encodeError, encodeOk, encodeRefusal, type Ok, STATUS } from './results.ts'
import type { Session } from './session.ts'

type Changed = { readonly ok: Ok; readonly challenge: Challenge } | Failed

/** How it ended. */
export type Change =
  | { readonly type: 'changed' }
  | { readonly type: 'failed'; readonly from: Side; readonly message: string }

const NOTHING = new Uint8Array(0)

export class ChangeUser {
  readonly #session: Session
  readonly #command: ChangeUserCommand
  /** Counts the packets of the exchange with the client. */
  readonly #wire: Wire
  readonly #proving: Inner<Proof, Question>
  #changing: Inner<Changed, never> | undefined
  #operation: Operation | undefined
  readonly #keep: (bytes: Uint8Array) => void

  /** `keep` is given what the client has sent behind its proof. */
  constructor(
    session: Session,
    command: ChangeUserCommand,
    sequence: number,
    keep: (bytes: Uint8Array) => void,
  ) {
    this.#session = session
    this.#keep = keep
    this.#command = command
    this.#wire = new Wire(sequence)
    this.#proving = new Inner(
      this.#prove(),
      (bytes) => session.send('client', bytes),
      (question) => this.#answer(question),
    )
  }

  /** Whose bytes are waited for. */
  get side(): Side {
    return this.#changing === undefined ? 'client' : 'target'
  }

  /** The sequence id that the client awaits. */
  get sequence(): number {
    return this.#wire.sequence
  }

  receive(bytes: Uint8Array): Change | undefined {
    if (this.#changing !== undefined) {
      const changed = this.#changing.feed(bytes)
      if (changed === undefined) return undefined
      if (changed.rest.length > 0) throw new ProtocolError('the target speaks unasked')
      return this.#finish(changed.result)
    }
    const proved = this.#proving.feed(bytes)
    if (proved === undefined) return undefined
    if (proved.result.verifier === undefined) return this.#refuse()
    this.#keep(proved.rest)
    this.#change()
    return undefined
  }

  /** Always with a scramble of its own: an answer to the first one may have been seen. */
  #prove() {
    const { login, methods, random } = this.#session.options
    const secure = login.tls !== undefined
    return prove(this.#wire, {
      methods: methods.filter((method) => secure || !isClear(method)),
      user: this.#command.user,
      announced: this.#command.plugin ?? login.method,
      response: NOTHING,
      scramble: makeScramble(random),
      secure,
    })
  }

  #answer(question: Question): unknown {
    const { user, proven } = this.#session.options.login
    const known = question.user === user ? proven : undefined
    if (question.type === 'verifiers') return known === undefined ? [] : [known]
    const shown = makeVerifier('', question.password)
    const right = [known?.sha256, known?.sha1].some(
      (stored, i) =>
        stored !== undefined && sameBytes(stored, (i === 0 ? shown.sha256 : shown.sha1) ?? NOTHING),
    )
    return right ? known?.id : undefined
  }

  #refuse(): Change {
    const session = this.#session
    const operation = session.ledger.decide('db.other', [describeCommand(this.#command), session.meta()])
    const payload = encodeRefusal({ ...REASONS.account, record: session.recordName(operation) })
    session.step({ type: 'hold' })
    session.send('client', encodePacket(this.#wire.sequence, payload))
    return { type: 'failed', from: 'client', message: 'COM_CHANGE_USER failed' }
  }

  #change(): void {
    const session = this.#session
    const { options, agreed } = session
    const { database, attributes } = this.#command
    const charset = this.#command.charset ?? options.login.charset
    this.#operation = session.ledger.begin('db.other', [describeCommand(this.#command), session.meta()])
    const link = { credential: options.credential, secure: options.ready.secure, random: options.random }
    const conversation = changeUser(
      new Wire(0),
      { database, charset, attributes },
      session.challenge,
      agreed,
      link,
    )
    this.#changing = new Inner<Changed, never>(
      conversation,
      (bytes) => session.send('target', bytes),
      () => undefined,
    )
    // Begins by sending; the target has not said anything yet.
    this.#changing.feed(NOTHING)
  }

  #finish(changed: Changed): Change {
    const session = this.#session
    const operation = this.#operation
    if (operation === undefined) throw new TypeError('a change that did not begin')
    if (changed instanceof Failed) {
      const { message, code = 1105 } = changed
      session.ledger.add(operation, { outcome: 'error', code: String(code), message })
      session.ledger.finish(operation)
      session.step({ type: 'hold' })
      session.send('client', encodePacket(this.#wire.sequence, encodeError(code, 'HY000', message)))
      return { type: 'failed', from: 'target', message }
    }
    const { ok, challenge } = changed
    session.challenge = challenge
    session.renew(this.#command.charset ?? session.options.login.charset)
    session.database = this.#command.database
    session.learn(ok)
    session.ledger.add(operation, { outcome: 'ok' })
    session.ledger.finish(operation)
    session.step({ type: 'hold' })
    const status = ok.status & ~STATUS.SESSION_STATE_CHANGED
    session.send('client', encodePacket(this.#wire.sequence, encodeOk(status, NOTHING, session.agreed)))
    sendGuard(session)
    return { type: 'changed' }
  }
}

/** 20 bytes without NUL: clients read it as a string. */
function makeScramble(random: (length: number) => Uint8Array): Uint8Array {
  return random(SCRAMBLE_BYTES).map((byte) => (byte % 255) + 1)
}
