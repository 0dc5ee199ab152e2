/**
 * The records that govern others and may come after them: what may be erased and pruned, and which keys sign.
 * They are read before the walk. The walk then reads the same bytes in their places under the signed roots, so
 * one that does not belong there is found there, and so is whatever cannot be read.
 */
import { FormatError, type Leaf, parseLeaf } from '../format.ts'
import { type Commit, type Source, SourceError } from './source.ts'

/** Canonical leaves of these kinds, and few others, begin like this; it spares reading the rest. */
const GOVERNS = /^\{"(?:by|below|kind":"(?:key\.next|erase))"/
const BEGINNING = 20

export class Authority {
  /** What each `key.next` names, and its leaf by its place. */
  readonly named: string[] = []
  readonly keyLeaves = new Map<number, Uint8Array>()
  readonly #sessions = new Map<string, number>()
  readonly #payloads = new Map<string, number>()
  #erasedBelow = { below: 0, seq: 0 }
  #retained = { below: 0, seq: 0 }

  read(source: Source): void {
    try {
      for (const { seq, leaf } of source.kept()) this.#take(seq, leaf)
      for (const commit of source.commits(0)) this.#readCommit(commit)
    } catch (cause) {
      if (!(cause instanceof SourceError && cause.code === 'damaged')) throw cause
    }
  }

  #readCommit(commit: Commit): void {
    try {
      commit.leaves().forEach((leaf, at) => {
        this.#take(commit.first + at, leaf)
      })
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause
    }
  }

  #take(seq: number, bytes: Uint8Array): void {
    if (bytes[2] !== 0x62 && bytes[2] !== 0x6b) return
    const beginning = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, BEGINNING))
    if (!GOVERNS.test(beginning.toString('latin1'))) return
    try {
      this.#govern(seq, parseLeaf(bytes), bytes)
    } catch (cause) {
      if (!(cause instanceof FormatError)) throw cause
    }
  }

  #govern(seq: number, { kind, next, scope, below }: Leaf, bytes: Uint8Array): void {
    if (kind === 'key.next' && next !== undefined) {
      this.named.push(next)
      this.keyLeaves.set(seq, Uint8Array.from(bytes))
    }
    if (kind === 'retain' && below !== undefined && below <= seq && below > this.#retained.below) {
      this.#retained = { below, seq }
      this.#eraseBelow(below, seq)
    }
    if (kind !== 'erase' || scope === undefined) return
    if ('below' in scope) this.#eraseBelow(scope.below, seq)
    else if ('sids' in scope) for (const sid of scope.sids) this.#sessions.set(sid, seq)
    else for (const [sid, i] of scope.refs) this.#payloads.set(`${sid}/${i}`, seq)
  }

  #eraseBelow(below: number, seq: number): void {
    if (below <= seq && below > this.#erasedBelow.below) this.#erasedBelow = { below, seq }
  }

  /** The record that lets leaves below this index be gone. */
  prunes(below: number): number | undefined {
    return below <= this.#retained.below ? this.#retained.seq : undefined
  }

  /** The record that lets a payload named at `seq` be gone; one before it had nothing to erase yet. */
  erases(sid: string, i: number, seq: number): number | undefined {
    if (this.#sessions.size === 0 && this.#payloads.size === 0) return undefined
    const found = Math.max(this.#sessions.get(sid) ?? -1, this.#payloads.get(`${sid}/${i}`) ?? -1)
    return found > seq ? found : undefined
  }

  /** The record that lets the payloads of a session be gone which closed at `seq`. */
  erasesClosed(seq: number): number | undefined {
    return seq < this.#erasedBelow.below ? this.#erasedBelow.seq : undefined
  }
}
