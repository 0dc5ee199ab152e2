/** Which records are how old. The book is in the order of its making, so their times are found by halving. */
import type { Database } from 'better-sqlite3'
import { readLeaves } from '../book/reader.ts'

/**
 * How many records were made before `micros`, counted from the book's first: those below the commit in which the
 * first younger one may lie. A clock that was set back makes it fewer, never more.
 */
export function recordsBefore(db: Database, micros: number): number {
  const firsts = db.prepare('SELECT first FROM bundle ORDER BY first').pluck().all() as number[]
  const timeOf = (first: number): number => readLeaves(db, first).next().value?.ts ?? Number.POSITIVE_INFINITY
  let [low, high] = [0, firsts.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (timeOf(firsts[middle] ?? 0) < micros) low = middle + 1
    else high = middle
  }
  // The last commit that began before that time may have gone on beyond it.
  return firsts[low - 1] ?? firsts[0] ?? 0
}
