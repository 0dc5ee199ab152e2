/**
 * Where clients wait while another process still holds the book: its listeners share their addresses with that
 * process's, so nobody is turned away when that one stops listening. Nothing is said to whoever waits, and nothing
 * is read from them but a PROXY header; each listener holds at most STRANGERS_MAX of them.
 */
import type { Listener as ListenerConfig } from '../config/schema.ts'
import { type Accepted, Listener } from './listen.ts'

type Serve = (accepted: Accepted) => Promise<void>

interface Waiting {
  readonly listener: Listener
  readonly config: ListenerConfig
  readonly begin: (serve: Serve) => void
}

export class WaitingRoom implements Disposable {
  readonly #waiting = new Map<string, Waiting>()

  /** Opens every listener that clients of targets come to; fails where another process does not share an address. */
  static async open(
    listeners: ReadonlyMap<string, ListenerConfig>,
    onFault: (name: string, error: unknown) => void,
  ): Promise<WaitingRoom> {
    using undo = new DisposableStack()
    const room = undo.use(new WaitingRoom())
    for (const [name, config] of listeners) {
      if (!isGate(config)) continue
      const begun = Promise.withResolvers<Serve>()
      const options = {
        ...{ name, ...config.address, proxies: config.proxy_protocol?.from ?? [] },
        shared: true,
      }
      const listener = await Listener.open(options, {
        onConnection: async (accepted) => (await begun.promise)(accepted),
        onFault: (error) => onFault(name, error),
      })
      room.#waiting.set(name, { listener, config, begin: begun.resolve })
    }
    undo.move()
    return room
  }

  /** The listener of that name, whose connections are served from now on; undefined where none waits. */
  take(name: string, serve: Serve): Listener | undefined {
    const waiting = this.#waiting.get(name)
    if (waiting === undefined) return undefined
    this.#waiting.delete(name)
    waiting.begin(serve)
    return waiting.listener
  }

  /** Whoever still waits is cut off: nobody will serve them. */
  [Symbol.dispose](): void {
    for (const { listener } of this.#waiting.values()) {
      listener.close()
      listener.cut()
    }
    this.#waiting.clear()
  }
}

function isGate(config: ListenerConfig): config is Exclude<ListenerConfig, { type: 'metrics' | 'console' }> {
  return config.type === 'postgres' || config.type === 'mysql' || config.type === 'ssh'
}
