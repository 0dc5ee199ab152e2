/**
 * `npm run bench -- book`: what recording costs, and what stands beside it. Every measurement is a process of its
 * own; those that are compared take turns, round by round.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runChild } from '../child.ts'
import { type Compared, compare, type Figure, type Round } from '../figures.ts'
import type { WorkloadName } from './workloads.ts'

export interface SuiteOptions {
  readonly quick: boolean
  /** A file for the picture of postgres.size. */
  readonly svg?: string
  readonly print: (figure: Figure) => void
}

/** A job of measure.ts but for its folder. */
type Job = Readonly<Record<string, unknown>> & { readonly seconds: number }

interface System {
  readonly name: string
  readonly job: Job
  readonly flags?: readonly string[]
}

const MEASURE = new URL('./measure.ts', import.meta.url)
const WORKLOADS: readonly WorkloadName[] = ['prepared', 'one-off', 'terminal']
const CALLERS = [1, 8, 32]
/** How many records the raw writers put into one write, as the drain does under load and as one caller does. */
const GROUP = 256

export async function runBook({ quick, print }: SuiteOptions): Promise<void> {
  const rounds = quick ? 1 : 3
  const folder = mkdtempSync(join(tmpdir(), 'gatebook-bench-'))
  const measure = async (workload: string, callers: number, systems: readonly System[]): Promise<void> => {
    const measured = systems.map(({ name }) => ({ system: name, rounds: [] as Round[] }))
    for (let round = 0; round < rounds; round++) {
      for (const [k, { job, flags }] of systems.entries()) {
        const place = join(folder, `${round}-${k}`)
        const result = await runChild(MEASURE, { ...job, workload, callers, folder: place }, flags)
        measured[k]?.rounds.push(result)
        rmSync(place, { recursive: true, force: true })
      }
    }
    const [first, ...others]: readonly Compared[] = measured
    const facts = { suite: 'book', workload, clients: callers }
    if (first !== undefined) for (const figure of compare(facts, first, others)) print(figure)
    for (const other of others) for (const figure of compare(facts, other)) print(figure)
  }
  try {
    const long = quick ? 3 : 30
    const short = quick ? 1.5 : 5
    for (const workload of WORKLOADS) {
      await measure(workload, 32, [
        { name: 'journal', job: { type: 'sustained', way: 'journal', seconds: long } },
        { name: 'handed over', job: { type: 'sustained', way: 'handed', seconds: long } },
        { name: 'plain append', job: { type: 'raw', raw: 'append', group: GROUP, seconds: short } },
        { name: 'plain SQLite', job: { type: 'raw', raw: 'sqlite', group: GROUP, seconds: short } },
      ])
      for (const group of [32, 256]) {
        await measure(workload, 32, [
          { name: `commits of ${group}`, job: { type: 'commits', group, seconds: short } },
        ])
      }
    }
    for (const mode of ['relaxed', 'standard', 'strict']) {
      for (const callers of CALLERS) {
        await measure('prepared', callers, [
          { name: mode, job: { type: 'latency', way: 'journal', mode, seconds: short } },
          { name: 'bare fdatasync', job: { type: 'raw', raw: 'append', group: callers, seconds: short } },
        ])
      }
    }
    await measure('prepared', 32, [
      { name: 'a slow reader', job: { type: 'memory', seconds: quick ? 6 : 30 } },
    ])
    await measure('prepared', 32, [{ name: 'verify', job: { type: 'verify', seconds: short } }])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
