/**
 * Random conversations in MySQL's protocol: everything that clients may send, in every order, errors in every place,
 * whole or in pieces, without waiting for answers. A seed makes the same conversation again. Each text names its
 * conversation and its place in it, and so does a parameter of each execution: what ran is told apart from all else.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { u32 } from '../../protocols/mysql/relay-setting.ts'
import { type Random, random } from '../../support/fuzz.ts'
import { packet } from '../../support/mysql-play.ts'
import { FLAGS, MARIADB, type RawMysql } from '../../support/mysql-raw.ts'
import { type Cut, describeActions, sendCut, type Temper } from '../random-conversations.ts'

export type Action =
  | { readonly type: 'send'; readonly what: string; readonly bytes: Uint8Array }
  | { readonly type: 'pause' }
  /** A KILL on another connection of the same person's; a wrong one names a number that is nobody's. */
  | { readonly type: 'kill'; readonly words: string; readonly right: boolean }

export interface Conversation {
  readonly seed: number
  readonly actions: readonly Action[]
  readonly flags: number
  readonly mariadb: number
  readonly cut: Cut
  /** `farewell` waits for all answers before it says goodbye. */
  readonly ending: 'farewell' | 'quit' | 'destroy' | 'half-close' | 'mid-packet'
}

const ACTIONS_MIN = 4
const ACTIONS_MORE = 30
const LAST = 0xffff_ffff
const QUIT = packet(0, 1)

export function makeConversation(seed: number, temper: Temper): Conversation {
  const dice = random(seed)
  const writer = new Writer(dice, seed, temper)
  const count = ACTIONS_MIN + dice.below(ACTIONS_MORE)
  const actions: Action[] = [writer.setUp()]
  for (let i = 0; i < count; i++) {
    actions.push(...writer.action())
    if (dice.chance(0.15)) actions.push({ type: 'pause' })
  }
  const of = (flag: number): number => (dice.chance(0.5) ? flag : 0)
  return {
    seed,
    actions,
    flags: of(FLAGS.DEPRECATE_EOF) | of(FLAGS.SESSION_TRACK),
    mariadb: dice.chance(0.3)
      ? 0
      : of(MARIADB.CACHE_METADATA) | of(MARIADB.EXTENDED_METADATA) | MARIADB.PROGRESS,
    cut: dice.pick(['whole', 'whole', 'bytes', 'anywhere', 'anywhere']),
    ending: temper === 'tame' ? 'farewell' : dice.pick(['quit', 'destroy', 'half-close', 'mid-packet']),
  }
}

/** A statement that the client has prepared, as far as it knows. */
interface Prepared {
  readonly id: number
  readonly params: number
  /** Its first value is always sent ahead: MariaDB 10.11 takes it for the number that it was before, if it was one. */
  readonly ahead: boolean
  /** The types of its parameters were sent, and need not be again. */
  bound: boolean
  cursor: boolean
}

type Bytes = readonly (Uint8Array | string | number)[]
const INT = 0x03
const STRING = 0xfd

class Writer {
  readonly #dice: Random
  readonly #seed: number
  readonly #temper: Temper
  readonly #prepared: Prepared[] = []
  /** The server counts every attempt to prepare, whatever becomes of it. */
  #attempts = 0
  #last: Prepared | undefined
  #count = 0

  constructor(dice: Random, seed: number, temper: Temper) {
    this.#dice = dice
    this.#seed = seed
    this.#temper = temper
  }

  setUp(): Action {
    return this.#send('query', 0x03, `create temporary table t(a int, b text) ${this.#tag()}`)
  }

