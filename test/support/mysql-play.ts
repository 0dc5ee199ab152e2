import type { Conversation, TlsFacts, Want } from '../../protocols/conversation.ts'
import type { RelayEvent } from '../../protocols/events.ts'
import type { Refusal, Relay, Side, Step } from '../../protocols/relay.ts'

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Bytes from hex with any white space between. */
export function unhex(text: string): Uint8Array {
  const digits = text.replaceAll(/\s+/g, '')
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) throw new Error(`not hex: ${digits}`)
  return new Uint8Array(Buffer.from(digits, 'hex'))
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

/** One packet as a peer would frame it, without our encoder. */
export function packet(sequence: number, ...parts: readonly (Uint8Array | string | number)[]): Uint8Array {
  const bytes = join(
    ...parts.map((part) =>
      typeof part === 'string' ? text(part) : typeof part === 'number' ? Uint8Array.of(part) : part,
    ),
  )
  if (bytes.length >= 0xffffff) throw new Error('split it yourself')
  return join(Uint8Array.of(bytes.length, bytes.length >> 8, bytes.length >> 16, sequence), bytes)
}

export const NO_TLS: TlsFacts = { protocol: undefined, ownCertificate: undefined, peerCertificate: undefined }

/** How a conversation is to be run: what the peer sends, in clear and behind the change to TLS. */
export interface Script {
  readonly clear: Uint8Array
  readonly secured?: Uint8Array
  readonly tls?: TlsFacts
  readonly answer?: (question: unknown) => unknown
  /** Collects what is sent, for conversations that end in an error. */
  readonly sent?: Uint8Array[]
}

export interface Played<R> {
  readonly result: R
  readonly sent: Uint8Array
  /** What was fed and not read. */
  readonly left: Uint8Array
}

/** Runs a conversation over an array. Asked for more than it was given, it throws. */
export function playConversation<R, Q>(conversation: Conversation<R, Q>, script: Script): Played<R> {
  let input = script.clear
  const sent: Uint8Array[] = script.sent ?? []
  let step = conversation.next()
  while (!step.done) {
    const want: Want<Q> = step.value
    switch (want.type) {
      case 'read': {
        if (input.length < want.length) throw new Error(`the peer has sent ${input.length} of ${want.length}`)
        const bytes = input.subarray(0, want.length)
        input = input.subarray(want.length)
        step = conversation.next(bytes)
        break
      }
      case 'send':
        sent.push(want.bytes.slice())
        step = conversation.next()
        break
      case 'start-tls':
        // Early bytes go to TLS, which makes sense of a handshake record and of nothing else.
        if (input.length > 0 && (want.early !== true || input[0] !== 0x16))
          step = conversation.throw(new Error('bytes in clear behind the request for TLS'))
        else {
          sent.push(want.reply.slice())
          input = script.secured ?? new Uint8Array(0)
          step = conversation.next(script.tls ?? NO_TLS)
        }
        break
      case 'ask':
        if (script.answer === undefined) throw new Error('a question that nobody answers')
        step = conversation.next(script.answer(want.question))
        break
    }
  }
  return { result: step.value, sent: join(...sent), left: input }
}

/** Two conversations, each the other's peer, until both have ended. */
export function playTogether<A, QA, B>(
  a: Conversation<A, QA>,
  b: Conversation<B>,
  answer: (question: QA) => unknown,
): [A, B] {
  const wires: Record<'a' | 'b', Uint8Array> = { a: new Uint8Array(0), b: new Uint8Array(0) }
  let [ofA, ofB] = [a.next(), b.next()]
  for (let idle = 0; idle < 2; ) {
    const done = Number(ofA.done ?? false) + Number(ofB.done ?? false)
    if (done === 2) break
    idle++
    if (!ofA.done) {
      const next = carryOut(ofA.value, wires, 'a', answer)
      if (next !== undefined) [ofA, idle] = [a.next(next.value), 0]
    }
    if (!ofB.done) {
      const next = carryOut(ofB.value, wires, 'b', () => undefined)
      if (next !== undefined) [ofB, idle] = [b.next(next.value), 0]
    }
  }
  if (!ofA.done || !ofB.done) throw new Error('both wait')
  return [ofA.value, ofB.value]
}

