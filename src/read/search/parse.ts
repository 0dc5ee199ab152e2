/**
 * The search language as text: terms beside each other must all hold, `-` before one means that it does not, and
 * alternatives stand in parentheses with OR between them. Every error names the column it was seen at.
 */
import { NoAnswer, QUERY_CHARACTERS_MAX } from '../questions.ts'
import { ABSENT, isKey, KEYS, type KeyName, nearestWord } from './keys.ts'

export type Query =
  | { readonly type: 'and' | 'or'; readonly of: readonly Query[] }
  | { readonly type: 'not'; readonly of: Query }
  | Qualifier
  | { readonly type: 'regex'; readonly pattern: RegExp; readonly column: number }
  | { readonly type: 'text'; readonly words: Words; readonly column: number }

export interface Qualifier {
  readonly type: 'key'
  readonly key: KeyName | 'label'
  /** Behind `label.` */
  readonly label?: string
  /** Any of them. */
  readonly values: readonly Value[]
  readonly column: number
}

export interface Value {
  readonly text: string
  /** Then a `*` is one, and no range is meant. */
  readonly quoted: boolean
  readonly column: number
}

/** Words that must stand beside each other, the last of which may go on. */
export interface Words {
  readonly tokens: readonly string[]
  readonly prefix: boolean
}

const DEPTH_MAX = 20
const TERMS_MAX = 100
const PATTERN_CHARACTERS_MAX = 200

/** As the index cuts texts into words (FTS5's unicode61 with `_` and `$`). */
const TOKEN = /[\p{L}\p{N}\p{Co}_$]+/gu

