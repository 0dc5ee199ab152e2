/**
 * What SFTP's packets do to files, as operations: each request that names a path is one, and reads and writes
 * on an open file are counted in the operation that opened it. Told of every packet before it is passed on.
 */
import { createHash, type Hash } from 'node:crypto'
import { ProtocolError } from '../bytes.ts'
import type { Act, OutcomeFacts, Payload } from '../events.ts'
import type { Operations } from './operations.ts'
import { args, type Json, meta } from './payloads.ts'
import {
  attributes,
  decodeRequest,
  decodeResponse,
  type SftpRequest,
  type SftpResponse,
  versionOf,
} from './sftp.ts'
import { decodeWhole } from './wire.ts'

const PENDING_MAX = 4096
const HANDLES_MAX = 4096
/** Longer ones than OpenSSH's would be another protocol. */
const HANDLE_LENGTH_MAX = 256
const UNKNOWN_EXTENSION_LENGTH_MAX = 4096

const STATUS_OK = 0
const STATUS_EOF = 1
const OPEN_FLAGS = ['read', 'write', 'append', 'create', 'truncate', 'exclusive'] as const

/** The bytes that went one way through a handle: hashed as long as they come from the first one on, in order. */
class Transfer {
  readonly #hash: Hash = createHash('sha256')
  bytes = 0
  #inOrder = true
  #ended = false
  #size: string | undefined

