/**
 * Sessions that mostly wait, in a process of their own: `node sitters.ts '<job as JSON>'`. Says `open` when all of
 * them are, then does what it is told on its standard input, line by line: `ask` lets each of them run one statement
 * within the job's seconds, `leave` ends.
 */
import { createInterface } from 'node:readline'
import pg from 'pg'
import { PASSWORD } from './installation.ts'

export interface Job {
  readonly port: number
  readonly user: string
  readonly sessions: number
  readonly seconds: number
  readonly tls: boolean
}

/** Logins at once. */
const AT_ONCE = 8

const job = JSON.parse(process.argv[2] ?? '') as Job
const clients: pg.Client[] = []
await Promise.all(Array.from({ length: AT_ONCE }, () => openSome()))
process.stdout.write('open\n')
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'leave') break
  await Promise.all(clients.map((client, k) => ask(client, k)))
  process.stdout.write('asked\n')
}
await Promise.all(clients.map((client) => client.end()))
process.stdin.destroy()

async function openSome(): Promise<void> {
  while (clients.length < job.sessions) {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: job.port,
      user: job.user,
      password: PASSWORD,
      database: 'postgres',
      ssl: job.tls ? { rejectUnauthorized: false } : false,
    })
    clients.push(client)
    await client.connect()
  }
}

async function ask(client: pg.Client, k: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, (k / clients.length) * job.seconds * 1000))
  await client.query('SELECT 1')
}
