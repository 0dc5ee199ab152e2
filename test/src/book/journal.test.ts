import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  BATCH_BYTES_MAX,
  BATCH_ENTRIES_MAX,
  type Batch,
  type Carried,
  decodeEntries,
  JournalError,
  JournalMarks,
  JournalRing,
  JournalTail,
  judgeJournal,
  SECTOR,
} from '../../../src/book/journal.ts'
import { FakeDisk } from '../../support/disk.ts'

interface Journal {
  readonly disk: FakeDisk
  readonly marks: JournalMarks
  readonly ring: JournalRing
  readonly tail: JournalTail
}

function open(size: number, last = 0, disk = new FakeDisk(size)): Journal {
  const marks = new JournalMarks()
  const ring = new JournalRing(disk, marks, last)
  return { disk, marks, ring, tail: new JournalTail(disk, marks, last) }
}

/** An entry whose text tells which one it is. */
function put({ ring }: Journal, name: string, bytes = 0): number {
  const carried: Carried[] = bytes === 0 ? [] : [{ ref: 0, bytes: Buffer.alloc(bytes, name) }]
  return ring.append(`{"${name}"}`, carried)
}

const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0)

const namesOf = (batch: Batch): string[] =>
  decodeEntries(batch.bytes).map(({ members }) => members.slice(2, -2))

/** All of `batches`, a list of names each. */
const judged = (disk: FakeDisk, drained: number) => {
  const { batches, missing, highest } = judgeJournal(disk.bytes, drained)
  return { batches: batches.map(namesOf), missing, highest }
}

describe('a batch', () => {
  test('is read as it was appended, entry by entry, with its payloads', () => {
    const journal = open(64 << 10)
    const one: Carried[] = [
      { ref: 3, bytes: Buffer.from('first ciphertext') },
      { ref: 0, bytes: Buffer.alloc(0) },
      { ref: 255, bytes: Buffer.alloc(70_000 % 4096, 0xff) },
    ]
    expect(journal.ring.append('{"kind":"a"}', one)).toBe(1)
    expect(journal.ring.append('', [])).toBe(1)
    expect(journal.tail.next(), 'nothing before the kernel has it').toBeUndefined()

    journal.ring.write()

    const batch = journal.tail.next()
    expect(batch?.number).toBe(1)
    expect(decodeEntries(batch?.bytes ?? Buffer.alloc(0))).toEqual([
      { members: '{"kind":"a"}', carried: one },
      { members: '', carried: [] },
    ])
    expect(journal.tail.next()).toBeUndefined()
  })

  test('stands at a multiple of 512 bytes: length, CRC-32, number, last number known durable, entries', () => {
    const journal = open(8 << 10, 41)
    put(journal, 'one')
    journal.ring.write()
    journal.ring.durable = 42
    put(journal, 'two')
    journal.ring.write()

    const second = journal.disk.bytes.subarray(SECTOR, SECTOR + 24 + 2 + 7 + 1)
    expect(second.readUInt32BE(0)).toBe(second.length)
    expect(second.readUInt32BE(4)).toBe(crc32(second.subarray(8)))
    expect(second.readBigUInt64BE(8)).toBe(43n)
    expect(second.readBigUInt64BE(16)).toBe(42n)
    expect(second.subarray(24).toString('latin1')).toBe('\0\x07{"two"}\0')
  })

  test('ends after 512 entries', () => {
    const journal = open(1 << 20)
    for (let k = 0; k < BATCH_ENTRIES_MAX; k++) expect(put(journal, `${k}`)).toBe(1)
    expect(put(journal, 'next')).toBe(2)
    expect(namesOf(journal.tail.next() as Batch)).toHaveLength(512)
  })

  test('ends before 4 MiB, unless one record alone is larger', () => {
    const journal = open(32 << 20)
    expect(put(journal, 'a', 2 << 20)).toBe(1)
    expect(put(journal, 'b', BATCH_BYTES_MAX - (2 << 20) - 24 - 2 * 13)).toBe(1)
    expect(put(journal, 'c'), 'not one byte more').toBe(2)
    expect(put(journal, 'd', 6 << 20)).toBe(3)
    expect(put(journal, 'e')).toBe(4)
    journal.ring.write()
    const seen = [1, 2, 3, 4].map(() => namesOf(journal.tail.next() as Batch))
    expect(seen).toEqual([['a', 'b'], ['c'], ['d'], ['e']])
  })

  test('takes no leaf longer than a leaf may be, and no more payloads than a record may name', () => {
    const { ring } = open(64 << 10)
    expect(() => ring.append('x'.repeat(16_385), [])).toThrow(RangeError)
    const carried = Array.from({ length: 65 }, (_, ref) => ({ ref, bytes: Buffer.alloc(33) }))
    expect(() => ring.append('{}', carried)).toThrow(RangeError)
    expect(ring.isEmpty, 'nothing of them is in the batch').toBe(true)
  })

  test('leaves nothing of what stood there before behind its end', () => {
    const journal = open(4 << 10)
    journal.disk.bytes.fill(0xee)
    put(journal, 'short')
    journal.ring.write()
    expect(isZero(journal.disk.bytes.subarray(36, SECTOR))).toBe(true)
  })
})

