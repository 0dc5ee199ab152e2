/** `gatebook proof`: writes the proof of one record, which others check with `gatebook verify --proof`. */
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CheckpointError, type Vkey } from '../../book/checkpoint.ts'
import { encodeBase64, FormatError, type Leaf, parseLeaf } from '../../book/format.ts'
import type { RecordProof } from '../../book/proof.ts'
import { proveRecord } from '../../book/prove.ts'
import { BookSource } from '../../book/source.ts'
import { TilesSource } from '../../book/tiles-source.ts'
import { leafHash } from '../../book/tree.ts'
import { EXIT } from '../../book/verify/report.ts'
import { type Source, SourceError } from '../../book/verify/source.ts'
import { verifyProof } from '../../book/verify-proof.ts'
import { NoAnswer } from '../../read/questions.ts'
import { OperatorError } from '../../system/operator-error.ts'
import { dataOf } from '../gateway.ts'
import type { Io } from '../io.ts'
import { visible } from '../io.ts'
import { type ReadOptions, reading } from '../reading/library.ts'
import { gatewayUrl } from '../remote.ts'
import { FilesFolder } from './files-folder.ts'
import { readKey } from './verify.ts'

export interface ProofOptions extends ReadOptions {
  /** An index, or with the first digits of the record's hash: `184302-9f2c1b77`; or an id that was told. */
  readonly record: string
  /** A copied book, or the folder of an export. */
  readonly book?: string
  readonly output: string
  readonly key?: string
  /** With the ciphertexts that the record names. */
  readonly payloads?: boolean
  /** Gives the data key of the session that this leaf opens, which the proof will hold. */
  readonly reveal?: (session: Leaf) => Promise<Uint8Array>
}

export async function proof(options: ProofOptions, io: Io): Promise<number> {
  const isElsewhere = options.book === undefined && gatewayUrl(options) !== undefined
  if (isElsewhere || TOLD.test(options.record)) return proofByLibrary(options, io, isElsewhere)
  if (options.data !== undefined && options.book !== undefined)
    throw new OperatorError('usage', 'name one of --data and --book, not both')
  const { index, digits } = linked(options.record)
  const path = options.book ?? join(await dataOf(options), 'book.db')
  const made = make(path, index, options, io)
  if (made === undefined) return EXIT.broken
  const hash = Buffer.from(leafHash(Buffer.from(made.leaf))).toString('hex')
  if (digits !== undefined && !hash.startsWith(digits)) {
    throw new OperatorError('usage', `record ${index} has the hash ${hash.slice(0, 8)}, not ${digits}`)
  }
  const beside = existsSync(path) && statSync(path).isDirectory() ? path : dirname(path)
  return write(made, readKey(options.key, beside).key, options, io)
}

/** An id that somebody was shown, such as `k3v5o2n7q4w6x2za.3`: only the index of the book knows its place. */
const TOLD = /^[a-z2-7]{16}\.\d{1,12}$/

/** `184302`, `184302-9f2c1b77` */
function linked(record: string): { readonly index: number; readonly digits: string | undefined } {
  const [, index, digits] = /^(\d{1,15})(?:-([0-9a-f]{1,64}))?$/.exec(record) ?? []
  if (index === undefined)
    throw new OperatorError(
      'usage',
      `${record} is no record: 184302, 184302-9f2c1b77, or the id that somebody was shown`,
    )
  return { index: Number(index), digits }
}

function proofByLibrary(options: ProofOptions, io: Io, isElsewhere: boolean): Promise<number> {
  const { record, book, reveal } = options
  if (book !== undefined) {
    throw new OperatorError('usage', `${record}: which record that is, only a gateway's book knows (--data)`)
  }
  if (isElsewhere && reveal !== undefined) {
    throw new OperatorError('usage', 'a key is revealed on the gateway itself: --data and --config, there')
  }
  const wanted = TOLD.test(record) ? undefined : linked(record)
  return reading(options, io, record, async ({ library, asker, firstKey }) => {
    const made = await library.proof(asker, record, options.payloads)
    if (wanted !== undefined && (made.seq !== wanted.index || !made.hash.startsWith(wanted.digits ?? ''))) {
      throw new NoAnswer('evidence', `the proof is that of record ${made.seq}-${made.hash.slice(0, 8)}`)
    }
    const { key, fromOutside } = await firstKey(options.key)
    const code = await write(JSON.parse(made.proof) as RecordProof, key, options, io)
    if (isElsewhere && !fromOutside) {
      io.stderr.write('the key it holds by came from that gateway: check it with the one you keep (--key)\n')
    }
    return code
  })
}

/** Only what the public key confirms is written. */
async function write(made: RecordProof, key: Vkey, options: ProofOptions, io: Io): Promise<number> {
  const dataKey = options.reveal === undefined ? undefined : await revealed(made, options.reveal)
  const text = `${JSON.stringify({ ...made, key: dataKey }, null, 1)}\n`
  const { findings } = verifyProof(text, key)
  if (findings.length > 0) {
    for (const finding of findings)
      io.stderr.write(`the book does not prove it: ${visible(finding.text)} (${finding.code})\n`)
    return EXIT.broken
  }
  writeFileSync(options.output, text, { mode: 0o600 })
  const { seq, kind } = parseLeaf(Buffer.from(made.leaf))
  io.stderr.write(`proof of record ${seq}, ${kind}, written to ${options.output}\n`)
  if (dataKey !== undefined)
    io.stderr.write('it holds the data key: whoever has it can read the whole session\n')
  return EXIT.ok
}

async function revealed(
  { session }: RecordProof,
  reveal: (session: Leaf) => Promise<Uint8Array>,
): Promise<string> {
  if (session === undefined)
    throw new OperatorError('usage', 'the record is in no session: it has no data key')
  return encodeBase64(await reveal(parseLeaf(Buffer.from(session.leaf))))
}

/** Undefined where the book is too damaged to prove anything, which is said then. */
function make(
  path: string,
  index: number,
  { payloads = false }: ProofOptions,
  io: Io,
): RecordProof | undefined {
  try {
    if (existsSync(path) && statSync(path).isDirectory()) {
      const folder: Source = new TilesSource(new FilesFolder(path))
      return proveRecord(folder, index, { payloads })
    }
    using source = BookSource.open(path)
    return proveRecord(source, index, { payloads })
  } catch (cause) {
    if (cause instanceof FormatError || cause instanceof CheckpointError) {
      io.stderr.write(`the book does not prove it: ${visible(cause.message)} (${cause.code})\n`)
      return undefined
    }
    if (!(cause instanceof SourceError)) throw cause
    throw new OperatorError(cause.code === 'foreign' ? 'usage' : 'disk', `proof: ${cause.message}`, { cause })
  }
}
