import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createBook } from '../../src/book/create.ts'
import { ORIGIN } from '../support/books.ts'
import { checkBook } from '../support/check-book.ts'
import { numbersFrom } from '../support/numbers.ts'
import { type Recording, readRecording, STRACE } from '../support/power.ts'
import { runChild } from '../support/processes.ts'
import { brokenPromises } from '../support/promises.ts'
import { crashed, startBookkeeper, temporaryFolder } from '../support/recorder.ts'
import { rounds, SEED, timeFor } from '../support/rounds.ts'

const CUTS = rounds(50)
const RECORDINGS = Math.ceil(CUTS / 100) + 1

/** A recorder that recovers what a killed one left, works, and stops in order; all of it logged. */
function record(seed: number): { recording: Recording; earlier: string[] } {
  const folder = temporaryFolder()
  const directory = join(folder, 'data')
  createBook({ directory, origin: ORIGIN, journalBytes: 256 << 10, ballastBytes: 4096 })
  const killed = runChild('load', [directory, `${seed}`, '1000000', '{}', `load:${numbersFrom(seed)(60)}`])
  const before = crashed(directory)
  const log = join(folder, 'strace')
  const { stderr } = runChild('load', [directory, `${seed + 1}`, '80'], [...STRACE, log])
  expect([killed.stderr, stderr]).toEqual(['', ''])
  const earlier = killed.stdout.split('\n')
  earlier.pop()
  return { recording: readRecording(log, directory, before), earlier }
}

test(
  `after ${CUTS} power cuts a book opens, verifies and holds what was durable (seed ${SEED})`,
  () => {
    const number = numbersFrom(SEED)
    const recordings = Array.from({ length: RECORDINGS }, () => record(number(2 ** 31)))
    let promised = 0
    for (let cut = 0; cut < CUTS; cut++) {
      const { recording, earlier } = recordings[cut % recordings.length] ?? record(SEED)
      const { moments, edges } = recording
      // Half of them beside a sync or a rename.
      const edge = edges[number(edges.length)] ?? 0
      const moment = cut % 2 === 0 ? number(moments) : Math.max(0, edge + number(5) - 2)
      const parent = temporaryFolder()
      const directory = join(parent, 'data')
      recording.rebuild(moment, directory, number)
      const lines = recording.printed(moment)
      // What the killed process promised was written; it was durable where it said so.
      try {
        const book = startBookkeeper(directory)
        const { leaves, openSessions } = checkBook(directory, { closed: true })
        expect(brokenPromises([...earlier, ...lines], leaves, 'power')).toEqual([])
        expect(openSessions).toEqual([])
        book.stop()
        const again = startBookkeeper(directory)
        expect(again.keeper.ready).toMatchObject({ recovered: 0, closedAsUnknown: 0 })
        again.stop()
        checkBook(directory, { closed: true })
      } catch (cause) {
        throw new Error(`cut ${cut} at moment ${moment} of ${moments}`, { cause })
      }
      promised += lines.length
      rmSync(parent, { recursive: true, force: true })
    }
    expect(promised).toBeGreaterThan(CUTS * 20)
  },
  timeFor(CUTS, 300),
)
