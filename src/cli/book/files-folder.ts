/** A folder of files, as exports are read and written. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Folder } from '../../book/tile-paths.ts'
import { SourceError } from '../../book/verify/source.ts'

/** More than 256 leaves of any size, and more than any payload. */
const FILE_BYTES_MAX = 33_554_432

export class FilesFolder implements Folder {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  read(path: string): Uint8Array | undefined {
    return this.#unless(path, undefined, (file) => {
      const found = statSync(file)
      // Whoever made the folder may have put a pipe or a device there, of which reading never ends.
      if (!found.isFile()) throw new SourceError('damaged', `${path} is no file`)
      const { size } = found
      if (size > FILE_BYTES_MAX) throw new SourceError('damaged', `${path} has ${size} bytes`)
      return readFileSync(file)
    })
  }

  write(path: string, bytes: Uint8Array): void {
    const file = join(this.#root, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, bytes)
  }

  list(path: string): readonly string[] {
    return this.#unless(path, [], (folder) => readdirSync(folder))
  }

  /** What is not there is an answer; what cannot be read is not. */
  #unless<T>(path: string, absent: T, read: (file: string) => T): T {
    try {
      return read(join(this.#root, path))
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause)) throw cause
      if (cause instanceof SourceError) throw cause
      if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return absent
      throw new SourceError('unreadable', `${path}: ${cause.message}`, { cause })
    }
  }
}
