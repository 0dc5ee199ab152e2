/**
 * What goes out to one side, in order. A fence holds back everything behind it until the records before it are as
 * far as the durability mode demands; what is held back is bounded, for the other side is not read meanwhile.
 */
import type { Socket } from 'node:net'
import type { Mark, Reach } from '../record/group-commit.ts'

/** Above this the side that fills the outlet is not read any more; below the other, it is again. */
export const OUTLET_HIGH = 1 << 20
export const OUTLET_LOW = 256 << 10
/** Pieces shorter than this are put together: a write costs more than the copy. */
const JOIN_BELOW = 16 << 10

export interface Reaches {
  reached(mark: Mark, reach: Reach): boolean
  when(mark: Mark, reach: Reach, done: (error?: Error) => void): void
}

export interface OutletEvents {
  /** The other side may be read again. */
  readonly onRoom: () => void
  /** A record on which bytes wait cannot be made: nothing more goes out here. */
  readonly onFailure: (error: Error) => void
}

type Item = Uint8Array | { readonly mark: Mark; readonly reach: Reach }

export class Outlet {
  readonly #socket: Socket
  readonly #reaches: Reaches
  readonly #events: OutletEvents
  #items: Item[] = []
  #held = 0
  #waiting = false
  #ending = false
  #closed = false

  constructor(socket: Socket, reaches: Reaches, events: OutletEvents) {
    this.#socket = socket
    this.#reaches = reaches
    this.#events = events
    socket.on('drain', () => this.#tellRoom())
  }

  get isFull(): boolean {
    return this.#held + this.#socket.writableLength > OUTLET_HIGH
  }

  /** Whether bytes that were sent lie here still, or with the system: their memory must stay as it is. */
  get retains(): boolean {
    return this.#items.length > 0 || this.#socket.writableLength > 0
  }

  get isEmpty(): boolean {
    return this.#items.length === 0
  }

  /** What is sent after this waits until `mark` is there. */
  fence(mark: Mark, reach: Reach | undefined): void {
    if (reach === undefined || mark === 0) return
    if (this.#items.length === 0 && this.#reaches.reached(mark, reach)) return
    const last = this.#items.at(-1)
    // Marks only grow: a later fence right behind an earlier one contains it.
    if (last !== undefined && !(last instanceof Uint8Array) && last.reach === reach && !this.#isFirst(last)) {
      this.#items[this.#items.length - 1] = { mark, reach }
    } else this.#items.push({ mark, reach })
    if (!this.#waiting) this.#advance()
  }

  /** Sends, or keeps behind a fence. `bytes` must not change afterwards. */
  send(bytes: Uint8Array): void {
    if (this.#closed || bytes.length === 0) return
    if (this.#items.length === 0) {
      this.#socket.write(bytes)
      return
    }
    this.#items.push(bytes)
    this.#held += bytes.length
  }

  /** Ends the side once everything before it is out. */
  end(): void {
    this.#ending = true
    if (this.#items.length === 0) this.#finish()
  }

  /** Drops what waits: nothing of it may go out any more. */
  abandon(): void {
    this.#closed = true
    this.#items = []
    this.#held = 0
  }

  #isFirst(item: Item): boolean {
    return this.#items[0] === item
  }

  #advance(): void {
    if (this.#closed) return
    let run: Uint8Array[] = []
    while (this.#items.length > 0) {
      const [item] = this.#items
      if (item instanceof Uint8Array) {
        run.push(item)
        this.#held -= item.length
        this.#items.shift()
        continue
      }
      if (item !== undefined && !this.#reaches.reached(item.mark, item.reach)) break
      this.#items.shift()
    }
    this.#write(run)
    run = []
    const [fence] = this.#items
    if (fence !== undefined && !(fence instanceof Uint8Array)) this.#waitFor(fence)
    else if (this.#ending) this.#finish()
    this.#tellRoom()
  }

  #waitFor({ mark, reach }: { mark: Mark; reach: Reach }): void {
    this.#waiting = true
    this.#reaches.when(mark, reach, (error) => {
      this.#waiting = false
      if (this.#closed) return
      if (error === undefined) this.#advance()
      else {
        this.abandon()
        this.#events.onFailure(error)
      }
    })
  }

  #write(run: readonly Uint8Array[]): void {
    if (run.length === 0) return
    let small = 0
    for (const piece of run) small += piece.length
    if (run.length === 1) this.#socket.write(run[0] ?? new Uint8Array(0))
    else if (small < JOIN_BELOW) this.#socket.write(Buffer.concat(run))
    else {
      this.#socket.cork()
      for (const piece of run) this.#socket.write(piece)
      this.#socket.uncork()
    }
  }

  #tellRoom(): void {
    if (this.#held + this.#socket.writableLength <= OUTLET_LOW) this.#events.onRoom()
  }

  #finish(): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket.end()
  }
}
