/**
 * What a record costs each thread at one size of commits. Both sides of the journal run in this one thread, one
 * after the other for a whole ring of batches, so that its CPU time belongs to one of them at a time.
 */
import { JournalMarks, JournalRing } from '../../../src/book/journal.ts'
import { Bookkeeper } from '../../../src/record/bookkeeper.ts'
import { GroupCommit } from '../../../src/record/group-commit.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { PlacedFile } from '../../../src/system/durable.ts'
import { microseconds } from '../../../src/system/microseconds.ts'
import type { Round } from '../figures.ts'
import { threadTimes } from '../threads.ts'
import type { RawJob } from './raw.ts'
import { makeBook, openSession, threadOptions } from './ways.ts'
import { makeCaller } from './workloads.ts'

/** Filled at once, below the share of the ring that is kept free. */
const FILL_BYTES = 24 << 20

export function measureCommits(job: RawJob, group: number): Round {
  const directory = makeBook(job.folder)
  const random = systemRandom()
  const keeper = new Bookkeeper(threadOptions(directory), {
    now: microseconds,
    random,
    onState: () => {},
    onAnswer: () => {},
  })
  const marks = new JournalMarks(keeper.ready.marks)
  const own = new JournalMarks()
  const disk = new PlacedFile(keeper.ready.journalPath)
  const ring = new JournalRing(disk, own, keeper.ready.lastBatch)
  const log = new GroupCommit(ring, {
    disk,
    schedule: { soon: () => {}, after: () => ({ [Symbol.dispose]: () => {} }) },
    onFailure: (error) => {
      throw error
    },
  })
  const callers = Array.from({ length: job.callers }, (_, seed) =>
    makeCaller(job.workload, openSession('relaxed', log, random), seed),
  )
  log.flush()

  let records = 0
  const fill = (): void => {
    while (log.backlog < FILL_BYTES) {
      for (let k = 0; k < group; k++) {
        const caller = callers[k % callers.length]
        caller?.begin()
        caller?.end()
      }
      log.flush()
      records += group
    }
  }
  const drain = (): void => {
    while (marks.drained < own.written) {
      marks.written = marks.drained + 1
      keeper.turn()
    }
    own.freed = marks.freed
  }

  fill()
  drain()
  const spent = { gate: 0, recorder: 0 }
  records = 0
  for (const end = performance.now() + job.seconds * 1000; performance.now() < end; ) {
    spent.gate += timed(fill)
    spent.recorder += timed(drain)
  }
  return { 'gate us/record': spent.gate / records, 'recorder us/record': spent.recorder / records }
}

function timed(work: () => void): number {
  const start = threadTimes().gate
  work()
  return threadTimes().gate - start
}
