/**
 * Which session a CancelRequest means. The process id is the target's real one and may occur twice; the secret is
 * ours, random and told to one client alone: so a request reaches its sender's own session or nobody's.
 */
import { sameBytes } from '../../protocols/bytes.ts'
import { Lockout, type LockoutRules } from '../access/lockout.ts'
import type { Clock } from '../system/clock.ts'

/** Secrets of protocol 3.0 have 32 bits: nobody gets far through them at this rate, and no other address is held up. */
const GUESSES: LockoutRules = { failures: 16, window: 60_000, for: 60_000 }

export interface CancelAttempt {
  readonly pid: number
  readonly secret: Uint8Array
  readonly address: string
}

interface Entry {
  readonly secret: Uint8Array
  readonly cancel: () => Promise<void>
  running: Promise<void> | undefined
  /** Begins when `running` has ended, and so does for everybody who asks until then. */
  next: Promise<void> | undefined
}

export class Cancels {
  readonly #byPid = new Map<number, Set<Entry>>()
  readonly #guesses: Lockout

  constructor(clock: Clock) {
    this.#guesses = new Lockout(clock)
  }

  /** The returned function takes the session out again. */
  enter(pid: number, secret: Uint8Array, cancel: () => Promise<void>): () => void {
    const entry: Entry = { secret, cancel, running: undefined, next: undefined }
    const entries = this.#byPid.get(pid) ?? new Set()
    this.#byPid.set(pid, entries.add(entry))
    return () => {
      entries.delete(entry)
      if (entries.size === 0) this.#byPid.delete(pid)
    }
  }

  /** Resolves when the target has taken it: false where the secret was nobody's, or too many were guessed before. */
  async request({ pid, secret, address }: CancelAttempt): Promise<boolean> {
    const name = String(pid)
    let found: Entry | undefined
    for (const entry of this.#byPid.get(pid) ?? []) if (sameBytes(entry.secret, secret)) found = entry
    if (found === undefined) this.#guesses.failed(name, address, GUESSES)
    if (found === undefined || this.#guesses.isLocked(name, address)) return false
    await runOnce(found)
    return true
  }
}

/** However many ask: one at the target, and one behind it for what has begun to run meanwhile. */
function runOnce(entry: Entry): Promise<void> {
  if (entry.next !== undefined) return entry.next
  const run = async (before: Promise<void> | undefined): Promise<void> => {
    await before
    entry.next = undefined
    entry.running = entry.cancel().finally(() => {
      entry.running = undefined
    })
    return entry.running
  }
  if (entry.running === undefined) return run(undefined)
  entry.next = run(entry.running)
  return entry.next
}
