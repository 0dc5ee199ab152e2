/** A client of SSH on a socket that says whatever a test wants said, and reads or does not read as it likes. */
import { connect, type Socket } from 'node:net'
import { freshEphemeralKeys } from '../../protocols/ssh/agreements.ts'
import type { Message, MessageOf } from '../../protocols/ssh/messages.ts'
import { boolean, encodeForm, string, text, uint8 } from '../../protocols/ssh/wire.ts'
import { type ClientOptions, type MlkemKey, TestClient } from './ssh-client.ts'

const LOOKS_MAX = 1000
const LOOK_MS = 20

export interface OfferedKey {
  readonly user: string
  readonly algorithm: string
  readonly blob: Uint8Array
}

const KEY = { signed: boolean, algorithm: text, blob: string }

/** What comes before all proofs. */
export const ASK: Message = { type: 'SERVICE_REQUEST', service: 'ssh-userauth' }

export function byPassword(user: string, password: string): Message {
  const fields = encodeForm({ change: boolean, password: text }, { change: false, password })
  return { type: 'USERAUTH_REQUEST', user, service: 'ssh-connection', method: 'password', fields }
}

/** Would this key do? */
export function byQuery({ user, algorithm, blob }: OfferedKey): Message {
  const fields = encodeForm(KEY, { signed: false, algorithm, blob })
  return { type: 'USERAUTH_REQUEST', user, service: 'ssh-connection', method: 'publickey', fields }
}

export class Caller implements Disposable {
  readonly #socket: Socket
  readonly #client: TestClient
  #heard: Message[] = []
  closed = false

  private constructor(socket: Socket, client: TestClient) {
    this.#socket = socket
    this.#client = client
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

  /** Through key exchange, or as far as it comes. */
  static async open(port: number, options: ClientOptions = {}, mlkem?: MlkemKey): Promise<Caller> {
    const socket = connect(port, '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    const caller = new Caller(socket, new TestClient(freshEphemeralKeys.x25519(), options, mlkem))
    socket.write(caller.#client.hello())
    await caller.#until(() => caller.#client.exchanges === 1 || caller.closed)
    return caller
  }

  async logIn(user: string, password: string): Promise<void> {
    this.say(ASK, byPassword(user, password))
    await this.hears('USERAUTH_SUCCESS')
  }

  /** A signature over this very connection. */
  signed(
    { user, algorithm, blob }: OfferedKey,
    sign: (data: Uint8Array) => Uint8Array,
  ): MessageOf<'USERAUTH_REQUEST'> {
    const request = { user, service: 'ssh-connection', method: 'publickey' }
    const { sessionId } = this.#client
    const data = encodeForm(
      { sessionId: string, number: uint8, user: text, service: text, method: text, ...KEY },
      { sessionId, number: 50, ...request, signed: true, algorithm, blob },
    )
    const fields = { signed: true, algorithm, blob, signature: sign(data) }
    return { type: 'USERAUTH_REQUEST', ...request, fields: encodeForm({ ...KEY, signature: string }, fields) }
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

  /** The first so many of them. */
  async hearsAll<Name extends Message['type']>(
    type: Name,
    count: number,
  ): Promise<readonly MessageOf<Name>[]> {
    await this.#until(() => this.count(type) >= count || this.closed)
    const found = this.#heard.filter((message): message is MessageOf<Name> & Message => message.type === type)
    if (found.length < count) throw new Error(`the gateway closed behind ${found.length} ${type}`)
    return found.slice(0, count)
  }

  /** All that has been heard behind key exchange, in its order. */
  get heard(): readonly Message[] {
    return this.#heard
  }

  /** How many key exchanges have ended. */
  get exchanges(): number {
    return this.#client.exchanges
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
