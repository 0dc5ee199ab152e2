/**
 * The words of a statement, as MySQL and MariaDB cut them. Bytes are read as Latin-1, so that a position is a
 * position in the bytes; names in UTF-8 keep together because every byte above 0x7f belongs to a name.
 *
 * Comments that the server executes are code. Those up to version 50699 every server still in use executes; a
 * later one, and MariaDB's own kind, some do and some do not: their words are marked, and whoever decides reads
 * the text both ways.
 */

export type TokenKind = 'word' | 'name' | 'string' | 'number' | 'variable' | 'param' | 'sign'

export interface Token {
  readonly kind: TokenKind
  /** As written, quotes included. */
  readonly text: string
  /** Words in upper case, signs as they are; empty for the others, so that nothing quoted is a keyword. */
  readonly key: string
  readonly start: number
  readonly end: number
  /** Inside a comment that not every server executes. */
  readonly optional: boolean
}

export interface Tokens {
  readonly tokens: readonly Token[]
  /** What the text says in optimizer hints, in upper case: they cannot name a table, but can set variables. */
  readonly hints: string
  /** Why the text may be read otherwise, in words. */
  readonly disputed: string | undefined
}

/** An INSERT of a million bytes has some 300,000. A longer text is unknown. */
const TOKENS_MAX = 1 << 20

/** As many arguments as one call takes without harm. */
const PIECE = 8192

/** Each byte a character of the same number; `encodeLatin` gives the bytes back. */
export function decodeLatin(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += PIECE) {
    text += String.fromCharCode(...bytes.subarray(at, at + PIECE))
  }
  return text
}

export function encodeLatin(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0))
}

const WORD = /[0-9A-Za-z$_\u0080-\uffff]+/y
const NUMBER =
  /(?:0x[0-9a-f]+|0b[01]+|\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)(?![0-9A-Za-z$_\u0080-\uffff])/iy
const SPACE = /[ \t\n\v\f\r]+/y
const VARIABLE = /@@?(?:(?:global|session|local|persist|persist_only)\s*\.\s*)?[0-9A-Za-z$_.\u0080-\uffff]*/iy
const VERSION = /\d+/y
const SIGN = /:=|<=>|<=|>=|<>|!=|\|\||&&|->>|->|[^\s]/y
/** Up to this version an executable comment is code to every server in use. */
const ALWAYS_EXECUTED = 50_699

/** All words of a text. `Tokenizer` serves whoever wants to stop early. */
export function tokenize(text: string): Tokens {
  const tokenizer = new Tokenizer(text)
  const tokens: Token[] = []
  for (let token = tokenizer.next(); token !== undefined; token = tokenizer.next()) {
    if (tokens.length === TOKENS_MAX) {
      return { tokens, hints: '', disputed: 'a text of more than a million words' }
    }
    tokens.push(token)
  }
  return { tokens, hints: tokenizer.hints, disputed: tokenizer.disputed }
}

export class Tokenizer {
  readonly #text: string
  #at = 0
  #lastEnd = -1
  #lastKey = ''
  readonly #hints: string[] = []
  #disputed: string | undefined
  /** Inside an executable comment; `optional` where not every server executes it. */
  #comment: 'none' | 'code' | 'optional' = 'none'

  constructor(text: string) {
    this.#text = text
  }

  /** The first reason found so far. */
  get disputed(): string | undefined {
    return this.#disputed
  }

  get hints(): string {
    return this.#hints.join(' ').toUpperCase()
  }

  next(): Token | undefined {
    while (this.#at < this.#text.length) {
      if (this.#match(SPACE) !== undefined || this.#comments()) continue
      return this.#token(this.#text[this.#at] ?? '')
    }
    if (this.#comment !== 'none') this.#dispute('an executable comment without its end')
    return undefined
  }

  #dispute(why: string): void {
    this.#disputed ??= why
  }

  /** Steps over what is no word: a comment, or the beginning or end of an executable one. */
  #comments(): boolean {
    const two = this.#text.slice(this.#at, this.#at + 2)
    if (two[0] === '#' || (two === '--' && this.#endsDash())) this.#skipLine()
    else if (two === '/*') this.#beginComment()
    else if (two === '*/') this.#endComment()
    else return false
    return true
  }

  /** Two dashes are a comment only where white space or a control character follows. */
  #endsDash(): boolean {
    const code = this.#text.charCodeAt(this.#at + 2)
    return Number.isNaN(code) || code <= 0x20 || code === 0x7f
  }

  #token(char: string): Token {
    switch (char) {
      case "'":
      case '"':
        return this.#quoted('string', char)
      case '`':
        return this.#quoted('name', char)
      case '?':
        this.#at++
        return this.#made('param', '?')
      case '@':
        return this.#variable()
      default:
        return this.#plain(char)
    }
  }

  #plain(char: string): Token {
    // Digits right behind a dot belong to a name: `db.1a` is a table, and so is `db.1`.
    const named = this.#lastKey === '.' && this.#lastEnd === this.#at
    const number = named ? undefined : this.#match(NUMBER)
    if (number !== undefined) return this.#made('number', number)
    const word = this.#match(WORD)
    if (word !== undefined) return this.#made('word', word)
    if (char === '\\' && this.#text[this.#at + 1] === 'N') {
      this.#at += 2
      return this.#made('number', '\\N')
    }
    if (char < ' ' || char === '\\') this.#dispute('a character that stands for nothing')
    const sign = this.#match(SIGN)
    if (sign === undefined) this.#at++
    return this.#made('sign', sign ?? char)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }

