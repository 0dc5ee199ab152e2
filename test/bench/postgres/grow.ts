/**
 * Lets a book grow by prepared statements, its index behind it, and says what each costs on the way, and what it takes
 * to find the newest: `node grow.ts '<job as JSON>'`. All threads' work is done in this one, in turns of a whole ring
 * of batches, so that CPU time belongs to one at a time. It prints one line of JSON for each size that the job names.
 */
import { statSync } from 'node:fs'
import { bookFiles } from '../../../src/book/files.ts'
import { Kek } from '../../../src/book/keys.ts'
import type { DataKey } from '../../../src/book/payload.ts'
import { Indexing } from '../../../src/read/follow-index.ts'
import { indexFiles } from '../../../src/read/index-file.ts'
import type { Asker } from '../../../src/read/questions.ts'
import { Reader } from '../../../src/read/reader.ts'
import { OWN_SESSIONS_ONLY } from '../../../src/read/rights.ts'
import { microseconds } from '../../../src/system/microseconds.ts'
import { loadUnderstanding } from '../../../src/wiring/understanding.ts'
import { KEK_BYTES } from '../../support/books.ts'
import { OneThread, timed } from '../book/one-thread.ts'
import { ORIGIN, openSession } from '../book/ways.ts'
import { type Caller, makeCaller } from '../book/workloads.ts'
import { quantile } from '../figures.ts'

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
  readonly 'index us/record': number
  /** Of all that there are; a small book is in SQLite's log for the most part. */
  readonly 'book bytes/record': number
  readonly 'index bytes/record': number
  readonly 'recent search ms': number
}

/** As many as a busy gateway's batch holds. */
const GROUP = 32
const CALLERS = 32
const TURN_BYTES = 16 << 20
/** A session's key and its window of repeated texts are renewed as sessions are. */
const SESSION_RECORDS = 100_000
/** What somebody types who looks at what goes on now. */
const RECENT = [
  'actor:caller7 since:5m',
  'table:accounts verb:UPDATE since:5m',
  'target:orders status:error since:1h',
]
const SEARCHES = 10
const ASKER: Asker = { sub: 'local', rights: { ...OWN_SESSIONS_ONLY, all: true } }

const job = JSON.parse(process.argv[2] ?? '') as Job
const both = new OneThread(job.data)
const { keeper, log, random } = both
const drain = (): void => both.drain(Number.POSITIVE_INFINITY)
const kek = new Kek(Buffer.from(KEK_BYTES))
const understanding = await loadUnderstanding()
const indexing = Indexing.open({ directory: job.data, kek, understanding })
const spent = { gate: 0, recorder: 0, index: 0 }
let callers: Caller[] = []
let records = 0

grow(job.sample)
for (const size of job.sizes) {
  while (records < size) grow(Math.min(size - records, job.sample))
  const before = records
  Object.assign(spent, { gate: 0, recorder: 0, index: 0 })
  grow(job.sample)
  const made = records - before
  const grown: Grown = {
    records: before,
    'gate us/record': spent.gate / made,
    'recorder us/record': spent.recorder / made,
    'index us/record': spent.index / made,
    'book bytes/record': bookBytes() / records,
    'index bytes/record': indexBytes() / records,
    'recent search ms': searchRecent(),
  }
  process.stdout.write(`${JSON.stringify(grown)}\n`)
}
for (const { session } of callers) session.close('stop')
log.flush()
drain()
indexing.close()

function grow(count: number): void {
  for (const end = records + count; records < end; ) {
    spent.gate += timed(() => fill(end))
    spent.recorder += timed(drain)
    spent.index += timed(() => {
      while (indexing.turn());
    })
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
  callers = Array.from({ length: CALLERS }, (_, seed) => {
    const known = { sub: `caller${seed}`, target: 'orders', keep }
    return makeCaller('prepared', openSession('relaxed', log, random, known), seed)
  })
}

function keep(key: DataKey): void {
  const wrapped = key.wrap((bytes) => kek.wrap(ORIGIN, key.sid, bytes, random))
  keeper.handle(0, { type: 'keys', keys: [wrapped] })
}

/** The median, as time on the clock: the scheduler's count of CPU is too coarse for it. */
function searchRecent(): number {
  const reader = new Reader({ directory: job.data, kek, understanding, now: microseconds })
  const ask = (query: string): number => {
    const start = performance.now()
    reader.answer({ type: 'search', query }, ASKER, {})
    return performance.now() - start
  }
  for (const query of RECENT) ask(query)
  const took = RECENT.flatMap((query) => Array.from({ length: SEARCHES }, () => ask(query)))
  reader.close()
  return quantile(took, 0.5)
}

function bookBytes(): number {
  return statSync(bookFiles(job.data).book).size
}

function indexBytes(): number {
  return statSync(indexFiles(job.data).index).size
}