  action(): Action[] {
    const roll = this.#dice.below(100)
    if (roll < 30) return [this.#query()]
    if (roll < 50) return this.#prepareAndRun()
    if (roll < 70) return this.#run()
    if (roll < 92) return [this.#single()]
    if (roll < 94) return [this.#renew()]
    return this.#temper === 'tame' ? [this.#query()] : [this.#wild()]
  }

  #send(what: string, ...bytes: Bytes): Action {
    return { type: 'send', what, bytes: packet(0, ...bytes) }
  }

  #tag(): string {
    return `/*${this.#seed}.${++this.#count}*/`
  }

  #text(): string {
    const { tag, n } = { tag: this.#tag(), n: this.#count }
    return this.#dice.pick([
      `select ${n} ${tag}`,
      `select ${n}, '${'z'.repeat(n)}', null ${tag}`,
      `select seq from seq_1_to_${n} ${tag}`,
      `insert into t values (${n}, 'x') ${tag}`,
      `insert into t select seq, repeat('y', 40) from seq_1_to_3 ${tag}`,
      `update t set b = 'é' where a > ${n} ${tag}`,
      `delete from t where a = ${n} ${tag}`,
      `select * from t ${tag}`,
      `select * from nowhere where a = ${n} ${tag}`,
      `frob ${n} ${tag}`,
      `select cast('x' as int) ${tag}`,
      `show warnings ${tag}`,
      `do ${n} ${tag}`,
      `begin ${tag}`,
      `commit ${tag}`,
      `rollback ${tag}`,
      `set @v = ${n} ${tag}`,
      `select @v ${tag}`,
      `use ${this.#dice.pick(['shop', 'mysql', 'shop', 'nowhere'])} ${tag}`,
      `set names ${this.#dice.pick(['utf8mb4', 'latin1', 'gbk', 'frob'])} ${tag}`,
      `set sql_mode = '${this.#dice.pick(['', 'ANSI_QUOTES', 'NO_BACKSLASH_ESCAPES'])}' ${tag}`,
      `select 'it''s' "said" ${tag}`,
      `call nowhere() ${tag}`,
      tag,
    ])
  }

  #query(): Action {
    const several = this.#dice.chance(0.25) ? 2 + this.#dice.below(3) : 1
    const texts = Array.from({ length: several }, () => this.#text())
    const end = this.#dice.pick(['', '', ';', ' ; '])
    return this.#send('query', 0x03, `${texts.join('; ')}${end}`)
  }

  /** Of a text with so many parameters, `?` in it being nothing else. */
  #prepare(): Action {
    const dice = this.#dice
    const [text, params] = dice.pick<readonly [string, number]>([
      ['select ?', 1],
      ['select ?, ?', 2],
      ['select seq from seq_1_to_5 where seq <> ?', 1],
      ['select seq from seq_1_to_5', 0],
      ['insert into t values (?, ?)', 2],
      ['update t set a = ?', 1],
      ['select * from t where a < ?', 1],
      ['do ?', 1],
      ['frob ?', 1],
      ['select * from nowhere where a = ?', 1],
    ])
    const id = ++this.#attempts
    const prepared = { id, params, ahead: params > 0 && dice.chance(0.15), bound: false, cursor: false }
    this.#last = prepared
    this.#prepared.push(prepared)
    return this.#send('prepare', 0x16, `${text} ${this.#tag()}`)
  }

  #prepareAndRun(): Action[] {
    const prepare = this.#prepare()
    const last = this.#last
    if (last === undefined) throw new TypeError('nothing was prepared')
    const byLast = this.#dice.chance(0.5)
    return [prepare, ...this.#execution(last, byLast ? LAST : last.id)]
  }

  #run(): Action[] {
    const [first, ...others] = this.#prepared
    if (first === undefined) return [this.#send('execute', ...executed(900 + this.#dice.below(9), 0))]
    const prepared = this.#dice.pick([first, ...others])
    return this.#execution(prepared, prepared.id)
  }

  #execution(prepared: Prepared, id: number): Action[] {
    const dice = this.#dice
    const before = prepared.ahead
      ? [this.#send('long data', 0x18, u32(id), 0, 0, `ahead ${++this.#count}`)]
      : []
    prepared.cursor = dice.chance(0.2)
    const flags = prepared.cursor ? 1 : 0
    const body = this.#parameters(prepared)
    const actions = [...before, this.#send('execute', ...executed(id, flags), ...body)]
    if (prepared.cursor) {
      for (let i = dice.below(3); i > 0; i--)
        actions.push(this.#send('fetch', 0x1c, u32(id), u32(1 + dice.below(3))))
    }
    return actions
  }

  #parameters(prepared: Prepared): Bytes {
    const dice = this.#dice
    if (prepared.params === 0) return []
    const types = !prepared.bound || dice.chance(0.3)
    let nulls = 0
    const values: (Uint8Array | string | number)[] = []
    const kinds: number[] = []
    for (let i = 0; i < prepared.params; i++) {
      if (i === 0 && prepared.ahead) {
        kinds.push(STRING, 0)
        continue
      }
      kinds.push(INT, 0)
      if (dice.chance(0.1)) nulls |= 1 << i
      else values.push(u32(++this.#count))
    }
    prepared.bound = true
    return [nulls, types ? 1 : 0, ...(types ? kinds : []), ...values]
  }

  #single(): Action {
    const dice = this.#dice
    const [known] = this.#prepared
    const id = known === undefined || dice.chance(0.2) ? 900 : known.id
    switch (dice.below(10)) {
      case 0:
        return this.#send('ping', 0x0e)
      case 1:
        return this.#send('init db', 0x02, dice.pick(['shop', 'shop', 'mysql', 'nowhere']))
      case 2:
        return this.#send('field list', 0x04, dice.pick(['n\0', 'missing\0', 'n\0i%']))
      case 3:
        return this.#send('set option', 0x1b, dice.below(2), 0)
      case 4:
        return this.#send('reset', 0x1a, u32(id))
      case 5:
        if (known !== undefined && id === known.id) this.#prepared.shift()
        if (this.#last === known) this.#last = undefined
        return this.#send('close', 0x19, u32(id))
      case 6:
        return this.#send('fetch', 0x1c, u32(id), u32(2))
      case 7:
        return this.#send('long data', 0x18, u32(900), 0, 0, 'for nobody')
      case 8:
        return this.#send('create db', 0x05, 'shop')
      default:
        return this.#prepare()
    }
  }

  /** COM_RESET_CONNECTION: no statement is left, nor the table. */
  #renew(): Action {
    this.#prepared.length = 0
    this.#last = undefined
    return this.#send('reset connection', 0x1f)
  }

  #wild(): Action {
    const dice = this.#dice
    switch (dice.below(6)) {
      case 0:
        return { type: 'kill', words: dice.pick(['QUERY ', 'QUERY ', 'SOFT ', '']), right: dice.chance(0.8) }
      case 1:
        return this.#send('query', 0x03, `delete from n ${this.#tag()}`)
      case 2:
        // A policy refuses it; the server counts what it is given instead.
        this.#attempts++
        this.#last = undefined
        return this.#send('prepare', 0x16, `delete from n ${this.#tag()}`)
      case 3:
        return this.#send('denied', dice.pick([0x0d, 0x12, 0x50, 0xfa]))
      case 4:
        return this.#send('statistics', 0x09)
      default:
        return this.#send('query', 0x03, `select sleep(0.05) ${this.#tag()}`)
    }
  }
}

