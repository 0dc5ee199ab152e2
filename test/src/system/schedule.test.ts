import { expect, test } from 'vitest'
import { systemSchedule } from '../../../src/system/schedule.ts'

test('things happen when they were asked for, unless they were taken back', async () => {
  const seen: string[] = []
  systemSchedule.soon(() => seen.push('soon'))
  systemSchedule.after(20, () => seen.push('later'))
  const takeBack = systemSchedule.after(10, () => seen.push('never'))
  takeBack()
  expect(seen).toEqual([])
  await new Promise((resolve) => setTimeout(resolve, 40))
  expect(seen).toEqual(['soon', 'later'])
})
