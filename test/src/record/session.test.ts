import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RelayEvent } from '../../../protocols/events.ts'
import { KEY_LIMITS, KEY_RESERVE } from '../../../src/book/payload.ts'
import { decodeFrames } from '../../../src/record/chunks.ts'
import { type RecordedSession, RecordTooLargeError } from '../../../src/record/session.ts'
import { type CheckedLeaf, checkBook } from '../../support/check-book.ts'
import { type LocalRecorder, newBook, plaintexts, startLocal, text } from '../../support/recorder.ts'

const begin = (op: number, sql = 'SELECT 1', repeats = true): RelayEvent => ({
  type: 'begin',
  op,
  act: 'db.query',
  payloads: [{ type: 'sql', body: text(sql), repeats }],
})
const end = (op: number): RelayEvent => ({ type: 'end', op, outcome: 'ok' })

/** Starts a book, lets `run` record into a session of it, and gives the leaves of that session. */
function recorded(
  run: (session: RecordedSession, local: LocalRecorder) => void,
  mode: 'strict' | 'standard' | 'relaxed' = 'standard',
): { leaves: readonly CheckedLeaf[]; directory: string; com: string } {
  const directory = newBook()
  const local = startLocal(directory)
  const session = local.open(mode)
  run(session, local)
  local.drain()
  const { leaves } = checkBook(directory)
  local.stop()
  const mine = leaves.filter(({ sid }) => sid === session.sid)
  return { leaves: mine, directory, com: String(mine[0]?.['com']) }
}

const refsOf = (leaf: CheckedLeaf | undefined): { i: number; t: string; n: number }[] =>
  (leaf?.['ref'] ?? []) as { i: number; t: string; n: number }[]

test('a session whose key is used up is refused more, and can still be closed in order', () => {
  const directory = newBook()
  const keyLimits = { payloads: KEY_RESERVE.payloads + 3, bytes: KEY_LIMITS.bytes }
  const local = startLocal(directory, {}, { keyLimits })
  const session = local.open()
  const op = session.nextOp
  session.record(begin(op, 'COPY t TO STDOUT'))
  session.record({ type: 'data', op, stream: 'out', frame: 'o', bytes: text('rows') })
  session.record(begin(op + 1, 'SELECT 2'))
  session.record(begin(op + 2, 'SELECT 3'))
  const usedUp = /the data key of session \w{16} is used up/
  expect(() => session.record(begin(op + 3, 'SELECT 4'))).toThrow(usedUp)
  expect(() => session.record(begin(op + 3, 'SELECT 4'))).toThrow(RecordTooLargeError)
  const more: RelayEvent = { type: 'data', op, stream: 'out', frame: 'o', bytes: text('more') }
  expect(() => session.record(more)).toThrow(usedUp)
  session.close('limit')
  local.drain()
  const mine = checkBook(directory, { closed: true }).leaves.filter(({ sid }) => sid === session.sid)
  expect(mine.map(({ kind, op, out, why }) => [kind, op ?? why, out])).toEqual([
    ['session.open', undefined, undefined],
    ['op', 1, 'aborted'],
    ['op', 2, 'aborted'],
    ['op', 3, 'aborted'],
    ['data', 1, undefined],
    ['session.close', 'limit', undefined],
  ])
  local.stop()
})

