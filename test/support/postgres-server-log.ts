/** PostgreSQL's csvlog, read as it grows, told by backend. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'

/** One thing that a backend did, as it told it itself. */
export type Logged =
  /** A simple Query that could be read, or a command of replication. */
  | { readonly type: 'statement'; readonly text: string }
  | { readonly type: 'parse'; readonly name: string; readonly text: string }
  | { readonly type: 'bind'; readonly portal: string; readonly name: string }
  | {
      readonly type: 'execute'
      readonly name: string
      readonly portal: string
      readonly text: string
      /** It goes on where an earlier one stopped. */
      readonly fetch: boolean
      /** As `$1 = 'a', $2 = NULL`. */
      readonly parameters: string
    }
  | { readonly type: 'call'; readonly oid: number }
  /** `text` is the statement that failed, where the server knows one. */
  | {
      readonly type: 'error'
      readonly severity: string
      readonly code: string
      readonly message: string
      readonly text: string
    }

/** Columns of PostgreSQL 15's csvlog, from 0. */
const PID = 3
const SEVERITY = 11
const CODE = 12
const MESSAGE = 13
const DETAIL = 14
const STATEMENT = 19

const LOOK_EVERY_MS = 10
const LOOKS_MAX = 2000

export class LogFile {
  readonly #path: string
  #at = 0
  #rest = ''
  readonly #byPid = new Map<number, Logged[]>()
  readonly #gone = new Map<number, readonly Logged[]>()

  constructor(path: string) {
    this.#path = path
  }

  /** Waits for the backend to be gone: only then nothing more comes. Told once: process ids are used again. */
  async of(pid: number): Promise<readonly Logged[]> {
    for (let look = 0; look < LOOKS_MAX; look++) {
      this.#read()
      const found = this.#gone.get(pid)
      if (found !== undefined) {
        this.#gone.delete(pid)
        return found
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
    throw new Error(`backend ${pid} has not said goodbye`)
  }

  #read(): void {
    if (!existsSync(this.#path)) return
    const file = openSync(this.#path, 'r')
    try {
      const piece = Buffer.alloc(1 << 20)
      for (let length = readSync(file, piece, 0, piece.length, this.#at); length > 0; ) {
        this.#at += length
        // Every byte is a character, so that none is cut in two.
        this.#rest += piece.toString('latin1', 0, length)
        length = readSync(file, piece, 0, piece.length, this.#at)
      }
    } finally {
      closeSync(file)
    }
    this.#take()
  }

  #take(): void {
    let at = 0
    for (let row = rowAt(this.#rest, at); row !== undefined; row = rowAt(this.#rest, at)) {
      at = row.end
      this.#enter(row.fields)
    }
    this.#rest = this.#rest.slice(at)
  }

  #enter(fields: readonly string[]): void {
    const text = (column: number): string => Buffer.from(fields[column] ?? '', 'latin1').toString('utf8')
    const pid = Number(fields[PID])
    const [severity, message] = [text(SEVERITY), text(MESSAGE)]
    if (severity === 'LOG' && message.startsWith('disconnection:')) {
      this.#gone.set(pid, this.#byPid.get(pid) ?? [])
      this.#byPid.delete(pid)
      return
    }
    const logged = loggedOf(severity, message, text(DETAIL), text(CODE), text(STATEMENT))
    if (logged === undefined) return
    const list = this.#byPid.get(pid)
    if (list === undefined) this.#byPid.set(pid, [logged])
    else list.push(logged)
  }
}

function loggedOf(
  severity: string,
  message: string,
  detail: string,
  code: string,
  failed: string,
): Logged | undefined {
  if (severity === 'ERROR' || severity === 'FATAL' || severity === 'PANIC') {
    return { type: 'error', severity, code, message, text: failed }
  }
  const plain = (name = ''): string => (name === '<unnamed>' ? '' : name)
  if (severity === 'DEBUG2' || severity === 'DEBUG') {
    const parse = /^parse ([^:]*): ([\s\S]*)$/.exec(message)
    if (parse !== null) return { type: 'parse', name: plain(parse[1]), text: parse[2] ?? '' }
    const bind = /^bind (.*) to (.*)$/.exec(message)
    return bind === null ? undefined : { type: 'bind', portal: plain(bind[1]), name: plain(bind[2]) }
  }
  if (severity !== 'LOG') return undefined
  const statement = /^(?:statement|received replication command): ([\s\S]*)$/.exec(message)
  if (statement !== null) return { type: 'statement', text: statement[1] ?? '' }
  const call = /^fastpath function call: ".*" \(OID (\d+)\)$/.exec(message)
  if (call !== null) return { type: 'call', oid: Number(call[1]) }
  const execute = /^execute (fetch from )?([^/:]*)(?:\/([^:]*))?: ([\s\S]*)$/.exec(message)
  if (execute === null) return undefined
  const [, fetch, name, portal = '', text = ''] = execute
  const parameters = detail.replace(/^[Pp]arameters: /, '')
  return { type: 'execute', name: plain(name), portal, text, fetch: fetch !== undefined, parameters }
}

/** One row of CSV from `at` on, if it is there whole. */
function rowAt(text: string, at: number): { fields: string[]; end: number } | undefined {
  const fields: string[] = []
  for (;;) {
    let value = ''
    if (text[at] === '"') {
      for (;;) {
        const quote = text.indexOf('"', at + 1)
        if (quote === -1) return undefined
        value += text.slice(at + 1, quote)
        at = quote + 1
        if (text[at] !== '"') break
        value += '"'
      }
    } else {
      const next = /[,\n]/g
      next.lastIndex = at
      const found = next.exec(text)
      if (found === null) return undefined
      value = text.slice(at, found.index)
      at = found.index
    }
    fields.push(value)
    if (text[at] === '\n') return { fields, end: at + 1 }
    if (text[at] !== ',') return undefined
    at++
  }
}
