/**
 * What of a recording reaches the terminal of whoever looks at it. A recording is hostile input: it may set
 * titles and clipboards, ask questions that the terminal answers as if typed, or leave modes behind. Only
 * printable text, colours, cursor movement and erasing pass; all else is dropped, whole.
 */
import { encodeText, Writer } from '../bytes.ts'
import { TerminalParser, type TerminalTokens } from './escapes.ts'

/** BS, HT, LF, VT, FF, CR. BEL is a nuisance and shifts (SO, SI) change what is read. */
const CONTROLS = new Set([0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d])

/** Cursor movement, erasing, inserting and deleting, scrolling, SGR. */
const FINALS = new Set('ABCDEFGHIZJKLMPSTX@`adefm'.split(''))

/** Index, next line, reverse index, save and restore the cursor. */
const ESCAPES = new Set(['D', 'E', 'M', '7', '8'])

/** Numbers only: no private marks, no intermediates, no sub-parameters but those of colours. */
const PARAMETERS = /^[0-9;:]{0,64}$/

export class PlaybackFilter {
  readonly #parser: TerminalParser
  /** A piece of memory for each character cost more than all the rest. */
  #out = new Writer()

  constructor() {
    const tokens: TerminalTokens = {
      ascii: (bytes) => void this.#out.bytes(bytes),
      character: (codePoint) => {
        if (!invisible(codePoint)) putCharacter(this.#out, codePoint)
      },
      control: (code) => {
        if (CONTROLS.has(code)) this.#out.uint8(code)
      },
      escape: (sequence) => {
        if (ESCAPES.has(sequence)) this.#out.text(`\u{1b}${sequence}`)
      },
      csi: (parameters, final) => {
        const known = FINALS.has(final) && PARAMETERS.test(parameters)
        if (known && (final === 'm' || !parameters.includes(':')))
          this.#out.text(`\u{1b}[${parameters}${final}`)
      },
      osc: () => undefined,
    }
    this.#parser = new TerminalParser(tokens)
  }

  /** What may be shown of these bytes; a sequence that is cut comes out with the piece that ends it. */
  push(bytes: Uint8Array): Uint8Array {
    this.#out = new Writer(bytes.length)
    this.#parser.push(bytes)
    return this.#out.done()
  }
}

/** Resets colours, the screen's region, modes and the character set: for the end of a playback, however it ends. */
export const TERMINAL_RESET: Uint8Array = encodeText('\u{1b}[0m\u{1b}[r\u{1b}[?25h\u{1b}[?1049l\u{1b}(B\r\n')

/** In UTF-8; beyond ASCII, which comes in runs. */
function putCharacter(to: Writer, codePoint: number): void {
  const last = 0x80 | (codePoint & 0x3f)
  if (codePoint < 0x80) to.uint8(codePoint)
  else if (codePoint < 0x800) to.uint8(0xc0 | (codePoint >> 6)).uint8(last)
  else if (codePoint < 0x10000)
    to.uint16(0xe080 | ((codePoint >> 4) & 0xf00) | ((codePoint >> 6) & 0x3f)).uint8(last)
  else
    to.uint8(0xf0 | (codePoint >> 18))
      .uint8(0x80 | ((codePoint >> 12) & 0x3f))
      .uint8(0x80 | ((codePoint >> 6) & 0x3f))
      .uint8(last)
}

/** Characters that turn the reading direction or hide: what is shown must be what is there. */
function invisible(codePoint: number): boolean {
  return (
    (codePoint >= 0x200b && codePoint <= 0x200f) ||
    (codePoint >= 0x202a && codePoint <= 0x202e) ||
    (codePoint >= 0x2060 && codePoint <= 0x206f) ||
    codePoint === 0xfeff ||
    (codePoint >= 0xe0000 && codePoint <= 0xe007f)
  )
}