function executed(id: number, flags: number): Bytes {
  return [0x17, u32(id), flags, u32(1)]
}

const FAREWELL = 'all is said'

const ANSWERS_MS_MAX = 20_000

/**
 * Says a conversation, and reads all that is answered until the connection is closed. False where it had to be
 * broken off, because an answer did not come.
 */
export async function hold(
  raw: RawMysql,
  conversation: Conversation,
  kill: (words: string, right: boolean) => Promise<void>,
): Promise<boolean> {
  const { actions, cut, ending, seed } = conversation
  const dice = random(seed ^ 0x5eed)
  const farewell = Promise.withResolvers<void>()
  const read = readAll(raw, farewell.resolve)
  const kills: Promise<void>[] = []
  for (const action of actions) {
    if (action.type === 'pause') await sleep(1 + dice.below(4))
    else if (action.type === 'kill') kills.push(kill(action.words, action.right))
    else await sendCut(raw, action.bytes, cut, dice)
  }
  if (ending === 'farewell') {
    raw.send(packet(0, 0x03, `select '${FAREWELL}' /*${seed}.end*/`))
    raw.socket.setTimeout(ANSWERS_MS_MAX, () => raw.destroy())
    await farewell.promise
    raw.send(QUIT)
  } else if (ending === 'quit') raw.send(QUIT)
  else if (ending === 'half-close') raw.socket.end()
  else if (ending === 'mid-packet') raw.socket.end(Buffer.from([0x40, 0, 0, 0, 3, 0x73]))
  else {
    await sleep(dice.below(6))
    raw.destroy()
  }
  const [said] = await Promise.all([read, raw.closed, ...kills])
  return said || ending !== 'farewell'
}

/** Tells when the answer to the last statement has come whole, or cannot come any more; gives whether it has come. */
async function readAll(raw: RawMysql, said: () => void): Promise<boolean> {
  const last = Buffer.from(`\x0b${FAREWELL}`)
  let isLast = false
  for (let next = await raw.packet(); next !== undefined; next = await raw.packet()) {
    if (isLast) said()
    isLast ||= next.equals(last)
  }
  said()
  return isLast
}

export function describeConversation({ seed, actions, cut, ending, flags, mariadb }: Conversation): string {
  const agreed = `flags 0x${flags.toString(16)}, MariaDB's 0x${mariadb.toString(16)}`
  return [`seed ${seed}, ${agreed}, cut ${cut}, ending by ${ending}`, ...describeActions(actions)].join('\n')
}
