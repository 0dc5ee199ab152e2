import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseVkey } from '../../src/book/checkpoint.ts'
import { BookSource } from '../../src/book/source.ts'
import { verifyBook } from '../../src/book/verify/walk.ts'
import { type CheckedBook, secondOpinion } from './second-opinion.ts'

export type { CheckedBook, CheckedLeaf } from './second-opinion.ts'

/**
 * The auditor that is called after every step that writes: the verifier itself, then a second opinion that shares
 * no code with it. Throws with what is wrong; gives what the book holds.
 */
export function checkBook(directory: string, options: { closed?: boolean } = {}): CheckedBook {
  using source = BookSource.open(join(directory, 'book.db'))
  const report = verifyBook(source, {
    key: parseVkey(readFileSync(join(directory, 'book.vkey'), 'utf8').trim()),
    keyFromOutside: true,
    outside: [],
    closed: options.closed === true,
    now: Date.now() * 1000,
    integrityChecked: false,
  })
  const findings = report.findings.map(({ code, text }) => `${code}: ${text}`)
  if (report.error !== undefined) findings.push(report.error)
  if (findings.length > 0) throw new Error(`the book does not verify:\n${findings.slice(0, 20).join('\n')}`)
  return secondOpinion(directory, options)
}
