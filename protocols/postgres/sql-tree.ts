/** Walks a parse tree of libpg-query and says what its statements do. No recursion: a person chose its depth. */
import type { StatementPart, TableName, Verb } from '../statement-facts.ts'
import { isEffectful, isReadOnlySetting, isRole, type Tree, verbsOf } from './sql-verbs.ts'

interface OpenPart {
  readonly verb: Verb
  /** By schema and name; two parts may share it. */
  readonly tables: Map<string, TableName>
  where?: boolean
}

/** Names of a WITH, of which those at `before` and later are not known here, and those of what surrounds it. */
interface Names {
  readonly places: ReadonlyMap<string, number>
  readonly before: number
  readonly outer: Names | undefined
}

/** What surrounds a node. */
interface Scope {
  /** The part that tables belong to; without one, the first table that is read begins a SELECT. */
  readonly holder: { part: OpenPart | undefined }
  /** What is no table here. */
  readonly names: Names | undefined
  /** Under EXPLAIN without ANALYZE nothing runs: all tables belong to the EXPLAIN, and no other part begins. */
  readonly planned: boolean
}

interface Visit {
  readonly node: unknown
  readonly scope: Scope
}

export interface TreeFacts {
  readonly parts: readonly StatementPart[]
  readonly liftsReadOnly: boolean
}

export function readTree(root: unknown): TreeFacts {
  return new Walk().run(root)
}

class Walk {
  readonly #parts: OpenPart[] = []
  #liftsReadOnly = false
  /** Last in, first out; pushed in reverse, so that the text's order is kept. */
  readonly #todo: Visit[] = []

  run(root: unknown): TreeFacts {
    this.#push([root], { holder: { part: undefined }, names: undefined, planned: false })
    for (let visit = this.#todo.pop(); visit !== undefined; visit = this.#todo.pop()) this.#visit(visit)
    const parts = this.#parts.map((part) => ({ ...part, tables: [...part.tables.values()] }))
    return { parts, liftsReadOnly: this.#liftsReadOnly }
  }

  #push(nodes: readonly unknown[], scope: Scope): void {
    for (const node of nodes.toReversed()) if (typeof node === 'object') this.#todo.push({ node, scope })
  }

  /** A node stands as `{ Name: members }`, and where its kind is certain, as its members alone. */
  #visit({ node, scope }: Visit): void {
    if (Array.isArray(node)) this.#push(node, scope)
    else if (!isTree(node)) return
    else if ('stmt' in node) this.#push([node['stmt']], fresh(scope))
    else {
      const [[name, members] = ['', undefined], ...others] = Object.entries(node)
      if (others.length > 0 || !isTree(members)) this.#members(node, scope)
      else if (name.endsWith('Stmt') && name !== 'ReturnStmt') this.#statement(name, members, scope)
      else {
        if (name === 'FuncCall') this.#call(members, scope)
        this.#members(members, scope)
      }
    }
  }

