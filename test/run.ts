/** `npm test`: everything that must hold before a change lands, cheapest first. */
import { spawnSync } from 'node:child_process'
import { ensureDebianPackages } from './support/debian.ts'

const STEPS: readonly (readonly [string, readonly string[]])[] = [
  ['types', ['tsc']],
  ['types of the console', ['tsc', '-p', 'src/console']],
  ['types of its tests', ['tsc', '-p', 'test/console']],
  [
    'format and lint',
    ['biome', 'ci', '--error-on-warnings', `--colors=${process.stdout.isTTY ? 'force' : 'off'}`],
  ],
  ['tests', ['vitest', 'run', '--config', 'test/vitest.config.ts', ...process.argv.slice(2)]],
]

ensureDebianPackages()
for (const [name, [command = '', ...args]] of STEPS) {
  process.stdout.write(`\n== ${name}\n`)
  const { status } = spawnSync(command, args, { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
