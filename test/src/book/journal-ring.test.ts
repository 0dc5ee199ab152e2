import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Batch, JournalError, SECTOR } from '../../../src/book/journal.ts'
import { isZero, judged, namesOf, openJournal, put } from '../../support/journals.ts'

describe('the ring', () => {
  test('skips to its start when a batch does not fit at its end, and leaves zeros there', () => {
    const journal = openJournal(4 << 10)
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
    const journal = openJournal(4 << 10)
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
        const journal = openJournal(sectors * SECTOR, last)
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
    const journal = openJournal(4 << 10)
    put(journal, 'a', 600)
    journal.ring.write()
    const at = 700
    journal.disk.bytes.writeUInt8(journal.disk.bytes.readUInt8(at - 100) ^ 1, at - 100)
    expect(() => journal.tail.next()).toThrow(expect.objectContaining({ code: 'corrupt' }))
  })

  test.each(['before', 'after', 'short'] as const)(
    'does not count a batch whose write failed %s its effect',
    (when) => {
      const journal = openJournal(8 << 10)
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
        const journal = openJournal(16 * SECTOR)
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
    const journal = openJournal(4 << 20)
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
