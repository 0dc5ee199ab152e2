/**
 * FORMAT.md, section 6: the write-ahead journal, a ring of numbered batches in one preallocated file. The gate's
 * thread appends; the recorder's thread reads behind it and frees; recovery judges the same bytes after a crash.
 *
 * A batch, at a multiple of 512 bytes:
 *   u32 length of the whole · u32 CRC-32 of all that follows · u64 number · u64 last number known durable · entries
 * An entry:
 *   u16 length · a leaf's members · u8 count · count × (u8 which ref · u32 length · ciphertext)
 */
import { crc32 } from 'node:zlib'

export const JOURNAL_BYTES = 64 << 20
export const JOURNAL_BYTES_MAX = 256 << 20
export const SECTOR = 512
export const BATCH_ENTRIES_MAX = 512
export const BATCH_BYTES_MAX = 4 << 20
const HEADER = 24
const MEMBERS_MAX = 16_384
const CARRIED_MAX = 64
/** This share of the ring is kept for the records that close what runs, where larger ones are refused. */
const RESERVED_SHARE = 1 / 8
/** Read at once, the more the longer the reader is behind: a statement's batch alone is not worth a system call. */
const READ_BYTES_MIN = 4 << 10
const READ_BYTES_MAX = 256 << 10
/** Written over at once: more would hold up the traffic. */
const SCRUB_BYTES = 1 << 20

/** The disk refused, or the journal is full: nothing more is acknowledged. */
export class JournalError extends Error {
  override readonly name = 'JournalError'
  readonly code: 'full' | 'write' | 'sync' | 'corrupt'