describe('numbers', () => {
  test('count up by one over begins and refusals', () => {
    const { leaves } = recorded((session) => {
      expect(session.nextOp).toBe(1)
      session.record(begin(1))
      session.record(end(1))
      session.record({ type: 'decision', op: 2, act: 'db.query', rule: 'deny', payloads: [] })
      expect(session.nextOp).toBe(3)
      expect(() => session.record(begin(4))).toThrow('operations are counted without holes')
      expect(() => session.record(begin(2))).toThrow('operations are counted without holes')
      session.record(begin(3))
    })
    expect(leaves.map(({ kind, op }) => [kind, op])).toEqual([
      ['session.open', undefined],
      ['op', 1],
      ['decision', 2],
      ['op.begin', 3],
    ])
  })

  test('an operation ends once, and only when it has begun', () => {
    recorded((session) => {
      expect(() => session.record(end(1))).toThrow('operation 1 is not open')
      session.record(begin(1))
      session.record(end(1))
      expect(() => session.record(end(1))).toThrow('operation 1 is not open')
      const data: RelayEvent = { type: 'data', op: 1, stream: 'out', frame: 'o', bytes: text('x') }
      expect(() => session.record(data)).toThrow('operation 1 is not open')
    })
  })
})

describe('texts', () => {
  test('a statement that comes again is named again, and opens to the same text', () => {
    const { leaves, directory, com } = recorded((session) => {
      for (let op = 1; op <= 3; op++) {
        session.record(begin(op, op === 2 ? 'SELECT 2' : 'SELECT 1'))
        session.record(end(op))
      }
    })
    expect(leaves.slice(1).map((leaf) => refsOf(leaf).map(({ i }) => i))).toEqual([[0], [1], [0]])
    expect(leaves.slice(1).map((leaf) => String(plaintexts(directory, leaf, com)['sql']))).toEqual([
      'SELECT 1',
      'SELECT 2',
      'SELECT 1',
    ])
  })

  test('a text above 1 MiB is cut in parts and opens to the whole', () => {
    const body = Buffer.alloc((2 << 20) + 4711, 'SELECT * FROM t; ')
    const directory = newBook({ journalBytes: 16 << 20 })
    const local = startLocal(directory)
    const session = local.open()
    session.record({
      type: 'begin',
      op: 1,
      act: 'db.query',
      payloads: [
        { type: 'meta', body: text('{}') },
        { type: 'sql', body },
      ],
    })
    local.drain()
    const { leaves } = checkBook(directory)
    const leaf = leaves.find(({ kind }) => kind === 'op.begin') as CheckedLeaf
    expect(refsOf(leaf).map(({ t }) => t)).toEqual(['meta', 'sql', 'sql', 'sql'])
    const com = String(leaves.find(({ kind }) => kind === 'session.open')?.['com'])
    expect(plaintexts(directory, leaf, com)['sql']?.equals(body)).toBe(true)
    local.stop()
  })

  test('who came is payload 0 of a session', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const who = text('{"addr":"192.0.2.7"}')
    const { sid } = local.open('standard', { who, sub: 'u_7f3a', tgt: 'orders', act: 'ssh' })
    local.drain()
    const leaf = checkBook(directory).leaves.find((one) => one.sid === sid) as CheckedLeaf
    expect(leaf).toMatchObject({ kind: 'session.open', act: 'ssh', sub: 'u_7f3a', tgt: 'orders' })
    expect(refsOf(leaf)).toMatchObject([{ i: 0, t: 'who' }])
    expect(plaintexts(directory, leaf, String(leaf['com']))['who']).toEqual(who)
    local.stop()
  })
})

