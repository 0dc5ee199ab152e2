/**
 * Enough of PostgreSQL's lexical rules to find where statements begin in a text. What it finds is a hint: what
 * really ran is told by the server's tags alone (statements.ts compares the two).
 */

export interface Scan {
  /** The first words of each statement, folded as PostgreSQL folds them; quoted names lose their quotes. */
  readonly statements: readonly (readonly string[])[]
  /** A backslash in a literal without E: what it means depends on a setting, so parsers may disagree. */
  readonly backslash: boolean
}

const WORDS_KEPT = 4
/** Stands for a name spelled U&"...", whose escapes are not resolved here. No name contains a NUL. */
export const UNREADABLE = '\0'

const BLANK = /(?:[ \t\n\r\f\v]|--[^\n\r]*)+/y
const COMMENT_EDGE = /\/\*|\*\//g
const WORD = /[a-z_\x80-\uffff][a-z0-9_$\x80-\uffff]*/iy
const QUOTED = /"(?:[^"]|"")*(?:"|$)/y
const UNICODE_NAME = /&"(?:[^"]|"")*(?:"|$)/y
const DOLLAR_TAG = /\$(?:[a-z_\x80-\uffff][a-z0-9_\x80-\uffff]*)?\$/iy
const PLAIN_LITERAL = /'(?:[^']|'')*(?:'|$)/y
const ESCAPE_LITERAL = /'(?:[^'\\]|''|\\[\s\S])*(?:'|$)/y

const latin1 = new TextDecoder('latin1')

/** One character for each byte. ASCII, which is all that matters to the lexer, comes out as itself. */
export function decodeLatin(text: Uint8Array): string {
  return latin1.decode(text)
}

export function scan(text: string): Scan {
  return new Lexer(text).scan()
}

class Lexer {
  readonly #text: string
  #at = 0
  #words: string[] = []
  #backslash = false

  constructor(text: string) {
    this.#text = text
  }

  scan(): Scan {
    const statements: string[][] = []
    while (this.#at < this.#text.length) {
      if (this.#skip()) continue
      const character = this.#text[this.#at++]
      if (character !== ';') continue
      if (this.#words.length > 0) statements.push(this.#words)
      this.#words = []
    }
    if (this.#words.length > 0) statements.push(this.#words)
    return { statements, backslash: this.#backslash }
  }

  /** Goes past one thing that is more than a character. */
  #skip(): boolean {
    if (this.#take(BLANK) !== undefined) return true
    switch (this.#text[this.#at]) {
      case '/':
        return this.#comment()
      case "'":
        if (this.#take(PLAIN_LITERAL)?.includes('\\') === true) this.#backslash = true
        return true
      case '"':
        this.#keep((this.#take(QUOTED) ?? '').slice(1, -1).replaceAll('""', '"'))
        return true
      case '$':
        return this.#dollarQuoted()
      default:
        return this.#word()
    }
  }

  /** Comments nest. */
  #comment(): boolean {
    if (!this.#text.startsWith('/*', this.#at)) return false
    COMMENT_EDGE.lastIndex = this.#at
    for (let depth = 0; ; ) {
      const edge = COMMENT_EDGE.exec(this.#text)
      if (edge === null) break
      depth += edge[0] === '/*' ? 1 : -1
      if (depth > 0) continue
      this.#at = COMMENT_EDGE.lastIndex
      return true
    }
    this.#at = this.#text.length
    return true
  }

  #dollarQuoted(): boolean {
    const tag = this.#take(DOLLAR_TAG)
    if (tag === undefined) return false
    const end = this.#text.indexOf(tag, this.#at)
    this.#at = end === -1 ? this.#text.length : end + tag.length
    return true
  }

  #word(): boolean {
    const word = this.#take(WORD)
    if (word === undefined) return false
    if ((word === 'e' || word === 'E') && this.#take(ESCAPE_LITERAL) !== undefined) return true
    const encoded = (word === 'u' || word === 'U') && this.#take(UNICODE_NAME) !== undefined
    this.#keep(encoded ? UNREADABLE : word.toLowerCase())
    return true
  }

  #keep(word: string): void {
    if (this.#words.length < WORDS_KEPT) this.#words.push(word)
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }
}