describe('the ring', () => {
  test('skips to its start when a batch does not fit at its end, and leaves zeros there', () => {
    const journal = open(4 << 10)
    journal.disk.bytes.fill(0xee)
    for (const name of ['a', 'b', 'c']) {
      put(journal, name, 900)
      journal.ring.write()
      journal.tail.free(journal.tail.next() as Batch)
    }
    expect(journal.disk.writes.map(({ at }) => at)).toEqual([0, 1024, 2048])
    put(journal, 'd', 1800)
    journal.ring.write()
    expect(isZero(journal.disk.bytes.subarray(3072))).toBe(true)
    const batch = journal.tail.next() as Batch
    expect([namesOf(batch), batch.end]).toEqual([['d'], 4096 + 2048])
  })

  test('is full when the next batch would lie on one that is not drained, and writes none of it', () => {
    const journal = open(4 << 10)
    for (const name of ['a', 'b', 'c', 'd']) {
      put(journal, name, 900)
      journal.ring.write()
    }
    const before = Buffer.from(journal.disk.bytes)
    // One sector would do, and there is none.
    put(journal, 'e', 400)
    expect(() => journal.ring.write()).toThrow(
      expect.objectContaining({ name: 'JournalError', code: 'full' }),
    )
    expect(journal.disk.bytes).toEqual(before)
    expect(journal.marks.written).toBe(4)

    journal.tail.free(journal.tail.next() as Batch)
    journal.ring.write()
    expect(judged(journal.disk, 1)).toEqual({
      batches: [['b'], ['c'], ['d'], ['e']],
      missing: [],
      highest: 5,
    })
  })

  test('gives back nothing but what it was given, whatever the order of writing and draining', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ type: fc.constant('put' as const), bytes: fc.nat(3000) }) },
      { weight: 2, arbitrary: fc.constant({ type: 'write' as const }) },
      { weight: 2, arbitrary: fc.constant({ type: 'read' as const }) },
      { weight: 2, arbitrary: fc.constant({ type: 'free' as const }) },
      { weight: 1, arbitrary: fc.constant({ type: 'sync' as const }) },
    )
    const run = fc.record({
      sectors: fc.integer({ min: 8, max: 24 }),
      last: fc.constantFrom(0, 7, 2 ** 32 + 5),
      steps: fc.array(step, { maxLength: 120 }),
    })
    fc.assert(
      fc.property(run, ({ sectors, last, steps }) => {
        const journal = open(sectors * SECTOR, last)
        const { ring, tail, marks, disk } = journal
        const written: string[][] = []
        let batch: string[] = []
        let read: Batch[] = []
        let count = 0
        let drained = 0
        const drain = (): void => {
          for (let next = tail.next(); next !== undefined; next = tail.next()) read.push(next)
          const done = read.at(-1)
          if (done === undefined) return
          tail.free(done)
          drained = done.number - last
          read = []
        }
        /** Where the ring is full, it is drained; false: the batch fits no ring of this size. */
        const write = (): boolean => {
          for (let tries = 0; ; tries++) {
            try {
              ring.write()
              break
            } catch (error) {
              expect(error).toBeInstanceOf(JournalError)
              expect(judged(disk, last + drained).batches).toEqual(written.slice(drained))
              if (tries === 1) return false
              drain()
            }
          }
          if (batch.length > 0) written.push(batch)
          batch = []
          return true
        }
        for (const one of steps) {
          if (one.type === 'put') {
            put(journal, `${count}`, one.bytes)
            batch.push(`${count++}`)
            // A batch that can never fit would end the run here.
            if (batch.length === 2 && !write()) break
          } else if (one.type === 'write') {
            if (!write()) break
          } else if (one.type === 'sync') ring.durable = marks.written
          else if (one.type === 'read') {
            const next = tail.next()
            if (next === undefined) continue
            expect(namesOf(next)).toEqual(written[next.number - last - 1])
            read.push(next)
          } else {
            const done = read.at(-1)
            if (done === undefined) continue
            tail.free(done)
            drained = done.number - last
            read = []
          }
          // At every moment a crash would find exactly what is written and not drained.
          expect(judged(disk, last + drained)).toEqual({
            batches: written.slice(drained),
            missing: [],
            highest: last + written.length,
          })
        }
      }),
      { numRuns: 150 },
    )
  })

  test('says corrupt, and not nothing, when a batch is not what was written', () => {
    const journal = open(4 << 10)
    put(journal, 'a', 600)
    journal.ring.write()
    const at = 700
    journal.disk.bytes.writeUInt8(journal.disk.bytes.readUInt8(at - 100) ^ 1, at - 100)
    expect(() => journal.tail.next()).toThrow(expect.objectContaining({ code: 'corrupt' }))
  })

  test.each(['before', 'after', 'short'] as const)(
    'does not count a batch whose write failed %s its effect',
    (when) => {
      const journal = open(8 << 10)
      put(journal, 'a', 600)
      journal.ring.write()
      put(journal, 'b', 600)
      journal.disk.failWrite = when
      expect(() => journal.ring.write()).toThrow('EIO')
      expect(journal.marks.written).toBe(1)
      expect(namesOf(journal.tail.next() as Batch)).toEqual(['a'])
      expect(journal.tail.next()).toBeUndefined()
    },
  )
})

