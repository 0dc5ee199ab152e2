/**
 * From what a terminal shows and what is typed into it: the lines that were entered, as they stood on the
 * screen, which is what a person would call the commands. A heuristic, and called so wherever it is shown: what
 * ran is the host's business, and a program may show what it likes.
 *
 * What is typed is compared with what is shown and kept no longer than that. What comes out of here stood on the
 * screen, so a password that is not echoed cannot.
 */
import { TerminalParser, type TerminalTokens } from './escapes.ts'
import { ALTERNATE_MODES, type Position, Screen } from './screen.ts'

export interface DerivedCommand {
  readonly text: string
  /**
   * How its beginning was known: `mark` by the shell's own (OSC 133), `cursor` by where typing began, `prompt` by
   * the look of the line.
   */
  readonly by: 'mark' | 'cursor' | 'prompt'
}

/** By the shell's own marks: how the command entered last has ended. */
export interface CommandStatus {
  readonly status: number
}

export interface Unechoed {
  /** Lines entered of which nothing was shown, and the characters typed in them. */
  readonly lines: number
  readonly characters: number
}

const COMMAND_LENGTH_MAX = 4096
/** Of a typed line, to know it again by. */
const TYPED_LENGTH_MAX = 256
/** How much of what was typed a line must show, in its order, to be taken for its echo. */
const ECHOED_MIN = 0.5
/** Enter keys that the host has not shown a new line for. */
const ENTERED_MAX = 4096
/** When nothing is shown for so long, what was entered was not echoed. */
const SILENCE_MS = 5000

