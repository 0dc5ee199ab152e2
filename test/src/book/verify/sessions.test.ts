/** What the records of a session may say, one history for each rule. Every one is chained and signed by the real key. */
import { describe, expect, test } from 'vitest'
import { formatVkey } from '../../../../src/book/checkpoint.ts'
import { exitCode, type Report } from '../../../../src/book/verify/report.ts'
import { type VerifyOptions, verifyBook } from '../../../../src/book/verify/walk.ts'
import {
  BookBuilder,
  type Draft,
  type Sealed,
  sidOf,
  type TestSession,
  testSigner,
} from '../../../support/book-builder.ts'
import { MemorySource, rowsOf } from '../../../support/memory-source.ts'
import { secondVerdict } from '../../../support/second-verifier.ts'

interface Play {
  readonly book: BookBuilder
  readonly session: TestSession
  readonly sid: string
}

/** A book with one open session, as `play` goes on with it. */
function history(play: (on: Play) => void, options: Partial<VerifyOptions> = {}): Report {
  const book = new BookBuilder(':memory:')
  book.commit([{ kind: 'boot', rel: '0.1.0', clean: true }])
  const session = book.openSession('one', 'pg')
  play({ book, session, sid: session.sid })
  const report = verifyBook(new MemorySource(rowsOf(book.db)), {
    key: testSigner('key 0').vkey,
    keyFromOutside: true,
    outside: [],
    now: book.ts,
    integrityChecked: true,
    ...options,
  })
  // Neither silence nor age is the business of the second verifier.
  if (options.maxGap === undefined && options.maxAge === undefined) {
    const second = secondVerdict(
      book.db.serialize(),
      formatVkey(testSigner('key 0').vkey),
      [],
      options.closed,
    )
    expect({ second, holds: second === undefined }).toEqual({ second, holds: report.findings.length === 0 })
  }
  return report
}

const counts = (play: (on: Play) => void, options: Partial<VerifyOptions> = {}): Report['counts'] =>
  history(play, options).counts

const close = (sid: string): Draft => ({ kind: 'session.close', sid, why: 'client' })
const begin = (sid: string, op: number): Draft => ({ kind: 'op.begin', sid, op, act: 'db.query' })
const end = (sid: string, op: number, parts?: number): Draft => ({
  kind: 'op.end',
  sid,
  op,
  out: 'ok',
  ...(parts === undefined ? {} : { parts }),
})
const both = (sid: string, op: number, parts?: number): Draft => ({
  ...end(sid, op, parts),
  kind: 'op',
  act: 'db.query',
})

describe('a session', () => {
  test('with operations in one leaf and in two, counted through refusals, passes', () => {
    const play = ({ book, sid }: Play) => {
      book.commit([
        { kind: 'login', sid, act: 'pg', out: 'denied', op: 1 },
        both(sid, 2),
        { kind: 'decision', sid, out: 'denied', op: 3 },
        { kind: 'decision', sid, out: 'ok' },
        begin(sid, 4),
        begin(sid, 5),
        { kind: 'op.result', sid, op: 4, out: 'ok' },
        end(sid, 5),
        end(sid, 4),
        close(sid),
      ])
    }
    expect(history(play, { closed: true })).toMatchObject({ counts: {}, sessions: { opened: 1, open: 0 } })
  })

  test.each<[string, (on: Play) => void]>([
    ['stands before its opening', ({ book }) => book.commit([both(sidOf('two'), 1)])],
    ['stands after its close', ({ book, sid }) => book.commit([close(sid), both(sid, 1)])],
    ['is opened twice', ({ book }) => book.openSession('one', 'gateway')],
    [
      'is opened again after its close',
      ({ book, sid }) => {
        book.commit([close(sid)])
        book.openSession('one', 'gateway')
      },
    ],
    ['is closed twice', ({ book, sid }) => book.commit([close(sid), close(sid)])],
  ])('%s: session', (_, play) => {
    expect(counts(play)).toMatchObject({ session: 1 })
  })
})

