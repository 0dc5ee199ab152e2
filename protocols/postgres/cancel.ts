/** Asking a target to stop what one of its sessions runs: by a connection of its own, which gets no answer. */
import { ProtocolError } from '../bytes.ts'
import { type Conversation, read, send, startTls } from '../conversation.ts'
import { encodeCancel, encodeSslRequest } from './startup.ts'

export interface CancelOptions {
  readonly tls: 'require' | 'off'
  readonly pid: number
  readonly secret: Uint8Array
}

/** The target closes the connection when it has passed the request on; whoever runs this waits for that. */
export function* cancel({ tls, pid, secret }: CancelOptions): Conversation<void> {
  if (tls === 'require') {
    yield* send(encodeSslRequest())
    const [answer] = yield* read(1)
    if (answer !== 'S'.charCodeAt(0)) throw new ProtocolError('the target refuses TLS for a cancel request')
    yield* startTls()
  }
  yield* send(encodeCancel(pid, secret))
}
