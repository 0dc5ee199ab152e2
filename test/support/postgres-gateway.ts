/**
 * The smallest gateway that can be: drives accept, connect and relay over sockets, and writes down the events.
 * No policy, no book, no durability; what is under test is the protocol.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import { createSecureContext, connect as secureConnect, TLSSocket } from 'node:tls'
import { ProtocolError } from '../../protocols/bytes.ts'
import type { Conversation, TlsFacts } from '../../protocols/conversation.ts'
import type { RelayEvent } from '../../protocols/events.ts'
import {
  type AcceptOptions,
  type AcceptQuestion,
  accept,
  type ConnectFailure,
  type ConnectQuestion,
  connect,
  encodeCancel,
  makeVerifier,
  type PostgresRelay,
  PROTOCOL_3_2,
  type Ready,
  type RelayOptions,
  relay,
  saltPassword,
  startupSettings,
  type Verifiers,
} from '../../protocols/postgres/index.ts'
import type { Side, Statement, Step, Verdict } from '../../protocols/relay.ts'

export interface GatewayOptions {
  readonly target: {
    readonly port: number
    readonly user: string
    readonly password: string
    readonly tls?: boolean
  }
  /** The password of everybody. */
  readonly password: string
  readonly certificate?: { readonly cert: string; readonly key: string }
  readonly method?: AcceptOptions['method']
  readonly relay?: Partial<RelayOptions>
  readonly judge?: (statement: Statement) => Verdict
  readonly parameters?: Readonly<Record<string, string>>
}

export interface Session {
  readonly events: RelayEvent[]
  readonly relay: PostgresRelay
  readonly ready: Ready
  /** Settled when both sides are gone. */
  readonly over: Promise<void>
}

/** A socket that is read by length, as conversations want it; it can be moved into TLS. */
class Line {
  socket: Socket
  #pending = Buffer.alloc(0)
  #wake: () => void = () => undefined
  #ended = false

  constructor(socket: Socket) {
    this.socket = socket
    this.#listen()
  }

