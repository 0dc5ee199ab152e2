/** `npm run bench -- postgres`: what the way through the gateway costs, beside the ways that record nothing. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureDebianPackages } from '../../support/debian.ts'
import type { SuiteOptions } from '../book/suite.ts'
import { measureBulk } from './bulk.ts'
import { measureConnections } from './connections.ts'
import { measureProcesses } from './processes.ts'
import type { Place } from './rounds.ts'
import { measureSessions } from './sessions.ts'
import { measureSize } from './size.ts'
import { STATEMENT_PARTS } from './statements.ts'
import { openBench, PACKAGES } from './systems.ts'

const PARTS: ReadonlyMap<string, (place: Place) => Promise<void>> = new Map([
  ...[...STATEMENT_PARTS].map(([name, measure]) => [`statements.${name}`, measure] as const),
  ['bulk', measureBulk],
  ['connections', measureConnections],
  ['processes', measureProcesses],
  ['sessions', measureSessions],
  ['size', measureSize],
])

export const POSTGRES_SUITES: readonly (readonly [string, (options: SuiteOptions) => Promise<void>])[] = [
  ...PARTS,
].map(([name, measure]) => [`postgres.${name}`, (options) => run(measure, options)])

async function run(measure: (place: Place) => Promise<void>, options: SuiteOptions): Promise<void> {
  ensureDebianPackages([...PACKAGES])
  const folder = mkdtempSync(join(tmpdir(), 'gatebook-bench-'))
  try {
    await using bench = await openBench(folder)
    await measure({ ...options, bench })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
