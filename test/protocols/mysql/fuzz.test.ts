/**
 * Random sessions against what must hold of every one. Twenty seconds in all by default; GATEBOOK_FUZZ_SECONDS
 * makes it longer, GATEBOOK_FUZZ_SEED begins elsewhere.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FLAG } from '../../../protocols/mysql/capabilities.ts'
import { relay } from '../../../protocols/mysql/relay.ts'
import { readText } from '../../../protocols/mysql/sql/facts.ts'
import { type Done, hex, join, Ledger, type Part, packet } from '../../support/mysql-play.ts'
import {
  begin,
  client,
  definition,
  execute,
  prepare,
  query,
  relayOptions,
  target,
  u32,
} from './relay-setting.ts'

const SECONDS = Number(process.env['GATEBOOK_FUZZ_SECONDS'] ?? 20)
const SEED = Number(process.env['GATEBOOK_FUZZ_SEED'] ?? 20_251_120)

/** A share of the time, in milliseconds; what is not reached by then is not a failure. */
const during = (share: number) => ({
  seed: SEED,
  numRuns: 1_000_000,
  interruptAfterTimeLimit: SECONDS * 1000 * share,
  markInterruptAsFailure: false,
})
const TIMEOUT = SECONDS * 1000 + 30_000

/** What a simulated server answers, and what a record must then say. */
interface Exchange {
  readonly request: Uint8Array
  readonly answer: Uint8Array
  readonly end: Record<string, unknown>
  /** Results that are told before the end. */
  readonly results: number
}

type Shape =
  | { readonly kind: 'ok'; readonly affected: number }
  | { readonly kind: 'error' }
  | { readonly kind: 'rows'; readonly rows: readonly Uint8Array[] }

const shape: fc.Arbitrary<Shape> = fc.oneof(
  fc.record({ kind: fc.constant('ok' as const), affected: fc.nat(250) }),
  fc.record({ kind: fc.constant('error' as const) }),
  fc.record({
    kind: fc.constant('rows' as const),
    // A row begins as it likes, but for what would make it another packet.
    rows: fc.array(
      fc.uint8Array({ minLength: 9, maxLength: 40 }).filter(([first]) => first !== 0xff && first !== 0xfe),
      {
        maxLength: 4,
      },
    ),
  }),
)

class Server {
  readonly #deprecated: boolean
  #sequence = 1
  #parts: Uint8Array[] = []

  constructor(deprecated: boolean) {
    this.#deprecated = deprecated
  }

