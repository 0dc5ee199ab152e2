/**
 * What goes out to one side, in order, some of it behind a fence: everything behind it waits until the records
 * before it are as far as the durability mode demands. Whoever fills it bounds it, by not reading the other side.
 */
import type { Mark, Reach } from '../record/group-commit.ts'

export interface Reaches {
  reached(mark: Mark, reach: Reach): boolean
  when(mark: Mark, reach: Reach, done: (error?: Error) => void): void
}

export interface FenceEvents<Item> {
  /** These waited, and may go now, in this order. Told too when it is none. */
  readonly onOpen: (items: readonly Item[]) => void
  /** A record on which something waits cannot be made: nothing more goes. */
  readonly onFailure: (error: Error) => void
}

class Fence {
  readonly mark: Mark
  readonly reach: Reach

  constructor(mark: Mark, reach: Reach) {
    this.mark = mark
    this.reach = reach
  }
}

export class Fences<Item extends object> {
  readonly #reaches: Reaches
  readonly #events: FenceEvents<Item>
  #items: (Item | Fence)[] = []
  #waiting = false
  #opening = false
  #closed = false

  constructor(reaches: Reaches, events: FenceEvents<Item>) {
    this.#reaches = reaches
    this.#events = events
  }

  /** Nothing waits. While what waited is being let go, it still does: nothing may overtake it. */
  get isEmpty(): boolean {
    return this.#items.length === 0 && !this.#opening
  }

  /** What comes after this waits until `mark` is there. */
  fence(mark: Mark, reach: Reach | undefined): void {
    if (reach === undefined || mark === 0 || this.#closed) return
    if (this.isEmpty && this.#reaches.reached(mark, reach)) return
    const last = this.#items.at(-1)
    // Marks only grow: a later fence right behind an earlier one contains it.
    if (last instanceof Fence && last.reach === reach && last !== this.#items[0]) {
      this.#items[this.#items.length - 1] = new Fence(mark, reach)
    } else this.#items.push(new Fence(mark, reach))
    if (!this.#waiting && !this.#opening) this.#advance()
  }

  /** For what must wait. Where nothing does (`isEmpty`), it is the caller's to send at once. */
  push(item: Item): void {
    if (!this.#closed) this.#items.push(item)
  }

  /** Nothing of what waits, or comes later, may go any more. Gives what is dropped by that. */
  abandon(): readonly Item[] {
    const dropped = this.#items.filter((item) => !(item instanceof Fence)) as Item[]
    this.#closed = true
    this.#items = []
    return dropped
  }

  #advance(): void {
    this.#opening = true
    do this.#events.onOpen(this.#takeOpen())
    while (this.#items.length > 0 && !(this.#items[0] instanceof Fence))
    this.#opening = false
    const [fence] = this.#items
    if (fence instanceof Fence) this.#waitFor(fence)
  }

  #takeOpen(): readonly Item[] {
    const open: Item[] = []
    while (this.#items.length > 0) {
      const [item] = this.#items
      if (item instanceof Fence) {
        if (!this.#reaches.reached(item.mark, item.reach)) break
      } else if (item !== undefined) open.push(item)
      this.#items.shift()
    }
    return open
  }

  #waitFor({ mark, reach }: Fence): void {
    this.#waiting = true
    this.#reaches.when(mark, reach, (error) => {
      this.#waiting = false
      if (this.#closed) return
      if (error === undefined) this.#advance()
      else this.#events.onFailure(error)
    })
  }
}