describe('scrubbing', () => {
  test('leaves nothing of what is drained, and all of what is not', () => {
    const steps = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 2500 }), drain: fc.boolean() }), {
      minLength: 1,
      maxLength: 40,
    })
    fc.assert(
      fc.property(steps, (all) => {
        const journal = open(16 * SECTOR)
        const live: string[][] = []
        let last = 0
        for (const [k, { bytes, drain }] of all.entries()) {
          const name = `n${k}`
          journal.ring.append(`{"${name}"}`, [{ ref: 0, bytes: Buffer.alloc(bytes, `${name};`) }])
          try {
            journal.ring.write()
          } catch {
            break
          }
          live.push([name])
          if (!drain) continue
          for (let next = journal.tail.next(); next !== undefined; next = journal.tail.next()) {
            journal.tail.free(next)
            last = next.number
            live.shift()
          }
        }
        for (let from: number | undefined = 0; from !== undefined; ) from = journal.ring.scrub(from)

        expect(judged(journal.disk, last).batches).toEqual(live)
        const left = new Set(journal.disk.bytes.toString('latin1').match(/n\d+(?=;)/g) ?? [])
        expect([...left].filter((name) => !live.some(([one]) => one === name))).toEqual([])
      }),
    )
  })

  test('goes on in pieces while batches are written between them', () => {
    const journal = open(4 << 20)
    journal.disk.bytes.fill(0xee)
    let from = journal.ring.scrub(0)
    expect(from).toBe(1 << 20)
    put(journal, 'a', (2 << 20) + 100)
    journal.ring.write()
    while (from !== undefined) from = journal.ring.scrub(from)
    expect(judged(journal.disk, 0).batches).toEqual([['a']])
    expect(journal.disk.bytes.indexOf(Buffer.alloc(8, 0xee))).toBe(-1)
  })
})

