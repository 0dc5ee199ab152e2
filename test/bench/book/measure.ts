/** One measurement of the suite `book`, in this process: `node measure.ts '<job as JSON>'`. */
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { parseVkey } from '../../../src/book/checkpoint.ts'
import { bookFiles } from '../../../src/book/files.ts'
import { BookSource } from '../../../src/book/source.ts'
import { verifyBook } from '../../../src/book/verify/walk.ts'
import { BARRIERS, type Durability } from '../../../src/record/barrier.ts'
import { report } from '../child.ts'
import { quantile, type Round } from '../figures.ts'
import { since, threadTimes } from '../threads.ts'
import { measureCommits } from './commits.ts'
import { measureRaw, type RawName } from './raw.ts'
import { makeBook, openWay, type Way, type WayName } from './ways.ts'
import { type Caller, makeCaller, type WorkloadName } from './workloads.ts'

export type Job = {
  /** A folder of this job's own. */
  readonly folder: string
  readonly seconds: number
  readonly workload: WorkloadName
  readonly callers: number
} & (
  | { readonly type: 'sustained'; readonly way: WayName }
  | { readonly type: 'memory' }
  | { readonly type: 'latency'; readonly way: WayName; readonly mode: Durability }
  /** What the disk and SQLite take for the same bytes, with nothing of ours around them. */
  | { readonly type: 'raw'; readonly raw: RawName; readonly group: number }
  /** Both threads' work, one after the other in this thread, in commits of exactly `group`. */
  | { readonly type: 'commits'; readonly group: number }
  | { readonly type: 'verify' }
)

/** Not counted: the engine compiles, the files grow. */
const WARM_UP_MS = 500

const job = JSON.parse(process.argv[2] ?? '') as Job
mkdirSync(job.folder, { recursive: true })
report(await measure())

function measure(): Round | Promise<Round> {
  switch (job.type) {
    case 'sustained':
      return measureSustained(job.way)
    case 'memory':
      return measureMemory()
    case 'latency':
      return measureLatency(job.way, job.mode)
    case 'raw':
      return measureRaw(job, job.raw, job.group)
    case 'commits':
      return measureCommits(job, job.group)
    case 'verify':
      return measureVerify()
  }
}

async function openCallers(way: Way, mode: Durability): Promise<Caller[]> {
  const sessions = await Promise.all(Array.from({ length: job.callers }, () => way.open(mode)))
  return sessions.map((session, seed) => makeCaller(job.workload, session, seed))
}

/** All callers in every turn of the event loop, as fast as the book follows. */
async function drive(way: Way, callers: readonly Caller[], until: number, look = () => {}): Promise<number> {
  let count = 0
  while (performance.now() < until) {
    for (const caller of callers) caller.begin()
    await new Promise(setImmediate)
    for (const caller of callers) caller.end()
    count += callers.length
    if (way.congested) await way.relieved()
    look()
  }
  return count
}

async function measureSustained(name: WayName): Promise<Round> {
  const directory = makeBook(job.folder)
  const empty = sizeOf(directory)
  const way = await openWay(name, directory)
  const callers = await openCallers(way, 'relaxed')
  const warm = await drive(way, callers, performance.now() + WARM_UP_MS)
  const [times, start] = [threadTimes(), performance.now()]
  const count = await drive(way, callers, start + job.seconds * 1000)
  const { gate, recorder, others } = since(times)
  const elapsed = (performance.now() - start) / 1000
  await way.stop()
  return {
    'records/s': count / elapsed,
    'gate us/record': gate / count,
    'recorder us/record': recorder / count,
    'helpers us/record': others / count,
    'leaves/commit': leavesPerCommit(directory),
    'disk bytes/record': (sizeOf(directory) - empty) / (warm + count),
  }
}

