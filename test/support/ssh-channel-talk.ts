/** What a client says inside channels, in short words. */
import { encodeText } from '../../protocols/bytes.ts'
import type { Message } from '../../protocols/ssh/messages.ts'
import { boolean, encodeForm, string, text, uint32 } from '../../protocols/ssh/wire.ts'
import type { Talk } from './ssh-talk.ts'

const NONE: Uint8Array = new Uint8Array(0)

export function open(sender: number, window = 0x200000, packetMax = 0x8000): Message {
  return { type: 'CHANNEL_OPEN', channel: 'session', sender, window, packetMax, fields: NONE }
}

export function request(recipient: number, name: string, fields = NONE, wantReply = true): Message {
  return { type: 'CHANNEL_REQUEST', recipient, request: name, wantReply, fields }
}

export function exec(recipient: number, command: string): Message {
  return request(recipient, 'exec', encodeForm({ command: text }, { command }))
}

export function subsystem(recipient: number, name: string): Message {
  return request(recipient, 'subsystem', encodeForm({ name: text }, { name }))
}

export function env(recipient: number, name: string, value: string): Message {
  return request(recipient, 'env', encodeForm({ name: text, value: text }, { name, value }))
}

export const MODES = Uint8Array.of(3, 0, 0, 0, 0x7f, 42, 0, 0, 0, 1, 53, 0, 0, 0, 0, 0)

export function pty(recipient: number, columns = 80, rows = 24): Message {
  const form = { term: text, columns: uint32, rows: uint32, width: uint32, height: uint32, modes: string }
  const fields = { term: 'xterm-256color', columns, rows, width: 0, height: 0, modes: MODES }
  return request(recipient, 'pty-req', encodeForm(form, fields))
}

export function data(recipient: number, content: string | Uint8Array): Message {
  return {
    type: 'CHANNEL_DATA',
    recipient,
    data: typeof content === 'string' ? encodeText(content) : content,
  }
}

export const eof = (recipient: number): Message => ({ type: 'CHANNEL_EOF', recipient })
export const close = (recipient: number): Message => ({ type: 'CHANNEL_CLOSE', recipient })

export function adjust(recipient: number, bytes: number): Message {
  return { type: 'CHANNEL_WINDOW_ADJUST', recipient, bytes }
}

export function global(name: string, fields = NONE, wantReply = true): Message {
  return { type: 'GLOBAL_REQUEST', request: name, wantReply, fields }
}

export function directTcpip(sender: number, host: string, port: number): Message {
  const form = { host: text, port: uint32, originator: text, originatorPort: uint32 }
  const fields = encodeForm(form, { host, port, originator: '127.0.0.1', originatorPort: 50000 })
  return {
    type: 'CHANNEL_OPEN',
    channel: 'direct-tcpip',
    sender,
    window: 0x200000,
    packetMax: 0x8000,
    fields,
  }
}

export function exitStatus(recipient: number, status: number): Message {
  return request(recipient, 'exit-status', encodeForm({ status: uint32 }, { status }), false)
}

export function exitSignal(recipient: number, signal: string): Message {
  const form = { signal: text, core: boolean, message: text, language: text }
  return request(
    recipient,
    'exit-signal',
    encodeForm(form, { signal, core: false, message: '', language: '' }),
    false,
  )
}

/** A program that the policy allows and the host has started, on channel 0 of both sides. */
export function running(talk: Talk, ...setup: readonly Message[]): Talk {
  talk.send(open(0), ...(setup.length > 0 ? setup : [exec(0, 'cat')]))
  const [judged] = talk.wishes
  if (judged === undefined) throw new Error('nothing was asked for')
  talk.run(talk.connection.verdict(judged.id, { allow: true, rule: 'ops' }))
  talk.run(talk.connection.host({ type: 'started', channel: 0 }))
  talk.heard()
  talk.steps = []
  return talk
}

/** Everything in a list of messages that stands in one stream of a channel, as text. */
export function textOf(messages: readonly Message[], stream: 'output' | 'stderr'): string {
  const parts = messages.flatMap((message) => {
    if (stream === 'output') return message.type === 'CHANNEL_DATA' ? [message.data] : []
    return message.type === 'CHANNEL_EXTENDED_DATA' ? [message.data] : []
  })
  return new TextDecoder().decode(Buffer.concat(parts))
}
