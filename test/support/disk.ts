import type { JournalDisk } from '../../src/book/journal.ts'

/**
 * A disk in memory that knows what is only written and what is synced, and fails on command before or after the
 * effect. A sync ends when the test says so, and covers what was written before it began.
 */
export class FakeDisk implements JournalDisk {
  readonly size: number
  readonly bytes: Buffer
  /** What a power cut would leave at least. */
  readonly durable: Buffer
  readonly writes: { readonly at: number; readonly length: number }[] = []
  syncs = 0
  failWrite: 'before' | 'after' | 'short' | undefined
  #syncing: { readonly covered: Buffer; readonly done: (error: Error | null) => void } | undefined

  constructor(size: number) {
    this.size = size
    this.bytes = Buffer.alloc(size)
    this.durable = Buffer.alloc(size)
  }

  get isSyncing(): boolean {
    return this.#syncing !== undefined
  }

  write(bytes: Uint8Array, at: number): void {
    if (at < 0 || at + bytes.length > this.size) throw new Error(`a write of ${bytes.length} bytes at ${at}`)
    if (this.failWrite === 'before') throw new Error('EIO: write')
    const piece = this.failWrite === 'short' ? bytes.subarray(0, bytes.length >> 1) : bytes
    this.bytes.set(piece, at)
    this.writes.push({ at, length: piece.length })
    if (this.failWrite !== undefined) throw new Error('EIO: write')
  }

  sync(done: (error: Error | null) => void): void {
    if (this.#syncing !== undefined) throw new Error('two syncs at a time')
    this.syncs++
    this.#syncing = { covered: Buffer.from(this.bytes), done }
  }

  read(into: Uint8Array, at: number): void {
    if (at + into.length > this.size) throw new Error(`a read of ${into.length} bytes at ${at}`)
    into.set(this.bytes.subarray(at, at + into.length))
  }

  /** Ends the sync that runs, with its effect unless it failed before. */
  endSync(outcome: 'done' | 'failed before' | 'failed after' = 'done'): void {
    const syncing = this.#syncing
    if (syncing === undefined) throw new Error('no sync runs')
    this.#syncing = undefined
    if (outcome !== 'failed before') this.durable.set(syncing.covered)
    syncing.done(outcome === 'done' ? null : new Error('EIO: fdatasync'))
  }
}
