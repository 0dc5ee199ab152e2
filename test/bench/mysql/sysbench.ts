/** Point selects by sysbench, a C program on MariaDB Connector/C. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Round } from '../figures.ts'

const run = promisify(execFile)
const ROWS = 100_000

export interface System {
  readonly name: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** The process between client and server, if there is one. */
  readonly pid?: number
}

export interface Load {
  readonly protocol: 'text' | 'prepared'
  readonly clients: number
  readonly seconds: number
}

function common({ port, user, password }: System): string[] {
  return [
    ...['--db-driver=mysql', '--mysql-host=127.0.0.1', `--mysql-port=${port}`, `--mysql-user=${user}`],
    ...[`--mysql-password=${password}`, '--mysql-db=shop', `--table-size=${ROWS}`],
  ]
}

export async function prepareTable(system: System): Promise<void> {
  await run('sysbench', ['oltp_point_select', ...common(system), 'prepare'])
}

export async function runSysbench(system: System, { protocol, clients, seconds }: Load): Promise<Round> {
  const { stdout } = await run('sysbench', [
    'oltp_point_select',
    ...common(system),
    ...[`--threads=${clients}`, `--time=${seconds}`, '--percentile=99', '--skip-trx=on'],
    `--db-ps-mode=${protocol === 'prepared' ? 'auto' : 'disable'}`,
    'run',
  ])
  const figure = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? Number.NaN)
  return {
    tps: figure(/transactions: +\d+ +\(([\d.]+) per sec/),
    'mean us': figure(/avg: +([\d.]+)/) * 1000,
    'p99 us': figure(/99th percentile: +([\d.]+)/) * 1000,
  }
}
