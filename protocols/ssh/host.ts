/**
 * The side of the hosts: ssh2's Client on a stream that somebody else has opened. The only file that knows ssh2
 * (1.17.0); it owns framing and keys on that side and drives the stream by itself.
 *
 * It is told `HostCommand`s and tells `HostEvent`s, each channel under the number the person's side gave it.
 */
import { type Duplex, duplexPair } from 'node:stream'
import ssh2, {
  type AnyAuthMethod,
  type ClientChannel,
  type ConnectConfig,
  type ExecOptions,
  type PseudoTtyOptions,
} from 'ssh2'
import { endingOf, HostChannel } from './host-channel.ts'
import { authMethods, type HostOptions, offeredAlgorithms } from './host-options.ts'
import { fingerprint } from './keys.ts'
import { encodeMessage, OPEN_FAILURE } from './messages.ts'
import type { Forwarded } from './requests.ts'
import { type InnerChannel, type InnerProtocol, SIGNALS, sendRequest } from './ssh2-inner.ts'
import type { Endpoint, HostCommand, HostEvent } from './steps.ts'
import { encodeForm, uint32 } from './wire.ts'

/** The host cannot be reached, is another one, or does not take our credential. */
export class HostError extends Error {
  override readonly name = 'HostError'
  readonly code: 'host-key' | 'credential' | 'unreachable'

