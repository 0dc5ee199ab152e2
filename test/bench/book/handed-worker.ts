/** The worker of the way `handed`: commits what has come since the last commit, and says how far it got. */
import { parentPort, workerData } from 'node:worker_threads'
import { decodeEntries } from '../../../src/book/journal.ts'
import { openBook } from '../../../src/book/open.ts'
import { newRecord, Store } from '../../../src/book/store.ts'
import { Joined, readDraft } from '../../../src/record/join.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { Upkeep } from '../../../src/record/upkeep.ts'
import { microseconds } from '../../../src/system/microseconds.ts'
import { type Handed, threadOptions } from './ways.ts'

const RECORDS_MAX = 512

const gate = parentPort
if (gate === null) throw new Error('this runs as a worker')
const options = threadOptions(workerData as string)
const book = openBook(options.directory)
const store = new Store(book.db, book.origin, book.signer, book.head, {
  random: systemRandom(),
  keep: options.keepCheckpoint,
})
const upkeep = new Upkeep({ ...book, ...options, store, now: microseconds, onState: () => {} })
store.append([newRecord({ kind: 'boot', ts: Date.now() * 1000, rel: '0', clean: true })])

let queue: Handed[] = []
let committing = false

gate.on('message', (message: Handed | 'stop') => {
  if (message === 'stop') {
    book.db.pragma('wal_checkpoint(TRUNCATE)')
    book[Symbol.dispose]()
    gate.close()
    return
  }
  queue.push(message)
  if (committing) return
  committing = true
  setImmediate(commit)
})

function commit(): void {
  const joined = new Joined()
  let end = 0
  while (queue.length > 0) {
    const [next] = queue
    if (next === undefined) break
    const entries = decodeEntries(batchOf(next.bytes))
    if (joined.count > 0 && joined.count + entries.length > RECORDS_MAX) break
    for (const entry of entries) joined.add(readDraft(entry))
    end = next.end
    queue = queue.slice(1)
  }
  store.append(joined.records())
  gate?.postMessage(end)
  upkeep.turn(true)
  committing = queue.length > 0
  if (committing) setImmediate(commit)
}

function batchOf(bytes: Uint8Array<ArrayBuffer>): Buffer {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // Zeros that skip to the ring's start have no length.
  return whole.subarray(0, Math.max(24, whole.readUInt32BE(0)))
}

gate.postMessage('ready')
