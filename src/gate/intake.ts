/**
 * Reads a socket into the same memory again and again. Without it every read takes memory of its own, however little
 * comes, and its collection costs as much as the moving of the bytes. What is told by 'data' is then a view that holds
 * until the next read: whoever still needs it calls `giveAway` before, and the next read goes elsewhere.
 *
 * The memory belongs to this one socket, for the event loop knows its address already while others are served.
 */
import type { OnReadOpts, Socket } from 'node:net'

/** What an idle session holds. */
const SMALL_BYTES = 4 << 10
/** A read that fills the small one is of a longer answer. */
const LARGE_BYTES = 64 << 10
/** And one that fills that is of a stream, whose three ends wake each other the less often the more goes at once. */
const STREAM_BYTES = 512 << 10
/** After so much of one socket the others have their turn. The event loop alone would go on for 32 reads. */
const TURN_BYTES = 1 << 20

type View = (memory: Uint8Array, length: number) => Uint8Array

export class Intake {
  readonly #view: View
  #memory: Uint8Array<ArrayBuffer> | undefined
  #wanted = SMALL_BYTES
  #sinceTurn = 0

  /** `view` for listeners that know Node's buffers only. */
  constructor(view: View = (memory, length) => memory.subarray(0, length)) {
    this.#view = view
  }

  /** What was told last stays as it is. */
  giveAway(): void {
    this.#memory = undefined
  }

  /** The option under which a socket is made that reads this way. */
  into(socket: () => Socket): OnReadOpts {
    return {
      buffer: () => this.#next(),
      callback: (length, memory) => {
        this.#wanted = wantedAfter(length, memory.length)
        socket().emit('data', this.#view(memory, length))
        this.#sinceTurn += length
        if (this.#sinceTurn < TURN_BYTES) return true
        this.#sinceTurn = 0
        setImmediate(() => goOn(socket()))
        return false
      },
    }
  }

  #next(): Uint8Array<ArrayBuffer> {
    if (this.#memory?.length !== this.#wanted) this.#memory = new Uint8Array(this.#wanted)
    return this.#memory
  }
}

/** What was not filled shows that no more was there: an end, or a pause. */
function wantedAfter(length: number, room: number): number {
  if (length < room) return length < SMALL_BYTES ? SMALL_BYTES : LARGE_BYTES
  return room < LARGE_BYTES ? LARGE_BYTES : STREAM_BYTES
}

/** Whoever paused it meanwhile will say when it is to go on. */
function goOn(socket: Socket): void {
  if (!socket.isPaused()) socket.resume()
}
