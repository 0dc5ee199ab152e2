/** A connection and a client in one memory: what one sends, the other has; steps are kept for the test. */
import type { RelayEvent } from '../../protocols/events.ts'
import type { CloseReason } from '../../protocols/relay.ts'
import { freshEphemeralKeys } from '../../protocols/ssh/agreements.ts'
import type { Proof } from '../../protocols/ssh/auth.ts'
import { SshConnection } from '../../protocols/ssh/connection.ts'
import type {
  ConnectionOptions,
  HostCommand,
  RelayOptions,
  SshStep,
  Wish,
} from '../../protocols/ssh/index.ts'
import type { Message } from '../../protocols/ssh/messages.ts'
import { boolean, encodeForm, string, text, uint8 } from '../../protocols/ssh/wire.ts'
import { type ClientOptions, TestClient } from './ssh-client.ts'
import { HOST_KEY } from './ssh-keys.ts'

export const RELAY_OPTIONS: RelayOptions = {
  session: 'k3v5o2n7q4w6x2za',
  stdin: 'keep',
  output: true,
  variables: ['LANG', 'LC_*'],
  agentForwarding: false,
  strictEcho: false,
}

export const CONNECTION_OPTIONS: ConnectionOptions = {
  software: 'gatebook_test',
  hostKeys: [HOST_KEY],
  ephemeralKeys: freshEphemeralKeys,
  fill: (bytes) => void bytes.fill(9),
  methods: ['publickey', 'password', 'keyboard-interactive'],
  banner: '',
}

export class Talk {
  readonly connection: SshConnection
  readonly client: TestClient
  /** All steps but `send`, in order. */
  steps: Exclude<SshStep, { type: 'send' }>[] = []
  /** Whether what is sent reaches the client at once; else it waits for `deliver`. */
  #waiting: Uint8Array[] = []
  paused = false

  constructor(options: Partial<ConnectionOptions> = {}, client: ClientOptions = {}) {
    this.connection = new SshConnection({ ...CONNECTION_OPTIONS, ...options })
    this.client = new TestClient(freshEphemeralKeys.x25519(), client)
  }

  /** Through key exchange. */
  begin(): this {
    this.paused = true
    this.run(this.connection.start())
    this.bytes(this.client.hello())
    this.deliver()
    return this
  }

  bytes(bytes: Uint8Array): void {
    if (bytes.length > 0) this.run(this.connection.receive(bytes))
  }

  /** What the client says, each message in its own packet, all in one piece. */
  send(...messages: readonly Message[]): void {
    this.bytes(Buffer.concat(messages.map((message) => this.client.message(message))))
  }

  run(steps: readonly SshStep[]): void {
    for (const step of steps) {
      if (step.type !== 'send') this.steps.push(step)
      else if (this.paused) this.#waiting.push(step.bytes)
      else this.bytes(this.client.receive(step.bytes))
    }
  }

  deliver(): void {
    this.paused = false
    for (const bytes of this.#waiting.splice(0)) this.bytes(this.client.receive(bytes))
  }

  /** The messages above key exchange that the client has, and forgets them. */
  heard(): Message[] {
    return this.client.take()
  }

  get proof(): Proof | undefined {
    return this.steps.findLast((step) => step.type === 'proof')?.proof
  }

  get closed(): CloseReason | undefined {
    return this.steps.find((step) => step.type === 'close')?.reason
  }

  get records(): RelayEvent[] {
    return this.steps.flatMap((step) => (step.type === 'record' ? [step.event] : []))
  }

  get commands(): HostCommand[] {
    return this.steps.flatMap((step) => (step.type === 'host' ? [step.command] : []))
  }

  get wishes(): { id: number; wish: Wish }[] {
    return this.steps.flatMap((step) => (step.type === 'judge' ? [{ id: step.id, wish: step.wish }] : []))
  }

  service(): this {
    this.send({ type: 'SERVICE_REQUEST', service: 'ssh-userauth' })
    return this
  }

  request(
    user: string,
    method: string,
    fields: Uint8Array = new Uint8Array(0),
    service = 'ssh-connection',
  ): void {
    this.send({ type: 'USERAUTH_REQUEST', user, service, method, fields })
  }

  password(user: string, password: string): void {
    this.request(
      user,
      'password',
      encodeForm({ change: boolean, password: text }, { change: false, password }),
    )
  }

  query(user: string, algorithm: string, blob: Uint8Array): void {
    this.request(
      user,
      'publickey',
      encodeForm({ signed: boolean, algorithm: text, blob: string }, { signed: false, algorithm, blob }),
    )
  }

  /** A publickey request that is signed by `key`, over what `over` says where that differs. */
  signed(user: string, algorithm: string, blob: Uint8Array, make: (data: Uint8Array) => Uint8Array): void {
    const request = { signed: true, algorithm, blob }
    const form = { signed: boolean, algorithm: text, blob: string }
    const data = encodeForm(
      { id: string, number: uint8, user: text, service: text, method: text, ...form },
      {
        id: this.client.sessionId,
        number: 50,
        user,
        service: 'ssh-connection',
        method: 'publickey',
        ...request,
      },
    )
    const signature = make(data)
    this.request(user, 'publickey', encodeForm({ ...form, signature: string }, { ...request, signature }))
  }

  /** Key exchange, authentication by password, an open relay. */
  login(relay: Partial<RelayOptions> = {}): this {
    this.begin().service()
    this.password('alice', 'secret')
    this.run(this.connection.accept({ ...RELAY_OPTIONS, ...relay }))
    this.heard()
    this.steps = []
    return this
  }
}
