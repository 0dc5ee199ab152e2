import { describe, expect, test } from 'vitest'
import { concat, ProtocolError } from '../../../protocols/bytes.ts'
import type { RelayEvent } from '../../../protocols/events.ts'
import { decodeBackend } from '../../../protocols/postgres/backend.ts'
import { endpointHash } from '../../../protocols/postgres/endpoint.ts'
import { decodeFrontend } from '../../../protocols/postgres/frontend.ts'
import { accept, connect, type PostgresRelay, relay } from '../../../protocols/postgres/index.ts'
import { scan } from '../../../protocols/postgres/lexer.ts'
import { decodeClientFinal, decodeClientFirst, decodeServerFirst } from '../../../protocols/postgres/scram.ts'
import { decodeStartup } from '../../../protocols/postgres/startup.ts'
import { decodeValue } from '../../../protocols/postgres/values.ts'
import type { CloseReason, Side, Step } from '../../../protocols/relay.ts'
import { FUZZ_TIMEOUT_MS, fuzz, mutate, type Random, scatter } from '../../support/fuzz.ts'
import { playConversation } from '../../support/play.ts'
import { RandomClient } from '../../support/postgres-client.ts'
import { back as b, bytes, front as f } from '../../support/postgres-messages.ts'
import { ModelServer } from '../../support/postgres-model.ts'
import { readVectors } from '../../support/vectors.ts'
import { relayOptions } from './scenario.ts'

/** Lets pass what a peer may cause; anything else is a fault of ours. */
function onlyProtocolErrors(act: () => void): void {
  try {
    act()
  } catch (problem) {
    if (!(problem instanceof ProtocolError)) throw problem
  }
}

const vectors = readVectors('postgres').map((vector) => vector.bytes)
const TAGS = 'BCDEFHPQSXcdfp123AGIKNRTVWZnstv!'

describe('whatever a peer sends, it gets no further than a ProtocolError', () => {
  test('into the decoders', { timeout: FUZZ_TIMEOUT_MS }, () => {
    const count = fuzz((r) => {
      const [first = bytes(), ...others] = vectors
      const body = r.chance(0.5) ? r.bytes(r.below(64)) : mutate(r, r.pick([first, ...others])).subarray(5)
      const tag = TAGS[r.below(TAGS.length)] ?? 'Q'
      onlyProtocolErrors(() => decodeFrontend(tag.charCodeAt(0), body))
      onlyProtocolErrors(() => decodeBackend(tag, body))
      onlyProtocolErrors(() => decodeStartup(body))
      onlyProtocolErrors(() => decodeClientFirst(body))
      onlyProtocolErrors(() => decodeClientFinal(body))
      onlyProtocolErrors(() => decodeServerFirst(body, 'abc'))
      onlyProtocolErrors(() => endpointHash(body))
      const oid = r.pick([
        16, 17, 20, 23, 25, 700, 869, 1007, 1009, 1082, 1083, 1114, 1186, 1231, 1700, 2950, 3802,
      ])
      JSON.stringify(decodeValue(body, oid, r.chance(0.8), r.pick(['UTF8', 'SJIS', 'LATIN1', 'x'])))
      scan(Buffer.from(body).toString('latin1'))
    })
    expect(count).toBeGreaterThan(49)
  })

  test('into both handshakes', { timeout: FUZZ_TIMEOUT_MS }, () => {
    const client = [
      front('startup'),
      f.sasl('SCRAM-SHA-256', 'n,,n=,r=abc'),
      f.saslResponse(`c=biws,r=abcdef,p=${'A'.repeat(43)}=`),
    ]
    const server = [
      b.mechanisms('SCRAM-SHA-256'),
      b.authentication(11, 'r=abcdef,s=AAAA,i=4096'),
      b.authentication(12, 'v=AAAA'),
      bytes(
        b.authentication(0),
        b.parameter('a', 'b'),
        b.backendKey(1, Uint8Array.of(1, 2, 3, 4)),
        b.ready(),
      ),
    ]
    const salted = new Uint8Array(32)
    fuzz((r) => {
      const acceptor = accept({
        tls: undefined,
        tlsPolicy: 'allow',
        method: r.chance(0.8) ? 'scram' : 'password',
        nonce: 'def',
        mock: { secret: salted, iterations: 4096 },
      })
      const connector = connect({
        tls: 'off',
        version: 0x30002,
        user: 'a',
        database: 'b',
        parameters: new Map(),
        password: 'c',
        nonce: 'abc',
        clientSecret: Uint8Array.of(1, 2, 3, 4),
      })
      const tls = { protocol: undefined, ownCertificate: undefined, peerCertificate: undefined }
      for (const { end } of [
        playConversation(acceptor, flights(r, client), { tls }),
        playConversation(connector, flights(r, server), { tls, answer: () => salted }),
      ]) {
        onlyProtocolErrors(() => {
          if ('thrown' in end) throw end.thrown
        })
      }
    })
    expect(salted).toHaveLength(32)
  })

  test('into the relay, from both sides', { timeout: FUZZ_TIMEOUT_MS }, () => {
    let closed = 0
    const count = fuzz((r) => {
      const room = new Room(
        r,
        relay({ ...relayOptions, judge: r.chance(0.2), rowsMax: r.chance(0.2) ? 3 : 1000 }),
      )
      const model = new ModelServer()
      const client = new RandomClient(r, TEXTS)
      for (let turn = 0; turn < 30 && room.closed === undefined; turn++) {
        if (r.chance(0.3)) room.cancel()
        const from: Side = r.chance(0.5) ? 'client' : 'target'
        if (from === 'client') {
          room.give('client', r.chance(0.1) ? mutate(r, client.next()) : client.next())
        } else {
          try {
            model.receive(room.take('target'))
          } catch {
            // The client's faults are forwarded as far as they are well-formed; the model need not cope with them.
          }
          const said = model.process(r.below(6))
          room.give('target', r.chance(0.1) ? mutate(r, said) : said)
        }
      }
      if (room.closed !== undefined) closed++
      room.end()
      checkEvents(room.events)
    })
    expect(closed, 'faults were met').toBeGreaterThan(0)
    expect(count).toBeGreaterThan(closed)
  })
})

