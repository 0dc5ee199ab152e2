import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

/** A folder for the files of one test file, gone when its tests are over; each call of the result names a new file. */
export function temporaryFiles(): (extension?: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'gatebook-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  let count = 0
  return (extension = '') => join(folder, `${++count}${extension}`)
}
