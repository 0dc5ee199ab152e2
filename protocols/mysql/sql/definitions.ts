/** The statements that change what there is: tables, views, indexes, accounts, routines. */
import { find, one, type Rule, skip, UNKNOWN, withQueries } from './reading.ts'
import { readName, readNames } from './tables.ts'
import type { Token } from './tokens.ts'

const OBJECTS: ReadonlySet<string> = new Set([
  ...['TABLE', 'VIEW', 'INDEX', 'SEQUENCE', 'USER', 'ROLE', 'DATABASE', 'SCHEMA', 'SERVER', 'TABLESPACE'],
  ...['PROCEDURE', 'FUNCTION', 'TRIGGER', 'EVENT', 'PACKAGE', 'INSTANCE', 'LOGFILE', 'PREPARE', 'TABLES'],
])
const ROUTINES: ReadonlySet<string> = new Set(['PROCEDURE', 'FUNCTION', 'TRIGGER', 'EVENT', 'PACKAGE'])

/** The object's kind, behind such words as OR REPLACE, TEMPORARY, DEFINER = … */
function objectAt(tokens: readonly Token[], at: number): number {
  return tokens.findIndex(({ key }, i) => i > at && OBJECTS.has(key))
}

export const readCreate: Rule = (statement) => {
  const { tokens, at } = statement
  const object = objectAt(tokens, at)
  const kind = tokens[object]?.key ?? ''
  if (kind === 'USER' || kind === 'ROLE') return one('CREATE ROLE')
  // Its body is code of its own, of which this reading knows nothing.
  if (ROUTINES.has(kind)) return one('CREATE')
  const name = skip(tokens, object + 1, 'IF', 'NOT', 'EXISTS')
  if (kind === 'INDEX') {
    const on = find(tokens, object, 'ON')
    const [table] = on === -1 ? [undefined] : readName(tokens, on + 1)
    return table === undefined ? UNKNOWN : one('CREATE', [table])
  }
  if (kind !== 'TABLE' && kind !== 'VIEW') return one('CREATE')
  const [table, next] = readName(tokens, name)
  if (table === undefined) return UNKNOWN
  const like = find(tokens, next, 'LIKE')
  const [model] = like === next || like === next + 1 ? readName(tokens, like + 1) : [undefined]
  if (model !== undefined)
    return {
      parts: [
        { verb: 'CREATE', tables: [table] },
        { verb: 'SELECT', tables: [model] },
      ],
      touches: [],
    }
  return withQueries(statement, next, { verb: 'CREATE', tables: [table] })
}

export const readAlter: Rule = (statement) => {
  const { tokens, at } = statement
  const object = objectAt(tokens, at)
  switch (tokens[object]?.key) {
    case 'USER':
    case 'ROLE':
      return one('ALTER ROLE')
    case 'INSTANCE':
      return one('ALTER SYSTEM')
    case 'TABLE':
    case 'VIEW': {
      const [table, next] = readName(tokens, skip(tokens, object + 1, 'IF', 'EXISTS'))
      // EXCHANGE PARTITION … WITH TABLE reads as a query of it, and it is one in effect.
      return table === undefined ? UNKNOWN : withQueries(statement, next, { verb: 'ALTER', tables: [table] })
    }
    default:
      return object === -1 ? UNKNOWN : one('ALTER')
  }
}

export const readDrop: Rule = ({ tokens, at }) => {
  const object = objectAt(tokens, at)
  const names = skip(tokens, object + 1, 'IF', 'EXISTS')
  switch (tokens[object]?.key) {
    case 'USER':
    case 'ROLE':
      return one('DROP ROLE')
    case 'PREPARE':
      return one('DEALLOCATE')
    case 'TABLE':
    case 'TABLES':
    case 'VIEW':
      return one('DROP', readNames(tokens, names, [',']))
    case 'INDEX': {
      const on = find(tokens, object, 'ON')
      const [table] = on === -1 ? [undefined] : readName(tokens, on + 1)
      return table === undefined ? UNKNOWN : one('DROP', [table])
    }
    default:
      return object === -1 ? UNKNOWN : one('DROP')
  }
}

export const readRename: Rule = ({ tokens, at }) => {
  const object = tokens[at + 1]?.key
  if (object === 'USER') return one('ALTER ROLE')
  if (object !== 'TABLE' && object !== 'TABLES') return UNKNOWN
  return one('RENAME', readNames(tokens, skip(tokens, at + 2, 'IF', 'EXISTS'), [',', 'TO']))
}

export const readTruncate: Rule = ({ tokens, at }) => {
  const [table] = readName(tokens, skip(tokens, at + 1, 'TABLE'))
  return table === undefined ? UNKNOWN : one('TRUNCATE', [table])
}
