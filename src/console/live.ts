/** One socket for the whole page; it comes back by itself, and whoever subscribed is subscribed again. */
import { signal } from '@preact/signals'
import type { LiveSaid } from '../http/api.ts'

export const connected = signal(false)

type Told = (said: LiveSaid) => void

interface Subscription {
  /** Asked anew after every break: from where it goes on may have changed. */
  readonly ask: () => Readonly<Record<string, unknown>>
  readonly told: Told
}

const RETRY_MS_MAX = 15_000

const subscriptions = new Map<number, Subscription>()
let socket: WebSocket | undefined
let last = 0
let failures = 0
let retry: ReturnType<typeof setTimeout> | undefined

export function subscribe(ask: Subscription['ask'], told: Told): () => void {
  const id = ++last
  subscriptions.set(id, { ask, told })
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ ...ask(), id }))
  else connect()
  return () => {
    subscriptions.delete(id)
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: 'stop', id }))
  }
}

/** After signing out nothing of the old person's goes on. */
export function disconnect(): void {
  clearTimeout(retry)
  retry = undefined
  socket?.close()
  socket = undefined
}

export function socketAddress(path: string): string {
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1${path}`
}

function connect(): void {
  if (socket !== undefined || retry !== undefined) return
  const opened = new WebSocket(socketAddress('/live'))
  socket = opened
  opened.onopen = () => {
    failures = 0
    connected.value = true
    for (const [id, { ask }] of subscriptions) opened.send(JSON.stringify({ ...ask(), id }))
  }
  opened.onmessage = ({ data }) => {
    const said = JSON.parse(String(data)) as LiveSaid
    const subscription = subscriptions.get(said.id)
    if (said.type === 'gap') {
      // More came than the socket could carry: from where we are, again.
      if (subscription !== undefined) opened.send(JSON.stringify({ ...subscription.ask(), id: said.id }))
    } else subscription?.told(said)
  }
  opened.onclose = () => {
    if (socket !== opened) return
    socket = undefined
    connected.value = false
    if (subscriptions.size === 0) return
    retry = setTimeout(
      () => {
        retry = undefined
        connect()
      },
      Math.min(RETRY_MS_MAX, 500 * 2 ** failures++),
    )
  }
}
