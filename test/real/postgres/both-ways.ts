/** The same program run twice against one database: past the gateway and through it. What it prints must be the same. */
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { startEmbeddedPostgres } from '../../../src/cli/demo/postgres.ts'
import { PASSWORD, TestGateway } from '../../support/gateway.ts'
import type { BookReader, ReadBook, Session } from '../../support/gateway-book.ts'
import { openShop } from '../../support/gateway-shop.ts'
import { SERVER_PASSWORD, startServer } from '../../support/postgres-server.ts'

const LOOK_EVERY_MS = 50
const PRESS_EVERY_MS = 5000

/** How a program reaches the shop's database as the superuser. */
export interface Way {
  readonly port: number
  readonly user: string
  readonly password: string
}

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Program {
  readonly command: string
  readonly args?: readonly string[]
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  /** Looked at again and again, with what was printed so far; from then on ^C is pressed, until it ends. */
  readonly interruptWhen?: (told: string) => boolean | Promise<boolean>
}

/** As a server in use has them: this witness need not log each step. */
const QUIET = { log_min_messages: 'warning', log_statement: 'none', max_connections: '100' }

export class BothWays implements AsyncDisposable {
  readonly direct: Way
  readonly through: Way
  readonly gateway: TestGateway
  readonly #server: AsyncDisposable
  #reader: BookReader | undefined

  private constructor(server: AsyncDisposable, port: number, gateway: TestGateway) {
    this.#server = server
    this.gateway = gateway
    this.direct = { port, user: 'postgres', password: SERVER_PASSWORD }
    this.through = { port: gateway.port(), user: 'alice~admin', password: PASSWORD }
  }

  static async start(release: 15 | 18): Promise<BothWays> {
    const server =
      release === 15
        ? await startServer({ settings: QUIET })
        : Object.assign(await startEmbeddedPostgres(SERVER_PASSWORD), { password: SERVER_PASSWORD })
    const changes = [['max_statement: 1MiB', 'max_statement: 16MiB']] as const
    const gateway = await TestGateway.start({ ...(await openShop(server)), changes })
    return new BothWays(server, server.port, gateway)
  }

  /** Runs it past the gateway, then through it. */
  async run(program: Program): Promise<{ readonly direct: Ran; readonly through: Ran }> {
    return { direct: await run(program, this.direct), through: await run(program, this.through) }
  }

  /** What came through since the last call, once all of it has ended; in the order of its coming. */
  async endedSessions(): Promise<readonly Session[]> {
    this.#reader ??= this.gateway.openBook()
    const isOver = ({ sessions }: ReadBook): boolean =>
      sessions.length > 0 && sessions.every(({ why }) => why !== undefined)
    const { sessions } = await this.gateway.readWhen(isOver, this.#reader)
    this.#reader.forget()
    return sessions
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#reader?.[Symbol.dispose]()
    await this.gateway[Symbol.asyncDispose]()
    await this.#server[Symbol.asyncDispose]()
  }
}

export function run(program: Program, { port, user, password }: Way): Promise<Ran> {
  const { command, args = [], input = '', env = {}, interruptWhen } = program
  const child = spawn(command, args, {
    env: {
      ...process.env,
      ...{ LC_ALL: 'C.UTF-8', TZ: 'UTC', PSQLRC: '/dev/null', PGCONNECT_TIMEOUT: '20' },
      ...{
        PGHOST: '127.0.0.1',
        PGPORT: String(port),
        PGUSER: user,
        PGPASSWORD: password,
        PGDATABASE: 'shop',
      },
      ...env,
    },
    // Without a terminal of its own nothing can be asked there: it is asked on standard input.
    detached: true,
  })
  const told = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      told[stream] += text
    })
  }
  // A program that ends before it has read all is known by its exit.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const closed = new Promise<Ran>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, ...told }))
  })
  if (interruptWhen === undefined) return closed
  return interrupt(child, () => interruptWhen(told.stdout)).then(() => closed)
}

async function interrupt(child: ChildProcess, isTime: () => boolean | Promise<boolean>): Promise<void> {
  while (child.exitCode === null && !(await isTime())) await sleep(LOOK_EVERY_MS)
  while (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGINT')
    await sleep(PRESS_EVERY_MS)
  }
}

/** The file of a client in another language. */
export function clientFile(name: string): string {
  return new URL(`./clients/${name}`, import.meta.url).pathname
}
