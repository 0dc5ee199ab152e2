/**
 * A light client, in a process of its own: `node drain.ts '<job as JSON>'`. It logs in as a driver does, then moves
 * bytes and looks at no more of them than where an answer ends.
 */
import type { Socket } from 'node:net'
import pg from 'pg'
import { report } from '../child.ts'
import { PASSWORD } from './installation.ts'

export type Job = { readonly port: number; readonly user: string; readonly tls?: boolean } & (
  | { readonly type: 'query'; readonly sql: string; readonly times: number }
  /** `sql` with a literal of `bytes` for $. */
  | { readonly type: 'long'; readonly sql: string; readonly bytes: number; readonly times: number }
  | { readonly type: 'copy-in'; readonly sql: string; readonly bytes: number }
)

const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])
/** CopyInResponse for a table of one column, in text. */
const COPY_IN = Buffer.from([0x47, 0, 0, 0, 9, 0, 0, 1, 0, 0])
const LINE = 8 << 10
const LINES = 8

const job = JSON.parse(process.argv[2] ?? '') as Job
const client = new pg.Client({
  host: '127.0.0.1',
  port: job.port,
  user: job.user,
  password: PASSWORD,
  database: 'postgres',
  ssl: job.tls === true ? { rejectUnauthorized: false } : false,
})
// From here on the connection is ours, and what its end looks like to the driver is of no interest.
client.on('error', () => {})
await client.connect()
const socket = (client as unknown as { connection: { stream: Socket } }).connection.stream
socket.removeAllListeners('data')
const start = performance.now()
const bytes = await run()
const seconds = (performance.now() - start) / 1000
socket.destroy()
report({ 'MB/s': bytes / 1e6 / seconds, bytes })

async function run(): Promise<number> {
  if (job.type === 'copy-in') return copyIn(job.sql, job.bytes)
  const sql = job.type === 'query' ? job.sql : job.sql.replace('$', () => `'${'x'.repeat(job.bytes)}'`)
  const request = query(sql)
  let moved = 0
  for (let k = 0; k < job.times; k++) {
    const answer = answered()
    socket.write(request)
    moved += (await answer) + request.length
  }
  return moved
}

async function copyIn(sql: string, wanted: number): Promise<number> {
  const agreed = answered(COPY_IN)
  socket.write(query(sql))
  await agreed
  const line = Buffer.alloc(5 + LINE, 'x')
  line.write('d', 0)
  line.writeUInt32BE(4 + LINE, 1)
  line.write('\n', line.length - 1)
  const lines = Buffer.concat(Array.from({ length: LINES }, () => line))
  let moved = 0
  for (; moved < wanted; moved += lines.length) {
    if (!socket.write(lines)) await new Promise((resolve) => socket.once('drain', resolve))
  }
  const answer = answered()
  socket.write(Buffer.from([0x63, 0, 0, 0, 4]))
  await answer
  return moved
}

/** Resolves with the bytes of the answer, up to ReadyForQuery or to what is told. */
function answered(end: Buffer = READY): Promise<number> {
  return new Promise((resolve, reject) => {
    let length = 0
    let tail: Buffer = Buffer.alloc(0)
    const look = (chunk: Buffer): void => {
      length += chunk.length
      tail = chunk.length >= end.length ? chunk : Buffer.concat([tail, chunk])
      if (!tail.subarray(-end.length).equals(end)) return
      socket.off('data', look)
      if (tail.includes('SERROR\0')) reject(new Error(tail.toString('latin1')))
      else resolve(length)
    }
    socket.on('data', look)
    socket.resume()
  })
}

function query(sql: string): Buffer {
  const text = Buffer.from(`Q\0\0\0\0${sql}\0`, 'latin1')
  text.writeUInt32BE(text.length - 1, 1)
  return text
}