describe('operations', () => {
  test.each<[string, (sid: string) => Draft[]]>([
    ['begin with another number than 1', (sid) => [both(sid, 2)]],
    ['leave a number out', (sid) => [both(sid, 1), both(sid, 3)]],
    ['have a number twice', (sid) => [both(sid, 1), both(sid, 1)]],
    [
      'leave the number of a refusal out',
      (sid) => [both(sid, 1), { kind: 'decision', sid, out: 'denied', op: 3 }],
    ],
    [
      'leave the number of a refused login out',
      (sid) => [{ kind: 'login', sid, act: 'pg', out: 'denied', op: 2 }],
    ],
    ['end without a begin', (sid) => [end(sid, 1)]],
    ['end twice', (sid) => [begin(sid, 1), end(sid, 1), end(sid, 1)]],
    ['end although they are in one leaf', (sid) => [both(sid, 1), end(sid, 1)]],
    ['end although they are in one leaf and a stream follows', (sid) => [both(sid, 1, 1), end(sid, 1)]],
    ['have a result without a begin', (sid) => [{ kind: 'op.result', sid, op: 1, out: 'ok' }]],
    [
      'have a result after their end',
      (sid) => [begin(sid, 1), end(sid, 1), { kind: 'op.result', sid, op: 1, out: 'ok' }],
    ],
    [
      'have a result although they are in one leaf',
      (sid) => [both(sid, 1), { kind: 'op.result', sid, op: 1, out: 'ok' }],
    ],
  ])('that %s: session', (_, drafts) => {
    expect(counts(({ book, sid }) => book.commit(drafts(sid)))['session']).toBeGreaterThan(0)
  })

  test('that are open are listed, and are a finding once the session is closed or nothing may be open', () => {
    const open = ({ book, sid }: Play) => book.commit([begin(sid, 1), begin(sid, 2)])
    const report = history(open)
    expect(exitCode(report)).toBe(0)
    expect(report.limits.find(({ code }) => code === 'open-op')?.text).toBe(
      `the outcome of 2 operations that are open: ${sidOf('one')}.1 (record 2); ${sidOf('one')}.2 (record 3)`,
    )
    expect(counts(open, { closed: true })).toEqual({ 'open-op': 2 })
    expect(counts(({ book, sid }) => book.commit([begin(sid, 1), close(sid)]))).toEqual({ 'open-op': 1 })
  })
})

describe('streams', () => {
  const chunks = (
    session: TestSession,
    book: BookBuilder,
    parts: readonly number[],
  ): { drafts: Draft[]; sealed: Sealed[] } => {
    const sealed = parts.map((part) => book.seal(session, 'out', `chunk ${part}`))
    const drafts = sealed.map(
      ({ ref }, at): Draft => ({
        kind: 'data',
        sid: session.sid,
        op: 1,
        part: parts[at] ?? 0,
        off: 0,
        bytes: 7,
        t0: 1,
        ref: [ref],
      }),
    )
    return { drafts, sealed }
  }
  const before =
    (parts: readonly number[], told: number | undefined) =>
    ({ book, session, sid }: Play) => {
      const { drafts, sealed } = chunks(session, book, parts)
      book.commit([begin(sid, 1), ...drafts, end(sid, 1, told)], sealed)
    }
  const after =
    (parts: readonly number[], told: number | undefined) =>
    ({ book, session, sid }: Play) => {
      const { drafts, sealed } = chunks(session, book, parts)
      book.commit([both(sid, 1, told), ...drafts], sealed)
    }

  test('without holes pass, before an end and after an operation in one leaf', () => {
    expect(counts(before([0, 1, 2], 3))).toEqual({})
    expect(counts(after([0, 1, 2], 3))).toEqual({})
    expect(counts(before([], 0))).toEqual({})
    expect(counts(after([], 0))).toEqual({})
  })

  test.each<[string, (on: Play) => void]>([
    ['a hole', before([0, 2], 2)],
    ['a chunk twice', before([0, 0], 2)],
    ['chunks in another order', before([1, 0, 2], 3)],
    ['no first chunk', before([1, 2], 2)],
    ['a chunk more than their end tells', before([0, 1], 1)],
    ['a chunk less than their end tells', before([0], 2)],
    ['chunks of which their end tells nothing', before([0], undefined)],
    ['a hole after an operation in one leaf', after([0, 2], 2)],
    ['a chunk more than the operation tells', after([0, 1], 1)],
    ['a chunk less than the operation tells', after([0], 2)],
    ['chunks of which the operation tells nothing', after([0], undefined)],
    [
      'a chunk less before the close',
      ({ book, session, sid }) => {
        after([0], 2)({ book, session, sid })
        book.commit([close(sid)])
      },
    ],
    [
      'a chunk after the end',
      ({ book, session, sid }) => {
        const { drafts, sealed } = chunks(session, book, [0])
        book.commit([begin(sid, 1), end(sid, 1), ...drafts], sealed)
      },
    ],
  ])('with %s: session', (_, play) => {
    expect(counts(play)['session']).toBeGreaterThan(0)
  })
})

