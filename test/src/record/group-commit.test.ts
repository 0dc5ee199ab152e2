import { describe, expect, test } from 'vitest'
import { type Batch, decodeEntries } from '../../../src/book/journal.ts'
import { DURABLE_WITHIN_MS, GATHERED_BYTES, WRITTEN_WITHIN_MS } from '../../../src/record/group-commit.ts'
import { CommitBench } from '../../support/commit-bench.ts'

describe('written', () => {
  test('one write a turn for all entries of that turn', () => {
    const bench = new CommitBench()
    const marks = ['a', 'b', 'c'].map((name) => bench.put(name))
    for (const [k, mark] of marks.entries()) bench.when(mark, 'written', `${k}`)
    expect([marks, bench.disk.writes, bench.told]).toEqual([[1, 1, 1], [], []])

    bench.schedule.turn()
    expect(bench.disk.writes).toHaveLength(1)
    expect(bench.told).toEqual(['0', '1', '2'])
    expect([bench.log.reached(1, 'written'), bench.log.reached(1, 'durable')]).toEqual([true, false])
    expect(bench.disk.syncs, 'nobody waits for the disk').toBe(0)
  })

  test('a waiter who comes late is told at once', () => {
    const bench = new CommitBench()
    const mark = bench.put('a')
    bench.schedule.turn()
    bench.when(mark, 'written', 'late')
    expect(bench.told).toEqual(['late'])
  })

  test('mark 0 is where everything begins: nothing waits for it', () => {
    const bench = new CommitBench()
    bench.when(0, 'durable', 'at once')
    expect(bench.told).toEqual(['at once'])
  })

  test('a batch that fills up within a turn is written with it, and counted after it', () => {
    const bench = new CommitBench(32 << 20)
    const first = bench.put('a', 3 << 20)
    const second = bench.put('b', 3 << 20)
    expect([first, second, bench.disk.writes.length]).toEqual([1, 2, 1])
    bench.when(second, 'written', 'b')
    bench.when(first, 'written', 'a')
    expect(bench.told).toEqual([])
    bench.schedule.turn()
    expect(bench.told).toEqual(['b', 'a'])
  })
})

describe('durable', () => {
  test('who waits is told when a sync that began after the write has ended, and not before', () => {
    const bench = new CommitBench()
    bench.when(bench.put('a'), 'durable', 'a')
    expect(bench.disk.isSyncing).toBe(false)
    bench.schedule.turn()
    expect([bench.disk.isSyncing, bench.told]).toEqual([true, []])
    bench.disk.endSync()
    expect([bench.told, bench.surviving, bench.log.reached(1, 'durable')]).toEqual([['a'], [1], true])
    expect(bench.disk.syncs).toBe(1)
  })

  test('no sync begins for an entry that is not written yet: it would hold up the one that covers it', () => {
    const bench = new CommitBench()
    // As a statement under `standard`: its begin is written, it runs, and its outcome waits for the disk.
    bench.log.when(bench.put('begin'), 'written', () => bench.when(bench.put('end'), 'durable', 'end'))
    bench.schedule.turn()
    expect([bench.disk.writes.length, bench.disk.syncs]).toEqual([1, 0])
    bench.schedule.turn()
    expect([bench.disk.writes.length, bench.disk.syncs]).toEqual([2, 1])
    bench.disk.endSync()
    expect([bench.told, bench.surviving, bench.disk.isSyncing]).toEqual([['end'], [1, 2], false])
  })

  test('one sync at a time: whoever comes while it runs is covered by the next, which begins at once', () => {
    const bench = new CommitBench()
    bench.when(bench.put('a'), 'durable', 'a')
    bench.schedule.turn()
    for (const name of ['b', 'c']) {
      bench.when(bench.put(name), 'durable', name)
      bench.schedule.turn()
    }
    expect(bench.disk.syncs).toBe(1)
    bench.disk.endSync()
    expect([bench.told, bench.surviving]).toEqual([['a'], [1]])
    expect([bench.disk.syncs, bench.disk.isSyncing]).toEqual([2, true])
    bench.disk.endSync()
    expect([bench.told, bench.surviving, bench.disk.syncs]).toEqual([['a', 'b', 'c'], [1, 2, 3], 2])
  })

  test('a sync covers only what was written before it began', () => {
    const bench = new CommitBench()
    bench.when(bench.put('a'), 'durable', 'a')
    bench.schedule.turn()
    const late = bench.put('b')
    bench.schedule.turn()
    bench.disk.endSync()
    expect(bench.log.reached(late, 'written')).toBe(true)
    expect(bench.log.reached(late, 'durable')).toBe(false)
    bench.when(late, 'durable', 'b')
    expect([bench.told, bench.disk.isSyncing]).toEqual([['a'], true])
  })

  test('the next batch says how far the disk is known to have got', () => {
    const bench = new CommitBench()
    bench.when(bench.put('a'), 'durable', 'a')
    bench.schedule.turn()
    bench.disk.endSync()
    bench.put('b')
    bench.schedule.turn()
    expect([bench.tail.next(), bench.tail.next()].map((batch) => (batch as Batch).durable)).toEqual([0, 1])
  })

  test('a waiter may record and wait again from within', () => {
    const bench = new CommitBench()
    bench.log.when(bench.put('a'), 'durable', () => {
      bench.told.push('a')
      bench.when(bench.put('b'), 'durable', 'b')
      bench.when(1, 'durable', 'a again')
    })
    bench.schedule.turn()
    bench.disk.endSync()
    expect(bench.told).toEqual(['a', 'a again'])
    bench.schedule.turn()
    bench.disk.endSync()
    expect(bench.told).toEqual(['a', 'a again', 'b'])
  })
})

