/** CPU time by thread, in microseconds, as the scheduler counted it: exact over a run, whatever the tick is. */
import { readdirSync, readFileSync } from 'node:fs'

export interface ThreadTimes {
  /** The main thread: the gate's. */
  readonly gate: number
  readonly recorder: number
  /** What follows the book: the index, and answers to searches. */
  readonly reading: number
  /** The pool that syncs, and the engine's own helpers: collection and compilation. */
  readonly others: number
}

/** By the threads' names; those of the benchmark's own workers have none. */
const ROLES: ReadonlyMap<string, keyof ThreadTimes> = new Map([
  ['recorder', 'recorder'],
  ['WorkerThread', 'recorder'],
  ['index', 'reading'],
  ['answers', 'reading'],
])

export function threadTimes(pid: number | 'self' = 'self'): ThreadTimes {
  const times = { gate: 0, recorder: 0, reading: 0, others: 0 }
  const main = String(pid === 'self' ? process.pid : pid)
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const path = `/proc/${pid}/task/${thread}`
    const spent = Number(readFileSync(`${path}/schedstat`, 'latin1').split(' ')[0]) / 1000
    const name = readFileSync(`${path}/comm`, 'latin1').trim()
    const role = thread === main ? 'gate' : (ROLES.get(name) ?? 'others')
    times[role] += spent
  }
  return times
}

export function since(start: ThreadTimes): ThreadTimes {
  const end = threadTimes()
  return {
    gate: end.gate - start.gate,
    recorder: end.recorder - start.recorder,
    reading: end.reading - start.reading,
    others: end.others - start.others,
  }
}
