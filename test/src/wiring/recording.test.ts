import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { requireJournal } from '../../../src/wiring/recording.ts'
import { changed, loadGood } from '../../support/config.ts'
import { temporaryFolder } from '../../support/recorder.ts'

/** A configuration with this limit, and a journal of so many MiB. */
function configured(longest: string, journalMib: number): ReturnType<typeof loadGood> {
  const folder = temporaryFolder()
  const journal = join(folder, 'journal', '1')
  mkdirSync(dirname(journal))
  writeFileSync(journal, '')
  truncateSync(journal, journalMib << 20)
  return loadGood(
    changed([
      ['data_dir: data', `data_dir: ${folder}`],
      ['recording:\n', `recording:\n  sql: { max_statement: ${longest} }\n`],
    ]),
  )
}

test('the longest statement is at most a quarter of the journal', () => {
  expect(() => requireJournal(configured('16MiB', 64))).not.toThrow()
  expect(() => requireJournal(configured('32MiB', 128))).not.toThrow()
  expect(() => requireJournal(configured('17MiB', 64))).toThrow(
    /^recording.sql.max_statement is 17MiB, and the journal .*\/journal\/1 has 64MiB.*: set it to at most 16MiB$/,
  )
})
