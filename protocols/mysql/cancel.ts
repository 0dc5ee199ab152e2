/**
 * Stopping what runs on a connection, by another connection of the gateway's own: MySQL has no other means.
 * The account that is used at the target may kill its own threads without further privileges.
 */
import { decodeLossy, encodeText } from '../bytes.ts'
import { type Conversation, send } from '../conversation.ts'
import { encodeQuery } from './commands.ts'
import { type ConnectFailure, type ConnectOptions, connect } from './connect.ts'
import { encodePacket, Wire } from './packets.ts'
import { decodeError, OUTCOME_BYTES_MAX } from './results.ts'

/** Says goodbye to a target: for connections of the gateway's own, such as one that only fetched its greeting. */
export const QUIT = Uint8Array.of(1, 0, 0, 0, 1)

/** The target's own number of the thread; `undefined` once it is told to stop. */
export function* cancel(
  options: Omit<ConnectOptions, 'login' | 'database'>,
  threadId: number,
): Conversation<ConnectFailure | undefined> {
  const ready = yield* connect({ ...options, login: undefined, database: undefined })
  if (ready.type === 'failure') return ready
  yield* send(encodePacket(0, encodeQuery(encodeText(`KILL QUERY ${threadId}`), ready.capabilities)))
  const answer = yield* new Wire(1).read(OUTCOME_BYTES_MAX)
  yield* send(QUIT)
  if (answer[0] !== 0xff) return undefined
  const { code, message } = decodeError(answer)
  return { type: 'failure', why: 'refused', message: decodeLossy(message), code }
}
