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
/** As much as the event loop takes at once. A read that fills the small one is of a longer answer. */
const LARGE_BYTES = 64 << 10

type View = (memory: Uint8Array, length: number) => Uint8Array

export class Intake {
  readonly #view: View
  #memory: Uint8Array<ArrayBuffer> | undefined
  #wanted = SMALL_BYTES

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
        this.#wanted = length < SMALL_BYTES ? SMALL_BYTES : LARGE_BYTES
        return socket().emit('data', this.#view(memory, length))
      },
    }
  }

  #next(): Uint8Array<ArrayBuffer> {
    if (this.#memory?.length !== this.#wanted) this.#memory = new Uint8Array(this.#wanted)
    return this.#memory
  }
}
