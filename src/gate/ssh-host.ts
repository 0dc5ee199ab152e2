/** The way to an SSH host: dialled for a grant, through other hosts where the configuration says so. */
import { HostError, type HostEvent, openHost } from '../../protocols/ssh/index.ts'
import type { Grant } from '../access/authorize.ts'
import { hopsTo } from '../access/hosts.ts'
import type { Host } from './bridge-outlets.ts'
import { dial } from './dial.ts'
import type { Gate } from './gate.ts'
import { Intake } from './intake.ts'
import { gather } from './outlet.ts'

export interface HostEvents {
  readonly tell: (event: HostEvent) => void
  readonly lost: (message: string) => void
}

export async function reachHost(
  gate: Gate,
  grant: Grant,
  signal: AbortSignal,
  { tell, lost }: HostEvents,
): Promise<Host> {
  const { loaded, hosts } = gate.inForce
  const hops = hopsTo(grant.targetName, loaded.config, hosts)
  const [first] = hops
  if (first === undefined) throw new HostError('unreachable', 'no way leads there')
  const intake = new Intake((memory, length) => Buffer.from(memory.buffer, 0, length))
  const socket = await dial(first.address, signal, intake)
  // Until ssh2 listens, which resumes it: what was read before would be told to nobody.
  socket.pause()
  // ssh2 keeps what it reads in clear until keys are agreed on, and nothing of what it decrypts.
  const giveAway = (): void => intake.giveAway()
  socket.on('data', giveAway)
  const stop = (): void => void socket.destroy()
  signal.addEventListener('abort', stop, { once: true })
  try {
    const host = await openHost(socket, hops, tell, lost)
    signal.removeEventListener('abort', stop)
    socket.off('data', giveAway)
    return {
      command: (command) => {
        gather(socket)
        host.command(command)
      },
      credit: (channel, bytes) => host.credit(channel, bytes),
      end: () => host.end(),
    }
  } catch (error) {
    socket.destroy()
    throw error
  }
}