  add(offset: bigint, data: Uint8Array): void {
    if (offset !== BigInt(this.bytes)) this.#inOrder = false
    if (this.#inOrder) this.#hash.update(data)
    this.bytes += data.length
  }

  /** The end of the file was seen here, or nothing stood in it before. */
  end(): void {
    this.#ended = true
  }

  fail(): void {
    this.#inOrder = false
  }

  /** What the host says of the file: clients that know its size do not read up to the end. */
  expect(size: string): void {
    this.#size = size
  }

  facts(): Json {
    const whole = this.#ended || this.#size === String(this.bytes)
    if (!this.#inOrder || !whole) return { bytes: this.bytes }
    return { bytes: this.bytes, sha256: this.#hash.digest('hex') }
  }
}

interface OpenFile {
  readonly type: 'file'
  readonly op: number
  readonly path: Uint8Array
  readonly read: Transfer
  readonly written: Transfer
}

interface OpenDirectory {
  readonly type: 'directory'
  readonly op: number
  readonly path: Uint8Array
  names: number
}

type Opened = OpenFile | OpenDirectory

/** What a response will mean. */
type Pending =
  | { readonly type: 'operation'; readonly op: number; readonly done?: () => void }
  | { readonly type: 'open'; readonly op: number; readonly opened: Opened }
  | { readonly type: 'close'; readonly handle: string }
  | { readonly type: 'read'; readonly handle: string; readonly offset: bigint }
  | { readonly type: 'write'; readonly handle: string }
  | { readonly type: 'readdir'; readonly handle: string }
  | { readonly type: 'fstat'; readonly handle: string }
  /** Nothing of it is recorded: it tells of an open file and changes nothing. */
  | { readonly type: 'other' }

export class SftpOperations {
  readonly #operations: Operations
  readonly #parent: number
  readonly #pending = new Map<number, Pending>()
  readonly #handles = new Map<string, Opened>()
  #bytes = 0
  #initSeen = false
  #versionSeen = false

  constructor(operations: Operations, parent: number) {
    this.#operations = operations
    this.#parent = parent
  }

  /** Of file content, both ways. */
  get bytes(): number {
    return this.#bytes
  }

  request(packet: Uint8Array): void {
    if (!this.#initSeen) {
      if (versionOf(packet) === undefined) throw new ProtocolError('SFTP does not begin with INIT')
      this.#initSeen = true
      return
    }
    const request = decodeRequest(packet)
    if (this.#pending.has(request.id))
      throw new ProtocolError(`the SFTP request ${request.id} is open already`)
    if (this.#pending.size >= PENDING_MAX) throw new ProtocolError('too many SFTP requests at once')
    this.#pending.set(request.id, this.#begin(request))
  }

  /** Whether the packet tells an outcome, and must wait for the record of it. */
  response(packet: Uint8Array): boolean {
    if (!this.#versionSeen) {
      const version = versionOf(packet)
      if (version !== 3) throw new ProtocolError(`the host speaks SFTP ${version ?? 'without VERSION'}`)
      this.#versionSeen = true
      return false
    }
    const response = decodeResponse(packet)
    const pending = this.#pending.get(response.id)
    if (pending === undefined) throw new ProtocolError(`a response to no SFTP request: ${response.id}`)
    this.#pending.delete(response.id)
    return this.#end(pending, response)
  }

  /** The channel is over: what is open ends without an outcome. */
  abort(): void {
    for (const pending of this.#pending.values()) {
      if ('op' in pending) this.#operations.end(pending.op, { outcome: 'aborted' })
    }
    for (const opened of this.#handles.values()) this.#endOpened(opened, { outcome: 'aborted' })
    this.#pending.clear()
    this.#handles.clear()
  }

  #begin(request: SftpRequest): Pending {
    switch (request.type) {
      case 'OPEN':
        return this.#open(request.path, request.flags, { ...request.attributes })
      case 'OPENDIR': {
        const op = this.#operation('sftp.list', [request.path])
        return { type: 'open', op, opened: { type: 'directory', op, path: request.path, names: 0 } }
      }
      case 'CLOSE':
        return { type: 'close', handle: handleName(request.handle) }
      case 'READ':
        return { type: 'read', handle: handleName(request.handle), offset: request.offset }
      case 'WRITE': {
        const handle = handleName(request.handle)
        this.#bytes += request.data.length
        const file = this.#handles.get(handle)
        if (file?.type === 'file') file.written.add(request.offset, request.data)
        return { type: 'write', handle }
      }
      case 'READDIR':
        return { type: 'readdir', handle: handleName(request.handle) }
      case 'FSETSTAT': {
        const op = this.#beginOperation(request)
        const file = this.#handles.get(handleName(request.handle))
        const { size } = request.attributes
        if (file?.type !== 'file' || size !== String(file.written.bytes)) return { type: 'operation', op }
        // Cut to what was written, as scp does instead of emptying the file first: nothing else stands in it.
        return { type: 'operation', op, done: () => file.written.end() }
      }
      case 'FSTAT':
        return { type: 'fstat', handle: handleName(request.handle) }
      case 'fstatvfs@openssh.com':
      case 'fsync@openssh.com':
        return { type: 'other' }
      default:
        return { type: 'operation', op: this.#beginOperation(request) }
    }
  }

  /** Requests that are an operation each, from their begin to their one response. */
  #beginOperation(
    request: Exclude<
      SftpRequest,
      {
        type:
          | 'OPEN'
          | 'OPENDIR'
          | 'CLOSE'
          | 'READ'
          | 'WRITE'
          | 'READDIR'
          | 'FSTAT'
          | 'fstatvfs@openssh.com'
          | 'fsync@openssh.com'
      }
    >,
  ): number {
    switch (request.type) {
      case 'REMOVE':
        return this.#operation('sftp.remove', [request.path])
      case 'RENAME':
      case 'posix-rename@openssh.com':
        return this.#operation('sftp.rename', [request.path, request.to], { request: request.type })
      case 'MKDIR':
        return this.#operation('sftp.mkdir', [request.path], { ...request.attributes })
      case 'RMDIR':
        return this.#operation('sftp.rmdir', [request.path])
      case 'SETSTAT':
      case 'lsetstat@openssh.com':
        return this.#operation('sftp.setstat', [request.path], {
          request: request.type,
          ...request.attributes,
        })
      case 'FSETSTAT':
        return this.#operation('sftp.setstat', [this.#pathOf(request.handle)], { ...request.attributes })
      case 'SYMLINK':
      case 'hardlink@openssh.com':
        return this.#operation('sftp.symlink', [request.path, request.to], { request: request.type })
      case 'copy-data': {
        const paths = [this.#pathOf(request.handle), this.#pathOf(request.to)]
        return this.#operation('sftp.other', paths, { request: request.type, length: String(request.length) })
      }
      case 'limits@openssh.com':
        return this.#operation('sftp.other', [], { request: request.type })
      case 'EXTENDED': {
        // Not ours to understand, but what it says is in the record.
        if (request.fields.length > UNKNOWN_EXTENSION_LENGTH_MAX) {
          throw new ProtocolError(`an unknown SFTP request of ${request.fields.length} bytes`)
        }
        const fields = Array.from(request.fields, (byte) => byte.toString(16).padStart(2, '0')).join('')
        return this.#operation('sftp.other', [], { request: request.request, fields })
      }
      default:
        return this.#operation('sftp.other', [request.path], { request: request.type })
    }
  }

  #open(path: Uint8Array, flags: number, attributes: Readonly<Record<string, Json>>): Pending {
    const names = OPEN_FLAGS.filter((_, i) => flags & (1 << i))
    const op = this.#operation('sftp.open', [path], { flags: names, ...attributes })
    const written = new Transfer()
    if (names.includes('truncate') || names.includes('exclusive')) written.end()
    if (names.includes('append')) written.fail()
    return { type: 'open', op, opened: { type: 'file', op, path, read: new Transfer(), written } }
  }

  #operation(act: Act, paths: readonly Uint8Array[], facts?: { readonly [name: string]: Json }): number {
    const payloads: Payload[] = []
    if (paths.length > 0) payloads.push({ type: 'path', body: joined(paths) })
    if (facts !== undefined) payloads.push(args(facts))
    return this.#operations.begin({ act, payloads, parent: this.#parent })
  }

  #end(pending: Pending, response: SftpResponse): boolean {
    const status = response.type === 'STATUS' ? response.code : STATUS_OK
    switch (pending.type) {
      case 'operation':
        if (status === STATUS_OK) pending.done?.()
        this.#operations.end(pending.op, outcomeOf(status))
        return true
      case 'open':
        if (response.type === 'HANDLE') {
          this.#store(response.handle, pending.opened)
          return false
        }
        this.#operations.end(pending.op, outcomeOf(status))
        return true
      case 'close': {
        const opened = this.#handles.get(pending.handle)
        this.#handles.delete(pending.handle)
        if (opened !== undefined) this.#endOpened(opened, outcomeOf(status))
        return true
      }
      default:
        this.#count(pending, response, status)
        return false
    }
  }

  #count(
    pending: Exclude<Pending, { op: number } | { type: 'close' }>,
    response: SftpResponse,
    status: number,
  ): void {
    const opened = 'handle' in pending ? this.#handles.get(pending.handle) : undefined
    if (opened === undefined) return
    if (pending.type === 'read' && opened.type === 'file') {
      if (response.type === 'DATA') {
        this.#bytes += response.data.length
        opened.read.add(pending.offset, response.data)
      } else if (status === STATUS_EOF && pending.offset === BigInt(opened.read.bytes)) {
        opened.read.end()
      }
    }
    if (pending.type === 'write' && opened.type === 'file' && status !== STATUS_OK) opened.written.fail()
    if (pending.type === 'fstat' && opened.type === 'file' && response.type === 'ATTRS') {
      const { size } = decodeWhole({ attributes }, response.attributes).attributes
      if (size !== undefined) opened.read.expect(size)
    }
    if (response.type === 'NAME' && opened.type === 'directory') opened.names += response.count
  }

