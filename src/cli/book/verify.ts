/**
 * `gatebook verify`: checks a book that a gateway is writing, a copy of one, an export or a proof, offline, with
 * public keys alone. It writes to nothing but the file that remembers the last verified head.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CheckpointError, parseVkey, type Vkey } from '../../book/checkpoint.ts'
import { bookFiles } from '../../book/files.ts'
import { BookSource } from '../../book/source.ts'
import { TilesSource } from '../../book/tiles-source.ts'
import type { OutsideCheckpoint } from '../../book/verify/checkpoints.ts'
import { EXIT, exitCode, type Report } from '../../book/verify/report.ts'
import { type Source, SourceError } from '../../book/verify/source.ts'
import { verifyBook } from '../../book/verify/walk.ts'
import { verifyProof } from '../../book/verify-proof.ts'
import { writeFileDurably } from '../../system/durable.ts'
import { OperatorError } from '../../system/operator-error.ts'
import type { Io } from '../io.ts'
import { FilesFolder } from './files-folder.ts'
import { writeBroken, writeProof, writeReport } from './verify-text.ts'

export interface VerifyOptions {
  /** The data directory of a gateway, running or not. */
  readonly data?: string
  /** A copied book, or the folder of an export. */
  readonly book?: string
  readonly proof?: string
  /** The first vkey, or a file with it. */
  readonly key?: string
  readonly checkpoint?: readonly string[]
  readonly from?: number
  /** A file with the last verified head: read if it is there, written when all holds. */
  readonly remember?: string
  readonly maxAgeMs?: number
  readonly maxGapMs?: number
  readonly closed?: boolean
  readonly requireEvidence?: boolean
  readonly json?: boolean
}

/** How often a book that is being pruned or erased under the verifier's hands is read again. */
const ATTEMPTS = 3
/** What deletions, lawful and recorded later than the verifier began, look like to it. */
const MOVING = new Set(['payload-missing', 'gap', 'prune', 'tile'])

/** In the folder of a session's evidence, and in no export of a book. */
export const EVIDENCE_FILE = 'evidence.jsonl'

/** What is verified. */
type Input =
  | { readonly kind: 'live' | 'copy'; readonly file: string }
  | { readonly kind: 'export'; readonly folder: string }

export async function verify(options: VerifyOptions, io: Io, now = Date.now()): Promise<number> {
  const given = [options.data, options.book, options.proof].filter((path) => path !== undefined)
  if (given.length !== 1) throw new OperatorError('usage', 'name exactly one of --data, --book and --proof')
  if (options.proof !== undefined) return verifyProofFile(options.proof, options, io)
  const input = inputOf(options)
  const { key, fromOutside } = readKey(
    options.key,
    input.kind === 'export' ? input.folder : dirname(input.file),
  )
  const outside = readCheckpoints(options)
  const begun = performance.now()
  try {
    const { report, head, integrityMs } = check(input, { options, io, now, key, fromOutside, outside })
    const exit = exitCode(report, options.requireEvidence === true)
    const times = { seconds: (performance.now() - begun) / 1000, integrityMs }
    writeReport(report, exit, times, options.json === true, io.stdout)
    if (exit === EXIT.ok && options.remember !== undefined && head !== undefined) {
      if (input.kind !== 'export') makeDurable(`${input.file}-wal`)
      writeFileDurably(options.remember, head, 0o644)
    }
    return exit
  } catch (cause) {
    if (!(cause instanceof SourceError)) throw cause
    if (cause.code !== 'damaged') throw new OperatorError('disk', `verify: ${cause.message}`, { cause })
    writeBroken(cause.message, options.json === true, io.stdout)
    return EXIT.broken
  }
}

function inputOf({ data, book }: VerifyOptions): Input {
  const path = data === undefined ? (book ?? '') : join(data, 'book.db')
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined) throw new OperatorError('disk', `verify: there is no ${path}`)
  if (found.isDirectory() && data === undefined) {
    if (existsSync(join(path, EVIDENCE_FILE)))
      throw new OperatorError(
        'usage',
        `${path} is the evidence of a session: open its index.html in a browser`,
      )
    return { kind: 'export', folder: path }
  }
  // Opening a pipe waits for somebody who writes.
  if (!found.isFile()) throw new OperatorError('disk', `verify: ${path} is no file`)
  return { kind: data === undefined ? 'copy' : 'live', file: path }
}

interface Circumstances {
  readonly options: VerifyOptions
  readonly io: Io
  readonly now: number
  readonly key: Vkey
  readonly fromOutside: boolean
  readonly outside: readonly OutsideCheckpoint[]
}

interface Checked {
  readonly report: Report
  readonly head: Uint8Array | undefined
  /** How long SQLite's own check took, where it was made. */
  readonly integrityMs: number | undefined
}

