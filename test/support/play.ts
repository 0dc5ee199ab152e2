import { concat, ProtocolError } from '../../protocols/bytes.ts'
import type { Conversation, TlsFacts, Want } from '../../protocols/conversation.ts'
import type { RelayEvent } from '../../protocols/events.ts'
import type { CloseReason, Refusal, Relay, Side, Statement, Step, Verdict } from '../../protocols/relay.ts'

/** What a conversation did, replayed without a socket. */
export interface Played<Result> {
  /** The result, or what was thrown. */
  readonly end: { readonly result: Result } | { readonly thrown: unknown }
  /** All that was sent, in clear and inside TLS; `<tls>` stands for the handshake. */
  readonly sent: readonly (Uint8Array | '<tls>')[]
  /** What had arrived and was not read. */
  readonly left: Uint8Array
}

export interface World<Question> {
  readonly answer?: (question: Question) => unknown
  readonly tls?: TlsFacts
}

/**
 * Runs a conversation over chunks as they arrive: the next one comes only when the conversation waits for more
 * than has arrived, so that "pending" means what it means on a socket. The end of the chunks is a ProtocolError.
 */
export function playConversation<Result, Question>(
  conversation: Conversation<Result, Question>,
  chunks: readonly Uint8Array[],
  { answer, tls }: World<Question> = {},
): Played<Result> {
  const sent: (Uint8Array | '<tls>')[] = []
  const coming = [...chunks]
  let pending = new Uint8Array(0)
  const demandQuiet = (): void => {
    if (pending.length > 0) throw new ProtocolError(`received ${pending.length} bytes too early`)
  }
  const take = (length: number): Uint8Array => {
    while (pending.length < length) {
      const chunk = coming.shift()
      if (chunk === undefined) throw new ProtocolError('the peer is gone')
      pending = new Uint8Array(concat([pending, chunk]))
    }
    const taken = pending.slice(0, length)
    pending = pending.slice(length)
    return taken
  }
  const carryOut = (want: Want<Question>): unknown => {
    switch (want.type) {
      case 'read':
        return take(want.length)
      case 'send':
        if (want.quiet === true) demandQuiet()
        sent.push(new Uint8Array(want.bytes))
        return undefined
      case 'start-tls':
        demandQuiet()
        if (want.reply.length > 0) sent.push(new Uint8Array(want.reply))
        sent.push('<tls>')
        return tls
      case 'ask':
        return answer?.(want.question)
    }
  }
  try {
    for (let step = conversation.next(); ; ) {
      if (step.done === true) return { end: { result: step.value }, sent, left: concat([pending, ...coming]) }
      let response: unknown
      try {
        response = carryOut(step.value)
      } catch (problem) {
        step = conversation.throw(problem)
        continue
      }
      step = conversation.next(response)
    }
  } catch (thrown) {
    return { end: { thrown }, sent, left: concat([pending, ...coming]) }
  }
}

/** What a relay did. */
export interface Relayed {
  readonly client: Uint8Array
  readonly target: Uint8Array
  readonly events: readonly RelayEvent[]
  /** Texts that were to be judged. */
  readonly judged: readonly Statement[]
  readonly cancels: number
  readonly closed: CloseReason | undefined
  /** Steps in their order, as words: to see what stands before what. */
  readonly order: readonly string[]
}

/** What happens to a relay from outside, in order. */
export type Piece =
  | { readonly from: Side; readonly bytes: Uint8Array }
  | { readonly ends: Side }
  | { readonly stop: Refusal }
  /** The first cancel that was asked for and not yet carried out. */
  | { readonly cancelled: 'ok' | 'error' }

/** How a piece is cut before the relay gets it. */
export type Cut = (bytes: Uint8Array) => readonly Uint8Array[]

export const whole: Cut = (bytes) => [bytes]
export const inSingleBytes: Cut = (bytes) => Array.from(bytes, (_, i) => bytes.slice(i, i + 1))
export function cutAt(at: number): Cut {
  return (bytes) => (at > 0 && at < bytes.length ? [bytes.slice(0, at), bytes.slice(at)] : [bytes])
}

/** Runs a relay over pieces. Each chunk's memory is overwritten after the call, as a reused read buffer would be. */
export function playRelay(
  relay: Relay,
  pieces: readonly Piece[],
  { cut = whole, judge }: { cut?: Cut; judge?: (statement: Statement) => Verdict } = {},
): Relayed {
  const out: Record<Side, Uint8Array[]> = { client: [], target: [] }
  const events: RelayEvent[] = []
  const judged: Statement[] = []
  const order: string[] = []
  let cancels = 0
  let closed: CloseReason | undefined
  const carryOut = (steps: readonly Step[]): void => {
    let asked: Statement | undefined
    for (const step of steps) {
      order.push(nameOf(step))
      if (step.type === 'record') events.push(structuredClone(step.event))
      else if (step.type === 'send') out[step.to].push(step.bytes.slice())
      else if (step.type === 'judge') asked = structuredClone(step.statement)
      else if (step.type === 'cancel') cancels++
      else if (step.type === 'close') closed = step.reason
    }
    if (asked === undefined) return
    judged.push(asked)
    carryOut(relay.verdict(judge?.(asked) ?? { allow: true }))
  }
  for (const piece of pieces) {
    if ('stop' in piece) carryOut(relay.stop(piece.stop))
    else if ('cancelled' in piece) carryOut(relay.cancelled?.(piece.cancelled) ?? [])
    else if ('ends' in piece) carryOut(relay.end(piece.ends))
    else {
      for (const part of cut(piece.bytes)) {
        const chunk = part.slice()
        carryOut(relay.receive(piece.from, chunk))
        chunk.fill(0xee)
      }
    }
  }
  return { client: concat(out.client), target: concat(out.target), events, judged, cancels, closed, order }
}

function nameOf(step: Step): string {
  switch (step.type) {
    case 'record':
      return `${step.event.type} ${step.event.op}`
    case 'send':
      return `to ${step.to}`
    default:
      return step.type
  }
}

/**
 * Events without what hangs on how the network cut the stream: a result told by itself stands again in its
 * operation's end, and pieces of a stream are joined.
 */
export function settled(events: readonly RelayEvent[]): readonly RelayEvent[] {
  const found: RelayEvent[] = []
  for (const event of events) {
    if (event.type === 'result') continue
    const last = found.findLastIndex((other) => other.op === event.op && other.type === 'data')
    const before = found[last]
    if (event.type === 'data' && before?.type === 'data' && before.stream === event.stream) {
      found[last] = { ...before, bytes: concat([before.bytes, event.bytes]) }
    } else found.push(event)
  }
  return found
}
