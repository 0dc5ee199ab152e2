/** Runs pgbench through one system and says what it saw, and what the process between spent meanwhile. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { quantile, type Round } from '../figures.ts'
import type { ThreadTimes } from '../threads.ts'
import { PASSWORD } from './installation.ts'
import { type System, timesOf } from './systems.ts'

const PGBENCH = '/usr/lib/postgresql/15/bin/pgbench'
/** Of the transactions, those whose latency is written down. */
const SAMPLED = 0.2

export interface Load {
  readonly args: readonly string[]
  readonly clients: number
  readonly seconds: number
  readonly tls?: boolean
  /** For latencies and statements' files. */
  readonly folder: string
}

function environment(system: System, tls: boolean): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'] ?? '',
    PGHOST: '127.0.0.1',
    PGPORT: String(system.port),
    PGUSER: system.user,
    PGPASSWORD: PASSWORD,
    PGDATABASE: 'postgres',
    PGSSLMODE: tls ? 'require' : 'disable',
    PGGSSENCMODE: 'disable',
  }
}

export function prepareTables(system: System, scale: number): void {
  const args = ['-i', '-q', '-s', String(scale), '--unlogged-tables', '-I', 'dtgvp']
  const { status, stderr } = spawnSync(PGBENCH, args, { env: environment(system, false) })
  if (status !== 0) throw new Error(`pgbench -i: ${stderr}`)
}

interface Look {
  readonly times: ThreadTimes | undefined
  readonly transactions: number
}

/** A second to warm up, `seconds` that count, and two more, for what pgbench says last comes when it likes. */
export async function runPgbench(system: System, load: Load): Promise<Round> {
  const { args, clients, seconds, folder, tls = false } = load
  const logs = mkdtempSync(join(folder, 'latency-'))
  const all = [
    ...args,
    '-n',
    '-c',
    String(clients),
    '-j',
    clients > 8 ? '2' : '1',
    '-T',
    String(seconds + 3),
    '-P',
    '1',
  ]
  const log = ['-l', '--sampling-rate', String(SAMPLED), '--log-prefix', join(logs, 'log')]
  const child = spawn(PGBENCH, [...all, ...log], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: environment(system, tls),
  })
  const ended = once(child, 'close')
  const looks: Look[] = []
  const said: string[] = []
  let transactions = 0
  for await (const line of createInterface({ input: child.stderr })) {
    const progress = /^progress: ([0-9.]+) s, ([0-9.]+) tps/.exec(line)
    if (progress === null) said.push(line)
    // The first second warms up, and the last line may come when everybody has gone.
    if (progress === null || looks.length > seconds) continue
    if (looks.length > 0) transactions += Number(progress[2])
    looks.push({ times: timesOf(system), transactions })
  }
  const [code] = (await ended) as [number]
  const latencies = readLatencies(logs)
  rmSync(logs, { recursive: true })
  const [first, last] = [looks[0], looks.at(-1)]
  if (code !== 0 || first === undefined || last === undefined || last.transactions === 0)
    throw new Error(`pgbench through ${system.name}: ${said.join('\n')}`)
  return {
    tps: last.transactions / (looks.length - 1),
    'p50 us': quantile(latencies, 0.5),
    'p99 us': quantile(latencies, 0.99),
    ...perTransaction(first, last),
  }
}

/** Microseconds of CPU; haproxy and pgbouncer have one thread only. */
function perTransaction(first: Look, last: Look): Round {
  const [from, to] = [first.times, last.times]
  if (from === undefined || to === undefined) return {}
  const each = (role: keyof ThreadTimes): number => (to[role] - from[role]) / last.transactions
  const [gate, recorder, reading, others] = [each('gate'), each('recorder'), each('reading'), each('others')]
  return {
    'cpu us/tx': gate + recorder + reading + others,
    ...(recorder + reading + others > 0
      ? { 'gate us/tx': gate, 'recorder us/tx': recorder, 'index us/tx': reading, 'helpers us/tx': others }
      : {}),
  }
}

function readLatencies(folder: string): number[] {
  const rows = readdirSync(folder).flatMap((name) =>
    readFileSync(join(folder, name), 'latin1')
      .trim()
      .split('\n')
      .map((line) => line.split(' ')),
  )
  const start = Math.min(...rows.map((row) => Number(row[4])))
  return rows.filter((row) => Number(row[4]) > start + 1).map((row) => Number(row[2]))
}
