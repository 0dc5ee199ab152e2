/** How much a thread of ours gets of a machine that is busy. */
import { readlinkSync } from 'node:fs'
import { constants, setPriority } from 'node:os'

/**
 * Puts the calling thread behind all others: for work that nobody waits for. Linux counts threads like processes and
 * tells each its number; elsewhere a thread cannot be named, and all stays as it is.
 */
export function comeLast(): void {
  if (process.platform !== 'linux') return
  const [, thread] = /\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self')) ?? []
  if (thread !== undefined) setPriority(Number(thread), constants.priority.PRIORITY_LOW)
}