describe('what does not fit', () => {
  test('is refused before any of it is recorded, and uses up neither number nor text', () => {
    const body = Buffer.alloc(65 << 20)
    const { leaves } = recorded((session) => {
      expect(() =>
        session.record({ type: 'begin', op: 1, act: 'db.query', payloads: [{ type: 'sql', body }] }),
      ).toThrow(RecordTooLargeError)
      const many = Array.from({ length: 65 }, () => ({ type: 'args' as const, body: text('[]') }))
      expect(() => session.record({ type: 'decision', op: 1, act: 'db.query', payloads: many })).toThrow(
        RecordTooLargeError,
      )
      session.record(begin(1))
    })
    expect(leaves.map(({ kind, op }) => [kind, op])).toEqual([
      ['session.open', undefined],
      ['op.begin', 1],
    ])
    expect(refsOf(leaves[1])).toMatchObject([{ i: 0 }])
  })

  test('is refused for one session when the journal has no room for it, and the others go on', () => {
    const { leaves } = recorded((session, local) => {
      const other = local.open()
      const large = {
        type: 'sql' as const,
        body: randomBytes(400_000),
      }
      session.record({ type: 'begin', op: 1, act: 'db.query', payloads: [large] })
      session.record({ type: 'begin', op: 2, act: 'db.query', payloads: [large] })
      const third: RelayEvent = { type: 'begin', op: 3, act: 'db.query', payloads: [large] }
      expect(() => session.record(third)).toThrow('the journal has no room for a record of 400000 bytes')
      other.record(begin(1))
      local.drain()
      expect(local.failures).toEqual([])
      session.record(third)
    })
    expect(leaves.map(({ op }) => op)).toEqual([undefined, 1, 2, 3])
  })

  test('is not the reason once the journal has failed: then that is', () => {
    const local = startLocal(newBook())
    const session = local.open()
    const large: RelayEvent = {
      type: 'begin',
      op: 1,
      act: 'db.query',
      payloads: [{ type: 'sql', body: Buffer.alloc(2 << 20) }],
    }
    expect(() => session.record(large)).toThrow(RecordTooLargeError)
    local.log.close(new Error('the store failed'))
    expect(() => session.record(large)).toThrow('the store failed')
    local.stop()
  })

  test('refused results leave their operation open, so that the session still closes in order', () => {
    const { leaves } = recorded((session) => {
      session.record(begin(1))
      session.record({ type: 'data', op: 1, stream: 'out', frame: 'o', bytes: text('some') })
      const payloads = [{ type: 'res' as const, body: Buffer.alloc(70 << 20) }]
      expect(() => session.record({ type: 'end', op: 1, outcome: 'ok', payloads })).toThrow(
        RecordTooLargeError,
      )
      session.close('limit')
    })
    expect(leaves.map(({ kind, out, parts }) => [kind, out, parts])).toEqual(
      [
        ['session.open', undefined, undefined],
        ['op.begin', undefined, undefined],
        ['data', undefined, undefined],
        ['op.end', 'aborted', 1],
        ['session.close', undefined, undefined],
      ].toSpliced(1, 3, ['op', 'aborted', 1], ['data', undefined, undefined]),
    )
  })

  test('closing what runs has room even when nothing else has', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const sessions = Array.from({ length: 20 }, () => local.open())
    local.drain()
    const noise = randomBytes(3000)
    const refused = new Set<RecordedSession>()
    for (let op = 1; refused.size < sessions.length; op++) {
      for (const session of sessions) {
        if (refused.has(session)) continue
        try {
          session.record({ type: 'begin', op, act: 'db.query', payloads: [{ type: 'sql', body: noise }] })
          local.schedule.turn()
        } catch (error) {
          expect(error).toBeInstanceOf(RecordTooLargeError)
          refused.add(session)
        }
      }
    }
    for (const session of sessions) session.close('limit')
    local.drain()
    expect(local.failures).toEqual([])
    expect(checkBook(directory, { closed: true }).openSessions).toEqual([])
    local.stop()
  })

  test('the 65 537th operation under way at once is refused', () => {
    const directory = newBook({ journalBytes: 32 << 20 })
    const local = startLocal(directory)
    const session = local.open()
    for (let op = 1; op <= 65_536; op++) {
      session.record({ type: 'begin', op, act: 'db.query', payloads: [] })
    }
    const next: RelayEvent = { type: 'begin', op: 65_537, act: 'db.query', payloads: [] }
    expect(() => session.record(next)).toThrow(RecordTooLargeError)
    session.record(end(7))
    session.record(next)
    expect(session.openOperations).toBe(65_536)
  })
})

