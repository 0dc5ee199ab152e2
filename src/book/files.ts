/** Names of the book's files in its data directory (mode 0700). */
import { join } from 'node:path'

export interface BookFiles {
  readonly directory: string
  readonly book: string
  readonly keys: string
  readonly journal: string
  readonly lock: string
  readonly head: string
  readonly signingKey: string
  readonly vkey: string
  readonly ballast: string
  /** What passed unrecorded while the store had failed; taken into the book at the next start. */
  readonly gap: string
}

/** The signing key may lie elsewhere: it is the one secret that a copy of the book must not bring along. */
export function bookFiles(directory: string, signingKey = join(directory, 'book.key')): BookFiles {
  return {
    directory,
    book: join(directory, 'book.db'),
    keys: join(directory, 'keys.db'),
    journal: join(directory, 'journal'),
    lock: join(directory, 'book.lock'),
    head: join(directory, 'head.note'),
    signingKey,
    vkey: join(directory, 'book.vkey'),
    ballast: join(directory, 'ballast'),
    gap: join(directory, 'gap.json'),
  }
}

/** One gate, one ring. The number is in the format: more gates may come. */
export const JOURNAL_FILE = 1

export function journalPath(files: BookFiles, file = JOURNAL_FILE): string {
  return join(files.journal, String(file))
}
