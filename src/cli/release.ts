/** The release, as package.json has it, and the program's name. The file lies two folders above the source and three above the build. */
import { existsSync, readFileSync } from 'node:fs'

const found = ['../../package.json', '../../../package.json']
  .map((path) => new URL(path, import.meta.url))
  .find((url) => existsSync(url))

export const RELEASE =
  found === undefined ? '0.0.0' : (JSON.parse(readFileSync(found, 'utf8')) as { version: string }).version

/** How this program is called by whoever started it: from a checkout nothing is installed under its name. */
export const CALLED = import.meta.url.endsWith('.ts') ? 'npm run -s gatebook --' : 'npx gatebook'