describe('words of the target', () => {
  test('stand in the leaf as far as a leaf can say them', () => {
    const codes: [string, string][] = [
      ['42P01', '42P01'],
      ['"\\', '"\\'],
      ['x'.repeat(32), 'x'.repeat(32)],
      ['x'.repeat(33), 'other'],
      ['', 'other'],
      ['a b', 'other'],
      ['\u00e9', 'other'],
    ]
    const { leaves } = recorded((session) => {
      for (const [k, [code]] of codes.entries()) {
        session.record(begin(k + 1))
        session.record({ type: 'end', op: k + 1, outcome: 'error', code })
      }
    })
    expect(leaves.slice(1).map(({ code }) => code)).toEqual(codes.map(([, expected]) => expected))
  })

  test('that are no counts are left out', () => {
    const counts = [-1, 1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY, 2 ** 53 - 1]
    const { leaves } = recorded((session) => {
      for (const [k, count] of counts.entries()) {
        session.record(begin(k + 1))
        session.record({ type: 'result', op: k + 1, outcome: 'ok', rows: count })
        session.record({ type: 'end', op: k + 1, outcome: 'ok', rows: count, bytes: count })
      }
    })
    expect(leaves.slice(1).map(({ kind, rows, bytes }) => [kind, rows, bytes])).toEqual([
      ...Array.from({ length: 5 }, () => ['op', undefined, undefined]),
      ['op', 2 ** 53 - 1, 2 ** 53 - 1],
    ])
  })

  test('what no leaf can say is our mistake, and never reaches the journal', () => {
    const { leaves } = recorded((session) => {
      const wrong = { type: 'sql' as const, body: text('SELECT 9'), repeats: true }
      expect(() =>
        session.append({ kind: 'decision', out: 'denied', op: 1, rule: 'no such\nrule' }, [wrong]),
      ).toThrow('no leaf can say')
      expect(() => session.append({ kind: 'nonsense' })).toThrow('nonsense')
      // Its text was sealed and is in no journal: it must not be named again.
      session.record({ type: 'begin', op: 1, act: 'db.query', payloads: [wrong] })
    })
    expect(leaves.map(({ kind }) => kind)).toEqual(['session.open', 'op.begin'])
  })
})

describe('times', () => {
  test('an operation lasts from its begin to its end, and never less than nothing', () => {
    const { leaves } = recorded((session, { clock }) => {
      session.record(begin(1))
      clock.now += 812
      session.record(end(1))
      session.record(begin(2))
      clock.now -= 5_000_000
      session.record(end(2))
    })
    expect(leaves.slice(1).map(({ dur }) => dur)).toEqual([812, 0])
  })
})

