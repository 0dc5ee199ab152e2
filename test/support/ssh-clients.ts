/** Runs real clients and collects what they say. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'

export interface Outcome {
  readonly code: number | null
  readonly out: Buffer
  readonly err: string
}

export interface RunOptions {
  /** Standard input; none at all when it is left out. */
  readonly input?: string | Uint8Array
  readonly env?: Record<string, string>
  readonly timeoutMs?: number
}

export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { input, env, timeoutMs = 20_000 } = options
  const child = spawn(program, args, {
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout?.on('data', (bytes) => out.push(bytes))
  child.stderr?.on('data', (bytes) => err.push(bytes))
  // A program that does not read its input is no failure of the test's.
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(input)
  const timer = setTimeout(() => child.kill(), timeoutMs)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ code, out: Buffer.concat(out), err: Buffer.concat(err).toString() })
    })
  })
}

/** A person at a keyboard: waits until something is shown, then types the next. */
export function converse(
  program: string,
  args: readonly string[],
  turns: readonly (readonly [shown: RegExp, typed: string])[],
  timeoutMs = 20_000,
): Promise<Outcome> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const out: Buffer[] = []
  const err: Buffer[] = []
  const left = [...turns]
  let unread = ''
  child.stdin.on('error', () => undefined)
  child.stdout.on('data', (bytes: Buffer) => {
    out.push(bytes)
    unread += bytes.toString()
    const [next] = left
    if (next === undefined || !next[0].test(unread)) return
    unread = ''
    left.shift()
    child.stdin.write(next[1])
  })
  child.stderr.on('data', (bytes) => err.push(bytes))
  const timer = setTimeout(() => child.kill(), timeoutMs)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ code, out: Buffer.concat(out), err: Buffer.concat(err).toString() })
    })
  })
}

/** Runs until it is stopped. */
export function background(program: string, args: readonly string[]): { stop(): Promise<void> } {
  const child = spawn(program, args, { stdio: 'ignore' })
  const ended = new Promise<void>((resolve) => void child.on('close', () => resolve()))
  return {
    stop: () => {
      child.kill()
      return ended
    },
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** OpenSSH's options that make it take a server on this port, as whoever has this key. */
export function opensshOptions(port: number, key: string): readonly string[] {
  return [
    ...['-F', 'none', '-o', `Port=${port}`, '-i', key, '-o', 'IdentitiesOnly=yes', '-o', 'LogLevel=ERROR'],
    ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'ConnectTimeout=10'],
  ]
}

/** A client that runs while a test looks on and types. */
export interface Client {
  /** Resolves when this has been shown, at the latest after 20 seconds. */
  shows(text: string): Promise<void>
  type(text: string): void
  /** Nothing more is typed. */
  end(): void
  readonly hasEnded: boolean
  readonly ended: Promise<Outcome>
}

export function start(program: string, args: readonly string[]): Client {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  const out: Buffer[] = []
  let err = ''
  let hasEnded = false
  child.stdout.on('data', (bytes) => out.push(bytes))
  child.stderr.on('data', (bytes) => {
    err += bytes
  })
  child.stdin.on('error', () => undefined)
  const ended = new Promise<Outcome>((resolve) => {
    child.on('close', (code) => {
      hasEnded = true
      resolve({ code, out: Buffer.concat(out), err })
    })
  })
  return {
    async shows(text) {
      for (let look = 0; look < 1000 && !hasEnded; look++) {
        if (Buffer.concat(out).includes(text)) return
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      throw new Error(`never shown: ${text}`)
    },
    type: (text) => void child.stdin.write(text),
    end: () => void child.stdin.end(),
    get hasEnded() {
      return hasEnded
    },
    ended,
  }
}
