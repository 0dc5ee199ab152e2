import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'

/**
 * Who may import whom. A folder is named by its path; a file listed by itself has its own row and overrides
 * its folder's. `ours` are path prefixes, `outside` are packages and node: modules. What is not listed is
 * refused: a new edge in the graph is a decision, made here and explained in docs/decisions.
 */
interface Rule {
  ours: readonly string[]
  outside: readonly string[] | 'any node'
}

const PROTOCOL_ENTRIES = ['protocols/postgres/index.ts', 'protocols/mysql/index.ts', 'protocols/ssh/index.ts']
const SHARED_PROTOCOL = /^protocols\/[^/]+\.ts$/

const RULES: Record<string, Rule> = {
  'protocols/': { ours: [], outside: ['node:crypto'] },
  'protocols/postgres/': { ours: [], outside: ['node:crypto'] },
  'protocols/postgres/sql.ts': { ours: [], outside: ['libpg-query'] },
  'protocols/mysql/': { ours: [], outside: ['node:crypto'] },
  'protocols/ssh/': { ours: [], outside: ['node:crypto'] },
  'protocols/ssh/host.ts': { ours: [], outside: ['node:crypto', 'node:stream', 'ssh2'] },
  'src/system/': { ours: [], outside: 'any node' },
  'src/config/': { ours: ['protocols/statement-facts.ts'], outside: ['yaml', 'zod', 'node:fs', 'node:path'] },
  'src/book/': {
    ours: ['src/system/'],
    outside: ['better-sqlite3', 'node:crypto', 'node:zlib', 'node:fs', 'node:path'],
  },
  'src/book/verify/': {
    ours: ['src/book/format.ts', 'src/book/tree.ts', 'src/book/checkpoint.ts', 'src/book/kinds.ts'],
    outside: ['node:crypto'],
  },
  'src/access/': {
    ours: ['src/config/', 'src/system/', 'protocols/statement-facts.ts'],
    outside: ['better-sqlite3', 'node:crypto', 'node:fs', 'node:fs/promises'],
  },
  'src/access/hosts.ts': {
    ours: ['src/config/', 'src/system/', 'protocols/ssh/index.ts'],
    outside: ['node:crypto', 'node:fs/promises'],
  },
  'src/record/': {
    ours: ['src/book/', 'src/system/', 'src/access/events.ts', 'protocols/events.ts'],
    outside: ['node:crypto', 'node:fs', 'node:worker_threads'],
  },
  'src/gate/': {
    ours: ['protocols/*.ts', ...PROTOCOL_ENTRIES, 'src/access/', 'src/record/', 'src/config/', 'src/system/'],
    outside: ['node:net', 'node:tls', 'node:worker_threads', 'node:crypto'],
  },
  'src/control/': {
    ours: ['src/access/', 'src/gate/', 'src/record/', 'src/system/'],
    outside: ['node:fs', 'node:http', 'node:net', 'node:path', 'zod'],
  },
  'src/monitor/': { ours: ['src/gate/', 'src/system/'], outside: ['node:http'] },
  'src/read/': {
    ours: ['src/book/', 'src/config/', 'src/system/', 'src/access/events.ts', 'protocols/events.ts'],
    // node:net for what it knows of addresses and networks; nothing here opens a socket.
    outside: ['better-sqlite3', 'better-sqlite3-multiple-ciphers', 'node:crypto', 'node:net', 'node:path'],
  },
  'src/read/index-file.ts': {
    ours: ['src/book/', 'src/read/'],
    outside: ['better-sqlite3-multiple-ciphers', 'node:crypto', 'node:fs', 'node:path'],
  },
  'src/wiring/reading.ts': { ours: ['src/read/', 'src/access/events.ts'], outside: ['node:worker_threads'] },
  'src/wiring/reading-thread.ts': {
    ours: ['src/read/', 'src/book/', 'src/system/', 'src/wiring/reading.ts', 'src/wiring/understanding.ts'],
    outside: ['node:worker_threads'],
  },
  'src/wiring/playback.ts': { ours: PROTOCOL_ENTRIES, outside: [] },
  'src/wiring/understanding.ts': {
    ours: ['protocols/*.ts', ...PROTOCOL_ENTRIES, 'src/read/', 'src/wiring/playback.ts'],
    outside: ['node:crypto'],
  },
  'src/http/': {
    ours: ['src/read/', 'src/access/', 'src/config/', 'src/system/', 'protocols/statement-facts.ts'],
    outside: 'any node',
  },
  'src/wiring/app.ts': {
    ours: ['src/', 'protocols/*.ts', ...PROTOCOL_ENTRIES],
    outside: 'any node',
  },
  'src/wiring/sql.ts': { ours: ['protocols/*.ts', ...PROTOCOL_ENTRIES], outside: [] },
  'src/console/': { ours: ['src/http/api.ts'], outside: [] },
  'src/build-console.ts': { ours: [], outside: 'any node' },
  'src/wiring/web.ts': { ours: ['src/'], outside: ['node:crypto'] },
  'src/wiring/recording.ts': { ours: ['src/'], outside: ['node:fs'] },
  'src/wiring/in-force.ts': {
    ours: ['src/access/', 'src/config/', 'src/gate/', 'src/system/'],
    outside: ['node:fs/promises', 'node:tls'],
  },
  'src/wiring/doors.ts': { ours: ['src/', 'protocols/bytes.ts'], outside: ['node:util'] },
  'src/wiring/draining.ts': { ours: ['src/access/', 'src/gate/'], outside: ['node:timers/promises'] },
  'src/wiring/take-over.ts': {
    ours: ['src/config/', 'src/control/', 'src/gate/', 'src/wiring/recording.ts', 'src/system/'],
    outside: [],
  },
  'src/cli/': {
    ours: [
      'src/wiring/app.ts',
      'src/wiring/recording.ts',
      'src/wiring/sql.ts',
      'src/wiring/reading.ts',
      'src/wiring/playback.ts',
      'src/control/',
      'src/record/administration.ts',
      'src/record/messages.ts',
      'src/access/',
      'src/http/api.ts',
      'src/read/',
      'src/book/',
      'src/config/',
      'src/system/',
    ],
    outside: 'any node',
  },
  'src/cli/doctor/ssh.ts': {
    ours: ['protocols/ssh/index.ts', 'src/access/hosts.ts', 'src/config/', 'src/system/'],
    outside: ['node:net'],
  },
  'src/cli/pin.ts': {
    ours: ['protocols/ssh/index.ts', 'src/config/', 'src/system/'],
    outside: ['node:fs/promises', 'node:net', 'node:readline/promises'],
  },
  'src/cli/demo/host.ts': { ours: ['src/system/'], outside: 'any node' },
  'src/main.ts': {
    ours: ['src/cli/', 'src/require-node.mjs', 'src/system/compiler.ts'],
    outside: 'any node',
  },
}