describe('streams', () => {
  const data = (stream: 'tty' | 'out' | 'in' | 'rows', bytes: string | Buffer): RelayEvent => ({
    type: 'data',
    op: 1,
    stream,
    frame: stream === 'in' ? 'i' : 'o',
    bytes: Buffer.from(bytes as string),
  })

  /** Records `events` and gives the marks: 0 where nothing was appended. */
  function marks(mode: 'strict' | 'standard' | 'relaxed', events: readonly RelayEvent[]): number[] {
    let seen: number[] = []
    recorded((session) => {
      session.record(begin(1))
      seen = events.map((event) => Math.sign(session.record(event)))
    }, mode)
    return seen
  }

  test('each mode cuts what must be recorded before it passes', () => {
    const events = [data('tty', 'a'), data('out', 'b'), data('in', 'c'), data('rows', 'd')]
    expect(marks('strict', events)).toEqual([1, 1, 1, 1])
    expect(marks('standard', events)).toEqual([0, 0, 1, 0])
    expect(marks('relaxed', events)).toEqual([0, 0, 0, 0])
  })

  test('a chunk is cut a second after its first frame, by the next frame or by the clock', () => {
    const filling: RecordedSession[] = []
    const directory = newBook()
    const local = startLocal(directory, {}, { onFilling: (session) => filling.push(session) })
    const session = local.open()
    session.record(begin(1))
    expect(session.record(data('tty', 'first'))).toBe(0)
    expect(filling).toEqual([session])
    local.clock.now += 999_999
    expect([session.record(data('tty', 'second')), session.cutOldChunks()]).toEqual([0, true])
    local.clock.now += 1
    expect(session.record(data('tty', 'third'))).toBeGreaterThan(0)

    session.record(data('tty', 'fourth'))
    session.record(data('out', 'apart'))
    local.clock.now += 1_000_000
    expect(session.cutOldChunks(), 'nothing fills any more').toBe(false)
    local.clock.now += 10
    session.record(data('tty', 'fifth'))
    local.clock.now -= 3_600_000_000
    expect(session.cutOldChunks(), 'a clock set back by an hour keeps nothing for an hour').toBe(false)
    session.record(end(1))
    local.drain()

    const { leaves } = checkBook(directory)
    const com = String(leaves.find(({ kind }) => kind === 'session.open')?.['com'])
    const chunks = leaves.filter(({ kind }) => kind === 'data')
    expect(chunks.map(({ part, off, bytes }) => [part, off, bytes])).toEqual([
      [0, 0, 16],
      [1, 16, 6],
      [2, 0, 5],
      [3, 22, 5],
    ])
    const bodies = chunks.map((leaf) => Object.values(plaintexts(directory, leaf, com))[0] ?? Buffer.alloc(0))
    expect(
      bodies.map((body) => decodeFrames(body).map(({ bytes }) => Buffer.from(bytes).toString())),
    ).toEqual([['first', 'second', 'third'], ['fourth'], ['apart'], ['fifth']])
    expect(decodeFrames(bodies[0] ?? Buffer.alloc(0)).map(({ delay }) => delay)).toEqual([0, 999_999, 1])
    expect(leaves.find(({ kind }) => kind === 'op')).toMatchObject({ parts: 4 })
    local.stop()
  })

  test('a terminal is cut at 64 KiB, anything else at 1 MiB', () => {
    const directory = newBook({ journalBytes: 16 << 20 })
    const local = startLocal(directory)
    const session = local.open()
    session.record(begin(1))
    session.record(data('tty', Buffer.alloc(100_000, 'x')))
    session.record(data('out', Buffer.alloc(1_500_000, 'y')))
    session.record(end(1))
    local.drain()
    const { leaves } = checkBook(directory)
    const chunks = leaves.filter(({ kind }) => kind === 'data')
    expect(chunks.map((leaf) => [refsOf(leaf)[0]?.t, leaf['off'], Number(leaf['bytes']) > 60_000])).toEqual([
      ['tty', 0, true],
      ['out', 0, true],
      ['tty', chunks[0]?.['bytes'], false],
      ['out', chunks[1]?.['bytes'], true],
    ])
    local.stop()
  })
})

describe('closing', () => {
  test('ends what is open as aborted, with what its streams still held', () => {
    const { leaves } = recorded((session, local) => {
      session.record(begin(1))
      session.record(begin(2, 'SELECT 2'))
      session.record({ type: 'data', op: 2, stream: 'out', frame: 'o', bytes: text('rest') })
      local.drain()
      session.close('client')
      expect(session.closed).toBe(true)
      expect(() => session.record(begin(3))).toThrow('nothing is recorded in a closed session')
    })
    expect(leaves.map(({ kind, op, out, parts, why }) => [kind, op, out ?? why, parts])).toEqual([
      ['session.open', undefined, undefined, undefined],
      ['op.begin', 1, undefined, undefined],
      ['op.begin', 2, undefined, undefined],
      ['op.end', 1, 'aborted', undefined],
      ['data', 2, undefined, undefined],
      ['op.end', 2, 'aborted', 1],
      ['session.close', undefined, 'client', undefined],
    ])
  })

  test('gives up the key, even when the journal has failed', () => {
    const local = startLocal(newBook())
    const [first, second] = [local.open(), local.open()]
    const seal = ({ sid }: RecordedSession) => local.dataKeys.get(sid)?.seal('sql', text('x'), false)
    expect(seal(first)?.ref.i).toBe(0)
    first.close('client')
    expect(() => seal(first)).toThrow('a destroyed key seals nothing')
    local.drain()

    local.log.close(new Error('the store failed'))
    expect(() => second.close('client')).toThrow('the store failed')
    expect(second.closed).toBe(true)
    expect(() => seal(second)).toThrow('a destroyed key seals nothing')
    local.stop()
  })
})

