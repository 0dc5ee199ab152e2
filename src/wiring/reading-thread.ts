/**
 * The threads of the reading side. One keeps the index at the head of the book, the other answers questions from it:
 * SQLite waits where it is called, and neither the gate nor the recorder shall wait with it.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { Kek } from '../book/keys.ts'
import { Indexing } from '../read/follow-index.ts'
import { NoAnswer } from '../read/questions.ts'
import { Reader } from '../read/reader.ts'
import { microseconds } from '../system/microseconds.ts'
import { standBack } from '../system/priority.ts'
import type { FromThread, ThreadData, ToThread } from './reading.ts'
import { loadUnderstanding } from './understanding.ts'

/** Between two looks for new records: where few come, they are found within 200 ms of their commit. */
const LOOK_EVERY_MS = 50
/** Where many come at a time, more are let gather: each transaction writes the marks of its last records again. */
const MANY_RECORDS = 256
const GATHER_MS = 200

const parent = parentPort
if (parent === null) throw new Error('reading-thread.ts runs as a worker')
const tell = (message: FromThread): void => parent.postMessage(message)

const { role, directory, kek: bytes } = workerData as ThreadData
const kek = new Kek(bytes)
const understanding = await loadUnderstanding()
if (role === 'index') keepIndex()
else answerQuestions()

function keepIndex(): void {
  // It may fall behind for a while, where people's statements want every core.
  standBack()
  const indexing = Indexing.open({ directory, kek, understanding })
  tell({ type: 'ready' })
  tell({ type: 'indexed', next: indexing.next })
  let look: NodeJS.Timeout | undefined
  const turn = (): void => {
    const before = indexing.next
    const more = indexing.turn()
    const taken = indexing.next - before
    if (taken > 0) tell({ type: 'indexed', next: indexing.next })
    look = setTimeout(turn, more ? 0 : taken < MANY_RECORDS ? LOOK_EVERY_MS : GATHER_MS)
  }
  parent?.on('message', () => {
    clearTimeout(look)
    indexing.close()
    tell({ type: 'stopped' })
    parent?.close()
  })
  turn()
}

function answerQuestions(): void {
  const reader = new Reader({ directory, kek, understanding, now: microseconds })
  tell({ type: 'ready' })
  parent?.on('message', (message: ToThread) => {
    if (message.type === 'stop') {
      reader.close()
      tell({ type: 'stopped' })
      parent?.close()
      return
    }
    const { id, question, asker, labels } = message
    try {
      tell({ type: 'answer', id, answer: reader.answer(question, asker, labels) })
    } catch (error) {
      if (error instanceof NoAnswer) {
        const { code, message: text, column } = error
        tell({ type: 'refused', id, code, message: text, column })
      } else
        tell({
          type: 'failed',
          id,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        })
    }
  })
}