  constructor(code: HostError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** What leads to a host: a socket, or a stream through another host. */
export type Wire = Duplex

const KEEPALIVE_COUNT_MAX = 3

/** A connection that the host has announced and nobody has taken yet. */
interface Offer {
  accept(): Duplex
  reject(): void
}

export class HostConnection {
  readonly #client = new ssh2.Client()
  readonly #tell: (event: HostEvent) => void
  readonly #channels = new Map<number, HostChannel>()
  /** The channels that are ssh2's own, by which it is told more than a stream can be. */
  readonly #inner = new Map<number, InnerChannel>()
  readonly #offers = new Map<number, Offer>()
  #nextOffer = 1
  #failure = 'the host closed the connection'
  #over = false

  private constructor(tell: (event: HostEvent) => void) {
    this.#tell = tell
  }

  /** Resolves when the host knows us. `lost` is called once, if the connection ends after that by itself. */
  static async open(
    stream: Duplex,
    options: HostOptions,
    tell: (event: HostEvent) => void,
    lost: (message: string) => void,
  ): Promise<HostConnection> {
    const host = new HostConnection(tell)
    await host.#connect(stream, options)
    host.#client.on('close', () => {
      if (!host.#over) lost(host.#failure)
      host.#over = true
    })
    return host
  }

  command(command: HostCommand): void {
    if (this.#over) return
    try {
      this.#obey(command)
    } catch (error) {
      // ssh2 throws where the socket has just gone. The client's 'close' then tells that the connection is lost.
      this.#failure = error instanceof Error ? error.message : String(error)
      this.#client.destroy()
    }
  }

  /** The host may send so much more on a channel. */
  credit(channel: number, bytes: number): void {
    this.#channels.get(channel)?.credit(bytes)
  }

  /** A connection from this host to a further one, whose bytes nobody here looks at. */
  streamTo({ host, port }: { readonly host: string; readonly port: number }): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      this.#client.forwardOut('127.0.0.1', 0, host, port, (error, stream) => {
        if (error) reject(new HostError('unreachable', error.message, { cause: error }))
        else resolve(stream)
      })
    })
  }

  end(): void {
    this.#over = true
    this.#client.end()
  }

  async #connect(stream: Duplex, options: HostOptions): Promise<void> {
    if (options.pins.length === 0) throw new HostError('host-key', 'no key of the host is pinned')
    let refused: string | undefined
    // Without a verifier ssh2 believes every host.
    const hostVerifier = (key: Buffer): boolean => {
      const pinned = options.pins.some((pin) => pin.matches(key))
      if (!pinned) refused = `the host shows a key that is not pinned: ${fingerprint(key)}`
      return pinned
    }
    this.#listen()
    await new Promise<void>((resolve, reject) => {
      const fail = (error: Error & { level?: string }): void => {
        const code = error.level === 'client-authentication' ? 'credential' : 'unreachable'
        reject(
          new HostError(refused === undefined ? code : 'host-key', refused ?? error.message, {
            cause: error,
          }),
        )
      }
      this.#client.on('ready', resolve)
      this.#client.on('error', (error) => {
        this.#failure = error.message
        fail(error)
      })
      this.#client.on('close', () => fail(new Error(this.#failure)))
      this.#client.connect(config(stream, options, hostVerifier, this.#personsAgent()))
    })
  }

  #listen(): void {
    this.#client.on('banner', (text) => this.#tell({ type: 'banner', text }))
    this.#client.on('tcp connection', ({ destIP: host, destPort: port, srcIP, srcPort }, accept, reject) => {
      const forwarded = {
        type: 'forwarded-tcpip',
        host,
        port,
        originator: srcIP,
        originatorPort: srcPort,
      } as const
      this.#offer(forwarded, { accept, reject: () => reject() })
    })
    this.#client.on('unix connection', ({ socketPath: path }, accept, reject) => {
      const forwarded = { type: 'forwarded-streamlocal@openssh.com', path, reserved: '' } as const
      this.#offer(forwarded, { accept, reject: () => void reject() })
    })
  }

  /** ssh2 forwards the agent it logs in with; this one is the person's, at the other end of their connection. */
  #personsAgent(): ssh2.BaseAgent {
    const offer = (forward: Offer): void => this.#offer({ type: 'auth-agent@openssh.com' }, forward)
    class PersonsAgent extends ssh2.BaseAgent {
      override getIdentities(done: (error: Error) => void): void {
        done(new Error('the agent of a person is not ours to ask'))
      }

      override sign(): never {
        throw new Error('the agent of a person is not ours to sign with')
      }

      override getStream(done: (error: Error | undefined, stream?: Duplex) => void): void {
        const accept = (): Duplex => {
          const [ours, theirs] = duplexPair()
          done(undefined, theirs)
          return ours
        }
        offer({ accept, reject: () => done(new Error('the person’s client has no agent')) })
      }
    }
    return new PersonsAgent()
  }

  #offer(forwarded: Forwarded, offer: Offer): void {
    const incoming = this.#nextOffer++
    this.#offers.set(incoming, offer)
    this.#tell({ type: 'incoming', incoming, forwarded })
  }

  #obey(command: HostCommand): void {
    switch (command.type) {
      case 'start':
        this.#start(command)
        break
      case 'connect':
        this.#connectTo(command)
        break
      case 'write':
        this.#channels.get(command.channel)?.write(command.bytes)
        break
      case 'eof':
        this.#channels.get(command.channel)?.eof()
        break
      case 'close':
        this.#channels.get(command.channel)?.close()
        break
      case 'resize':
      case 'signal':
      case 'break':
        this.#request(command)
        break
      case 'listen':
      case 'unlisten':
        this.#listenAt(command.type, command.id, command.endpoint)
        break
      case 'accept':
      case 'reject':
        this.#answer(command)
    }
  }

  /** ssh2 sends terminal, environment and program in one call, and hands the channel out when it runs. */
  #start({ channel, program, terminal, variables, agent }: Extract<HostCommand, { type: 'start' }>): void {
    // Names are the person's: they have passed an allow-list, and meet no prototype here.
    const env: Record<string, Bytes> = Object.create(null)
    for (const { name, value } of variables) env[name] = bytesForSsh2(value)
    const pty = terminal && {
      term: terminal.term,
      cols: terminal.columns,
      rows: terminal.rows,
      width: terminal.width,
      height: terminal.height,
      modes: bytesForSsh2(terminal.modes),
    }
    const options = { env, agentForward: agent } as ExecOptions
    const done = this.#opening(channel)
    switch (program.type) {
      case 'exec':
        this.#client.exec(
          bytesForSsh2(program.command),
          pty === undefined ? options : { ...options, pty },
          done,
        )
        break
      case 'shell':
        this.#client.shell(pty ?? false, options, done)
        break
      case 'subsystem':
        this.#client.subsys(program.name, done)
    }
  }

  #connectTo({ channel, destination }: Extract<HostCommand, { type: 'connect' }>): void {
    const done = this.#opening(channel)
    if (destination.type === 'direct-tcpip') {
      const { originator, originatorPort, host, port } = destination
      this.#client.forwardOut(originator, originatorPort, host, port, done)
    } else {
      this.#client.openssh_forwardOutStreamLocal(destination.path, done)
    }
  }

  #opening(id: number) {
    const channel = this.#create(id)
    return (error: (Error & { reason?: unknown }) | undefined, stream: ClientChannel): void => {
      if (error) {
        this.#channels.delete(id)
        const reason = typeof error.reason === 'number' ? error.reason : OPEN_FAILURE.CONNECT_FAILED
        const message = error.message.replace('(SSH) Channel open failure: ', '')
        this.#tell({ type: 'refused', channel: id, reason, message })
        return
      }
      this.#inner.set(id, stream as unknown as InnerChannel)
      this.#tell({ type: 'started', channel: id })
      stream.on('exit', (...ended: readonly unknown[]) => channel.exited(endingOf(ended)))
      channel.opened(stream, stream.stderr, () => stream.close())
    }
  }

  #create(id: number): HostChannel {
    const channel = new HostChannel(id, this.#tell, () => {
      this.#channels.delete(id)
      this.#inner.delete(id)
    })
    this.#channels.set(id, channel)
    return channel
  }

  #answer(command: Extract<HostCommand, { type: 'accept' | 'reject' }>): void {
    const offer = this.#offers.get(command.incoming)
    this.#offers.delete(command.incoming)
    if (command.type === 'reject') {
      offer?.reject()
    } else if (offer !== undefined) {
      const stream = offer.accept()
      this.#create(command.channel).opened(stream, undefined, () => stream.destroy())
    }
  }

  /** By the protocol's own object: the methods of a channel do nothing once its input has ended. */
  #request(command: Extract<HostCommand, { type: 'resize' | 'signal' | 'break' }>): void {
    const protocol = (this.#client as unknown as { readonly _protocol: InnerProtocol })._protocol
    const outgoing = this.#inner.get(command.channel)?.outgoing
    if (outgoing?.state !== 'open' && outgoing?.state !== 'eof') return
    if (command.type === 'resize') {
      const { rows, columns, height, width } = command.size
      protocol.windowChange(outgoing.id, rows, columns, height, width)
    } else if (command.type === 'break') {
      const fields = encodeForm({ ms: uint32 }, { ms: command.milliseconds })
      const request = { recipient: outgoing.id, request: 'break', wantReply: false, fields }
      sendRequest(protocol, encodeMessage({ type: 'CHANNEL_REQUEST', ...request }))
    } else if (SIGNALS.has(command.signal)) {
      protocol.signal(outgoing.id, command.signal)
    }
  }

  #listenAt(type: 'listen' | 'unlisten', id: number, endpoint: Endpoint): void {
    const done = (error?: Error | null, port = 0): void =>
      this.#tell({ type: 'listening', id, success: !error, port })
    if (endpoint.type === 'tcp') {
      const { host, port } = endpoint
      if (type === 'listen') this.#client.forwardIn(host, port, done)
      else this.#client.unforwardIn(host, port, done)
    } else if (type === 'listen') {
      this.#client.openssh_forwardInStreamLocal(endpoint.path, done)
    } else {
      this.#client.openssh_unforwardInStreamLocal(endpoint.path, done)
    }
  }
}