describe('nonces', () => {
  /** Records that name these payloads, each index sealed once. */
  const naming =
    (...indices: readonly number[]) =>
    ({ book, session, sid }: Play) => {
      const sealed = new Map<number, Sealed>()
      for (const i of new Set(indices)) {
        session.next = i
        sealed.set(i, book.seal(session, 'sql', `statement ${i}`))
      }
      indices.forEach((i, at) => {
        const payload = sealed.get(i)
        if (payload === undefined) throw new Error('sealed above')
        const isFirst = indices.indexOf(i) === at
        book.commit([{ ...both(sid, at + 1), ref: [payload.ref] }], isFirst ? [payload] : [])
      })
    }
  const ascending = Array.from({ length: 257 }, (_, at) => at + 1)

  test('that ascend, leave some out and name a recent one again pass', () => {
    expect(counts(naming(1, 2, 1, 2, 5, 9, 1))).toEqual({})
    expect(counts(naming(...ascending.slice(0, 255), 1))).toEqual({})
  })

  test('that do not ascend: nonce', () => {
    expect(counts(naming(1, 3, 2))).toMatchObject({ nonce: 1 })
  })

  test('that name one again beyond the last 256: nonce', () => {
    expect(counts(naming(...ascending.slice(0, 256), 1))).toEqual({})
    expect(counts(naming(...ascending, 1))).toMatchObject({ nonce: 1 })
  })

  test.each([
    ['hash', { h: Buffer.alloc(32).toString('base64') }],
    ['length', { n: 99 }],
    ['type', { t: 'cmd' }],
  ])('that have another %s the second time: nonce', (_, change) => {
    const play = ({ book, session, sid }: Play) => {
      const sql = book.seal(session, 'sql', 'SELECT 1')
      book.commit(
        [
          { ...both(sid, 1), ref: [sql.ref] },
          { ...both(sid, 2), ref: [{ ...sql.ref, ...change }] },
        ],
        [sql],
      )
    }
    expect(counts(play)).toEqual({ nonce: 1 })
  })

  test('that have another length than their payload: payload', () => {
    const play = ({ book, session, sid }: Play) => {
      const sql = book.seal(session, 'sql', 'SELECT 1')
      book.commit([{ ...both(sid, 1), ref: [{ ...sql.ref, n: sql.ref.n + 1 }] }], [sql])
    }
    expect(counts(play)).toEqual({ payload: 1 })
  })

  test('that appear first after a later boot: nonce', () => {
    const play =
      (text: string) =>
      ({ book, session, sid }: Play) => {
        const [first, second] = [book.seal(session, 'sql', 'SELECT 1'), book.seal(session, 'sql', text)]
        book.commit([{ ...both(sid, 1), ref: [first.ref] }], [first])
        book.commit([{ kind: 'boot', rel: '0.1.0', clean: false }])
        book.commit(
          [{ ...both(sid, 2), ref: [text === '' ? first.ref : second.ref] }],
          text === '' ? [] : [second],
        )
      }
    expect(counts(play(''))).toEqual({})
    expect(counts(play('SELECT 2'))).toEqual({ nonce: 1, 'payload-orphan': 1 })
  })
})

describe('times', () => {
  test('that go back: time', () => {
    expect(counts(({ book }) => book.commit([{ kind: 'heartbeat', ts: 5 }]))).toEqual({ time: 1 })
    expect(counts(({ book }) => book.commit([{ kind: 'heartbeat', ts: book.ts }]))).toEqual({})
  })

  test('that leave a longer gap than allowed: silence', () => {
    const later =
      (by: number) =>
      ({ book }: Play) =>
        book.commit([{ kind: 'heartbeat', ts: book.ts + by }])
    expect(counts(later(60_000_001), { maxGap: 60_000_000 })).toEqual({ silence: 1 })
    expect(counts(later(60_000_000), { maxGap: 60_000_000 })).toEqual({})
  })

  test('that are longer ago than allowed: stale', () => {
    const stop = ({ book }: Play) => book.ts
    const now = 1_763_600_000_002_000
    expect(counts(stop, { maxAge: 60_000_000, now: now + 60_000_001 })).toEqual({ stale: 1 })
    expect(counts(stop, { maxAge: 60_000_000, now: now + 60_000_000 })).toEqual({})
  })
})

test('a book that stopped has nothing left in its journal', () => {
  const codes = (why: string) => {
    const play = ({ book }: Play) => {
      const gateway = book.openSession('gateway', 'gateway')
      book.commit([{ kind: 'session.close', sid: gateway.sid, why }])
    }
    return history(play).limits.map(({ code }) => code)
  }
  expect(codes('stop')).not.toContain('journal')
  expect(codes('crash')).toContain('journal')
})
