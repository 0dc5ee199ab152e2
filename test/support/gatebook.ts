/** `gatebook` as somebody runs it: as a process of its own, and in this one, which is quicker. */
import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { vi } from 'vitest'
import { program } from '../../src/cli/commands.ts'
import { exitCodeOf } from '../../src/cli/exit.ts'
import type { Outcome } from './ssh-clients.ts'

export const MAIN = resolve(import.meta.dirname, '../../src/main.ts')

export interface RunningCommand extends Disposable {
  /** All that it has written to standard output so far. */
  out(): string
  err(): string
  /** ^C; its exit code. */
  interrupted(): Promise<number | null>
}

/** A process that goes on until it is interrupted. */
export function startCommand(args: readonly string[], env: Record<string, string> = {}): RunningCommand {
  const child = spawn('node', [MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
  })
  const ended = new Promise<number | null>((done) => child.once('close', done))
  return {
    out: () => out,
    err: () => err,
    interrupted: () => {
      child.kill('SIGINT')
      return ended
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}

/** A command without a process of its own, which takes its time. */
export async function commandWithin(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Outcome> {
  const out: Buffer[] = []
  const err: string[] = []
  const stdout = { write: (text: string | Uint8Array) => out.push(Buffer.from(text)) }
  const stderr = { write: (text: string) => err.push(text) }
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  let exit: Promise<number> = Promise.resolve(0)
  program({ stdout, stderr }, (running) => {
    exit = running
  }).parse(args, { from: 'user' })
  const code = await exit.catch((error: unknown) => exitCodeOf(error, stderr))
  vi.unstubAllEnvs()
  return { code, out: Buffer.concat(out), err: err.join('') }
}
