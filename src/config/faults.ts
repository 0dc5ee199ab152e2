/** What is wrong with a configuration, in words and with its place; the same words in every command and in CI. */
import type { z } from 'zod'
import { child, keysAt } from './json-schema.ts'
import type { Path, Places, Position } from './places.ts'
import { SECRET_EXPECTED } from './scalars.ts'

export interface Fault extends Position {
  readonly file: string
  /** Dotted, as a person would say it; empty for the file itself. */
  readonly path: string
  readonly message: string
}

/** `config.yaml:7:15  roles.prod-readonly.max_rows  expected a whole number, found "50000"` */
export function formatFault({ file, line, column, path, message }: Fault): string {
  return [`${file}:${line}:${column}`, path, message].filter((part) => part !== '').join('  ')
}

export function faultAt(places: Places, path: Path, at: 'key' | 'value', message: string): Fault {
  const position = at === 'key' ? places.ofKey(path) : places.ofValue(path)
  return { file: places.file, ...position, path: dotted(path), message }
}

export function inOrder(faults: readonly Fault[]): Fault[] {
  return [...faults].sort((a, b) => a.line - b.line || a.column - b.column)
}

export function dotted(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? part : `${text}.${part}`
  }, '')
}

type Issue = z.core.$ZodIssue

/** The schema's issues in our words. `root` is what the file holds. */
export function faultsOf(issues: readonly Issue[], root: unknown, places: Places): Fault[] {
  const single = issues.flatMap(deepest)
  const unknown = single.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => unknownKey([...pathOf(issue), key], root))
      : [],
  )
  // One mistake, one fault: the key that is missing is the one that was misspelt.
  const explained = new Set(unknown.map(({ meant }) => meant))
  return [
    ...unknown.map(({ path, message }) => faultAt(places, path, 'key', message)),
    ...single
      .filter((issue) => issue.code !== 'unrecognized_keys' && !explained.has(dotted(pathOf(issue))))
      .map((issue) => explain(issue, root, places)),
  ]
}

/** Of a union's branches the one that was meant: whose issues lie deepest. A tie means that none of them was. */
function deepest(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const depth = (branch: readonly Issue[]) => Math.max(0, ...branch.map(({ path }) => path.length))
  const [first, second] = [...issue.errors].sort((a, b) => depth(b) - depth(a))
  if (first === undefined || second === undefined || depth(first) === depth(second)) return [issue]
  return first.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })).flatMap(deepest)
}

function unknownKey(path: Path, root: unknown): { path: Path; meant?: string; message: string } {
  const parent = path.slice(0, -1)
  const key = String(path.at(-1))
  const free = keysAt(parent, root).filter((name) => child(valueAt(root, parent), name) === undefined)
  const meant = nearest(key, free)
  const message = `unknown key ${quote(key)}${didYouMean(meant)}`
  return meant === undefined ? { path, message } : { path, message, meant: dotted([...parent, meant]) }
}

function explain(issue: Issue, root: unknown, places: Places): Fault {
  const path = pathOf(issue)
  const found = valueAt(root, path)
  if (issue.code === 'invalid_key') {
    return faultAt(
      places,
      path,
      'key',
      `${issue.issues[0]?.message ?? 'expected another name'}, found ${show(path.at(-1))}`,
    )
  }
  const expected = expectation(issue)
  if (found === undefined)
    return faultAt(places, path, 'key', `missing key ${quote(path.at(-1))}: ${expected}`)
  if (expected.startsWith(SECRET_EXPECTED)) return faultAt(places, path, 'value', expected)
  const meant = issue.code === 'invalid_value' ? nearest(String(found), issue.values.map(String)) : undefined
  const quotes = issue.code === 'invalid_type' && issue.expected === 'string' && typeof found !== 'object'
  const hint = quotes ? `: put it in quotes` : didYouMean(meant)
  return faultAt(places, path, 'value', `${expected}, found ${show(found)}${hint}`)
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map of names',
}

function expectation(issue: Issue): string {
  // Every message of ours begins like this; the library's own begin otherwise.
  if (issue.message.startsWith('expected ')) return issue.message
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${KINDS[issue.expected] ?? issue.expected}`
    case 'invalid_value':
      return `expected ${issue.values
        .map(String)
        .join(', ')
        .replace(/, ([^,]*)$/, ' or $1')}`
    case 'too_small':
      return `expected at least ${issue.minimum}${unit(issue.origin)}`
    case 'too_big':
      return `expected at most ${issue.maximum}${unit(issue.origin)}`
    case 'invalid_union':
      return `expected ${optionsOf(issue)}`
    default:
      return issue.message
  }
}

function unit(origin: string): string {
  return origin === 'array' ? ' in the list' : ''
}

/** A map whose `type` tells which of several forms it has. */
function optionsOf(issue: z.core.$ZodIssueInvalidUnion): string {
  const options = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : []
  return options.join(', ').replace(/, ([^,]*)$/, ' or $1')
}

function pathOf(issue: Issue): Path {
  return issue.path.map((part) => (typeof part === 'number' ? part : String(part)))
}

function valueAt(root: unknown, path: Path): unknown {
  return path.reduce<unknown>(child, root)
}

const SHOWN_MAX = 60

function show(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object' && value !== null) return 'a map'
  if (value === null) return 'nothing'
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text
}

function quote(key: unknown): string {
  return JSON.stringify(String(key))
}

export function didYouMean(meant: string | undefined): string {
  return meant === undefined ? '' : `: did you mean ${quote(meant)}?`
}

/** The candidate that a person may have meant: at most two edits away, and fewer than half its letters. */
export function nearest(written: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = 3
  for (const candidate of candidates) {
    const edits = distance(written.toLowerCase(), candidate.toLowerCase())
    if (edits < least && edits * 2 < candidate.length) [best, least] = [candidate, edits]
  }
  return best
}

const COMPARED_MAX = 64

/** Edit distance in which two exchanged neighbours count as one edit. */
function distance(a: string, b: string): number {
  if (a.length > COMPARED_MAX || b.length > COMPARED_MAX) return a === b ? 0 : COMPARED_MAX
  const row = (i: number) => Array.from({ length: b.length + 1 }, (_, j) => (i === 0 ? j : j === 0 ? i : 0))
  const table = Array.from({ length: a.length + 1 }, (_, i) => row(i))
  const cell = (i: number, j: number) => table[i]?.[j] ?? 0
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1
      let edits = Math.min(cell(i - 1, j) + 1, cell(i, j - 1) + 1, cell(i - 1, j - 1) + change)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        edits = Math.min(edits, cell(i - 2, j - 2) + 1)
      table[i]?.splice(j, 1, edits)
    }
  }
  return cell(a.length, b.length)
}
