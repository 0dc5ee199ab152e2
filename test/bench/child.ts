/** Measurements run in processes of their own: no heap, no compiled code and no open file of one touches another. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Round } from './figures.ts'

/** Runs `file` under this Node with `job` as its argument; it prints its metrics as one line of JSON. */
export async function runChild(file: URL, job: unknown, flags: readonly string[] = []): Promise<Round> {
  const child = spawn(process.execPath, [...flags, file.pathname, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const printed: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => printed.push(chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`${file.pathname} ended with ${code} at ${JSON.stringify(job)}`)
  return JSON.parse(Buffer.concat(printed).toString()) as Round
}

export function report(metrics: Round): void {
  process.stdout.write(JSON.stringify(metrics))
}
