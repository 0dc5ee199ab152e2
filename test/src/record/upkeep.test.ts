import { randomBytes } from 'node:crypto'
import { existsSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import type { DiskPolicy } from '../../../src/record/messages.ts'
import { Upkeep } from '../../../src/record/upkeep.ts'
import { checkBook } from '../../support/check-book.ts'
import { BALLAST_BYTES, newBook, startBookkeeper, startLocal } from '../../support/recorder.ts'
import { openStore } from '../../support/store.ts'

const SECOND = 1_000_000

/** A policy whose limits the test moves: the disk itself stays as it is. */
function movable(): { policy: DiskPolicy; set(state: 'roomy' | 'low' | 'tight'): void } {
  const limits = { warnShare: 0, closeBytes: 0 }
  const policy: DiskPolicy = {
    closeShare: 0,
    ballastBytes: BALLAST_BYTES,
    get warnShare() {
      return limits.warnShare
    },
    get closeBytes() {
      return limits.closeBytes
    },
  }
  return {
    policy,
    set: (state) => {
      limits.warnShare = state === 'low' ? 1 : 0
      limits.closeBytes = state === 'tight' ? Number.MAX_SAFE_INTEGER : 0
    },
  }
}

const kindsOf = (directory: string): string[] => checkBook(directory).leaves.map(({ kind }) => kind)

describe('a silent book', () => {
  test('says every minute that it is alive', () => {
    const directory = newBook()
    const clock = { now: Date.now() * 1000 }
    const { keeper, stop } = startBookkeeper(directory, {}, { now: () => clock.now })
    for (let second = 0; second < 185; second++) {
      keeper.turn()
      clock.now += SECOND
    }
    expect(kindsOf(directory)).toEqual(['boot', 'heartbeat', 'heartbeat', 'heartbeat'])
    stop()
  })

  test('says so although the clock was set back', () => {
    const directory = newBook()
    const clock = { now: Date.now() * 1000 }
    const { keeper, stop } = startBookkeeper(directory, {}, { now: () => clock.now })
    clock.now -= 3600 * SECOND
    for (let second = 0; second < 125; second++) {
      keeper.turn()
      clock.now += SECOND
    }
    expect(kindsOf(directory)).toEqual(['boot', 'heartbeat', 'heartbeat'])
    stop()
  })

  test('says nothing while there is something else to say', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const session = local.open()
    for (let second = 0; second < 130; second++) {
      local.clock.now += SECOND
      if (second % 50 === 0) session.append({ kind: 'alert', rule: 'r', sev: 'info' })
      local.drain()
    }
    expect(kindsOf(directory)).not.toContain('heartbeat')
    local.stop()
  })
})

describe('the disk', () => {
  test('is watched every second: tight, low, roomy, each told once', () => {
    const directory = newBook()
    const disk = movable()
    const clock = { now: Date.now() * 1000 }
    const { keeper, states, stop } = startBookkeeper(
      directory,
      { disk: disk.policy },
      { now: () => clock.now },
    )
    const look = (state: 'roomy' | 'low' | 'tight'): void => {
      disk.set(state)
      for (let k = 0; k < 3; k++) {
        clock.now += SECOND
        keeper.turn()
      }
    }
    for (const state of ['roomy', 'low', 'tight', 'low', 'roomy'] as const) look(state)
    expect(states).toEqual(['low', 'suspended', 'low', 'open'])
    expect(kindsOf(directory)).toEqual(['boot', 'suspend', 'resume'])
    stop()
  })

  test('that is tight and then full gives up the ballast, and says so once', () => {
    const directory = newBook()
    using open = openStore(directory)
    const { db, files } = open.book
    const disk = movable()
    const states: string[] = []
    const now = (): number => Date.now() * 1000
    const onState = (state: string): void => void states.push(state)
    const parts = { db, store: open.store, files, disk: disk.policy, signingKeyMaxAgeMs: 1e12, now, onState }
    const upkeep = new Upkeep(parts)
    disk.set('tight')
    upkeep.turn(false)
    expect([upkeep.suspend(), existsSync(files.ballast)]).toEqual([true, false])
    expect(upkeep.suspend(), 'there is no more to give').toBe(false)
    expect([kindsOf(directory), states]).toEqual([['suspend'], ['suspended']])
  })

  test('is watched although the clock was set back', () => {
    const directory = newBook()
    const disk = movable()
    const clock = { now: Date.now() * 1000 }
    const { keeper, states, stop } = startBookkeeper(
      directory,
      { disk: disk.policy },
      { now: () => clock.now },
    )
    keeper.turn()
    clock.now -= 3600 * SECOND
    disk.set('tight')
    keeper.turn()
    expect(states).toEqual(['suspended'])
    stop()
  })

  test('without its ballast takes no new work until that is written again', () => {
    const directory = newBook()
    rmSync(join(directory, 'ballast'))
    const disk = movable()
    const clock = { now: Date.now() * 1000 }
    disk.set('tight')
    const { keeper, states, stop } = startBookkeeper(
      directory,
      { disk: disk.policy },
      { now: () => clock.now },
    )
    expect(states, 'from the first moment on').toEqual(['suspended'])
    keeper.turn()
    expect([states, existsSync(join(directory, 'ballast'))]).toEqual([['suspended'], false])
    disk.set('roomy')
    clock.now += SECOND
    keeper.turn()
    expect([states, statSync(join(directory, 'ballast')).size]).toEqual([
      ['suspended', 'open'],
      BALLAST_BYTES,
    ])
    expect(kindsOf(directory)).toEqual(['boot', 'suspend', 'resume'])
    stop()
  })
})

