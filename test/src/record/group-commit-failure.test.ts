import { describe, expect, test } from 'vitest'
import { SYNC_MS_MAX } from '../../../src/record/group-commit.ts'
import { CommitBench } from '../../support/commit-bench.ts'

describe('failure', () => {
  test.each(['failed before', 'failed after'] as const)(
    'a sync that %s its effect is told to all who wait, and never tried again',
    (how) => {
      const bench = new CommitBench()
      bench.when(bench.put('a'), 'durable', 'a')
      bench.schedule.turn()
      bench.when(bench.put('b'), 'durable', 'b')
      bench.when(bench.put('c'), 'written', 'c')
      bench.disk.endSync(how)
      const why = "the journal's sync failed: Error: EIO: fdatasync"
      expect(bench.told).toEqual([`c: ${why}`, `a: ${why}`, `b: ${why}`])
      expect(bench.failures.map(({ message }) => message)).toEqual([why])

      expect(() => bench.put('d')).toThrow(why)
      bench.schedule.turn()
      bench.schedule.pass(10_000)
      bench.when(1, 'durable', 'late')
      expect(bench.told.at(-1)).toBe(`late: ${why}`)
      expect([bench.disk.syncs, bench.disk.writes.length, bench.failures.length]).toEqual([1, 1, 1])
      expect(bench.log.reached(1, 'durable')).toBe(false)
    },
  )

  test('a sync that does not return in its time has failed, and its late success counts for nothing', () => {
    const bench = new CommitBench()
    bench.when(bench.put('a'), 'durable', 'a')
    bench.schedule.turn()
    bench.schedule.pass(SYNC_MS_MAX - 1)
    expect([bench.told, bench.failures]).toEqual([[], []])
    bench.schedule.pass(1)
    const why = "the journal's sync failed: it has not returned for 30 s"
    expect([bench.told, bench.failures.map(({ message }) => message)]).toEqual([[`a: ${why}`], [why]])
    bench.disk.endSync()
    bench.when(1, 'durable', 'late')
    expect(bench.told.at(-1)).toBe(`late: ${why}`)
    expect([bench.log.reached(1, 'durable'), bench.disk.syncs]).toEqual([false, 1])
  })

  test('a sync that returns in time is watched no longer', () => {
    const bench = new CommitBench()
    bench.when(bench.put('a'), 'durable', 'a')
    bench.schedule.turn()
    bench.disk.endSync()
    bench.schedule.pass(SYNC_MS_MAX)
    expect([bench.failures, bench.schedule.timers]).toEqual([[], 0])
  })

  test.each(['before', 'after', 'short'] as const)(
    'a write that failed %s its effect ends it: nothing is written or synced any more',
    (how) => {
      const bench = new CommitBench()
      bench.when(bench.put('a'), 'durable', 'a')
      bench.schedule.turn()
      bench.disk.endSync()
      bench.when(bench.put('b'), 'written', 'b')
      bench.when(1, 'written', 'a is written')
      bench.disk.failWrite = how
      bench.schedule.turn()
      const why = "the journal's write failed: Error: EIO: write"
      expect(bench.told).toEqual(['a', 'a is written', `b: ${why}`])
      const { length } = bench.disk.writes
      expect(() => bench.put('c')).toThrow(why)
      bench.schedule.turn()
      bench.schedule.pass(10_000)
      expect([bench.disk.writes.length, bench.disk.syncs, bench.failures.length]).toEqual([length, 1, 1])
      expect(bench.surviving).toEqual([1])
    },
  )

  test('a write that fails while an entry is appended refuses that entry', () => {
    const bench = new CommitBench(32 << 20)
    bench.put('a', 3 << 20)
    bench.disk.failWrite = 'before'
    expect(() => bench.put('b', 3 << 20)).toThrow("the journal's write failed")
    expect(bench.failures).toHaveLength(1)
  })

  test('a full journal is a failure like any other', () => {
    const bench = new CommitBench(4096)
    for (const name of ['a', 'b']) {
      bench.put(name, 1500)
      bench.schedule.turn()
    }
    bench.when(bench.put('c', 1500), 'written', 'c')
    bench.schedule.turn()
    expect(bench.failures).toEqual([expect.objectContaining({ name: 'JournalError', code: 'full' })])
    expect(bench.told).toEqual([expect.stringMatching(/^c: .*full/)])
  })

  test('an entry that does not fit the format is refused alone', () => {
    const bench = new CommitBench()
    expect(() => bench.log.append('x'.repeat(20_000), [])).toThrow(RangeError)
    bench.when(bench.put('a'), 'written', 'a')
    bench.schedule.turn()
    expect([bench.told, bench.failures]).toEqual([['a'], []])
  })

  test('ending it from outside tells who waits, once; a sync that runs then counts for nothing', () => {
    const bench = new CommitBench()
    bench.when(bench.put('a'), 'durable', 'a')
    bench.schedule.turn()
    bench.when(bench.put('b'), 'written', 'b')
    bench.log.close(new Error('the store failed'))
    bench.log.close(new Error('again'))
    bench.disk.endSync()
    bench.schedule.turn()
    expect(bench.told).toEqual(['b: the store failed', 'a: the store failed'])
    expect([bench.failures, bench.disk.writes.length]).toEqual([[], 1])
    expect(() => bench.put('c')).toThrow('the store failed')
  })
})
