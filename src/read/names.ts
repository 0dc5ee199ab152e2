/** Names and shapes as numbers: what repeats in millions of rows stands once, with how often it does. */
import type { Database, Statement } from 'better-sqlite3-multiple-ciphers'
import type { Understood } from './derive.ts'
import { NAME_KINDS, type NameKind } from './index-file.ts'
import { Remembered } from './remembered.ts'

const KEPT = 50_000

/** A name or a shape, and how many rows more have it than the index says yet. */
interface Counted {
  readonly id: number
  more: number
}

export class Names {
  readonly #find: Statement
  readonly #add: Statement
  readonly #count: Statement
  readonly #findShape: Statement
  readonly #addShape: Statement
  readonly #countShape: Statement
  readonly #addVerb: Statement
  readonly #addTable: Statement
  readonly #known = byKind()
  readonly #shapes = new Remembered<Counted>(KEPT)
  /** Those of this batch, which are written at its end. */
  readonly #taken = new Set<Counted>()
  readonly #takenShapes = new Set<Counted>()
  readonly #given = new Map<number, number>()
  readonly #givenShapes = new Map<number, number>()

  constructor(db: Database) {
    this.#find = db.prepare('SELECT id FROM name WHERE kind = ? AND value = ?').pluck()
    this.#add = db.prepare('INSERT INTO name(kind, value) VALUES (?,?)')
    this.#count = db.prepare('UPDATE name SET count = count + ? WHERE id = ?')
    this.#findShape = db.prepare('SELECT id FROM shape WHERE fp = ?').pluck()
    this.#addShape = db.prepare('INSERT INTO shape(fp, nowhere) VALUES (?,?)')
    this.#countShape = db.prepare('UPDATE shape SET count = count + ? WHERE id = ?')
    this.#addVerb = db.prepare('INSERT OR IGNORE INTO shape_verb VALUES (?,?,?)')
    this.#addTable = db.prepare('INSERT OR IGNORE INTO shape_table VALUES (?,?,?)')
  }

  /** The number of a name that one more row has. */
  take(kind: NameKind, value: string | undefined): number | null {
    if (value === undefined) return null
    const name = this.#name(kind, value)
    if (name.more++ === 0) this.#taken.add(name)
    return name.id
  }

  id(kind: NameKind, value: string): number {
    return this.#name(kind, value).id
  }

  #name(kind: NameKind, value: string): Counted {
    const names = this.#known[kind]
    const known = names.get(value)
    if (known !== undefined) return known
    const found = this.#find.get(NAME_KINDS[kind], value) as number | undefined
    const id = found ?? Number(this.#add.run(NAME_KINDS[kind], value).lastInsertRowid)
    const name = { id, more: 0 }
    names.set(value, name)
    return name
  }

  takeShape(understood: Understood | undefined): number | null {
    if (understood === undefined) return null
    const shape = this.#shapes.get(understood.shape) ?? this.#shape(understood)
    if (shape.more++ === 0) this.#takenShapes.add(shape)
    return shape.id
  }

  #shape(understood: Understood): Counted {
    const found = this.#findShape.get(understood.shape) as number | undefined
    const shape = { id: found ?? this.#newShape(understood), more: 0 }
    this.#shapes.set(understood.shape, shape)
    return shape
  }

  #newShape({ shape, verbs, tables, noWhere }: Understood): number {
    const id = Number(this.#addShape.run(shape, noWhere ? 1 : 0).lastInsertRowid)
    for (const [place, verb] of verbs.entries()) this.#addVerb.run(id, this.id('verb', verb), place)
    for (const [place, table] of tables.entries()) this.#addTable.run(id, this.id('table', table), place)
    return id
  }

  /** One row less has it. */
  give(id: number | null): void {
    if (id !== null) this.#given.set(id, (this.#given.get(id) ?? 0) + 1)
  }

  giveShape(id: number | null): void {
    if (id !== null) this.#givenShapes.set(id, (this.#givenShapes.get(id) ?? 0) + 1)
  }

  /** Writes the counts of a batch. */
  flush(): void {
    write(this.#count, this.#taken, this.#given)
    write(this.#countShape, this.#takenShapes, this.#givenShapes)
  }

  /** After an erasure: what nobody has any more is gone, and is not remembered here either. */
  forget(db: Database): void {
    this.flush()
    db.exec(`
      DELETE FROM shape WHERE count <= 0;
      DELETE FROM shape_verb WHERE shape NOT IN (SELECT id FROM shape);
      DELETE FROM shape_table WHERE shape NOT IN (SELECT id FROM shape);
      DELETE FROM name WHERE count <= 0 AND kind NOT IN (${NAME_KINDS.verb}, ${NAME_KINDS.table}, ${NAME_KINDS.role});
      DELETE FROM name WHERE kind = ${NAME_KINDS.verb} AND id NOT IN (SELECT name FROM shape_verb);
      DELETE FROM name WHERE kind = ${NAME_KINDS.table} AND id NOT IN (SELECT name FROM shape_table);
      DELETE FROM name WHERE kind = ${NAME_KINDS.role} AND id NOT IN (SELECT name FROM session_role);
    `)
    for (const names of Object.values(this.#known)) names.clear()
    this.#shapes.clear()
  }
}

function byKind(): Record<NameKind, Remembered<Counted>> {
  const kinds = Object.keys(NAME_KINDS).map((kind) => [kind, new Remembered<Counted>(KEPT)])
  return Object.fromEntries(kinds) as Record<NameKind, Remembered<Counted>>
}

function write(count: Statement, taken: Set<Counted>, given: Map<number, number>): void {
  for (const one of taken) {
    count.run(one.more, one.id)
    one.more = 0
  }
  for (const [id, less] of given) count.run(-less, id)
  taken.clear()
  given.clear()
}
