/**
 * What a search must find, the slow and obvious way: every record decrypted, every row held against every term. It
 * shares the parser of searches and the reading of SQL with what it judges, and nothing else.
 */
import Sqlite from 'better-sqlite3'
import { bookFiles } from '../../src/book/files.ts'
import { type Leaf, parseLeaf } from '../../src/book/format.ts'
import { decodeFrames } from '../../src/book/frames.ts'
import { Kek, KeyStore } from '../../src/book/keys.ts'
import { readHeadNote, readLeafBytes, readLeaves } from '../../src/book/reader.ts'
import { leafHash } from '../../src/book/tree.ts'
import type { Understanding, Understood } from '../../src/read/derive.ts'
import type { Asker } from '../../src/read/questions.ts'
import { parseQuery, type Query, type Value } from '../../src/read/search/parse.ts'
import { Unsealer } from '../../src/read/unseal.ts'
import { KEK_BYTES } from './books.ts'

export interface SlowRow {
  readonly id: number
  readonly seq: number
  readonly hash: string
  readonly ts: number
  readonly action: string
  session?: SlowSession
  actor?: string
  sub?: string
  target?: string
  address?: string
  database?: string
  trace?: string
  understood?: Understood
  text?: string
  params: boolean
  recording: boolean
  quiet: boolean
  status: string | undefined
  rows?: number
  bytes?: number
  duration?: number
}

interface SlowSession {
  readonly sid: string
  readonly proto: string
  readonly roles: readonly string[]
  readonly sub?: string
  readonly actor?: string
  readonly target?: string
  readonly address?: string
  closed: boolean
}

const PROTOCOL: Readonly<Record<string, string>> = {
  pg: 'postgres',
  mysql: 'mysql',
  ssh: 'ssh',
  gateway: 'gateway',
}

/** Every row of the book, oldest first. */
export function slowRows(directory: string, understanding: Understanding): SlowRow[] {
  const files = bookFiles(directory)
  const db = new Sqlite(files.book, { readonly: true })
  const keys = new Sqlite(files.keys, { readonly: true })
  try {
    const origin = String(readHeadNote(db)).split('\n')[0] ?? ''
    const unsealer = new Unsealer(db, new KeyStore(keys), new Kek(Buffer.from(KEK_BYTES)), origin)
    const hashes = new Map(
      [...readLeafBytes(db, 0)].map(([seq, bytes]) => [seq, Buffer.from(leafHash(bytes)).toString('hex')]),
    )
    const kept = db.prepare('SELECT leaf FROM kept ORDER BY seq').pluck().all() as Buffer[]
    for (const bytes of kept) {
      hashes.set(parseLeaf(bytes).seq, Buffer.from(leafHash(bytes)).toString('hex'))
    }
    return rowsOf([...kept.map(parseLeaf), ...readLeaves(db, 0)], unsealer, understanding, hashes)
  } finally {
    db.close()
    keys.close()
  }
}

