import { exitCodeOf } from '../../src/cli/exit.ts'
import type { Io } from '../../src/cli/io.ts'

/** Keeps what a command writes. */
export function captureIo(): { readonly io: Io; readonly out: () => string; readonly err: () => string } {
  const out: string[] = []
  const err: string[] = []
  return {
    io: { stdout: { write: (text) => out.push(text) }, stderr: { write: (text) => err.push(text) } },
    out: () => out.join(''),
    err: () => err.join(''),
  }
}

/** The same for commands that write in pieces: `stdout` and `stderr` themselves, and what they were told. */
export function collectingIo(): Io & { readonly out: () => string; readonly err: () => string } {
  const { io, out, err } = captureIo()
  return { ...io, out, err }
}

/** What a command ends with, and says then, where it throws too. */
export function exitOf(running: Promise<number>, { stderr }: Io): Promise<number> {
  return running.catch((error: unknown) => exitCodeOf(error, stderr))
}
