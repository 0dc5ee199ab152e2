/** A host that lives in the test: a few programs, which obey the credit they are given and no more. */

import type { HostCommand, HostEvent } from '../../protocols/ssh/index.ts'
import type { Ending } from '../../protocols/ssh/requests.ts'
import type { HostSide } from './ssh-gate.ts'

type Start = Extract<HostCommand, { type: 'start' }>

interface Running {
  readonly start: Start
  credit: number
  /** What is still to be put out, in order. */
  pending: { stream: 'output' | 'stderr'; bytes: Uint8Array }[]
  ending: Ending | undefined
  inputEnded: boolean
}

/** `cat`; `exit N`; `both MIB`, on both streams; `wait`, which never ends; anything else ends with its input. */
export class Programs implements HostSide {
  readonly commands: HostCommand[] = []
  readonly #tell: (event: HostEvent) => void
  readonly #running = new Map<number, Running>()

  constructor(tell: (event: HostEvent) => void) {
    this.#tell = tell
  }

  command(command: HostCommand): void {
    this.commands.push(command)
    // As over a network: nothing is answered within the call.
    setImmediate(() => this.#obey(command))
  }

  credit(channel: number, bytes: number): void {
    const program = this.#running.get(channel)
    if (program === undefined) return
    program.credit += bytes
    setImmediate(() => this.#put(channel, program))
  }

  end(): void {
    this.#running.clear()
  }

  #obey(command: HostCommand): void {
    if (command.type === 'start') {
      this.#start(command)
      return
    }
    if (!('channel' in command)) return
    const { channel } = command
    const program = this.#running.get(channel)
    if (program === undefined) return
    switch (command.type) {
      case 'write':
        if (name(program.start) === 'cat') program.pending.push({ stream: 'output', bytes: command.bytes })
        this.#tell({ type: 'taken', channel, bytes: command.bytes.length })
        break
      case 'eof':
        program.inputEnded = true
        if (!['both', 'wait'].includes(name(program.start)))
          program.ending ??= { type: 'exit-status', status: 0 }
        break
      case 'close':
        this.#running.delete(channel)
        this.#tell({ type: 'closed', channel })
        return
      default:
    }
    this.#put(channel, program)
  }

  #start(start: Start): void {
    const { channel } = start
    const program: Running = { start, credit: 0, pending: [], ending: undefined, inputEnded: false }
    this.#running.set(channel, program)
    this.#tell({ type: 'started', channel })
    const [verb, argument = '0'] = text(start).split(' ')
    if (verb === 'exit') program.ending = { type: 'exit-status', status: Number(argument) }
    if (verb === 'both') {
      const bytes = new Uint8Array(64 * 1024)
      for (let i = 0; i < Number(argument) * 16; i++) {
        program.pending.push({ stream: 'output', bytes: bytes.fill(i) }, { stream: 'stderr', bytes })
      }
      program.ending = { type: 'exit-status', status: 0 }
    }
    this.#put(channel, program)
  }

  #put(channel: number, program: Running): void {
    while (program.credit > 0) {
      const head = program.pending.shift()
      if (head === undefined) break
      program.credit -= head.bytes.length
      this.#tell({ type: 'data', channel, stream: head.stream, bytes: head.bytes })
    }
    if (program.pending.length > 0 || program.ending === undefined) return
    if (!this.#running.delete(channel)) return
    this.#tell({ type: 'eof', channel })
    this.#tell({ type: 'ending', channel, ending: program.ending })
    this.#tell({ type: 'closed', channel })
  }
}

function text(start: Start): string {
  return start.program.type === 'exec' ? new TextDecoder().decode(start.program.command) : start.program.type
}

function name(start: Start): string {
  return text(start).split(' ')[0] ?? ''
}