describe('the log of the database', () => {
  const logOf = (directory: string): number => statSync(join(directory, 'book.db-wal')).size

  test.each([SECOND, 0])('does not keep growing while records come in, %d microseconds apart', (pause) => {
    const directory = newBook({ journalBytes: 16 << 20 })
    const local = startLocal(directory)
    const session = local.open()
    let largest = 0
    for (let op = 1; op <= 40; op++) {
      const body = randomBytes(1 << 20)
      session.record({ type: 'begin', op, act: 'db.query', payloads: [{ type: 'sql', body }] })
      local.drain()
      local.clock.now += pause
      largest = Math.max(largest, logOf(directory))
    }
    expect(statSync(join(directory, 'book.db')).size).toBeGreaterThan(20 << 20)
    expect(largest).toBeLessThan(40 << 20)
    local.stop()
  })

  test('grows while a reader holds an old state, without holding records up, and no further after', () => {
    const directory = newBook({ journalBytes: 16 << 20 })
    const local = startLocal(directory)
    const session = local.open()
    local.drain()
    const reader = new Sqlite(join(directory, 'book.db'), { readonly: true })
    reader.exec('BEGIN')
    const seen = reader.prepare('SELECT count(*) FROM bundle').pluck().get()
    const memory = process.memoryUsage().rss
    for (let op = 1; op <= 45; op++) {
      const body = randomBytes(1 << 20)
      session.record({ type: 'begin', op, act: 'db.query', payloads: [{ type: 'out', body }] })
      local.drain()
      local.clock.now += SECOND
    }
    expect(process.memoryUsage().rss - memory, 'and memory stays flat').toBeLessThan(64 << 20)
    expect(reader.prepare('SELECT count(*) FROM bundle').pluck().get()).toBe(seen)
    const grown = logOf(directory)
    expect(grown).toBeGreaterThan(32 << 20)
    reader.exec('COMMIT')
    reader.close()
    local.clock.now += 5 * SECOND
    local.drain()
    for (let op = 46; op <= 55; op++) {
      session.record({
        type: 'begin',
        op,
        act: 'db.query',
        payloads: [{ type: 'out', body: randomBytes(1 << 20) }],
      })
      local.drain()
      local.clock.now += SECOND
    }
    expect(logOf(directory), 'its space is used again once nobody reads the old state').toBe(grown)
    checkBook(directory)
    local.stop()
  })
})

test('the signing key is changed when its time has come', () => {
  const directory = newBook()
  const key = join(directory, 'book.key')
  const clock = { now: Date.now() * 1000 }
  utimesSync(key, clock.now / SECOND - 100, clock.now / SECOND - 100)
  const { keeper, stop } = startBookkeeper(
    directory,
    { signingKeyMaxAgeMs: 101_000 },
    { now: () => clock.now },
  )
  keeper.turn()
  expect(kindsOf(directory)).toEqual(['boot'])
  clock.now += 2 * SECOND
  keeper.turn()
  expect(kindsOf(directory)).toEqual(['boot', 'key.next'])
  stop()
})
