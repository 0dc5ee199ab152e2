/**
 * What comes by itself: open sessions, new rows of a search, a terminal as it is written. One socket per page, on the
 * console's own listener; nothing is kept for it but a bounded queue, and after a break the page asks again from the
 * last row it has. Rights are worked out anew for every look.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { WebSocket } from 'ws'
import { z } from 'zod'
import { QUERY_CHARACTERS_MAX } from '../read/questions.ts'
import { liveSessions } from './access-routes.ts'
import type { LiveSaid } from './api.ts'
import type { Calling } from './calling.ts'
import { ProblemError, problemOf } from './errors.ts'
import { CastWriter, castHeader } from './recordings.ts'
import type { Caller } from './sign-in.ts'

export const SUBSCRIPTIONS_MAX = 8
/** What may wait to be sent to one page; beyond that its subscription ends, and the page asks again. */
export const UNSENT_BYTES_MAX = 4 << 20
export const MESSAGE_BYTES_MAX = 16 << 10
export const PING_EVERY_MS = 30_000
const LOOK_EVERY_MS = 250

export const ASKED = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('sessions'), id: z.int() }),
  z.strictObject({
    type: z.literal('follow'),
    id: z.int(),
    query: z.string().max(QUERY_CHARACTERS_MAX),
    from: z.int().min(0).optional(),
  }),
  z.strictObject({ type: z.literal('stop'), id: z.int() }),
])

export interface LiveParts {
  readonly calling: Calling
  /** Whether the caller may still be answered: signed out, expired or removed is nobody. */
  readonly isStillThere: (caller: Caller) => boolean
  readonly onFault: (error: unknown) => void
}

/** One page's socket. */
export class LivePage {
  readonly #socket: WebSocket
  readonly #caller: Caller
  readonly #parts: LiveParts
  readonly #subscriptions = new Map<number, AbortController>()

  constructor(socket: WebSocket, caller: Caller, parts: LiveParts) {
    this.#socket = socket
    this.#caller = caller
    this.#parts = parts
    socket.on('message', (data) => this.#take(String(data)))
    socket.on('error', () => socket.terminate())
    socket.on('close', () => {
      for (const subscription of this.#subscriptions.values()) subscription.abort()
    })
  }

  #take(text: string): void {
    const asked = ASKED.safeParse(parsed(text))
    if (!asked.success) {
      this.#socket.close(1008, 'not understood')
      return
    }
    const { id, type } = asked.data
    this.#subscriptions.get(id)?.abort()
    this.#subscriptions.delete(id)
    if (type === 'stop') return
    if (this.#subscriptions.size >= SUBSCRIPTIONS_MAX) {
      this.#socket.close(1008, 'too many subscriptions')
      return
    }
    const subscription = new AbortController()
    this.#subscriptions.set(id, subscription)
    const { signal } = subscription
    const run =
      type === 'sessions'
        ? this.#sessions(id, signal)
        : this.#follow(id, asked.data.query, asked.data.from, signal)
    run.catch((error: unknown) => {
      if (signal.aborted) return
      this.#say({ type: 'problem', id, ...problemOf(error, this.#parts.onFault).body })
    })
  }

  async #sessions(id: number, signal: AbortSignal): Promise<void> {
    const { calling } = this.#parts
    await calling.noteView(this.#caller, 'open sessions')
    let before = ''
    while (this.#goesOn(signal)) {
      const sessions = liveSessions(calling, this.#caller)
      const now = JSON.stringify(sessions.map(({ lastTraffic: _, ...rest }) => rest))
      if (now !== before && !this.#say({ type: 'sessions', id, sessions })) return
      before = now
      await sleep(LOOK_EVERY_MS)
    }
  }

  async #follow(id: number, query: string, from: number | undefined, signal: AbortSignal): Promise<void> {
    let cursor: number | undefined
    while (this.#goesOn(signal)) {
      const found = await this.#parts.calling.ask(this.#caller, {
        ...({ type: 'follow', query } as const),
        ...(from === undefined ? {} : { from }),
        ...(cursor === undefined ? {} : { cursor }),
      })
      cursor = found.cursor
      if (signal.aborted) return
      if (found.rows.length > 0 && !this.#say({ type: 'rows', id, rows: found.rows })) return
      if (found.rows.length === 0) await sleep(LOOK_EVERY_MS)
    }
  }

  #goesOn(signal: AbortSignal): boolean {
    if (signal.aborted) return false
    if (this.#parts.isStillThere(this.#caller)) return true
    this.#socket.close(1008, 'signed out')
    return false
  }

  /** False: too much waits to be sent, and the page was told to ask again. */
  #say(said: LiveSaid): boolean {
    if (this.#socket.bufferedAmount <= UNSENT_BYTES_MAX) {
      this.#socket.send(JSON.stringify(said))
      return true
    }
    this.#subscriptions.get(said.id)?.abort()
    this.#socket.send(JSON.stringify({ type: 'gap', id: said.id } satisfies LiveSaid))
    return false
  }
}

export interface WatchRequest {
  readonly session: string
  readonly op: number
}

/** A terminal from its beginning to now, and then as it is written: the player's own subprotocol, v3.asciicast. */
export async function watch(
  socket: WebSocket,
  caller: Caller,
  { session, op }: WatchRequest,
  { calling, isStillThere, onFault }: LiveParts,
): Promise<void> {
  socket.on('error', () => socket.terminate())
  // A watcher has nothing to say: what is watched is not theirs to type into.
  socket.on('message', () => socket.close(1008, 'only watching'))
  const isOpen = (): boolean => socket.readyState === socket.OPEN && isStillThere(caller)
  try {
    const found = await calling.ask(caller, { type: 'session', session })
    const recording = found.recordings.find((one) => one.op === op && one.stream === 'tty')
    if (recording === undefined) throw new ProblemError('not-found', { what: 'There is no such terminal.' })
    socket.send(castHeader({ session: found.session, recording }))
    const writer = new CastWriter()
    let cursor: number | undefined
    while (isOpen()) {
      const page = await calling.ask(caller, {
        ...({ type: 'frames', session, op, stream: 'tty' } as const),
        ...(cursor === undefined ? {} : { cursor }),
      })
      const lines = page.frames.map((frame) => writer.event(frame)).filter((line) => line !== '')
      for (const line of lines) socket.send(line)
      cursor = page.next
      if (cursor === undefined) break
      while (socket.bufferedAmount > UNSENT_BYTES_MAX && isOpen()) await sleep(LOOK_EVERY_MS)
      if (page.frames.length === 0) await sleep(LOOK_EVERY_MS)
    }
    socket.close(1000)
  } catch (error) {
    const problem = problemOf(error, onFault)
    socket.close(problem.code === 'fault' ? 1011 : 1008, problem.message.slice(0, 120))
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