/** Packages beside `any node` that a folder or file may use. */
const PACKAGES: Record<string, readonly string[]> = {
  'src/system/': ['pino'],
  'src/build-console.ts': ['vite'],
  'src/console/': [
    'preact',
    'preact/hooks',
    '@preact/signals',
    'asciinema-player',
    'asciinema-player/dist/bundle/asciinema-player.css',
    'vite',
  ],
  'src/http/': ['hono', 'hono/body-limit', 'hono/cookie', '@hono/node-server', 'ws', 'zod'],
  'src/cli/': ['commander', 'pg', 'mysql2/promise', 'ws'],
  'src/cli/demo/host.ts': ['@lydell/node-pty', 'ssh2'],
}

const IMPORT = /^\s*(?:import|export)\b[^'"]*?from\s*'([^']+)'|^\s*import\s*'([^']+)'/gm

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => normalize(join(entry.parentPath, entry.name)))
    .sort()
}

function ruleOf(file: string): [string, Rule] {
  const names = Object.keys(RULES).filter(
    (name) => file === name || (name.endsWith('/') && file.startsWith(name)),
  )
  const name = names.sort((a, b) => b.length - a.length)[0]
  const rule = name === undefined ? undefined : RULES[name]
  if (name === undefined || rule === undefined) throw new Error(`${file} stands in no room of the house`)
  return [name, rule]
}

function imports(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? '')
}

/** Whether `file` may import `target`, a path of ours. */
function allowsOurs(file: string, target: string): boolean {
  const [room, rule] = ruleOf(file)
  const home = room.endsWith('/') ? room : `${dirname(room)}/`
  if (home !== 'src/' && target.startsWith(home)) {
    // A protocol's room is the folder itself; the shared files above it belong to everybody in protocols/.
    return home === 'protocols/' ? SHARED_PROTOCOL.test(target) : true
  }
  if (file.startsWith('protocols/')) return SHARED_PROTOCOL.test(target)
  return rule.ours.some((allowed) => {
    if (allowed === 'protocols/*.ts') return SHARED_PROTOCOL.test(target)
    return target === allowed || (allowed.endsWith('/') && target.startsWith(allowed))
  })
}

function allowsOutside(file: string, name: string): boolean {
  if (name === 'node:assert/strict') return true
  const [room, rule] = ruleOf(file)
  if (PACKAGES[room]?.includes(name)) return true
  if (rule.outside === 'any node') return name.startsWith('node:')
  return rule.outside.includes(name)
}

const files = [...sources('src'), ...sources('protocols')]

describe('imports follow the table', () => {
  test.each(files)('%s', (file) => {
    const refused = imports(file).filter((name) =>
      name.startsWith('.')
        ? !allowsOurs(file, normalize(join(dirname(file), name)))
        : !allowsOutside(file, name),
    )
    expect(refused).toEqual([])
  })
})

test('no file imports itself by a detour', () => {
  const edges = new Map(
    files.map((file) => [
      file,
      imports(file)
        .filter((name) => name.startsWith('.'))
        .map((name) => normalize(join(dirname(file), name))),
    ]),
  )
  const done = new Set<string>()
  const walk = (file: string, path: readonly string[]): void => {
    expect(path, `circle through ${file}`).not.toContain(file)
    if (done.has(file)) return
    for (const next of edges.get(file) ?? []) walk(next, [...path, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
})

test('the table refuses what it should', () => {
  expect(allowsOurs('protocols/postgres/relay.ts', 'protocols/mysql/relay.ts')).toBe(false)
  expect(allowsOurs('src/gate/pump.ts', 'src/book/store.ts')).toBe(false)
  expect(allowsOurs('src/book/verify/walk.ts', 'src/book/store.ts')).toBe(false)
  expect(allowsOurs('src/gate/pump.ts', 'protocols/postgres/frames.ts')).toBe(false)
  expect(allowsOutside('protocols/ssh/kex.ts', 'ssh2')).toBe(false)
  expect(allowsOutside('protocols/postgres/relay.ts', 'node:net')).toBe(false)
})
