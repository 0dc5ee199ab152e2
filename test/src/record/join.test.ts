import { describe, expect, test } from 'vitest'
import { type Entry, entryOf } from '../../../src/book/entry.ts'
import { canonical, type Members, type Ref } from '../../../src/book/format.ts'
import { decodeEntries, JournalMarks, JournalRing, JournalTail } from '../../../src/book/journal.ts'
import { Gathering, Joined, readDraft } from '../../../src/record/join.ts'
import { FakeDisk } from '../../support/disk.ts'

const SID = 'k3v5o2n7q4w6x2za'
const OTHER = 'aaaaaaaaaaaaaaaa'
type Draft = ReturnType<typeof readDraft>

const ref = (i: number, t: string): Ref => ({ h: 'A'.repeat(43).concat('='), i, n: 33 + i, t })

const NEEDED: Readonly<Record<string, Partial<Members>>> = {
  data: { part: 0, off: 0, bytes: 0, t0: 1000, ref: [ref(99, 'out')] },
  decision: { out: 'denied' },
  'session.open': { act: 'pg', com: ref(0, 'x').h },
}

/** An entry with a payload for each of its references. */
function draft(kind: string, more: Partial<Members> = {}, length = 100): Draft {
  const members: Members = { kind, ts: 1000, sid: SID, ...NEEDED[kind], ...more }
  const payloads = (members.ref ?? []).map(({ i }) => ({ i, bytes: Buffer.of(i) }))
  return { entry: entryOf(members), payloads, length }
}

/** What an entry says. */
function membersOf({ grammar, groups }: Entry): Members {
  const said = grammar.fields.map(({ name }, k) => [name, groups[k + 1]] as const)
  return Object.fromEntries(
    said.flatMap(([name, text]) => (text === undefined ? [] : [[name, JSON.parse(text) as unknown]])),
  ) as unknown as Members
}

function joinRecords(drafts: readonly Draft[]) {
  const all = new Joined()
  for (const one of drafts) all.add(one)
  const records = all.records()
  expect(all.count, 'it counts what remains').toBe(records.length)
  return records.map(({ entry, payloads }) => ({ members: membersOf(entry), payloads }))
}
const begin = (op: number, more: Partial<Members> = {}): Draft =>
  draft('op.begin', { op, act: 'db.query', ...more })
const end = (op: number, more: Partial<Members> = {}): Draft => draft('op.end', { op, out: 'ok', ...more })

/** What is joined, in short: kind, operation, indexes of the payloads it names. */
const joined = (...drafts: Draft[]) =>
  joinRecords(drafts).map(({ members }) =>
    [members.kind, members.op, members.ref?.map(({ i }) => i).join()]
      .filter((part) => part !== undefined)
      .join(' '),
  )

describe('a begin and its end in one commit', () => {
  test('are one leaf, with all that both say, and the time of the begin', () => {
    const first = begin(3, { ts: 1000, par: 2, rule: 'analyst', ref: [ref(4, 'sql')] })
    const second = end(3, {
      ts: 1812,
      out: 'error',
      code: '42P01',
      rows: 5,
      bytes: 6,
      dur: 812,
      parts: 1,
      ref: [ref(5, 'msg')],
    })
    const data = draft('data', { sid: OTHER, op: 3, bytes: 6 })
    const [op, chunk] = joinRecords([first, data, second])
    expect(op).toMatchObject({
      members: {
        kind: 'op',
        ts: 1000,
        sid: SID,
        op: 3,
        act: 'db.query',
        par: 2,
        rule: 'analyst',
        out: 'error',
        code: '42P01',
        rows: 5,
        bytes: 6,
        dur: 812,
        parts: 1,
        ref: [ref(4, 'sql'), ref(5, 'msg')],
      },
      payloads: [
        { i: 4, bytes: Buffer.of(4) },
        { i: 5, bytes: Buffer.of(5) },
      ],
    })
    expect(chunk?.members.kind).toBe('data')
  })

  test('stand in the place of the begin, and nothing else moves', () => {
    expect(
      joined(
        begin(1),
        draft('session.open', { sid: OTHER }),
        begin(2),
        end(2),
        draft('decision', { sid: OTHER, op: 1 }),
        end(1),
        begin(3),
      ),
    ).toEqual(['op 1', 'session.open', 'op 2', 'decision 1', 'op.begin 3'])
  })

  test('are found by session and number', () => {
    expect(joined(begin(1), begin(1, { sid: OTHER }), end(1, { sid: OTHER }))).toEqual(['op.begin 1', 'op 1'])
    const sids = joinRecords([begin(1), begin(1, { sid: OTHER }), end(1)]).map(({ members }) => members.sid)
    expect(sids).toEqual([SID, OTHER])
  })
})

