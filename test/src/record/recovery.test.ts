import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import type { RelayEvent } from '../../../protocols/events.ts'
import { SECTOR } from '../../../src/book/journal.ts'
import { KeyStore } from '../../../src/book/keys.ts'
import { openBook } from '../../../src/book/open.ts'
import { Store } from '../../../src/book/store.ts'
import { systemRandom } from '../../../src/record/random.ts'
import { recover } from '../../../src/record/recovery.ts'
import { checkBook } from '../../support/check-book.ts'
import { crashed, JOURNAL_BYTES, newBook, startBookkeeper, startLocal, text } from '../../support/recorder.ts'

const begin = (op: number, body: Buffer = text(`SELECT ${op}`)): RelayEvent => ({
  type: 'begin',
  op,
  act: 'db.query',
  payloads: [{ type: 'sql', body }],
})
const end = (op: number): RelayEvent => ({ type: 'end', op, outcome: 'ok' })
const journalOf = (directory: string): string => join(directory, 'journal', '1')
const acceptLoss = { acceptJournalLoss: true }

/** Starts on what `run` left behind when it was killed, and stops in order. */
function recovered(directory: string, options: { acceptJournalLoss?: boolean } = {}) {
  const book = startBookkeeper(directory, options)
  const { ready } = book.keeper
  const checked = checkBook(directory, { closed: true })
  book.stop()
  return { ready, ...checked, kinds: checked.leaves.map(({ kind }) => kind) }
}

const rowsOf = (directory: string): { sid: string; closed: number }[] => {
  const db = new Sqlite(join(directory, 'keys.db'), { readonly: true })
  const rows = db.prepare('SELECT sid, closed FROM data_key').all() as { sid: string; closed: number }[]
  db.close()
  return rows
}

describe('after a crash', () => {
  test('what the journal holds is in the book, and what was open is closed as unknown', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const session = local.open()
    session.record(begin(1))
    local.drain()
    session.record(begin(2))
    session.record(end(1))
    session.record(begin(3))
    session.record(end(3))
    session.record({ type: 'data', op: 2, stream: 'in', frame: 'i', bytes: text('typed') })
    local.schedule.turn()

    const left = crashed(directory)
    const { leaves, ready } = recovered(left)
    expect(leaves.map(({ kind, op, out, why, parts }) => [kind, op, out ?? why, parts])).toEqual([
      ['boot', undefined, undefined, undefined],
      ['session.open', undefined, undefined, undefined],
      ['op.begin', 1, undefined, undefined],
      ['op.begin', 2, undefined, undefined],
      ['op.end', 1, 'ok', undefined],
      ['op', 3, 'ok', undefined],
      ['data', 2, undefined, undefined],
      ['boot', undefined, undefined, undefined],
      ['op.end', 2, 'unknown', 1],
      ['session.close', undefined, 'crash', undefined],
    ])
    expect(leaves[7]).toMatchObject({ clean: false, ops: 1, recovered: 4, rel: '0.0.0-test' })
    expect(ready).toMatchObject({ recovered: 4, closedAsUnknown: 1, clean: false })
    expect(rowsOf(left)).toEqual([{ sid: session.sid, closed: 1 }])

    const again = recovered(left)
    expect(again.leaves.at(-1)).toMatchObject({ kind: 'boot', ops: 0, recovered: 0 })
    expect(again.size, 'and all of it once').toBe(11)
  })

  test('what was only appended, and not written, was acknowledged to nobody and is gone', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const session = local.open()
    local.drain()
    session.record(begin(1))
    expect(recovered(crashed(directory)).kinds).toEqual(['boot', 'session.open', 'boot', 'session.close'])
  })

  test('a key whose session never began is removed; the others stay', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const [closed, open] = [local.open(), local.open()]
    closed.close('client')
    local.schedule.turn()
    local.open()
    const left = crashed(directory)
    expect(rowsOf(left)).toHaveLength(3)
    recovered(left)
    expect(new Set(rowsOf(left).map((row) => `${row.sid} ${row.closed}`))).toEqual(
      new Set([`${closed.sid} 1`, `${open.sid} 1`]),
    )
  })

  test('a session whose opening was pruned away keeps its key and is closed like any other', async () => {
    const directory = newBook()
    const local = startLocal(directory)
    const gateway = local.open('standard', { act: 'gateway' })
    const old = local.open('standard', { who: text('{"name":"old"}') })
    old.record(begin(1))
    local.drain()
    for (let k = 0; k < 300; k++) {
      gateway.append({ kind: 'alert', rule: 'r', sev: 'info' })
      local.drain()
    }
    old.record(begin(2))
    gateway.append({ kind: 'retain', below: 200, sub: 'local' })
    local.drain()
    expect(checkBook(directory).leaves[0]?.seq).toBe(200)

    const left = crashed(directory)
    const { leaves } = recovered(left)
    expect(
      leaves.filter(({ sid }) => sid === old.sid).map(({ kind, op, out, why }) => [kind, op, out ?? why]),
    ).toEqual([
      ['op.begin', 2, undefined],
      ['op.end', 2, 'unknown'],
      ['session.close', undefined, 'crash'],
    ])
    expect(new Set(rowsOf(left).map(({ sid }) => sid))).toEqual(new Set([gateway.sid, old.sid]))
  })

  test('only sessions that are open are closed, however long ago they began', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const old = local.open()
    local.drain()
    for (let k = 0; k < 600; k++) {
      const other = local.open()
      other.close('client')
      if (k % 40 === 0) local.drain()
    }
    local.drain()
    const { leaves } = recovered(crashed(directory))
    expect(leaves.filter(({ why }) => why === 'crash').map(({ sid }) => sid)).toEqual([old.sid])
  })

  test('more than a commit holds is drained in several', () => {
    const directory = newBook({ journalBytes: 32 << 20 })
    const local = startLocal(directory)
    const session = local.open()
    for (let op = 1; op <= 2200; op++) {
      session.record(begin(op))
      if (op % 100 === 0) local.schedule.turn()
    }
    for (let op = 2201; op <= 2206; op++) {
      session.record(begin(op, randomBytes(900_000)))
      local.schedule.turn()
    }
    const left = crashed(directory)
    const { ready } = recovered(left)
    expect(ready).toMatchObject({ recovered: 2207, closedAsUnknown: 2206 })
    const db = new Sqlite(join(left, 'book.db'), { readonly: true })
    const counts = db.prepare('SELECT count FROM bundle ORDER BY first').pluck().all() as number[]
    db.close()
    expect(Math.max(...counts)).toBeLessThanOrEqual(512)
    // 4 MiB: no more than four of the large ones together.
    expect(counts.slice(1, 8)).toEqual([512, 512, 512, 465, 204, 2, 512])
  })

  test('a stop is clean only when nothing was left open', () => {
    const directory = newBook()
    const local = startLocal(directory)
    const [gateway, user] = [local.open('standard', { act: 'gateway' }), local.open()]
    user.close('stop')
    local.drain()
    const half = recovered(crashed(directory))
    expect(half.leaves.at(-2)).toMatchObject({ kind: 'boot', clean: false })
    expect(half.leaves.at(-1)).toMatchObject({ kind: 'session.close', sid: gateway.sid, why: 'crash' })

    gateway.close('stop')
    local.drain()
    local.stop()
    expect(recovered(crashed(directory)).leaves.at(-1)).toMatchObject({
      kind: 'boot',
      clean: true,
      ops: 0,
      recovered: 0,
    })
  })
})

