/**
 * Random conversations in PostgreSQL's protocol: everything that clients may send, in every order, errors in every
 * place, whole or in pieces. A seed makes the same conversation again. Each text names its conversation and its
 * place in it, and so does a parameter of each Bind: what ran is told apart from all else that ran.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { front, type RawConnection, type RawSession } from '../../support/clients-raw.ts'
import { type Random, random } from '../../support/fuzz.ts'
import { type Cut, describeActions, sendCut, type Temper } from '../random-conversations.ts'

/** One thing that a client does, in one or more messages. */
export type Action =
  | { readonly type: 'send'; readonly what: string; readonly bytes: Uint8Array }
  | { readonly type: 'pause' }
  /** A CancelRequest on another connection, with the right secret or another. */
  | { readonly type: 'cancel'; readonly right: boolean }

export interface Conversation {
  readonly seed: number
  readonly actions: readonly Action[]
  readonly cut: Cut
  /** `farewell` waits for all answers before it terminates. */
  readonly ending: 'farewell' | 'terminate' | 'destroy' | 'half-close' | 'mid-message'
}

const ACTIONS_MIN = 4
const ACTIONS_MORE = 30

export function makeConversation(seed: number, temper: Temper): Conversation {
  const dice = random(seed)
  const writer = new Writer(dice, seed, temper)
  const count = ACTIONS_MIN + dice.below(ACTIONS_MORE)
  const actions: Action[] = [writer.setUp()]
  for (let i = 0; i < count; i++) {
    actions.push(...writer.action())
    if (dice.chance(0.15)) actions.push({ type: 'pause' })
  }
  const cut = dice.pick<Cut>(['whole', 'whole', 'bytes', 'anywhere', 'anywhere'])
  const wild = dice.pick<Conversation['ending']>(['terminate', 'destroy', 'half-close', 'mid-message'])
  return { seed, actions, cut, ending: temper === 'tame' ? 'farewell' : wild }
}

const NAMES = ['', '', 's0', 's1', 's2'] as const
const PORTALS = ['', '', '', 'p0', 'p1'] as const
const KINDS = ['parse', 'bind', 'execute', 'execute', 'describe', 'close', 'flush'] as const

class Writer {
  readonly #dice: Random
  readonly #seed: number
  readonly #temper: Temper
  #count = 0

  constructor(dice: Random, seed: number, temper: Temper) {
    this.#dice = dice
    this.#seed = seed
    this.#temper = temper
  }

  setUp(): Action {
    return this.#send('query', front.query(`create temp table t(a int, b text) ${this.#tag()}`))
  }

  action(): Action[] {
    const dice = this.#dice
    const roll = dice.below(100)
    if (roll < 26) return [this.#query()]
    if (roll < 34) return this.#copy()
    if (roll < 62) return this.#extended()
    if (roll < 72) return [this.#send('sync', front.sync)]
    if (roll < 92) return [this.#single()]
    if (roll < 96) return [this.#call()]
    return this.#temper === 'tame' ? [this.#stray()] : [this.#wild()]
  }

  #send(what: string, ...messages: Uint8Array[]): Action {
    return { type: 'send', what, bytes: Buffer.concat(messages) }
  }

  #tag(): string {
    return `/*${this.#seed}.${++this.#count}*/`
  }

  /** A statement that is no COPY FROM STDIN; `$` where it takes a parameter. */
  #text(parameter: string): string {
    const { tag, n } = { tag: this.#tag(), n: this.#count }
    return this.#dice.pick([
      `select ${n} ${tag}`,
      `select ${parameter}::int + ${n} ${tag}`,
      `select generate_series(1, 4), ${parameter}::int ${tag}`,
      `insert into t values (${parameter}::int, 'x') ${tag}`,
      `insert into t select g, repeat('y', 40) from generate_series(1, 3) g where ${parameter}::int > 0 returning a ${tag}`,
      `update t set b = 'z' where a > ${parameter}::int ${tag}`,
      `select 1 / (${parameter}::int - ${parameter}::int) ${tag}`,
      `select * from nowhere where a = ${parameter}::int ${tag}`,
      `select ${parameter}::int from ${tag}`,
      `do $do$ begin raise notice 'noticed ${n}'; end $do$ ${tag}`,
      `copy (select generate_series(1, 5)) to stdout ${tag}`,
      `begin ${tag}`,
      `commit ${tag}`,
      `rollback ${tag}`,
      `savepoint s ${tag}`,
      `rollback to savepoint s ${tag}`,
      `prepare q${n % 3} as select $1::int ${tag}`,
      `execute q${n % 3}(${n}) ${tag}`,
      `deallocate ${this.#dice.pick(['q0', 's0', 's1', 'all'])} ${tag}`,
      `declare c${n} cursor for select generate_series(1, 3) ${tag}`,
      `set client_encoding to '${this.#dice.pick(['UTF8', 'LATIN1'])}' ${tag}`,
      `set standard_conforming_strings to ${this.#dice.pick(['on', 'off'])} ${tag}`,
      `show server_version ${tag}`,
      tag,
    ])
  }

