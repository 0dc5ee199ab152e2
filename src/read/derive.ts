/**
 * What one record says, in the words of the search language. Pure but for the payloads it opens: the same record
 * gives the same rows whenever it is looked at, which is what makes the index disposable.
 */
import type { Leaf, Ref } from '../book/format.ts'
import { decodeFrames, type Frame } from '../book/frames.ts'
import { RememberedPayloads } from './remembered.ts'
import type { OUTCOMES, PROTOCOLS } from './search/keys.ts'
import type { Unsealer } from './unseal.ts'

/** Of a text, found by its words; the rest is in the record and not in the index. */
export const INDEXED_CHARACTERS_MAX = 1 << 20
/** More than this of a text holds them, whatever the characters, and no dialect reads a longer one: the rest stays sealed. */
const INDEXED_BYTES_MAX = 4 * INDEXED_CHARACTERS_MAX
/** Rows that stand on one record: the record's own, then the commands in a terminal's chunk. */
export const PLACES = 4096
/**
 * Rows of 256 records. A text that comes again among them is indexed by its words once, at its first row: so what is
 * found by words is in its order from one span to the next, and has to be put in order within.
 */
export const SPAN_IDS = 256 * PLACES

export type Protocol = (typeof PROTOCOLS)[number]
export type Outcome = (typeof OUTCOMES)[number]

/** What a statement's text does, by the room of its dialect. */
export interface Understood {
  /** Same for texts that differ in their literals only. */
  readonly shape: string
  readonly verbs: readonly string[]
  readonly tables: readonly string[]
  readonly noWhere: boolean
}

/** Handed in: this side of the house knows no dialect and no terminal. */
export interface Understanding {
  readonly statement: (dialect: 'postgres' | 'mysql', text: Buffer) => Understood
  /** What of a terminal's bytes is text. */
  readonly terminal: (bytes: Uint8Array) => string
}

/** What all records of a session share. */
export interface SessionFacts {
  readonly protocol: Protocol
  readonly sub?: string
  readonly actor?: string
  readonly target?: string
  readonly address?: string
  readonly roles: readonly string[]
  readonly client?: string
}

export interface Facts {
  /** 0 for the record itself, then the commands that were derived from it. */
  readonly place: number
  readonly action: string
  readonly sub?: string | undefined
  readonly actor?: string | undefined
  readonly target?: string | undefined
  readonly address?: string | undefined
  readonly database?: string | undefined
  readonly trace?: string | undefined
  readonly understood?: Understood | undefined
  readonly text?: string | undefined
  readonly params: boolean
  /** Found by its words only: what a terminal or a program showed. */
  readonly quiet: boolean
}

const DOORS: Readonly<Record<string, Protocol>> = {
  pg: 'postgres',
  mysql: 'mysql',
  ssh: 'ssh',
  gateway: 'gateway',
  web: 'web',
}
const TEXTS = ['sql', 'cmd', 'path', 'addr'] as const
const OPERATION = /^(?:db|ssh|sftp)\./
const CACHED = 10_000

export interface Circumstances {
  readonly database?: string | undefined
  readonly trace?: string | undefined
}

interface CachedText {
  readonly text: string
  readonly understood: Understood | undefined
}

/** Whether a payload counts as gone: a record that lets it be erased may be ahead of its removal. */
export type IsGone = (sid: string, i: number) => boolean

export class Deriver {
  readonly #unsealer: Unsealer
  readonly #understanding: Understanding
  readonly #texts = new RememberedPayloads<CachedText>(CACHED)
  readonly #circumstances = new RememberedPayloads<Circumstances>(CACHED)

  constructor(unsealer: Unsealer, understanding: Understanding) {
    this.#unsealer = unsealer
    this.#understanding = understanding
  }

  /** After an erasure: texts that were read before must not be read again. */
  forget(): void {
    this.#texts.clear()
    this.#circumstances.clear()
  }

  /** Of a `session.open`. */
  session(leaf: Leaf, isGone: IsGone = never): SessionFacts {
    const who = this.#json(leaf, 'who', isGone)
    const { name, address, roles, claims } = who
    const said = typeof claims === 'object' && claims !== null ? Object.values(claims).map(String) : []
    const actor = typeof name === 'string' ? name : leaf.sub
    return {
      protocol: DOORS[leaf.act ?? ''] ?? 'gateway',
      ...(leaf.sub === undefined ? {} : { sub: leaf.sub }),
      ...(actor === undefined ? {} : { actor }),
      ...(leaf.tgt === undefined ? {} : { target: leaf.tgt }),
      ...(typeof address === 'string' ? { address } : {}),
      roles: Array.isArray(roles) ? roles.map(String) : [],
      ...(said.length === 0 ? {} : { client: said.join(' ') }),
    }
  }