/** What a want is answered with; undefined while its bytes have not come. */
function carryOut<Q>(
  want: Want<Q>,
  wires: Record<'a' | 'b', Uint8Array>,
  side: 'a' | 'b',
  answer: (question: Q) => unknown,
): { value?: unknown } | undefined {
  const other = side === 'a' ? 'b' : 'a'
  switch (want.type) {
    case 'send':
      wires[other] = join(wires[other], want.bytes)
      return {}
    case 'start-tls':
      wires[other] = join(wires[other], want.reply)
      return { value: NO_TLS }
    case 'ask':
      return { value: answer(want.question) }
    case 'read': {
      if (wires[side].length < want.length) return undefined
      const value = wires[side].slice(0, want.length)
      wires[side] = wires[side].slice(want.length)
      return { value }
    }
  }
}

export interface Part {
  readonly from: Side
  readonly bytes: Uint8Array
}

/** One thing a relay did, in a form that can be compared: sends of one side in a row are one. */
export interface Done {
  readonly to?: Side
  readonly hex?: string
  readonly event?: RelayEvent['type']
  readonly op?: number
  readonly step?: 'hold' | 'judge' | 'cancel' | 'close'
  readonly [more: string]: unknown
}

/** Collects steps as the pump would carry them out, copying every view at once. */
export class Ledger {
  readonly done: Done[] = []
  readonly #last: Record<Side, Uint8Array[]> = { client: [], target: [] }

  take(steps: readonly Step[]): readonly Step[] {
    for (const step of steps) this.#add(step)
    return steps
  }

  bytes(to: Side): Uint8Array {
    return join(...this.#last[to])
  }

  events(): Done[] {
    return this.done.filter((one) => 'event' in one)
  }

  #add(step: Step): void {
    switch (step.type) {
      case 'send': {
        this.#last[step.to].push(step.bytes.slice())
        const before = this.done.at(-1)
        if (before?.to === step.to) {
          this.done[this.done.length - 1] = { to: step.to, hex: `${before.hex}${hex(step.bytes)}` }
        } else this.done.push({ to: step.to, hex: hex(step.bytes) })
        return
      }
      case 'record':
        this.done.push(plainEvent(step.event))
        return
      case 'judge':
        this.done.push({
          step: 'judge',
          text: Buffer.from(step.statement.text).toString(),
          database: step.statement.database,
          dependable: step.statement.dependable,
        })
        return
      case 'close':
        this.done.push({ step: 'close', ...step.reason })
        return
      case 'hold':
      case 'cancel':
        this.done.push({ step: step.type })
    }
  }
}

/** Payloads as text under their type, in order; a body that is JSON is shown as what it says. */
function plainEvent(event: RelayEvent): Done {
  const { type, op, ...rest } = event
  const plain: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(rest)) {
    if (name === 'payloads')
      for (const { type: of, body } of event.type === 'data' ? [] : (event.payloads ?? [])) {
        plain[of] = readable(body)
      }
    else plain[name] = value instanceof Uint8Array ? hex(value) : value
  }
  return { event: type, op, ...plain }
}

function readable(body: Uint8Array): unknown {
  const string = Buffer.from(body).toString()
  try {
    return string.startsWith('{') || string.startsWith('[') ? JSON.parse(string) : string
  } catch {
    return string
  }
}

/** Feeds a recorded exchange, each part cut as told; `judge` refuses what it gives a refusal for. */
export function playRelay(
  relay: Relay,
  parts: readonly Part[],
  cut: (bytes: Uint8Array) => Uint8Array[],
  judge: (text: string) => Refusal | undefined = () => undefined,
): Ledger {
  const ledger = new Ledger()
  const take = (steps: readonly Step[]): void => {
    for (const step of ledger.take(steps)) {
      if (step.type !== 'judge') continue
      const refusal = judge(Buffer.from(step.statement.text).toString())
      take(
        relay.verdict(
          refusal === undefined ? { allow: true, rule: 'r' } : { allow: false, rule: 'no', refusal },
        ),
      )
    }
  }
  for (const { from, bytes } of parts) {
    for (const piece of cut(bytes)) {
      // A reused read buffer: what the relay keeps must not be a view of it.
      const buffer = piece.slice()
      take(relay.receive(from, buffer))
      buffer.fill(0xee)
    }
  }
  return ledger
}

export const whole = (bytes: Uint8Array): Uint8Array[] => [bytes]

export const bytewise = (bytes: Uint8Array): Uint8Array[] => [...bytes].map((byte) => Uint8Array.of(byte))

export function cutAt(at: number): (bytes: Uint8Array) => Uint8Array[] {
  return (bytes) => (at <= 0 || at >= bytes.length ? [bytes] : [bytes.subarray(0, at), bytes.subarray(at)])
}