const CR = 0x0d
const LF = 0x0a
/** ^C ^D ^Z ^\ end a line without entering it. */
const ENDS = new Set([0x03, 0x04, 0x1a, 0x1c])
/** Up to the first of these and a space, a line is a prompt. */
const PROMPT = /^.{0,200}?[$#%>❯➜λ»] +(?=\S)/u

/** OSC 133 of a shell that has run a command: its exit status. */
const COMMAND_ENDS = /^133;D;(\d{1,3})(?:;|$)/

/** A line that is typed, from its first key to its Enter. */
interface Typed {
  text: string
  characters: number
  /** Keys that are no text: what the line shows may be anything. */
  edited: boolean
  /** Where the cursor stood at the first key. */
  start: Position | undefined
  pasted: boolean
}

export class TerminalWatch {
  readonly #screen: Screen
  readonly #output: TerminalParser
  readonly #input: TerminalParser
  #found: (DerivedCommand | CommandStatus)[] = []
  /** Lines that were entered and not yet seen to end on the screen, oldest first. */
  #entered: Typed[] = []
  #line = newLine()
  #pasting = false
  /** Where the shell says that its prompt ends. */
  #mark: Position | undefined
  #unechoedLines = 0
  #unechoedCharacters = 0
  #inARow = { lines: 0, characters: 0 }
  #silentSince: number | undefined
  #shownSinceTick = false

  constructor(columns: number, rows: number) {
    this.#screen = new Screen(columns, rows)
    this.#output = new TerminalParser(this.#outputTokens())
    this.#input = new TerminalParser(this.#inputTokens())
  }

  get unechoed(): Unechoed {
    return { lines: this.#unechoedLines, characters: this.#unechoedCharacters }
  }

  /** Since a line was last seen to be echoed. */
  get unechoedInARow(): Unechoed {
    return this.#inARow
  }

  typed(bytes: Uint8Array): void {
    this.#input.push(bytes)
  }

  /** What was entered, by what is now known to have stood on the screen, and how it ended where the shell says so. */
  shown(bytes: Uint8Array): readonly (DerivedCommand | CommandStatus)[] {
    this.#shownSinceTick = true
    this.#output.push(bytes)
    const found = this.#found
    this.#found = []
    return found
  }

  resize(columns: number, rows: number): void {
    this.#screen.resize(columns, rows)
  }

  /** Lines that a silent host swallows are known by its silence. */
  tick(nowMs: number): void {
    if (this.#entered.length === 0 || this.#shownSinceTick) this.#silentSince = undefined
    else this.#silentSince ??= nowMs
    this.#shownSinceTick = false
    if (this.#silentSince === undefined || nowMs - this.#silentSince < SILENCE_MS) return
    for (const line of this.#entered) this.#countUnechoed(line)
    this.#entered = []
    this.#silentSince = undefined
  }

  #inputTokens(): TerminalTokens {
    return {
      ascii: (bytes) => this.#key(String.fromCharCode(...bytes.subarray(0, TYPED_LENGTH_MAX)), bytes.length),
      character: (codePoint) => this.#key(String.fromCodePoint(codePoint), 1),
      control: (code) => {
        if (code === CR || code === LF) this.#enter()
        else if (ENDS.has(code)) this.#line = newLine()
        else this.#edit()
      },
      escape: () => this.#edit(),
      csi: (parameters, final) => {
        if (final === '~' && parameters === '200') this.#pasting = true
        else if (final === '~' && parameters === '201') this.#pasting = false
        else this.#edit()
      },
      osc: () => undefined,
    }
  }

  #key(text: string, characters: number): void {
    if (this.#screen.alternate) return
    this.#begin()
    this.#line.characters += characters
    if (this.#line.text.length < TYPED_LENGTH_MAX) this.#line.text += text
  }

  #edit(): void {
    if (this.#screen.alternate) return
    this.#begin()
    this.#line.edited = true
  }

  #begin(): void {
    this.#line.start ??= this.#screen.position
    if (this.#pasting) this.#line.pasted = true
  }

  #enter(): void {
    // A line end inside a paste is text: the shell shows it and waits for the Enter behind it.
    if (this.#pasting || this.#screen.alternate) return
    if (this.#entered.length < ENTERED_MAX) this.#entered.push(this.#line)
    this.#line = newLine()
  }

  #outputTokens(): TerminalTokens {
    const screen = this.#screen
    return {
      ascii: (bytes) => {
        for (const byte of bytes) screen.print(byte)
      },
      character: (codePoint) => screen.print(codePoint),
      control: (code) => {
        if (code === CR) screen.carriageReturn()
        else if (code === 0x08) screen.backspace()
        else if (code === 0x09) screen.tab()
        else if (code >= LF && code < CR) {
          this.#lineEnds()
          screen.lineFeed()
        }
      },
      escape: (sequence) => {
        if (sequence === '7') screen.saveCursor()
        else if (sequence === '8') screen.restoreCursor()
        else if (sequence === 'M') screen.reverseLineFeed()
        else if (sequence === 'D') screen.lineFeed()
        else if (sequence === 'E') {
          screen.carriageReturn()
          screen.lineFeed()
        }
      },
      csi: (parameters, final) => this.#csi(parameters, final),
      osc: (text) => {
        if (text.startsWith('133;B')) this.#mark = screen.position
        const status = COMMAND_ENDS.exec(text)?.[1]
        if (status !== undefined) this.#found.push({ status: Number(status) })
      },
    }
  }

  #csi(parameters: string, final: string): void {
    const private_ = parameters.startsWith('?')
    if (private_ ? final !== 'h' && final !== 'l' : !/^[0-9;]*$/.test(parameters)) return
    const numbers = parameters.replace('?', '').split(';', 16).map(Number)
    if (!private_) {
      this.#screen.csi(final, numbers)
      return
    }
    // tmux throws away what the terminal has not sent yet: the end of the line that started it may never be shown.
    if (final === 'h' && numbers.some((number) => ALTERNATE_MODES.includes(number))) this.#lineEnds()
    const before = this.#screen.alternate
    for (const number of numbers) this.#screen.mode(number, final === 'h')
    if (before === this.#screen.alternate) return
    // What was typed for a full-screen program, or to start it, is no line of the shell behind it.
    this.#entered = []
    this.#line = newLine()
    this.#mark = undefined
  }

  /** The host ends a line on the screen: of the lines that were entered it is the first that it shows. */
  #lineEnds(): void {
    if (this.#screen.alternate || this.#entered.length === 0) return
    const { first, last } = this.#screen.line
    const whole = this.#screen.text({ row: first, column: 0 }, last)
    const shown = this.#entered.findIndex((line) => shows(whole, line))
    // Those before it were swallowed without a new line, as `read -s` does.
    const unseen = shown === -1 ? this.#entered.splice(0, 1) : this.#entered.splice(0, shown)
    for (const line of unseen) this.#countUnechoed(line)
    const line = shown === -1 ? undefined : this.#entered.shift()
    const mark = this.#mark
    this.#mark = undefined
    if (line === undefined) return
    const { text, by } = this.#entry(line, mark)
    if (text === '') return
    this.#inARow = { lines: 0, characters: 0 }
    this.#found.push({ text: text.slice(0, COMMAND_LENGTH_MAX), by })
  }

  #entry(line: Typed, mark: Position | undefined): DerivedCommand {
    const { first, last } = this.#screen.line
    if (mark !== undefined && mark.row <= last)
      return { text: this.#screen.text(mark, last).trim(), by: 'mark' }
    const { start, pasted } = line
    if (start !== undefined && start.row <= last && (pasted || (start.row >= first && start.column > 0))) {
      return { text: this.#screen.text(start, last).trim(), by: 'cursor' }
    }
    const bare = this.#screen.text({ row: first, column: 0 }, last).replace(PROMPT, '').trim()
    // A line that is nothing but a prompt has nothing behind it.
    return { text: /[$#%>❯➜λ»:]$/u.test(bare) ? '' : bare, by: 'prompt' }
  }

  #countUnechoed({ characters, edited }: Typed): void {
    if (characters === 0 || edited) return
    this.#unechoedLines++
    this.#unechoedCharacters += characters
    this.#inARow = {
      lines: this.#inARow.lines + 1,
      characters: this.#inARow.characters + characters,
    }
  }
}

function newLine(): Typed {
  return { text: '', characters: 0, edited: false, start: undefined, pasted: false }
}

/** Whether a line on the screen can be what was typed: edited, pasted and empty ones can be any. */
function shows(shown: string, { text, edited, pasted }: Typed): boolean {
  if (edited || pasted || text === '') return true
  let at = 0
  let found = 0
  for (const character of text) {
    const next = shown.indexOf(character, at)
    if (next === -1) continue
    at = next + 1
    found++
  }
  return found >= text.length * ECHOED_MIN
}
