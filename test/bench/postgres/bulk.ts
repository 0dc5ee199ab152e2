/** `postgres.bulk`: what passes in large amounts, how fast, at what cost, and what of it the process holds. */
import { runChild } from '../child.ts'
import type { Round } from '../figures.ts'
import type { Job } from './drain.ts'
import { type Place, takeTurns, tell } from './rounds.ts'
import { forgetPeak, memoryOf, type System, timesOf } from './systems.ts'

const DRAIN = new URL('./drain.ts', import.meta.url)

type Shape =
  | Omit<Extract<Job, { type: 'query' }>, keyof Way>
  | Omit<Extract<Job, { type: 'long' }>, keyof Way>
  | Omit<Extract<Job, { type: 'copy-in' }>, keyof Way>
interface Way {
  readonly port: number
  readonly user: string
  readonly tls?: boolean
}

function workloads(gigabyte: number): readonly (readonly [string, Shape, tls?: boolean])[] {
  const rows = gigabyte / 1000
  const out = `COPY (SELECT repeat('x', 1000) FROM generate_series(1, ${rows})) TO STDOUT`
  const copyIn = { type: 'copy-in', sql: 'COPY sink FROM STDIN WHERE false', bytes: gigabyte } as const
  const select = `SELECT g, 'row ' || g FROM generate_series(1, ${gigabyte / 200}) g`
  return [
    ['copy-out', { type: 'query', sql: out, times: 1 }],
    ['copy-in', copyIn],
    ['select-rows', { type: 'query', sql: select, times: 1 }],
    ['copy-out-tls', { type: 'query', sql: out, times: 1 }, true],
    ['copy-in-tls', copyIn, true],
    ['statement-1mb', { type: 'long', sql: 'SELECT length($)', bytes: 1 << 20, times: gigabyte / 1e7 }],
    ['statement-15mb', { type: 'long', sql: 'SELECT length($)', bytes: 15 << 20, times: gigabyte / 5e7 }],
    ['row-16mb', { type: 'query', sql: "SELECT repeat('x', 16 << 20)", times: gigabyte / 5e7 }],
  ]
}

export async function measureBulk(place: Place): Promise<void> {
  const { bench, quick } = place
  await runChild(DRAIN, { ...bench.direct, type: 'query', sql: 'CREATE TABLE sink (x text)', times: 1 })
  const proxies = (tlsToServer: boolean): Promise<System[]> =>
    Promise.all([
      bench.start('haproxy'),
      bench.start('pgbouncer', { tlsToServer }),
      bench.start('gateway-relaxed', { tlsToServer }),
      bench.start('gateway-standard', { tlsToServer }),
    ])
  for (const tls of [false, true]) {
    const systems = await proxies(tls)
    for (const [workload, shape, inTls = false] of workloads(quick ? 2e8 : 1e9)) {
      if (inTls !== tls) continue
      const run = (system: System): Promise<Round> => drain(system, { ...shape, tls })
      const measured = await takeTurns(place, [bench.direct, ...systems], run)
      tell(place, { suite: 'postgres', workload, clients: 1 }, measured, () => ['haproxy', 'pgbouncer'])
    }
    for (const system of systems) await bench.stop(system)
  }
}

async function drain(system: System, shape: Shape & { readonly tls: boolean }): Promise<Round> {
  const { port, user } = system
  if (system.pid === undefined) {
    const { 'MB/s': speed = 0 } = await runChild(DRAIN, { port, user, ...shape })
    return { 'MB/s': speed }
  }
  forgetPeak(system)
  const [before, times] = [memoryOf(system).now, timesOf(system)]
  const { 'MB/s': speed = 0, bytes = 0 } = await runChild(DRAIN, { port, user, ...shape })
  const after = timesOf(system)
  const spent = (role: 'gate' | 'recorder' | 'others'): number => (after?.[role] ?? 0) - (times?.[role] ?? 0)
  return {
    'MB/s': speed,
    'cpu us/MB': (spent('gate') + spent('recorder') + spent('others')) / (bytes / 1e6),
    'peak growth MB': (memoryOf(system).peak - before) / 1e6,
  }
}
