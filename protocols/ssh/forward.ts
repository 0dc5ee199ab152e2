/**
 * One forwarded connection, from either side. What it is for is recorded, and how many bytes went each way: the
 * content may be anything, a further SSH among it, and the record says that it was not looked at.
 */
import type { Outcome } from '../events.ts'
import type { Verdict } from '../relay.ts'
import type { Stream } from './channel.ts'
import type { Channels } from './channels.ts'
import { OPEN_FAILURE } from './messages.ts'
import type { Operations } from './operations.ts'
import { address, args, meta } from './payloads.ts'
import { refusalText } from './refusal.ts'
import type { Forwarded } from './requests.ts'
import type { Destination, HostCommand, ProgramEvent, Steps } from './steps.ts'

export interface ForwardParts {
  readonly channels: Channels
  readonly operations: Operations
  readonly steps: Steps
  recordId(op: number): string
}

export class Forward {
  readonly #id: number
  readonly #parts: ForwardParts
  #op: number | undefined
  #confirmed = false
  #sent = 0
  #received = 0

  constructor(id: number, parts: ForwardParts) {
    this.#id = id
    this.#parts = parts
  }

  // Asked for by the person.

  verdict(destination: Destination, verdict: Verdict): void {
    const { operations, channels, steps } = this.#parts
    const facts = {
      act: 'ssh.forward',
      payloads: [address(destination), origin(destination)],
      rule: verdict.rule,
    } as const
    if (!verdict.allow) {
      const op = operations.decline(facts)
      steps.hold()
      const { refusal } = verdict
      const text = new TextDecoder().decode(refusalText(refusal, this.#parts.recordId(op), false))
      channels.refuse(this.#id, OPEN_FAILURE.ADMINISTRATIVELY_PROHIBITED, text.trimEnd())
      return
    }
    this.#op = operations.begin(facts)
    this.#host({ type: 'connect', channel: this.#id, destination })
  }

  // Asked for by the host, and accepted by the person's client.

  accept(incoming: number, forwarded: Forwarded, rule: string | undefined): void {
    const payloads =
      forwarded.type === 'auth-agent@openssh.com'
        ? [args({ type: forwarded.type })]
        : [address(forwarded), origin(forwarded)]
    this.#op = this.#parts.operations.begin({ act: 'ssh.forward', payloads, rule })
    this.#confirmed = true
    this.#parts.channels.flow(this.#id)
    this.#host({ type: 'accept', incoming, channel: this.#id })
  }

  data(bytes: Uint8Array): void {
    this.#sent += bytes.length
    this.#host({ type: 'write', channel: this.#id, bytes })
  }

  eof(): void {
    this.#host({ type: 'eof', channel: this.#id })
  }

  close(): void {
    if (this.#op !== undefined) this.#host({ type: 'close', channel: this.#id })
  }

  host(event: ProgramEvent): void {
    const { channels, steps } = this.#parts
    switch (event.type) {
      case 'started':
        this.#confirmed = true
        channels.confirm(this.#id)
        channels.flow(this.#id)
        return
      case 'refused':
        this.end('error', 'refused')
        steps.hold()
        if (this.#confirmed) channels.close(this.#id)
        else channels.refuse(this.#id, event.reason, event.message)
        return
      case 'data':
        this.#received += event.bytes.length
        channels.write(this.#id, 'output' satisfies Stream, event.bytes)
        return
      case 'eof':
        channels.writeEof(this.#id)
        return
      case 'ending':
        return
      case 'closed':
        this.end('ok')
        steps.hold()
        channels.close(this.#id)
    }
  }

  end(outcome: Outcome, code?: string): void {
    if (this.#op === undefined) return
    const bytes = this.#sent + this.#received
    const payloads = [meta({ sent: this.#sent, received: this.#received, content: 'not recorded' })]
    this.#parts.operations.end(this.#op, {
      outcome,
      bytes,
      payloads,
      ...(code === undefined ? {} : { code }),
    })
  }

  #host(command: HostCommand): void {
    this.#parts.steps.push({ type: 'host', command })
  }
}

/** What the client says of where the connection comes from: a claim. */
function origin(place: Destination | Forwarded) {
  if (!('originator' in place)) return args({ type: place.type })
  return args({ type: place.type, originator: place.originator, originatorPort: place.originatorPort })
}
