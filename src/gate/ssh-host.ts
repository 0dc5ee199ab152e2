/** The way to an SSH host: dialled for a grant, through other hosts where the configuration says so. */
import type { Duplex } from 'node:stream'
import { HostConnection, HostError, type HostEvent } from '../../protocols/ssh/index.ts'
import type { Grant } from '../access/authorize.ts'
import type { Config, SshTarget } from '../config/schema.ts'
import { dial } from './dial.ts'
import type { Gate } from './gate.ts'

const READY_MS_MAX = 30_000
const KEEPALIVE_MS = 30_000

export interface HostEvents {
  readonly tell: (event: HostEvent) => void
  readonly lost: (message: string) => void
}

export async function reachHost(
  gate: Gate,
  grant: Grant,
  signal: AbortSignal,
  { tell, lost }: HostEvents,
): Promise<HostConnection> {
  await using passed = new AsyncDisposableStack()
  const { config } = gate.inForce.loaded
  const ways = wayTo(config, grant.targetName)
  let stream: Duplex | undefined
  for (const [i, { name, target }] of ways.entries()) {
    const next = ways[i + 1]
    stream ??= await dial(target.address, signal)
    const socket = stream
    const destroy = (): void => void socket.destroy()
    signal.addEventListener('abort', destroy, { once: true })
    const known = gate.inForce.hosts.targets.get(name)
    if (known === undefined) throw new HostError('unreachable', `nothing is known of the host ${name}`)
    const events = next === undefined ? { tell, lost } : { tell: () => {}, lost: () => {} }
    const options = { ...known, readyTimeoutMs: READY_MS_MAX, keepaliveMs: KEEPALIVE_MS }
    const host = await HostConnection.open(socket, options, events.tell, events.lost).catch(
      (error: unknown) => {
        socket.destroy()
        throw error
      },
    )
    signal.removeEventListener('abort', destroy)
    if (next === undefined) {
      passed.move()
      return host
    }
    passed.defer(() => host.end())
    stream = await host.streamTo(next.target.address)
    // What leads further lives as long as what is reached through it.
    stream.once('close', () => host.end())
  }
  throw new HostError('unreachable', 'no way leads there')
}

interface Way {
  readonly name: string
  readonly target: SshTarget
}

/** The hosts to pass, in order, the one meant last. The configuration is refused when they form a circle. */
function wayTo({ targets }: Config, name: string): readonly Way[] {
  const ways: Way[] = []
  for (let at: string | undefined = name; at !== undefined; ) {
    const target = targets.get(at)
    if (target?.type !== 'ssh') break
    ways.unshift({ name: at, target })
    at = target.jump
  }
  return ways
}
