/**
 * What a record costs each thread at one size of commits. Both sides of the journal run in this one thread, one
 * after the other for a whole ring of batches, so that its CPU time belongs to one of them at a time.
 */
import type { Round } from '../figures.ts'
import { OneThread, timed } from './one-thread.ts'
import type { RawJob } from './raw.ts'
import { makeBook, openSession } from './ways.ts'
import { makeCaller } from './workloads.ts'

/** Filled at once, below the share of the ring that is kept free. */
const FILL_BYTES = 24 << 20

export function measureCommits(job: RawJob, group: number): Round {
  const both = new OneThread(makeBook(job.folder))
  const { log, random } = both
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
  // A batch is a commit.
  const drain = (): void => both.drain(1)

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
