/**
 * Power cuts, by replay. A process runs under strace, which logs what it asks of the kernel and when each call begins
 * and ends. From the log any moment can be rebuilt as a disk might have it: what a returned sync covers is there, of
 * everything else each write may be there, missing or torn. The model is stricter than Linux's file systems:
 * a name is there for certain only when its folder has been synced since.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export const CALLS =
  'trace=openat,write,pwrite64,pwritev,writev,fsync,fdatasync,ftruncate,rename,unlink,unlinkat,mkdir'
export const STRACE = ['strace', '-f', '-y', '-xx', '-s', '4000000', '-e', CALLS, '-e', 'signal=none', '-o']

interface Call {
  readonly name: string
  readonly args: string
  readonly result: string
  /** Lines of the log at which it begins and ends; one that never ended has no end. */
  readonly start: number
  readonly end: number
}

interface Span {
  readonly start: number
  readonly end: number
}

type Change = Span & ({ readonly at: number; readonly bytes: Buffer } | { readonly size: number })
type NameChange = Span & { readonly path: string; readonly inode: Inode | undefined; readonly from?: string }

interface Inode {
  readonly before: Buffer
  readonly changes: Change[]
  readonly syncs: Span[]
}

interface Folder {
  readonly before: ReadonlyMap<string, Inode>
  readonly changes: NameChange[]
  readonly syncs: Span[]
}

export interface Recording {
  /** Number of moments that there are to cut at. */
  readonly moments: number
  /** Those at which a sync or a rename begins or ends: most goes wrong around them. */
  readonly edges: readonly number[]
  /** What the process had printed by then, line by line. */
  printed(moment: number): string[]
  /** Writes to `into` what a power cut at that moment may leave; `number` decides. */
  rebuild(moment: number, into: string, number: (below: number) => number): void
}

/** Files of SQLite's that no power cut keeps: they live in memory. */
const isMemory = (path: string): boolean => path.endsWith('-shm')

export function readRecording(log: string, directory: string, before: string): Recording {
  const folders = new Map<string, Folder>()
  const current = new Map<string, Inode>()
  readFolder(directory, before, folders, current)
  const printed: { line: string; end: number }[] = []
  const edges: number[] = []
  const calls = readCalls(readFileSync(log, 'utf8'))
  for (const call of calls.filter(({ result }) => !result.startsWith('-1'))) {
    const { name, start, end, args } = call
    const strings = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex]) => unhex(hex ?? ''))
    const path = unhex(/^\d+<((?:\\x[0-9a-f]{2})*)>/.exec(args)?.[1] ?? '').toString()
    if (name === 'write' && args.startsWith('1<')) {
      for (const line of String(strings[0]).split('\n')) if (line !== '') printed.push({ line, end })
      continue
    }
    const touched =
      name === 'openat'
        ? String(strings[0])
        : name === 'rename' || name === 'unlink'
          ? String(strings[0])
          : path
    if (!touched.startsWith(directory) || isMemory(touched)) continue
    if (name !== 'openat') edges.push(...(name.includes('write') ? [] : [start, end]))
    take(call, touched, strings, { folders, current })
  }
  const moments = Math.max(...calls.map(({ start }) => start)) + 2
  return {
    moments,
    edges: edges.filter(Number.isFinite),
    printed: (moment) => printed.filter(({ end }) => end < moment).map(({ line }) => line),
    rebuild: (moment, into, number) => rebuild(folders, directory, moment, into, number),
  }
}

function readFolder(
  path: string,
  source: string,
  folders: Map<string, Folder>,
  current: Map<string, Inode>,
): void {
  const before = new Map<string, Inode>()
  for (const entry of readdirSync(source, { withFileTypes: true })) {
    const inner = join(path, entry.name)
    if (entry.isDirectory()) readFolder(inner, join(source, entry.name), folders, current)
    else if (!isMemory(inner)) {
      const inode: Inode = { before: readFileSync(join(source, entry.name)), changes: [], syncs: [] }
      before.set(inner, inode)
      current.set(inner, inode)
    }
  }
  folders.set(path, { before, changes: [], syncs: [] })
}

