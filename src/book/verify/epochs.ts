/**
 * The keys of a book (FORMAT.md, "Key epochs"). Epoch e begins after the e-th record `key.next`; a checkpoint
 * within it counts only under its key, and the one at its beginning needs the old key and the new one. So no key
 * speaks for another's records, and nobody becomes a key by naming himself.
 */
import { type Checkpoint, CheckpointError, parseVkey, sameVkey, signersOf, type Vkey } from '../checkpoint.ts'

/** What the signatures of a checkpoint are worth at its size. */
export type Standing =
  | { readonly verdict: 'valid'; readonly byNext: boolean }
  | { readonly verdict: 'epoch' | 'signature'; readonly text: string }

export class Epochs {
  #known: readonly Vkey[]
  readonly #begun: { readonly from: number; readonly vkey: Vkey }[] = []
  #current: Vkey
  #next: Vkey | undefined

  constructor(first: Vkey) {
    this.#current = first
    this.#known = [first]
    this.#begun.push({ from: 0, vkey: first })
  }

  /** What the records `key.next` say, anywhere in the book: it tells the book's keys from a stranger's. */
  learn(named: readonly string[]): void {
    this.#known = [this.#current, ...named.flatMap((text) => this.#read(text) ?? [])]
  }

  get keys(): readonly { readonly from: number; readonly id: string }[] {
    return this.#begun.map(({ from, vkey }) => ({ from, id: vkey.id }))
  }

  /** Whether a change is announced that has not happened yet. */
  get changing(): boolean {
    return this.#next !== undefined
  }

  /** A record has named the next key; false where it cannot be one. */
  announce(text: string): boolean {
    this.#next = this.#read(text)
    return this.#next !== undefined
  }

  #read(text: string): Vkey | undefined {
    try {
      const vkey = parseVkey(text)
      return vkey.name === this.#current.name ? vkey : undefined
    } catch (cause) {
      if (cause instanceof CheckpointError) return undefined
      throw cause
    }
  }

  /** The announced key signs from this size on. */
  change(size: number): void {
    if (this.#next === undefined) return
    this.#current = this.#next
    this.#next = undefined
    this.#begun.push({ from: size, vkey: this.#current })
  }

  judge(checkpoint: Checkpoint): Standing {
    try {
      const signers = signersOf(checkpoint, this.#known)
      const signs = (key: Vkey | undefined) =>
        signers.some((signer) => key !== undefined && sameVkey(signer, key))
      if (signs(this.#current)) return { verdict: 'valid', byNext: signs(this.#next) }
      if (signers.length > 0) return { verdict: 'epoch', text: 'is signed by a key of another epoch' }
      return { verdict: 'signature', text: 'is signed by no key of this book' }
    } catch (cause) {
      if (cause instanceof CheckpointError)
        return { verdict: 'signature', text: `is spoiled: ${cause.message}` }
      throw cause
    }
  }

  /** Whether any key of the book signed it, whatever its size. */
  isKnown(checkpoint: Checkpoint): boolean {
    return this.judge(checkpoint).verdict !== 'signature'
  }
}
