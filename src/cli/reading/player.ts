/**
 * Plays a recording on a terminal: filtered, at a speed, without long pauses, from a point on. What was recorded never
 * acts on the terminal it is shown on, and however the playing ends, the terminal is put back in order.
 */

import type { Frame } from '../../read/answers.ts'
import { PlaybackFilter, TERMINAL_RESET } from '../../wiring/playback.ts'

export interface PlayOptions {
  readonly speed: number
  /** Pauses are shortened to that, in microseconds of the recording. */
  readonly idleMax?: number
  /** Up to there nothing is waited for, in microseconds since the first frame. */
  readonly from: number
}

export interface PlayPorts {
  readonly write: (bytes: Uint8Array) => void
  readonly sleep: (ms: number) => Promise<void>
  readonly signal: AbortSignal
}

/** Waits are cut into pieces, so that keys and ^C are heard. */
const PIECE_MS = 50

export class Player {
  speed: number
  paused = false
  readonly #options: PlayOptions
  readonly #ports: PlayPorts
  readonly #filter = new PlaybackFilter()
  #from: number
  #at = 0

  constructor(options: PlayOptions, ports: PlayPorts) {
    this.#options = options
    this.#ports = ports
    this.#from = options.from
    this.speed = options.speed
  }

  /** Microseconds since the first frame. */
  get at(): number {
    return this.#at
  }

  /** Forward only: what comes before is drawn at once. */
  skipTo(micros: number): void {
    this.#from = Math.max(this.#from, micros)
  }

  async play(frames: AsyncIterable<Frame>): Promise<void> {
    const { write, signal } = this.#ports
    try {
      for await (const { at, kind, data } of frames) {
        if (signal.aborted) break
        await this.#wait(at)
        this.#at = at
        if (kind !== 'o' && kind !== 'e' && kind !== 'i') continue
        const shown = this.#filter.push(Buffer.from(data, 'base64'))
        if (shown.length > 0) write(shown)
      }
    } finally {
      write(TERMINAL_RESET)
    }
  }

  async #wait(at: number): Promise<void> {
    const { idleMax = Number.POSITIVE_INFINITY } = this.#options
    let left = Math.min(at - this.#at, idleMax) / 1000
    while ((left > 0 || this.paused) && !this.#ports.signal.aborted) {
      if (at <= this.#from && !this.paused) return
      const piece = Math.min(PIECE_MS, this.paused ? PIECE_MS : left / this.speed)
      await this.#ports.sleep(piece)
      if (!this.paused) left -= piece * this.speed
    }
  }
}

/** `4:31`, `1:02:03`, `90s`, `90` */
export function timeIn(text: string): number | undefined {
  const seconds = /^(\d{1,6})s?$/.exec(text)
  if (seconds !== null) return Number(seconds[1]) * 1e6
  const [, hours = '0', minutes, rest] = /^(?:(\d{1,3}):)?(\d{1,2}):([0-5]\d)$/.exec(text) ?? []
  if (minutes === undefined) return undefined
  return (Number(hours) * 3600 + Number(minutes) * 60 + Number(rest)) * 1e6
}

/** `04:31`, `1:02:03` */
export function clockOf(micros: number): string {
  const seconds = Math.floor(micros / 1e6)
  const two = (value: number): string => String(value).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  return hours === 0 ? rest : `${hours}:${rest}`
}