  /** Rows of any record; none for what only completes another or says nothing of anybody. */
  rows(leaf: Leaf, session: SessionFacts | undefined, isGone: IsGone = never): Facts[] {
    if (leaf.kind === 'data') return session === undefined ? [] : this.#stream(leaf, session, isGone)
    const action = actionOf(leaf)
    if (action === undefined) return []
    const own = leaf.kind === 'login' || leaf.kind === 'decision' ? this.#json(leaf, 'who', isGone) : {}
    const name = typeof own['name'] === 'string' ? own['name'] : undefined
    const address = typeof own['address'] === 'string' ? own['address'] : undefined
    const { text, understood } = this.#textOf(leaf, session, isGone)
    const circumstances = this.#circumstancesOf(leaf, isGone)
    const sub = leaf.sub ?? session?.sub
    return [
      {
        place: 0,
        action,
        sub,
        actor: name ?? (leaf.sub === undefined || leaf.sub === session?.sub ? session?.actor : leaf.sub),
        target: leaf.tgt ?? session?.target,
        address: address ?? session?.address,
        database: circumstances.database,
        trace: circumstances.trace,
        understood,
        text,
        params: (leaf.ref ?? []).some(({ t }) => t === 'args') && action.startsWith('db.'),
        quiet: false,
      },
    ]
  }

  /** The whole text of a row of place 0, or the parts with which it exceeds `bytesMax`. */
  text(leaf: Leaf, isGone: IsGone = never, bytesMax = Number.POSITIVE_INFINITY): string | undefined {
    for (const type of TEXTS) {
      const parts = this.#parts(leaf, type, isGone, bytesMax)
      if (parts === 'gone') return undefined
      if (parts.length > 0) return joined(type, parts)
    }
    if (!NOTED.has(leaf.kind)) return undefined
    const notes = this.#parts(leaf, 'note', isGone)
    return notes === 'gone' || notes.length === 0 ? undefined : strings(parsed(notes)).join(' ')
  }

  /** Everything a session's opening says of who it is; undefined where that is gone. */
  who(leaf: Leaf): unknown {
    const who = this.#json(leaf, 'who', never)
    return Object.keys(who).length === 0 ? undefined : who
  }

  /** What came out of an operation, beside its counts. */
  facts(leaf: Leaf): Readonly<Record<string, unknown>> {
    return this.#json(leaf, 'meta', never)
  }

  /** The size with which a terminal's recording begins. */
  sizeOf(leaf: Leaf): { columns: number; lines: number } | undefined {
    for (const { kind, bytes } of this.frames(leaf) ?? []) {
      const [, columns, lines] =
        kind === 'r' ? (/^(\d{1,5})x(\d{1,5})$/.exec(Buffer.from(bytes).toString('latin1')) ?? []) : []
      if (columns !== undefined) return { columns: Number(columns), lines: Number(lines) }
    }
    return undefined
  }

  /** The frames of a chunk; undefined where its payload is gone. */
  frames(leaf: Leaf): readonly Frame[] | undefined {
    const [ref] = leaf.ref ?? []
    const parts = ref === undefined ? 'gone' : this.#parts(leaf, ref.t, never)
    return parts === 'gone' ? undefined : decodeFrames(Buffer.concat(parts))
  }

  /** What one chunk of a stream shows, as text, and the commands that were derived in it. */
  chunk(leaf: Leaf, isGone: IsGone = never): { text: string; commands: Command[] } | undefined {
    const [ref] = leaf.ref ?? []
    const parts = ref === undefined ? 'gone' : this.#parts(leaf, ref.t, isGone)
    if (parts === 'gone') return undefined
    const shown: Uint8Array[] = []
    const commands: Command[] = []
    let ts = leaf.t0 ?? leaf.ts
    for (const frame of decodeFrames(Buffer.concat(parts))) {
      ts += frame.delay
      if (frame.kind === 'm') {
        const marker = markerOf(frame.bytes)
        if (marker.command !== undefined) commands.push({ ...marker.command, ts })
        else if (marker.status !== undefined) status(commands, marker.status)
      } else if (frame.kind !== 'r' && frame.kind !== 'x') shown.push(frame.bytes)
    }
    return { text: this.#understanding.terminal(Buffer.concat(shown)), commands }
  }

  /** What a terminal or program of SSH shows; the content of a COPY is data, not a transcript. */
  #stream(leaf: Leaf, session: SessionFacts, isGone: IsGone): Facts[] {
    const [ref] = leaf.ref ?? []
    if (session.protocol !== 'ssh' || ref === undefined || ref.t === 'rows') return []
    const found = this.chunk(leaf, isGone)
    if (found === undefined) return []
    const { sub, actor, target, address } = session
    const common = { sub, actor, target, address, params: false }
    const action = ref.t === 'in' ? 'ssh.input' : 'ssh.output'
    const rows: Facts[] = [{ ...common, place: 0, action, text: found.text, quiet: true }]
    for (const [k, { text }] of found.commands.slice(0, PLACES - 1).entries()) {
      rows.push({ ...common, place: k + 1, action: 'ssh.command', text, quiet: false })
    }
    return rows
  }