function rowsOf(
  leaves: readonly Leaf[],
  unsealer: Unsealer,
  understanding: Understanding,
  hashes: ReadonlyMap<number, string>,
): SlowRow[] {
  const sessions = new Map<string, SlowSession>()
  const operations = new Map<string, SlowRow>()
  const rows: SlowRow[] = []
  const read = (leaf: Leaf, type: string): string | undefined => unsealer.text(leaf, type)?.toString('utf8')
  const parse = (leaf: Leaf, type: string): Record<string, unknown> =>
    JSON.parse(read(leaf, type) ?? '{}') as Record<string, unknown>
  for (const leaf of leaves) {
    if (leaf.kind === 'session.open') {
      const { name, address, roles } = parse(leaf, 'who')
      sessions.set(leaf.sid ?? '', {
        sid: leaf.sid ?? '',
        proto: PROTOCOL[leaf.act ?? ''] ?? '',
        roles: (roles as string[] | undefined) ?? [],
        ...one('sub', leaf.sub),
        ...one('actor', (name as string | undefined) ?? leaf.sub),
        ...one('target', leaf.tgt),
        ...one('address', address as string | undefined),
        closed: false,
      })
    }
    const session = sessions.get(leaf.sid ?? '')
    if (leaf.kind === 'session.close' && session !== undefined) session.closed = true
    const base = (place: number, action: string): SlowRow => ({
      id: leaf.seq * 4096 + place,
      seq: leaf.seq,
      hash: hashes.get(leaf.seq) ?? '',
      ts: leaf.ts,
      action,
      ...one('session', session),
      ...one('sub', session?.sub),
      ...one('actor', session?.actor),
      ...one('target', session?.target),
      ...one('address', session?.address),
      params: false,
      recording: false,
      quiet: false,
      status: undefined,
    })
    const key = `${leaf.sid}.${leaf.op}`
    if (leaf.kind === 'op.end') {
      const row = operations.get(key)
      if (row !== undefined) {
        row.status = leaf.out
        measure(row, leaf)
      }
      continue
    }
    if (leaf.kind === 'data') {
      const row = operations.get(key)
      if (row !== undefined) row.recording = true
      const type = leaf.ref?.[0]?.t ?? ''
      const body = unsealer.text(leaf, type)
      if (session?.proto !== 'ssh' || body === undefined) continue
      const frames = decodeFrames(body)
      const shown = frames.filter(({ kind }) => 'oei'.includes(kind)).map(({ bytes }) => bytes)
      rows.push({
        ...base(0, type === 'in' ? 'ssh.input' : 'ssh.output'),
        text: understanding.terminal(Buffer.concat(shown)),
        quiet: true,
      })
      const commands = frames
        .filter(({ kind }) => kind === 'm')
        .map(({ bytes }) => JSON.parse(Buffer.from(bytes).toString()) as { command: string })
      for (const [k, { command }] of commands.entries())
        rows.push({ ...base(k + 1, 'ssh.command'), text: command })
      continue
    }
    const action = actionOf(leaf)
    if (action === undefined) continue
    const row = base(0, action)
    rows.push(row)
    if (leaf.sub !== undefined) {
      row.sub = leaf.sub
      if (leaf.sub !== session?.sub) row.actor = leaf.sub
    }
    if (leaf.tgt !== undefined) row.target = leaf.tgt
    if (leaf.kind === 'login' || leaf.kind === 'decision') {
      const { name, address } = parse(leaf, 'who')
      if (typeof name === 'string') row.actor = name
      if (typeof address === 'string') row.address = address
    }
    const { database, trace } = parse(leaf, 'meta')
    if (typeof database === 'string') row.database = database
    if (typeof trace === 'string') row.trace = trace.split('-')[1] ?? ''
    const note = leaf.kind === 'op' || leaf.kind === 'op.begin' ? undefined : notes(parse(leaf, 'note'))
    const text = read(leaf, 'sql') ?? read(leaf, 'cmd') ?? read(leaf, 'path') ?? note
    if (text !== undefined) row.text = text
    const sql = unsealer.text(leaf, 'sql')
    if (sql !== undefined && (session?.proto === 'postgres' || session?.proto === 'mysql')) {
      row.understood = understanding.statement(session.proto, sql)
    }
    row.params = leaf.ref?.some(({ t }) => t === 'args') === true
    row.status = leaf.kind === 'op.begin' ? undefined : leaf.out
    if (leaf.kind !== 'op.begin') measure(row, leaf)
    if (leaf.kind === 'op' && leaf.parts !== undefined) row.recording = true
    if (leaf.kind === 'op.begin') operations.set(key, row)
  }
  return rows
}

function measure(row: SlowRow, { rows, bytes, dur }: Leaf): void {
  Object.assign(row, one('rows', rows), one('bytes', bytes), one('duration', dur))
}

function one<N extends string, V>(name: N, value: V | undefined): { [K in N]?: V } {
  return (value === undefined ? {} : { [name]: value }) as { [K in N]?: V }
}

