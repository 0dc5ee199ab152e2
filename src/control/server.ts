/**
 * The control socket: how commands on this machine reach the running gateway. HTTP over a Unix socket in a folder
 * only its owner can enter, one POST per command, JSON both ways. Node cannot ask a socket who is at its other end:
 * whoever can reach it acts as `local`, or shows a personal token where the configuration demands one.
 */
import { chmodSync, existsSync, mkdirSync, unlinkSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { OperatorError, wordsOf } from '../system/operator-error.ts'

export const REQUEST_BYTES_MAX = 1 << 20
const REQUEST_MS_MAX = 10_000
/** The system's limit for the path of a Unix socket is 107 bytes on Linux and 103 elsewhere. */
const SOCKET_PATH_MAX = 103

/** Whose act it is, as the book names it. */
export interface Caller {
  readonly sub: string
}

export type Command = (given: unknown, caller: Caller) => Promise<unknown>

export interface ControlOptions {
  readonly socket: string
  readonly commands: ReadonlyMap<string, Command>
  /** Who shows this token, or undefined for nobody; not asked where no token is demanded. */
  readonly identify: (token: string) => Promise<Caller | undefined>
  readonly requireToken: boolean
  readonly onFault: (error: unknown) => void
}

export class ControlServer {
  readonly #server: Server
  readonly #options: ControlOptions

  private constructor(server: Server, options: ControlOptions) {
    this.#server = server
    this.#options = options
    server.on('request', (request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        // Whoever breaks off in the middle of a request is no fault of ours.
        if (!request.aborted) options.onFault(error)
        response.destroy()
      })
    })
  }

  static async open(options: ControlOptions): Promise<ControlServer> {
    const { socket } = options
    if (Buffer.byteLength(socket) > SOCKET_PATH_MAX) {
      throw new OperatorError(
        'disk',
        `the path of the control socket is longer than the system allows: ${socket}`,
      )
    }
    mkdirSync(dirname(socket), { recursive: true, mode: 0o700 })
    chmodSync(dirname(socket), 0o700)
    if (existsSync(socket)) {
      if (await answers(socket)) throw new OperatorError('disk', `another gateway answers on ${socket}`)
      unlinkSync(socket)
    }
    const server = createServer({ requestTimeout: REQUEST_MS_MAX, maxHeaderSize: 16 << 10 })
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(socket, () => {
        chmodSync(socket, 0o600)
        resolve(new ControlServer(server, options))
      })
    })
  }

  async close(): Promise<void> {
    this.#server.closeIdleConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const command = this.#options.commands.get(request.url?.replace(/^\/v1\//, '') ?? '')
    if (request.method !== 'POST' || command === undefined)
      return reply(response, 404, { error: 'no such command' })
    const caller = await this.#caller(request)
    if (caller === undefined)
      return reply(response, 401, { error: 'a valid personal token is needed: --token-file' })
    const body = await readBody(request)
    if (body === undefined) return reply(response, 413, { error: 'the request is too long' })
    try {
      reply(response, 200, { result: (await command(JSON.parse(body), caller)) ?? null })
    } catch (error) {
      if (error instanceof OperatorError || error instanceof SyntaxError)
        reply(response, 400, { error: error.message })
      else {
        this.#options.onFault(error)
        reply(response, 500, { error: wordsOf(error) })
      }
    }
  }

  async #caller({ headers }: IncomingMessage): Promise<Caller | undefined> {
    if (!this.#options.requireToken) return { sub: 'local' }
    const [, token] = /^Bearer (\S+)$/.exec(headers.authorization ?? '') ?? []
    return token === undefined ? undefined : this.#options.identify(token)
  }
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body)
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text)
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > REQUEST_BYTES_MAX) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** A socket file that nobody listens on is left over from a killed process. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}