  #listen(): void {
    this.socket.on('data', (chunk: Buffer) => {
      this.#pending = Buffer.concat([this.#pending, chunk])
      this.#wake()
    })
    this.socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
    this.socket.on('error', () => undefined)
  }

  async read(length: number): Promise<Uint8Array> {
    while (this.#pending.length < length) {
      if (this.#ended) throw new ProtocolError('the peer is gone')
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const taken = this.#pending.subarray(0, length)
    this.#pending = this.#pending.subarray(length)
    return taken
  }

  demandQuiet(): void {
    if (this.#pending.length > 0) throw new ProtocolError('received unencrypted data after SSL request')
  }

  /** Stops reading in clear before the answer goes out. */
  async secure(reply: Uint8Array, upgrade: (socket: Socket) => TLSSocket): Promise<TLSSocket> {
    this.demandQuiet()
    this.socket.removeAllListeners('data')
    this.socket.pause()
    if (reply.length > 0) this.socket.write(reply)
    const secured = upgrade(this.socket)
    await once(secured, secured instanceof TLSSocket && isServer(secured) ? 'secure' : 'secureConnect')
    this.socket = secured
    this.#listen()
    return secured
  }

  /** Hands the socket on, with what came and was not read. */
  release(): Buffer {
    this.socket.removeAllListeners('data')
    this.socket.pause()
    return this.#pending
  }
}

const servers = new WeakSet<TLSSocket>()
function isServer(socket: TLSSocket): boolean {
  return servers.has(socket)
}

async function converse<Result, Question>(
  conversation: Conversation<Result, Question>,
  line: Line,
  answer: (question: Question) => unknown,
  upgrade: (socket: Socket, alpn: readonly string[]) => TLSSocket,
): Promise<Result> {
  let step = conversation.next()
  while (step.done !== true) {
    const want = step.value
    let response: unknown
    try {
      switch (want.type) {
        case 'read':
          response = await line.read(want.length)
          break
        case 'send':
          if (want.quiet === true) line.demandQuiet()
          line.socket.write(want.bytes)
          break
        case 'start-tls':
          response = factsOf(await line.secure(want.reply, (socket) => upgrade(socket, want.alpn)))
          break
        case 'ask':
          response = answer(want.question)
      }
    } catch (problem) {
      step = conversation.throw(problem)
      continue
    }
    step = conversation.next(response)
  }
  return step.value
}

function factsOf(socket: TLSSocket): TlsFacts {
  const own = socket.getCertificate()
  const peer = socket.getPeerX509Certificate()
  return {
    protocol: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : undefined,
    ownCertificate: own !== null && 'raw' in own ? own.raw : undefined,
    peerCertificate: peer?.raw,
  }
}

/** A scripted client: logs in, then sends bytes and collects messages. */
export class RawClient implements AsyncDisposable {
  readonly ready: Ready
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #ended = false
  #wake: () => void = () => undefined

  private constructor(socket: Socket, pending: Buffer, ready: Ready) {
    this.#socket = socket
    this.ready = ready
    this.#received = pending
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
    socket.on('error', () => undefined)
    socket.resume()
  }

  static async open(port: number, password: string, user = 'alice'): Promise<RawClient> {
    const line = new Line(dial(port, '127.0.0.1'))
    await once(line.socket, 'connect')
    line.socket.setNoDelay(true)
    const conversation = connect({
      tls: 'off',
      version: PROTOCOL_3_2,
      user,
      database: 'postgres',
      parameters: new Map(),
      password,
      nonce: randomBytes(18).toString('base64'),
      clientSecret: randomBytes(32),
    })
    const derive = ({ password, salt, iterations }: ConnectQuestion) =>
      saltPassword(password, salt, iterations)
    const ready = await converse(conversation, line, derive, (socket) => secureConnect({ socket }))
    if (ready.type === 'failure') throw new Error(ready.message)
    return new RawClient(line.socket, line.release(), ready)
  }

  send(...parts: readonly Uint8Array[]): void {
    this.#socket.write(Buffer.concat(parts))
  }

  /** Messages as tags with what matters of them, up to the n-th ReadyForQuery, or the end of the connection. */
  async until(readies: number): Promise<string[]> {
    const told: string[] = []
    for (let left = readies; left > 0; ) {
      const length = this.#received.length < 5 ? undefined : this.#received.readUInt32BE(1) + 1
      if (length === undefined || this.#received.length < length) {
        if (this.#ended) return [...told, 'closed']
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        continue
      }
      const message = this.#received.subarray(0, length)
      this.#received = this.#received.subarray(length)
      told.push(describe(message))
      if (message[0] === 'Z'.charCodeAt(0)) left--
    }
    return told
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return
    this.#socket.end()
    await once(this.#socket, 'close')
  }
}

/** `C SELECT 1`, `E 42601`, `Z I`; of rows, settings and notices the tag alone. */
function describe(message: Buffer): string {
  const tag = String.fromCharCode(message[0] ?? 0)
  const body = message.subarray(5).toString('latin1')
  if (tag === 'C') return `C ${body.slice(0, -1)}`
  if (tag === 'E') return `E ${/\0C(\w{5})/.exec(body)?.[1]} ${/\0M([^\0]*)/.exec(body)?.[1]}`
  return tag === 'Z' ? `Z ${body}` : tag
}

export class TestGateway implements AsyncDisposable {
  readonly sessions: Session[] = []
  readonly problems: unknown[] = []
  readonly #options: GatewayOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #salt = randomBytes(16)
  #waiters: (() => void)[] = []

  private constructor(options: GatewayOptions) {
    this.#options = options
    this.#server = createServer((socket) => {
      this.#serve(socket).catch((problem: unknown) => {
        this.problems.push(problem)
        socket.end()
      })
    })
  }

  static async start(options: GatewayOptions): Promise<TestGateway> {
    const gateway = new TestGateway(options)
    gateway.#server.listen(0, '127.0.0.1')
    await once(gateway.#server, 'listening')
    return gateway
  }

  get port(): number {
    const address = this.#server.address()
    return address !== null && typeof address === 'object' ? address.port : 0
  }

  /** The n-th session, once it is open. */
  async session(index: number): Promise<Session> {
    for (;;) {
      const found = this.sessions[index]
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #track(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => undefined)
    socket.setNoDelay(true)
    return socket
  }

  #verifiers(): Verifiers {
    const iterations = 4096
    const salted = saltPassword(this.#options.password, this.#salt, iterations)
    return { salt: this.#salt, iterations, verifiers: [makeVerifier('secret-1', salted)] }
  }

  #answer(question: AcceptQuestion): unknown {
    if (question.type === 'verifiers') return this.#verifiers()
    if (question.type === 'certificate') return false
    return Buffer.from(question.password).toString() === this.#options.password ? 'secret-1' : undefined
  }

  async #serve(accepted: Socket): Promise<void> {
    const line = new Line(this.#track(accepted))
    const { certificate, method = 'scram', target } = this.#options
    const login = await converse(
      accept({
        tls: undefined,
        tlsPolicy: certificate === undefined ? 'off' : 'allow',
        method,
        nonce: randomBytes(18).toString('base64'),
        mock: { secret: this.#salt, iterations: 4096 },
      }),
      line,
      (question) => this.#answer(question),
      (socket, alpn) => {
        const secured = new TLSSocket(socket, {
          isServer: true,
          secureContext: createSecureContext(certificate),
          ALPNProtocols: [...alpn],
        })
        servers.add(secured)
        return secured
      },
    )
    if (login.type === 'cancel') {
      await this.#cancel(login.pid, login.secret)
      accepted.end()
      return
    }
    if (login.secret === undefined) throw new ProtocolError('a wrong password')
    const secret = randomBytes(login.version === PROTOCOL_3_2 ? 32 : 4)
    const { passed } = startupSettings(login.parameters, false)
    const { line: targetLine, ready } = await this.#dial({
      user: target.user,
      database: login.database ?? 'postgres',
      parameters: new Map([...passed, ...Object.entries(this.#options.parameters ?? {})]),
      clientSecret: secret,
    })
    line.socket.write(
      Buffer.concat([login.success, ready.type === 'ready' ? ready.welcome : Buffer.alloc(0)]),
    )
    if (ready.type === 'failure') throw new ProtocolError(ready.message)
    this.#pump(line, targetLine, ready, secret, login.database ?? 'postgres')
  }

  async #dial(
    options: Omit<Parameters<typeof connect>[0], 'tls' | 'version' | 'password' | 'nonce'>,
  ): Promise<{ line: Line; ready: Ready | ConnectFailure }> {
    const { target } = this.#options
    const line = new Line(this.#track(dial(target.port, '127.0.0.1')))
    await once(line.socket, 'connect')
    const conversation = connect({
      ...options,
      tls: target.tls === true ? 'require' : 'off',
      version: PROTOCOL_3_2,
      password: target.password,
      nonce: randomBytes(18).toString('base64'),
    })
    const derive = ({ password, salt, iterations }: ConnectQuestion) =>
      saltPassword(password, salt, iterations)
    const ready = await converse(conversation, line, derive, (socket, alpn) =>
      secureConnect({ socket, rejectUnauthorized: false, ALPNProtocols: [...alpn] }),
    )
    return { line, ready }
  }

  readonly #secrets = new Map<string, { session: Session; stop: () => void }>()

  async #cancel(pid: number, secret: Uint8Array): Promise<void> {
    const found = this.#secrets.get(`${pid}:${Buffer.from(secret).toString('hex')}`)
    if (found === undefined) return
    found.stop()
    await this.#cancelAtTarget(found.session.ready)
  }

  async #cancelAtTarget(ready: Ready): Promise<void> {
    const socket = this.#track(dial(this.#options.target.port, '127.0.0.1'))
    socket.end(encodeCancel(ready.pid, ready.secret))
    await once(socket.resume(), 'close')
  }

  #pump(clientLine: Line, targetLine: Line, ready: Ready, secret: Uint8Array, database: string): void {
    const { judge } = this.#options
    const sockets: Record<Side, Socket> = { client: clientLine.socket, target: targetLine.socket }
    const events: RelayEvent[] = []
    const room = relay({
      session: 'test',
      firstOperation: 1,
      database,
      ready,
      unguessable: randomBytes(12).toString('hex'),
      judge: judge !== undefined,
      readOnly: false,
      parameters: 'keep',
      ...this.#options.relay,
    })
    const carryOut = (steps: readonly Step[]): void => {
      for (const step of steps) {
        if (step.type === 'record') events.push(structuredClone(step.event))
        else if (step.type === 'send') sockets[step.to].write(Buffer.from(step.bytes))
        else if (step.type === 'judge') {
          const verdict = judge?.(step.statement) ?? { allow: true }
          setImmediate(() => carryOut(room.verdict(verdict)))
        } else if (step.type === 'cancel')
          void this.#cancelAtTarget(ready).then(() => carryOut(room.cancelled('ok')))
        else if (step.type === 'close') for (const socket of [sockets.client, sockets.target]) socket.end()
      }
      if (room.full) sockets.client.pause()
      else sockets.client.resume()
    }
    const over = Promise.all([once(sockets.client, 'close'), once(sockets.target, 'close')])
    const session: Session = { events, relay: room, ready, over: over.then(() => undefined) }
    const stop = (): void => {
      const { operation, steps } = room.cancel()
      carryOut(steps.filter((step) => step.type !== 'cancel'))
      events.push({ type: 'end', op: operation, outcome: 'ok' })
    }
    this.#secrets.set(`${ready.pid}:${Buffer.from(secret).toString('hex')}`, { session, stop })
    for (const [side, line] of [
      ['client', clientLine],
      ['target', targetLine],
    ] as const) {
      const pending = line.release()
      sockets[side].on('data', (chunk: Buffer) => carryOut(room.receive(side, chunk)))
      sockets[side].on('end', () => carryOut(room.end(side)))
      sockets[side].on('close', () => carryOut(room.end(side)))
      if (pending.length > 0) carryOut(room.receive(side, pending))
      sockets[side].resume()
    }
    this.sessions.push(session)
    for (const wake of this.#waiters.splice(0)) wake()
  }
}
