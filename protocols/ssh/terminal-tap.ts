/**
 * A program with a terminal: its output as it was shown, its sizes, and the commands that can be derived from
 * both. What the person types is passed on and never recorded: it may be a password.
 */
import { encodeText } from '../bytes.ts'
import type { OutcomeFacts } from '../events.ts'
import type { Refusal } from '../relay.ts'
import type { Stream } from './channel.ts'
import { type Json, meta } from './payloads.ts'
import type { TerminalSize } from './requests.ts'
import type { Tap, TapPorts } from './tap.ts'
import { TerminalWatch } from './terminal.ts'

/** A password prompt's worth, with its repetitions: sudo asks three times, passwd for three passwords. */
const UNECHOED_LINES_MAX = 4
const UNECHOED_CHARACTERS_MAX = 512

/** What a terminal of unknown size is taken for. */
const COLUMNS = 80
const ROWS = 24

export interface TerminalTapOptions {
  /** Whether what it shows is kept; what is derived from it is in any case. */
  readonly output: boolean
  readonly strictEcho: boolean
}

export class TerminalTap implements Tap {
  readonly #ports: TapPorts
  readonly #options: TerminalTapOptions
  readonly #watch: TerminalWatch
  #bytes = 0
  #commands = 0

  constructor(ports: TapPorts, size: Pick<TerminalSize, 'columns' | 'rows'>, options: TerminalTapOptions) {
    this.#ports = ports
    this.#options = options
    this.#watch = new TerminalWatch(size.columns || COLUMNS, size.rows || ROWS)
    this.#size(size)
  }

  fromPerson(bytes: Uint8Array): void {
    this.#watch.typed(bytes)
    this.#ports.toHost(bytes)
  }

  fromHost(stream: Stream, bytes: Uint8Array): void {
    this.#bytes += bytes.length
    if (this.#options.output) this.#record(stream === 'output' ? 'o' : 'e', bytes)
    for (const derived of this.#watch.shown(bytes)) {
      if ('status' in derived) this.#frame('m', JSON.stringify({ status: derived.status }))
      else {
        this.#commands++
        this.#frame('m', JSON.stringify({ command: derived.text, by: derived.by }))
      }
    }
    this.#ports.toPerson(stream, bytes)
  }

  resize(size: TerminalSize): void {
    this.#watch.resize(size.columns || COLUMNS, size.rows || ROWS)
    this.#size(size)
  }

  tick(nowMs: number): Refusal | undefined {
    this.#watch.tick(nowMs)
    const { lines, characters } = this.#watch.unechoedInARow
    if (!this.#options.strictEcho || (lines <= UNECHOED_LINES_MAX && characters <= UNECHOED_CHARACTERS_MAX))
      return undefined
    return {
      cause: 'limit',
      what: `${lines} lines were entered that this terminal did not show`,
      why: 'What is entered here must be visible in the recording.',
      next: 'Turn echo on again (stty echo) before you enter commands.',
      record: '',
    }
  }

  facts(): Pick<OutcomeFacts, 'bytes' | 'payloads'> {
    const { lines, characters } = this.#watch.unechoed
    const facts: Record<string, Json> = { commands: this.#commands }
    if (lines > 0) facts['unechoed'] = { lines, characters }
    return { bytes: this.#bytes, payloads: [meta(facts)] }
  }

  /** A client without a terminal of its own asks for one of no size. */
  #size({ columns, rows }: Pick<TerminalSize, 'columns' | 'rows'>): void {
    this.#frame('r', `${columns || COLUMNS}x${rows || ROWS}`)
  }

  #frame(frame: 'r' | 'm', text: string): void {
    this.#record(frame, encodeText(text))
  }

  #record(frame: 'o' | 'e' | 'r' | 'm', bytes: Uint8Array): void {
    this.#ports.operations.data({ op: this.#ports.op, stream: 'tty', frame, bytes })
  }
}
