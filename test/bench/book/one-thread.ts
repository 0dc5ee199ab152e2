import { JournalMarks, JournalRing } from '../../../src/book/journal.ts'
import { Bookkeeper } from '../../../src/record/bookkeeper.ts'
import { GroupCommit } from '../../../src/record/group-commit.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { PlacedFile } from '../../../src/system/durable.ts'
import { microseconds } from '../../../src/system/microseconds.ts'
import { threadTimes } from '../threads.ts'
import { threadOptions } from './ways.ts'

/** Both sides of a book's journal in this thread, one after the other, so that CPU time belongs to one at a time. */
export class OneThread {
  readonly random = systemRandom()
  readonly keeper: Bookkeeper
  readonly log: GroupCommit
  /** The recorder's and the gate's. */
  readonly #marks: JournalMarks
  readonly #own = new JournalMarks()

  constructor(directory: string) {
    this.keeper = new Bookkeeper(threadOptions(directory), {
      now: microseconds,
      random: this.random,
      onState: () => {},
      onAnswer: () => {},
    })
    const { ready } = this.keeper
    this.#marks = new JournalMarks(ready.marks)
    const disk = new PlacedFile(ready.journalPath)
    this.log = new GroupCommit(new JournalRing(disk, this.#own, ready.lastBatch), {
      disk,
      schedule: { soon: () => {}, after: () => ({ [Symbol.dispose]: () => {} }) },
      onFailure: (error) => {
        throw error
      },
    })
  }

  /** All that is written, of which the recorder sees so many batches at a time. */
  drain(batches: number): void {
    while (this.#marks.drained < this.#own.written) {
      this.#marks.written = Math.min(this.#own.written, this.#marks.drained + batches)
      this.keeper.turn()
    }
    this.#own.freed = this.#marks.freed
  }
}

/** The CPU time of this thread that it takes, in microseconds. */
export function timed(work: () => void): number {
  const start = threadTimes().gate
  work()
  return threadTimes().gate - start
}
