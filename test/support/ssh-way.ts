/** A real client's way through us to a real sshd, and what was recorded on it. */
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import type { RelayEvent } from '../../protocols/events.ts'
import { hostKey, type ProofAnswer, parseHostPin } from '../../protocols/ssh/index.ts'
import { type Bridge, RealHost, startBridge } from './ssh-bridge.ts'
import { type Outcome, opensshOptions, type RunOptions, run } from './ssh-clients.ts'
import type { GateOptions } from './ssh-gate.ts'
import type { Sshd } from './ssh-sshd.ts'

export const HOST_KEYS = [
  hostKey(generateKeyPairSync('ed25519').privateKey),
  hostKey(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey),
  hostKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey),
]
function options(sshd: Sshd, over: Partial<GateOptions>): GateOptions {
  return {
    connection: { hostKeys: HOST_KEYS },
    prove: (proof): ProofAnswer => (proof.type === 'key-query' ? { type: 'known' } : { type: 'accept' }),
    // A disk that takes its time, so that what must wait is seen to wait.
    durable: () => new Promise((resolve) => setTimeout(resolve, 1)),
    host: (tell, lost) => {
      const credential = { type: 'key', privateKey: sshd.privateKey } as const
      const pins = [parseHostPin(sshd.hostKey)]
      const { user } = sshd
      return new RealHost(
        sshd.port,
        { user, credential, pins, readyTimeoutMs: 10_000, keepaliveMs: 0 },
        tell,
        lost,
      )
    },
    ...over,
  }
}

/** A bridge of its own, so that tests can run beside each other and know whose records are whose. */
export class Way {
  readonly #sshd: Sshd
  readonly #bridge: Bridge

  private constructor(sshd: Sshd, bridge: Bridge) {
    this.#sshd = sshd
    this.#bridge = bridge
  }

  static async open(sshd: Sshd, over: Partial<GateOptions> = {}): Promise<Way> {
    return new Way(sshd, await startBridge(options(sshd, over)))
  }

  get port(): number {
    return this.#bridge.port
  }

  get connections(): number {
    return this.#bridge.gates.length
  }

  get algorithms(): readonly string[] {
    return this.#bridge.gates.at(-1)?.connection.algorithms ?? []
  }

  get records(): RelayEvent[] {
    return this.#bridge.gates.flatMap((gate) => gate.records)
  }

  get commands(): string[] {
    return this.records.flatMap((event) =>
      event.type === 'data' && event.frame === 'm'
        ? [JSON.parse(new TextDecoder().decode(event.bytes)).command]
        : [],
    )
  }

  get metas(): string {
    return this.records.map((event) => (event.type === 'end' ? payloadText(event, 'meta') : '')).join('\n')
  }

  get fileOperations(): string[] {
    return this.records.flatMap((event) =>
      event.type === 'begin' && event.act.startsWith('sftp.')
        ? [
            `${event.act} ${payloadText(event, 'path').replaceAll(`${this.#sshd.folder}/`, '').replace('\0', ' -> ')}`,
          ]
        : [],
    )
  }

  ssh(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return ssh(this.#sshd, this.port, args, options)
  }
}

export function ssh(
  sshd: Sshd,
  port: number,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  // The last argument is the command; an empty one stands for none.
  const command = args.at(-1) ?? ''
  const flags = [
    ...args.slice(0, -1),
    ...opensshOptions(port, join(sshd.folder, 'user')),
    `${sshd.user}@127.0.0.1`,
  ]
  return run('ssh', command === '' ? flags : [...flags, command], options)
}

export function payloadText(event: RelayEvent | undefined, type: string): string {
  const payloads = event !== undefined && 'payloads' in event ? (event.payloads ?? []) : []
  return new TextDecoder().decode(payloads.find((payload) => payload.type === type)?.body)
}