  #send(...parts: readonly (Uint8Array | string | number)[]): void {
    this.#parts.push(packet(this.#sequence++ & 0xff, ...parts))
  }

  #eof(status: number): void {
    if (this.#deprecated) this.#send(0xfe, 0, 0, status, 0, 0, 0)
    else this.#send(0xfe, 0, 0, status, 0)
  }

  answer(shapes: readonly Shape[]): Omit<Exchange, 'request'> {
    this.#sequence = 1
    this.#parts = []
    let [rows, bytes, results] = [0, 0, 0]
    let failed = false
    for (const [i, one] of shapes.entries()) {
      const more = i < shapes.length - 1 ? 8 : 0
      if (one.kind === 'error') {
        this.#send(0xff, 0x28, 0x04, '#42000no')
        failed = true
        break
      }
      if (more !== 0) results++
      if (one.kind === 'ok') {
        this.#send(0, one.affected, 0, 2 | more, 0, 0, 0)
        rows += one.affected
        continue
      }
      this.#send(2)
      this.#send(definition(0).subarray(4))
      this.#send(definition(0).subarray(4))
      if (!this.#deprecated) this.#eof(2)
      for (const row of one.rows) {
        this.#send(row)
        bytes += row.length
      }
      rows += one.rows.length
      this.#eof(2 | more)
    }
    const counted = failed && results === 0 ? {} : { rows }
    const end = {
      outcome: failed ? 'error' : 'ok',
      ...(failed ? { code: '1064' } : {}),
      ...counted,
      ...(bytes > 0 ? { bytes } : {}),
    }
    return { answer: join(...this.#parts), end, results }
  }
}

const exchanges = fc.tuple(
  fc.boolean(),
  fc.array(fc.tuple(fc.array(shape, { minLength: 1, maxLength: 3 }), fc.string({ maxLength: 20 })), {
    minLength: 1,
    maxLength: 5,
  }),
)

function simulate([deprecated, asked]: [boolean, [Shape[], string][]]): {
  deprecated: boolean
  all: Exchange[]
} {
  const server = new Server(deprecated)
  const all = asked.map(([shapes, sql]) => ({ request: query(`q ${sql}`), ...server.answer(shapes) }))
  return { deprecated, all }
}

function cutRandomly(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...at].map((from, i) => bytes.slice(from, at[i]))
}

describe('random sessions', () => {
  test(
    'pass unchanged and are recorded as they went, pipelined and cut anywhere',
    () => {
      fc.assert(
        fc.property(
          exchanges,
          fc.array(fc.nat(2000), { maxLength: 12 }),
          fc.boolean(),
          (drawn, cuts, pipelined) => {
            const { deprecated, all } = simulate(drawn)
            const { machine, ledger } = begin(
              relayOptions({}, { flags: deprecated ? FLAG.DEPRECATE_EOF : 0 }),
            )
            const turns = pipelined
              ? [client(...all.map(({ request }) => request)), target(...all.map(({ answer }) => answer))]
              : all.flatMap(({ request, answer }) => [client(request), target(answer)])
            for (const { from, bytes } of turns) {
              for (const piece of cutRandomly(bytes, cuts)) ledger.take(machine.receive(from, piece))
            }
            expect(hex(ledger.bytes('target'))).toBe(hex(join(...all.map(({ request }) => request))))
            expect(hex(ledger.bytes('client'))).toBe(hex(join(...all.map(({ answer }) => answer))))
            const ends = ledger.events().filter(({ event }) => event === 'end')
            expect(ends).toMatchObject(all.map(({ end }, i) => ({ op: i + 1, ...end })))
            const told = ledger.events().filter(({ event }) => event === 'result')
            expect(told).toHaveLength(all.reduce((sum, { results }) => sum + results, 0))
            expect(machine.idle).toBe(true)
          },
        ),
        during(0.4),
      )
    },
    TIMEOUT,
  )

  test(
    'of noise never throw, and end each operation and the connection exactly once',
    () => {
      fc.assert(
        fc.property(noise, fc.boolean(), fc.boolean(), (parts, judge, readOnly) => {
          const machine = relay(
            relayOptions(
              { judge, readOnly, localFiles: true, rowsMax: 3, statementBytesMax: 200 },
              { flags: FLAG.SESSION_TRACK },
            ),
          )
          const ledger = new Ledger()
          const take = (steps: ReturnType<typeof machine.receive>) => {
            for (const step of ledger.take(steps)) {
              if (step.type === 'judge') take(machine.verdict({ allow: true }))
            }
          }
          for (const { from, bytes } of parts) take(machine.receive(from, bytes.slice()))
          take(machine.end('client'))
          check(ledger.done)
          expect(machine.receive('target', Uint8Array.of(1))).toEqual([])
        }),
        during(0.4),
      )
    },
    TIMEOUT,
  )
})

const bits: readonly Uint8Array[] = [
  query('select 1'),
  query("load data local infile 'f' into table t"),
  query('kill 78'),
  query('use x; select 2'),
  prepare('select ?'),
  execute(5, 0, 1, '\x03\x00', u32(1)),
  execute(0xffffffff, 0, 0, u32(1)),
  packet(0, 0x18, u32(5), 0, 0, 'ahead'),
  packet(0, 0x19, u32(5)),
  packet(0, 0x1a, u32(5)),
  packet(0, 0x1c, u32(5), u32(2)),
  packet(0, 0x1f),
  packet(0, 14),
  packet(0, 0x12, 1),
  packet(0, 0x77),
  packet(0, 0x11, 'alice~shop\0', 0, '\0'),
  packet(0, 3, 'x'.repeat(300)),
]
const answers: readonly Uint8Array[] = [
  packet(1, 0, 0, 0, 2, 0, 0, 0),
  packet(1, 0, 0, 0, 10, 0, 0, 0),
  packet(1, 1),
  definition(2),
  packet(3, 0xfe, 0, 0, 2, 0),
  packet(4, 1, 'x'),
  packet(5, 0xfe, 0, 0, 2, 0),
  packet(1, 0, u32(5), 1, 0, 1, 0, 0, 0, 0),
  packet(1, 0xff, 0x28, 0x04, '#42000no'),
  packet(1, 0xfb, 'f'),
  packet(1, 0, 0, 0, 2, 0x40, 0, 0, 0, 9, 1, 7, '\x06second'),
]

const piece = (known: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...known) },
    {
      weight: 2,
      arbitrary: fc.tuple(fc.constantFrom(...known), fc.nat(40), fc.nat(255)).map(([bytes, at, value]) => {
        const changed = bytes.slice()
        changed[at % changed.length] = value
        return changed
      }),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }) },
  )

const noise: fc.Arbitrary<Part[]> = fc.array(
  fc.oneof(
    piece(bits).map((bytes): Part => ({ from: 'client', bytes })),
    piece(answers).map((bytes): Part => ({ from: 'target', bytes })),
  ),
  { maxLength: 30 },
)

/** Begins count up, each ends at most once and, at the end, exactly once; the connection closes once, and last. */
function check(done: readonly Done[]): void {
  const open = new Set<number>()
  let last = 0
  for (const { event, op = 0 } of done) {
    if (event === 'begin' || event === 'decision') {
      expect(op).toBe(last + 1)
      last = op
      if (event === 'begin') open.add(op)
    } else if (event === 'end') {
      expect(open.delete(op), `operation ${op} ended twice`).toBe(true)
    } else if (event !== undefined) expect(open.has(op)).toBe(true)
  }
  expect([...open]).toEqual([])
  expect(done.filter(({ step }) => step === 'close')).toHaveLength(1)
  expect(done.at(-1)).toMatchObject({ step: 'close' })
}

test(
  'random texts are read without a throw, and a reading that is not disputed does not change by a comment',
  () => {
    const words = fc.constantFrom(
      ...[
        'select',
        'a',
        'from',
        't',
        ',',
        '(',
        ')',
        "'x'",
        '"y"',
        '`z`',
        '1',
        ';',
        '.',
        '?',
        '=',
        'where',
        'join',
      ],
      ...[
        'delete',
        'update',
        'set',
        'insert',
        'into',
        'values',
        'with',
        'as',
        'union',
        'explain',
        'prepare',
        'drop',
      ],
      ...[
        'table',
        'create',
        'for',
        'lock',
        'order',
        'by',
        'limit',
        '@v',
        '@@sql_mode',
        'kill',
        'use',
        'call',
        '/*! x */',
      ],
    )
    fc.assert(
      fc.property(fc.array(words, { minLength: 1, maxLength: 14 }), fc.nat(14), (chosen, at) => {
        const read = (list: readonly string[]) => readText(new TextEncoder().encode(list.join(' ')))
        const plain = read(chosen)
        const commented = read([...chosen.slice(0, at), '/* comment */', ...chosen.slice(at)])
        expect(commented.parts).toEqual(plain.parts)
        expect(commented.masked).toBe(plain.masked)
      }),
      during(0.2),
    )
  },
  TIMEOUT,
)