describe('after a crash', () => {
  /** Three batches known durable, and two behind them that nothing calls so. */
  function crashed(): Journal {
    const journal = open(16 << 10, 100)
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      if (name === 'd') journal.ring.durable = 103
      put(journal, name, 700)
      journal.ring.write()
    }
    return journal
  }
  const batchBytes = 1024
  const used = 24 + 2 + 5 + 1 + 5 + 700

  test('what is intact and without holes is taken', () => {
    const all = [['a'], ['b'], ['c'], ['d'], ['e']]
    expect(judged(crashed().disk, 100)).toEqual({ batches: all, missing: [], highest: 105 })
    expect(judged(crashed().disk, 103)).toEqual({ batches: all.slice(3), missing: [], highest: 105 })
    expect(judged(crashed().disk, 105)).toEqual({ batches: [], missing: [], highest: 105 })
  })

  test('a tail torn at any byte is cut, and no more than that', () => {
    for (let cut = 0; cut < used; cut++) {
      const { disk } = crashed()
      const at = 4 * batchBytes
      disk.bytes.fill(0, at + cut, at + used)
      expect(judged(disk, 100)).toEqual({
        batches: [['a'], ['b'], ['c'], ['d']],
        missing: [],
        // Where only the header's end is left of it, nobody can tell its number.
        highest: 104,
      })
    }
  })

  test('a tail torn at any byte over older batches is cut just the same', () => {
    const older = open(16 << 10)
    for (let k = 0; k < 16; k++) {
      put(older, `old${k}`, 700)
      older.ring.write()
      older.tail.free(older.tail.next() as Batch)
    }
    for (let cut = 0; cut < used; cut += 7) {
      const { disk } = crashed()
      const at = 4 * batchBytes
      older.disk.bytes.copy(disk.bytes, at + cut, at + cut)
      expect(judged(disk, 100).batches).toEqual([['a'], ['b'], ['c'], ['d']])
    }
  })

  test('a changed byte anywhere in a durable batch is damage, named by its number', () => {
    for (let at = batchBytes; at < batchBytes + used; at++) {
      const { disk } = crashed()
      disk.bytes.writeUInt8(disk.bytes.readUInt8(at) ^ 0x10, at)
      expect(judged(disk, 100)).toEqual({ batches: [['a']], missing: [102], highest: 105 })
    }
  })

  test('a torn tail before an intact batch cuts that one too, and its number is not used again', () => {
    const { disk } = crashed()
    disk.bytes.fill(0, 3 * batchBytes, 3 * batchBytes + 100)
    expect(judged(disk, 100)).toEqual({ batches: [['a'], ['b'], ['c']], missing: [], highest: 105 })

    const next = open(16 << 10, 105, disk)
    put(next, 'f', 700)
    next.ring.write()
    expect(judged(disk, 105)).toEqual({ batches: [['f']], missing: [], highest: 106 })
  })

  test('an empty or foreign file holds nothing', () => {
    expect(judgeJournal(Buffer.alloc(8192), 5)).toEqual({ batches: [], missing: [], highest: 5 })
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), fc.nat(1000), (bytes, drained) => {
        expect(judgeJournal(Buffer.from(bytes), drained)).toEqual({
          batches: [],
          missing: [],
          highest: drained,
        })
      }),
    )
  })

  test('a number that the ring cannot have reached is not believed', () => {
    const { disk } = crashed()
    const far = 100 + disk.size / SECTOR + 1
    const header = disk.bytes.subarray(4 * batchBytes, 4 * batchBytes + used)
    header.writeBigUInt64BE(BigInt(far), 8)
    header.writeUInt32BE(crc32(header.subarray(8)), 4)
    expect(judged(disk, 100)).toEqual({ batches: [['a'], ['b'], ['c'], ['d']], missing: [], highest: 104 })
  })
})

test('an entry that reaches beyond its batch is refused', () => {
  const journal = open(4 << 10)
  put(journal, 'a', 100)
  journal.ring.write()
  const { bytes } = journal.tail.next() as Batch
  for (let length = 25; length < bytes.length; length++) {
    expect(() => decodeEntries(bytes.subarray(0, length)), `cut at ${length}`).toThrow()
  }
})
