/** Reading a text of either dialect outside the gate: for `gatebook access why`. */
import * as mysql from '../../protocols/mysql/index.ts'
import { SqlReader } from '../../protocols/postgres/index.ts'
import type { StatementFacts } from '../../protocols/statement-facts.ts'

export async function readSql(type: 'postgres' | 'mysql', sql: string): Promise<StatementFacts> {
  const text = Buffer.from(sql)
  if (type === 'postgres') return (await SqlReader.load()).read(text, true)
  return mysql.readText(text)
}
