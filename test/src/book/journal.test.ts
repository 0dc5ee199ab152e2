import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import {
  BATCH_BYTES_MAX,
  BATCH_ENTRIES_MAX,
  type Batch,
  type Carried,
  decodeEntries,
  SECTOR,
} from '../../../src/book/journal.ts'
import { isZero, namesOf, openJournal, put } from '../../support/journals.ts'

describe('a batch', () => {
  test('is read as it was appended, entry by entry, with its payloads', () => {
    const journal = openJournal(64 << 10)
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
    const journal = openJournal(8 << 10, 41)
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
    const journal = openJournal(1 << 20)
    for (let k = 0; k < BATCH_ENTRIES_MAX; k++) expect(put(journal, `${k}`)).toBe(1)
    expect(put(journal, 'next')).toBe(2)
    expect(namesOf(journal.tail.next() as Batch)).toHaveLength(512)
  })

  test('ends before 4 MiB, unless one record alone is larger', () => {
    const journal = openJournal(32 << 20)
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
    const { ring } = openJournal(64 << 10)
    expect(() => ring.append('x'.repeat(16_385), [])).toThrow(RangeError)
    const carried = Array.from({ length: 65 }, (_, ref) => ({ ref, bytes: Buffer.alloc(33) }))
    expect(() => ring.append('{}', carried)).toThrow(RangeError)
    expect(ring.isEmpty, 'nothing of them is in the batch').toBe(true)
  })

  test('leaves nothing of what stood there before behind its end', () => {
    const journal = openJournal(4 << 10)
    journal.disk.bytes.fill(0xee)
    put(journal, 'short')
    journal.ring.write()
    expect(isZero(journal.disk.bytes.subarray(36, SECTOR))).toBe(true)
  })
})

test('an entry that reaches beyond its batch is refused', () => {
  const journal = openJournal(4 << 10)
  put(journal, 'a', 100)
  journal.ring.write()
  const { bytes } = journal.tail.next() as Batch
  for (let length = 25; length < bytes.length; length++) {
    expect(() => decodeEntries(bytes.subarray(0, length)), `cut at ${length}`).toThrow()
  }
})
