/** What the host and the judge say to a connection in tests of its channels. */
import { encodeText } from '../../../protocols/bytes.ts'
import type { Refusal } from '../../../protocols/relay.ts'
import type { HostEvent } from '../../../protocols/ssh/index.ts'
import type { Message } from '../../../protocols/ssh/messages.ts'
import type { Talk } from '../../support/ssh-talk.ts'

export const NONE = new Uint8Array(0)
export const SUCCESS: Message = { type: 'CHANNEL_SUCCESS', recipient: 0 }
export const FAILURE: Message = { type: 'CHANNEL_FAILURE', recipient: 0 }
export const ENDED: readonly HostEvent[] = [
  { type: 'eof', channel: 0 },
  { type: 'ending', channel: 0, ending: { type: 'exit-status', status: 0 } },
  { type: 'closed', channel: 0 },
]
export const REFUSAL: Refusal = {
  cause: 'access',
  what: 'no access to "web-1" for alice',
  why: 'no role grants target web-1',
  next: 'https://gw.example.com/r/web-1',
  record: '',
}

export function tell(talk: Talk, ...events: readonly HostEvent[]): void {
  for (const event of events) talk.run(talk.connection.host(event))
}

export function allow(talk: Talk): void {
  for (const { id } of talk.wishes) talk.run(talk.connection.verdict(id, { allow: true }))
}

export const output = (content: string | Uint8Array, channel = 0): HostEvent => ({
  type: 'data',
  channel,
  stream: 'output',
  bytes: typeof content === 'string' ? encodeText(content) : content,
})

export const names = (messages: readonly Message[]) => messages.map((message) => message.type)