function check(input: Input, at: Circumstances): Checked {
  if (input.kind === 'export') {
    const source = new TilesSource(new FilesFolder(input.folder))
    // There is no database in it that could be checked.
    return { report: walk(source, at, []), head: source.head, integrityMs: undefined }
  }
  for (let attempt = 1; ; attempt++) {
    // Before the book is opened: what this signs is in the book by then.
    const beside = input.kind === 'live' ? readSidecar(input.file) : []
    using source = BookSource.open(input.file)
    const begun = performance.now()
    const damage = input.kind === 'copy' ? source.checkIntegrity() : undefined
    const integrityMs = damage === undefined ? undefined : performance.now() - begun
    const report = walk(source, { ...at, outside: [...at.outside, ...beside] }, damage)
    const codes = Object.keys(report.counts)
    const hasMoved = input.kind === 'live' && codes.length > 0 && source.hasMoved()
    if (!hasMoved || attempt === ATTEMPTS || !codes.every((code) => MOVING.has(code))) {
      return { report, head: source.head, integrityMs }
    }
    at.io.stderr.write('the book has changed while it was read; reading it again\n')
  }
}

function walk(source: Source, at: Circumstances, damage: readonly string[] | undefined): Report {
  const { options, io, key, fromOutside, outside, now } = at
  const report = verifyBook(source, {
    key,
    keyFromOutside: fromOutside,
    outside,
    from: options.from ?? 0,
    closed: options.closed === true,
    maxAge: options.maxAgeMs === undefined ? undefined : options.maxAgeMs * 1000,
    maxGap: options.maxGapMs === undefined ? undefined : options.maxGapMs * 1000,
    now: now * 1000,
    integrityChecked: damage !== undefined,
    damage: damage ?? [],
    progress: progressTo(io.stderr, source.end),
  })
  clearLine(io.stderr)
  return report
}

/** On a terminal, per cent on one line. */
function progressTo(stderr: Io['stderr'], end: number): (size: number) => void {
  let shown = -1
  return (size) => {
    const share = Math.floor((100 * size) / Math.max(1, end))
    if (!isTerminal(stderr) || share === shown) return
    shown = share
    stderr.write(`\r${share} % of ${end} records`)
  }
}

function clearLine(stderr: Io['stderr']): void {
  if (isTerminal(stderr)) stderr.write('\r\u001b[K')
}

function isTerminal(stream: Io['stderr']): boolean {
  return 'isTTY' in stream && stream.isTTY === true
}

/** The key that was kept elsewhere, or the one beside the book, which proves less. */
export function readKey(given: string | undefined, beside: string): { key: Vkey; fromOutside: boolean } {
  const file = join(beside, 'book.vkey')
  if (given === undefined && !existsSync(file)) {
    throw new OperatorError('usage', `there is no ${file}: name the book's first key with --key`)
  }
  const text = given === undefined ? readText(file) : existsSync(given) ? readText(given) : given
  try {
    return { key: parseVkey(text.trim()), fromOutside: given !== undefined }
  } catch (cause) {
    if (!(cause instanceof CheckpointError)) throw cause
    throw new OperatorError('usage', `${given ?? file} is no key: ${cause.message}`, { cause })
  }
}

function readCheckpoints({ checkpoint = [], remember }: VerifyOptions): OutsideCheckpoint[] {
  const given = checkpoint.map((file) => ({ name: `the checkpoint ${file}`, note: readBytes(file) }))
  if (remember === undefined || !existsSync(remember)) return given
  return [...given, { name: `the head remembered in ${remember}`, note: readBytes(remember) }]
}

/** The head that the gateway keeps beside its book: it tells that the book's end was lost, or an older one put back. */
function readSidecar(book: string): OutsideCheckpoint[] {
  const file = bookFiles(dirname(book)).head
  if (!existsSync(file)) return []
  return [{ name: `the head in ${file}`, note: readBytes(file), beside: true }]
}

function readText(file: string): string {
  return Buffer.from(readBytes(file)).toString()
}

function readBytes(file: string): Uint8Array {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new OperatorError('disk', `verify: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}

/** A head from a log that a crashed process left may not be on the disk yet; remembered it must be. */
function makeDurable(wal: string): void {
  if (!existsSync(wal)) return
  const file = openSync(wal, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function verifyProofFile(file: string, options: VerifyOptions, io: Io): number {
  if (options.key === undefined)
    throw new OperatorError('usage', 'a proof is checked against --key, the first key of the book')
  const { key } = readKey(options.key, '.')
  const report = verifyProof(readText(file), key)
  writeProof(report, options.json === true, io.stdout)
  return report.findings.length === 0 ? EXIT.ok : EXIT.broken
}
