/** `gatebook check`: what is wrong with a configuration, and who may reach what that they could not before. */
import { promises } from 'node:fs'
import { accessBaseline, BASELINE_VERSION } from '../access/baseline.ts'
import { type Change, compareConfigs, describeChange, type Json } from '../config/effective.ts'
import { type Fault, formatFault } from '../config/faults.ts'
import { readConfig } from '../config/read.ts'
import { OperatorError, wordsOf } from '../system/operator-error.ts'
import { EXIT, type Io, printJson, printLines } from './io.ts'

export interface CheckOptions {
  readonly file: string
  readonly format: 'text' | 'json' | 'github'
  /** A file written by `writeBaseline`, kept under review beside the configuration. */
  readonly baseline?: string
  readonly writeBaseline?: boolean
}

export async function check(options: CheckOptions, io: Io): Promise<number> {
  const { file, format, baseline, writeBaseline } = options
  const loaded = await readConfig(file)
  if (loaded.type === 'faults') {
    report(loaded.faults, format, io)
    return EXIT.error
  }
  const access = accessBaseline(loaded)
  if (baseline === undefined && writeBaseline === true)
    throw new OperatorError('usage', '--write-baseline needs to know which file: --baseline FILE')
  if (baseline === undefined) return agree(`${file} is sound`, [], format, io)
  if (writeBaseline === true) {
    await promises.writeFile(baseline, `${JSON.stringify(access, null, 2)}\n`)
    return agree(`${baseline} written`, [], format, io)
  }
  const changes = compareConfigs(await readBaseline(baseline), access)
  if (changes.length === 0) return agree(`${file} is sound, and access is as in ${baseline}`, [], format, io)
  reportDrift(changes, options, io)
  return EXIT.drift
}

function agree(words: string, faults: readonly Fault[], format: CheckOptions['format'], io: Io): number {
  if (format === 'json') printJson(io, { faults, drift: [] })
  else io.stderr.write(`${words}\n`)
  return EXIT.ok
}

function report(faults: readonly Fault[], format: CheckOptions['format'], io: Io): void {
  if (format === 'json') printJson(io, { faults, drift: [] })
  else if (format === 'text') printLines(io, faults.map(formatFault))
  else
    printLines(
      io,
      faults.map((fault) =>
        annotation(fault.file, fault.line, fault.column, `${fault.path} ${fault.message}`.trim()),
      ),
    )
}

function reportDrift(changes: readonly Change[], { file, format, baseline }: CheckOptions, io: Io): void {
  const lines = changes.map(describeChange)
  if (format === 'json') printJson(io, { faults: [], drift: changes })
  else if (format === 'github')
    printLines(
      io,
      lines.map((line) => annotation(file, 1, 1, line)),
    )
  else {
    printLines(io, lines)
    io.stderr.write(
      `access differs from ${baseline}: if that is meant, write it anew with --write-baseline\n`,
    )
  }
}

/** A workflow command of GitHub Actions; its own separators are encoded, so that a message cannot end it. */
function annotation(file: string, line: number, column: number, message: string): string {
  const encode = (text: string) => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
  const property = encode(file).replaceAll(':', '%3A').replaceAll(',', '%2C')
  return `::error file=${property},line=${line},col=${column}::${encode(message)}`
}

async function readBaseline(path: string): Promise<Json> {
  const read = await parsedFile(path)
  const { version } = Object(read) as { version?: unknown }
  if (version === BASELINE_VERSION) return read
  throw new OperatorError(
    'usage',
    `the baseline ${path} has version ${String(version)} and speaks of less than version ${BASELINE_VERSION}: look the configuration through, and write it anew with --write-baseline`,
  )
}

async function parsedFile(path: string): Promise<Json> {
  try {
    return JSON.parse(await promises.readFile(path, 'utf8')) as Json
  } catch (cause) {
    throw new OperatorError('usage', `reading the baseline ${path}: ${wordsOf(cause)}`, { cause })
  }
}