describe('they stay two leaves', () => {
  test('where the begin is in an earlier commit', () => {
    expect(joined(end(1))).toEqual(['op.end 1'])
  })

  test('where one type of payload stands in both', () => {
    expect(joined(begin(1, { ref: [ref(0, 'sql')] }), end(1, { ref: [ref(1, 'sql')] }))).toEqual([
      'op.begin 1 0',
      'op.end 1 1',
    ])
  })

  test('where the end names payloads and another record of the session does between them', () => {
    const other = draft('decision', { op: 2, ref: [ref(1, 'sql')] })
    expect(joined(begin(1, { ref: [ref(0, 'sql')] }), other, end(1, { ref: [ref(2, 'msg')] }))).toEqual([
      'op.begin 1 0',
      'decision 2 1',
      'op.end 1 2',
    ])
    expect(
      joined(begin(1, { ref: [ref(0, 'sql')] }), other, end(1)),
      'an end that names none may move',
    ).toEqual(['op 1 0', 'decision 2 1'])
    const elsewhere = draft('decision', { sid: OTHER, op: 1, ref: [ref(9, 'sql')] })
    expect(
      joined(begin(1), elsewhere, end(1, { ref: [ref(2, 'msg')] })),
      'another session’s does not matter',
    ).toEqual(['op 1 2', 'decision 1 9'])
  })

  test('where what was joined before would be overtaken', () => {
    // Operation 2 moved payload 2 to its begin; operation 1 may not move payload 3 before it.
    expect(
      joined(begin(1), begin(2), end(2, { ref: [ref(2, 'msg')] }), end(1, { ref: [ref(3, 'msg')] })),
    ).toEqual(['op.begin 1', 'op 2 2', 'op.end 1 3'])
  })

  test('where the leaf would be too long or name more than 64 payloads', () => {
    expect(
      joinRecords([
        { ...begin(1), length: 8000 },
        { ...end(1), length: 8064 },
      ]),
    ).toHaveLength(1)
    expect(
      joinRecords([
        { ...begin(1), length: 8000 },
        { ...end(1), length: 8065 },
      ]),
    ).toHaveLength(2)
    const many = (from: number, count: number, t: string): Ref[] =>
      Array.from({ length: count }, (_, k) => ref(from + k, t))
    expect(
      joinRecords([begin(1, { ref: many(0, 32, 'sql') }), end(1, { ref: many(32, 32, 'res') })]),
    ).toHaveLength(1)
    expect(
      joinRecords([begin(1, { ref: many(0, 33, 'sql') }), end(1, { ref: many(33, 32, 'res') })]),
    ).toHaveLength(2)
  })

  test('where a result between them names payloads', () => {
    const result = draft('op.result', { op: 1, out: 'error', ref: [ref(1, 'msg')] })
    expect(joined(begin(1, { ref: [ref(0, 'sql')] }), result, end(1))).toEqual([
      'op.begin 1 0',
      'op.result 1 1',
      'op.end 1',
    ])
  })
})

describe('results', () => {
  const result = (op: number) => draft('op.result', { op, out: 'ok', rows: 1 })

  test('are dropped where their end is in the same commit, joined or not', () => {
    expect(joined(begin(1), result(1), result(1), end(1))).toEqual(['op 1'])
    expect(joined(result(1), end(1))).toEqual(['op.end 1'])
  })

  test('are kept while their operation goes on', () => {
    expect(joined(begin(1), result(1), begin(2), result(2), end(2))).toEqual([
      'op.begin 1',
      'op.result 1',
      'op 2',
    ])
  })
})

test('an entry of a batch becomes its record, with its payloads in their places', () => {
  const disk = new FakeDisk(8192)
  const marks = new JournalMarks()
  const ring = new JournalRing(disk, marks, 0)
  const members = membersOf(begin(1, { ref: [ref(3, 'sql'), ref(9, 'args')] }).entry)
  ring.append(canonical(members), [{ ref: 1, bytes: Buffer.from('nine') }])
  ring.append(canonical(membersOf(begin(2).entry)), [{ ref: 0, bytes: Buffer.from('nowhere') }])
  ring.write()
  const batch = new JournalTail(disk, marks, 0).next()?.bytes ?? Buffer.alloc(0)
  const drafts = decodeEntries(batch)
  expect(() => drafts.map(readDraft)).toThrow('an entry carries a payload that it does not name: 0')

  ring.append(canonical(members), [{ ref: 1, bytes: Buffer.from('nine') }])
  ring.write()
  const tail = new JournalTail(disk, marks, 0)
  tail.next()
  const [one, ...none] = decodeEntries(tail.next()?.bytes ?? Buffer.alloc(0)).map(readDraft)
  expect(none).toEqual([])
  expect(one && membersOf(one.entry)).toEqual(members)
  expect(one).toMatchObject({
    payloads: [{ i: 9, bytes: Buffer.from('nine') }],
    length: canonical(members).length,
  })
})

describe('a commit', () => {
  /** Batches of so many operations each, every one with its begin and its end. */
  function batches(...sizes: readonly number[]) {
    const disk = new FakeDisk(4 << 20)
    const marks = new JournalMarks()
    const ring = new JournalRing(disk, marks, 0)
    let op = 0
    for (const size of sizes) {
      for (let k = 0; k < size; k++) {
        op++
        ring.append(canonical(membersOf(begin(op).entry)), [])
        ring.append(canonical(membersOf(end(op).entry)), [])
      }
      ring.write()
    }
    const tail = new JournalTail(disk, marks, 0)
    return Array.from({ length: sizes.length }, () => tail.next()).filter((batch) => batch !== undefined)
  }

  test('is filled by what remains of its batches when they are joined', () => {
    const gathered = new Gathering()
    const all = batches(256, 256, 256, 256, 256, 256, 200, 160, 10)
    // Joined they are 1,736 before the one that does not fit, with its begins and ends still apart.
    expect(all.map((batch) => gathered.take(batch))).toEqual([...Array(7).fill(true), false, true])
    expect(gathered.records()).toHaveLength(1746)
    expect(gathered.last?.number).toBe(9)
  })

  test('takes its first batch whatever it is', () => {
    const gathered = new Gathering()
    const [first] = batches(256)
    expect([first && gathered.take(first), gathered.records().length]).toEqual([true, 256])
  })
})
