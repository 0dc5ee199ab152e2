import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Batch,
  decodeEntries,
  JournalMarks,
  JournalRing,
  JournalTail,
  judgeJournal,
} from '../../../src/book/journal.ts'
import {
  DURABLE_WITHIN_MS,
  GATHERED_BYTES,
  GroupCommit,
  type Mark,
  type Reach,
  SYNC_MS_MAX,
  WRITTEN_WITHIN_MS,
} from '../../../src/record/group-commit.ts'
import { FakeDisk } from '../../support/disk.ts'
import { HandSchedule } from '../../support/schedule.ts'

class Bench {
  readonly disk: FakeDisk
  readonly schedule = new HandSchedule()
  readonly marks = new JournalMarks()
  readonly log: GroupCommit
  readonly tail: JournalTail
  readonly failures: Error[] = []
  /** What waiters were told, in the order in which they were. */
  readonly told: string[] = []

  constructor(size = 1 << 20) {
    this.disk = new FakeDisk(size)
    const ring = new JournalRing(this.disk, this.marks, 0)
    this.tail = new JournalTail(this.disk, this.marks, 0)
    this.log = new GroupCommit(ring, {
      disk: this.disk,
      schedule: this.schedule,
      onFailure: (error) => this.failures.push(error),
    })
  }

  put(name: string, bytes = 0): Mark {
    return this.log.append(`{"${name}"}`, bytes === 0 ? [] : [{ ref: 0, bytes: Buffer.alloc(bytes) }])
  }

  putOff(name: string, bytes = 0): void {
    this.log.later(bytes, () => void this.put(name, bytes))
  }

  when(mark: Mark, reach: Reach, name: string): void {
    this.log.when(mark, reach, (error) =>
      this.told.push(error === undefined ? name : `${name}: ${error.message}`),
    )
  }

  /** The numbers of the batches that a power cut now would leave for certain. */
  get surviving(): number[] {
    return judgeJournal(this.disk.durable, 0).batches.map(({ number }) => number)
  }
}