function notes(value: unknown): string | undefined {
  const words = (given: unknown): string[] =>
    typeof given === 'string'
      ? [given]
      : typeof given === 'object' && given !== null
        ? Object.values(given).flatMap(words)
        : []
  const all = words(value)
  return all.length === 0 ? undefined : all.join(' ')
}

const ACTIONS: Readonly<Record<string, string>> = {
  'session.open': 'session.start',
  'session.close': 'session.end',
  boot: 'gateway.start',
  erase: 'book.erase',
  retain: 'book.retain',
  'key.next': 'book.key',
}

function actionOf({ kind, act = '', out }: Leaf): string | undefined {
  if (kind === 'op' || kind === 'op.begin') return act
  if (kind === 'decision') return /^(db|ssh|sftp)\./.test(act) ? act : 'access.denied'
  if (kind === 'login') return out === 'ok' ? 'auth.ok' : 'auth.failed'
  if (kind === 'admin' || kind === 'config') return `${kind}.${act}`
  if (kind === 'audit.read') return `audit.${act}`
  return ACTIONS[kind]
}

export interface SlowContext {
  readonly now: number
  readonly labels: Readonly<Record<string, Readonly<Record<string, string>>>>
}

/** Ids of what a query finds, newest first. */
export function slowSearch(
  rows: readonly SlowRow[],
  text: string,
  asker: Asker,
  context: SlowContext,
): number[] {
  const query = parseQuery(text)
  const asked = { content: false, words: false }
  note(query, false, asked)
  return rows
    .filter((row) => sees(row, asker, asked.content))
    .filter((row) => (asked.words || !row.quiet) && holds(query, row, context))
    .map(({ id }) => id)
    .sort((a, b) => b - a)
}

function note(query: Query, negated: boolean, asked: { content: boolean; words: boolean }): void {
  if (query.type === 'and' || query.type === 'or') for (const part of query.of) note(part, negated, asked)
  else if (query.type === 'not') note(query.of, !negated, asked)
  else if (query.type === 'key') {
    const states = query.values.map(({ text }) => text)
    const telling = query.key === 'has' && states.some((state) => state === 'params' || state === 'no-where')
    if (['verb', 'table', 'fp'].includes(query.key) || telling) asked.content = true
  } else {
    asked.content = true
    if (!negated) asked.words = true
  }
}

export function sees(
  { sub, target, quiet }: SlowRow,
  { rights, sub: own }: Asker,
  content: boolean,
): boolean {
  if (rights.all || sub === own) return true
  if (target === undefined) return false
  const among = (patterns: readonly string[]): boolean =>
    patterns.some((pattern) => like(pattern, target, false))
  if (!content) return among(rights.metadata) || among(rights.content) || among(rights.replay)
  return quiet ? among(rights.replay) : among(rights.content)
}

function holds(query: Query, row: SlowRow, context: SlowContext): boolean {
  switch (query.type) {
    case 'and':
      return query.of.every((part) => holds(part, row, context))
    case 'or':
      return query.of.some((part) => holds(part, row, context))
    case 'not':
      return !holds(query.of, row, context)
    case 'regex':
      return row.text !== undefined && new RegExp(query.pattern.source, 'u').test(row.text)
    case 'text':
      return hasWords(row.text ?? '', query.words.tokens, query.words.prefix)
    case 'key':
      return query.values.some((value) => fits(query.key, query.label ?? '', value, row, context))
  }
}

function hasWords(text: string, wanted: readonly string[], prefix: boolean): boolean {
  const words = (text.match(/[\p{L}\p{N}\p{Co}_$]+/gu) ?? []).map((word) => word.toLowerCase())
  return words.some((_, at) =>
    wanted.every((token, k) => {
      const word = words[at + k] ?? ''
      return prefix && k === wanted.length - 1 ? word.startsWith(token) : word === token
    }),
  )
}

