/**
 * PostgreSQL's texts cut into their lexical pieces (its scan.l, under standard_conforming_strings = on). Unlike
 * the parser it never fails: what is not finished goes on to the end. It masks what must not be shown, also in
 * texts that are no SQL, and finds what other readers would cut differently.
 */

export type PieceKind =
  | 'space'
  | 'comment'
  | 'word'
  | 'quoted-name'
  | 'parameter'
  | 'number'
  /** A plain literal, `'…'`: what a backslash means in it depends on a setting. */
  | 'plain'
  /** Any other literal: E'…', U&'…', b'…', $tag$…$tag$. */
  | 'literal'
  | 'symbol'

export interface Piece {
  readonly kind: PieceKind
  readonly start: number
  readonly end: number
}

const SPACE = /[ \t\n\r\f\v]+/y
const LINE_COMMENT = /--[^\n\r]*/y
const WORD = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
const NUMBER =
  /0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9][0-9_]*)?/y
const PARAMETER = /\$[0-9]+/y
const DOLLAR = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y
const ESCAPED = /[eE]'/y
const UNICODE = /[uU]&'/y
const BITS = /[bBxX]'/y
const NATIONAL = /[nN]?'/y
const NAME = /(?:[uU]&)?"/y

export function* pieces(text: string): Generator<Piece> {
  let start = 0
  while (start < text.length) {
    const piece = pieceAt(text, start)
    yield piece
    start = piece.end
  }
}

function pieceAt(text: string, start: number): Piece {
  const matched = (pattern: RegExp): number => {
    pattern.lastIndex = start
    return pattern.test(text) ? pattern.lastIndex : -1
  }
  let end = matched(SPACE)
  if (end !== -1) return { kind: 'space', start, end }
  end = matched(LINE_COMMENT)
  if (end !== -1) return { kind: 'comment', start, end }
  if (text.startsWith('/*', start)) return { kind: 'comment', start, end: endOfComment(text, start) }
  end = matched(ESCAPED)
  if (end !== -1) return { kind: 'literal', start, end: endOfQuoted(text, end, 'backslash') }
  end = matched(UNICODE)
  if (end !== -1) return { kind: 'literal', start, end: endOfQuoted(text, end, 'doubled') }
  end = matched(BITS)
  if (end !== -1) return { kind: 'literal', start, end: endOfQuoted(text, end, 'bits') }
  end = matched(NATIONAL)
  if (end !== -1) return { kind: 'plain', start, end: endOfQuoted(text, end, 'doubled') }
  end = matched(NAME)
  if (end !== -1) return { kind: 'quoted-name', start, end: closing(text, end, '"', 'doubled') }
  end = matched(DOLLAR)
  if (end !== -1) {
    const tag = text.slice(start, end)
    const at = text.indexOf(tag, end)
    return { kind: 'literal', start, end: at === -1 ? text.length : at + tag.length }
  }
  for (const [kind, pattern] of [
    ['parameter', PARAMETER],
    ['word', WORD],
    ['number', NUMBER],
  ] as const) {
    end = matched(pattern)
    if (end !== -1) return { kind, start, end }
  }
  return { kind: 'symbol', start, end: start + 1 }
}

/** Comments nest. */
function endOfComment(text: string, start: number): number {
  let depth = 1
  let at = start + 2
  while (depth > 0) {
    const close = text.indexOf('*/', at)
    if (close === -1) return text.length
    const open = text.indexOf('/*', at)
    const opens = open !== -1 && open < close
    depth += opens ? 1 : -1
    at = (opens ? open : close) + 2
  }
  return at
}

/** Literals parted by white space with a line break in it are one, and keep the first one's kind. */
function endOfQuoted(text: string, from: number, inside: Inside): number {
  let end = closing(text, from, "'", inside)
  while (true) {
    const next = continued(text, end)
    if (next === -1) return end
    end = closing(text, next, "'", inside)
  }
}

/** How a quote can stand inside quotes: doubled; behind a backslash as well; not at all. */
type Inside = 'doubled' | 'backslash' | 'bits'

/** Behind the closing quote. */
function closing(text: string, from: number, quote: string, inside: Inside): number {
  for (let at = from; at < text.length; at++) {
    if (inside === 'backslash' && text[at] === '\\') at++
    else if (text[at] === quote) {
      if (inside === 'bits' || text[at + 1] !== quote) return at + 1
      at++
    }
  }
  return text.length
}

/** Behind the quote with which a literal goes on, or -1. Comments to the end of a line count as white space. */
function continued(text: string, from: number): number {
  let at = from
  let broken = false
  while (at < text.length) {
    SPACE.lastIndex = at
    LINE_COMMENT.lastIndex = at
    if (SPACE.test(text)) {
      broken ||= /[\n\r]/.test(text.slice(at, SPACE.lastIndex))
      at = SPACE.lastIndex
    } else if (LINE_COMMENT.test(text)) at = LINE_COMMENT.lastIndex
    else break
  }
  return broken && text[at] === "'" ? at + 1 : -1
}

/** Whether another reader may end a literal elsewhere than we do, and so see other statements. */
export function hasDisputedLiteral(text: string): boolean {
  if (!text.includes('\\')) return false
  for (const piece of pieces(text)) if (isDisputed(text, piece)) return true
  return false
}

function isDisputed(text: string, { kind, start, end }: Piece): boolean {
  return kind === 'plain' && text.slice(start, end).includes('\\')
}

/** What is shown of a statement; longer ones are cut here. */
export const MASKED_MAX = 4096

/** Literals and numbers become `?`, comments vanish. Behind a disputed literal anything may be part of it. */
export function maskSql(text: string): string {
  let masked = ''
  for (const piece of pieces(text)) {
    if (masked.length > MASKED_MAX) return `${masked.slice(0, MASKED_MAX)}…`
    if (isDisputed(text, piece)) return `${masked}?…`
    masked += maskPiece(text, piece, masked.endsWith(' ') || masked === '')
  }
  return masked.trimEnd()
}

function maskPiece(text: string, { kind, start, end }: Piece, afterSpace: boolean): string {
  switch (kind) {
    case 'space':
    case 'comment':
      return afterSpace ? '' : ' '
    case 'plain':
    case 'literal':
    case 'number':
      return '?'
    default:
      return text.slice(start, Math.min(end, start + MASKED_MAX))
  }
}

/**
 * An upper bound of how deeply the parse tree can be nested: in every pair of brackets, the pieces between two
 * commas, and the deepest pair among them. Chains such as `1+1+1…` nest as deeply as they are long.
 */
export function nestingBound(text: string): number {
  const open: { run: number; inner: number; most: number }[] = []
  let level = { run: 0, inner: 0, most: 0 }
  const close = (): number => Math.max(level.most, level.run + level.inner)
  for (const { kind, start } of pieces(text)) {
    if (kind === 'space' || kind === 'comment') continue
    const symbol = kind === 'symbol' ? text[start] : undefined
    if (symbol === '(' || symbol === '[') {
      open.push(level)
      level = { run: 1, inner: 0, most: 0 }
    } else if ((symbol === ')' || symbol === ']') && open.length > 0) {
      const inner = close()
      level = open.pop() ?? level
      level.run++
      level.inner = Math.max(level.inner, inner)
    } else if (symbol === ',' || symbol === ';') level = { run: 0, inner: 0, most: close() }
    else level.run++
  }
  return [...open, level].reduce((sum, { run, inner, most }) => sum + Math.max(most, run + inner), 0)
}