describe('written', () => {
  test('one write a turn for all entries of that turn', () => {
    const bench = new Bench()
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
    const bench = new Bench()
    const mark = bench.put('a')
    bench.schedule.turn()
    bench.when(mark, 'written', 'late')
    expect(bench.told).toEqual(['late'])
  })

  test('mark 0 is where everything begins: nothing waits for it', () => {
    const bench = new Bench()
    bench.when(0, 'durable', 'at once')
    expect(bench.told).toEqual(['at once'])
  })

  test('a batch that fills up within a turn is written with it, and counted after it', () => {
    const bench = new Bench(32 << 20)
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
    const bench = new Bench()
    bench.when(bench.put('a'), 'durable', 'a')
    expect(bench.disk.isSyncing).toBe(false)
    bench.schedule.turn()
    expect([bench.disk.isSyncing, bench.told]).toEqual([true, []])
    bench.disk.endSync()
    expect([bench.told, bench.surviving, bench.log.reached(1, 'durable')]).toEqual([['a'], [1], true])
    expect(bench.disk.syncs).toBe(1)
  })

  test('no sync begins for an entry that is not written yet: it would hold up the one that covers it', () => {
    const bench = new Bench()
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
    const bench = new Bench()
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
    const bench = new Bench()
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
    const bench = new Bench()
    bench.when(bench.put('a'), 'durable', 'a')
    bench.schedule.turn()
    bench.disk.endSync()
    bench.put('b')
    bench.schedule.turn()
    expect([bench.tail.next(), bench.tail.next()].map((batch) => (batch as Batch).durable)).toEqual([0, 1])
  })

  test('a waiter may record and wait again from within', () => {
    const bench = new Bench()
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
    const bench = new Bench()
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
    const bench = new Bench()
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
  const names = (bench: Bench): string[] => {
    const batches: Batch[] = []
    for (let batch = bench.tail.next(); batch !== undefined; batch = bench.tail.next()) batches.push(batch)
    return batches.flatMap(({ bytes }) => decodeEntries(bytes).map(({ members }) => members))
  }

  test('is encoded and written once for many turns, in order, and durable soon after', () => {
    const bench = new Bench()
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
    const bench = new Bench()
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
    const bench = new Bench()
    bench.putOff('a', GATHERED_BYTES)
    bench.schedule.turn()
    expect(names(bench)).toEqual(['{"a"}'])
  })

  test('and is more in one turn than the journal is asked to hold is written meanwhile', () => {
    const bench = new Bench(1 << 20)
    for (let k = 0; k < 2400; k++) {
      expect(bench.log.hasRoom(0)).toBe(true)
      bench.putOff(`${k}`)
    }
    expect(bench.disk.writes.length).toBeGreaterThan(1)
    bench.schedule.pass(WRITTEN_WITHIN_MS)
    expect(names(bench)).toEqual(Array.from({ length: 2400 }, (_, k) => `{"${k}"}`))
  })

  test('counts where there is little room', () => {
    const bench = new Bench(1 << 16)
    expect(bench.log.hasRoom(8_000)).toBe(true)
    bench.putOff('a', 40_000)
    expect(bench.log.hasRoom(8_000)).toBe(false)
  })

  test('and cannot be encoded fails the journal: what has passed must not be left out', () => {
    const bench = new Bench()
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

describe('failure', () => {
  test.each(['failed before', 'failed after'] as const)(
    'a sync that %s its effect is told to all who wait, and never tried again',
    (how) => {
      const bench = new Bench()
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
    const bench = new Bench()
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
    const bench = new Bench()
    bench.when(bench.put('a'), 'durable', 'a')
    bench.schedule.turn()
    bench.disk.endSync()
    bench.schedule.pass(SYNC_MS_MAX)
    expect([bench.failures, bench.schedule.timers]).toEqual([[], 0])
  })

  test.each(['before', 'after', 'short'] as const)(
    'a write that failed %s its effect ends it: nothing is written or synced any more',
    (how) => {
      const bench = new Bench()
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
    const bench = new Bench(32 << 20)
    bench.put('a', 3 << 20)
    bench.disk.failWrite = 'before'
    expect(() => bench.put('b', 3 << 20)).toThrow("the journal's write failed")
    expect(bench.failures).toHaveLength(1)
  })

  test('a full journal is a failure like any other', () => {
    const bench = new Bench(4096)
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
    const bench = new Bench()
    expect(() => bench.log.append('x'.repeat(20_000), [])).toThrow(RangeError)
    bench.when(bench.put('a'), 'written', 'a')
    bench.schedule.turn()
    expect([bench.told, bench.failures]).toEqual([['a'], []])
  })

  test('ending it from outside tells who waits, once; a sync that runs then counts for nothing', () => {
    const bench = new Bench()
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

describe('scrubbing', () => {
  async function turns(bench: Bench, count: number): Promise<void> {
    for (let k = 0; k < count; k++) {
      bench.schedule.turn()
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }

  /** A journal of 3 MiB whose first batch is drained, and another that is not. */
  function used(): Bench {
    const bench = new Bench(3 << 20)
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

test('whatever the order of things: who is told is on disk, is told once, and in order', () => {
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('put' as const),
        reach: fc.constantFrom(undefined, 'written' as const, 'durable' as const),
      }),
    },
    { weight: 2, arbitrary: fc.constant({ type: 'put off' as const }) },
    { weight: 3, arbitrary: fc.constant({ type: 'turn' as const }) },
    { weight: 2, arbitrary: fc.constant({ type: 'end' as const }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('pass' as const), ms: fc.nat(200) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('drain' as const) }) },
  )
  const ending = fc.constantFrom(
    'none' as const,
    'sync before' as const,
    'sync after' as const,
    'write' as const,
    'close' as const,
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), ending, (steps, end) => {
      const bench = new Bench()
      const waiting = new Map<number, { mark: Mark; reach: Reach }>()
      const told: { id: number; error: boolean }[] = []
      const endSync = (how: 'done' | 'failed before' | 'failed after' = 'done'): void => {
        if (bench.disk.isSyncing) bench.disk.endSync(how)
      }
      let failing = false
      let id = 0
      const put = (reach: Reach | undefined): void => {
        const mark = bench.put(`${id}`)
        if (reach === undefined) return
        const mine = id++
        waiting.set(mine, { mark, reach })
        bench.log.when(mark, reach, (error) => {
          told.push({ id: mine, error: error !== undefined })
          if (error === undefined && reach === 'durable') expect(bench.surviving).toContain(mark)
          if (error === undefined && reach === 'written')
            expect(bench.marks.written).toBeGreaterThanOrEqual(mark)
          expect(error !== undefined).toBe(failing)
        })
      }
      for (const one of steps) {
        if (one.type === 'put') put(one.reach)
        else if (one.type === 'put off') bench.putOff('later')
        else if (one.type === 'turn') bench.schedule.turn()
        else if (one.type === 'pass') bench.schedule.pass(one.ms)
        else if (one.type === 'end') endSync()
        else {
          const batch = bench.tail.next()
          if (batch !== undefined) bench.tail.free(batch)
        }
      }
      if (end === 'none') {
        for (let k = 0; k < 5; k++) {
          bench.schedule.turn()
          bench.schedule.pass(DURABLE_WITHIN_MS)
          endSync()
        }
        expect(bench.surviving.at(-1) ?? 0, 'all is durable in the end').toBe(bench.marks.written)
        expect(told.filter(({ error }) => error)).toEqual([])
      } else {
        put('durable')
        if (end !== 'write') bench.schedule.turn()
        failing = true
        if (end === 'close') bench.log.close(new Error('store'))
        else if (end === 'write') {
          bench.disk.failWrite = 'short'
          bench.schedule.turn()
        } else bench.disk.endSync(end === 'sync before' ? 'failed before' : 'failed after')
        const { syncs } = bench.disk
        bench.schedule.turn()
        bench.schedule.pass(1000)
        expect(bench.disk.syncs).toBe(syncs)
      }
      expect(new Set(told.map((one) => one.id)).size, 'once').toBe(told.length)
      expect(told.length, 'everybody').toBe(waiting.size)
      for (const reach of ['written', 'durable'] as const) {
        const order = told.filter((one) => waiting.get(one.id)?.reach === reach).map((one) => one.id)
        expect(order, 'in order').toEqual(order.toSorted((a, b) => a - b))
      }
    }),
    { numRuns: 200 },
  )
})
