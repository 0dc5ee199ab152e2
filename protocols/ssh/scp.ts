/**
 * What `scp -O` sends through a program's streams (the rcp protocol): names, sizes, contents. Only read along,
 * for the record's list of files; nothing is ever written anywhere under a name that stands in it.
 */
import { createHash, type Hash } from 'node:crypto'
import { decodeLossy } from '../bytes.ts'
import type { Json } from './payloads.ts'

const LINE_LENGTH_MAX = 8192
const FILES_MAX = 1000
const DEPTH_MAX = 256
const LF = 10

/** `scp -t DIR` takes files, `scp -f FILE` gives them; nothing else is looked at. */
const COMMAND = /^(?:\S*\/)?scp\s+(?:-\S+\s+)*-[a-zA-Z]*([tf])\b/

interface Item {
  readonly path: string
  readonly size: number
  left: number
  readonly hash: Hash
}

export class ScpWatch {
  readonly #upload: boolean
  readonly #files: Json[] = []
  #more = 0
  #directories: string[] = []
  #line: number[] = []
  #item: Item | undefined
  /** The byte behind a file's content says whether reading it went well. */
  #verdictDue = false
  #understood = true

  private constructor(upload: boolean) {
    this.#upload = upload
  }

  static of(command: Uint8Array): ScpWatch | undefined {
    const direction = COMMAND.exec(decodeLossy(command))?.[1]
    return direction === undefined ? undefined : new ScpWatch(direction === 't')
  }

  fromPerson(bytes: Uint8Array): void {
    if (this.#upload) this.#read(bytes)
  }

  fromHost(bytes: Uint8Array): void {
    if (!this.#upload) this.#read(bytes)
  }

  /** The files that went through whole, by the names the sender gave them. */
  files(): readonly Json[] {
    return this.#more > 0 ? [...this.#files, { more: this.#more }] : this.#files
  }

  #read(bytes: Uint8Array): void {
    let at = 0
    while (this.#understood && at < bytes.length) {
      if (this.#item !== undefined) {
        const part = bytes.subarray(at, at + this.#item.left)
        this.#item.hash.update(part)
        this.#item.left -= part.length
        at += part.length
        if (this.#item.left === 0) this.#finish(this.#item)
        continue
      }
      const byte = bytes[at++] ?? 0
      if (this.#verdictDue) {
        this.#verdictDue = false
        // Anything but a NUL is an error's first byte, and a line follows.
        if (byte === 0) continue
      }
      if (byte !== LF) {
        this.#line.push(byte)
        if (this.#line.length > LINE_LENGTH_MAX) this.#understood = false
        continue
      }
      this.#take(decodeLossy(Uint8Array.from(this.#line)))
      this.#line = []
    }
  }

  #take(line: string): void {
    const file = /^C[0-7]{4} (\d{1,15}) ([^/]+)$/.exec(line)
    const directory = /^D[0-7]{4} \d+ ([^/]+)$/.exec(line)
    if (file !== null) {
      const size = Number(file[1])
      const path = [...this.#directories, file[2] ?? ''].join('/')
      const item = { path, size, left: size, hash: createHash('sha256') }
      this.#item = item
      if (size === 0) this.#finish(item)
    } else if (directory !== null) {
      this.#directories.push(directory[1] ?? '')
      if (this.#directories.length > DEPTH_MAX) this.#understood = false
    } else if (line === 'E') {
      this.#directories.pop()
    } else if (!isError(line) && !/^T\d+ \d+ \d+ \d+$/.test(line)) {
      this.#understood = false
    }
  }

  #finish({ path, size, hash }: Item): void {
    this.#item = undefined
    this.#verdictDue = true
    if (this.#files.length >= FILES_MAX) this.#more++
    else this.#files.push({ path, bytes: size, sha256: hash.digest('hex') })
  }
}

/** A line that begins with 1 or 2 is a warning or an error of the sender's. */
function isError(line: string): boolean {
  return line.startsWith('\u{1}') || line.startsWith('\u{2}')
}
