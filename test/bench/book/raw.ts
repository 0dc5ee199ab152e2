/**
 * What the disk and SQLite take for the very bytes that the journal gets, with nothing of ours around them: an
 * append to a preallocated file and fdatasync, and plain inserts, one row an entry, one transaction a group.
 */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { decodeEntries, type JournalDisk, JournalMarks, JournalRing } from '../../../src/book/journal.ts'
import { GroupCommit } from '../../../src/record/group-commit.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { systemSchedule } from '../../../src/system/clock.ts'
import { PlacedFile, preallocate } from '../../../src/system/durable.ts'
import { quantile, type Round } from '../figures.ts'
import { since, threadTimes } from '../threads.ts'
import { openSession } from './ways.ts'
import { makeCaller, type WorkloadName } from './workloads.ts'

export type RawName = 'append' | 'sqlite'

export interface RawJob {
  readonly folder: string
  readonly seconds: number
  readonly workload: WorkloadName
  readonly callers: number
}

/** Groups that are written again and again. */
const GROUPS = 32
const FILE_BYTES = 64 << 20
const WAL_PAGES = 4096

export async function measureRaw(job: RawJob, raw: RawName, group: number): Promise<Round> {
  const groups = captureGroups(job, group)
  const latencies: number[] = []
  const write = raw === 'append' ? openAppend(job.folder) : openSqlite(job.folder)
  for (const one of groups) await write.group(one)
  const before = write.size()
  const times = threadTimes()
  const start = performance.now()
  let count = 0
  for (let now = start; now < start + job.seconds * 1000; count++) {
    await write.group(groups[count % GROUPS] ?? Buffer.alloc(0))
    latencies.push(performance.now() - now)
    now = performance.now()
  }
  const elapsed = (performance.now() - start) / 1000
  const { gate, recorder, others } = since(times)
  const records = count * group
  return {
    'records/s': records / elapsed,
    'all us/record': (gate + recorder + others) / records,
    'p50 us': quantile(latencies, 0.5) * 1000,
    'p99 us': quantile(latencies, 0.99) * 1000,
    'disk bytes/record': (write.size() - before) / records,
  }
}

/** Batches of the journal with `group` records each, made by the recorder's own session. */
function captureGroups(job: RawJob, group: number): Buffer[] {
  const batches: Buffer[] = []
  const disk: JournalDisk = {
    size: 2 ** 40,
    write: (bytes) => batches.push(Buffer.from(bytes)),
    sync: (done) => done(null),
    read: () => {},
  }
  const log = new GroupCommit(new JournalRing(disk, new JournalMarks(), 0), {
    disk,
    schedule: { ...systemSchedule, soon: () => {} },
    onFailure: (error) => {
      throw error
    },
  })
  const random = systemRandom()
  const callers = Array.from({ length: job.callers }, (_, seed) =>
    makeCaller(job.workload, openSession('relaxed', log, random), seed),
  )
  log.flush()
  const groups: Buffer[] = []
  while (groups.length < GROUPS) {
    batches.length = 0
    for (let k = 0; k < group; k++) {
      const caller = callers[k % callers.length]
      caller?.begin()
      caller?.end()
    }
    log.flush()
    groups.push(Buffer.concat(batches))
  }
  return groups
}

interface Writer {
  group(bytes: Buffer): Promise<void>
  size(): number
}

function openAppend(folder: string): Writer {
  const path = join(folder, 'append')
  preallocate(path, FILE_BYTES)
  const file = new PlacedFile(path)
  let total = 0
  let at = 0
  return {
    group: (bytes) => {
      if (at + bytes.length > FILE_BYTES) at = 0
      file.write(bytes, at)
      at += bytes.length
      total += bytes.length
      return new Promise((resolve, reject) => {
        file.sync((error) => (error === null ? resolve() : reject(error)))
      })
    },
    size: () => total,
  }
}

function openSqlite(folder: string): Writer {
  const path = join(folder, 'plain.db')
  const db = new Sqlite(path)
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.pragma(`wal_autocheckpoint = ${WAL_PAGES}`)
  db.exec('CREATE TABLE record(id INTEGER PRIMARY KEY, members BLOB NOT NULL, payloads BLOB) STRICT')
  const insert = db.prepare('INSERT INTO record(members, payloads) VALUES (?, ?)')
  const commit = db.transaction((batches: readonly Buffer[]) => {
    for (const batch of batches) {
      for (const { members, carried } of decodeEntries(batch)) {
        const [payload] = carried
        insert.run(Buffer.from(members, 'latin1'), payload === undefined ? null : payload.bytes)
      }
    }
  })
  return {
    group: async (bytes) => commit.immediate(splitBatches(bytes)),
    size: () => {
      db.pragma('wal_checkpoint(TRUNCATE)')
      return statSync(path).size
    },
  }
}

/** A group larger than a batch lies in several. */
function splitBatches(bytes: Buffer): Buffer[] {
  const batches: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    batches.push(bytes.subarray(at, at + length))
    at += Math.ceil(length / 512) * 512
  }
  return batches
}
