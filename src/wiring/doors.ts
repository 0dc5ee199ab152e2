/** The listeners that are open: each kind with what serves behind it, and what a reload closes and opens. */
import { isDeepStrictEqual } from 'node:util'
import { ProtocolError } from '../../protocols/bytes.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Listener as ListenerConfig } from '../config/schema.ts'
import { HangUpError } from '../gate/converse.ts'
import type { Gate } from '../gate/gate.ts'
import { type Accepted, Listener } from '../gate/listen.ts'
import { serveMysql } from '../gate/mysql.ts'
import { servePostgres } from '../gate/postgres.ts'
import { serveSsh } from '../gate/ssh.ts'
import type { WaitingRoom } from '../gate/waiting-room.ts'
import type { WebConsole } from '../http/web-console.ts'
import { figures } from '../monitor/figures.ts'
import { MonitorServer } from '../monitor/server.ts'
import type { Log } from '../system/log.ts'
import type { Web } from './web.ts'

type AdmittingListener = Exclude<ListenerConfig, { type: 'metrics' | 'console' }>

export interface ListeningAt {
  readonly name: string
  readonly type: ListenerConfig['type']
  readonly host: string
  readonly port: number
}

interface OpenListener {
  readonly at: ListeningAt
  readonly listener: Listener | MonitorServer | WebConsole
  readonly config: ListenerConfig
}

export interface DoorParts {
  readonly gate: Gate
  readonly web: Web
  readonly log: Log
  readonly release: string
  /** With those who came before the book was ours. */
  readonly room?: WaitingRoom | undefined
}

export class Doors {
  readonly #parts: DoorParts
  readonly #open: OpenListener[] = []
  #refusing = false

  constructor(parts: DoorParts) {
    this.#parts = parts
  }

  get at(): readonly ListeningAt[] {
    return this.#open.map(({ at }) => at)
  }

  /** Of clients, before and after their login. */
  get connections(): { listener: string; count: number }[] {
    return this.#open.flatMap(({ at, listener }) =>
      listener instanceof Listener ? [{ listener: at.name, count: listener.connections }] : [],
    )
  }

  async listen(name: string, config: ListenerConfig): Promise<void> {
    this.#enter(await this.#opened(name, config, false))
  }

  /**
   * Opens what a reload adds or changes, all of it or nothing. Gives what to do once the rest of the configuration
   * is in force: listeners that are gone or changed close, and their connections go on; all show the
   * certificate in force.
   */
  async relisten({ config }: LoadedConfig): Promise<() => void> {
    const leaving = this.#open.filter(
      (entry) => !isDeepStrictEqual(config.listeners.get(entry.at.name), entry.config),
    )
    const staying = new Set(this.#open.filter((entry) => !leaving.includes(entry)).map(({ at }) => at.name))
    const opened: OpenListener[] = []
    try {
      for (const [name, listener] of config.listeners) {
        if (staying.has(name)) continue
        const shared = leaving.some((entry) => isDeepStrictEqual(entry.config.address, listener.address))
        opened.push(await this.#opened(name, listener, shared))
      }
    } catch (error) {
      for (const { listener } of opened) end(listener)
      throw error
    }
    return () => {
      for (const entry of leaving) {
        entry.listener.close()
        this.#open.splice(this.#open.indexOf(entry), 1)
      }
      for (const entry of opened) this.#enter(entry)
      const { certificate } = this.#parts.gate.inForce
      for (const { listener } of this.#open) if ('renew' in listener) listener.renew(certificate)
    }
  }

  #enter(entry: OpenListener): void {
    const { name, host, port } = entry.at
    this.#open.push(entry)
    this.#parts.log.listening({ listener: name, address: `${host}:${port}` })
  }

  /** Takes no further connections of clients; who only looks may go on. */
  refuse(): void {
    this.#refusing = true
    for (const { listener } of this.#open) if (listener instanceof Listener) listener.close()
  }

  /** Ends what is open still. */
  close(): void {
    for (const { listener } of this.#open) end(listener)
  }

  async #opened(name: string, config: ListenerConfig, shared: boolean): Promise<OpenListener> {
    const listener = await this.#listener(name, config, shared)
    const at = { name, type: config.type, host: config.address.host, port: listener.port }
    return { at, listener, config }
  }

  #listener(name: string, config: ListenerConfig, shared: boolean): Promise<OpenListener['listener']> {
    if (config.type === 'console') return this.#parts.web.open(config, { name, shared })
    return config.type === 'metrics' ? this.#monitor(config) : this.#admit(name, config, shared)
  }

  #monitor({ address }: ListenerConfig): Promise<MonitorServer> {
    const { gate, release, log } = this.#parts
    return MonitorServer.open(address, {
      notReady: () => this.#notReady(),
      metrics: () => figures({ gate, release, connections: () => this.connections }),
      onFault: (error) => log.unexpected(error),
    })
  }

  #admit(name: string, config: AdmittingListener, shared: boolean): Promise<Listener> {
    const { log, room } = this.#parts
    const serve = this.#serverOf(name, config)
    const waiting = room?.take(name, serve)
    if (waiting !== undefined) return Promise.resolve(waiting)
    const options = { name, ...config.address, proxies: config.proxy_protocol?.from ?? [], shared }
    const onFault = (error: unknown): void => {
      const isPeers = error instanceof ProtocolError || error instanceof HangUpError
      if (isPeers) log.connectionFailed({ listener: name, error })
      else log.unexpected(error)
    }
    return Listener.open(options, { onConnection: serve, onFault })
  }

  #serverOf(name: string, config: AdmittingListener): (accepted: Accepted) => Promise<void> {
    const { gate } = this.#parts
    switch (config.type) {
      case 'postgres':
        return (accepted) => servePostgres(gate, config, accepted)
      case 'mysql':
        return (accepted) => serveMysql(gate, config, accepted)
      case 'ssh':
        return (accepted) => serveSsh(gate, name, config, accepted)
    }
  }

  #notReady(): string | undefined {
    const { gate } = this.#parts
    if (this.#refusing || gate.draining) return 'draining'
    const { state } = gate.parts.recorder
    return state === 'open' || state === 'low' ? undefined : `the book is ${state}`
  }
}

function end(listener: OpenListener['listener']): void {
  listener.close()
  if ('cut' in listener) listener.cut()
}