  #members(node: Tree, scope: Scope): void {
    if (typeof node['relname'] === 'string') {
      this.#table(node, scope)
      return
    }
    const { withClause, intoClause, ...rest } = node
    const inner = this.#with(withClause, scope)
    if (intoClause !== undefined) this.#push([intoClause], this.#begin('CREATE', inner))
    // Which of its tables FOR UPDATE locks, it may leave open: all that the SELECT reads count.
    if (rest['lockingClause'] !== undefined && !scope.planned) {
      this.#parts.push({ verb: 'LOCK', tables: this.#reader(scope).tables })
    }
    this.#push(Object.values(rest), inner)
  }

  #statement(name: string, body: Tree, scope: Scope): void {
    if (name === 'SelectStmt') {
      const reads = scope.planned || (scope.holder.part?.verb ?? 'SELECT') === 'SELECT'
      const inner = reads ? scope : fresh(scope)
      this.#reader(inner)
      this.#members(body, inner)
      return
    }
    const [verb, ...further] = verbsOf(name, body)
    const own = this.#begin(verb, scope)
    for (const also of further) this.#begin(also, scope)
    if (name === 'TransactionStmt' || name === 'VariableSetStmt') this.#setting(body)
    if (name === 'DropStmt') this.#dropped(body, own)
    if (name === 'ExplainStmt') {
      const runs = nodes(body['options'], 'DefElem').some(({ defname }) => defname === 'analyze')
      this.#push([body['query']], runs ? fresh(scope) : { ...own, planned: true })
    } else if (verb === 'INSERT' || verb === 'UPDATE' || verb === 'DELETE' || verb === 'MERGE') {
      this.#changeRows(verb, body, scope, own)
    } else this.#members(body, own)
  }

  /** The table that changes belongs to the part itself; all others are read. */
  #changeRows(verb: Verb, body: Tree, scope: Scope, own: Scope): void {
    const { relation, withClause, onConflictClause, mergeWhenClauses, selectStmt, ...rest } = body
    const inner = fresh(this.#with(withClause, scope))
    const changed = (part: Scope): void => {
      // No WITH can define a table that is written to.
      if (isTree(relation)) this.#table(relation, { ...part, names: undefined })
    }
    changed(own)
    if (!scope.planned && own.holder.part !== undefined && (verb === 'UPDATE' || verb === 'DELETE')) {
      own.holder.part.where = rest['whereClause'] !== undefined
    }
    for (const branch of branchesOf(onConflictClause, mergeWhenClauses)) {
      const part = this.#begin(branch, scope)
      changed(part)
      // Only rows that were matched: a condition stands before it.
      if (!scope.planned && part.holder.part !== undefined && branch !== 'INSERT')
        part.holder.part.where = true
    }
    // The rows of a VALUES are no reading of their own.
    const select = isTree(selectStmt) ? selectStmt['SelectStmt'] : undefined
    const rows = isTree(select) && select['valuesLists'] !== undefined ? select : selectStmt
    this.#push([rows, onConflictClause, mergeWhenClauses, ...Object.values(rest)], inner)
  }

  /** In the queries of a WITH only the names before them are known, unless it is RECURSIVE. */
  #with(clause: unknown, scope: Scope): Scope {
    if (!isTree(clause)) return scope
    const expressions = nodes(clause['ctes'], 'CommonTableExpr')
    const places = new Map(expressions.map(({ ctename }, i) => [String(ctename), i]))
    const namesBefore = (before: number): Names => ({ places, before, outer: scope.names })
    const all = namesBefore(expressions.length)
    const queries = expressions.map(({ ctequery }, i): Visit => {
      const names = clause['recursive'] === true ? all : namesBefore(i)
      return { node: ctequery, scope: { ...fresh(scope), names } }
    })
    for (const query of queries.reverse()) this.#todo.push(query)
    return { ...scope, names: all }
  }

  #table({ relname, schemaname }: Tree, scope: Scope): void {
    const name = String(relname)
    const table = typeof schemaname === 'string' ? { schema: schemaname, name } : { name }
    if (table.schema === undefined && isDefined(name, scope.names)) return
    this.#reader(scope).tables.set(JSON.stringify(table), table)
  }

  /** What is dropped is named by lists of words. */
  #dropped({ removeType, objects }: Tree, own: Scope): void {
    if (!/^OBJECT_(TABLE|VIEW|MATVIEW|FOREIGN_TABLE|SEQUENCE)$/.test(String(removeType))) return
    for (const { items } of nodes(objects, 'List')) {
      const [relname, schemaname] = nodes(items, 'String')
        .map(({ sval }) => sval)
        .reverse()
      this.#table({ relname, schemaname }, own)
    }
  }

  #begin(verb: Verb, scope: Scope): Scope {
    if (scope.planned) return scope
    const part: OpenPart = { verb, tables: new Map() }
    this.#parts.push(part)
    return { ...scope, holder: { part } }
  }

  #reader({ holder }: Scope): OpenPart {
    if (holder.part === undefined) {
      holder.part = { verb: 'SELECT', tables: new Map() }
      this.#parts.push(holder.part)
    }
    return holder.part
  }

  #call({ funcname, args }: Tree, scope: Scope): void {
    const name = String(nodes(funcname, 'String').at(-1)?.['sval'])
    if (scope.planned) return
    if (isEffectful(name)) this.#parts.push({ verb: 'CALL', tables: new Map() })
    if (name !== 'set_config') return
    const [setting, value] = list(args).map(constant)
    // A computed name may be any name.
    if (setting === undefined || isRole(setting)) this.#begin('SET ROLE', scope)
    if (setting === undefined || (isReadOnlySetting(setting) && !isTrue(value))) this.#liftsReadOnly = true
  }

  /**
   * `BEGIN READ WRITE`, `SET transaction_read_only = off`. What is reset falls back to what the gateway has set; but
   * the transaction's own setting, to the server's `off` (up to PostgreSQL 15).
   */
  #setting({ kind, name, options, args }: Tree): void {
    const modes = nodes(kind === 'VAR_SET_MULTI' ? args : options, 'DefElem')
    const writes = modes.some(
      ({ defname, arg }) => defname === 'transaction_read_only' && !isTrue(constant(arg)),
    )
    const off =
      kind === 'VAR_SET_VALUE' && isReadOnlySetting(String(name)) && !isTrue(constant(list(args)[0]))
    const reset = /^VAR_(RESET|SET_DEFAULT)$/.test(String(kind)) && name === 'transaction_read_only'
    if (writes || off || reset) this.#liftsReadOnly = true
  }
}

function fresh(scope: Scope): Scope {
  return scope.planned ? scope : { ...scope, holder: { part: undefined } }
}

function isDefined(name: string, names: Names | undefined): boolean {
  for (let scope = names; scope !== undefined; scope = scope.outer) {
    const place = scope.places.get(name)
    if (place !== undefined && place < scope.before) return true
  }
  return false
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** The members of a list's nodes of one name. */
function nodes(value: unknown, name: string): readonly Tree[] {
  return list(value).flatMap((node) => (isTree(node) && isTree(node[name]) ? [node[name]] : []))
}

/** What an INSERT or MERGE does besides inserting. */
function branchesOf(onConflict: unknown, whenClauses: unknown): readonly Verb[] {
  const update: readonly Verb[] =
    isTree(onConflict) && onConflict['action'] === 'ONCONFLICT_UPDATE' ? ['UPDATE'] : []
  const verbs = { CMD_INSERT: 'INSERT', CMD_UPDATE: 'UPDATE', CMD_DELETE: 'DELETE' } as const
  const merged = nodes(whenClauses, 'MergeWhenClause').flatMap(({ commandType }) =>
    Object.entries(verbs).flatMap(([command, verb]) => (command === commandType ? [verb] : [])),
  )
  return [...update, ...new Set(merged)]
}

/** A constant as text, also under a cast; undefined where it is computed. */
function constant(node: unknown): string | undefined {
  if (!isTree(node)) return undefined
  if (isTree(node['TypeCast'])) return constant(node['TypeCast']['arg'])
  const value = node['A_Const']
  if (!isTree(value)) return undefined
  if (isTree(value['sval'])) return String(value['sval']['sval'] ?? '')
  // Zero and false are left out of the tree.
  if (isTree(value['ival'])) return String(value['ival']['ival'] ?? 0)
  return isTree(value['boolval']) ? String(value['boolval']['boolval'] ?? false) : undefined
}

function isTrue(value: string | undefined): boolean {
  return /^(on|true|yes|1)$/i.test(value ?? '')
}
