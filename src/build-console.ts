/**
 * Builds the console into dist/console when anything it is made of has changed: before the demo, and for what is
 * published. Nothing is printed: the demo's own output is read by programs.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'vite'

const ROOT = join(import.meta.dirname, '..')
const SOURCE = join(ROOT, 'src', 'console')
const BUILT = join(ROOT, 'dist', 'console')
/** Beside the files that are served, and not one of them: it has no type that is. */
const MADE_OF = join(BUILT, '.made-of')

const now = digest()
if (!existsSync(MADE_OF) || readFileSync(MADE_OF, 'utf8') !== now) {
  await build({ root: SOURCE, configFile: join(SOURCE, 'vite.config.ts'), logLevel: 'warn' })
  writeFileSync(MADE_OF, now)
}

function digest(): string {
  const hash = createHash('sha256')
  const files = readdirSync(SOURCE, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  for (const file of [...files.sort(), join(ROOT, 'package-lock.json')]) {
    if (!existsSync(file)) continue
    hash.update(`${file}\0`).update(readFileSync(file)).update('\0')
  }
  return hash.digest('hex')
}
