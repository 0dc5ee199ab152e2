import { describe, expect, test } from 'vitest'
import { type Batch, judgeJournal } from '../../../src/book/journal.ts'
import { CommitBench } from '../../support/commit-bench.ts'

describe('scrubbing', () => {
  async function turns(bench: CommitBench, count: number): Promise<void> {
    for (let k = 0; k < count; k++) {
      bench.schedule.turn()
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }

  /** A journal of 3 MiB whose first batch is drained, and another that is not. */
  function used(): CommitBench {
    const bench = new CommitBench(3 << 20)
    bench.disk.bytes.fill(0xee)
    bench.put('a', 1000)
    bench.schedule.turn()
    bench.tail.free(bench.tail.next() as Batch)
    bench.put('b', 1000)
    bench.schedule.turn()
    return bench
  }

  test('writes zeros over the free space, a piece a turn, and ends when they are durable', async () => {
    const bench = used()
    let done = false
    const scrubbed = bench.log.scrub().then(() => {
      done = true
    })
    await turns(bench, 4)
    expect(bench.disk.syncs).toBe(0)
    await turns(bench, 1)
    expect([done, bench.disk.isSyncing]).toEqual([false, true])
    bench.disk.endSync()
    await scrubbed
    expect(bench.disk.durable.indexOf(0xee)).toBe(-1)
    expect(bench.surviving).toEqual([])
    expect(judgeJournal(bench.disk.durable, 1).batches.map(({ number }) => number)).toEqual([2])
  })

  test('is not content with a sync that began before its last piece: one at a time, then another', async () => {
    const bench = used()
    bench.when(2, 'durable', 'b')
    const scrubbed = bench.log.scrub()
    await turns(bench, 6)
    bench.disk.endSync()
    expect([bench.told, bench.disk.syncs, bench.disk.isSyncing]).toEqual([['b'], 2, true])
    bench.disk.endSync()
    await scrubbed
    expect(bench.disk.durable.indexOf(0xee)).toBe(-1)
  })

  test.each(['sync', 'write'] as const)(
    'a %s that fails under it fails the journal: the kernel tells an error only once',
    async (what) => {
      const bench = used()
      bench.when(2, 'durable', 'b')
      bench.disk.endSync()
      const scrubbed = expect(bench.log.scrub()).rejects.toThrow(`the journal's ${what} failed`)
      // Somebody acknowledges nothing on the strength of a later sync that succeeds.
      bench.when(bench.put('c'), 'durable', 'c')
      if (what === 'write') bench.disk.failWrite = 'before'
      await turns(bench, 6)
      if (what === 'sync') bench.disk.endSync('failed before')
      await scrubbed
      expect(bench.told).toEqual(['b', expect.stringContaining(`c: the journal's ${what} failed`)])
      expect(bench.failures).toHaveLength(1)
      await expect(bench.log.scrub()).rejects.toThrow(`the journal's ${what} failed`)
    },
  )
})
