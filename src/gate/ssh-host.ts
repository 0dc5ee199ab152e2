/** The way to an SSH host: dialled for a grant, through other hosts where the configuration says so. */
import { type HostConnection, HostError, type HostEvent, openHost } from '../../protocols/ssh/index.ts'
import type { Grant } from '../access/authorize.ts'
import { hopsTo } from '../access/hosts.ts'
import { dial } from './dial.ts'
import type { Gate } from './gate.ts'

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
  const { loaded, hosts } = gate.inForce
  const hops = hopsTo(grant.targetName, loaded.config, hosts)
  const [first] = hops
  if (first === undefined) throw new HostError('unreachable', 'no way leads there')
  const socket = await dial(first.address, signal)
  const stop = (): void => void socket.destroy()
  signal.addEventListener('abort', stop, { once: true })
  try {
    const host = await openHost(socket, hops, tell, lost)
    signal.removeEventListener('abort', stop)
    return host
  } catch (error) {
    socket.destroy()
    throw error
  }
}