  #textOf(leaf: Leaf, session: SessionFacts | undefined, isGone: IsGone): Partial<CachedText> {
    const [first] = leaf.ref ?? []
    const sql = (leaf.ref ?? []).find(({ t }) => t === 'sql')
    const { sid = '' } = leaf
    const known = sql === undefined || isGone !== never ? undefined : this.#texts.get(sid, sql.i)
    if (known !== undefined) return known
    if (first === undefined) return {}
    const text = this.text(leaf, isGone, INDEXED_BYTES_MAX)
    if (text === undefined) return {}
    const dialect = session?.protocol
    const isSql = sql !== undefined && (dialect === 'postgres' || dialect === 'mysql')
    const understood = isSql ? this.#understanding.statement(dialect, Buffer.from(text)) : undefined
    const found = { text, understood }
    // Long texts seldom come again, and each is remembered whole.
    if (sql !== undefined && text.length < 4096) this.#texts.set(sid, sql.i, found)
    return found
  }

  #circumstancesOf(leaf: Leaf, isGone: IsGone): Circumstances {
    const meta = (leaf.ref ?? []).find(({ t }) => t === 'meta')
    if (meta === undefined) return {}
    const { sid = '' } = leaf
    const known = isGone === never ? this.#circumstances.get(sid, meta.i) : undefined
    if (known !== undefined) return known
    const { database, trace } = this.#json(leaf, 'meta', isGone)
    const traceId =
      typeof trace === 'string' ? (/^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(trace)?.[1] ?? trace) : undefined
    const named = typeof database === 'string' && database !== '' ? database : undefined
    const found = { database: named, trace: traceId }
    this.#circumstances.set(sid, meta.i, found)
    return found
  }

  /** An object, or an empty one where there is none or it cannot be opened. */
  #json(leaf: Leaf, type: string, isGone: IsGone): Readonly<Record<string, unknown>> {
    const parts = this.#parts(leaf, type, isGone)
    if (parts === 'gone' || parts.length === 0) return {}
    return parsed(parts)
  }

  #parts(leaf: Leaf, type: string, isGone: IsGone, bytesMax = Number.POSITIVE_INFINITY): Buffer[] | 'gone' {
    const bodies: Buffer[] = []
    let bytes = 0
    for (const ref of leaf.ref ?? []) {
      if (ref.t !== type) continue
      if (isGone(leaf.sid ?? '', ref.i)) return 'gone'
      if (bytes > bytesMax) continue
      const body = this.#open(leaf, ref)
      if (body === undefined) return 'gone'
      bytes += body.length
      bodies.push(body)
    }
    return bodies
  }

  #open(leaf: Leaf, ref: Ref): Buffer | undefined {
    const opened = this.#unsealer.open(leaf, ref)
    return opened.type === 'opened' ? opened.body : undefined
  }
}

export interface Command {
  readonly text: string
  readonly by: string
  readonly ts: number
  /** As the shell itself said, where it did. */
  status?: number
}

interface Marker {
  readonly command?: Omit<Command, 'ts'>
  readonly status?: number
}

/** FORMAT.md, 4.6; one of a form that this release does not know says nothing. */
export function markerOf(bytes: Uint8Array): Marker {
  try {
    const {
      command,
      by,
      status: ended,
    } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>
    if (typeof command === 'string') return { command: { text: command, by: String(by) } }
    return typeof ended === 'number' ? { status: ended } : {}
  } catch (error) {
    if (error instanceof SyntaxError) return {}
    throw error
  }
}

/** A status is of the command before it. */
function status(commands: readonly Command[], ended: number): void {
  const last = commands.at(-1)
  if (last !== undefined) last.status ??= ended
}

/** Whose notes are searched: the words of a search are themselves looked for. */
const NOTED = new Set(['audit.read', 'admin', 'config', 'decision', 'erase', 'retain', 'alert'])

/** In the search language's words; undefined for what stands in another row. */
export function actionOf({ kind, act = '', out }: Leaf): string | undefined {
  switch (kind) {
    case 'op':
    case 'op.begin':
      return act
    case 'decision':
      if (OPERATION.test(act)) return act
      return out === 'denied' ? 'access.denied' : out === 'ok' ? 'access.approved' : 'access.expired'
    case 'login':
      return out === 'ok' ? 'auth.ok' : 'auth.failed'
    case 'session.open':
      return 'session.start'
    case 'session.close':
      return 'session.end'
    case 'admin':
      return `admin.${act}`
    case 'config':
      return `config.${act}`
    case 'audit.read':
      return `audit.${act}`
    case 'erase':
    case 'retain':
      return `book.${kind}`
    case 'key.next':
      return 'book.key'
    case 'anchor':
      return 'book.anchor'
    case 'boot':
      return 'gateway.start'
    case 'alert':
    case 'gap':
    case 'suspend':
    case 'resume':
      return `gateway.${kind}`
    default:
      return undefined
  }
}

function joined(type: string, parts: readonly Buffer[]): string {
  // Two paths are two: from and to.
  if (type === 'path') return parts.map((part) => part.toString('utf8')).join(' → ')
  return Buffer.concat(parts).toString('utf8')
}

function parsed(parts: readonly Buffer[]): Readonly<Record<string, unknown>> {
  const value: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'))
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function strings(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(strings)
}

export function spanOf(id: number): number {
  return Math.floor(id / SPAN_IDS)
}

export const never: IsGone = () => false
