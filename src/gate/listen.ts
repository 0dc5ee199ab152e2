/** Accepts connections on one address, under limits that hold before anybody is known. */
import { BlockList, createServer, isIPv6, type Server, type Socket } from 'node:net'
import { ProtocolError } from '../../protocols/bytes.ts'
import type { Conversation } from '../../protocols/conversation.ts'
import { requireFree } from '../system/free-address.ts'
import { Talker } from './converse.ts'
import { type Peer, readProxyHeader } from './proxy-header.ts'

/** Connections at once on one listener; further ones are closed at once. */
export const CONNECTIONS_MAX = 10_000
/** Of these, how many may still be before their login; a further one takes the place of whoever waits longest. */
export const STRANGERS_MAX = 1_000
const KEEP_ALIVE_MS = 60_000

export interface ListenOptions {
  readonly name: string
  readonly host: string
  readonly port: number
  /** Networks from which a PROXY header is demanded; from all others none is taken. */
  readonly proxies: readonly string[]
  /** Whether somebody else may have the address meanwhile: the process, or the listener, whose place this one takes. */
  readonly shared?: boolean
}

/** One accepted connection, until `known` is called among the strangers. */
export interface Accepted {
  readonly talker: Talker
  readonly peer: Peer
  readonly known: () => void
}

export interface ListenEvents {
  readonly onConnection: (accepted: Accepted) => Promise<void>
  readonly onFault: (error: unknown) => void
}

export class Listener {
  readonly #server: Server
  readonly #options: ListenOptions
  readonly #events: ListenEvents
  readonly #proxies: BlockList
  readonly #connections = new Set<Socket>()
  /** In the order of their coming. */
  readonly #strangers = new Set<Socket>()

  private constructor(server: Server, options: ListenOptions, events: ListenEvents) {
    this.#server = server
    this.#options = options
    this.#events = events
    this.#proxies = blockList(options.proxies)
    server.on('connection', (socket) => this.#accept(socket))
  }

  static async open(options: ListenOptions, events: ListenEvents): Promise<Listener> {
    if (options.shared !== true) await requireFree(options)
    const server = createServer({
      allowHalfOpen: true,
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    })
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      // Two processes may listen at once while one takes over from the other; both must have said so.
      server.listen(
        { host: options.host, port: options.port, reusePort: process.platform === 'linux' },
        () => {
          server.off('error', reject)
          server.on('error', events.onFault)
          resolve(new Listener(server, options, events))
        },
      )
    })
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : this.#options.port
  }

  get connections(): number {
    return this.#connections.size
  }

  /** Takes no further connections; those that are open go on. */
  close(): void {
    this.#server.close()
  }

  /** Ends those that are open still. */
  cut(): void {
    for (const socket of this.#connections) socket.destroy()
  }

  #accept(socket: Socket): void {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      socket.destroy()
      return
    }
    if (this.#strangers.size >= STRANGERS_MAX) {
      const [oldest] = this.#strangers
      oldest?.destroy()
      // It says that it is closed only later; the next of a crowd that comes at once must meet another one.
      if (oldest !== undefined) this.#strangers.delete(oldest)
    }
    this.#connections.add(socket)
    this.#strangers.add(socket)
    const known = (): void => void this.#strangers.delete(socket)
    socket.once('close', () => {
      this.#connections.delete(socket)
      known()
    })
    const talker = new Talker(socket)
    this.#greet(socket, talker, known).catch((error: unknown) => {
      // Whoever broke the protocol has been told so, and may read it.
      if (error instanceof ProtocolError) talker.leave()
      else talker.socket.destroy()
      this.#events.onFault(error)
    })
  }

  async #greet(socket: Socket, talker: Talker, known: () => void): Promise<void> {
    const { remoteAddress: address = '', remotePort: port = 0 } = socket
    let peer: Peer = { address: plainAddress(address), port }
    if (this.#proxies.check(peer.address, isIPv6(peer.address) ? 'ipv6' : 'ipv4')) {
      const header: Conversation<Peer | undefined> = readProxyHeader()
      const told = await talker.run(header, {
        upgrade: () => Promise.reject(new Error('no TLS before the PROXY header')),
        answer: () => undefined,
        signal: AbortSignal.timeout(PROXY_HEADER_MS_MAX),
      })
      if (told === undefined) {
        socket.destroy()
        return
      }
      peer = told
    }
    await this.#events.onConnection({ talker, peer, known })
  }
}

const PROXY_HEADER_MS_MAX = 5000

/** An IPv4 client of an IPv6 socket is known by its IPv4 address. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address
}

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits = ''] = network.split('/')
    list.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4')
  }
  return list
}
