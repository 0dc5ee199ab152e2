/**
 * One session channel (RFC 4254, section 6): what the person sets up, the program they ask for, the policy's
 * word on it, and the program's life at the host. The host hears of it all at once, with the program.
 */
import { decodeLossy } from '../bytes.ts'
import type { Act, OutcomeFacts, Payload } from '../events.ts'
import type { Refusal, Verdict } from '../relay.ts'
import type { Stream, Ticket } from './channel.ts'
import type { Channels } from './channels.ts'
import type { Operations } from './operations.ts'
import { args, command, surroundings } from './payloads.ts'
import { bannerText, REFUSED_STATUS, refusalText } from './refusal.ts'
import type { ChannelRequest, Ending, TerminalSize } from './requests.ts'
import type { HostCommand, Program, ProgramEvent, Steps, Terminal, Variable } from './steps.ts'
import type { Tap, TapPorts } from './tap.ts'

const VARIABLES_MAX = 64
const VARIABLES_BYTES_MAX = 32 * 1024
/** Names of terminals are of terminfo. */
const TERM = /^[\x21-\x7e]{0,256}$/
const MODES_LENGTH_MAX = 4096

/** What a session needs of the connection around it. */
export interface SessionParts {
  readonly channels: Channels
  readonly operations: Operations
  readonly steps: Steps
  /** Asks the policy; the answer comes to `verdict`. */
  judge(program: Program, terminal: boolean): void
  /** The program that runs in place of the one that was asked for, by a certificate's demand. */
  instead(program: Program): Program
  tap(ports: TapPorts, program: Program, terminal: Terminal | undefined): Tap
  allowsVariable(name: string): boolean
  readonly agentForwarding: boolean
  /** What the host said at login, once; empty when it said nothing. */
  takeBanner(): string
  /** The id of a record, for the person to name it by. */
  recordId(op: number): string
}

/** What came before the program ran, in order and bounded by the window. */
type Early = { readonly type: 'data'; readonly bytes: Uint8Array } | { readonly type: 'eof' }

/** The host's end may outlive the program's: see `#hosted`. */
type State = 'waiting' | 'judged' | 'starting' | 'running' | 'ended'

export class Session {
  readonly #id: number
  readonly #parts: SessionParts
  #state: State = 'waiting'
  /** Whether the host has been told of this channel and has not closed it. */
  #hosted = false
  #terminal: Terminal | undefined
  #variables: Variable[] = []
  #variablesBytes = 0
  #agent = false
  #program: Program | undefined
  #ticket: Ticket | undefined
  #op = 0
  #tap: Tap | undefined
  #early: Early[] = []

  constructor(id: number, parts: SessionParts) {
    this.#id = id
    this.#parts = parts
  }

  // From the person.

  request(request: ChannelRequest, ticket: Ticket | undefined): void {
    switch (request.type) {
      case 'shell':
      case 'exec':
      case 'subsystem':
        this.#ask(request, ticket)
        return
      case 'window-change':
        this.#resize(request)
        this.#reply(ticket, true)
        return
      case 'signal':
      case 'break': {
        const running = this.#state === 'running' || this.#state === 'starting'
        if (running) this.#host({ ...request, channel: this.#id })
        this.#reply(ticket, running)
        return
      }
      case 'eow@openssh.com':
        // The person's side reads no more output; it says the same by closing, which the host is told.
        this.#reply(ticket, true)
        return
      default:
        this.#reply(ticket, this.#state === 'waiting' && this.#prepare(request))
    }
  }

