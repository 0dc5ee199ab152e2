import { randomBytes } from 'node:crypto'
import { createServer, connect as dial, type Server as Listener, type Socket } from 'node:net'
import { TLSSocket, connect as tlsConnect } from 'node:tls'
import type { Conversation, TlsFacts, Want } from '../../../protocols/conversation.ts'
import {
  accept,
  type Credential,
  cancel,
  connect,
  type Greeting,
  type Login,
  type Method,
  type MysqlRelay,
  makeVerifier,
  QUIT,
  type Question,
  type Ready,
  type RelayOptions,
  refuse,
  relay,
} from '../../../protocols/mysql/index.ts'
import type { Side, Step } from '../../../protocols/relay.ts'
import { Ledger } from '../../support/mysql-play.ts'
import type { Server } from './server.ts'

/** What a test sets of a gateway; the rest is as for a plain session. */
export interface Setting {
  readonly methods?: readonly Method[]
  readonly tls?: 'require' | 'allow' | 'off'
  readonly targetTls?: boolean
  readonly credential?: Credential
  readonly options?: Partial<RelayOptions>
  readonly greeting?: Greeting
}

export interface Gateway {
  readonly port: number
  readonly sessions: Session[]
  /** What a policy refuses, where texts are judged. */
  refuse: (sql: string) => boolean
  [Symbol.asyncDispose](): Promise<void>
}

export interface Session {
  readonly login: Login
  readonly ready: Ready
  readonly ledger: Ledger
  readonly ended: Promise<void>
}

export const SECRET = 'token of alice'
const NO_TLS: TlsFacts = { protocol: undefined, ownCertificate: undefined, peerCertificate: undefined }

/** A socket whose bytes are asked for, and that becomes TLS when a conversation says so. */
export class Line {
  socket: Socket
  #pending = Buffer.alloc(0)
  #wake: (() => void) | undefined
  #over = false

  constructor(socket: Socket) {
    this.socket = socket.setNoDelay(true)
    this.#listen()
  }

  #listen(): void {
    this.socket.on('data', (chunk: Buffer) => {
      this.#pending = Buffer.concat([this.#pending, chunk])
      this.#wake?.()
    })
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      this.#over = true
      this.#wake?.()
    })
  }

  async run<R, Q>(
    conversation: Conversation<R, Q>,
    tls: () => Promise<TLSSocket>,
    answer: (q: Q) => unknown,
  ) {
    let step = conversation.next()
    while (!step.done) step = conversation.next(await this.#carryOut(step.value, tls, answer))
    return step.value
  }

  async #carryOut<Q>(
    want: Want<Q>,
    tls: () => Promise<TLSSocket>,
    answer: (q: Q) => unknown,
  ): Promise<unknown> {
    if (want.type === 'send') return this.socket.write(want.bytes)
    if (want.type === 'ask') return answer(want.question)
    if (want.type === 'read') return this.#read(want.length)
    if (this.#pending.length > 0) throw new Error('bytes in clear behind a request for TLS')
    this.socket.removeAllListeners('data')
    this.socket.write(want.reply)
    const secured = await tls()
    const peer = secured.getPeerX509Certificate()?.raw
    const own = secured.getX509Certificate()?.raw
    this.socket = secured
    this.#listen()
    const facts: TlsFacts = {
      ...NO_TLS,
      peerCertificate: peer && new Uint8Array(peer),
      ownCertificate: own && new Uint8Array(own),
    }
    return facts
  }

  async #read(length: number): Promise<Uint8Array> {
    while (this.#pending.length < length) {
      if (this.#over) throw new Error('the peer has gone')
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const bytes = new Uint8Array(this.#pending.subarray(0, length))
    this.#pending = this.#pending.subarray(length)
    return bytes
  }

  /** Hands over to the relay: first what is pending. */
  onData(take: (bytes: Uint8Array) => void): void {
    this.socket.removeAllListeners('data')
    this.socket.on('data', take)
    if (this.#pending.length > 0) take(this.#pending)
  }
}

/** A gateway without records: it keeps what the relay says, and moves the bytes. */
export async function startGateway(server: Server, setting: Setting = {}): Promise<Gateway> {
  const greeting = setting.greeting ?? (await learnGreeting(server, setting))
  const sessions: Session[] = []
  const gateway = { refuse: (_sql: string): boolean => false }
  const sockets = new Set<Socket>()
  let threads = 1000
  const listener: Listener = createServer((socket) => {
    sockets.add(socket)
    serve(server, setting, greeting, socket, ++threads, sessions, (sql) => gateway.refuse(sql)).catch(() =>
      socket.destroy(),
    )
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const address = listener.address()
  return Object.assign(gateway, {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    sessions,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => listener.close(resolve))
    },
  })
}

const CREDENTIAL: Credential = { user: 'app', password: 'app secret' }
const random = (length: number) => new Uint8Array(randomBytes(length))

async function dialTarget(server: Server, setting: Setting, login: Login | undefined, database?: string) {
  const line = new Line(dial(server.port, '127.0.0.1'))
  const ready = await line.run(
    connect({
      tls: setting.targetTls === true ? 'require' : 'off',
      credential: setting.credential ?? CREDENTIAL,
      login,
      database,
      attributes: [['program_name', 'gatebook']],
      random,
    }),
    () => secure(line.socket, server),
    () => undefined,
  )
  return { line, ready }
}

async function stopTarget(server: Server, threadId: number): Promise<void> {
  const line = new Line(dial(server.port, '127.0.0.1'))
  const options = { tls: 'off', credential: CREDENTIAL, attributes: [], random } as const
  const failure = await line.run(
    cancel(options, threadId),
    () => Promise.reject(new Error('no TLS here')),
    () => undefined,
  )
  line.socket.end()
  if (failure !== undefined) throw new Error(failure.message)
}

function secure(socket: Socket, server: Server): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secured = tlsConnect({ socket, ca: server.certificate, servername: 'localhost' }, () =>
      resolve(secured),
    )
    secured.once('error', reject)
  })
}

