import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Gaps, readGap, TARGETS_MAX } from '../../../src/record/gap.ts'
import { checkBook } from '../../support/check-book.ts'
import { crashed, newBook, startBookkeeper, temporaryFolder } from '../../support/recorder.ts'
import { HandSchedule } from '../../support/schedule.ts'

function open(): {
  gaps: Gaps
  schedule: HandSchedule
  path: string
  clock: { now: number }
  ballast: string
  file: () => unknown
} {
  const folder = temporaryFolder()
  const [path, ballast] = [join(folder, 'gap.json'), join(folder, 'ballast')]
  const schedule = new HandSchedule()
  const clock = { now: 1_000_000 }
  const gaps = new Gaps({ path, ballast, now: () => clock.now, schedule })
  const file = (): unknown => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined)
  return { gaps, schedule, path, clock, ballast, file }
}

const written = async (done: () => boolean): Promise<void> => {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 1))
}

describe('operations that pass unrecorded', () => {
  test('are on disk at once with the first, then every second, each under its target', async () => {
    const { gaps, schedule, clock, file } = open()
    gaps.begin(0)
    expect([file(), schedule.timers], 'nothing has passed yet').toEqual([undefined, 0])
    clock.now = 1_500_000
    gaps.count('orders')
    gaps.count('orders')
    await written(() => schedule.timers === 1)
    expect(file()).toEqual({ from: 1_000_000, to: 1_500_000, ended: false, ops: { orders: 1 } })

    gaps.count('billing')
    clock.now = 2_500_000
    schedule.pass(999)
    expect(file()).toMatchObject({ to: 1_500_000 })
    schedule.pass(1)
    await written(() => schedule.timers === 1)
    expect(file()).toEqual({ from: 1_000_000, to: 2_500_000, ended: false, ops: { orders: 2, billing: 1 } })

    clock.now = 3_500_000
    schedule.pass(1000)
    await written(() => schedule.timers === 1)
    expect(file(), 'also when nothing passes: it says until when nothing did').toMatchObject({
      to: 3_500_000,
    })
    expect(gaps.total).toBe(3)

    clock.now = 4_000_000
    await gaps.end()
    expect(file()).toEqual({ from: 1_000_000, to: 4_000_000, ended: true, ops: { orders: 2, billing: 1 } })
    expect(schedule.timers).toBe(0)
  })

  test('that were none leave nothing behind', async () => {
    const { gaps, file } = open()
    gaps.begin(0)
    await gaps.end()
    expect(file()).toBeUndefined()
  })

  test('begin with those of the batch that the kernel never got, from their time on', async () => {
    const { gaps, schedule, clock, file } = open()
    gaps.appended('orders', 6)
    clock.now = 1_200_000
    for (const target of ['orders', 'billing', 'orders']) gaps.appended(target, 7)
    clock.now = 1_500_000
    gaps.begin(6)
    gaps.begin(6)
    await written(() => schedule.timers === 1)
    await gaps.end()
    expect(file()).toEqual({ from: 1_200_000, to: 1_500_000, ended: true, ops: { orders: 2, billing: 1 } })
  })

  test('do not begin with those of a batch that is written', async () => {
    const { gaps, file } = open()
    gaps.appended('orders', 7)
    gaps.begin(7)
    await gaps.end()
    expect(file()).toBeUndefined()
  })

  test('are counted together beyond a thousand targets', async () => {
    const { gaps, schedule, file } = open()
    for (let k = 0; k < TARGETS_MAX + 5; k++) gaps.count(`target-${k}`)
    gaps.count('target-3')
    await written(() => schedule.timers === 1)
    await gaps.end()
    const { ops } = file() as { ops: Record<string, number> }
    expect([Object.keys(ops).length, ops[''], ops['target-3']]).toEqual([TARGETS_MAX + 1, 5, 2])
  })

  test('are counted on while they cannot be written, and written when they can', async () => {
    const { gaps, schedule, path, file } = open()
    // No file can be renamed over a folder.
    mkdirSync(path)
    gaps.count('orders')
    await written(() => schedule.timers === 1)
    expect(gaps.failure).toMatchObject({ code: 'EISDIR' })
    rmdirSync(path)
    gaps.count('orders')
    schedule.pass(1000)
    await written(() => schedule.timers === 1)
    expect([gaps.failure, file()]).toMatchObject([undefined, { ops: { orders: 2 } }])
    await gaps.end()
  })
})

