/** One measurement in a process of its own: writing a book, indexing it, or searching in it. */
import { rmSync, statSync } from 'node:fs'
import { Kek } from '../../../src/book/keys.ts'
import { Indexing } from '../../../src/read/follow-index.ts'
import { indexFiles } from '../../../src/read/index-file.ts'
import type { Asker } from '../../../src/read/questions.ts'
import { Reader } from '../../../src/read/reader.ts'
import { OWN_SESSIONS_ONLY } from '../../../src/read/rights.ts'
import { loadUnderstanding } from '../../../src/wiring/understanding.ts'
import { KEK_BYTES } from '../../support/books.ts'
import { seeded } from '../../support/seeded.ts'
import { report } from '../child.ts'
import { quantile, type Round } from '../figures.ts'
import { END, generate } from './generate.ts'
import { KINDS } from './kinds.ts'

export type Job =
  | { readonly type: 'generate'; readonly directory: string; readonly records: number }
  | { readonly type: 'index'; readonly directory: string }
  | { readonly type: 'search'; readonly directory: string; readonly kind: string; readonly times: number }

const ASKER: Asker = { sub: 'local', rights: { ...OWN_SESSIONS_ONLY, all: true } }
const understanding = await loadUnderstanding()
const kek = new Kek(Buffer.from(KEK_BYTES))

const job = JSON.parse(process.argv[2] ?? '') as Job
report(run(job))

function run(given: Job): Round {
  switch (given.type) {
    case 'generate': {
      generate(given.directory, given.records)
      return { 'book bytes a record': statSync(`${given.directory}/book.db`).size / given.records }
    }
    case 'index':
      return index(given.directory)
    case 'search':
      return search(given)
  }
}

/** A rebuild from nothing, as a start after an upgrade does it. */
function index(directory: string): Round {
  const files = indexFiles(directory)
  for (const path of [files.index, `${files.index}-wal`, `${files.index}-shm`, files.key])
    rmSync(path, { force: true })
  const cpu = process.cpuUsage()
  const begun = performance.now()
  const indexing = Indexing.open({ directory, kek, understanding })
  while (indexing.turn());
  const seconds = (performance.now() - begun) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const records = indexing.next
  indexing.close()
  const bytes = statSync(files.index).size
  return {
    'records a second': records / seconds,
    'records a CPU second': records / ((user + system) / 1e6),
    'index bytes a record': bytes / records,
    'seconds for a million': (seconds / records) * 1e6,
    'megabytes of memory': process.memoryUsage.rss() / 2 ** 20,
  }
}

function search({ directory, kind, times }: Extract<Job, { type: 'search' }>): Round {
  const reader = new Reader({ directory, kek, understanding, now: () => END })
  const random = seeded(7)
  const make = KINDS[kind]
  if (make === undefined) throw new Error(`no such search: ${kind}`)
  const ms: number[] = []
  const cpuMs: number[] = []
  let rows = 0
  for (let k = 0; k < times; k++) {
    const cpu = process.cpuUsage()
    const begun = performance.now()
    const answer = reader.answer({ type: 'search', query: make(random) }, ASKER, {})
    ms.push(performance.now() - begun)
    const { user, system } = process.cpuUsage(cpu)
    cpuMs.push((user + system) / 1000)
    rows += answer.rows.length
  }
  reader.close()
  return {
    'ms p50': quantile(ms, 0.5),
    'ms p99': quantile(ms, 0.99),
    'CPU ms p50': quantile(cpuMs, 0.5),
    'CPU ms p99': quantile(cpuMs, 0.99),
    'rows found': rows / times,
  }
}