const SPACE = /\s+/y
const WORD = /[^\s"()]+/y
const VALUE = /[^\s",()]+/y
const QUOTED = /"((?:[^"\\]|\\["\\])*)"/y
const REGEX = /\/((?:[^/\\]|\\.)+)\/(?=[\s)]|$)/y
const KEY = /(label\.)?([A-Za-z0-9_.-]+):/y

export function parseQuery(text: string): Query {
  if (text.length > QUERY_CHARACTERS_MAX) {
    throw new NoAnswer('query', `a search has at most ${QUERY_CHARACTERS_MAX} characters`, 1)
  }
  return new Parser(text).whole()
}

class Parser {
  readonly #text: string
  #at = 0
  #terms = 0

  constructor(text: string) {
    this.#text = text
  }

  whole(): Query {
    const query = this.#terms0(0)
    if (this.#at < this.#text.length) this.#fail('nothing was opened that this closes')
    return query
  }

  /** Terms up to the end, a `)` or an OR between parentheses. */
  #terms0(depth: number): Query {
    const of: Query[] = []
    for (;;) {
      this.#take(SPACE)
      if (this.#at >= this.#text.length || this.#text[this.#at] === ')') break
      if (this.#isOr()) {
        if (depth > 0) break
        this.#fail('OR stands in parentheses: (a OR b)')
      }
      of.push(this.#term(depth))
    }
    const [only] = of
    return of.length === 1 && only !== undefined ? only : { type: 'and', of }
  }

  #isOr(): boolean {
    return /^OR(?=[\s()]|$)/.test(this.#text.slice(this.#at, this.#at + 3))
  }

  #term(depth: number): Query {
    if (++this.#terms > TERMS_MAX) this.#fail(`a search has at most ${TERMS_MAX} terms`)
    if (this.#text[this.#at] === '-') {
      this.#at++
      if (/^(?:\s|-|\)|$)/.test(this.#text.slice(this.#at))) this.#fail('what should not be there?')
      return { type: 'not', of: this.#plain(depth) }
    }
    return this.#plain(depth)
  }

  #plain(depth: number): Query {
    const column = this.#at + 1
    if (this.#text[this.#at] === '(') return this.#alternatives(depth)
    const [, pattern] = this.#take(REGEX) ?? []
    if (pattern !== undefined) return { type: 'regex', pattern: this.#compile(pattern, column), column }
    if (this.#text[this.#at] === '"') {
      return { type: 'text', words: this.#words(this.#quoted(), false, column), column }
    }
    const key = this.#take(KEY)
    if (key !== undefined) return this.#qualifier(key[1] !== undefined, key[2] ?? '', column)
    const [word] = this.#take(WORD) ?? []
    if (word === undefined) this.#fail('a term was expected')
    return { type: 'text', words: this.#words(word, true, column), column }
  }

  #alternatives(depth: number): Query {
    if (depth >= DEPTH_MAX) this.#fail(`parentheses are nested at most ${DEPTH_MAX} deep`)
    const opened = this.#at + 1
    this.#at++
    const of: Query[] = []
    for (;;) {
      const before = this.#at
      const one = this.#terms0(depth + 1)
      if (one.type === 'and' && one.of.length === 0) this.#fail('a term was expected', before + 1)
      of.push(one)
      if (!this.#isOr()) break
      this.#at += 2
    }
    if (this.#text[this.#at] !== ')') this.#fail('this parenthesis is not closed', opened)
    this.#at++
    const [only] = of
    return of.length === 1 && only !== undefined ? only : { type: 'or', of }
  }

  #qualifier(isLabel: boolean, name: string, column: number): Query {
    const key = name.toLowerCase()
    if (!isLabel && !isKey(key)) {
      const absent = Object.hasOwn(ABSENT, key) ? ABSENT[key] : undefined
      const near = nearestWord(key, Object.keys(KEYS))
      const hint =
        absent ?? (near === undefined ? 'quote it to search for the text' : `did you mean ${near}?`)
      this.#fail(`unknown key "${name}": ${hint}`, column)
    }
    const values: Value[] = []
    do {
      if (values.length > 0) this.#at++
      const at = this.#at + 1
      const quoted = this.#text[this.#at] === '"'
      const text = quoted ? this.#quoted() : this.#take(VALUE)?.[0]
      if (text === undefined || text === '') this.#fail(`${name}: wants a value`, at)
      values.push({ text, quoted, column: at })
    } while (this.#text[this.#at] === ',')
    if (!/^(?:\s|\)|$)/.test(this.#text.slice(this.#at))) this.#fail('a space was expected')
    if (isLabel) return { type: 'key', key: 'label', label: name, values, column }
    if (key !== 'text') return { type: 'key', key: key as KeyName, values, column }
    const of = values.map((value) => {
      const words = this.#words(value.text, !value.quoted, value.column)
      return { type: 'text', words, column: value.column } as const
    })
    const [only] = of
    return of.length === 1 && only !== undefined ? only : { type: 'or', of }
  }

  #quoted(): string {
    const column = this.#at + 1
    const found = this.#take(QUOTED)
    if (found === undefined) this.#fail('this quotation mark is not closed', column)
    return (found[1] ?? '').replaceAll(/\\(["\\])/g, '$1')
  }

  /** What the index knows a text by: its words, in their order, beside each other. */
  #words(text: string, globs: boolean, column: number): Words {
    const prefix = globs && text.endsWith('*')
    const plain = prefix ? text.slice(0, -1) : text
    if (globs && plain.includes('*')) {
      this.#fail('texts are found by whole words or their beginnings: pay*; for more, use /…/', column)
    }
    const tokens = tokensOf(plain)
    if (tokens.length === 0) {
      this.#fail('no letter and no digit to search for; for signs, use /…/', column)
    }
    if (prefix && !/[\p{L}\p{N}\p{Co}_$]$/u.test(plain)) this.#fail('a * stands behind a word', column)
    return { tokens, prefix }
  }

  #compile(pattern: string, column: number): RegExp {
    if (pattern.length > PATTERN_CHARACTERS_MAX) {
      this.#fail(`a pattern has at most ${PATTERN_CHARACTERS_MAX} characters`, column)
    }
    try {
      return new RegExp(pattern, 'u')
    } catch (cause) {
      const why = cause instanceof Error ? cause.message.replace(/^.*: /, '') : ''
      this.#fail(`not a regular expression: ${why}`, column)
    }
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found === null) return undefined
    this.#at = pattern.lastIndex
    return found
  }

  #fail(message: string, column = this.#at + 1): never {
    throw new NoAnswer('query', message, column)
  }
}

export function tokensOf(text: string): string[] {
  return (text.match(TOKEN) ?? []).map((token) => token.toLowerCase())
}