describe('what nobody waits for', () => {
  test('is durable within 200 ms all the same, by one sync', () => {
    const bench = new CommitBench()
    bench.put('a')
    bench.schedule.turn()
    bench.schedule.pass(100)
    bench.put('b')
    bench.schedule.turn()
    expect(bench.disk.syncs).toBe(0)
    bench.schedule.pass(DURABLE_WITHIN_MS - 100)
    bench.disk.endSync()
    expect([bench.surviving, bench.disk.syncs]).toEqual([[1, 2], 1])
    bench.schedule.pass(10_000)
    expect(bench.disk.syncs, 'and nothing is synced twice').toBe(1)
  })

  test('is durable soon after a slow sync, though its time came while that one ran', () => {
    const bench = new CommitBench()
    bench.when(bench.put('a'), 'durable', 'a')
    bench.schedule.turn()
    bench.put('b')
    bench.schedule.turn()
    bench.schedule.pass(DURABLE_WITHIN_MS + 50)
    expect(bench.disk.syncs).toBe(1)
    bench.disk.endSync()
    expect(bench.disk.isSyncing, 'it is overdue: the next sync begins at once').toBe(true)
    bench.disk.endSync()
    expect(bench.surviving).toEqual([1, 2])

    bench.put('c')
    bench.schedule.turn()
    bench.schedule.pass(DURABLE_WITHIN_MS)
    expect(bench.disk.isSyncing, 'and the clock still runs for what comes after').toBe(true)
  })
})

describe('what is put off', () => {
  const names = (bench: CommitBench): string[] => {
    const batches: Batch[] = []
    for (let batch = bench.tail.next(); batch !== undefined; batch = bench.tail.next()) batches.push(batch)
    return batches.flatMap(({ bytes }) => decodeEntries(bytes).map(({ members }) => members))
  }

  test('is encoded and written once for many turns, in order, and durable soon after', () => {
    const bench = new CommitBench()
    for (const name of ['a', 'b', 'c']) {
      bench.putOff(name)
      bench.schedule.turn()
      bench.schedule.pass(1)
    }
    expect([bench.disk.writes.length, bench.log.written]).toEqual([0, 0])
    bench.schedule.pass(WRITTEN_WITHIN_MS)
    expect([bench.disk.writes.length, names(bench)]).toEqual([1, ['{"a"}', '{"b"}', '{"c"}']])
    bench.schedule.pass(DURABLE_WITHIN_MS)
    bench.disk.endSync()
    expect(bench.surviving).toEqual([1])

    bench.putOff('d')
    bench.schedule.pass(WRITTEN_WITHIN_MS)
    expect(names(bench), 'and the clock starts anew').toEqual(['{"d"}'])
  })

  test('stands before what comes behind it, and goes with its write', () => {
    const bench = new CommitBench()
    bench.putOff('a')
    bench.putOff('b')
    bench.log.catchUp()
    bench.when(bench.put('c'), 'written', 'c')
    bench.schedule.turn()
    expect([bench.told, names(bench)]).toEqual([['c'], ['{"a"}', '{"b"}', '{"c"}']])
    bench.schedule.pass(WRITTEN_WITHIN_MS)
    expect(bench.disk.writes, 'what the clock finds empty is not written').toHaveLength(1)
  })

  test('goes with this turn when it has become much', () => {
    const bench = new CommitBench()
    bench.putOff('a', GATHERED_BYTES)
    bench.schedule.turn()
    expect(names(bench)).toEqual(['{"a"}'])
  })

  test('and is more in one turn than the journal is asked to hold is written meanwhile', () => {
    const bench = new CommitBench(1 << 20)
    for (let k = 0; k < 2400; k++) {
      expect(bench.log.hasRoom(0)).toBe(true)
      bench.putOff(`${k}`)
    }
    expect(bench.disk.writes.length).toBeGreaterThan(1)
    bench.schedule.pass(WRITTEN_WITHIN_MS)
    expect(names(bench)).toEqual(Array.from({ length: 2400 }, (_, k) => `{"${k}"}`))
  })

  test('counts where there is little room', () => {
    const bench = new CommitBench(1 << 16)
    expect(bench.log.hasRoom(8_000)).toBe(true)
    bench.putOff('a', 40_000)
    expect(bench.log.hasRoom(8_000)).toBe(false)
  })

  test('and cannot be encoded fails the journal: what has passed must not be left out', () => {
    const bench = new CommitBench()
    bench.log.later(0, () => {
      throw new Error('no leaf can say this')
    })
    bench.putOff('b')
    bench.schedule.pass(WRITTEN_WITHIN_MS)
    const why = "the journal's write failed: Error: no leaf can say this"
    expect(bench.failures.map(({ message }) => message)).toEqual([why])
    expect(() => bench.putOff('c')).toThrow(why)
    expect(bench.disk.writes).toEqual([])
  })
})
