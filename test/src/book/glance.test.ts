import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeLeaf } from '../../../src/book/entry.ts'
import { parseLeaf } from '../../../src/book/format.ts'
import { glanceLeaf } from '../../../src/book/glance.ts'
import { anyRecord, recordOf } from '../../support/leaves.ts'

describe('at a glance', () => {
  test('a record says what it says to the strict reader', () => {
    const record = fc.oneof(recordOf('op'), anyRecord)
    fc.assert(
      fc.property(record, ({ members, place }) => {
        const bytes = encodeLeaf(members, place)
        expect(glanceLeaf(bytes)).toEqual(parseLeaf(bytes))
      }),
      { numRuns: 1000 },
    )
  })

  test('an operation that is cut off or has bytes behind it is refused', () => {
    fc.assert(
      fc.property(recordOf('op'), fc.nat(), ({ members, place }, cut) => {
        const bytes = Buffer.from(encodeLeaf(members, place))
        expect(() => glanceLeaf(bytes.subarray(0, cut % bytes.length))).toThrow()
        expect(() => glanceLeaf(Buffer.concat([bytes, bytes]))).toThrow()
      }),
      { numRuns: 300 },
    )
  })
})
