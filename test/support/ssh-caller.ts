/** A client of SSH on a socket that says whatever a test wants said, and reads or does not read as it likes. */
import { connect, type Socket } from 'node:net'
import { freshEphemeralKeys } from '../../protocols/ssh/agreements.ts'
import type { Message } from '../../protocols/ssh/messages.ts'
import { boolean, encodeForm, text } from '../../protocols/ssh/wire.ts'
import { TestClient } from './ssh-client.ts'

const LOOKS_MAX = 1000
const LOOK_MS = 20

export class Caller implements Disposable {
  readonly #socket: Socket
  readonly #client = new TestClient(freshEphemeralKeys.x25519())
  #heard: Message[] = []
  closed = false

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes) => {
      const answer = this.#client.receive(new Uint8Array(bytes))
      if (answer.length > 0) socket.write(answer)
      this.#heard.push(...this.#client.take())
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.closed = true
    })
  }

  /** Through key exchange. */
  static async open(port: number): Promise<Caller> {
    const socket = connect(port, '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    const caller = new Caller(socket)
    socket.write(caller.#client.hello())
    await caller.#until(() => caller.#client.exchanges === 1)
    return caller
  }

  async logIn(user: string, password: string): Promise<void> {
    this.say({ type: 'SERVICE_REQUEST', service: 'ssh-userauth' })
    const fields = encodeForm({ change: boolean, password: text }, { change: false, password })
    this.say({ type: 'USERAUTH_REQUEST', user, service: 'ssh-connection', method: 'password', fields })
    await this.hears('USERAUTH_SUCCESS')
  }

  /** Each in its own packet, all at once. */
  say(...messages: readonly Message[]): void {
    this.#socket.write(Buffer.concat(messages.map((message) => this.#client.message(message))))
  }

  async hears(type: Message['type']): Promise<Message> {
    await this.#until(() => this.#heard.some((message) => message.type === type) || this.closed)
    const found = this.#heard.find((message) => message.type === type)
    if (found === undefined) throw new Error(`the gateway closed without ${type}`)
    return found
  }

  count(type: Message['type']): number {
    return this.#heard.filter((message) => message.type === type).length
  }

  async ends(): Promise<void> {
    await this.#until(() => this.closed)
  }

  /** Reads no more. */
  stop(): void {
    this.#socket.pause()
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }

  async #until(holds: () => boolean): Promise<void> {
    for (let look = 0; look < LOOKS_MAX; look++) {
      if (holds()) return
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
    throw new Error('it never came')
  }
}
