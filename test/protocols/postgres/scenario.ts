import { expect } from 'vitest'
import { concat } from '../../../protocols/bytes.ts'
import type { Payload, RelayEvent } from '../../../protocols/events.ts'
import { type RelayOptions, relay } from '../../../protocols/postgres/index.ts'
import type { Side, Statement, Verdict } from '../../../protocols/relay.ts'
import {
  type Cut,
  cutAt,
  inSingleBytes,
  type Piece,
  playRelay,
  type Relayed,
  settled,
} from '../../support/play.ts'
import { bytes } from '../../support/postgres-messages.ts'

export const UNGUESSABLE = 'a1b2c3d4e5f6a7b8'

export const relayOptions: RelayOptions = {
  session: 'k3v5o2n7q4w6x2za',
  firstOperation: 1,
  database: 'orders',
  ready: { pid: 4711, parameters: new Map([['client_encoding', 'UTF8']]) },
  unguessable: UNGUESSABLE,
  judge: false,
  readOnly: false,
  parameters: 'keep',
}

export const client = (...parts: Uint8Array[]): Piece => ({ from: 'client', bytes: bytes(...parts) })
export const target = (...parts: Uint8Array[]): Piece => ({ from: 'target', bytes: bytes(...parts) })

export interface Scenario {
  readonly pieces: readonly Piece[]
  readonly options?: Partial<RelayOptions>
  readonly judge?: (statement: Statement) => Verdict
  /** One line for each event; see `lines`. */
  readonly events: readonly string[]
  /** What the two sides get, if that is not what the other has sent. */
  readonly toClient?: Uint8Array
  readonly toTarget?: Uint8Array
  readonly closed?: Relayed['closed']
}

const PLAIN_META = /^\{"database":"orders","transaction":"(\w+)","pid":4711\}$/

function payload({ type, body }: Payload): string {
  const text = Buffer.from(body).toString()
  const transaction = type === 'meta' ? PLAIN_META.exec(text)?.[1] : undefined
  return transaction === undefined ? `${type}(${text})` : transaction
}

/** Each event as a line that says all of it. `none`, `open`, `failed` stand for the usual `meta` in that state. */
export function lines(events: readonly RelayEvent[]): string[] {
  return events.map((event) => {
    if (event.type === 'data') {
      return `${event.op} data ${event.stream} ${event.frame} ${JSON.stringify(Buffer.from(event.bytes).toString())}`
    }
    const words: (string | number)[] = [event.op, event.type]
    if (event.type === 'begin' || event.type === 'decision') words.push(event.act)
    else words.push(event.outcome)
    if (event.type === 'begin' && event.parent !== undefined) words.push(`in ${event.parent}`)
    if ('rule' in event && event.rule !== undefined) words.push(`by ${event.rule}`)
    if ('code' in event && event.code !== undefined) words.push(`${event.code}`)
    if ('rows' in event && event.rows !== undefined) words.push(`rows=${event.rows}`)
    if ('bytes' in event && event.bytes !== undefined) words.push(`bytes=${event.bytes}`)
    return [...words, ...(event.payloads ?? []).map(payload)].join(' ')
  })
}

function sentBy(pieces: readonly Piece[], side: Side): Uint8Array {
  return concat(
    pieces.map((piece) => ('bytes' in piece && piece.from === side ? piece.bytes : new Uint8Array(0))),
  )
}

/** Longer ones are cut at a few places only. */
const LONG = 5000
const CUTS_OF_LONG = 4

/**
 * T-PG-14. Plays a scenario whole, cut in two at every byte of every piece, byte by byte, and with verdicts at hand
 * where there are any: all must say the same.
 */
export function check({ pieces, options, judge, ...expected }: Scenario): Relayed {
  const play = (cut?: Cut, more: Partial<RelayOptions> = {}) =>
    playRelay(relay({ ...relayOptions, ...options, ...more }), pieces, {
      ...(cut === undefined ? {} : { cut }),
      ...(judge === undefined ? {} : { judge }),
    })
  const summary = (played: Relayed) => ({
    events: lines(settled(played.events)),
    toClient: Buffer.from(played.client).toString('latin1'),
    toTarget: Buffer.from(played.target).toString('latin1'),
    judged: played.judged,
    cancels: played.cancels,
    closed: played.closed,
  })
  const whole = play()
  const found = summary(whole)
  expect(found).toEqual({
    ...found,
    events: expected.events,
    toClient: Buffer.from(expected.toClient ?? sentBy(pieces, 'target')).toString('latin1'),
    toTarget: Buffer.from(expected.toTarget ?? sentBy(pieces, 'client')).toString('latin1'),
    closed: expected.closed,
  })
  const longest = Math.max(...pieces.map((piece) => ('bytes' in piece ? piece.bytes.length : 0)))
  const step = longest > LONG ? Math.floor(longest / CUTS_OF_LONG) : 1
  for (let at = 1; at < longest; at += step) expect(summary(play(cutAt(at))), `cut at ${at}`).toEqual(found)
  if (longest <= LONG) expect(summary(play(inSingleBytes)), 'byte by byte').toEqual(found)
  if (judge !== undefined) {
    const atOnce = summary(play(undefined, { judgeAtOnce: judge }))
    expect(atOnce, 'with verdicts at hand').toEqual({ ...found, judged: [] })
  }
  return whole
}
