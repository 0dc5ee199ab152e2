/** What a book says of SSH sessions, decrypted, as a test compares it: operations with their texts and streams. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { bookFiles } from '../../src/book/files.ts'
import type { Leaf } from '../../src/book/format.ts'
import { Kek, KeyStore } from '../../src/book/keys.ts'
import { readHeadNote, readLeaves } from '../../src/book/reader.ts'
import { Unsealer } from '../../src/read/unseal.ts'

export interface SshFrame {
  readonly stream: string
  readonly kind: string
  readonly bytes: Buffer
}

export interface SshOperation {
  readonly sid: string
  readonly op: number
  readonly act: string
  readonly par: number | undefined
  readonly rule: string | undefined
  /** `denied` is a decision; undefined while it is open. */
  out: string | undefined
  code: string | undefined
  bytes: number | undefined
  /** Its texts by the type of their payload: `cmd`, `path`, `addr`, `args`. */
  readonly texts: Readonly<Record<string, string>>
  meta: Record<string, unknown>
  readonly frames: SshFrame[]
}

export class SshBook {
  readonly operations: readonly SshOperation[]
  /** Every payload there is, opened. */
  readonly payloads: readonly Buffer[]

  private constructor(operations: readonly SshOperation[], payloads: readonly Buffer[]) {
    this.operations = operations
    this.payloads = payloads
  }

  static read(folder: string): SshBook {
    const files = bookFiles(join(folder, 'data'))
    const kek = Buffer.from(readFileSync(join(folder, 'record.kek'), 'utf8').trim(), 'base64')
    const db = new Sqlite(files.book, { readonly: true })
    const keys = new Sqlite(files.keys, { readonly: true })
    try {
      const origin = String(readHeadNote(db)).split('\n')[0] ?? ''
      const unsealer = new Unsealer(db, new KeyStore(keys), new Kek(kek), origin)
      const operations = new Map<string, SshOperation>()
      const payloads: Buffer[] = []
      for (const leaf of readLeaves(db, 0)) {
        for (const ref of leaf.ref ?? []) {
          const opened = unsealer.open(leaf, ref)
          if (opened.type === 'opened') payloads.push(opened.body)
        }
        take(operations, leaf, unsealer)
      }
      return new SshBook([...operations.values()], payloads)
    } finally {
      db.close()
      keys.close()
    }
  }

  /** Of one act, in their order. */
  of(act: string): readonly SshOperation[] {
    return this.operations.filter((operation) => operation.act === act)
  }

  /** The commands derived from terminals, in their order. */
  get commands(): readonly string[] {
    return this.markers.flatMap((marker) => ('command' in marker ? [String(marker['command'])] : []))
  }

  get markers(): readonly Record<string, unknown>[] {
    return this.operations.flatMap(({ frames }) =>
      frames.filter(({ kind }) => kind === 'm').map(({ bytes }) => JSON.parse(bytes.toString())),
    )
  }

  /** What has been kept of one operation's stream, of frames of one kind. */
  static stream({ frames }: SshOperation, kind: string): Buffer {
    return Buffer.concat(frames.filter((frame) => frame.kind === kind).map(({ bytes }) => bytes))
  }
}

function take(operations: Map<string, SshOperation>, leaf: Leaf, unsealer: Unsealer): void {
  const { sid = '', op, kind } = leaf
  if (op === undefined || !['op', 'op.begin', 'op.end', 'data', 'decision'].includes(kind)) return
  const id = `${sid}.${op}`
  const text = (type: string) => unsealer.text(leaf, type)?.toString('utf8')
  if (!operations.has(id)) {
    const types = ['cmd', 'path', 'addr', 'args', 'note'] as const
    const texts = Object.fromEntries(types.map((type) => [type, text(type)]).filter(([, value]) => value))
    operations.set(id, {
      ...{ sid, op, act: leaf.act ?? '', par: leaf.par, rule: leaf.rule, texts, frames: [] },
      ...{ out: undefined, code: undefined, bytes: undefined, meta: {} },
    })
  }
  const operation = operations.get(id)
  if (operation === undefined) return
  if (kind === 'data') {
    for (const { t: stream } of leaf.ref ?? [])
      operation.frames.push(...framesOf(unsealer.text(leaf, stream) ?? Buffer.alloc(0), stream))
    return
  }
  if (kind === 'op.begin') return
  operation.out = leaf.out
  operation.code = leaf.code
  operation.bytes = leaf.bytes
  operation.meta = JSON.parse(text('meta') ?? '{}')
}

/** FORMAT.md, section 4.6. */
function framesOf(body: Buffer, stream: string): SshFrame[] {
  const frames: SshFrame[] = []
  let at = 0
  const leb128 = (): number => {
    let value = 0
    for (let unit = 1; ; unit *= 128) {
      const byte = body[at++] ?? 0
      value += (byte & 0x7f) * unit
      if (byte < 0x80) return value
    }
  }
  while (at < body.length) {
    leb128()
    const kind = String.fromCharCode(body[at++] ?? 0)
    const length = leb128()
    frames.push({ stream, kind, bytes: body.subarray(at, at + length) })
    at += length
  }
  return frames
}
