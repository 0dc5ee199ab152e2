import {
  type Batch,
  type Carried,
  decodeEntries,
  JournalMarks,
  JournalRing,
  JournalTail,
  judgeJournal,
} from '../../src/book/journal.ts'
import { FakeDisk } from './disk.ts'

/** A ring over a disk in memory, and who drains it. */
export interface Journal {
  readonly disk: FakeDisk
  readonly marks: JournalMarks
  readonly ring: JournalRing
  readonly tail: JournalTail
}

export function openJournal(size: number, last = 0, disk = new FakeDisk(size)): Journal {
  const marks = new JournalMarks()
  const ring = new JournalRing(disk, marks, last)
  return { disk, marks, ring, tail: new JournalTail(disk, marks, last) }
}

/** An entry whose text tells which one it is. */
export function put({ ring }: Journal, name: string, bytes = 0): number {
  const carried: Carried[] = bytes === 0 ? [] : [{ ref: 0, bytes: Buffer.alloc(bytes, name) }]
  return ring.append(`{"${name}"}`, carried)
}

export const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0)

export const namesOf = (batch: Batch): string[] =>
  decodeEntries(batch.bytes).map(({ members }) => members.slice(2, -2))

/** All of `batches`, a list of names each. */
export const judged = (disk: FakeDisk, drained: number) => {
  const { batches, missing, highest } = judgeJournal(disk.bytes, drained)
  return { batches: batches.map(namesOf), missing, highest }
}
