/** Rows as they are shown: found in the index, read back from the book, cut to what the asker may see. */
import type { Database, Statement } from 'better-sqlite3-multiple-ciphers'
import type { Leaf } from '../book/format.ts'
import { ROW_TEXT_MAX, type Row, type Withheld } from './answers.ts'
import { type Deriver, PLACES } from './derive.ts'
import { FLAG } from './index-file.ts'
import type { FoundRecord, Records } from './records.ts'
import { Remembered } from './remembered.ts'
import { OUTCOMES, PROTOCOLS } from './search/keys.ts'
import type { Sight } from './sight.ts'

export interface EntryRow {
  readonly id: number
  readonly ts: number
  readonly action: number
  readonly session: number | null
  readonly op: number | null
  readonly par: number | null
  readonly actor: number | null
  readonly sub: number | null
  readonly target: number | null
  readonly addr: number | null
  readonly proto: number
  readonly db: number | null
  readonly shape: number | null
  readonly flags: number
  readonly out: number | null
  readonly code: number | null
  readonly rows: number | null
  readonly bytes: number | null
  readonly dur: number | null
  /** The record of its outcome, where that is another. */
  readonly fin: number | null
}

interface ShapeRow {
  readonly fp: string
  readonly verbs: readonly string[]
  readonly tables: readonly string[]
}

const NAMES_KEPT = 20_000

export interface RowsParts {
  readonly index: Database
  readonly records: Records
  readonly deriver: Deriver
  /** Makes a session's key known before its payloads are opened. */
  readonly meet: (session: number) => void
}

export class Rows {
  readonly #parts: RowsParts
  readonly #entry: Statement
  readonly #name: Statement
  readonly #sid: Statement
  readonly #names = new Remembered<string>(NAMES_KEPT)
  readonly #shapes = new Remembered<ShapeRow>(NAMES_KEPT)

  constructor(parts: RowsParts) {
    this.#parts = parts
    this.#entry = parts.index.prepare('SELECT * FROM entry WHERE id = ?')
    this.#name = parts.index.prepare('SELECT value FROM name WHERE id = ?').pluck()
    this.#sid = parts.index.prepare('SELECT sid FROM session WHERE n = ?').pluck()
  }

  entry(id: number): EntryRow | undefined {
    return this.#entry.get(id) as EntryRow | undefined
  }

  name(id: number | null): string | undefined {
    if (id === null) return undefined
    const known = this.#names.get(String(id))
    if (known !== undefined) return known
    const value = this.#name.get(id) as string | undefined
    if (value !== undefined) this.#names.set(String(id), value)
    return value
  }

  /** After the index has changed in more than growth. */
  forget(): void {
    this.#names.clear()
    this.#shapes.clear()
  }

  /** Those of the ids whose records are still there. */
  shown(ids: readonly number[], sight: Sight): Row[] {
    return ids.flatMap((id) => {
      const entry = this.entry(id)
      const row = entry === undefined ? undefined : this.row(entry, sight)
      return row === undefined ? [] : [row]
    })
  }

  row(entry: EntryRow, sight: Sight): Row | undefined {
    const seq = Math.floor(entry.id / PLACES)
    const found = this.#parts.records.find(seq)
    if (found === undefined) return undefined
    const whose = { sub: this.name(entry.sub), target: this.name(entry.target) }
    const seen = sight.content(whose) && (entry.flags & FLAG.quiet) === 0
    const { leaf, hash } = found
    const shape = seen ? this.shape(entry.shape) : undefined
    const text = this.#shownText(entry, found, sight, seen)
    return present({
      id: entry.id,
      seq,
      hash,
      record: `${seq}-${hash.slice(0, 8)}`,
      ts: entry.ts,
      kind: entry.id % PLACES === 0 ? leaf.kind : 'command',
      action: this.name(entry.action) ?? '',
      session: entry.session === null ? undefined : (this.#sid.get(entry.session) as string | undefined),
      op: entry.op ?? undefined,
      parent: entry.par ?? undefined,
      actor: this.name(entry.actor),
      sub: whose.sub,
      target: whose.target,
      protocol: PROTOCOLS[entry.proto],
      address: this.name(entry.addr),
      database: this.name(entry.db),
      verbs: shape?.verbs,
      tables: shape?.tables,
      shape: shape?.fp,
      ...text,
      outcome: entry.out === null ? undefined : OUTCOMES[entry.out - 1],
      code: this.name(entry.code),
      rows: entry.rows ?? undefined,
      bytes: entry.bytes ?? undefined,
      duration: entry.dur ?? undefined,
      why: whyOf(leaf),
      rule: leaf.rule,
    })
  }

  /** The whole text of a row; undefined where there is none, or it cannot be opened. */
  text(entry: EntryRow, found: FoundRecord): string | undefined {
    if (entry.session !== null) this.#parts.meet(entry.session)
    return this.#textAt(found, entry.id % PLACES)
  }

  /** For patterns. Asked while the index is being read, so nothing is looked up there. */
  textOf(id: number): string | undefined {
    const found = this.#parts.records.find(Math.floor(id / PLACES))
    return found === undefined ? undefined : this.#textAt(found, id % PLACES)
  }

  #textAt({ leaf }: FoundRecord, place: number): string | undefined {
    const { deriver } = this.#parts
    if (leaf.kind !== 'data') return deriver.text(leaf)
    const chunk = deriver.chunk(leaf)
    return place === 0 ? chunk?.text : chunk?.commands[place - 1]?.text
  }

  shape(id: number | null): ShapeRow | undefined {
    if (id === null) return undefined
    const known = this.#shapes.get(String(id))
    if (known !== undefined) return known
    const { index } = this.#parts
    const fp = index.prepare('SELECT fp FROM shape WHERE id = ?').pluck().get(id) as string | undefined
    if (fp === undefined) return undefined
    const names = (table: 'shape_verb' | 'shape_table'): string[] =>
      index
        .prepare(`SELECT value FROM ${table} JOIN name ON id = name WHERE shape = ? ORDER BY place`)
        .pluck()
        .all(id) as string[]
    const row = { fp, verbs: names('shape_verb'), tables: names('shape_table') }
    this.#shapes.set(String(id), row)
    return row
  }

  #shownText(
    entry: EntryRow,
    found: FoundRecord,
    sight: Sight,
    seen: boolean,
  ): { text?: string; textCut?: boolean; withheld?: Withheld } {
    const whose = { sub: this.name(entry.sub), target: this.name(entry.target) }
    const isQuiet = (entry.flags & FLAG.quiet) !== 0
    const may = isQuiet ? sight.replay(whose) : seen
    if (!hasText(found.leaf)) return {}
    if (!may) return { withheld: 'right' }
    if (sight.wantsReason(whose)) return { withheld: 'reason' }
    const text = this.text(entry, found)
    if (text === undefined) return { withheld: 'erased' }
    return text.length > ROW_TEXT_MAX ? { text: text.slice(0, ROW_TEXT_MAX), textCut: true } : { text }
  }
}

const TEXT_TYPES = new Set(['sql', 'cmd', 'path', 'addr', 'note', 'tty', 'out', 'in'])

function hasText({ ref = [] }: Leaf): boolean {
  return ref.some(({ t }) => TEXT_TYPES.has(t))
}

function whyOf({ kind, why, ops, about }: Leaf): string | undefined {
  if (why !== undefined) return why
  if (about !== undefined) return about
  return ops === undefined || kind !== 'login' ? undefined : `${ops} times`
}

/** Without the members that are undefined. */
export function present<T extends object>(
  value: {
    readonly [K in keyof T]: T[K] | undefined
  },
): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as never
}
