/**
 * What passes unrecorded while the store has failed, where a target's policy is to go on without it: counted here,
 * written beside the book at once and then every second, and taken into the book as `gap` records at the next start.
 * It says no more than it knows: what passed after the last writing, when the process died, is a gap without a count.
 */
import { existsSync, readFileSync } from 'node:fs'
import type { Members } from '../book/format.ts'
import type { Schedule } from '../system/clock.ts'
import { isDiskFull, removeFileLater, writeFileLater } from '../system/durable.ts'

export const WRITE_EVERY_MS = 1000
/** Operations of further targets are counted together, under no name. */
export const TARGETS_MAX = 1000
const FILE_BYTES_MAX = 1 << 20
const TOKEN = /^[!-~]{1,128}$/

/** As it stands in the file. Microseconds since 1970. */
interface WrittenGap {
  readonly from: number
  readonly to: number
  /** The process ended in order: nothing passed after `to`. */
  readonly ended: boolean
  /** Operations per target; under the empty name those of the targets beyond the limit. */
  readonly ops: Readonly<Record<string, number>>
}

export interface GapParts {
  readonly path: string
  /** Deleted where the disk is too full to say what is missing. */
  readonly ballast: string
  readonly now: () => number
  readonly schedule: Schedule
}

export class Gaps {
  readonly #parts: GapParts
  readonly #ops = new Map<string, number>()
  /** Operations whose begin stands in the journal's open batch: with it they are lost. */
  #open: { readonly batch: number; readonly since: number; readonly targets: string[] } | undefined
  #from: number | undefined
  #writing: Promise<void> | undefined
  #next: Disposable | undefined
  #failure: unknown

  constructor(parts: GapParts) {
    this.#parts = parts
  }

  /** An operation at `target` was appended to this batch. Batches before it are written by now. */
  appended(target: string, batch: number): void {
    if (this.#open?.batch !== batch) this.#open = { batch, since: this.#parts.now(), targets: [] }
    this.#open.targets.push(target)
  }

  /** The store has failed, and the kernel has the batches up to `written`: from now on operations may pass unrecorded. */
  begin(written: number): void {
    const lost = this.#open
    this.#open = undefined
    if (lost === undefined || lost.batch <= written) {
      this.#from ??= this.#parts.now()
      return
    }
    this.#from = Math.min(this.#from ?? lost.since, lost.since)
    for (const target of lost.targets) this.count(target)
  }

  /** An operation at `target` passes unrecorded. The first one has the gap written at once. */
  count(target: string): void {
    this.#from ??= this.#parts.now()
    const name = this.#ops.has(target) || this.#ops.size < TARGETS_MAX ? target : ''
    this.#ops.set(name, (this.#ops.get(name) ?? 0) + 1)
    if (this.#writing === undefined && this.#next === undefined) this.#write(false)
  }

  /** Operations that have passed unrecorded so far. */
  get total(): number {
    let sum = 0
    for (const count of this.#ops.values()) sum += count
    return sum
  }

  /** Why the last writing failed, where it did: then not even the gap is on disk. It goes on being tried. */
  get failure(): unknown {
    return this.#failure
  }

  /** The last word, when the process ends in order. */
  async end(): Promise<void> {
    if (this.#ops.size === 0) return
    await this.#writing
    this.#next?.[Symbol.dispose]()
    this.#next = undefined
    this.#write(true)
    await this.#writing
  }

  /** One at a time; the next a second later, whatever became of this one. */
  #write(ended: boolean): void {
    const { now, schedule } = this.#parts
    const from = this.#from ?? now()
    const gap: WrittenGap = { from, to: Math.max(from, now()), ended, ops: Object.fromEntries(this.#ops) }
    const written = (failure: unknown): void => {
      this.#failure = failure
      this.#writing = undefined
      if (ended) return
      this.#next = schedule.after(WRITE_EVERY_MS, () => {
        this.#next = undefined
        this.#write(false)
      })
    }
    this.#writing = this.#put(JSON.stringify(gap)).then(() => written(undefined), written)
  }

  async #put(text: string): Promise<void> {
    const { path, ballast } = this.#parts
    try {
      await writeFileLater(path, text)
    } catch (error) {
      if (!isDiskFull(error)) throw error
      await removeFileLater(ballast)
      await writeFileLater(path, text)
    }
  }
}

/** The records that an unfinished gap becomes; none where nothing passed. `since` and `now`: when it must have been. */
export function readGap(path: string, since: number, now: number): Members[] {
  if (!existsSync(path)) return []
  const record = { kind: 'gap', ts: now, why: 'store' }
  const gap = parseGap(path)
  // That there was one is all that is left of it.
  if (gap === undefined) return [{ ...record, from: Math.min(since, now), to: now }]
  const { from, to, ended, ops } = gap
  const members = Object.entries(ops).map(
    ([name, count]): Members => ({ ...record, from, to, ops: count, tgt: name === '' ? undefined : name }),
  )
  if (!ended) members.push({ ...record, from: to, to: Math.max(to, now) })
  return members
}

/** The file is ours, and yet it lay on a disk that was failing. */
function parseGap(path: string): WrittenGap | undefined {
  let value: unknown
  try {
    const bytes = readFileSync(path)
    if (bytes.length > FILE_BYTES_MAX) return undefined
    value = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { from, to, ended, ops } = value as Partial<WrittenGap>
  const isWhole =
    isCount(from) &&
    isCount(to) &&
    from <= to &&
    typeof ended === 'boolean' &&
    typeof ops === 'object' &&
    ops !== null
  if (!isWhole) return undefined
  const names = Object.entries(ops)
  const areOps = names.every(([name, count]) => isCount(count) && (name === '' || TOKEN.test(name)))
  return areOps ? { from, to, ended, ops } : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}