export async function learnGreeting(server: Server, setting: Setting = {}): Promise<Greeting> {
  const { line, ready } = await dialTarget(server, setting, undefined)
  line.socket.end(QUIT)
  if (ready.type === 'failure') throw new Error(ready.message)
  // It is kept on disk between two runs.
  return JSON.parse(JSON.stringify(ready.greeting)) as Greeting
}

async function serve(
  server: Server,
  setting: Setting,
  greeting: Greeting,
  socket: Socket,
  threadId: number,
  sessions: Session[],
  refuses: (sql: string) => boolean,
): Promise<void> {
  const client = new Line(socket)
  const methods = setting.methods ?? ['mysql_native_password', 'caching_sha2_password']
  const scramble = random(20).map((byte) => (byte % 255) + 1)
  const login = await client.run(
    accept({
      greeting,
      threadId,
      scramble,
      tlsPolicy: setting.tls ?? 'off',
      methods,
      localFiles: setting.options?.localFiles ?? false,
    }),
    () => acceptTls(client.socket, server),
    answer,
  )
  if (login.secret === undefined) {
    const refusal = {
      cause: 'credential',
      what: 'access denied',
      why: 'no such secret',
      next: '',
      record: '',
    } as const
    client.socket.end(refuse(refusal, login.sequence))
    return
  }
  const { line: target, ready } = await dialTarget(server, setting, login, login.database)
  if (ready.type === 'failure') throw new Error(ready.message)
  client.socket.write(ready.welcome)
  const machine = relay({
    session: 's',
    firstOperation: 1,
    login,
    ready,
    database: login.database,
    judge: false,
    readOnly: false,
    parameters: 'keep',
    localFiles: false,
    findThread: (given) => sessions.find((session) => session.login.threadId === given)?.ready.threadId,
    credential: setting.credential ?? CREDENTIAL,
    methods,
    random,
    ...setting.options,
  })
  const ledger = new Ledger()
  const ended = pump(machine, client, target, ledger, refuses, () => stopTarget(server, ready.threadId))
  sessions.push({ login, ready, ledger, ended })
}

function acceptTls(socket: Socket, server: Server): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secured = new TLSSocket(socket, { isServer: true, cert: server.certificate, key: server.key })
    secured.once('secure', () => resolve(secured))
    secured.once('error', reject)
  })
}

function answer(question: Question): unknown {
  const verifier = makeVerifier('token-1', new TextEncoder().encode(SECRET))
  const known = question.user.startsWith('alice')
  if (question.type === 'verifiers') return known ? [verifier] : []
  return known && Buffer.from(question.password).toString() === SECRET ? 'token-1' : undefined
}

const REFUSAL = {
  cause: 'statement',
  what: 'no bare DELETE',
  why: 'it needs a WHERE',
  next: 'add one',
  record: '',
} as const

function pump(
  machine: MysqlRelay,
  client: Line,
  target: Line,
  ledger: Ledger,
  refuses: (sql: string) => boolean,
  stop: () => Promise<unknown>,
): Promise<void> {
  return new Promise((resolve) => {
    const carryOut = (steps: readonly Step[]): void => {
      for (const step of ledger.take(steps)) {
        if (step.type === 'send')
          (step.to === 'client' ? client : target).socket.write(Buffer.from(step.bytes))
        else if (step.type === 'judge') {
          const refused = refuses(Buffer.from(step.statement.text).toString())
          carryOut(machine.verdict(refused ? { allow: false, refusal: REFUSAL } : { allow: true }))
        } else if (step.type === 'cancel') void stop().then(() => carryOut(machine.cancelled('ok')))
        else if (step.type === 'close') {
          client.socket.end()
          target.socket.end()
          resolve()
        }
      }
      if (machine.full === true) client.socket.pause()
      else client.socket.resume()
    }
    const wire = (from: Side, line: Line) => {
      line.onData((bytes) => carryOut(machine.receive(from, bytes)))
      line.socket.on('close', () => carryOut(machine.end(from)))
    }
    wire('target', target)
    wire('client', client)
  })
}

/** Texts and outcomes of what a session recorded, one line each, ends behind their begins. */
export function recorded(session: Session): Record<string, unknown>[] {
  const byOp = new Map<number, Record<string, unknown>>()
  for (const { event, op = 0, ...rest } of session.ledger.events()) {
    if (event === 'begin' || event === 'decision')
      byOp.set(op, { ...(event === 'decision' ? { denied: true } : {}), ...rest })
    else if (event === 'end') Object.assign(byOp.get(op) ?? {}, rest)
  }
  return [...byOp.values()]
}
