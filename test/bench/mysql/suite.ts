/** `npm run bench -- mysql`: the way through the gateway, beside the direct one and a plain TCP proxy. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Server, startServer } from '../../real/mysql/server.ts'
import { ensureDebianPackages } from '../../support/debian.ts'
import { freePort } from '../../support/ports.ts'
import type { SuiteOptions } from '../book/suite.ts'
import { runChild } from '../child.ts'
import type { Round } from '../figures.ts'
import { takeTurns, tell } from '../postgres/rounds.ts'
import { answering, forgetPeak, memoryOf } from '../postgres/systems.ts'
import { threadTimes } from '../threads.ts'
import { installGateway } from './installation.ts'
import { prepareTable, runSysbench, type System } from './sysbench.ts'

const PACKAGES = ['haproxy', 'mariadb-server', 'openssl', 'sysbench']
const DRAIN = new URL('./drain.ts', import.meta.url)
const CLIENTS = [1, 8, 32]
const ROW_BYTES = 1000

export async function runMysql(options: SuiteOptions): Promise<void> {
  ensureDebianPackages(PACKAGES)
  const folder = mkdtempSync(join(tmpdir(), 'gatebook-bench-'))
  await using server = await startServer({ witness: false })
  await using bench = new Bench(folder, server)
  const direct = { name: 'direct', port: server.port, user: 'app', password: 'app secret' }
  const systems: System[] = [direct, await bench.haproxy()]
  for (const mode of ['relaxed', 'standard']) systems.push(await bench.gateway(mode))
  await prepareTable(direct)
  await measureSelects(options, systems)
  await measureBulk(options, systems)
}

const rivals = (system: string): readonly string[] => (system === 'direct' ? [] : ['haproxy', 'direct'])

async function measureSelects(options: SuiteOptions, systems: readonly System[]): Promise<void> {
  const seconds = options.quick ? 3 : 6
  for (const protocol of ['prepared', 'text'] as const) {
    for (const clients of CLIENTS) {
      const run = async (system: System): Promise<Round> => {
        const before = timesOf(system)
        const round = await runSysbench(system, { protocol, clients, seconds })
        const transactions = round['tps'] ?? 0
        const spent = timesOf(system) - before
        return system.pid === undefined ? round : { ...round, 'cpu us/tx': spent / (transactions * seconds) }
      }
      const measured = await takeTurns(options, systems, run)
      tell(options, { suite: 'mysql', workload: `select-${protocol}`, clients }, measured, rivals)
    }
  }
}

/** A gigabyte in rows of a kilobyte, and in rows of a few bytes. */
async function measureBulk(options: SuiteOptions, systems: readonly System[]): Promise<void> {
  const gigabyte = options.quick ? 2e8 : 1e9
  const workloads = [
    ['result', `select repeat('x', ${ROW_BYTES}) from seq_1_to_${gigabyte / ROW_BYTES}`],
    ['small-rows', `select seq from seq_1_to_${gigabyte / 100}`],
  ] as const
  for (const [workload, sql] of workloads) {
    const run = async (system: System): Promise<Round> => {
      const { name: _, pid, ...login } = system
      if (pid !== undefined) forgetPeak({ ...system, pid })
      const before = pid === undefined ? 0 : memoryOf(system).now
      const { 'MB/s': speed = 0 } = await runChild(DRAIN, { ...login, sql })
      return pid === undefined
        ? { 'MB/s': speed }
        : { 'MB/s': speed, 'peak growth MB': (memoryOf(system).peak - before) / 1e6 }
    }
    const measured = await takeTurns(options, systems, run)
    tell(options, { suite: 'mysql', workload, clients: 1 }, measured, rivals)
  }
}

function timesOf({ pid }: System): number {
  if (pid === undefined) return 0
  const { gate, recorder, others } = threadTimes(pid)
  return gate + recorder + others
}

/** What stands before the server, each a process of its own. */
class Bench implements AsyncDisposable {
  readonly #folder: string
  readonly #server: Server
  readonly #running: ChildProcess[] = []

  constructor(folder: string, server: Server) {
    this.#folder = folder
    this.#server = server
  }

  async haproxy(): Promise<System> {
    const port = await freePort()
    const config = join(this.#folder, 'haproxy.cfg')
    const lines = [
      ...['global', '  nbthread 1', 'defaults', '  mode tcp', '  timeout connect 10s'],
      ...['  timeout client 1h', '  timeout server 1h', 'listen mysql', `  bind 127.0.0.1:${port}`],
      `  server one 127.0.0.1:${this.#server.port}`,
    ]
    writeFileSync(config, `${lines.join('\n')}\n`)
    const pid = await this.#run('haproxy', '/usr/sbin/haproxy', ['-db', '-f', config], port)
    return { name: 'haproxy', port, user: 'app', password: 'app secret', pid }
  }

  async gateway(durability: string): Promise<System> {
    const port = await freePort()
    const own = join(this.#folder, durability)
    mkdirSync(own)
    const { command, token } = installGateway(own, port, this.#server.port, durability)
    const pid = await this.#run(durability, process.execPath, command, port)
    return { name: `gateway-${durability}`, port, user: 'alice', password: token, pid }
  }

  async #run(name: string, command: string, args: readonly string[], port: number): Promise<number> {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#running.push(child)
    await answering(child, port, name)
    return child.pid ?? 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#running) {
      if (child.exitCode !== null) continue
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