  #query(): Action {
    const several = this.#dice.chance(0.25) ? 2 + this.#dice.below(3) : 1
    const texts = Array.from({ length: several }, () => this.#text(String(this.#count)))
    return this.#send('query', front.query(texts.join('; ')))
  }

  /** Either by Query or by Execute, among other statements or alone, with data that fits or does not. */
  #copy(): Action[] {
    const dice = this.#dice
    const copy = `copy t from stdin ${this.#tag()}`
    const before = dice.chance(0.3) ? `select ${this.#count} ${this.#tag()}; ` : ''
    const after = dice.chance(0.3) ? `; select ${this.#count} ${this.#tag()}` : ''
    const bySimple = dice.chance(0.6)
    const start = bySimple
      ? [front.query(before + copy + after)]
      : [front.parse('', copy), front.bind('', ''), front.execute()]
    const data: Uint8Array[] = []
    for (let i = dice.below(4); i > 0; i--) {
      data.push(
        front.copyData(dice.pick(['1\tone\n', '2\ttwo\n3\tthree\n', 'half a', 'not a number\tx\n', ''])),
      )
      if (dice.chance(0.15)) data.push(dice.pick([front.flush, front.sync]))
    }
    const end = dice.chance(0.8) ? front.copyDone : front.copyFail(`enough ${this.#tag()}`)
    const sync = bySimple ? [] : [front.sync]
    return [
      this.#send('copy', ...start),
      ...(dice.chance(0.3) ? [{ type: 'pause' } as const] : []),
      this.#send('copy data', ...data, end, ...sync),
    ]
  }

  #extended(): Action[] {
    const dice = this.#dice
    const [name, portal] = [dice.pick(NAMES), dice.pick(PORTALS)]
    const text = this.#text('$1')
    const actions = [this.#send('parse', front.parse(name, text, dice.chance(0.5) ? [23] : []))]
    if (dice.chance(0.4)) actions.push(this.#send('describe', front.describe('S', name)))
    actions.push(this.#bind(portal, name, text.includes('$1')))
    if (dice.chance(0.4)) actions.push(this.#send('describe', front.describe('P', portal)))
    const limit = dice.pick([0, 0, 0, 1, 2])
    actions.push(this.#send('execute', front.execute(portal, limit)))
    if (limit > 0) actions.push(this.#send('execute', front.execute(portal, dice.pick([0, 1]))))
    if (dice.chance(0.2)) actions.push(this.#send('close', front.close('P', portal)))
    if (dice.chance(0.7)) actions.push(this.#send('sync', front.sync))
    return actions
  }

  #bind(portal: string, name: string, takes = this.#dice.chance(0.7)): Action {
    const dice = this.#dice
    const value = ++this.#count
    const wrong = dice.chance(0.06)
    const list = takes !== wrong ? [dice.chance(0.08) ? null : String(value)] : []
    if (list.length === 0 || list[0] === null || !dice.chance(0.3))
      return this.#send('bind', front.bind(portal, name, list))
    const binary = Buffer.alloc(4)
    binary.writeInt32BE(value)
    return this.#send('bind', front.bind(portal, name, [binary], [1]))
  }

  #single(): Action {
    const dice = this.#dice
    const [name, portal] = [dice.pick(NAMES), dice.pick(PORTALS)]
    const kind = dice.pick(KINDS)
    switch (kind) {
      case 'parse':
        return this.#send(kind, front.parse(name, this.#text('$1')))
      case 'bind':
        return this.#bind(portal, name)
      case 'execute':
        // PostgreSQL 15 crashes when it logs an Execute of the unnamed portal that a failed Query has left behind.
        return this.#send(kind, front.execute(dice.pick(['p0', 'p1']), dice.pick([0, 1, 2])))
      case 'describe':
        return this.#send(kind, dice.chance(0.5) ? front.describe('S', name) : front.describe('P', portal))
      case 'close':
        return this.#send(kind, dice.chance(0.5) ? front.close('S', name) : front.close('P', portal))
      case 'flush':
        return this.#send(kind, front.flush)
    }
  }

  #call(): Action {
    const [abs, unknown] = [1251, 99_999]
    const oid = this.#dice.pick([abs, abs, unknown])
    return this.#send('call', front.call(oid, this.#dice.chance(0.8) ? [String(-++this.#count)] : []))
  }

  /** The server ignores it where no COPY runs. */
  #stray(): Action {
    const dice = this.#dice
    return this.#send(
      'stray',
      dice.pick([front.copyDone, front.copyFail('stray'), front.copyData('stray\n')]),
    )
  }

  #wild(): Action {
    const dice = this.#dice
    if (dice.chance(0.4)) return { type: 'cancel', right: dice.chance(0.7) }
    if (dice.chance(0.3)) return this.#stray()
    if (dice.chance(0.3)) return this.#send('query', front.query(`copy t from stdin ${this.#tag()}`))
    return this.#send('query', front.query(`select pg_sleep(0.05) ${this.#tag()}`))
  }
}

