/** The whole way in one process: our server role toward real clients, ssh2's Client toward a real sshd. */
import { connect as connectTo, createServer, type Server } from 'node:net'
import {
  type HostCommand,
  HostConnection,
  type HostEvent,
  type HostOptions,
} from '../../protocols/ssh/index.ts'
import { Gate, type GateOptions, type HostSide } from './ssh-gate.ts'

export interface Bridge {
  readonly port: number
  /** One for each connection, in the order in which they came. */
  readonly gates: readonly Gate[]
  close(): Promise<void>
}

/** A host that is dialled when the connection begins; what it is told before it is there waits. */
export class RealHost implements HostSide {
  #host: HostConnection | undefined
  #waiting: (() => void)[] | undefined = []
  #ended = false

  constructor(port: number, options: HostOptions, tell: (event: HostEvent) => void, lost: () => void) {
    const socket = connectTo(port, '127.0.0.1').setNoDelay()
    HostConnection.open(socket, options, tell, lost).then(
      (host) => {
        this.#host = host
        if (this.#ended) host.end()
        const waiting = this.#waiting ?? []
        this.#waiting = undefined
        for (const work of waiting) work()
      },
      () => lost(),
    )
  }

  command(command: HostCommand): void {
    this.#when(() => this.#host?.command(command))
  }

  credit(channel: number, bytes: number): void {
    this.#when(() => this.#host?.credit(channel, bytes))
  }

  end(): void {
    this.#ended = true
    this.#host?.end()
  }

  #when(work: () => void): void {
    if (this.#waiting === undefined) work()
    else this.#waiting.push(work)
  }
}

export async function startBridge(options: GateOptions): Promise<Bridge> {
  const gates: Gate[] = []
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    gates.push(new Gate(socket, options))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    gates,
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  }
}
