/** Files that must survive a power cut. The order of calls is the promise; each failure is the caller's to judge. */
import {
  closeSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isMissing } from './operator-error.ts'

const ZEROS = Buffer.alloc(1 << 20)

/** Makes a folder's own entries durable: what was created, renamed or removed in it. */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/** Replaces `path` as a whole: readers and a power cut see the old bytes or the new ones. */
export function writeFileDurably(path: string, bytes: Uint8Array | string, mode = 0o600): void {
  const draft = `${path}.tmp`
  const file = openSync(draft, 'w', mode)
  try {
    writeAll(file, typeof bytes === 'string' ? Buffer.from(bytes) : bytes, 0)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(draft, path)
  syncFolder(dirname(path))
}

/** The text of a file, or undefined where there is none. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

export function removeFileDurably(path: string): void {
  unlinkSync(path)
  syncFolder(dirname(path))
}

/** As writeFileDurably, without holding this thread up: the disk may be one that fails slowly. */
export async function writeFileLater(path: string, text: string): Promise<void> {
  const draft = `${path}.tmp`
  {
    await using file = await open(draft, 'w', 0o600)
    await file.writeFile(text)
    await file.sync()
  }
  await rename(draft, path)
  await using folder = await open(dirname(path), 'r')
  await folder.sync()
}

/** Removes a file where there is one, likewise. */
export async function removeFileLater(path: string): Promise<void> {
  await rm(path, { force: true })
  await using folder = await open(dirname(path), 'r')
  await folder.sync()
}

/** Creates `path` with `size` bytes really written: holes would move the full disk to the moment of writing. */
export function preallocate(path: string, size: number, fill?: (piece: Uint8Array) => void): void {
  const file = openSync(path, 'wx', 0o600)
  try {
    for (let at = 0; at < size; at += ZEROS.length) {
      const piece = fill === undefined ? ZEROS : Buffer.alloc(ZEROS.length)
      fill?.(piece)
      writeAll(file, piece.subarray(0, Math.min(piece.length, size - at)), at)
    }
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  syncFolder(dirname(path))
}

/** Writes zeros over these parts of a file, or over all of it, in place. */
export function overwrite(path: string, parts?: readonly { at: number; length: number }[]): void {
  const file = openSync(path, 'r+')
  try {
    for (const { at, length } of parts ?? [{ at: 0, length: fstatSync(file).size }]) {
      for (let done = 0; done < length; done += ZEROS.length) {
        writeAll(file, ZEROS.subarray(0, Math.min(ZEROS.length, length - done)), at + done)
      }
    }
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Writes all of `bytes` at `at`. After a short write the next one says why: a full disk is known by its error. */
function writeAll(file: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(file, bytes, done, bytes.length - done, at + done)
  }
}

/** Whether a disk, or what somebody may use of it, is full. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}

/** A file of fixed size, read and written in place; its contents become durable by `sync`. */
export class PlacedFile implements Disposable {
  readonly size: number
  readonly #file: number

  constructor(path: string) {
    this.#file = openSync(path, 'r+')
    this.size = fstatSync(this.#file).size
  }

  /** A short write is not gone on with: all of this file has its place, so the disk has said that something is wrong. */
  write(bytes: Uint8Array, at: number): void {
    const written = writeSync(this.#file, bytes, 0, bytes.length, at)
    if (written !== bytes.length) throw new Error(`short write: ${written} of ${bytes.length} bytes at ${at}`)
  }

  /** Off this thread; covers what was written before the call. */
  sync(done: (error: Error | null) => void): void {
    fdatasync(this.#file, done)
  }

  read(into: Uint8Array, at: number): void {
    const count = readSync(this.#file, into, 0, into.length, at)
    if (count !== into.length) throw new Error(`short read: ${count} of ${into.length} bytes at ${at}`)
  }

  [Symbol.dispose](): void {
    closeSync(this.#file)
  }
}
