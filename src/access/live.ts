/**
 * Connections open now, and how they are ended from outside. The gate enters and leaves; administrators, limits and
 * a reload look and end. It holds no socket: each entry brings its own way to stop.
 */
import type { Grant } from './authorize.ts'

export interface LiveConnection {
  readonly sid: string
  readonly protocol: 'postgres' | 'mysql' | 'ssh'
  readonly user: string
  readonly address: string
  /** Milliseconds since 1970, as all times here. */
  readonly since: number
  /** When its grant, its credential or the longest session ends. */
  readonly until: number
  /** Undefined: exempt, as service accounts may be. */
  readonly idleMs: number | undefined
  /** What it stands on now. */
  readonly grant: () => Grant
  /** It goes on under this, from its next statement on. */
  readonly renew: (grant: Grant) => void
  /** Kept up by the connection itself. */
  readonly lastTraffic: () => number
  /** Whether nothing is under way: a draining gateway ends it here. */
  readonly isIdle: () => boolean
  readonly end: (ending: Ending) => void
}

export interface Ending {
  readonly why: 'admin' | 'idle' | 'limit' | 'stop'
  /** One line for the person: who or what ended it. */
  readonly message: string
}

export class LiveConnections {
  readonly #open = new Map<string, LiveConnection>()

  enter(connection: LiveConnection): void {
    this.#open.set(connection.sid, connection)
  }

  leave(sid: string): void {
    this.#open.delete(sid)
  }

  get size(): number {
    return this.#open.size
  }

  list(): readonly LiveConnection[] {
    return [...this.#open.values()]
  }

  find(sid: string): LiveConnection | undefined {
    return this.#open.get(sid)
  }

  /** Ends what has been idle or open for too long. Called once a second or so. */
  endOverdue(now: number): void {
    for (const connection of this.#open.values()) {
      const { idleMs } = connection
      if (now >= connection.until) {
        connection.end({ why: 'limit', message: 'the session has reached its end time' })
      } else if (idleMs !== undefined && now - connection.lastTraffic() >= idleMs) {
        connection.end({ why: 'idle', message: `the session was idle for ${Math.round(idleMs / 1000)} s` })
      }
    }
  }
}

/** What the person is told whose session somebody else has ended. */
export function endedBy(by: string, reason: string | undefined): Ending {
  return { why: 'admin', message: `${by} ended it${reason === undefined ? '' : `: ${reason}`}` }
}
