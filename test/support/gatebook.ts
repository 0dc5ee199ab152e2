/** `gatebook` as a process of its own, which goes on until it is interrupted. */
import { spawn } from 'node:child_process'
import { resolve } from 'node:path'

export const MAIN = resolve(import.meta.dirname, '../../src/main.ts')

export interface RunningCommand extends Disposable {
  /** All that it has written to standard output so far. */
  out(): string
  err(): string
  /** ^C; its exit code. */
  interrupted(): Promise<number | null>
}

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