function front(_: 'startup'): Uint8Array {
  return f.startup(0x30000, { user: 'alice', database: 'orders' })
}

function flights(r: Random, good: readonly Uint8Array[]): Uint8Array[] {
  const found = good.map((flight) => (r.chance(0.3) ? mutate(r, flight) : flight))
  return r.chance(0.3) ? scatter(r, concat(found)) : found
}

/** Carries a relay's steps out, with verdicts, and keeps what it says. */
class Room {
  readonly relay: PostgresRelay
  readonly events: RelayEvent[] = []
  closed: CloseReason | undefined
  #cancels = 0
  readonly #random: Random
  readonly #out: Record<Side, Uint8Array[]> = { client: [], target: [] }

  constructor(r: Random, room: PostgresRelay) {
    this.#random = r
    this.relay = room
  }

  give(from: Side, sent: Uint8Array): void {
    for (const chunk of scatter(this.#random, sent)) {
      this.#carryOut(this.relay.receive(from, chunk))
      chunk.fill(0xee)
    }
  }

  /** Carries out what was asked for, at some later time. */
  cancel(): void {
    if (this.#cancels === 0) return
    this.#cancels--
    this.#carryOut(this.relay.cancelled(this.#random.chance(0.9) ? 'ok' : 'error'))
  }

  take(to: Side): Uint8Array {
    return concat(this.#out[to].splice(0))
  }

  end(): void {
    this.#carryOut(this.relay.end('client'))
  }

  #carryOut(steps: readonly Step[]): void {
    for (const step of steps) {
      expect(this.closed, 'nothing behind the end').toBeUndefined()
      if (step.type === 'send') this.#out[step.to].push(step.bytes.slice())
      else if (step.type === 'record') this.events.push(structuredClone(step.event))
      else if (step.type === 'judge') {
        const refusal = { cause: 'statement', what: 'no', why: '', next: '', record: '' } as const
        this.#carryOut(
          this.relay.verdict(this.#random.chance(0.8) ? { allow: true } : { allow: false, refusal }),
        )
      } else if (step.type === 'cancel') this.#cancels++
      else if (step.type === 'close') this.closed = step.reason
    }
  }
}

/** Numbers count up by one; each begin has one end, behind it; nothing is said of what is over. */
function checkEvents(events: readonly RelayEvent[]): void {
  const open = new Set<number>()
  let next = 1
  for (const event of events) {
    if (event.type === 'begin' || event.type === 'decision') {
      expect(event.op).toBe(next++)
      if (event.type === 'begin') open.add(event.op)
    } else {
      expect(open.has(event.op), `${event.type} of ${event.op}`).toBe(true)
      if (event.type === 'end') open.delete(event.op)
    }
  }
  expect([...open], 'left open').toEqual([])
}

const TEXTS: readonly [string, ...string[]] = [
  'select 0',
  'select 3',
  'select 5',
  'bad',
  'fail',
  'begin',
  'commit',
  'rollback',
  'prepare s as one',
  'prepare x as two',
  'deallocate s',
  'deallocate all',
  'discard all',
  'close p',
  'declare p',
  'close p; declare p',
  'copy in',
  'copy out',
]

describe('against a model of the server', () => {
  test('every text that ran is recorded as what ran, however it was arranged', {
    timeout: FUZZ_TIMEOUT_MS,
  }, () => {
    let executed = 0
    let unknown = 0
    const count = fuzz((r) => {
      const room = new Room(r, relay(relayOptions))
      const model = new ModelServer()
      const client = new RandomClient(r, TEXTS)
      const turn = (sent: Uint8Array, processed: number): void => {
        if (sent.length > 0) room.give('client', sent)
        model.receive(room.take('target'))
        room.give('target', model.process(processed))
        expect(room.closed, 'the relay understood both').toBeUndefined()
      }
      for (let i = 0; i < 20; i++) turn(r.chance(0.6) ? client.next() : bytes(), r.below(8))
      // Everything is answered: the relay may hold messages back until a name is settled, so several times.
      for (let i = 0; i < 50; i++) turn(bytes(), 1000)
      turn(bytes(f.copyDone, f.sync, f.query('rollback')), 1000)
      for (let i = 0; i < 50; i++) turn(bytes(), 1000)
      expect(room.relay.idle, 'nothing is left').toBe(true)
      room.end()
      checkEvents(room.events)
      const found = compare(room.events, model)
      executed += found.executed
      unknown += found.unknown
    })
    expect(executed).toBeGreaterThan(count)
    // Unknown is the honest answer for few: names that SQL took away, cursors.
    expect(unknown / executed).toBeLessThan(0.02)
  })
})

/** The ends of statements in the book, beside what the server saw, one for one. */
function compare(events: readonly RelayEvent[], model: ModelServer): { executed: number; unknown: number } {
  const texts = new Map<number, string | undefined>()
  const told: { text: string | undefined; outcome: string }[] = []
  for (const event of events) {
    if (event.type === 'begin' && (event.act === 'db.query' || event.act === 'db.execute')) {
      const sql = event.payloads.find(({ type }) => type === 'sql')
      texts.set(event.op, sql === undefined ? undefined : Buffer.from(sql.body).toString())
    }
    if (event.type === 'end' && texts.has(event.op) && event.outcome !== 'skipped') {
      told.push({ text: texts.get(event.op), outcome: event.outcome })
    }
  }
  expect(told.map(({ outcome }) => outcome)).toEqual(model.witnessed.map(({ outcome }) => outcome))
  let unknown = 0
  told.forEach(({ text, outcome }, i) => {
    const witnessed = model.witnessed[i]
    // What failed because there was no such statement or portal has no text at the server.
    if (witnessed?.text === '' && text !== '') return
    if (text === undefined && outcome === 'ok') unknown++
    if (text !== undefined) expect(text, `statement ${i}`).toBe(witnessed?.text)
  })
  return { executed: told.length, unknown }
}
