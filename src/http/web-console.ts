/** The console's listener with all that answers behind it: the only thing that the wiring needs to know of this folder. */
import type { IncomingMessage } from 'node:http'
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import { WebSocketServer } from 'ws'
import type { ConsoleListener } from '../config/schema.ts'
import { Application, plainAddress } from './application.ts'
import { type ApiParts, Calling } from './calling.ts'
import { problemOf } from './errors.ts'
import { LivePage, MESSAGE_BYTES_MAX, PING_EVERY_MS, watch } from './live.ts'
import { API_BASE } from './openapi.ts'
import { routesOf } from './routes.ts'
import { HttpServer, type ServerCertificate } from './server.ts'
import type { Caller, SignIn } from './sign-in.ts'
import { readStatic } from './static.ts'

/** How the listener is called, and whether another one of ours still has its address. */
export interface ListenAs {
  readonly name: string
  readonly shared: boolean
}

export interface WebConsoleParts {
  readonly api: ApiParts
  readonly signIn: SignIn
  readonly certificate: ServerCertificate
  readonly onFault: (error: unknown) => void
}

const LIVE_PATH = `${API_BASE}/live`
const WATCH_PATH = new RegExp(`^${API_BASE}/sessions/([a-z2-7]{16})/watch/(\\d{1,10})$`)
const WATCHED_PROTOCOL = 'v3.asciicast'

export class WebConsole {
  readonly #server: HttpServer
  readonly #sockets: WebSocketServer

  private constructor(server: HttpServer, sockets: WebSocketServer) {
    this.#server = server
    this.#sockets = sockets
  }

  static async open(listener: ConsoleListener, as: ListenAs, parts: WebConsoleParts): Promise<WebConsole> {
    const { api, signIn, certificate, onFault } = parts
    const { require_tls: tls, public_url: publicUrl, address } = listener
    const calling = new Calling(api)
    const application = new Application({
      site: { tls, publicUrl },
      // A name that begins so is kept by browsers only as we want it: Secure, for this host alone, for all paths.
      cookieName: tls ? '__Host-gatebook' : `gatebook-${address.port}`,
      routes: routesOf(calling),
      signIn,
      files: readStatic(),
      release: api.release,
      clock: api.clock,
      onFault,
    })
    const sockets = new WebSocketServer({
      noServer: true,
      maxPayload: MESSAGE_BYTES_MAX,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has(WATCHED_PROTOCOL) ? WATCHED_PROTOCOL : false),
    })
    const liveParts = { calling, isStillThere: (caller: Caller) => signIn.isStillThere(caller), onFault }
    const serve = (request: IncomingMessage, socket: Duplex, head: Buffer, caller: Caller): void => {
      const path = request.url?.split('?')[0] ?? ''
      const [, session, op] = WATCH_PATH.exec(path) ?? []
      if (session === undefined && path !== LIVE_PATH) {
        refuse(socket, 404)
        return
      }
      sockets.handleUpgrade(request, socket, head, (opened) => {
        const ping = setInterval(() => opened.ping(), PING_EVERY_MS)
        opened.once('close', () => clearInterval(ping))
        if (session === undefined) new LivePage(opened, caller, liveParts)
        else watch(opened, caller, { session, op: Number(op) }, liveParts).catch(onFault)
      })
    }
    const server = await HttpServer.open(
      { ...address, ...as, certificate: tls ? certificate : undefined },
      {
        onRequest: getRequestListener(application.hono.fetch, { overrideGlobalObjects: false }),
        onUpgrade: (request, socket, head) => {
          socket.once('error', () => socket.destroy())
          application
            .admitUpgrade(request.headers, plainAddress(request.socket.remoteAddress ?? ''))
            .then((caller) => serve(request, socket, head, caller))
            .catch((error: unknown) => refuse(socket, problemOf(error, onFault).status))
        },
        onFault,
      },
    )
    return new WebConsole(server, sockets)
  }

  get port(): number {
    return this.#server.port
  }

  renew(certificate: ServerCertificate): void {
    this.#server.renew(certificate)
  }

  close(): void {
    this.#server.close()
  }

  cut(): void {
    for (const socket of this.#sockets.clients) socket.terminate()
    this.#server.cut()
  }
}

function refuse(socket: Duplex, status: number): void {
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
  )
}
