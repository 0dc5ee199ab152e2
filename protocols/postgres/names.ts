/**
 * Prepared statements and portals have names, and clients use them before the server has said whether it knows
 * them. So each name has two layers: what the server has confirmed, and what was announced to it and is not
 * answered yet. Which text really ran hangs on this: Parse "x", Sync, Bind "x" runs an older "x" if the Parse
 * fails, and whoever wants to hide a statement would arrange just that.
 */
import { ProtocolError } from '../bytes.ts'
import { Memo } from './memo.ts'

/** PostgreSQL cuts names to NAMEDATALEN - 1 bytes: two longer ones that begin alike are one to it. */
const NAME_BYTES = 63
/** Of one session; PostgreSQL itself keeps several kilobytes for each. */
const NAMES_MAX = 65_536

/**
 * The key of a name. Undefined where it is not ASCII: the server converts such names by the encoding in force, so
 * the same bytes may be two names, and different ones the same. They are not followed, and recorded as unknown.
 */
export function nameKey(name: Uint8Array): string | undefined {
  return name.length === 0 ? '' : keys.of(name)
}

const keys = new Memo(makeKey)

function makeKey(name: Uint8Array): string | undefined {
  let key = ''
  const length = Math.min(name.length, NAME_BYTES)
  for (let i = 0; i < length; i++) {
    const byte = name[i] ?? 0
    if (byte >= 0x80) return undefined
    key += String.fromCharCode(byte)
  }
  return key
}

interface Announcement<T> {
  readonly value: T | undefined
  /** Counted up at each Sync: within a batch a failure skips the rest. -1: may fail without skipping anything. */
  readonly batch: number
}

export class Names<T> {
  readonly #known = new Map<string, T>()
  readonly #announced = new Map<string, Announcement<T>[]>()
  /** Announcements, not yet answered, that all names end (DISCARD ALL). */
  #endings = 0

  /** What the name will mean if everything announced succeeds. */
  get(name: string | undefined): T | undefined {
    if (name === undefined) return undefined
    const announced = this.#announced.get(name)
    return announced === undefined || announced.length === 0
      ? this.#known.get(name)
      : announced[announced.length - 1]?.value
  }

  /**
   * Whether the name, used now, may mean one of two things, depending on answers that are still to come. They
   * will come: the client has sent a Sync, or a Query, behind what is to be answered.
   */
  ambiguous(name: string | undefined, batch: number): boolean {
    if (name === undefined) return false
    const announced = this.#announced.get(name)
    const last = announced === undefined ? undefined : announced[announced.length - 1]
    if (announced === undefined || last === undefined) return this.#endings > 0 && this.#known.has(name)
    if (last.batch === batch) return false
    return announced.length > 1 || this.#known.has(name)
  }

  /** Whether it may even mean nothing: its only announcement stands in an earlier batch, unanswered. */
  unsure(name: string | undefined, batch: number): boolean {
    if (name === undefined) return false
    const announced = this.#announced.get(name)
    const last = announced === undefined ? undefined : announced[announced.length - 1]
    return last === undefined ? this.#endings > 0 : last.batch !== batch
  }

  /** `undefined` announces the name's end. Each announcement is settled once, in the same order. */
  announce(name: string | undefined, value: T | undefined, batch: number): void {
    if (name === undefined) return
    const announced = this.#announced.get(name)
    if (announced !== undefined) announced.push({ value, batch })
    else this.#announced.set(name, [{ value, batch }])
  }

  /** The server has done or refused what was announced first for this name. Gives what the name meant before. */
  settle(name: string | undefined, applied: boolean): T | undefined {
    if (name === undefined) return undefined
    const announced = this.#announced.get(name)
    const first = announced?.shift()
    // The unnamed ones are announced with every statement, so their list is kept.
    if (announced?.length === 0 && name !== '') this.#announced.delete(name)
    if (first === undefined || !applied) return undefined
    const before = this.#known.get(name)
    if (first.value === undefined) this.#known.delete(name)
    else {
      this.#known.set(name, first.value)
      if (this.#known.size > NAMES_MAX) throw new ProtocolError(`more than ${NAMES_MAX} names in use`)
    }
    return before
  }

  announceEnding(): void {
    this.#endings++
  }

  /** Gives what has lost its name. */
  settleEnding(applied: boolean): readonly T[] {
    this.#endings--
    return applied ? this.clear() : []
  }

  /** Whether the server has confirmed the name, and it means this. */
  means(name: string | undefined, value: T): boolean {
    return name !== undefined && this.#known.get(name) === value
  }

  /** The server knows it no longer, though nobody announced that. */
  drop(name: string): void {
    this.#known.delete(name)
  }

  known(): Iterable<T> {
    return this.#known.values()
  }

  /** Gives what has lost its name. */
  clear(): readonly T[] {
    if (this.#known.size === 0) return NONE
    const lost = [...this.#known.values()]
    this.#known.clear()
    return lost
  }
}

const NONE: readonly never[] = []