/** What the process holds after a third of the time and at the end, with a reader that never lets go of the book. */
async function measureMemory(): Promise<Round> {
  const directory = makeBook(job.folder)
  const way = await openWay('journal', directory)
  const callers = await openCallers(way, 'relaxed')
  await drive(way, callers, performance.now() + WARM_UP_MS)
  const reader = new Sqlite(bookFiles(directory).book, { readonly: true })
  const rows = reader.prepare('SELECT first FROM bundle').iterate()
  rows.next()
  const third = (job.seconds * 1000) / 3
  let most = 0
  const look = (): void => {
    most = Math.max(most, process.memoryUsage.rss())
  }
  const first = await drive(way, callers, performance.now() + third, look)
  const early = most
  most = 0
  const rest = await drive(way, callers, performance.now() + 2 * third, look)
  rows.return?.()
  reader.close()
  await way.stop()
  return {
    'records/s': (first + rest) / job.seconds,
    'peak MB, first third': early / 2 ** 20,
    'peak MB, the rest': most / 2 ** 20,
  }
}

/** Each caller records, waits as its mode demands, and begins anew; nobody answers in between. */
async function measureLatency(name: WayName, mode: Durability): Promise<Round> {
  const { forward, release } = BARRIERS[mode]
  const way = await openWay(name, makeBook(job.folder))
  const callers = await openCallers(way, mode)
  const latencies: number[] = []
  const start = performance.now()
  const from = start + WARM_UP_MS
  const until = from + job.seconds * 1000
  let counted = threadTimes()
  setTimeout(() => {
    counted = threadTimes()
  }, WARM_UP_MS)
  const run = (caller: Caller, done: () => void): void => {
    const begun = performance.now()
    if (begun >= until) {
      done()
      return
    }
    const begin = caller.begin()
    const finish = (): void => {
      const end = caller.end()
      const next = (): void => {
        if (begun >= from) latencies.push(performance.now() - begun)
        // Who waits for nothing waits for the book when it is behind, as the gate does.
        if (way.congested) way.relieved().then(() => run(caller, done), done)
        else run(caller, done)
      }
      if (release === undefined) setImmediate(next)
      else way.when(end, release, next)
    }
    if (forward === undefined) finish()
    else way.when(begin, forward, finish)
  }
  await Promise.all(callers.map((caller) => new Promise<void>((resolve) => run(caller, resolve))))
  const { gate, recorder, others } = since(counted)
  await way.stop()
  return {
    'p50 us': quantile(latencies, 0.5) * 1000,
    'p99 us': quantile(latencies, 0.99) * 1000,
    'records/s': latencies.length / job.seconds,
    'gate us/record': gate / latencies.length,
    'all us/record': (gate + recorder + others) / latencies.length,
  }
}

/** The whole verification of a book just made, and, beside it, SQLite handing over the same rows. */
async function measureVerify(): Promise<Round> {
  const directory = makeBook(job.folder)
  const way = await openWay('journal', directory)
  const callers = await openCallers(way, 'relaxed')
  await drive(way, callers, performance.now() + job.seconds * 1000)
  await way.stop()
  const files = bookFiles(directory)
  const key = parseVkey(readFileSync(files.vkey, 'utf8').trim())
  using source = BookSource.open(files.book)
  const start = performance.now()
  const { size, findings } = verifyBook(source, {
    key,
    keyFromOutside: true,
    outside: [],
    now: Date.now() * 1000,
    integrityChecked: false,
  })
  const elapsed = (performance.now() - start) / 1000
  if (findings.length > 0) throw new Error(`a book just made does not verify: ${findings[0]?.text}`)
  return { 'records/s': size / elapsed }
}

function sizeOf(directory: string): number {
  const { book } = bookFiles(directory)
  return statSync(book).size
}

function leavesPerCommit(directory: string): number {
  const db = new Sqlite(bookFiles(directory).book, { readonly: true })
  try {
    return Number(db.prepare('SELECT avg(count) FROM bundle').pluck().get())
  } finally {
    db.close()
  }
}