/** Five batches of one record each, of which the first two are known durable. */
async function fiveBatches(): Promise<string> {
  const directory = newBook()
  const local = startLocal(directory)
  const session = local.open()
  local.drain()
  for (let op = 1; op <= 5; op++) {
    const mark = session.record(begin(op, randomBytes(700)))
    local.schedule.turn()
    // The third batch says that the second, number 3, is durable.
    if (op === 2) await local.log.wait(mark, 'durable')
  }
  return crashed(directory)
}

/** Changes a byte of the batch with that number. */
function damage(directory: string, number: number): void {
  const bytes = readFileSync(journalOf(directory))
  for (let at = 0; at + 24 < bytes.length; at += SECTOR) {
    if (Number(bytes.readBigUInt64BE(at + 8)) === number)
      bytes.writeUInt8(bytes.readUInt8(at + 40) ^ 1, at + 40)
  }
  writeFileSync(journalOf(directory), bytes)
}

describe('a torn tail', () => {
  test('is cut with what follows it, and comes back at no later start', async () => {
    const directory = await fiveBatches()
    damage(directory, 5)
    const { leaves, ready } = recovered(directory)
    expect(leaves.filter(({ kind }) => kind === 'op.begin').map(({ op }) => op)).toEqual([1, 2, 3])
    expect(leaves.filter(({ kind }) => kind === 'gap')).toEqual([])
    expect(ready.lastBatch, 'numbers go on behind the highest seen').toBe(6)
    expect(recovered(directory).kinds.at(-1)).toBe('boot')
  })
})

