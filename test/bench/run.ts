/** `npm run bench -- [suite…] [--quick] [--json]`: figures, each beside what it was compared with in the same run. */
import { cpus, release, totalmem } from 'node:os'
import { runBook, type SuiteOptions } from './book/suite.ts'
import { asLine, type Figure } from './figures.ts'

const SUITES: ReadonlyMap<string, (options: SuiteOptions) => Promise<void>> = new Map([['book', runBook]])

const given = process.argv.slice(2)
const quick = given.includes('--quick')
const json = given.includes('--json')
const named = given.filter((word) => !word.startsWith('--'))
const unknown = [
  ...named.filter((name) => !SUITES.has(name)),
  ...given.filter((word) => /^--(?!quick$|json$)/.test(word)),
]
if (unknown.length > 0) {
  process.stderr.write(
    `unknown: ${unknown.join(', ')}; suites: ${[...SUITES.keys()].join(', ')}; --quick, --json\n`,
  )
  process.exit(2)
}

const print = (figure: Figure): void => {
  process.stdout.write(`${json ? JSON.stringify(figure) : asLine(figure)}\n`)
}
const [cpu] = cpus()
const machine = `${cpus().length} x ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}`
process.stderr.write(`${machine}\n${quick ? 'one round each: no figure for publication\n' : ''}`)
for (const [name, run] of SUITES) if (named.length === 0 || named.includes(name)) await run({ quick, print })
