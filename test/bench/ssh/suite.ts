/** `npm run bench -- ssh`: what the way through the gateway costs, beside OpenSSH without it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureDebianPackages } from '../../support/debian.ts'
import type { SuiteOptions } from '../book/suite.ts'
import { type Compared, compare, quantile, type Round } from '../figures.ts'
import { type Bench, cpuMicros, flagsOf, openBench, type System } from './systems.ts'

const MIB = 2 ** 20
const KEYS = 300
const KEY_PAUSE_MS = 4
const LOGINS = 8
const IDLE_SESSIONS = 100
const WARM_UP_SESSIONS = 50
const SETTLE_MS = 3000

interface Workload {
  readonly name: string
  readonly clients: number
  readonly rounds: number
  readonly run: (bench: Bench, system: System, quick: boolean) => Promise<Round>
}

const WORKLOADS: readonly Workload[] = [
  // First: what a process has grown to by other work would hold what these need.
  { name: 'idle shells', clients: IDLE_SESSIONS, rounds: 1, run: idle },
  {
    name: 'sftp get',
    clients: 1,
    rounds: 3,
    run: (bench, system, quick) => copy(bench, system, 'get', quick),
  },
  {
    name: 'sftp put',
    clients: 1,
    rounds: 3,
    run: (bench, system, quick) => copy(bench, system, 'put', quick),
  },
  { name: 'output of a command', clients: 1, rounds: 3, run: output },
  { name: 'a key and its echo', clients: 1, rounds: 3, run: echo },
  { name: 'ssh host true', clients: 1, rounds: 3, run: login },
]

export async function runSsh({ quick, print }: SuiteOptions): Promise<void> {
  ensureDebianPackages(['openssh-client', 'openssh-server'])
  const folder = mkdtempSync(join(tmpdir(), 'gatebook-bench-'))
  try {
    await using bench = await openBench(folder)
    writeRandom(join(bench.sshd.folder, 'source'), sizeOf(quick))
    for (const { name, clients, rounds, run } of WORKLOADS) {
      const measured = bench.systems.map((system) => ({ system, rounds: [] as Round[] }))
      for (let round = 0; round < (quick ? 1 : rounds); round++) {
        for (const one of measured) one.rounds.push(await run(bench, one.system, quick))
      }
      const [direct, ...others] = measured.map((one) => ({ system: one.system.name, rounds: one.rounds }))
      if (direct === undefined) continue
      const facts = { suite: 'ssh', workload: name, clients }
      for (const figure of compare(facts, direct)) print(figure)
      for (const other of others) {
        for (const figure of compare(facts, other, [direct])) print(figure)
        for (const figure of compare(facts, added(other, direct))) print(figure)
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What the way through adds to each latency. */
function added(other: Compared, direct: Compared): Compared {
  const rounds = other.rounds.map((round, k) => {
    const latencies = Object.entries(round).filter(([metric]) => / (us|ms)$/.test(metric))
    return Object.fromEntries(
      latencies.map(([metric, value]) => [
        `${metric} added`,
        value - (direct.rounds[k]?.[metric] ?? Number.NaN),
      ]),
    )
  })
  return { system: other.system, rounds }
}

/** What is recorded of it passes through the disk: more than this measures that. */
function sizeOf(quick: boolean): number {
  return (quick ? 128 : 1024) * MIB
}

/** Nothing that compresses: the book would gain by it. */
function writeRandom(path: string, size: number): void {
  const file = openSync(path, 'w')
  for (let at = 0; at < size; at += 8 * MIB) writeSync(file, randomBytes(8 * MIB))
  closeSync(file)
}

async function copy({ sshd }: Bench, system: System, way: 'get' | 'put', quick: boolean): Promise<Round> {
  const here = join(sshd.folder, 'source')
  const batch = way === 'get' ? `get ${here} /dev/null\n` : `put ${here} ${sshd.folder}/copy\n`
  return measureBytes(system, sizeOf(quick), () =>
    ends('sftp', [...flagsOf(system), '-q', '-b', '-', `${system.user}@127.0.0.1`], batch),
  )
}

async function output({ sshd }: Bench, system: System, quick: boolean): Promise<Round> {
  const size = Math.min(sizeOf(quick), 256 * MIB)
  const command = `head -c ${size} ${sshd.folder}/source`
  return measureBytes(system, size, () =>
    ends('ssh', [...flagsOf(system), `${system.user}@127.0.0.1`, command]),
  )
}

