/**
 * The recorder's thread: all of SQLite, and all of its waiting for the disk, happens here. It polls the journal:
 * to be woken for each record would cost the gate more than the record does.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { microseconds } from '../system/microseconds.ts'
import { Bookkeeper } from './bookkeeper.ts'
import type { ThreadOptions, ToGate, ToThread } from './messages.ts'
import { systemRandom } from './random.ts'

/**
 * Between two looks at the journal when nothing is behind. What one look finds is committed at the next one at the
 * latest, so the book follows well within 200 ms; looking more often would only make more and smaller commits, whose
 * fsyncs get in the way of the journal's.
 */
const POLL_MS = 50

let failed = false

const gate = parentPort
if (gate === null) throw new Error('thread.ts runs as a worker')
const tell = (message: ToGate): void => gate.postMessage(message)

/** A failed store acknowledges nothing more and tries nothing again: the gate ends what runs, then the process. */
function guarded(work: () => void): void {
  if (failed) return
  try {
    work()
  } catch (error) {
    failed = true
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'store'
    tell({ type: 'failed', code, message: error instanceof Error ? error.message : String(error) })
  }
}

guarded(() => {
  const keeper = new Bookkeeper(workerData as ThreadOptions, {
    now: microseconds,
    random: systemRandom(),
    onState: (state, freeBytes) => tell({ type: 'state', state, freeBytes }),
    onAnswer: (id, answer) => tell({ type: 'answer', id, answer }),
  })
  tell(keeper.ready)
  let look: NodeJS.Timeout | undefined
  const turn = (mayWait: boolean): void => {
    clearTimeout(look)
    const state = keeper.turn(mayWait)
    if (state === 'stopped') gate.close()
    else look = setTimeout(guarded, state === 'busy' ? 0 : POLL_MS, () => turn(true))
  }
  gate.on('message', ({ id, request }: ToThread) => {
    guarded(() => {
      keeper.handle(id, request)
      // Whoever asks waits for what is still in the journal.
      turn(false)
    })
  })
  turn(false)
})
