/** Addresses are shared only by intent: two gateways that did not know would get each other's clients. */
import { createServer } from 'node:net'
import { OperatorError } from './operator-error.ts'

export interface WantedAddress {
  /** Of the listener, as the configuration calls it. */
  readonly name: string
  readonly host: string
  readonly port: number
}

export function requireFree({ name, host, port }: WantedAddress): Promise<void> {
  const probe = createServer()
  return new Promise((resolve, reject) => {
    probe.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'another process listens there' : cause.message
      reject(new OperatorError('config', `listener "${name}" cannot have ${host}:${port}: ${why}`, { cause }))
    })
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()))
  })
}
