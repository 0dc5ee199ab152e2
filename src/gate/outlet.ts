/**
 * What goes out to one side, in order. A fence holds back everything behind it until the records before it are as
 * far as the durability mode demands; what is held back is bounded, for the other side is not read meanwhile.
 */
import type { Socket } from 'node:net'
import type { Mark, Reach } from '../record/group-commit.ts'
import { Fences, type Reaches } from './fences.ts'

/** Above this the side that fills the outlet is not read any more; below the other, it is again. */
export const OUTLET_HIGH = 1 << 20
export const OUTLET_LOW = 256 << 10
/** Pieces shorter than this are put together: a write costs more than the copy. */
const JOIN_BELOW = 16 << 10

/** Stands in line behind everything else. */
const END = new Uint8Array(0)

export interface OutletEvents {
  /** The other side may be read again. */
  readonly onRoom: () => void
  /** A record on which bytes wait cannot be made: nothing more goes out here. */
  readonly onFailure: (error: Error) => void
}

export class Outlet {
  readonly #socket: Socket
  readonly #events: OutletEvents
  readonly #fences: Fences<Uint8Array>
  #held = 0
  #closed = false

  constructor(socket: Socket, reaches: Reaches, events: OutletEvents) {
    this.#socket = socket
    this.#events = events
    this.#fences = new Fences(reaches, {
      onOpen: (run) => this.#open(run),
      onFailure: (error) => {
        this.abandon()
        events.onFailure(error)
      },
    })
    socket.on('drain', () => this.#tellRoom())
  }

  get isFull(): boolean {
    return this.#held + this.#socket.writableLength > OUTLET_HIGH
  }

  /** Whether bytes that were sent lie here still, or with the system: their memory must stay as it is. */
  get retains(): boolean {
    return !this.#fences.isEmpty || this.#socket.writableLength > 0
  }

  get isEmpty(): boolean {
    return this.#fences.isEmpty
  }

  /** What is sent after this waits until `mark` is there. */
  fence(mark: Mark, reach: Reach | undefined): void {
    this.#fences.fence(mark, reach)
  }

  /** Sends, or keeps behind a fence. `bytes` must not change afterwards. */
  send(bytes: Uint8Array): void {
    if (this.#closed || bytes.length === 0) return
    if (this.#fences.isEmpty) {
      this.#socket.write(bytes)
      return
    }
    this.#fences.push(bytes)
    this.#held += bytes.length
  }

  /** Ends the side once everything before it is out. */
  end(): void {
    if (this.#fences.isEmpty) this.#finish()
    else this.#fences.push(END)
  }

  /** Drops what waits: nothing of it may go out any more. */
  abandon(): void {
    this.#closed = true
    this.#fences.abandon()
    this.#held = 0
  }

  #open(run: readonly Uint8Array[]): void {
    for (const piece of run) this.#held -= piece.length
    writeAll(this.#socket, run)
    if (run.at(-1) === END) this.#finish()
    this.#tellRoom()
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

/** One write for many small pieces. */
export function writeAll(socket: Socket, run: readonly Uint8Array[]): void {
  if (run.length === 0) return
  let small = 0
  for (const piece of run) small += piece.length
  if (run.length === 1) socket.write(run[0] ?? new Uint8Array(0))
  else if (small < JOIN_BELOW) socket.write(Buffer.concat(run))
  else {
    socket.cork()
    for (const piece of run) socket.write(piece)
    socket.uncork()
  }
}

/** What is written from here to the end of what runs now goes out in one write. Ending the socket does not wait. */
export function gather(socket: Socket): void {
  if (socket.writableCorked > 0) return
  socket.cork()
  process.nextTick(() => socket.uncork())
}
