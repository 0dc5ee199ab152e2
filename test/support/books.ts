/** What the books of the tests have in common. Nothing here needs vitest: other processes of the tests use it, too. */
import type { ThreadOptions } from '../../src/record/messages.ts'

export const ORIGIN = 'gw1.example/book'
export const KEK_BYTES = Buffer.alloc(32, 7)
export const JOURNAL_BYTES = 1 << 20
export const BALLAST_BYTES = 64 << 10

export function threadOptions(directory: string, changes: Partial<ThreadOptions> = {}): ThreadOptions {
  return {
    directory,
    release: '0.0.0-test',
    acceptJournalLoss: false,
    keepCheckpoint: { records: 1000, micros: 60_000_000 },
    signingKeyMaxAgeMs: 30 * 24 * 3600 * 1000,
    disk: { warnShare: 0, closeShare: 0, closeBytes: 0, ballastBytes: BALLAST_BYTES },
    ...changes,
  }
}