  constructor(code: JournalError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** One file of fixed size. `write` is all or an error; `sync` covers what was written before the call. */
export interface JournalDisk {
  readonly size: number
  write(bytes: Uint8Array, at: number): void
  sync(done: (error: Error | null) => void): void
  read(into: Uint8Array, at: number): void
}

/** What the two threads tell each other, in shared memory, so that nobody is woken for it. */
export class JournalMarks {
  readonly #cells: BigInt64Array

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(3 * 8)) {
    this.#cells = new BigInt64Array(buffer)
  }

  get buffer(): SharedArrayBuffer {
    return this.#cells.buffer as SharedArrayBuffer
  }

  /** Number of the last batch that the kernel has. Set by the gate. */
  get written(): number {
    return Number(Atomics.load(this.#cells, 0))
  }

  set written(batch: number) {
    Atomics.store(this.#cells, 0, BigInt(batch))
  }

  /** Number of the last batch that is durable in the book. Set by the recorder's thread. */
  get drained(): number {
    return Number(Atomics.load(this.#cells, 1))
  }

  set drained(batch: number) {
    Atomics.store(this.#cells, 1, BigInt(batch))
  }

  /** Where in the endless stream that the ring is a window of the drained part ends. */
  get freed(): number {
    return Number(Atomics.load(this.#cells, 2))
  }

  set freed(offset: number) {
    Atomics.store(this.#cells, 2, BigInt(offset))
  }
}

/** A ciphertext that this entry is the first to name, by its place in the leaf's `ref`. */
export interface Carried {
  readonly ref: number
  readonly bytes: Uint8Array
}

export interface Entry {
  /** A leaf's members in canonical form, without what only the book can give; a character for each byte. */
  readonly members: string
  readonly carried: readonly Carried[]
}

const padded = (length: number): number => Math.ceil(length / SECTOR) * SECTOR

/** Where the batch after `offset` of `length` bytes starts: a batch never wraps, it skips to the ring's start. */
function place(offset: number, length: number, size: number): number {
  const left = size - (offset % size)
  return padded(length) > left ? offset + left : offset
}

/** The batch being filled, and the ring it goes to. Owned by the gate's thread. */
export class JournalRing {
  readonly #disk: JournalDisk
  readonly #marks: JournalMarks
  #buffer = Buffer.allocUnsafe(64 << 10)
  #length = HEADER
  #entries = 0
  #number: number
  #offset = 0
  #durable: number

  /** `last` is the highest number that was ever used in this file. */
  constructor(disk: JournalDisk, marks: JournalMarks, last: number) {
    this.#disk = disk
    this.#marks = marks
    this.#number = last + 1
    this.#durable = last
    marks.written = last
    marks.drained = last
    marks.freed = 0
  }

  /** Number of the batch that the next entry goes into. */
  get open(): number {
    return this.#number
  }

  get isEmpty(): boolean {
    return this.#entries === 0
  }

  /** Bytes that the recorder's thread has not yet drained. */
  get backlog(): number {
    return this.#offset - this.#marks.freed
  }

  set durable(batch: number) {
    this.#durable = batch
  }

  /** Whether an entry that carries `bytes` fits behind the open batch and leaves the reserved share free. */
  hasRoom(bytes: number): boolean {
    const { size } = this.#disk
    const length = HEADER + MEMBERS_MAX + bytes
    const behind = place(this.#offset, this.#length, size) + padded(this.#length)
    const end = place(behind, length, size) + padded(length)
    return end - this.#marks.freed <= size * (1 - RESERVED_SHARE)
  }

  /** Adds an entry to the open batch and says which batch that is. Writes the batch before, if this one is full. */
  append(members: string, carried: readonly Carried[]): number {
    let length = 2 + members.length + 1
    for (const part of carried) length += 5 + part.bytes.length
    if (members.length > MEMBERS_MAX) throw new RangeError(`a leaf of ${members.length} bytes`)
    if (carried.length > CARRIED_MAX) throw new RangeError(`${carried.length} payloads in one record`)
    if (
      this.#entries === BATCH_ENTRIES_MAX ||
      (this.#entries > 0 && this.#length + length > BATCH_BYTES_MAX)
    ) {
      this.write()
    }
    this.#reserve(padded(this.#length + length))
    const buffer = this.#buffer
    let at = buffer.writeUInt16BE(members.length, this.#length)
    // Members are printable ASCII by the format: one byte a character.
    at += buffer.write(members, at, 'latin1')
    at = buffer.writeUInt8(carried.length, at)
    for (const part of carried) {
      at = buffer.writeUInt8(part.ref, at)
      at = buffer.writeUInt32BE(part.bytes.length, at)
      buffer.set(part.bytes, at)
      at += part.bytes.length
    }
    this.#length = at
    this.#entries++
    return this.#number
  }

  /** Hands the open batch to the kernel. */
  write(): void {
    if (this.#entries === 0) return
    const size = this.#disk.size
    const start = place(this.#offset, this.#length, size)
    const end = start + padded(this.#length)
    if (end - this.#marks.freed > size) {
      throw new JournalError('full', `the journal's ${size} bytes are full: the book does not keep up`)
    }
    // No byte of what stood there before is left between two batches: it may be of something erased.
    if (start > this.#offset) this.#disk.write(Buffer.alloc(start - this.#offset), this.#offset % size)
    this.#buffer.fill(0, this.#length, end - start)
    const batch = this.#buffer.subarray(0, this.#length)
    batch.writeUInt32BE(this.#length, 0)
    batch.writeBigUInt64BE(BigInt(this.#number), 8)
    batch.writeBigUInt64BE(BigInt(this.#durable), 16)
    batch.writeUInt32BE(crc32(batch.subarray(8)), 4)
    this.#disk.write(this.#buffer.subarray(0, end - start), start % size)
    // Only now: the other thread reads as far as this says.
    this.#marks.written = this.#number
    this.#number++
    this.#offset = end
    this.#entries = 0
    this.#length = HEADER
    if (this.#buffer.length > BATCH_BYTES_MAX * 2) this.#buffer = Buffer.allocUnsafe(64 << 10)
  }

  /** Writes zeros over a part of the free space from `from` on; returns where to go on, or nothing at the end. */
  scrub(from: number): number | undefined {
    const { size } = this.#disk
    const start = Math.max(from, this.#offset)
    const end = this.#marks.freed + size
    if (start >= end) return undefined
    const length = Math.min(SCRUB_BYTES, end - start, size - (start % size))
    this.#disk.write(Buffer.alloc(length), start % size)
    return start + length
  }

  #reserve(length: number): void {
    if (length <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(length, this.#buffer.length * 2))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}

export interface Batch {
  readonly number: number
  readonly durable: number
  readonly bytes: Buffer
  /** Offset in the endless stream behind this batch. */
  readonly end: number
}

/** Follows the ring behind its writer. Owned by the recorder's thread. */
export class JournalTail {
  readonly #disk: JournalDisk
  readonly #marks: JournalMarks
  #next: number
  #offset = 0
  /** A piece of the ring as it was when `#through` was the last batch written: behind that it says nothing. */
  #piece = Buffer.alloc(0)
  #pieceAt = 0
  #through: number
  #ahead = READ_BYTES_MIN

  constructor(disk: JournalDisk, marks: JournalMarks, last: number) {
    this.#disk = disk
    this.#marks = marks
    this.#next = last + 1
    this.#through = last
  }

  get behind(): number {
    return this.#marks.written - this.#next + 1
  }

  /** The next batch that the kernel has, or nothing. A batch that is not what was written is our corruption. */
  next(): Batch | undefined {
    if (this.#next > this.#marks.written) {
      this.#ahead = READ_BYTES_MIN
      return undefined
    }
    const { size } = this.#disk
    const at = this.#offset % size
    let batch = this.#readAt(this.#offset)
    if (batch === undefined && at !== 0) batch = this.#readAt(this.#offset + size - at)
    if (batch === undefined) {
      throw new JournalError('corrupt', `batch ${this.#next} is not where it was written, at byte ${at}`)
    }
    this.#next++
    this.#offset = batch.end
    return batch
  }

  /** Gives back the space of `batch` and of all before it, once they are durable in the book. */
  free(batch: Batch): void {
    this.#marks.drained = batch.number
    this.#marks.freed = batch.end
  }

  #readAt(offset: number): Batch | undefined {
    const at = offset % this.#disk.size
    if (this.#disk.size - at < SECTOR) return undefined
    const header = this.#read(at, HEADER)
    const length = header.readUInt32BE(0)
    if (Number(header.readBigUInt64BE(8)) !== this.#next) return undefined
    if (length < HEADER || length > this.#disk.size - at) return undefined
    const bytes = this.#read(at, length)
    if (crc32(bytes.subarray(8)) !== bytes.readUInt32BE(4)) return undefined
    return {
      number: this.#next,
      durable: Number(bytes.readBigUInt64BE(16)),
      bytes,
      end: offset + padded(length),
    }
  }

  /** Bytes of the next batch, from the piece at hand where it has them. */
  #read(at: number, length: number): Buffer {
    const from = at - this.#pieceAt
    const isThere = from >= 0 && from + length <= this.#piece.length && this.#next <= this.#through
    if (isThere) return this.#piece.subarray(from, from + length)
    // In this order: what is written while the piece is read may be in it by half.
    this.#through = this.#marks.written
    // A piece of its own each time: entries, and what a commit keeps of them, are views of it.
    this.#piece = Buffer.allocUnsafeSlow(Math.max(length, Math.min(this.#ahead, this.#disk.size - at)))
    this.#pieceAt = at
    this.#disk.read(this.#piece, at)
    this.#ahead = Math.min(2 * this.#ahead, READ_BYTES_MAX)
    return this.#piece.subarray(0, length)
  }
}

/** The entries of a batch whose CRC held. What does not decode then is our own mistake. */
export function decodeEntries(batch: Buffer): Entry[] {
  const entries: Entry[] = []
  let at = HEADER
  while (at < batch.length) {
    const length = batch.readUInt16BE(at)
    const members = batch.toString('latin1', at + 2, at + 2 + length)
    at += 2 + length
    const count = batch.readUInt8(at++)
    const carried: Carried[] = []
    for (let k = 0; k < count; k++) {
      const ref = batch.readUInt8(at)
      const bytes = batch.readUInt32BE(at + 1)
      at += 5
      if (at + bytes > batch.length) throw new JournalError('corrupt', 'an entry reaches beyond its batch')
      carried.push({ ref, bytes: batch.subarray(at, at + bytes) })
      at += bytes
    }
    entries.push({ members, carried })
  }
  return entries
}

/** What a journal holds after its process died, from batch `drained` + 1 on. */
export interface Judgement {
  /** Intact and without holes: to be drained, in this order. */
  readonly batches: readonly Batch[]
  /** Numbers that were called durable and are missing or bad. Not empty: damage, never a torn tail. */
  readonly missing: readonly number[]
  /** The highest number seen in any intact batch, at least `drained`. Numbers go on behind it. */
  readonly highest: number
}

/** Judges a journal's bytes. What stands above the last number called durable may be torn; below, it may not. */
export function judgeJournal(journal: Buffer, drained: number): Judgement {
  const found = new Map<number, Batch>()
  // The ring cannot hold more batches than sectors: a higher number is no header of ours.
  const above = drained + journal.length / SECTOR
  let durable = drained
  let highest = drained
  for (let at = 0; at + HEADER <= journal.length; ) {
    const length = journal.readUInt32BE(at)
    const number = Number(journal.readBigUInt64BE(at + 8))
    const fits = length >= HEADER && length <= journal.length - at && number > drained && number <= above
    const bytes = fits ? journal.subarray(at, at + length) : undefined
    if (bytes === undefined || crc32(bytes.subarray(8)) !== bytes.readUInt32BE(4)) {
      at += SECTOR
      continue
    }
    const claim = Number(bytes.readBigUInt64BE(16))
    found.set(number, { number, durable: claim, bytes, end: 0 })
    durable = Math.max(durable, claim)
    highest = Math.max(highest, number)
    at += padded(length)
  }
  const batches: Batch[] = []
  for (let number = drained + 1; ; number++) {
    const batch = found.get(number)
    if (batch === undefined) break
    batches.push(batch)
  }
  const missing: number[] = []
  for (let number = drained + batches.length + 1; number <= durable; number++) {
    if (!found.has(number)) missing.push(number)
  }
  return { batches, missing, highest }
}
