/** Opens the connection to a target. Called with a Grant's target only, after the person is known and allowed. */
import { connect, type Socket } from 'node:net'
import type { Intake } from './intake.ts'

export const DIAL_MS_MAX = 10_000
const KEEP_ALIVE_MS = 60_000

interface Address {
  readonly host: string
  readonly port: number
}

export function dial(address: Address, signal: AbortSignal, intake?: Intake): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = open(address, intake)
    const failed = (error: Error): void => {
      socket.destroy()
      reject(error)
    }
    const late = (): void => failed(new Error(`no answer from ${address.host}:${address.port}`))
    socket.setTimeout(DIAL_MS_MAX, late)
    signal.addEventListener('abort', late, { once: true })
    socket.once('error', failed)
    socket.once('connect', () => {
      socket.setTimeout(0, late)
      signal.removeEventListener('abort', late)
      socket.off('error', failed)
      resolve(socket)
    })
  })
}

/** By itself, for what the intake holds as long as the socket lives are then not all names of `dial`. */
function open(address: Address, intake: Intake | undefined): Socket {
  const socket: Socket = connect({
    ...address,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    allowHalfOpen: true,
    ...(intake === undefined ? {} : { onread: intake.into(() => socket) }),
  })
  return socket
}
