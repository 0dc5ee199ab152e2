/** Other processes of ours: a script of the tests, run by the Node that runs them. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { onTestFinished } from 'vitest'

export interface Child {
  readonly process: ChildProcess
  /** All that it has printed so far, line by line; an unfinished line is not among them. */
  readonly lines: string[]
  readonly errors: () => string
  /** Resolves at a line that `accepts`, rejects when the process ends before. */
  line(accepts: (line: string) => boolean): Promise<string>
  /** Resolves when it has ended and all that it printed has been read. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** Runs `test/faults/children/<name>.ts`, behind `wrapper` where one is given; ended with the test. */
export function startChild(name: string, args: readonly string[], wrapper: readonly string[] = []): Child {
  const script = new URL(`../faults/children/${name}.ts`, import.meta.url).pathname
  const [command = '', ...rest] = [...wrapper, process.execPath, script, ...args]
  const child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'pipe'] })
  const lines: string[] = []
  const waiting = new Set<() => void>()
  let unfinished = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (unfinished + text).split('\n')
    unfinished = parts.pop() ?? ''
    lines.push(...parts)
    for (const look of waiting) look()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('close', (code, signal) => {
      resolve({ code, signal })
      for (const look of waiting) look()
    })
  })
  onTestFinished(() => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  })
  const line = (accepts: (line: string) => boolean): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = lines.find(accepts)
        const isOver = child.exitCode !== null || child.signalCode !== null
        if (found === undefined && !isOver) return
        waiting.delete(look)
        if (found !== undefined) resolve(found)
        else reject(new Error(`${name} ended before that line:\n${lines.slice(-5).join('\n')}\n${errors}`))
      }
      waiting.add(look)
      look()
    })
  return { process: child, lines, errors: () => errors, line, ended }
}

/** Runs it to its end. */
export function runChild(
  name: string,
  args: readonly string[],
  wrapper: readonly string[] = [],
): { status: number | null; stdout: string; stderr: string } {
  const script = new URL(`../faults/children/${name}.ts`, import.meta.url).pathname
  const [command = '', ...rest] = [...wrapper, process.execPath, script, ...args]
  const { status, stdout, stderr } = spawnSync(command, rest, { encoding: 'utf8', maxBuffer: 64 << 20 })
  return { status, stdout, stderr }
}
