/**
 * Texts that a session has sealed lately, so that a statement that runs again is named again instead of stored
 * again. Only the last 256 payloads may be named again: a verifier holds no more (FORMAT.md, section on references).
 */
import type { Ref } from '../book/format.ts'

export const WINDOW = 256
export const REPEATS_BYTES_MAX = 4 << 20
/** A longer text is not looked for: hashing it for the look-up costs what storing it would. */
export const REPEATED_TEXT_MAX = 64 << 10

interface Kept {
  readonly refs: readonly Ref[]
  readonly bytes: number
}

export class Repeats {
  /** In the order in which the texts were sealed: the first is the first to leave the window. */
  readonly #kept = new Map<string, Kept>()
  #bytes = 0
  #last = -1

  /** Tells that payload `i` has been sealed, whatever it is: all of them move the window. */
  advance(i: number): void {
    this.#last = i
  }

  find(type: string, body: Uint8Array): readonly Ref[] | undefined {
    if (body.length > REPEATED_TEXT_MAX) return undefined
    const refs = this.#kept.get(keyOf(type, body))?.refs
    return refs !== undefined && this.#inWindow(refs) ? refs : undefined
  }

  keep(type: string, body: Uint8Array, refs: readonly Ref[]): void {
    if (body.length > REPEATED_TEXT_MAX) return
    const key = keyOf(type, body)
    const old = this.#kept.get(key)
    if (old !== undefined) this.#bytes -= old.bytes
    // A Map keeps an overwritten key in its old place; this text is the youngest now.
    this.#kept.delete(key)
    this.#kept.set(key, { refs, bytes: key.length })
    this.#bytes += key.length
    for (const [first, kept] of this.#kept) {
      if (this.#bytes <= REPEATS_BYTES_MAX && this.#inWindow(kept.refs)) break
      this.#kept.delete(first)
      this.#bytes -= kept.bytes
    }
  }

  #inWindow(refs: readonly Ref[]): boolean {
    return refs.every(({ i }) => this.#last - i < WINDOW)
  }
}

/** One character a byte: exact for any bytes, whatever their encoding. */
function keyOf(type: string, body: Uint8Array): string {
  return `${type}\n${Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1')}`
}
