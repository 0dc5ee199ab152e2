/**
 * What an authenticated person's channels do, and what of it reaches the host: each channel, its policy and its
 * record by itself. Channel events and host events come in, steps go out through the shared list.
 */
import { ProtocolError, Writer } from '../bytes.ts'
import type { Refusal, Verdict } from '../relay.ts'
import type { ChannelEvent, Channels, GlobalTicket } from './channels.ts'
import { Forward } from './forward.ts'
import { Operations } from './operations.ts'
import { address, addressOf, args } from './payloads.ts'
import { PlainTap } from './plain-tap.ts'
import type { Forwarded, GlobalRequest, OpenRequest } from './requests.ts'
import { Session, type SessionParts } from './session.ts'
import { SftpTap } from './sftp-tap.ts'
import type { Endpoint, HostEvent, Program, Steps, Terminal, Wish } from './steps.ts'
import type { Tap, TapPorts } from './tap.ts'
import { TerminalTap } from './terminal-tap.ts'

export interface RelayOptions {
  /** The recorded session's id, by which a refused person can name the record. */
  readonly session: string
  /** The number that the first operation takes; 1 unless the session has had some already. */
  readonly firstOperation?: number
  /** Whether the standard input of programs without a terminal is kept, up to a mebibyte, or only hashed. */
  readonly stdin: 'keep' | 'hash'
  /** Whether what programs and terminals put out is kept. */
  readonly output: boolean
  /** Names of environment variables that pass; a trailing `*` stands for the rest. */
  readonly variables: readonly string[]
  readonly agentForwarding: boolean
  /** Ends a terminal's session when more is entered unseen than a password prompt asks for. */
  readonly strictEcho: boolean
  /** Runs in place of every program, by a certificate's demand. */
  readonly forceCommand?: string
}

const LISTENERS_MAX = 64
const JUDGEMENTS_MAX = 512
const BANNER_LENGTH_MAX = 8192

interface Listener {
  readonly endpoint: Endpoint
  readonly rule: string | undefined
}

export class Relay {
  readonly #channels: Channels
  readonly #steps: Steps
  readonly #options: RelayOptions
  readonly #operations: Operations
  readonly #sessions = new Map<number, Session>()
  readonly #forwards = new Map<number, Forward>()
  /** What waits for the policy's word, by the number of the question. */
  readonly #judged = new Map<number, (verdict: Verdict) => void>()
  #nextJudgement = 1
  /** What waits for the host's word on a listener. */
  readonly #listening = new Map<number, (success: boolean, port: number) => void>()
  #nextListen = 1
  readonly #listeners = new Map<string, Listener>()
  /** What the host said at login, until a terminal has shown it. */
  #banner = ''
  /** Connections of the host's that the person's client has yet to accept, by channel. */
  readonly #incoming = new Map<number, { readonly incoming: number; readonly forwarded: Forwarded }>()

