/** The console's listener: HTTPS, or plain HTTP on loopback, under limits that hold before anything is read. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { requireFree } from '../system/free-address.ts'

export const HTTP_CONNECTIONS_MAX = 1000
const HEADERS_MS_MAX = 10_000
const REQUEST_MS_MAX = 30_000
const KEEP_ALIVE_MS = 20_000
const HEADER_BYTES_MAX = 16 << 10
const REQUESTS_OF_ONE_SOCKET_MAX = 10_000

/** In PEM. */
export interface ServerCertificate {
  readonly cert: Uint8Array
  readonly key: Uint8Array
}

export interface HttpServerOptions {
  readonly host: string
  readonly port: number
  /** Of the listener, as the configuration calls it. */
  readonly name: string
  /** Another listener of this gateway has the address until this one takes its place. */
  readonly shared: boolean
  /** Absent: plain HTTP. */
  readonly certificate: ServerCertificate | undefined
}

export interface HttpServerEvents {
  readonly onRequest: RequestListener
  readonly onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  readonly onFault: (error: unknown) => void
}

export class HttpServer {
  readonly #server: Server | SecureServer
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server | SecureServer) {
    this.#server = server
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  static async open(options: HttpServerOptions, events: HttpServerEvents): Promise<HttpServer> {
    if (!options.shared) await requireFree(options)
    const limits = {
      headersTimeout: HEADERS_MS_MAX,
      requestTimeout: REQUEST_MS_MAX,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
    }
    const { certificate, host, port } = options
    const server =
      certificate === undefined
        ? createServer(limits, events.onRequest)
        : createSecureServer({ ...limits, ...secure(certificate) }, events.onRequest)
    server.maxConnections = HTTP_CONNECTIONS_MAX
    server.maxRequestsPerSocket = REQUESTS_OF_ONE_SOCKET_MAX
    server.on('upgrade', events.onUpgrade)
    const address = { host, port, reusePort: process.platform === 'linux' }
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(address, () => {
        server.off('error', reject).on('error', events.onFault)
        resolve(new HttpServer(server))
      })
    })
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** Shown from the next handshake on. */
  renew(certificate: ServerCertificate): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(secure(certificate))
  }

  close(): void {
    this.#server.close()
  }

  /** Ends what is open still, watchers too. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

function secure({ cert, key }: ServerCertificate) {
  return { cert: Buffer.from(cert), key: Buffer.from(key), minVersion: 'TLSv1.2' as const }
}
