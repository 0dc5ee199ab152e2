/** A light client, in a process of its own: `node drain.ts '<job as JSON>'`. It reads a result and looks at headers alone. */
import { packet } from '../../support/mysql-play.ts'
import { FLAGS, RawMysql } from '../../support/mysql-raw.ts'
import { report } from '../child.ts'

export interface Job {
  readonly port: number
  readonly user: string
  readonly password: string
  readonly sql: string
}

const HEADER = 4

const { sql, ...login } = JSON.parse(process.argv[2] ?? '') as Job
const raw = await RawMysql.logIn({ ...login, database: 'shop', flags: FLAGS.DEPRECATE_EOF })
const start = performance.now()
const bytes = await drained()
const seconds = (performance.now() - start) / 1000
raw.destroy()
report({ 'MB/s': bytes / 1e6 / seconds, bytes })

/** Up to the OK that stands for an EOF; no row here begins with its first byte. */
function drained(): Promise<number> {
  return new Promise((resolve, reject) => {
    let moved = 0
    /** Where the next packet begins, counted from the first byte of this chunk. */
    let next = 0
    let carried: Buffer = Buffer.alloc(0)
    raw.socket.removeAllListeners('data')
    raw.socket.on('data', (chunk: Buffer) => {
      moved += chunk.length
      const bytes = carried.length === 0 ? chunk : Buffer.concat([carried, chunk])
      while (next + HEADER < bytes.length) {
        const first = bytes[next + HEADER]
        if (first === 0xff) reject(new Error(bytes.toString('latin1', next + HEADER)))
        if (first === 0xfe && bytes.readUIntLE(next, 3) < 100) resolve(moved)
        next += HEADER + bytes.readUIntLE(next, 3)
      }
      carried = next < bytes.length ? bytes.subarray(next) : Buffer.alloc(0)
      next = Math.max(0, next - bytes.length)
    })
    raw.socket.once('close', () => reject(new Error('closed in the middle of a result')))
    raw.send(packet(0, 3, sql))
  })
}
