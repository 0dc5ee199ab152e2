import { JournalMarks, JournalRing, JournalTail, judgeJournal } from '../../src/book/journal.ts'
import { GroupCommit, type Mark, type Reach } from '../../src/record/group-commit.ts'
import { FakeDisk } from './disk.ts'
import { HandSchedule } from './schedule.ts'

/** A group commit over a disk and a schedule that move only when told to. */
export class CommitBench {
  readonly disk: FakeDisk
  readonly schedule = new HandSchedule()
  readonly marks = new JournalMarks()
  readonly log: GroupCommit
  readonly tail: JournalTail
  readonly failures: Error[] = []
  /** What waiters were told, in the order in which they were. */
  readonly told: string[] = []

  constructor(size = 1 << 20) {
    this.disk = new FakeDisk(size)
    const ring = new JournalRing(this.disk, this.marks, 0)
    this.tail = new JournalTail(this.disk, this.marks, 0)
    this.log = new GroupCommit(ring, {
      disk: this.disk,
      schedule: this.schedule,
      onFailure: (error) => this.failures.push(error),
    })
  }

  put(name: string, bytes = 0): Mark {
    return this.log.append(`{"${name}"}`, bytes === 0 ? [] : [{ ref: 0, bytes: Buffer.alloc(bytes) }])
  }

  putOff(name: string, bytes = 0): void {
    this.log.later(bytes, () => void this.put(name, bytes))
  }

  when(mark: Mark, reach: Reach, name: string): void {
    this.log.when(mark, reach, (error) =>
      this.told.push(error === undefined ? name : `${name}: ${error.message}`),
    )
  }

  /** The numbers of the batches that a power cut now would leave for certain. */
  get surviving(): number[] {
    return judgeJournal(this.disk.durable, 0).batches.map(({ number }) => number)
  }
}
