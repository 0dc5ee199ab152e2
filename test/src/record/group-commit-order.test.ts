import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DURABLE_WITHIN_MS, type Mark, type Reach } from '../../../src/record/group-commit.ts'
import { CommitBench } from '../../support/commit-bench.ts'

test('whatever the order of things: who is told is on disk, is told once, and in order', () => {
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant('put' as const),
        reach: fc.constantFrom(undefined, 'written' as const, 'durable' as const),
      }),
    },
    { weight: 2, arbitrary: fc.constant({ type: 'put off' as const }) },
    { weight: 3, arbitrary: fc.constant({ type: 'turn' as const }) },
    { weight: 2, arbitrary: fc.constant({ type: 'end' as const }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('pass' as const), ms: fc.nat(200) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('drain' as const) }) },
  )
  const ending = fc.constantFrom(
    'none' as const,
    'sync before' as const,
    'sync after' as const,
    'write' as const,
    'close' as const,
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), ending, (steps, end) => {
      const bench = new CommitBench()
      const waiting = new Map<number, { mark: Mark; reach: Reach }>()
      const told: { id: number; error: boolean }[] = []
      const endSync = (how: 'done' | 'failed before' | 'failed after' = 'done'): void => {
        if (bench.disk.isSyncing) bench.disk.endSync(how)
      }
      let failing = false
      let id = 0
      const put = (reach: Reach | undefined): void => {
        const mark = bench.put(`${id}`)
        if (reach === undefined) return
        const mine = id++
        waiting.set(mine, { mark, reach })
        bench.log.when(mark, reach, (error) => {
          told.push({ id: mine, error: error !== undefined })
          if (error === undefined && reach === 'durable') expect(bench.surviving).toContain(mark)
          if (error === undefined && reach === 'written')
            expect(bench.marks.written).toBeGreaterThanOrEqual(mark)
          expect(error !== undefined).toBe(failing)
        })
      }
      for (const one of steps) {
        if (one.type === 'put') put(one.reach)
        else if (one.type === 'put off') bench.putOff('later')
        else if (one.type === 'turn') bench.schedule.turn()
        else if (one.type === 'pass') bench.schedule.pass(one.ms)
        else if (one.type === 'end') endSync()
        else {
          const batch = bench.tail.next()
          if (batch !== undefined) bench.tail.free(batch)
        }
      }
      if (end === 'none') {
        for (let k = 0; k < 5; k++) {
          bench.schedule.turn()
          bench.schedule.pass(DURABLE_WITHIN_MS)
          endSync()
        }
        expect(bench.surviving.at(-1) ?? 0, 'all is durable in the end').toBe(bench.marks.written)
        expect(told.filter(({ error }) => error)).toEqual([])
      } else {
        put('durable')
        if (end !== 'write') bench.schedule.turn()
        failing = true
        if (end === 'close') bench.log.close(new Error('store'))
        else if (end === 'write') {
          bench.disk.failWrite = 'short'
          bench.schedule.turn()
        } else bench.disk.endSync(end === 'sync before' ? 'failed before' : 'failed after')
        const { syncs } = bench.disk
        bench.schedule.turn()
        bench.schedule.pass(1000)
        expect(bench.disk.syncs).toBe(syncs)
      }
      expect(new Set(told.map((one) => one.id)).size, 'once').toBe(told.length)
      expect(told.length, 'everybody').toBe(waiting.size)
      for (const reach of ['written', 'durable'] as const) {
        const order = told.filter((one) => waiting.get(one.id)?.reach === reach).map((one) => one.id)
        expect(order, 'in order').toEqual(order.toSorted((a, b) => a - b))
      }
    }),
    { numRuns: 200 },
  )
})
