import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openForReading } from '../../../../src/book/database.ts'
import { readLeaves } from '../../../../src/book/reader.ts'
import { type RetentionOptions, retentionPlan, retentionRun } from '../../../../src/cli/book/retention.ts'
import { init } from '../../../../src/cli/init.ts'
import { configOrFail } from '../../../../src/cli/io.ts'
import { recordsBefore } from '../../../../src/read/age.ts'
import { systemClock } from '../../../../src/system/clock.ts'
import { withBook } from '../../../../src/wiring/recording.ts'
import { temporaryFolder } from '../../../support/access.ts'
import { checkBook } from '../../../support/check-book.ts'
import { TestClock } from '../../../support/clock.ts'
import { captureIo } from '../../../support/io.ts'

const DAY_MS = 86_400_000
const COMMITS = 7
const IN_ONE = 100

async function installed(retention: string): Promise<string> {
  const folder = join(temporaryFolder(), 'gw')
  const sizes = { journalBytes: 1 << 20, ballastBytes: 4096 }
  const made = { folder, name: 'gw.test', hosts: [], user: 'alice', clock: systemClock, sizes }
  expect(await init(made, captureIo().io)).toBe(0)
  const config = join(folder, 'config.yaml')
  writeFileSync(config, `${readFileSync(config, 'utf8')}${retention}`)
  return config
}

/** Some hundred records of today, in several commits. */
async function fill(config: string): Promise<void> {
  const options = { loaded: await configOrFail(config), env: {}, release: 'test', acceptJournalLoss: false }
  await withBook(options, async (recorder) => {
    for (let commit = 0; commit < COMMITS; commit++) {
      let mark = 0
      for (let i = 0; i < IN_ONE; i++)
        mark = recorder.gateway.append({ kind: 'admin', act: 'token.create', sub: 'local', out: 'ok' })
      await recorder.committed(mark)
    }
  })
}

async function told(
  command: (options: RetentionOptions, io: ReturnType<typeof captureIo>['io']) => Promise<number>,
  config: string,
  days: number,
): Promise<string> {
  const { io, out, err } = captureIo()
  expect(await command({ config, clock: new TestClock(Date.now() + days * DAY_MS) }, io)).toBe(0)
  return out() + err()
}

test('what is old is told, removed on demand, and the book still verifies', async () => {
  const config = await installed('retention: { default: 30d }\n')
  await fill(config)
  const data = join(config, '..', 'data')
  expect(await told(retentionPlan, config, 29)).toMatch(/^kept {7}30 days: .*\nolder {6}nothing\n$/)
  expect(await told(retentionRun, config, 29)).toBe('nothing is older than 30 days\n')
  const { size } = checkBook(data, { closed: true })
  expect(await told(retentionPlan, config, 31)).toContain('older      the records below 512\n')
  expect(checkBook(data, { closed: true }).size).toBe(size)
  const [, below] = /^records below (\d+) are gone/.exec(await told(retentionRun, config, 31)) ?? []
  expect(Number(below)).toBeGreaterThan(256)
  const { leaves } = checkBook(data, { closed: true })
  expect(leaves.find(({ kind }) => kind === 'retain')?.['below']).toBe(Number(below))
  expect(await told(retentionPlan, config, 29)).toContain('nothing')
})

test('without a length of time nothing is ever old', async () => {
  const config = await installed('')
  await expect(told(retentionPlan, config, 10_000)).rejects.toThrow('keeps everything for ever')
})

test('records are found by their time', async () => {
  const config = await installed('')
  await fill(config)
  const db = openForReading(join(config, '..', 'data', 'book.db'))
  const times = [...readLeaves(db, 0)].map(({ ts }) => ts)
  for (const at of [0, 1, 150, 333, 650, times.length - 1]) {
    const below = recordsBefore(db, (times[at] ?? 0) + 1)
    expect(below).toBeLessThanOrEqual(at)
    expect(at - below).toBeLessThan(2 * IN_ONE)
  }
  expect(recordsBefore(db, 0)).toBe(0)
  db.close()
})
