/**
 * `npm run bench -- search`: how fast the index follows, how large it is, and how long searches take in a book of
 * realistic shape. GATEBOOK_RECORDS says how many records, 5000000 for the figures that count.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SuiteOptions } from '../book/suite.ts'
import { runChild } from '../child.ts'
import { compare } from '../figures.ts'
import { KINDS } from './kinds.ts'
import type { Job } from './measure.ts'

const MEASURE = new URL('./measure.ts', import.meta.url)
const RECORDS = 1_000_000
const QUICK_RECORDS = 100_000
const TIMES = 100

export async function runSearch({ quick, print }: SuiteOptions): Promise<void> {
  const records = Number(process.env['GATEBOOK_RECORDS'] ?? (quick ? QUICK_RECORDS : RECORDS))
  const directory = join(mkdtempSync(join(tmpdir(), 'gatebook-bench-')), 'data')
  const workload = `${records.toLocaleString('en')} records`
  const measure = async (system: string, job: Job): Promise<void> => {
    const round = await runChild(MEASURE, job)
    for (const figure of compare({ suite: 'search', workload, clients: 0 }, { system, rounds: [round] }))
      print(figure)
  }
  try {
    await measure('generator', { type: 'generate', directory, records })
    await measure('index', { type: 'index', directory })
    for (const kind of Object.keys(KINDS)) {
      await measure(kind, { type: 'search', directory, kind, times: quick ? 20 : TIMES })
    }
  } finally {
    rmSync(join(directory, '..'), { recursive: true, force: true })
  }
}
