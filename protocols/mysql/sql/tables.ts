/**
 * Which tables a query names: a walk over its words, one context per pair of parentheses. It does not know the
 * grammar; it knows where a table's name may stand. Where it errs, it takes another name for a table's and
 * never passes one over.
 */
import { type Token, unquote } from './tokens.ts'

export interface TableName {
  readonly schema?: string
  readonly name: string
}

/**
 * Words behind which no table of a FROM follows any more. All are reserved in every version: a word that may be
 * an alias must not end the list.
 */
const STOPS: ReadonlySet<string> = new Set([
  ...['WHERE', 'GROUP', 'HAVING', 'ORDER', 'LIMIT', 'UNION', 'PROCEDURE', 'INTO', 'SET', 'VALUES', 'LOCK'],
])

/** Functions in whose parentheses a FROM is no FROM. */
const FROM_FUNCTIONS: ReadonlySet<string> = new Set(['EXTRACT', 'TRIM', 'SUBSTRING', 'SUBSTR', 'MID'])

interface Context {
  /** Where the names go: the statement's own tables, or those that its queries read. */
  tables: TableName[]
  /** In a list of tables, and a name is due. */
  from: boolean
  due: boolean
  readonly opener: string
}

export interface Walk {
  /** What queries inside read. */
  readonly read: TableName[]
  /** Whether there is a query inside at all. */
  readonly queries: boolean
  /** A WHERE outside all parentheses. */
  readonly where: boolean
  /** A query that takes locks others feel, or writes a file on the server. */
  readonly locks: boolean
  readonly file: boolean
}

export interface Start {
  /** Where the names of the first list go, and whether such a list begins at once. */
  readonly tables: TableName[]
  readonly due: boolean
}

/** Names that WITH has given to queries, from where they hold. */
export type Known = ReadonlySet<string>

export function walkTables(tokens: readonly Token[], start: Start, known: Known): Walk {
  return new Walker(tokens, start, known).walk()
}

class Walker {
  readonly #tokens: readonly Token[]
  readonly #known: Known
  readonly #read: TableName[] = []
  readonly #stack: Context[] = []
  #context: Context
  #at = 0
  #queries = false
  #where = false
  #locks = false
  #file = false

  constructor(tokens: readonly Token[], start: Start, known: Known) {
    this.#tokens = tokens
    this.#known = known
    this.#context = { tables: start.tables, from: start.due, due: start.due, opener: '' }
  }

  walk(): Walk {
    while (this.#at < this.#tokens.length) this.#step()
    const flags = { queries: this.#queries, where: this.#where, locks: this.#locks, file: this.#file }
    return { read: this.#read, ...flags }
  }

  #key(offset = 0): string {
    return this.#tokens[this.#at + offset]?.key ?? ''
  }

  #step(): void {
    const key = this.#key()
    const context = this.#context
    if (this.#key(-1) === '.') {
      // Behind a dot even a reserved word is a name: `t.where` restricts nothing.
      this.#at++
      return
    }
    switch (key) {
      case '(':
        this.#open()
        break
      case ')':
        this.#context = this.#stack.pop() ?? context
        break
      case 'SELECT':
        this.#query(false)
        break
      case 'TABLE':
        // `TABLE t` is short for `SELECT * FROM t`.
        this.#query(true)
        break
      case 'FROM':
        if (!FROM_FUNCTIONS.has(context.opener)) context.from = context.due = true
        break
      case 'JOIN':
      case 'STRAIGHT_JOIN':
        // Behind FOR it belongs to an index hint.
        if (context.from && this.#key(-1) !== 'FOR') context.due = true
        break
      case ',':
        if (context.from) context.due = true
        break
      default:
        this.#other(key)
        return
    }
    this.#at++
  }

  #open(): void {
    const { tables, from, due } = this.#context
    const inner = from && due
    this.#context.due = false
    this.#stack.push(this.#context)
    this.#context = { tables, from: inner, due: inner, opener: this.#key(-1) }
  }

  #query(due: boolean): void {
    this.#queries = true
    this.#context = { tables: this.#read, from: due, due, opener: '' }
  }

  #other(key: string): void {
    const context = this.#context
    if (this.#stops(key)) context.from = context.due = false
    if (key === 'WHERE' && this.#stack.length === 0) this.#where = true
    if (key === 'OUTFILE' || key === 'DUMPFILE') this.#file = true
    if (key === 'FOR' && (this.#key(1) === 'UPDATE' || this.#key(1) === 'SHARE')) this.#locks = true
    if (key === 'LOCK' && this.#key(1) === 'IN') this.#locks = true
    const before = (key === 'LATERAL' && this.#key(1) === '(') || (key === 'OJ' && this.#key(-1) === '{')
    if (!context.due || before) {
      this.#at++
      return
    }
    const [name, next] = readName(this.#tokens, this.#at)
    this.#at = next
    if (name === undefined) return
    context.due = false
    // A name with parentheses is a function that yields rows, such as JSON_TABLE.
    if (this.#key() === '(' && name.schema === undefined) return
    if (key === 'DUAL' || this.#isDefined(name)) return
    context.tables.push(name)
  }

  /** By a WITH; but none can define a table that is written to. */
  #isDefined({ schema, name }: TableName): boolean {
    return schema === undefined && this.#context.tables === this.#read && this.#known.has(name.toLowerCase())
  }

  /** Behind FOR, ORDER and GROUP belong to an index hint. */
  #stops(key: string): boolean {
    if (key === 'DUPLICATE') return this.#key(-1) === 'ON' && this.#key(1) === 'KEY'
    return STOPS.has(key) && this.#key(-1) !== 'FOR'
  }
}

/** A name, perhaps with its schema, and the position behind it; without one, the position moves on by one. */
export function readName(tokens: readonly Token[], at: number): [TableName | undefined, number] {
  // `.t`, with nothing before the dot, is `t` to both servers.
  if (tokens[at]?.key === '.') return readName(tokens, at + 1)
  const first = nameAt(tokens, at)
  if (first === undefined) return [undefined, at + 1]
  if (tokens[at + 1]?.key !== '.') return [{ name: first }, at + 1]
  const second = nameAt(tokens, at + 2)
  // `t.*`, in a DELETE of several tables.
  if (second === undefined) return [{ name: first }, at + 3]
  return [{ schema: first, name: second }, at + 3]
}

/** Between double quotes it is a name under ANSI_QUOTES, and nothing that parses otherwise. */
function nameAt(tokens: readonly Token[], at: number): string | undefined {
  const token = tokens[at]
  if (token === undefined) return undefined
  const quoted = token.kind === 'name' || (token.kind === 'string' && token.text.startsWith('"'))
  return token.kind === 'word' || quoted ? unquote(token) : undefined
}

/** A list of names, each followed by whatever: `a READ, b WRITE`, `a TO b, c TO d`. */
export function readNames(
  tokens: readonly Token[],
  from: number,
  separators: readonly string[],
): TableName[] {
  const names: TableName[] = []
  let depth = 0
  let due = true
  for (let at = from; at < tokens.length; ) {
    const key = tokens[at]?.key ?? ''
    if (key === '(') depth++
    if (key === ')') depth--
    if (due && depth === 0) {
      const [name, next] = readName(tokens, at)
      if (name !== undefined) names.push(name)
      due = false
      at = next
    } else {
      if (depth === 0 && separators.includes(key)) due = true
      at++
    }
  }
  return names
}
