/** Names and shapes as numbers: what repeats in millions of rows stands once, with how often it does. */
import type { Database, Statement } from 'better-sqlite3-multiple-ciphers'
import type { Understood } from './derive.ts'
import { NAME_KINDS, type NameKind } from './index-file.ts'
import { Remembered } from './remembered.ts'

const KEPT = 50_000

export class Names {
  readonly #find: Statement
  readonly #add: Statement
  readonly #count: Statement
  readonly #findShape: Statement
  readonly #addShape: Statement
  readonly #countShape: Statement
  readonly #addVerb: Statement
  readonly #addTable: Statement
  readonly #known = new Remembered<number>(KEPT)
  readonly #shapes = new Remembered<number>(KEPT)
  readonly #counts = new Map<number, number>()
  readonly #shapeCounts = new Map<number, number>()

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
    const id = this.id(kind, value)
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1)
    return id
  }

  id(kind: NameKind, value: string): number {
    const key = `${kind} ${value}`
    const known = this.#known.get(key) ?? (this.#find.get(NAME_KINDS[kind], value) as number | undefined)
    const id = known ?? Number(this.#add.run(NAME_KINDS[kind], value).lastInsertRowid)
    if (known === undefined || this.#known.get(key) === undefined) this.#known.set(key, id)
    return id
  }

  takeShape(understood: Understood | undefined): number | null {
    if (understood === undefined) return null
    const { shape } = understood
    let id = this.#shapes.get(shape)
    if (id === undefined) {
      id = (this.#findShape.get(shape) as number | undefined) ?? this.#newShape(understood)
      this.#shapes.set(shape, id)
    }
    this.#shapeCounts.set(id, (this.#shapeCounts.get(id) ?? 0) + 1)
    return id
  }

  #newShape({ shape, verbs, tables, noWhere }: Understood): number {
    const id = Number(this.#addShape.run(shape, noWhere ? 1 : 0).lastInsertRowid)
    for (const [place, verb] of verbs.entries()) this.#addVerb.run(id, this.id('verb', verb), place)
    for (const [place, table] of tables.entries()) this.#addTable.run(id, this.id('table', table), place)
    return id
  }

  /** One row less has it. */
  give(id: number | null): void {
    if (id !== null) this.#counts.set(id, (this.#counts.get(id) ?? 0) - 1)
  }

  giveShape(id: number | null): void {
    if (id !== null) this.#shapeCounts.set(id, (this.#shapeCounts.get(id) ?? 0) - 1)
  }

  /** Writes the counts of a batch. */
  flush(): void {
    for (const [id, by] of this.#counts) if (by !== 0) this.#count.run(by, id)
    for (const [id, by] of this.#shapeCounts) if (by !== 0) this.#countShape.run(by, id)
    this.#counts.clear()
    this.#shapeCounts.clear()
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
    this.#known.clear()
    this.#shapes.clear()
  }
}
