import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Batch, judgeJournal, SECTOR } from '../../../src/book/journal.ts'
import { type Journal, judged, openJournal, put } from '../../support/journals.ts'

describe('after a crash', () => {
  /** Three batches known durable, and two behind them that nothing calls so. */
  function crashed(): Journal {
    const journal = openJournal(16 << 10, 100)
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
    const older = openJournal(16 << 10)
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

    const next = openJournal(16 << 10, 105, disk)
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