describe('a gap that was written', () => {
  test('is one record a target, and one more without a count where nobody knows the end', () => {
    const { path } = open()
    const read = (gap: object) => {
      writeFileSync(path, JSON.stringify(gap))
      return readGap(path, 50, 900).map(({ kind, ts, ...rest }) => ({ ...rest }))
    }
    const ops = { orders: 12, '': 3 }
    expect(read({ from: 100, to: 200, ended: true, ops })).toEqual([
      { from: 100, to: 200, ops: 12, tgt: 'orders', why: 'store' },
      { from: 100, to: 200, ops: 3, why: 'store' },
    ])
    expect(read({ from: 100, to: 200, ended: false, ops: { orders: 12 } })).toEqual([
      { from: 100, to: 200, ops: 12, tgt: 'orders', why: 'store' },
      { from: 200, to: 900, why: 'store' },
    ])
    expect(read({ from: 100, to: 1200, ended: false, ops: {} }), 'though the clock was set back').toEqual([
      { from: 1200, to: 1200, why: 'store' },
    ])
  })

  test.each([
    '',
    'nonsense',
    'null',
    '[]',
    '{}',
    '{"from":1,"to":2,"ended":true}',
    '{"from":2,"to":1,"ended":true,"ops":{}}',
    '{"from":-1,"to":2,"ended":true,"ops":{}}',
    '{"from":1,"to":2,"ended":1,"ops":{}}',
    '{"from":1,"to":2,"ended":true,"ops":{"a b":1}}',
    '{"from":1,"to":2,"ended":true,"ops":{"a":1.5}}',
    `{"from":1,"to":2,"ended":true,"ops":{"${'x'.repeat(129)}":1}}`,
  ])('and is damaged (%j) still is a gap', (text) => {
    const { path } = open()
    writeFileSync(path, text)
    expect(readGap(path, 50, 900)).toEqual([{ kind: 'gap', ts: 900, why: 'store', from: 50, to: 900 }])
  })
})

describe('the next start', () => {
  const gapsOf = (directory: string) =>
    checkBook(directory)
      .leaves.filter(({ kind }) => kind === 'gap')
      .map(({ from, to, ops, tgt, why }) => ({ from, to, ops, tgt, why }))
  const file = (directory: string): string => join(directory, 'gap.json')

  test('takes the gap into the book behind its boot, and removes the file', () => {
    const directory = newBook()
    writeFileSync(file(directory), '{"from":5,"to":7,"ended":true,"ops":{"orders":12,"billing":1}}')
    startBookkeeper(directory).stop()
    expect(checkBook(directory).leaves.map(({ kind }) => kind)).toEqual(['boot', 'gap', 'gap'])
    expect(gapsOf(directory)).toEqual([
      { from: 5, to: 7, ops: 12, tgt: 'orders', why: 'store' },
      { from: 5, to: 7, ops: 1, tgt: 'billing', why: 'store' },
    ])
    expect(existsSync(file(directory))).toBe(false)
    startBookkeeper(directory).stop()
    expect(gapsOf(directory)).toHaveLength(2)
  })

  test('that was interrupted between the two does not tell it twice', () => {
    const directory = newBook()
    const text = '{"from":5,"to":7,"ended":false,"ops":{"orders":12}}'
    writeFileSync(file(directory), text)
    startBookkeeper(directory).stop()
    writeFileSync(file(directory), text)
    startBookkeeper(directory).stop()
    expect(gapsOf(directory)).toMatchObject([
      { tgt: 'orders', ops: 12 },
      { from: 7, ops: undefined },
    ])
    // Another gap is another gap.
    writeFileSync(file(directory), text.replace('5', '6'))
    startBookkeeper(directory).stop()
    expect(gapsOf(directory)).toHaveLength(3)
  })

  test('has room for as many targets as there may be', () => {
    const directory = newBook()
    const ops = Object.fromEntries(Array.from({ length: TARGETS_MAX }, (_, k) => [`t${k}`, k]))
    writeFileSync(file(directory), JSON.stringify({ from: 5, to: 7, ended: true, ops }))
    startBookkeeper(directory).stop()
    expect(gapsOf(directory)).toHaveLength(TARGETS_MAX)
  })

  test('closes what the failure left open, too', () => {
    const directory = newBook()
    writeFileSync(file(directory), 'damaged')
    const left = crashed(directory)
    rmSync(file(directory))
    startBookkeeper(left).stop()
    expect(gapsOf(left)).toMatchObject([{ from: 0, ops: undefined, tgt: undefined, why: 'store' }])
  })
})
