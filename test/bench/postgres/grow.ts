/**
 * Lets a book grow by prepared statements and says what each costs on the way: `node grow.ts '<job as JSON>'`. Both
 * threads' work is done in this one, in turns of a whole ring of batches, so that CPU time belongs to one at a time.
 * It prints one line of JSON for each size that the job names.
 */
import { statSync } from 'node:fs'
import { bookFiles } from '../../../src/book/files.ts'
import { JournalMarks, JournalRing } from '../../../src/book/journal.ts'
import { Bookkeeper } from '../../../src/record/bookkeeper.ts'
import { GroupCommit } from '../../../src/record/group-commit.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { PlacedFile } from '../../../src/system/durable.ts'
import { microseconds } from '../../../src/system/microseconds.ts'
import { openSession, threadOptions } from '../book/ways.ts'
import { type Caller, makeCaller } from '../book/workloads.ts'
import { threadTimes } from '../threads.ts'

export interface Job {
  readonly data: string
  /** Ascending. At each of them the next `sample` records are measured. */
  readonly sizes: readonly number[]
  readonly sample: number
}

export interface Grown {
  readonly records: number
  readonly 'gate us/record': number
  readonly 'recorder us/record': number
  readonly 'book bytes/record': number
}

/** As many as a busy gateway's batch holds. */
const GROUP = 32
const CALLERS = 32
const TURN_BYTES = 16 << 20
/** A session's key and its window of repeated texts are renewed as sessions are. */
const SESSION_RECORDS = 20_000

const job = JSON.parse(process.argv[2] ?? '') as Job
const random = systemRandom()
const keeper = new Bookkeeper(threadOptions(job.data), {
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
const spent = { gate: 0, recorder: 0 }
let callers: Caller[] = []
let records = 0

grow(job.sample)
for (const size of job.sizes) {
  while (records < size) grow(Math.min(size - records, job.sample))
  const [before, from] = [records, bookBytes()]
  spent.gate = 0
  spent.recorder = 0
  grow(job.sample)
  const made = records - before
  const grown: Grown = {
    records: before,
    'gate us/record': spent.gate / made,
    'recorder us/record': spent.recorder / made,
    'book bytes/record': (bookBytes() - from) / made,
  }
  process.stdout.write(`${JSON.stringify(grown)}\n`)
}
for (const { session } of callers) session.close('stop')
log.flush()
drain()

function grow(count: number): void {
  for (const end = records + count; records < end; ) {
    spent.gate += timed(() => fill(end))
    spent.recorder += timed(drain)
  }
}

function fill(end: number): void {
  while (log.backlog < TURN_BYTES && records < end) {
    if (callers.length === 0 || records % SESSION_RECORDS < GROUP) renew()
    for (let k = 0; k < GROUP; k++) {
      callers[k % CALLERS]?.begin()
      callers[k % CALLERS]?.end()
    }
    log.flush()
    records += GROUP
  }
}

function renew(): void {
  for (const { session } of callers) session.close('client')
  callers = Array.from({ length: CALLERS }, (_, seed) =>
    makeCaller('prepared', openSession('relaxed', log, random), seed),
  )
}

function drain(): void {
  while (marks.drained < own.written) {
    marks.written = marks.drained + 1
    keeper.turn()
  }
  own.freed = marks.freed
}

function timed(work: () => void): number {
  const start = threadTimes().gate
  work()
  return threadTimes().gate - start
}

function bookBytes(): number {
  return statSync(bookFiles(job.data).book).size
}