function fits(key: string, label: string, value: Value, row: SlowRow, { now, labels }: SlowContext): boolean {
  const text = value.text
  const named = (...names: (string | undefined)[]): boolean =>
    names.some((name) => name !== undefined && like(text, name, value.quoted))
  switch (key) {
    case 'actor':
      return named(row.actor)
    case 'role':
      return named(...(row.session?.roles ?? []))
    case 'target':
      return named(row.target)
    case 'label':
      return named(labels[row.target ?? '']?.[label])
    case 'db':
      return named(row.database)
    case 'action':
      return named(row.action)
    case 'trace':
      return row.trace === text || (text.includes('*') && named(row.trace))
    case 'verb':
      return named(...(row.understood?.verbs ?? []))
    case 'table':
      return (row.understood?.tables ?? []).some((table) =>
        named(text.includes('.') ? table : table.split('.').at(-1)),
      )
    case 'fp':
      return named(row.understood?.shape)
    case 'proto':
      return (row.session?.proto ?? 'gateway') === text
    case 'status':
      return row.status === text
    case 'session':
      return row.session?.sid === text
    case 'record': {
      const [seq, hash = ''] = text.split('-')
      return row.seq === Number(seq) && row.hash.startsWith(hash)
    }
    case 'ip':
      return text === '10.0.0.0/8' ? row.address?.startsWith('10.') === true : row.address === text
    case 'rows':
      return inRange(text, row.rows, Number)
    case 'bytes':
      return inRange(text, row.bytes, (one) =>
        one.endsWith('k') ? Number(one.slice(0, -1)) * 1000 : Number(one),
      )
    case 'duration':
      return inRange(text, row.duration, (one) =>
        one.endsWith('ms') ? Number(one.slice(0, -2)) * 1000 : Number(one.slice(0, -1)) * 1e6,
      )
    case 'ts': {
      const [from = '', to] = text.split('..')
      const day = (one: string): number => Date.parse(`${one}T00:00:00Z`) * 1000
      const end = to === undefined ? from : to
      return (from === '' || row.ts >= day(from)) && (end === '' || row.ts < day(end) + 86_400e6)
    }
    case 'since': {
      const hours = Number(/^(\d+)h$/.exec(text)?.[1])
      return row.ts >= (text === 'now/d' ? Math.floor(now / 86_400e6) * 86_400e6 : now - hours * 3600e6)
    }
    case 'outside': {
      const hour = new Date(row.ts / 1000).toISOString().slice(11, 16)
      const [from = '', to = ''] = text.split('-')
      return from < to ? hour < from || hour >= to : hour < from && hour >= to
    }
    case 'is':
      if (text === 'live')
        return row.session !== undefined && row.session.proto !== 'gateway' && !row.session.closed
      return text === 'denied' ? row.status === 'denied' : /^(admin|config|book)\./.test(row.action)
    case 'has':
      if (text === 'params') return row.params
      if (text === 'recording') return row.recording
      return text === 'trace' ? row.trace !== undefined : row.understood?.noWhere === true
    default:
      throw new Error(`nobody knows ${key}`)
  }
}

function like(pattern: string, name: string, quoted: boolean): boolean {
  const [a, b] = [pattern.toLowerCase(), name.toLowerCase()]
  if (quoted || !a.includes('*')) return a === b
  return new RegExp(
    `^${a
      .split('*')
      .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}$`,
    's',
  ).test(b)
}

function inRange(text: string, value: number | undefined, number: (one: string) => number): boolean {
  if (value === undefined) return false
  const [, sign = '', bound = ''] = /^(>=|<=|>|<)(.*)$/.exec(text) ?? []
  if (sign === '>') return value > number(bound)
  if (sign === '>=') return value >= number(bound)
  if (sign === '<') return value < number(bound)
  if (sign === '<=') return value <= number(bound)
  const [from = '', to] = text.split('..')
  if (to === undefined) return value === number(from)
  return (from === '' || value >= number(from)) && (to === '' || value <= number(to))
}