  /** A token that ends where the text has been read to. */
  #made(kind: TokenKind, text: string): Token {
    const key = kind === 'word' ? text.toUpperCase() : kind === 'sign' ? text : ''
    this.#lastKey = key
    this.#lastEnd = this.#at
    const optional = this.#comment === 'optional'
    return { kind, text, key, start: this.#at - text.length, end: this.#at, optional }
  }

  #quoted(kind: 'string' | 'name', quote: string): Token {
    const start = this.#at
    this.#at = this.#closing(kind, quote, start + 1)
    const text = this.#text.slice(start, this.#at)
    // Under ANSI_QUOTES it is a name, in which a backslash means nothing and the end is elsewhere.
    if (quote === '"' && text.includes('\\')) this.#dispute('a backslash between double quotes')
    return this.#made(kind, text)
  }

  /** Behind the closing quote. A quote doubled stands for itself; one behind a backslash does so in strings. */
  #closing(kind: 'string' | 'name', quote: string, from: number): number {
    let at = from
    // Both are looked for once and then again only when passed: a long string must not take time squared.
    let end = this.#text.indexOf(quote, at)
    let slash = kind === 'string' ? this.#text.indexOf('\\', at) : -1
    while (end !== -1) {
      if (slash !== -1 && slash < end) at = slash + 2
      else if (this.#text[end + 1] === quote) at = end + 2
      else return end + 1
      if (end < at) end = this.#text.indexOf(quote, at)
      if (slash !== -1 && slash < at) slash = this.#text.indexOf('\\', at)
    }
    this.#dispute('a quotation without its end')
    return this.#text.length
  }

  #variable(): Token {
    const start = this.#at
    const quote = this.#text[start + 1] ?? ''
    if (quote === "'" || quote === '"' || quote === '`') {
      this.#at = this.#closing(quote === '`' ? 'name' : 'string', quote, start + 2)
    } else if (this.#match(VARIABLE) === undefined) this.#at++
    return this.#made('variable', this.#text.slice(start, this.#at))
  }

  #skipLine(): void {
    const end = this.#text.indexOf('\n', this.#at)
    const line = this.#text.slice(this.#at, end === -1 ? this.#text.length : end)
    // To a server that finds a comment's end inside such a line, the rest of it is code.
    if (this.#comment !== 'none' && line.includes('*/'))
      this.#dispute('a line comment over the end of another')
    this.#at = end === -1 ? this.#text.length : end + 1
  }

  #beginComment(): void {
    const opening = /^\/\*(M?!|\+)/.exec(this.#text.slice(this.#at, this.#at + 4))
    if (opening === null || opening[1] === '+') {
      this.#skipComment(opening !== null)
      return
    }
    if (this.#comment !== 'none') this.#dispute('an executable comment inside another')
    this.#at += opening[0].length
    const version = this.#match(VERSION) ?? ''
    const early = version.length === 5 && Number(version) <= ALWAYS_EXECUTED
    this.#comment = opening[1] === '!' && (version === '' || early) ? 'code' : 'optional'
    if (version !== '' && version.length !== 5 && version.length !== 6) {
      this.#dispute('an odd version in an executable comment')
    }
  }

  #skipComment(hint: boolean): void {
    const end = this.#text.indexOf('*/', this.#at + 2)
    if (end === -1) this.#dispute('a comment without its end')
    const body = this.#text.slice(this.#at + 2, end === -1 ? this.#text.length : end)
    if (hint) this.#hints.push(body)
    // Servers differ on comments inside comments, and so on where this one ends.
    if (body.includes('/*') || this.#comment !== 'none') this.#dispute('a comment inside a comment')
    this.#at = end === -1 ? this.#text.length : end + 2
  }

  #endComment(): void {
    if (this.#comment === 'none') this.#dispute('the end of a comment that did not begin')
    this.#comment = 'none'
    this.#at += 2
  }
}

/** What a quoted string or name says. Escapes that only matter to LIKE keep their backslash, as in the server. */
export function unquote({ kind, text }: Token): string {
  if (kind !== 'string' && kind !== 'name') return text
  const quote = text[0] ?? ''
  const body = text.slice(1, -1)
  if (kind === 'name') return body.replaceAll(quote + quote, quote)
  return body.replaceAll(/\\([\s\S])|(['"])\2/g, (whole, escaped?: string, doubled?: string) => {
    if (doubled !== undefined) return doubled === quote ? quote : whole
    if (escaped === '%' || escaped === '_') return whole
    return ESCAPES.get(escaped ?? '') ?? escaped ?? ''
  })
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['0', '\0'],
  ['b', '\b'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['Z', '\u001a'],
])

/** The statements of a text; a routine's body is cut at its semicolons like everything else. */
export function splitStatements(tokens: readonly Token[]): Token[][] {
  const statements: Token[][] = [[]]
  for (const token of tokens) {
    if (token.key === ';') statements.push([])
    else statements.at(-1)?.push(token)
  }
  return statements.filter((statement) => statement.length > 0)
}