  #endOpened(opened: Opened, outcome: OutcomeFacts): void {
    if (opened.type === 'directory') {
      this.#operations.end(opened.op, { ...outcome, rows: opened.names })
      return
    }
    const { read, written } = opened
    const facts: Record<string, Json> = {}
    if (read.bytes > 0) facts['read'] = read.facts()
    if (written.bytes > 0) facts['written'] = written.facts()
    const payloads = Object.keys(facts).length > 0 ? [meta(facts)] : []
    this.#operations.end(opened.op, { ...outcome, bytes: read.bytes + written.bytes, payloads })
  }

  #store(handle: Uint8Array, opened: Opened): void {
    const name = handleName(handle)
    if (this.#handles.size >= HANDLES_MAX || this.#handles.has(name)) {
      throw new ProtocolError('the host gives an SFTP handle twice, or too many')
    }
    this.#handles.set(name, opened)
  }

  #pathOf(handle: Uint8Array): Uint8Array {
    return this.#handles.get(handleName(handle))?.path ?? new Uint8Array(0)
  }
}

function handleName(handle: Uint8Array): string {
  if (handle.length > HANDLE_LENGTH_MAX) throw new ProtocolError(`an SFTP handle of ${handle.length} bytes`)
  return String.fromCharCode(...handle)
}

function outcomeOf(status: number): OutcomeFacts {
  return { outcome: status === STATUS_OK ? 'ok' : 'error', code: String(status) }
}

/** Two paths of one request stand in one payload, a NUL between them, which no path contains. */
function joined(paths: readonly Uint8Array[]): Uint8Array {
  const bytes: number[] = []
  paths.forEach((path, i) => {
    if (i > 0) bytes.push(0)
    bytes.push(...path)
  })
  return Uint8Array.from(bytes)
}
