/**
 * Holds a session of the book against the server's general log and its audit plugin's: what ran is in the book, in
 * its order and with its parameters; what the book calls done is in the log; how each statement ended is the same.
 */
import type { Operation, Session } from '../../support/gateway-book.ts'
import type { Audited } from './server.ts'

export function compareWithLogs(
  { operations }: Session,
  general: readonly string[],
  audited: readonly Audited[],
): string[] {
  return [...compareStatements(operations, general, executedAs), ...compareOutcomes(operations, audited)]
}

/** The texts alone, for clients whose parameters are of types that the log writes in its own way. */
export function compareTexts({ operations }: Session, general: readonly string[]): string[] {
  return compareStatements(operations, general, beginsAs)
}

/** What the general log has of an operation, and whether it must. */
interface Expected {
  readonly operation: Operation
  readonly matches: (line: string) => boolean
  readonly must: boolean
}

type Executed = (operation: Operation) => (line: string) => boolean

function compareStatements(
  operations: readonly Operation[],
  general: readonly string[],
  executed: Executed,
): string[] {
  const findings: string[] = []
  const log = general.filter((line) => /^(?:Query|Prepare|Execute|Init DB|Field List|Statistics):/.test(line))
  let at = 0
  for (const { operation, matches, must } of operations.flatMap((one) => expectedOf(one, executed))) {
    const line = log[at]
    if (line !== undefined && matches(line)) at++
    else if (must)
      findings.push(`${describe(operation)} is called ${operation.out} and is not next in the log`)
  }
  return [...findings, ...log.slice(at).map((line) => `the book lacks, or has out of order: ${line}`)]
}

function expectedOf(operation: Operation, executed: Executed): Expected[] {
  const { act, text = '', command = '', out, meta } = operation
  if (out === 'denied') return []
  const expect = (line: string, must: boolean): Expected[] => [
    { operation, must, matches: (logged) => logged === line },
  ]
  switch (act) {
    case 'db.query':
      return expect(`Query: ${rewritten(trimmed(text), meta['kill'])}`, out !== 'aborted')
    case 'db.prepare':
      // One that fails is in the audit only.
      return expect(`Prepare: ${trimmed(text)}`, out === 'ok')
    case 'db.execute':
      if (meta['fetch'] !== undefined) return []
      // Written when it has gone well.
      return [{ operation, must: out === 'ok', matches: executed(operation) }]
    default: {
      const [name, about = ''] = command.split(/ (.*)/)
      if (name === 'COM_INIT_DB') return expect(`Init DB: ${about}`, out === 'ok')
      if (name === 'COM_FIELD_LIST')
        return expect(`Field List: ${about.includes(' ') ? about : `${about} `}`, false)
      return name === 'COM_STATISTICS' ? expect('Statistics: ', out === 'ok') : []
    }
  }
}

/** The server leaves out white space around a text and semicolons behind it. */
function trimmed(text: string): string {
  return text.replace(/^\s+|[\s;]+$/g, '')
}

/** A KILL reaches the server with the server's own number. */
function rewritten(text: string, kill: unknown): string {
  const killed = kill as { readonly given: number; readonly target: number } | undefined
  return killed === undefined ? text : text.replace(String(killed.given), String(killed.target))
}

/** The log has an execution's text with the parameters in it. */
function executedAs({ text, args }: Operation): (line: string) => boolean {
  if (text === undefined) return () => false
  const values = Array.isArray(args) ? (args as unknown[]) : []
  const unknown = values.some((value) => typeof value === 'object' && value !== null && 'undecoded' in value)
  if (unknown) return beginsAs({ text })
  const written = (style: (text: string) => string): string => {
    const left = [...values]
    return `Execute: ${trimmed(text.replaceAll('?', () => describeValue(left.shift(), style)))}`
  }
  // In character sets that may hide a quote the server writes strings in hex.
  const lines = [
    written((value) => `'${value}'`),
    written((value) => `X'${Buffer.from(value).toString('hex').toUpperCase()}'`),
  ]
  return (line) => lines.includes(line)
}

function beginsAs({ text }: Pick<Operation, 'text'>): (line: string) => boolean {
  const [start] = text?.split('?') ?? []
  return (line) => start !== undefined && line.startsWith(`Execute: ${start.trimStart()}`)
}

function describeValue(value: unknown, style: (text: string) => string): string {
  if (value === null) return 'NULL'
  return typeof value === 'number' ? String(value) : style(String(value))
}

/** One line of the audit for each statement of a text, with its error's number. */
function compareOutcomes(operations: readonly Operation[], audited: readonly Audited[]): string[] {
  const left = [...audited]
  for (const operation of operations) {
    const { act, out, code, results, meta } = operation
    if (out === 'denied' || meta['fetch'] !== undefined) continue
    // Nobody was told how it went; it is the last that the server can have met.
    if (out === 'aborted') return []
    const codes =
      results.length > 0
        ? results.map((one) => (one['outcome'] === 'ok' ? 0 : Number(one['code'])))
        : [out === 'ok' ? 0 : Number(code)]
    if (act === 'db.query' || (act === 'db.prepare' && out === 'error')) {
      const found = left.splice(0, codes.length).map((one) => one.code)
      if (found.join() !== codes.join())
        return [
          `${describe(operation)} ended with ${codes.join()} in the book, with ${found.join()} in the audit`,
        ]
    } else if (act === 'db.execute') {
      // One that cannot begin has no line.
      if (left[0]?.code === codes[0] && left[0]?.text !== undefined) left.shift()
      else if (out === 'ok') return [`${describe(operation)} is called ok and is not next in the audit`]
    }
  }
  return left.map(({ text, code }) => `the book lacks the outcome ${code} of ${text}`)
}

function describe({ op, act, text, command }: Operation): string {
  return `operation ${op} (${act} ${text ?? command ?? ''})`
}