test('whatever sessions do, and however it is drained, the book verifies and holds every record', () => {
  const payload = fc.record({
    type: fc.constantFrom('sql', 'args', 'res', 'msg'),
    body: fc.oneof(
      fc.nat(20).map((n) => text(`SELECT ${n}`)),
      fc.nat(4000).map((n) => Buffer.alloc(n, n)),
    ),
    repeats: fc.boolean(),
  })
  const payloads = fc.array(payload, { maxLength: 3 })
  const pick = fc.nat(100)
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ type: fc.constant('begin'), pick, payloads }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('end'), pick, payloads }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('result'), pick, payloads }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('data'), pick, payloads }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('decision'), pick, payloads }) },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constantFrom('turn', 'drain', 'clock', 'open'),
        pick,
        payloads: fc.constant([]),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constantFrom('close', 'cut'), pick, payloads: fc.constant([]) }),
    },
  )
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
      const directory = newBook()
      const local = startLocal(directory)
      const sessions = [local.open('strict'), local.open('standard'), local.open('relaxed')]
      const open = new Map<RecordedSession, number[]>(sessions.map((session) => [session, []]))
      let [begun, ended, refused] = [0, 0, 0]
      for (const { type, pick: n, payloads: all } of steps) {
        const alive = sessions.filter(({ closed }) => !closed)
        const session = alive[n % Math.max(1, alive.length)]
        if (type === 'turn') local.schedule.turn()
        else if (type === 'drain') local.drain()
        else if (type === 'clock') local.clock.now += (n - 30) * 40_000
        else if (type === 'open') {
          const fresh = local.open()
          sessions.push(fresh)
          open.set(fresh, [])
        }
        if (session === undefined) continue
        const ops = open.get(session) ?? []
        const op = ops[n % Math.max(1, ops.length)]
        const some = all as never
        if (type === 'begin') {
          ops.push(session.nextOp)
          begun++
          session.record({ type, op: session.nextOp, act: 'db.query', payloads: some })
        } else if (type === 'decision') {
          refused++
          session.record({ type, op: session.nextOp, act: 'db.query', payloads: some })
        } else if (type === 'close') {
          ended += ops.splice(0).length
          session.close('client')
        } else if (type === 'cut') session.cutOldChunks()
        else if (op === undefined) continue
        else if (type === 'end') {
          ops.splice(ops.indexOf(op), 1)
          ended++
          session.record({ type, op, outcome: 'ok', payloads: some })
        } else if (type === 'result') session.record({ type, op, outcome: 'ok', payloads: some })
        else if (type === 'data') {
          const bytes = Buffer.alloc(n * 900, n)
          session.record({ type, op, stream: n % 2 === 0 ? 'out' : 'in', frame: 'o', bytes })
        }
      }
      for (const session of sessions) {
        if (session.closed) continue
        ended += (open.get(session) ?? []).length
        session.close('stop')
      }
      local.drain()
      const after = checkBook(directory, { closed: true })
      const count = (...kinds: string[]): number =>
        after.leaves.filter(({ kind }) => kinds.includes(kind)).length
      expect([count('op', 'op.begin'), count('op', 'op.end'), count('decision')]).toEqual([
        begun,
        ended,
        refused,
      ])
      expect(after.openSessions).toEqual([])
      local.stop()
    }),
    { numRuns: 30 },
  )
})
