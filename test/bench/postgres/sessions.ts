/** `postgres.sessions`: what sessions cost that mostly wait: memory of each, and CPU of the process that holds them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Round } from '../figures.ts'
import { type Place, takeTurns, tell } from './rounds.ts'
import type { Job } from './sitters.ts'
import { collectGarbage, memoryOf, type System, type SystemName, timesOf } from './systems.ts'

const SITTERS = new URL('./sitters.ts', import.meta.url).pathname
/** There already when counting begins: the engine has compiled, and what the heap had free is taken. */
const FIRST_SESSIONS = 250
const SESSIONS = 800
const IDLE_MS = 4000
const ACTIVE_SECONDS = 5

export async function measureSessions(place: Place): Promise<void> {
  const { bench } = place
  for (const tls of [false, true]) {
    const names: readonly SystemName[] = ['haproxy', 'pgbouncer', 'gateway-standard']
    // Each round begins with a fresh process: what one has taken once it does not give back.
    const run = async ({ name }: System): Promise<Round> => {
      const system = await bench.start(name as SystemName, { tlsToServer: tls, collects: true })
      try {
        return await sit(system, {
          port: system.port,
          user: system.user,
          sessions: SESSIONS,
          seconds: ACTIVE_SECONDS,
          tls,
        })
      } finally {
        await bench.stop(system)
      }
    }
    const systems = names.map((name) => ({ name, port: 0, user: '' }))
    const measured = await takeTurns(place, systems, run)
    tell(place, { suite: 'postgres', workload: tls ? 'idle-tls' : 'idle', clients: SESSIONS }, measured)
  }
}

async function sit(system: System, job: Job): Promise<Round> {
  const before = memoryOf(system).now
  const first = await Sitters.open({ ...job, sessions: FIRST_SESSIONS })
  await collectGarbage(system)
  const rest = memoryOf(system).now
  const sitters = await Sitters.open(job)
  await collectGarbage(system)
  const { now } = memoryOf(system)
  const idle = spent(system)
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS))
  const idled = spent(system) - idle
  const active = spent(system)
  await sitters.ask()
  const asked = spent(system) - active
  await sitters.leave()
  await first.leave()
  return {
    'RSS at start MB': before / 1e6,
    'KB/session': (now - rest) / job.sessions / 1000,
    'idle cpu us/session/s': idled / job.sessions / (IDLE_MS / 1000),
    'cpu us/statement': asked / job.sessions,
  }
}

function spent(system: System): number {
  const times = timesOf(system)
  return times === undefined ? 0 : times.gate + times.recorder + times.reading + times.others
}

/** The process of the clients. */
class Sitters {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess, lines: AsyncIterator<string>) {
    this.#child = child
    this.#lines = lines
  }

  static async open(job: Job): Promise<Sitters> {
    const child = spawn(process.execPath, [SITTERS, JSON.stringify(job)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const sitters = new Sitters(child, lines)
    await sitters.#said('open')
    return sitters
  }

  async ask(): Promise<void> {
    this.#child.stdin?.write('ask\n')
    await this.#said('asked')
  }

  async leave(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.stdin?.write('leave\n')
    await ended
  }

  async #said(wanted: string): Promise<void> {
    const { value } = await this.#lines.next()
    if (value !== wanted) throw new Error(`the clients ended before they said ${wanted}`)
  }
}
