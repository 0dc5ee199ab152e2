/** `npm run bench -- [suite…] [--quick] [--json] [--svg=FILE]`: figures, each beside what it was compared with in the same run. */
import { cpus, release, totalmem } from 'node:os'
import { runBook, type SuiteOptions } from './book/suite.ts'
import { asLine, type Figure } from './figures.ts'
import { runMysql } from './mysql/suite.ts'
import { POSTGRES_SUITES } from './postgres/suite.ts'
import { runSearch } from './search/suite.ts'
import { runSsh } from './ssh/suite.ts'

const SUITES: ReadonlyMap<string, (options: SuiteOptions) => Promise<void>> = new Map([
  ['book', runBook],
  ...POSTGRES_SUITES,
  ['search', runSearch],
  ['ssh', runSsh],
  ['mysql', runMysql],
])

/** `postgres` is all of `postgres.statements`, `postgres.bulk` and so on. */
const isOf = (suite: string, name: string): boolean => suite === name || suite.startsWith(`${name}.`)

const given = process.argv.slice(2)
const quick = given.includes('--quick')
const json = given.includes('--json')
const svg = given.find((word) => word.startsWith('--svg='))?.slice('--svg='.length)
const named = given.filter((word) => !word.startsWith('--'))
const unknown = [
  ...named.filter((name) => ![...SUITES.keys()].some((suite) => isOf(suite, name))),
  ...given.filter((word) => /^--(?!quick$|json$|svg=.)/.test(word)),
]
if (unknown.length > 0) {
  process.stderr.write(
    `unknown: ${unknown.join(', ')}; suites: ${[...SUITES.keys()].join(', ')}; --quick, --json, --svg=FILE\n`,
  )
  process.exit(2)
}

const print = (figure: Figure): void => {
  process.stdout.write(`${json ? JSON.stringify(figure) : asLine(figure)}\n`)
}
const [cpu] = cpus()
const machine = `${cpus().length} x ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}`
process.stderr.write(`${machine}\n${quick ? 'one round each: no figure for publication\n' : ''}`)
for (const [suite, run] of SUITES) {
  if (named.length === 0 || named.some((name) => isOf(suite, name)))
    await run({ quick, print, ...(svg === undefined ? {} : { svg }) })
}
