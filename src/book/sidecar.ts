/**
 * head.note: the newest durable head, kept beside the book (better on another device). It tells at the next start
 * what SQLite cannot: that the end of the log was lost, or an older file put back.
 */
import { existsSync, readFileSync } from 'node:fs'
import { writeFileDurably } from '../system/durable.ts'

/** While there is activity. What is younger could vanish unnoticed, unless it is anchored elsewhere. */
export const SIDECAR_EVERY_MS = 1000

export class Sidecar {
  readonly #path: string
  #written: string | undefined
  #at = Number.NEGATIVE_INFINITY

  constructor(path: string) {
    this.#path = path
  }

  read(): string | undefined {
    return existsSync(this.#path) ? readFileSync(this.#path, 'utf8') : undefined
  }

  /** `note` is a head whose COMMIT has returned: ahead of that, a power cut would make an honest book look cut. */
  offer(note: string, nowMs: number): void {
    // Either way: a clock that was set back must not keep it from being written.
    if (note === this.#written || Math.abs(nowMs - this.#at) < SIDECAR_EVERY_MS) return
    this.write(note)
    this.#at = nowMs
  }

  write(note: string): void {
    writeFileDurably(this.#path, note)
    this.#written = note
  }
}