describe('a damaged journal', () => {
  const losses: [string, string, (directory: string) => void, number[]][] = [
    ['is missing', 'is missing', (directory) => rmSync(journalOf(directory)), []],
    [
      'is shorter',
      `has 4096 bytes where ${JOURNAL_BYTES} belong`,
      (directory) => truncateSync(journalOf(directory), 4096),
      [1, 2, 3],
    ],
    [
      'is empty',
      `has 0 bytes where ${JOURNAL_BYTES} belong`,
      (directory) => truncateSync(journalOf(directory), 0),
      [],
    ],
    [
      'is longer',
      `has ${JOURNAL_BYTES + 1} bytes where ${JOURNAL_BYTES} belong`,
      (directory) => truncateSync(journalOf(directory), JOURNAL_BYTES + 1),
      [1, 2, 3, 4, 5],
    ],
    [
      'has a durable batch that is bad',
      'batches 3 to 3 were durable and are damaged',
      (directory) => damage(directory, 3),
      [1],
    ],
  ]

  test.each(losses)('that %s is refused, and nothing is touched', async (_, words, harm) => {
    const directory = await fiveBatches()
    harm(directory)
    const before = { size: checkBook(directory).size, files: readdirSync(join(directory, 'journal')) }
    for (let k = 0; k < 2; k++) {
      expect(() => startBookkeeper(directory)).toThrow(
        expect.objectContaining({
          name: 'BookError',
          code: 'journal-loss',
          message: expect.stringContaining(words),
        }),
      )
    }
    expect(() => startBookkeeper(directory)).toThrow('--accept-journal-loss')
    expect({ size: checkBook(directory).size, files: readdirSync(join(directory, 'journal')) }).toEqual(
      before,
    )
  })

  test.each(losses)(
    'that %s is gone on without when that is accepted, with a gap in the book',
    async (_, __, harm, left) => {
      const directory = await fiveBatches()
      harm(directory)
      const remains = existsSync(journalOf(directory)) ? readFileSync(journalOf(directory)) : undefined
      const { leaves } = recovered(directory, acceptLoss)
      const ops = leaves.filter(({ kind }) => kind === 'op.begin').map(({ op }) => op)
      expect(ops, 'what stands before the damage').toEqual(left)
      const boot = leaves.findLastIndex(({ kind }) => kind === 'boot')
      const gap = leaves[boot + 1]
      expect(gap).toMatchObject({
        kind: 'gap',
        why: 'journal',
        from: leaves[boot - 1]?.ts,
        to: leaves[boot]?.ts,
      })
      expect(gap?.['ops'], 'nobody knows how many').toBeUndefined()

      const aside = readdirSync(join(directory, 'journal')).filter((name) => name.includes('.lost-'))
      expect(aside.map((name) => readFileSync(join(directory, 'journal', name)))).toEqual(
        remains === undefined ? [] : [remains],
      )
      expect(readFileSync(journalOf(directory))).toHaveLength(JOURNAL_BYTES)

      const local = startLocal(directory)
      const session = local.open()
      session.record(begin(1))
      local.drain()
      expect(checkBook(directory).leaves.at(-1)).toMatchObject({ kind: 'op.begin', op: 1 })
      session.close('client')
      local.drain()
      local.stop()
    },
  )
})

describe('recovery that dies itself', () => {
  /** A store that dies before or after its `count`-th commit. */
  class DyingStore extends Store {
    #left = Number.POSITIVE_INFINITY
    #after = false

    dieAt(count: number, after: boolean): this {
      this.#left = count
      this.#after = after
      return this
    }

    override append(...args: Parameters<Store['append']>): ReturnType<Store['append']> {
      if (--this.#left === 0 && !this.#after) throw new Error('killed')
      const head = super.append(...args)
      if (this.#left === 0) throw new Error('killed')
      return head
    }
  }

  function tryRecovery(
    directory: string,
    acceptJournalLoss: boolean,
    count: number,
    after: boolean,
  ): 'killed' | 'done' {
    using book = openBook(directory)
    const { db, origin, signer, head } = book
    const keep = { records: 1e9, micros: 1e15 }
    const store = new DyingStore(db, origin, signer, head, { random: systemRandom(), keep }).dieAt(
      count,
      after,
    )
    try {
      recover(book, store, new KeyStore(book.keys), {
        release: 'x',
        acceptJournalLoss,
        now: () => 1_800_000_000_000_000,
      })
      return 'done'
    } catch (error) {
      expect(String(error)).toContain('killed')
      return 'killed'
    }
  }

  test.each([false, true])(
    'is taken up again, and nothing is there twice or missing (after the commit: %s)',
    (after) => {
      const directory = newBook({ journalBytes: 4 << 20 })
      const local = startLocal(directory)
      const sessions = Array.from({ length: 260 }, () => local.open())
      for (const session of sessions) {
        session.record(begin(1))
        session.record(begin(2))
        if (sessions.indexOf(session) % 50 === 0) local.schedule.turn()
      }
      local.schedule.turn()
      const image = crashed(directory)
      for (let count = 1; ; count++) {
        const left = crashed(image)
        const outcome = tryRecovery(left, false, count, after)
        const { leaves } = recovered(left)
        const number = (kind: string): number => leaves.filter((leaf) => leaf.kind === kind).length
        expect([
          number('session.open'),
          number('op.begin'),
          number('op.end'),
          number('session.close'),
        ]).toEqual([260, 520, 520, 260])
        if (outcome === 'done') {
          expect(count).toBeGreaterThan(3)
          break
        }
      }
    },
  )

  test.each([false, true])(
    'never goes on without a gap over what was lost (after the commit: %s)',
    async (after) => {
      for (let count = 1; ; count++) {
        const directory = await fiveBatches()
        damage(directory, 3)
        const outcome = tryRecovery(directory, true, count, after)
        let gaps = 0
        try {
          gaps = recovered(directory).kinds.filter((kind) => kind === 'gap').length
        } catch (error) {
          expect(error).toMatchObject({ code: 'journal-loss' })
          gaps = recovered(directory, acceptLoss).kinds.filter((kind) => kind === 'gap').length
        }
        expect(gaps, `killed at commit ${count}`).toBeGreaterThanOrEqual(1)
        if (outcome === 'done') break
      }
    },
  )
})
