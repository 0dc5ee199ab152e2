import { expect, test } from 'vitest'
import type { JournalDisk } from '../../../src/book/journal.ts'
import { Kek } from '../../../src/book/keys.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { Recorder } from '../../../src/record/recorder.ts'
import { systemSchedule } from '../../../src/system/clock.ts'
import { PlacedFile } from '../../../src/system/durable.ts'
import { microseconds } from '../../../src/system/microseconds.ts'
import { KEK_BYTES, threadOptions } from '../../support/books.ts'
import { checkBook } from '../../support/check-book.ts'
import { newBook, text } from '../../support/recorder.ts'

/** A disk whose syncs or writes fail from a moment on. */
function breakable(path: string): JournalDisk & Disposable & { broken: 'sync' | 'write' | undefined } {
  const file = new PlacedFile(path)
  return {
    broken: undefined,
    size: file.size,
    write(bytes, at) {
      if (this.broken === 'write') throw new Error('EIO')
      file.write(bytes, at)
    },
    read: (into, at) => file.read(into, at),
    sync(done) {
      if (this.broken === 'sync') setImmediate(done, new Error('EIO'))
      else file.sync(done)
    },
    [Symbol.dispose]: () => file[Symbol.dispose](),
  }
}

async function start(directory: string, goOn: boolean) {
  let disk: ReturnType<typeof breakable> | undefined
  const failures: Error[] = []
  const recorder = await Recorder.start(
    { ...threadOptions(directory), kek: new Kek(KEK_BYTES), compress: true, goOn },
    {
      now: microseconds,
      random: systemRandom(),
      schedule: systemSchedule,
      onState: () => {},
      onFailure: (error) => failures.push(error),
      openJournal: (path) => {
        disk = breakable(path)
        return disk
      },
    },
  )
  const breakIt = (what: 'sync' | 'write' = 'sync'): void => {
    if (disk !== undefined) disk.broken = what
  }
  return { recorder, failures, breakIt }
}

const sql = { type: 'sql', body: text('select 1') } as const

test('where the operator wants it, work goes on without the book, and the gap is in the book afterwards', async () => {
  const directory = newBook()
  const { recorder, failures, breakIt } = await start(directory, true)
  const session = await recorder.open({ act: 'pg', mode: 'strict', target: 'orders' })
  await recorder.wait(session.record({ type: 'begin', op: 1, act: 'db.query', payloads: [sql] }), 'durable')
  breakIt()
  // Whoever waits for the disk is let through when it fails: the bytes behind the fence are the client's.
  await recorder.wait(session.record({ type: 'end', op: 1, outcome: 'ok' }), 'durable')
  expect([failures.length, recorder.failure, recorder.state]).toEqual([1, undefined, 'failed'])

  for (const op of [2, 3]) {
    const mark = session.record({ type: 'begin', op, act: 'db.query', payloads: [sql] })
    await recorder.wait(mark, 'durable')
    session.record({ type: 'end', op, outcome: 'ok' })
  }
  session.close('client')
  const other = await recorder.open({ act: 'pg', mode: 'standard', target: 'users' })
  other.record({ type: 'begin', op: 1, act: 'db.query', payloads: [sql] })
  expect(recorder.congested).toBe(false)
  await recorder.stop()

  const again = await start(directory, true)
  await again.recorder.stop()
  const gaps = checkBook(directory).leaves.filter(({ kind }) => kind === 'gap')
  expect(gaps.map(({ tgt, ops, why }) => ({ tgt, ops, why }))).toEqual([
    { tgt: 'orders', ops: 2, why: 'store' },
    { tgt: 'users', ops: 1, why: 'store' },
  ])
})

test('the operations that the failing batch held are part of the gap', async () => {
  const directory = newBook()
  const { recorder, breakIt } = await start(directory, true)
  const sessions = await Promise.all(
    ['orders', 'users'].map((target) => recorder.open({ act: 'pg', mode: 'relaxed', target })),
  )
  for (const session of sessions) {
    session.record({ type: 'begin', op: 1, act: 'db.query', payloads: [sql] })
  }
  await recorder.wait(recorder.soFar(), 'durable')
  // Nobody waits under this mode: the statements are with their targets when the write fails.
  for (const session of sessions) {
    for (const op of [2, 3]) session.record({ type: 'begin', op, act: 'db.query', payloads: [sql] })
  }
  breakIt('write')
  while (recorder.state !== 'failed') await new Promise((resolve) => setTimeout(resolve, 1))
  sessions[0]?.record({ type: 'begin', op: 4, act: 'db.query', payloads: [sql] })
  await recorder.stop()

  const again = await start(directory, true)
  await again.recorder.stop()
  const { leaves } = checkBook(directory)
  expect(leaves.filter(({ kind }) => kind === 'gap').map(({ tgt, ops }) => [tgt, ops])).toEqual([
    ['orders', 3],
    ['users', 2],
  ])
  expect(leaves.filter(({ kind }) => kind === 'op.begin')).toHaveLength(2)
})

test('so are those that were not even encoded yet when the disk failed for others', async () => {
  const directory = newBook()
  const { recorder, breakIt } = await start(directory, true)
  const session = await recorder.open({ act: 'pg', mode: 'relaxed', target: 'orders' })
  await recorder.wait(recorder.soFar(), 'durable')
  breakIt('write')
  session.record({ type: 'begin', op: 1, act: 'db.query', payloads: [sql] })
  session.record({ type: 'end', op: 1, outcome: 'ok' })
  session.record({ type: 'begin', op: 2, act: 'db.query', payloads: [sql] })
  session.close('client')
  while (recorder.state !== 'failed') await new Promise((resolve) => setTimeout(resolve, 1))
  await recorder.stop()

  const again = await start(directory, true)
  await again.recorder.stop()
  const gaps = checkBook(directory).leaves.filter(({ kind }) => kind === 'gap')
  expect(gaps.map(({ tgt, ops }) => [tgt, ops])).toEqual([['orders', 2]])
})

test('otherwise nothing passes: the same failure refuses what runs and what comes', async () => {
  const directory = newBook()
  const { recorder, breakIt } = await start(directory, false)
  const session = await recorder.open({ act: 'pg', mode: 'strict', target: 'orders' })
  breakIt()
  const mark = session.record({ type: 'begin', op: 1, act: 'db.query', payloads: [sql] })
  await expect(recorder.wait(mark, 'durable')).rejects.toThrow('EIO')
  expect(() => session.record({ type: 'begin', op: 2, act: 'db.query', payloads: [sql] })).toThrow('EIO')
  await expect(recorder.open({ act: 'pg', mode: 'standard' })).rejects.toThrow('the book cannot be written')
  await recorder.stop()
  // The book behind the journal can still say why it ends.
  expect(checkBook(directory).leaves.at(-1)).toMatchObject({ kind: 'suspend', why: 'store' })
})
