/** The release, as package.json has it. The file lies two folders above the source and three above the build. */
import { existsSync, readFileSync } from 'node:fs'

const found = ['../../package.json', '../../../package.json']
  .map((path) => new URL(path, import.meta.url))
  .find((url) => existsSync(url))

export const RELEASE =
  found === undefined ? '0.0.0' : (JSON.parse(readFileSync(found, 'utf8')) as { version: string }).version
