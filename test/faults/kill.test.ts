import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createBook } from '../../src/book/create.ts'
import { ORIGIN } from '../support/books.ts'
import { checkBook } from '../support/check-book.ts'
import { numbersFrom } from '../support/numbers.ts'
import { startChild } from '../support/processes.ts'
import { brokenPromises } from '../support/promises.ts'
import { startBookkeeper, temporaryFolder } from '../support/recorder.ts'
import { rounds, SEED, timeFor } from '../support/rounds.ts'

const ROUNDS = rounds(50)
/** A book is killed this often before the next begins, so that recoveries meet what recoveries left. */
const KILLS_OF_A_BOOK = 9

/** Kills a recorder at a random moment, again and again, and opens what it left. */
async function lane(
  seed: number,
  kills: number,
): Promise<{ promised: number; unknown: number; recovered: number }> {
  const number = numbersFrom(seed)
  const parent = temporaryFolder()
  const seen = { promised: 0, unknown: 0, recovered: 0 }
  let lines: string[] = []
  let directory = ''
  for (let kill = 0; kill < kills; kill++) {
    if (kill % KILLS_OF_A_BOOK === 0) {
      rmSync(directory || join(parent, 'none'), { recursive: true, force: true })
      directory = join(parent, `${kill}`)
      // Small, so that the ring goes round and runs full.
      createBook({ directory, origin: ORIGIN, journalBytes: (256 << 10) << number(4), ballastBytes: 4096 })
      lines = []
    }
    // Mostly under load; at times while it starts, or while it recovers what the last one left.
    const death = `${number(5) > 0 ? 'load' : 'start'}:${number(150)}`
    const child = startChild('load', [directory, `${number(2 ** 31)}`, '1000000', '{}', death])
    expect((await child.ended).signal).toBe('SIGKILL')
    expect(child.errors()).toBe('')
    lines = lines.concat(child.lines)
    // At times the next process is the one that recovers.
    if (number(3) === 0 && (kill + 1) % KILLS_OF_A_BOOK !== 0 && kill + 1 < kills) continue

    const book = startBookkeeper(directory)
    const { leaves, openSessions } = checkBook(directory, { closed: true })
    expect(brokenPromises(lines, leaves, 'process')).toEqual([])
    expect(openSessions).toEqual([])
    seen.unknown += book.keeper.ready.closedAsUnknown
    seen.recovered += book.keeper.ready.recovered
    book.stop()
    checkBook(directory, { closed: true })
    seen.promised += lines.length
  }
  return seen
}

test(
  `killed at ${ROUNDS} moments, a recorder has kept every promise (seed ${SEED})`,
  async () => {
    const lanes = await Promise.all([
      lane(SEED, Math.ceil(ROUNDS / 2)),
      lane(SEED + 1, Math.floor(ROUNDS / 2)),
    ])
    for (const seen of lanes) {
      // Else it was never killed in the middle of anything.
      expect(seen.promised).toBeGreaterThan(ROUNDS)
      expect(seen.unknown).toBeGreaterThan(0)
      expect(seen.recovered).toBeGreaterThan(0)
    }
  },
  timeFor(ROUNDS, 500),
)
