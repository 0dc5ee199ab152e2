/**
 * Which session a CancelRequest means. The process id is the target's real one and may occur twice; the secret is
 * ours, random and told to one client alone: so a request reaches its sender's own session or nobody's.
 */
import { sameBytes } from '../../protocols/bytes.ts'

interface Entry {
  readonly secret: Uint8Array
  readonly cancel: () => void
}

export class Cancels {
  readonly #byPid = new Map<number, Set<Entry>>()

  /** The returned function takes the session out again. */
  enter(pid: number, secret: Uint8Array, cancel: () => void): () => void {
    const entry = { secret, cancel }
    const entries = this.#byPid.get(pid) ?? new Set()
    this.#byPid.set(pid, entries.add(entry))
    return () => {
      entries.delete(entry)
      if (entries.size === 0) this.#byPid.delete(pid)
    }
  }

  /** Whether it was anybody's. */
  request(pid: number, secret: Uint8Array): boolean {
    let found: Entry | undefined
    for (const entry of this.#byPid.get(pid) ?? []) if (sameBytes(entry.secret, secret)) found = entry
    found?.cancel()
    return found !== undefined
  }
}