function readCalls(log: string): Call[] {
  const calls: Call[] = []
  const open = new Map<string, { name: string; args: string; start: number }>()
  log.split('\n').forEach((line, at) => {
    const [, pid = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    const resumed = /^<\.\.\. (\w+) resumed>(.*?)\) += (.*)$/.exec(rest)
    const whole = /^(\w+)\((.*)\) += (.*)$/.exec(rest)
    const begun = /^(\w+)\((.*?)(?:,? )?<unfinished \.\.\.>$/.exec(rest)
    if (resumed !== null) {
      const call = open.get(pid)
      open.delete(pid)
      if (call !== undefined)
        calls.push({ ...call, args: call.args + resumed[2], result: resumed[3] ?? '', end: at })
    } else if (begun !== null) open.set(pid, { name: begun[1] ?? '', args: begun[2] ?? '', start: at })
    else if (whole !== null)
      calls.push({ name: whole[1] ?? '', args: whole[2] ?? '', result: whole[3] ?? '', start: at, end: at })
  })
  for (const call of open.values()) calls.push({ ...call, result: '?', end: Number.POSITIVE_INFINITY })
  return calls.sort((a, b) => a.start - b.start)
}

function take(
  { name, args, start, end, result }: Call,
  path: string,
  strings: readonly Buffer[],
  { folders, current }: { folders: Map<string, Folder>; current: Map<string, Inode> },
): void {
  const span = { start, end }
  const folder = folders.get(dirname(path))
  const inode = current.get(path)
  const last = Number(/(\d+)$/.exec(args)?.[1])
  switch (name) {
    case 'openat': {
      if (inode === undefined && args.includes('O_CREAT')) {
        const fresh: Inode = { before: Buffer.alloc(0), changes: [], syncs: [] }
        current.set(path, fresh)
        folder?.changes.push({ ...span, path, inode: fresh })
      } else if (args.includes('O_TRUNC')) inode?.changes.push({ ...span, size: 0 })
      return
    }
    case 'pwrite64': {
      const bytes = (strings[0] ?? Buffer.alloc(0)).subarray(0, result === '?' ? undefined : Number(result))
      inode?.changes.push({ ...span, at: last, bytes })
      return
    }
    case 'ftruncate':
      inode?.changes.push({ ...span, size: last })
      return
    case 'fsync':
    case 'fdatasync':
      ;(inode ?? folders.get(path))?.syncs.push(span)
      return
    case 'rename': {
      const to = String(strings[1])
      current.delete(path)
      if (inode !== undefined) current.set(to, inode)
      folder?.changes.push({ ...span, path: to, inode, from: path })
      return
    }
    case 'unlink':
      current.delete(path)
      folder?.changes.push({ ...span, path, inode: undefined })
      return
    default:
      // Nothing of ours writes in another way; what does would be missing from every cut.
      throw new Error(`${name} on ${path} is not in the model`)
  }
}

/** Whether a sync that had returned by then covers `change`. */
function isDurable(change: Span, syncs: readonly Span[], moment: number): boolean {
  return syncs.some(({ start, end }) => start > change.end && end < moment)
}

function rebuild(
  folders: ReadonlyMap<string, Folder>,
  directory: string,
  moment: number,
  into: string,
  number: (below: number) => number,
): void {
  // All of it, nothing of it, or some of it: a disk may have been quick, slow, or in between.
  const luck = number(4)
  const isKept = (): boolean => luck === 0 || (luck > 1 && number(2) === 0)
  for (const [path, { before, changes, syncs }] of folders) {
    const names = new Map(before)
    const begun = changes.filter(({ start }) => start < moment)
    const durable = begun.findLastIndex((change) => isDurable(change, syncs, moment)) + 1
    // Changes of names reach the disk in their order.
    const reached = durable + (luck === 0 ? begun.length - durable : number(begun.length - durable + 1))
    for (const { path: name, inode, from } of begun.slice(0, luck === 1 ? durable : reached)) {
      if (from !== undefined) names.delete(from)
      if (inode === undefined) names.delete(name)
      else names.set(name, inode)
    }
    const target = join(into, path.slice(directory.length))
    mkdirSync(target, { recursive: true, mode: 0o700 })
    for (const [name, inode] of names) {
      writeFileSync(join(into, name.slice(directory.length)), contents(inode, moment, isKept, number), {
        mode: 0o600,
      })
    }
  }
}

function contents(
  { before, changes, syncs }: Inode,
  moment: number,
  isKept: () => boolean,
  number: (below: number) => number,
): Buffer {
  let bytes = before
  for (const change of changes) {
    if (change.start >= moment) continue
    const durable = isDurable(change, syncs, moment)
    if (!durable && !isKept()) continue
    if ('size' in change) {
      const cut = Buffer.alloc(change.size)
      bytes.copy(cut)
      bytes = cut
      continue
    }
    const end = change.at + change.bytes.length
    const next = Buffer.alloc(Math.max(bytes.length, end))
    bytes.copy(next)
    if (durable || number(2) === 0) change.bytes.copy(next, change.at)
    else tear(next, change, number)
    bytes = next
  }
  return bytes
}

/** Some sectors of a write, or its first bytes only. */
function tear(
  into: Buffer,
  { at, bytes }: { readonly at: number; readonly bytes: Buffer },
  number: (below: number) => number,
): void {
  if (number(2) === 0) {
    bytes.copy(into, at, 0, number(bytes.length + 1))
    return
  }
  for (let from = 0; from < bytes.length; ) {
    const to = Math.min(bytes.length, from + 512 - ((at + from) % 512))
    if (number(2) === 0) bytes.copy(into, at + from, from, to)
    from = to
  }
}

function unhex(escaped: string): Buffer {
  return Buffer.from(escaped.replaceAll('\\x', ''), 'hex')
}