  data(bytes: Uint8Array): void {
    if (this.#tap !== undefined) this.#tap.fromPerson(bytes)
    else if (this.#state !== 'ended') this.#early.push({ type: 'data', bytes })
  }

  eof(): void {
    if (this.#tap !== undefined) this.#host({ type: 'eof', channel: this.#id })
    else if (this.#state !== 'ended') this.#early.push({ type: 'eof' })
  }

  /** The person has closed the channel; what becomes of the program is still recorded. */
  close(): void {
    if (this.#hosted) {
      this.#host({ type: 'close', channel: this.#id })
      return
    }
    this.#state = 'ended'
    this.#parts.channels.close(this.#id)
  }

  /** Nothing further can happen here. */
  get over(): boolean {
    return this.#state === 'ended' && !this.#hosted
  }

  // From the policy.

  verdict(verdict: Verdict): void {
    const program = this.#program
    if (this.#state !== 'judged' || program === undefined) return
    if (verdict.allow) this.#start(program, verdict.rule)
    else this.#refuse(program, verdict.refusal, verdict.rule)
  }

  /** Ends the session with an explanation: a limit, an administrator. */
  stop(refusal: Refusal, record: string): void {
    if (this.#state === 'ended') return
    this.#finish({ outcome: 'aborted' })
    this.#explain(refusal, record)
  }

  tick(nowMs: number): Refusal | undefined {
    return this.#tap?.tick(nowMs)
  }

  // From the host.

  host(event: ProgramEvent): void {
    switch (event.type) {
      case 'started':
        if (this.#state !== 'starting') return
        this.#state = 'running'
        this.#reply(this.#ticket, true)
        this.#showBanner()
        this.#parts.channels.flow(this.#id)
        return
      case 'refused':
        this.#hosted = false
        this.#finish({ outcome: 'error', code: 'refused' })
        this.#parts.steps.hold()
        this.#reply(this.#ticket, false)
        this.#parts.channels.close(this.#id)
        return
      case 'data':
        if (this.#state === 'running') this.#tap?.fromHost(event.stream, event.bytes)
        return
      case 'eof':
        this.#parts.channels.writeEof(this.#id)
        return
      case 'ending':
        this.#end(event.ending)
        return
      case 'closed':
        this.#hosted = false
        this.abort()
        this.#parts.steps.hold()
        this.#parts.channels.close(this.#id)
    }
  }

  /** The program ended, or the connection did, and nobody said how. */
  abort(): void {
    this.#finish({ outcome: 'aborted' })
  }

  #prepare(
    request: Extract<ChannelRequest, { type: 'pty-req' | 'env' | 'auth-agent-req@openssh.com' }>,
  ): boolean {
    switch (request.type) {
      case 'pty-req': {
        const { type: _, ...terminal } = request
        if (this.#terminal !== undefined) return false
        if (!TERM.test(terminal.term) || terminal.modes.length > MODES_LENGTH_MAX) return false
        this.#terminal = terminal
        return true
      }
      case 'env': {
        const { name, value } = request
        this.#variablesBytes += name.length + value.length
        if (this.#variables.length >= VARIABLES_MAX || this.#variablesBytes > VARIABLES_BYTES_MAX)
          return false
        if (!this.#parts.allowsVariable(name)) return false
        this.#variables.push({ name, value })
        return true
      }
      case 'auth-agent-req@openssh.com':
        this.#agent = this.#parts.agentForwarding
        return this.#agent
    }
  }

  #resize({ columns, rows, width, height }: TerminalSize): void {
    if (this.#terminal === undefined) return
    const size = { columns, rows, width, height }
    this.#terminal = { ...this.#terminal, ...size }
    this.#tap?.resize(size)
    if (this.#tap !== undefined) this.#host({ type: 'resize', channel: this.#id, size })
  }

  /** One program per channel; a second one is answered by failure, as sshd does. */
  #ask(program: Program, ticket: Ticket | undefined): void {
    if (this.#state !== 'waiting') {
      this.#reply(ticket, false)
      return
    }
    this.#state = 'judged'
    this.#program = program
    this.#ticket = ticket
    this.#parts.judge(program, this.#terminal !== undefined)
  }

  #start(asked: Program, rule: string | undefined): void {
    const program = this.#parts.instead(asked)
    // A subsystem speaks a protocol: a terminal would be in its way, and what is typed into it unrecorded.
    if (program.type === 'subsystem') this.#terminal = undefined
    const terminal = this.#terminal
    const variables = this.#variables
    this.#op = this.#parts.operations.begin({
      act: ACTS[program.type],
      payloads: this.#payloads(program, asked),
      rule,
    })
    this.#state = 'starting'
    this.#hosted = true
    this.#host({ type: 'start', channel: this.#id, program, terminal, variables, agent: this.#agent })
    this.#tap = this.#parts.tap(this.#ports(), program, terminal)
    const early = this.#early
    this.#early = []
    for (const event of early) {
      if (event.type === 'data') this.data(event.bytes)
      else this.eof()
    }
  }

  #payloads(program: Program, asked: Program): readonly Payload[] {
    const facts = {
      ...surroundings(this.#terminal, this.#variables, this.#agent),
      ...(asked === program ? {} : { asked: decodeLossy(command(asked).body) }),
    }
    return Object.keys(facts).length === 0 ? [command(program)] : [command(program), args(facts)]
  }

  #ports(): TapPorts {
    const { operations, channels, steps } = this.#parts
    return {
      operations,
      op: this.#op,
      toHost: (bytes) => this.#host({ type: 'write', channel: this.#id, bytes }),
      toPerson: (stream: Stream, bytes) => channels.write(this.#id, stream, bytes),
      hold: () => steps.hold(),
    }
  }

  /** Directly, the client would have shown it; where no terminal looks on it would only disturb a script. */
  #showBanner(): void {
    if (this.#terminal === undefined) return
    const banner = this.#parts.takeBanner()
    if (banner !== '') this.#parts.channels.write(this.#id, 'stderr', bannerText(banner))
  }

  #refuse(program: Program, refusal: Refusal, rule: string | undefined): void {
    const { operations } = this.#parts
    const op = operations.decline({
      act: ACTS[program.type],
      payloads: this.#payloads(program, program),
      rule,
    })
    this.#state = 'ended'
    this.#early = []
    this.#parts.steps.hold()
    // The client says more of a program that ended than of a request that failed.
    this.#reply(this.#ticket, true)
    this.#explain(refusal, this.#parts.recordId(op))
  }

  #explain(refusal: Refusal, record: string): void {
    const { channels } = this.#parts
    channels.write(this.#id, 'stderr', refusalText(refusal, record, this.#terminal !== undefined))
    channels.writeEof(this.#id)
    channels.writeEnding(this.#id, { type: 'exit-status', status: REFUSED_STATUS })
    channels.close(this.#id)
  }

  #end(ending: Ending): void {
    if (ending.type === 'exit-status') {
      const outcome = ending.status === 0 ? 'ok' : 'error'
      this.#finish({ outcome, code: String(ending.status) })
    } else {
      const known = /^[A-Z0-9]{1,16}$/.test(ending.signal)
      this.#finish({ outcome: 'error', code: known ? `SIG${ending.signal}` : 'other' })
    }
    this.#parts.steps.hold()
    this.#parts.channels.writeEnding(this.#id, ending)
  }

  #finish(facts: OutcomeFacts): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#early = []
    if (this.#tap === undefined) return
    this.#parts.operations.end(this.#op, { ...facts, ...this.#tap.facts() })
    this.#tap = undefined
  }

  #reply(ticket: Ticket | undefined, success: boolean): void {
    this.#parts.channels.reply(this.#id, ticket, success)
  }

  #host(command: HostCommand): void {
    this.#parts.steps.push({ type: 'host', command })
  }
}

const ACTS: Readonly<Record<Program['type'], Act>> = {
  exec: 'ssh.exec',
  shell: 'ssh.shell',
  subsystem: 'ssh.subsystem',
}
