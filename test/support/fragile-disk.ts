/** A journal's real disk, whose writes or syncs fail from a moment on, or whose syncs take until they are let go. */
import type { JournalDisk } from '../../src/book/journal.ts'
import { PlacedFile } from '../../src/system/durable.ts'

export class FragileDisk implements JournalDisk, Disposable {
  broken: 'sync' | 'write' | undefined
  readonly #file: PlacedFile
  #held: (() => void)[] | undefined

  constructor(path: string) {
    this.#file = new PlacedFile(path)
  }

  get size(): number {
    return this.#file.size
  }

  /** Syncs end no more, until `release`. */
  hold(): void {
    this.#held ??= []
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const sync of held) sync()
  }

  write(bytes: Uint8Array, at: number): void {
    if (this.broken === 'write') throw new Error('EIO')
    this.#file.write(bytes, at)
  }

  read(into: Uint8Array, at: number): void {
    this.#file.read(into, at)
  }

  sync(done: (error: Error | null) => void): void {
    if (this.broken === 'sync') setImmediate(done, new Error('EIO'))
    else if (this.#held !== undefined) this.#held.push(() => this.#file.sync(done))
    else this.#file.sync(done)
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]()
  }
}
