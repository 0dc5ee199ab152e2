/** `postgres.size`: whether a record costs the same in a book of millions as in an empty one. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Round } from '../figures.ts'
import { drawCurve } from './curve.ts'
import type { Grown, Job } from './grow.ts'
import { makeData } from './installation.ts'
import { prepareTables, runPgbench } from './pgbench.ts'
import { type Place, takeTurns, tell } from './rounds.ts'
import type { System } from './systems.ts'

const GROW = new URL('./grow.ts', import.meta.url).pathname
const SIZES = [0, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 50_000_000]
/** Unless GATEBOOK_RECORDS says otherwise: the largest takes half an hour. */
const LARGEST = 10_000_000
const QUICK_LARGEST = 300_000
const SAMPLE = 50_000

export async function measureSize(place: Place): Promise<void> {
  const { bench, quick, print, svg } = place
  const data = join(bench.folder, 'grown')
  makeData(data)
  const largest = Number(process.env['GATEBOOK_RECORDS'] ?? (quick ? QUICK_LARGEST : LARGEST))
  const sizes = SIZES.filter((size) => size <= largest)
  const steps = await grow({ data, sizes, sample: quick ? 20_000 : SAMPLE })
  for (const { records, ...costs } of steps) {
    for (const [metric, value] of Object.entries(costs)) {
      print({
        suite: 'postgres',
        system: 'recorder',
        workload: `at ${records} records`,
        clients: 0,
        metric,
        value,
        spread: 0,
      })
    }
  }
  if (svg !== undefined) {
    const of = (metric: 'gate us/record' | 'recorder us/record' | 'index us/record') =>
      steps.map((step) => [step.records < SAMPLE ? 0 : step.records, step[metric]] as const)
    const lines = [
      { name: 'recorder', colour: '#b35', points: of('recorder us/record') },
      { name: 'index', colour: '#595', points: of('index us/record') },
      { name: 'gate', colour: '#357', points: of('gate us/record') },
    ]
    writeFileSync(
      svg,
      drawCurve('What one statement costs to record, by the size of the book', 'CPU, µs each', lines),
    )
  }
  await compareGateways(place, data)
}

/** A gateway before the grown book and one before an empty one, in turns. */
async function compareGateways(place: Place, data: string): Promise<void> {
  const { bench, quick } = place
  prepareTables(bench.direct, 1)
  const empty = await bench.start('gateway-standard')
  const grown = await bench.start('gateway-standard', { data })
  const systems: readonly System[] = [
    { ...empty, name: 'before an empty book' },
    { ...grown, name: 'before the grown book' },
  ]
  const load = { args: ['-S', '-M', 'prepared'], clients: 8, seconds: quick ? 2 : 4, folder: bench.folder }
  const run = (system: System): Promise<Round> => runPgbench(system, load)
  const measured = await takeTurns(place, systems, run)
  tell(place, { suite: 'postgres', workload: 'select-prepared', clients: 8 }, measured, () => [
    'before an empty book',
  ])
  await bench.stop(empty)
  await bench.stop(grown)
}

async function grow(job: Job): Promise<Grown[]> {
  const child = spawn(process.execPath, [GROW, JSON.stringify(job)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  const steps: Grown[] = []
  for await (const line of createInterface({ input: child.stdout })) steps.push(JSON.parse(line) as Grown)
  const [code] = (await ended) as [number]
  if (code !== 0) throw new Error(`growing a book ended with ${code}`)
  return steps
}