const FAREWELL = 'all is said'

/** Says a conversation, and reads all that is answered until the connection is closed. */
export async function hold(
  raw: RawSession,
  conversation: Conversation,
  cancel: (right: boolean) => Promise<void>,
): Promise<void> {
  const { actions, cut, ending, seed } = conversation
  const dice = random(seed ^ 0x5eed)
  const farewell = Promise.withResolvers<void>()
  const read = readAll(raw, farewell.resolve)
  const cancels: Promise<void>[] = []
  for (const action of actions) {
    if (action.type === 'pause') await sleep(1 + dice.below(4))
    else if (action.type === 'cancel') cancels.push(cancel(action.right))
    else await sendCut(raw, action.bytes, cut, dice)
  }
  if (ending === 'farewell') {
    raw.send(front.sync, front.query(`rollback; select '${FAREWELL}' /*${seed}.end*/`))
    await farewell.promise
    raw.send(front.terminate)
  } else if (ending === 'terminate') raw.send(front.terminate)
  else if (ending === 'half-close') raw.socket.end()
  else if (ending === 'mid-message') raw.socket.end(Buffer.from('Q\0\0\0\x40select'))
  else {
    await sleep(dice.below(6))
    raw.destroy()
  }
  await Promise.all([read, raw.closed, ...cancels])
}

/** Tells when the answer to the last statement has come whole, or cannot come any more. */
async function readAll(raw: RawConnection, said: () => void): Promise<void> {
  let isLast = false
  for (let next = await raw.message(); next !== undefined; next = await raw.message()) {
    isLast ||= next.tag === 'D' && next.body.includes(FAREWELL)
    if (isLast && next.tag === 'Z') said()
  }
  said()
}

export function describeConversation({ seed, actions, cut, ending }: Conversation): string {
  return [`seed ${seed}, cut ${cut}, ending by ${ending}`, ...describeActions(actions)].join('\n')
}
