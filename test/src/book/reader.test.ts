import { expect, test } from 'vitest'
import { readHeadNote, readLeafBytes, readLeaves } from '../../../src/book/reader.ts'
import { newBook } from '../../support/recorder.ts'
import { heartbeats, openStore } from '../../support/store.ts'

test('records are read from any index on, whatever commit it lies in, to the end as it is then', () => {
  using open = openStore(newBook())
  const { db } = open.book
  for (let k = 0; k < 150; k++) open.store.append(heartbeats((k % 3) + 1))
  open.store.append(heartbeats(512))
  const size = open.store.head.size
  for (const from of [0, 1, 2, 3, 150, 299, 300, 301, 811, size - 1, size, size + 1, size + 600]) {
    const all = Array.from(readLeaves(db, from), ({ seq }) => seq)
    expect(all, `from ${from}`).toEqual(Array.from({ length: Math.max(0, size - from) }, (_, k) => from + k))
  }

  const reading = readLeafBytes(db, size - 1)
  expect(reading.next().value?.[0]).toBe(size - 1)
  open.store.append(heartbeats(2))
  expect(
    [...reading].map(([seq]) => seq),
    'what was appended meanwhile is there, too',
  ).toEqual([size, size + 1])
  expect(readHeadNote(db)).toBe(open.store.head.note)
})
