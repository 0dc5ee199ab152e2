/**
 * What the verifier reads a book through: rows and notes, whatever they are kept in. An implementation hands on
 * what it finds and judges nothing; all of it may have been written by an attacker.
 */

export interface Source {
  /** Index of the first record whose leaf is still there; 0 where nothing has been pruned, or nothing written. */
  readonly first: number
  /** Where the records end, as far as the commits say. */
  readonly end: number
  /** The newest checkpoint. */
  readonly head: Uint8Array | undefined
  /** What the payload rows are in, or undefined where the book was copied without them. */
  readonly payloads: PayloadRows | undefined
  /** In ascending order, from the commit that holds the record `from`. */
  commits(from: number): Iterable<Commit>
  /** In ascending order. */
  checkpoints(): Iterable<KeptCheckpoint>
  /** In ascending order. */
  kept(): Iterable<KeptLeaf>
  /** Full tiles there are; undefined where nobody keeps them by number. */
  readonly tiles: number | undefined
  /** 256 hashes, or undefined where there is no such tile. */
  tile(level: number, n: number): Uint8Array | undefined
}

export interface Commit {
  readonly first: number
  readonly count: number
  /** Throws a FormatError where the bytes are no bundle. */
  leaves(): readonly Uint8Array[]
}

export interface KeptCheckpoint {
  readonly size: number
  readonly note: Uint8Array
}

/** A leaf that has outlived the pruning of its neighbours. */
export interface KeptLeaf {
  readonly seq: number
  readonly leaf: Uint8Array
}

export interface PayloadRows {
  /** The bytes of a payload, once: what has been taken is not part of the rest. */
  take(sid: string, i: number): Uint8Array | undefined
  /** The payloads that nobody has taken. */
  rest(): Iterable<{ readonly sid: string; readonly i: number }>
}

/**
 * A book cannot be read. `damaged`: what keeps it is broken or not what it should be, which is a finding;
 * `unreadable`, `foreign` (no book) and `newer` (another format) end the verification without a verdict.
 */
export class SourceError extends Error {
  override readonly name = 'SourceError'
  readonly code: 'damaged' | 'unreadable' | 'foreign' | 'newer'
  constructor(code: SourceError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
