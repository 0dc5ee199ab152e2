/**
 * From what a terminal shows and what is typed into it: the lines that were entered, as they stood on the
 * screen, which is what a person would call the commands. A heuristic, and called so wherever it is shown: what
 * ran is the host's business, and a program may show what it likes.
 *
 * What is typed is looked at here and not kept: only its Enter keys, where it began, and how much of it there
 * was. What comes out stands on the screen, so a password that is not echoed cannot.
 */
import { TerminalParser, type TerminalTokens } from './escapes.ts'
import { type Position, Screen } from './screen.ts'

export interface DerivedCommand {
  readonly text: string
  /**
   * How its beginning was known: `mark` by the shell's own (OSC 133), `cursor` by where typing began, `prompt` by
   * the look of the line.
   */
  readonly by: 'mark' | 'cursor' | 'prompt'
}

export interface Unechoed {
  /** Lines entered of which nothing was shown, and the characters typed in them. */
  readonly lines: number
  readonly characters: number
}

const COMMAND_LENGTH_MAX = 4096
/** Enter keys that the host has not shown a new line for. */
const ENTERED_MAX = 4096
/** When nothing is shown for so long, what was entered was not echoed. */
const SILENCE_MS = 5000

const CR = 0x0d
const LF = 0x0a
/** ^C ^D ^U ^W ^Z ^\ and the keys that erase: what was typed may be gone from the line. */
const EDITS = new Set([0x03, 0x04, 0x08, 0x15, 0x17, 0x1a, 0x1c, 0x7f])
/** Up to the first of these and a space, a line is a prompt. */
const PROMPT = /^.{0,200}?[$#%>❯➜λ»] +(?=\S)/u

interface Entered {
  readonly characters: number
  /** Something else than plain text was typed, so that an empty line proves nothing. */
  readonly edited: boolean
}

export class TerminalWatch {
  readonly #screen: Screen
  readonly #output: TerminalParser
  readonly #input: TerminalParser
  #found: DerivedCommand[] = []
  /** Lines that were entered and not yet seen to end on the screen, oldest first. */
  #entered: Entered[] = []
  #characters = 0
  #edited = false
  #pasting = false
  /** Where the line that is being typed began. */
  #start: { readonly at: Position; readonly marked: boolean; readonly pasted: boolean } | undefined
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

  /** What was entered, by what is now known to have stood on the screen. */
  shown(bytes: Uint8Array): readonly DerivedCommand[] {
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
      ascii: (bytes) => this.#key(bytes.length),
      character: () => this.#key(1),
      control: (code) => {
        if (code === CR || code === LF) this.#enter()
        else if (EDITS.has(code)) this.#abandon(code)
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

  #key(count: number): void {
    if (this.#screen.alternate) return
    this.#characters += count
    this.#begin()
  }

  /** The line begins where the cursor stands when its first key is pressed, unless the shell has said so. */
  #begin(): void {
    this.#start ??= { at: this.#screen.position, marked: false, pasted: this.#pasting }
    if (this.#pasting && !this.#start.pasted) this.#start = { ...this.#start, pasted: true }
  }

  #edit(): void {
    if (this.#screen.alternate) return
    this.#edited = true
    this.#begin()
  }

  #abandon(code: number): void {
    this.#edited = true
    // ^C, ^D, ^Z and ^\ end the line without entering it; what comes next begins elsewhere.
    if (code === 0x03 || code === 0x04 || code === 0x1a || code === 0x1c) {
      this.#characters = 0
      this.#start = undefined
    }
  }

  #enter(): void {
    // A line end inside a paste is text: the shell shows it and waits for the Enter behind it.
    if (this.#pasting || this.#screen.alternate) return
    if (this.#entered.length < ENTERED_MAX) {
      this.#entered.push({ characters: this.#characters, edited: this.#edited })
    }
    this.#characters = 0
    this.#edited = false
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
        if (text.startsWith('133;B')) this.#start = { at: screen.position, marked: true, pasted: false }
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
    const before = this.#screen.alternate
    for (const number of numbers) this.#screen.mode(number, final === 'h')
    if (before === this.#screen.alternate) return
    // What was typed for a full-screen program, or to start it, is no line of the shell behind it.
    this.#entered = []
    this.#characters = 0
    this.#start = undefined
  }

  /** The host ends a line on the screen: when Enter was pressed, it is the entered one. */
  #lineEnds(): void {
    if (this.#screen.alternate) return
    const entered = this.#entered.shift()
    if (entered === undefined) return
    const { text, by } = this.#entry()
    this.#start = undefined
    if (text !== '') {
      this.#inARow = { lines: 0, characters: 0 }
      this.#found.push({ text: text.slice(0, COMMAND_LENGTH_MAX), by })
    } else {
      this.#countUnechoed(entered)
    }
  }

  #entry(): DerivedCommand {
    const { first, last } = this.#screen.line
    const start = this.#start
    if (start !== undefined && start.at.row <= last) {
      const here = start.at.row >= first
      if (start.marked || start.pasted || (here && start.at.column > 0)) {
        const text = this.#screen.text(start.at, last).trim()
        return { text, by: start.marked ? 'mark' : 'cursor' }
      }
    }
    const line = this.#screen.text({ row: first, column: 0 }, last)
    const bare = line.replace(PROMPT, '').trim()
    // A line that is nothing but a prompt has nothing behind it.
    return { text: /[$#%>❯➜λ»:]$/u.test(bare) ? '' : bare, by: 'prompt' }
  }

  #countUnechoed({ characters, edited }: Entered): void {
    if (characters === 0 || edited) return
    this.#unechoedLines++
    this.#unechoedCharacters += characters
    this.#inARow = {
      lines: this.#inARow.lines + 1,
      characters: this.#inARow.characters + characters,
    }
  }
}
