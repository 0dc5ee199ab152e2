/**
 * What a terminal reads: text, control characters and sequences (ECMA-48; the states are those of
 * https://vt100.net/emu/dec_ansi_parser, as far as they differ for us). Text is UTF-8; controls of eight bits
 * are known by their code points. Nothing here decides what a sequence means.
 */

export interface TerminalTokens {
  /** Printable ASCII, a run of it at a time; a view of what was pushed. */
  ascii(bytes: Uint8Array): void
  /** Any other character; U+FFFD for bytes that are none. */
  character(codePoint: number): void
  /** BEL, BS, HT, LF, CR and their kin. */
  control(code: number): void
  /** ESC, intermediates, final: `(B`, `7`, `M`. */
  escape(sequence: string): void
  /** Parameters, private marks and intermediates as they came, then the final character: `?25h`, `1;31m`. */
  csi(parameters: string, final: string): void
  /** Operating system command, as far as OSC_LENGTH_MAX; other strings are passed over. */
  osc(text: string): void
}

const SEQUENCE_LENGTH_MAX = 128
const OSC_LENGTH_MAX = 1024
const ESC = 0x1b
const BEL = 0x07
const DEL = 0x7f
const REPLACEMENT = 0xfffd

/** DCS, SOS, CSI, OSC, PM, APC. */
const INTRODUCERS: ReadonlyMap<number, 'csi' | 'osc' | 'string'> = new Map([
  [0x90, 'string'],
  [0x98, 'string'],
  [0x9b, 'csi'],
  [0x9d, 'osc'],
  [0x9e, 'string'],
  [0x9f, 'string'],
])

type State = 'ground' | 'escape' | 'csi' | 'string' | 'string-escape'

export class TerminalParser {
  readonly #tokens: TerminalTokens
  #state: State = 'ground'
  #sequence = ''
  /** Whether the string under way is an operating system command; of all others nothing is kept. */
  #osc = false
  #codePoint = 0
  #continuation = 0

  constructor(tokens: TerminalTokens) {
    this.#tokens = tokens
  }

  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#state === 'ground' && this.#continuation === 0) {
        let end = at
        while (end < bytes.length && isAscii(bytes[end] ?? 0)) end++
        if (end > at) {
          this.#tokens.ascii(bytes.subarray(at, end))
          at = end
          continue
        }
      }
      this.#byte(bytes[at++] ?? 0)
    }
  }

  #byte(byte: number): void {
    if (byte < 0x80) {
      if (this.#continuation > 0) this.#character(REPLACEMENT)
      this.#continuation = 0
      this.#character(byte)
      return
    }
    if (byte < 0xc0) {
      if (this.#continuation === 0) {
        this.#character(REPLACEMENT)
        return
      }
      this.#codePoint = (this.#codePoint << 6) | (byte & 0x3f)
      if (--this.#continuation === 0) this.#character(valid(this.#codePoint))
      return
    }
    if (this.#continuation > 0) this.#character(REPLACEMENT)
    this.#continuation = byte >= 0xf8 ? 0 : byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1
    this.#codePoint = byte & (0x3f >> this.#continuation)
    if (this.#continuation === 0) this.#character(REPLACEMENT)
  }

  #character(code: number): void {
    // Whatever is under way, these begin anew: a sequence cannot hide another.
    if (code === 0x18 || code === 0x1a) {
      this.#state = 'ground'
      return
    }
    if (this.#state === 'string' || this.#state === 'string-escape') {
      this.#inString(code)
      return
    }
    if (code === ESC) {
      this.#begin('escape')
      return
    }
    if (code >= 0x80 && code <= 0x9f) {
      this.#c1(code)
      return
    }
    if (code < 0x20) {
      this.#tokens.control(code)
      return
    }
    switch (this.#state) {
      case 'escape':
        this.#inEscape(code)
        return
      case 'csi':
        this.#inCsi(code)
        return
      default:
        if (code !== DEL) this.#tokens.character(code)
    }
  }

  #inEscape(code: number): void {
    // CSI, OSC, DCS, SOS, PM and APC are the same in seven bits and in eight.
    if (this.#sequence === '' && code >= 0x50 && code <= 0x5f && INTRODUCERS.has(code + 0x40)) {
      this.#c1(code + 0x40)
      return
    }
    this.#sequence += String.fromCodePoint(code)
    if (code >= 0x30 || this.#sequence.length > SEQUENCE_LENGTH_MAX) {
      this.#state = 'ground'
      if (code < DEL) this.#tokens.escape(this.#sequence)
    }
  }

  #inCsi(code: number): void {
    if (code >= 0x40) {
      this.#state = 'ground'
      if (code < DEL) this.#tokens.csi(this.#sequence, String.fromCharCode(code))
      return
    }
    this.#sequence += String.fromCharCode(code)
    if (this.#sequence.length > SEQUENCE_LENGTH_MAX) this.#state = 'ground'
  }

  #inString(code: number): void {
    if (this.#state === 'string-escape') {
      // ESC \ ends a string; ESC and anything else ends it too, and begins a sequence.
      this.#endString()
      if (code === 0x5c) return
      this.#begin('escape')
      this.#character(code)
      return
    }
    if (code === ESC) this.#state = 'string-escape'
    else if (code === 0x9c || (code === BEL && this.#osc)) this.#endString()
    else if (this.#osc && this.#sequence.length < OSC_LENGTH_MAX) this.#sequence += String.fromCodePoint(code)
  }

  #c1(code: number): void {
    const introduces = INTRODUCERS.get(code)
    if (introduces === 'csi') {
      this.#begin('csi')
    } else if (introduces !== undefined) {
      this.#state = 'string'
      this.#sequence = ''
      this.#osc = introduces === 'osc'
    } else {
      this.#state = 'ground'
      this.#tokens.escape(String.fromCharCode(code - 0x40))
    }
  }

  #begin(state: 'escape' | 'csi'): void {
    this.#state = state
    this.#sequence = ''
  }

  #endString(): void {
    this.#state = 'ground'
    if (this.#osc) this.#tokens.osc(this.#sequence)
  }
}

function isAscii(byte: number): boolean {
  return byte >= 0x20 && byte < DEL
}

/** Overlong forms are not looked for: they cannot name anything here that the short form could not. */
function valid(codePoint: number): number {
  return codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff) ? REPLACEMENT : codePoint
}
