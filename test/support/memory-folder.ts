import type { Folder } from '../../src/book/tile-paths.ts'

/** Files by their paths. */
export class MemoryFolder implements Folder {
  readonly files = new Map<string, Uint8Array>()

  read(path: string): Uint8Array | undefined {
    return this.files.get(path)
  }

  write(path: string, bytes: Uint8Array): void {
    this.files.set(path, Uint8Array.from(bytes))
  }

  list(path: string): string[] {
    const below = [...this.files.keys()].filter((name) => name.startsWith(`${path}/`))
    return [...new Set(below.map((name) => name.slice(path.length + 1).split('/')[0] ?? ''))]
  }
}