  constructor(channels: Channels, steps: Steps, options: RelayOptions) {
    this.#channels = channels
    this.#steps = steps
    this.#options = options
    this.#operations = new Operations(
      (event) => steps.push({ type: 'record', event }),
      options.firstOperation ?? 1,
    )
  }

  get idle(): boolean {
    return this.#operations.idle
  }

  person(event: ChannelEvent): void {
    switch (event.type) {
      case 'open':
        this.#open(event.channel, event.request)
        return
      case 'request':
        this.#sessions.get(event.channel)?.request(event.request, event.ticket)
        return
      case 'data':
        this.#at(event.channel)?.data(event.bytes)
        return
      case 'eof':
        this.#at(event.channel)?.eof()
        return
      case 'close':
        this.#close(event.channel)
        if (this.#sessions.get(event.channel)?.over) this.#sessions.delete(event.channel)
        return
      case 'opened':
        this.#opened(event.channel)
        return
      case 'open-failed':
        this.#turnedAway(event.channel)
        return
      case 'global':
        this.#global(event.request, event.ticket)
    }
  }

  verdict(id: number, verdict: Verdict): void {
    const waiting = this.#judged.get(id)
    this.#judged.delete(id)
    waiting?.(verdict)
  }

  host(event: HostEvent): void {
    switch (event.type) {
      case 'taken':
        this.#channels.grow(event.channel, event.bytes)
        return
      case 'listening': {
        const waiting = this.#listening.get(event.id)
        this.#listening.delete(event.id)
        waiting?.(event.success, event.port)
        return
      }
      case 'incoming':
        this.#offer(event.incoming, event.forwarded)
        return
      case 'banner':
        this.#banner = event.text.slice(0, BANNER_LENGTH_MAX)
        return
      default:
        if (event.type === 'data') this.#channels.spend(event.channel, event.bytes.length)
        this.#at(event.channel)?.host(event)
        if (event.type !== 'closed' && event.type !== 'refused') return
        this.#sessions.delete(event.channel)
        this.#forwards.delete(event.channel)
    }
  }

  /** The connection is over: what is open ends as aborted. */
  abort(): void {
    for (const session of this.#sessions.values()) session.abort()
    for (const forward of this.#forwards.values()) forward.end('aborted')
    this.#sessions.clear()
    this.#forwards.clear()
    this.#judged.clear()
    this.#listening.clear()
  }

  /** Why the session must end by what its terminals show; undefined as long as it need not. */
  tick(nowMs: number): Refusal | undefined {
    for (const session of this.#sessions.values()) {
      const refusal = session.tick(nowMs)
      if (refusal !== undefined) return refusal
    }
    return undefined
  }

  /** Says on every open program's standard error why it ends. */
  stop(refusal: Refusal): void {
    for (const session of this.#sessions.values()) session.stop(refusal, refusal.record)
    this.abort()
  }

  /** What still runs at the host is told, and answers the person when it has ended; nothing else waits. */
  #close(channel: number): void {
    const there = this.#at(channel)
    if (there === undefined) this.#channels.close(channel)
    else there.close()
  }

  #at(channel: number): Session | Forward | undefined {
    return this.#sessions.get(channel) ?? this.#forwards.get(channel)
  }

  #open(id: number, request: OpenRequest): void {
    if (request.type === 'session') {
      this.#sessions.set(id, new Session(id, this.#sessionParts(id)))
      this.#channels.confirm(id)
      return
    }
    const forward = new Forward(id, this.#forwardParts())
    this.#judge({ type: 'connect', address: addressOf(request) }, (verdict) => {
      // Only now the host is asked: what is told of it before means nothing, and must not end it.
      if (verdict.allow) this.#forwards.set(id, forward)
      forward.verdict(request, verdict)
    })
  }

  /** The person's client takes a connection of the host's: only now is it accepted there. */
  #opened(id: number): void {
    const offered = this.#incoming.get(id)
    if (offered === undefined) return
    this.#incoming.delete(id)
    const forward = new Forward(id, this.#forwardParts())
    this.#forwards.set(id, forward)
    forward.accept(offered.incoming, offered.forwarded, this.#listenerOf(offered.forwarded)?.rule)
  }

  #turnedAway(id: number): void {
    const offered = this.#incoming.get(id)
    if (offered === undefined) return
    this.#incoming.delete(id)
    this.#steps.push({ type: 'host', command: { type: 'reject', incoming: offered.incoming } })
  }

  #offer(incoming: number, forwarded: Forwarded): void {
    const agent = forwarded.type === 'auth-agent@openssh.com'
    const expected = agent ? this.#options.agentForwarding : this.#listenerOf(forwarded) !== undefined
    const channel = expected ? this.#channels.openForwarded(forwarded) : undefined
    if (channel === undefined) this.#steps.push({ type: 'host', command: { type: 'reject', incoming } })
    else this.#incoming.set(channel, { incoming, forwarded })
  }

  #listenerOf(forwarded: Forwarded): Listener | undefined {
    if (forwarded.type === 'auth-agent@openssh.com') return undefined
    return this.#listeners.get(addressOf(forwarded))
  }

  #global(request: GlobalRequest, ticket: GlobalTicket | undefined): void {
    switch (request.type) {
      case 'tcpip-forward':
        this.#listen({ type: 'tcp', host: request.host, port: request.port }, ticket)
        return
      case 'streamlocal-forward@openssh.com':
        this.#listen({ type: 'path', path: request.path }, ticket)
        return
      case 'cancel-tcpip-forward':
        this.#unlisten({ type: 'tcp', host: request.host, port: request.port }, ticket)
        return
      case 'cancel-streamlocal-forward@openssh.com':
        this.#unlisten({ type: 'path', path: request.path }, ticket)
        return
      default:
        this.#channels.replyGlobal(ticket, false)
    }
  }

  #listen(endpoint: Endpoint, ticket: GlobalTicket | undefined): void {
    const payloads = [address(endpoint), args({ type: 'listen' })]
    this.#judge({ type: 'listen', address: addressOf(endpoint) }, (verdict) => {
      const facts = { act: 'ssh.forward', payloads, rule: verdict.rule } as const
      if (!verdict.allow || this.#listeners.size >= LISTENERS_MAX) {
        this.#operations.decline(facts)
        this.#steps.hold()
        this.#channels.replyGlobal(ticket, false)
        return
      }
      const op = this.#operations.begin(facts)
      const id = this.#nextListen++
      this.#steps.push({ type: 'host', command: { type: 'listen', id, endpoint } })
      this.#listening.set(id, (success, port) => {
        this.#operations.end(op, { outcome: success ? 'ok' : 'error' })
        this.#steps.hold()
        const chosen = endpoint.type === 'tcp' && endpoint.port === 0
        const bound: Endpoint = chosen ? { ...endpoint, port } : endpoint
        if (success) this.#listeners.set(addressOf(bound), { endpoint: bound, rule: verdict.rule })
        const fields = chosen ? new Writer(4).uint32(port).done() : undefined
        this.#channels.replyGlobal(ticket, success, fields)
      })
    })
  }

  #unlisten(endpoint: Endpoint, ticket: GlobalTicket | undefined): void {
    if (!this.#listeners.delete(addressOf(endpoint))) {
      this.#channels.replyGlobal(ticket, false)
      return
    }
    const id = this.#nextListen++
    this.#steps.push({ type: 'host', command: { type: 'unlisten', id, endpoint } })
    this.#listening.set(id, (success) => this.#channels.replyGlobal(ticket, success))
  }

  #judge(wish: Wish, answered: (verdict: Verdict) => void): void {
    if (this.#judged.size >= JUDGEMENTS_MAX) throw new ProtocolError('too many requests at once')
    const id = this.#nextJudgement++
    this.#judged.set(id, answered)
    this.#steps.push({ type: 'judge', id, wish })
  }

  #forwardParts() {
    return {
      channels: this.#channels,
      operations: this.#operations,
      steps: this.#steps,
      recordId: (op: number) => this.#recordId(op),
    }
  }

  #sessionParts(id: number): SessionParts {
    const { variables, agentForwarding, forceCommand } = this.#options
    return {
      ...this.#forwardParts(),
      agentForwarding,
      takeBanner: () => {
        const banner = this.#banner
        this.#banner = ''
        return banner
      },
      judge: (program, terminal) =>
        this.#judge({ type: 'program', program, terminal }, (verdict) =>
          this.#sessions.get(id)?.verdict(verdict),
        ),
      instead: (program) =>
        forceCommand === undefined
          ? program
          : { type: 'exec', command: new TextEncoder().encode(forceCommand) },
      tap: (ports, program, terminal) => this.#tap(ports, program, terminal),
      allowsVariable: (name) =>
        variables.some((allowed) =>
          allowed.endsWith('*') ? name.startsWith(allowed.slice(0, -1)) : name === allowed,
        ),
    }
  }

  #tap(ports: TapPorts, program: Program, terminal: Terminal | undefined): Tap {
    const { stdin, output, strictEcho } = this.#options
    if (terminal !== undefined) return new TerminalTap(ports, terminal, { output, strictEcho })
    if (program.type === 'subsystem' && program.name === 'sftp') return new SftpTap(ports)
    const command = program.type === 'exec' ? program.command : new Uint8Array(0)
    return new PlainTap(ports, { command, stdin, output })
  }

  #recordId(op: number): string {
    return `${this.#options.session}.${op}`
  }
}
