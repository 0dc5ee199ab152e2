import { PassThrough } from 'node:stream'

/** Where a command writes, and what it has written. */
export function collectingIo(): {
  readonly stdout: PassThrough
  readonly stderr: PassThrough
  readonly out: () => string
  readonly err: () => string
} {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  return { stdout, stderr, out: () => String(stdout.read() ?? ''), err: () => String(stderr.read() ?? '') }
}
