/** The built console: a few files, read once and held. Any path that is no file of it is one of its pages. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { gzipSync } from 'node:zlib'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
}
/** Vite names these by a hash of what is in them, so they never change. */
const HASHED = 'assets/'

export interface StaticFile {
  readonly type: string
  readonly body: Uint8Array
  readonly gzip: Uint8Array
  readonly etag: string
  readonly cacheControl: string
}

export type StaticFiles = ReadonlyMap<string, StaticFile>

/** `src/http` and `dist/src/http` lie at different depths; the built console is in `dist/console` for both. */
export function consoleFolder(here: string = import.meta.dirname): string {
  const root = join(here, '..', '..')
  return root.endsWith(`${sep}dist`) ? join(root, 'console') : join(root, 'dist', 'console')
}

/** Empty where the console has not been built. */
export function readStatic(folder: string = consoleFolder()): StaticFiles {
  if (!existsSync(join(folder, 'index.html'))) return new Map()
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return new Map(
    names.flatMap((name) => {
      const type = TYPES[/\.\w+$/.exec(name)?.[0] ?? '']
      if (type === undefined) return []
      const path = name.split(sep).join('/')
      const body = readFileSync(join(folder, name))
      const file = {
        ...{ type, body, gzip: gzipSync(body) },
        etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
        cacheControl: path.startsWith(HASHED) ? 'public, max-age=31536000, immutable' : 'no-cache',
      }
      return [[path, file] as const]
    }),
  )
}