/**
 * The key that a host shows, without logging in there: what an administrator compares before it is pinned.
 * The connection ends at once, by ours not believing it.
 */
export function readHostKey(stream: Duplex, timeoutMs: number): Promise<Uint8Array> {
  const client = new ssh2.Client()
  return new Promise((resolve, reject) => {
    client.on('error', (error) => reject(new HostError('unreachable', error.message, { cause: error })))
    client.on('close', () => reject(new HostError('unreachable', 'the host showed no key')))
    const hostVerifier = (key: Buffer): boolean => {
      resolve(new Uint8Array(key))
      return false
    }
    client.connect({
      sock: stream,
      username: 'nobody',
      hostVerifier,
      readyTimeout: timeoutMs,
      authHandler: [],
    })
  })
}

/** ssh2 takes a Buffer, byte for byte, where its types know strings only. */
type Bytes = string & Buffer & NonNullable<PseudoTtyOptions['modes']>

function bytesForSsh2(bytes: Uint8Array): Bytes {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) as unknown as Bytes
}

function config(
  sock: Duplex,
  options: HostOptions,
  hostVerifier: (key: Buffer) => boolean,
  agent: ssh2.BaseAgent,
): ConnectConfig {
  return {
    sock,
    username: options.user,
    algorithms: offeredAlgorithms(options) as NonNullable<ConnectConfig['algorithms']>,
    hostVerifier,
    authHandler: authMethods(options) as AnyAuthMethod[],
    agent,
    readyTimeout: options.readyTimeoutMs,
    keepaliveInterval: options.keepaliveMs,
    keepaliveCountMax: KEEPALIVE_COUNT_MAX,
    // OpenSSH's extensions are asked of every host, which may refuse them itself.
    strictVendor: false,
  }
}