async function measureBytes(system: System, size: number, run: () => Promise<void>): Promise<Round> {
  const cpu = cpuMicros(system.pid)
  const start = performance.now()
  await run()
  const seconds = (performance.now() - start) / 1000
  const megabytes = size / 1e6
  const spent = (cpuMicros(system.pid) - cpu) / 1000 / megabytes
  return { 'MB/s': megabytes / seconds, ...(Number.isNaN(spent) ? {} : { 'CPU ms/MB, all threads': spent }) }
}

/** A terminal at the host echoes by itself: the way there and back, and nothing else. */
async function echo(_: Bench, system: System): Promise<Round> {
  const client = spawn('ssh', ['-tt', ...flagsOf(system), `${system.user}@127.0.0.1`, 'echo ready; exec cat'])
  const latencies: number[] = []
  await said(client, 'ready')
  for (let key = 0; key < KEYS; key++) {
    await new Promise((resolve) => setTimeout(resolve, KEY_PAUSE_MS))
    const start = performance.now()
    const heard = new Promise((resolve) => client.stdout.once('data', resolve))
    client.stdin.write('x')
    await heard
    latencies.push(performance.now() - start)
  }
  client.stdin.end('\u{4}\u{4}')
  await closed(client)
  return { 'p50 us': quantile(latencies, 0.5) * 1000, 'p99 us': quantile(latencies, 0.99) * 1000 }
}

async function login(_: Bench, system: System): Promise<Round> {
  const times: number[] = []
  for (let i = 0; i < LOGINS; i++) {
    const start = performance.now()
    await ends('ssh', [...flagsOf(system), `${system.user}@127.0.0.1`, 'true'])
    times.push(performance.now() - start)
  }
  return { 'p50 ms': quantile(times, 0.5) }
}

/** Of the gateway what its process grows by; of sshd what its processes have to themselves. */
async function idle({ sshd }: Bench, system: System): Promise<Round> {
  // What the first sessions make the process compile, load and reserve is nobody's.
  await leave(await sit(system, WARM_UP_SESSIONS))
  await settle()
  const before = system.pid === undefined ? 0 : residentKiB(system.pid)
  const clients = await sit(system, IDLE_SESSIONS)
  await settle()
  const after = system.pid === undefined ? sshdKiB(sshd.port) : residentKiB(system.pid)
  await leave(clients)
  return { 'KiB/session': (after - before) / IDLE_SESSIONS }
}

const settle = () => new Promise((resolve) => setTimeout(resolve, SETTLE_MS))

async function sit(system: System, count: number): Promise<readonly ChildProcess[]> {
  const clients: ChildProcess[] = []
  for (let i = 0; i < count; i++) {
    const command = ['-tt', ...flagsOf(system), `${system.user}@127.0.0.1`, 'echo ready; exec cat']
    const client = spawn('ssh', command)
    clients.push(client)
    await said(client, 'ready')
  }
  return clients
}

async function leave(clients: readonly ChildProcess[]): Promise<void> {
  for (const client of clients) client.kill()
  await Promise.all(clients.map(closed))
}

function residentKiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

/** The processes of sshd's that serve connections, told by their name; what they share is counted once. */
function sshdKiB(port: number): number {
  let sum = 0
  for (const entry of readdirSync('/proc')) {
    try {
      if (!readFileSync(`/proc/${entry}/cmdline`, 'latin1').startsWith('sshd: ')) continue
      sum += Number(/Pss:\s+(\d+)/.exec(readFileSync(`/proc/${entry}/smaps_rollup`, 'latin1'))?.[1])
    } catch {
      // Not a process, or one that has just ended.
    }
  }
  if (sum === 0) throw new Error(`no process of the sshd at ${port} is seen`)
  return sum
}

function said(client: ChildProcess, word: string): Promise<void> {
  let text = ''
  return new Promise((resolve, reject) => {
    const look = (bytes: Buffer): void => {
      text += bytes
      if (!text.includes(word)) return
      client.stdout?.off('data', look)
      // What follows the word is not the next answer.
      setTimeout(resolve, 50)
    }
    client.stdout?.on('data', look)
    client.once('exit', () => reject(new Error('the client has ended')))
  })
}

function closed(client: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (client.exitCode !== null || client.signalCode !== null) resolve()
    else client.once('exit', () => resolve())
  })
}

function ends(program: string, args: readonly string[], input = ''): Promise<void> {
  const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'inherit'] })
  child.stdin.end(input)
  return new Promise((resolve, reject) => {
    child.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`${program} ended with ${code}`)),
    )
  })
}
