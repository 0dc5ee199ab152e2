import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

// Of a flag that it does not know V8 says a line on standard error, and goes on without it.
test('V8 knows the flags that it is given', () => {
  const known = execFileSync(process.execPath, ['--v8-options'], { encoding: 'utf8', maxBuffer: 1 << 24 })
  const folder = join(import.meta.dirname, '../../../src/system')
  const source = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
  const given = [...source.join('\n').matchAll(/setFlagsFromString\(['`](--(?:no-)?([a-z-]+))/g)].map(
    ([, , name]) => name,
  )
  expect(given).toContain('wasm-tiering-budget')
  for (const name of given) expect(known, name).toMatch(new RegExp(`^ +--${name} `, 'm'))
})
