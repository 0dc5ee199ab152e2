import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { retentionPoint } from '../../../src/book/erasure.ts'
import type { Scope } from '../../../src/book/format.ts'
import type { RecordedSession } from '../../../src/record/session.ts'
import { checkBook } from '../../support/check-book.ts'
import {
  crashed,
  type LocalRecorder,
  newBook,
  startBookkeeper,
  startLocal,
  text,
} from '../../support/recorder.ts'
import { heartbeats, openStore } from '../../support/store.ts'

/** All ciphertexts of a session, and its wrapped key. */
function secretsOf(
  directory: string,
  sid: string,
): { payloads: Map<number, Buffer>; key: Buffer | undefined } {
  const db = new Sqlite(join(directory, 'book.db'), { readonly: true })
  const keys = new Sqlite(join(directory, 'keys.db'), { readonly: true })
  try {
    const rows = db.prepare('SELECT i, data FROM payload WHERE sid = ?').all(sid) as {
      i: number
      data: Buffer
    }[]
    const key = keys.prepare('SELECT wrapped FROM data_key WHERE sid = ?').pluck().get(sid) as
      | Buffer
      | undefined
    return { payloads: new Map(rows.map(({ i, data }) => [i, data])), key }
  } finally {
    db.close()
    keys.close()
  }
}

/** The files of the book in which any piece of `secret` still stands. */
function filesWith(directory: string, secret: Buffer): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => {
      const file = readFileSync(path)
      for (let at = 0; at + 24 <= secret.length; at += 200) {
        if (file.includes(secret.subarray(at, at + 24))) return true
      }
      return file.includes(secret.subarray(-24))
    })
    .map((path) => path.slice(directory.length + 1))
}

interface Filled {
  readonly directory: string
  readonly local: LocalRecorder
  readonly gateway: RecordedSession
  /** Three sessions, the first two closed. */
  readonly sids: readonly string[]
}

/** Sessions with texts large and small, all drained and still standing in the journal, too. */
function filledBook(options: { statements?: number } = {}): Filled {
  const directory = newBook()
  const local = startLocal(directory)
  const gateway = local.open('standard', { act: 'gateway' })
  const sessions = Array.from({ length: 3 }, (_, k) =>
    local.open('standard', { who: text(`{"name":"person ${k}"}`) }),
  )
  for (const session of sessions) {
    for (let op = 1; op <= (options.statements ?? 4); op++) {
      const body = op === 2 ? randomBytes(20_000) : text(`SELECT ${op} FROM ${session.sid}`)
      session.record({ type: 'begin', op, act: 'db.query', payloads: [{ type: 'sql', body, repeats: true }] })
      session.record({ type: 'end', op, outcome: 'ok' })
    }
    local.drain()
  }
  for (const session of sessions.slice(0, 2)) session.close('client')
  local.drain()
  return { directory, local, gateway, sids: sessions.map(({ sid }) => sid) }
}

/** Orders it, as an administrator does. */
function order({ local, gateway }: Filled, scope: Scope): void {
  gateway.append({ kind: 'erase', scope, sub: 'local' })
  local.schedule.turn()
}

async function carryOut({ local }: Filled): Promise<void> {
  local.settle()
  const { through } = local.ask({ type: 'deleted' }) as { through: number }
  await local.scrub()
  local.ask({ type: 'scrubbed', through })
}

/** A journal whose loss was accepted, which begins and ends in the middle of things. */
function setAsideDamaged(directory: string, torn: Buffer): void {
  const journal = readFileSync(join(directory, 'journal', '1'))
  journal.fill(0xee, journal.indexOf(torn), journal.indexOf(torn) + 100)
  writeFileSync(join(directory, 'journal', '1.lost-1763600000000000'), journal)
}

const unfinished = (directory: string): unknown => {
  const db = new Sqlite(join(directory, 'book.db'), { readonly: true })
  try {
    return db.prepare('SELECT count(*) FROM deletion WHERE done = 0').pluck().get()
  } finally {
    db.close()
  }
}

describe('what is erased', () => {
  test('as a session is gone from every file, with its key; the rest stays and verifies', async () => {
    const filled = filledBook()
    const { directory, sids } = filled
    const [gone = '', ...others] = sids
    const secrets = secretsOf(directory, gone)
    expect(secrets.payloads.size).toBe(5)
    for (const payload of secrets.payloads.values()) expect(filesWith(directory, payload)).not.toEqual([])

    order(filled, { sids: [gone] })
    await carryOut(filled)

    const left = [...secrets.payloads.values(), secrets.key ?? Buffer.alloc(0)].flatMap((one) =>
      filesWith(directory, one),
    )
    expect(left).toEqual([])
    expect(secretsOf(directory, gone)).toEqual({ payloads: new Map(), key: undefined })
    for (const sid of others) {
      const { payloads, key } = secretsOf(directory, sid)
      expect([payloads.size, key?.length]).toEqual([5, 48])
    }
    expect(unfinished(directory)).toBe(0)
    checkBook(directory)
    filled.local.stop()
    expect([...secrets.payloads.values()].flatMap((one) => filesWith(directory, one))).toEqual([])
  })

  test('as single payloads is gone from every file; the session keeps its key and its other texts', async () => {
    const filled = filledBook()
    const { directory, sids } = filled
    const [sid = '', other = ''] = sids
    const before = secretsOf(directory, sid)
    setAsideDamaged(directory, before.payloads.get(2) ?? Buffer.alloc(0))
    order(filled, {
      refs: [
        [sid, 0],
        [sid, 2],
        [other, 1],
      ],
    })
    await carryOut(filled)
    const after = secretsOf(directory, sid)
    expect([...after.payloads.keys()]).toEqual([1, 3, 4])
    expect(after.key).toEqual(before.key)
    expect([...secretsOf(directory, other).payloads.keys()]).toEqual([0, 2, 3, 4])
    const erased = [0, 2].map((i) => before.payloads.get(i) ?? Buffer.alloc(0))
    expect(erased.flatMap((one) => filesWith(directory, one))).toEqual([])
    checkBook(directory)
    filled.local.stop()
  })

  test('by age takes every session that closed before that record, and no other', async () => {
    const filled = filledBook()
    const { directory, sids } = filled
    const closes = checkBook(directory).leaves.filter(({ kind }) => kind === 'session.close')
    expect(closes.map(({ sid }) => sid)).toEqual(sids.slice(0, 2))
    order(filled, { below: closes[1]?.seq ?? 0 })
    await carryOut(filled)
    expect(sids.map((sid) => secretsOf(directory, sid).payloads.size)).toEqual([0, 5, 5])
    checkBook(directory)

    order(filled, { below: (closes[1]?.seq ?? 0) + 1 })
    await carryOut(filled)
    expect(sids.map((sid) => secretsOf(directory, sid).payloads.size)).toEqual([0, 0, 5])
    checkBook(directory)
    filled.local.stop()
  })

  test('by an age that the book has not reached is nothing: no verifier could excuse it', async () => {
    const filled = filledBook()
    const { directory, local, sids } = filled
    order(filled, { below: 1_000_000 })
    await carryOut(filled)
    expect(sids.map((sid) => secretsOf(directory, sid).payloads.size)).toEqual([5, 5, 5])
    checkBook(directory)
    local.stop()
  })

  test('is gone in slices: none removes more than 500 rows or some 4 MiB, and records go on between them', () => {
    const directory = newBook({ journalBytes: 16 << 20 })
    const local = startLocal(directory)
    const gateway = local.open('standard', { act: 'gateway' })
    const [many, large] = [local.open(), local.open()]
    for (let op = 1; op <= 1200; op++) {
      many.record({
        type: 'begin',
        op,
        act: 'db.query',
        payloads: [{ type: 'sql', body: text(`SELECT ${op}`) }],
      })
      many.record({ type: 'end', op, outcome: 'ok' })
    }
    local.drain()
    for (let op = 1; op <= 9; op++) {
      large.record({
        type: 'begin',
        op,
        act: 'db.query',
        payloads: [{ type: 'sql', body: randomBytes(1 << 20) }],
      })
      local.drain()
    }
    for (const session of [many, large]) session.close('client')
    local.drain()
    order({ directory, local, gateway, sids: [] }, { sids: [many.sid, large.sid] })
    const rows = (): number =>
      secretsOf(directory, many.sid).payloads.size + secretsOf(directory, large.sid).payloads.size
    const left = [rows()]
    while (local.keeper.turn() === 'busy') {
      if (rows() !== left.at(-1)) left.push(rows())
    }
    expect(left).toEqual([1209, 709, 209, 5, 1, 0])
    checkBook(directory)
    local.stop()
  })
})

describe('a reader that holds an older state', () => {
  test('delays the end of an erasure, and nothing else', async () => {
    const filled = filledBook()
    const { directory, local, sids } = filled
    const [gone = ''] = sids
    const secrets = [...secretsOf(directory, gone).payloads.values()]
    const reader = new Sqlite(join(directory, 'book.db'), { readonly: true })
    reader.exec('BEGIN')
    const size = reader.prepare('SELECT count(*) FROM payload').pluck().get()

    order(filled, { sids: [gone] })
    local.settle()
    local.keeper.handle(77, { type: 'deleted' })
    for (let op = 5; op < 8; op++) local.open().close('client')
    local.drain()
    expect(local.answers.filter(({ id }) => id === 77)).toEqual([])
    expect(reader.prepare('SELECT count(*) FROM payload').pluck().get()).toBe(size)
    expect(unfinished(directory)).toBe(1)

    reader.exec('COMMIT')
    reader.close()
    local.settle()
    expect(local.answers.filter(({ id }) => id === 77)).toHaveLength(1)
    await carryOut(filled)
    expect(secrets.flatMap((one) => filesWith(directory, one))).toEqual([])
    local.stop()
  })

  test('does not keep the book from stopping, and the next start finishes it', async () => {
    const filled = filledBook()
    const { directory, local, sids } = filled
    const secrets = [...secretsOf(directory, sids[0] ?? '').payloads.values()]
    const reader = new Sqlite(join(directory, 'book.db'), { readonly: true })
    reader.exec('BEGIN')
    reader.prepare('SELECT count(*) FROM payload').get()
    order(filled, { sids: sids.slice(0, 1) })
    local.settle()
    local.stop()
    reader.close()
    const next = startBookkeeper(directory)
    next.settle()
    expect(unfinished(directory)).toBe(0)
    expect(secrets.flatMap((one) => filesWith(directory, one))).toEqual([])
    checkBook(directory)
    next.stop()
  })
})

describe('an erasure that is interrupted', () => {
  const scopes: [string, (sids: readonly string[]) => Scope][] = [
    ['of sessions', (sids) => ({ sids: sids.slice(0, 2) })],
    [
      'of payloads',
      ([a = '', b = '']) => ({
        refs: [
          [a, 0],
          [a, 1],
          [b, 0],
          [b, 1],
        ],
      }),
    ],
    ['by age', () => ({ below: 97 })],
  ]

  test.each(scopes)(
    '%s after any of its steps is finished at the next start, in every file',
    async (_, scope) => {
      const filled = filledBook({ statements: 30 })
      const { directory, local, sids } = filled
      const wanted = scope(sids)
      const secrets = sids.slice(0, 2).flatMap((sid) => {
        const { payloads } = secretsOf(directory, sid)
        return 'refs' in wanted ? [payloads.get(0), payloads.get(1)] : [...payloads.values()]
      })
      order(filled, wanted)
      for (let last = false, step = 0; !last; step++) {
        const left = crashed(directory)
        const next = startBookkeeper(left)
        next.settle()
        const found = secrets.flatMap((one) => filesWith(left, one ?? Buffer.alloc(24)))
        expect(found, `killed after ${step} steps`).toEqual([])
        expect(unfinished(left)).toBe(0)
        checkBook(left, { closed: true })
        next.stop()
        last = local.keeper.turn() === 'idle'
      }
      expect(unfinished(directory), 'the journal has not been written over yet').toBe(1)
      local.stop()
    },
  )
})

describe('retention', () => {
  /** Some 700 records in commits of 10, with a change of keys, a session below and one across every border. */
  function longBook(): Filled {
    const directory = newBook()
    const local = startLocal(directory)
    const gateway = local.open('standard', { act: 'gateway' })
    const across = local.open('standard', { who: text('{"name":"across"}') })
    const below = local.open('standard', { who: text('{"name":"below"}') })
    const statement = (session: RecordedSession, sql: string): void => {
      const payloads = [{ type: 'sql' as const, body: text(sql), repeats: true }]
      session.record({ type: 'begin', op: session.nextOp, act: 'db.query', payloads })
      session.record({ type: 'end', op: session.nextOp - 1, outcome: 'ok' })
    }
    for (let k = 0; k < 70; k++) {
      for (let n = 0; n < 9; n++) statement(across, n === 0 ? 'SELECT again' : `SELECT ${k}.${n}`)
      if (k < 10) statement(below, `SELECT below ${k}`)
      if (k === 10) below.close('client')
      local.drain()
      if (k === 20) local.ask({ type: 'rotate-signing-key' })
    }
    return { directory, local, gateway, sids: [across.sid, below.sid] }
  }

  const retain = (filled: Filled, wish: number): number => {
    const { below } = filled.local.ask({ type: 'retention-point', below: wish }) as { below: number }
    filled.gateway.append({ kind: 'retain', below, sub: 'local' })
    filled.local.schedule.turn()
    return below
  }

  test('removes old records and what closed with them, and all that is left verifies', async () => {
    const filled = longBook()
    const { directory, local, sids } = filled
    const [across = '', below = ''] = sids
    const before = checkBook(directory)
    const secrets = [...secretsOf(directory, below).payloads.values()]
    const point = retain(filled, 300)
    expect(point).toBeGreaterThan(200)
    expect(point).toBeLessThanOrEqual(300)
    await carryOut(filled)

    const after = checkBook(directory)
    expect(after.leaves[0]?.seq).toBe(point)
    expect(after.size).toBe(before.size + 1)
    const db = new Sqlite(join(directory, 'book.db'), { readonly: true })
    const kept = db.prepare('SELECT CAST(leaf AS TEXT) FROM kept ORDER BY seq').pluck().all() as string[]
    db.close()
    expect(
      kept
        .map((leaf) => JSON.parse(leaf) as { kind: string; sid?: string })
        .map(({ kind, sid }) => [kind, sid]),
    ).toEqual([
      ['session.open', filled.gateway.sid],
      ['session.open', across],
      ['key.next', undefined],
    ])
    expect(secretsOf(directory, below)).toEqual({ payloads: new Map(), key: undefined })
    expect(
      secretsOf(directory, across).payloads.size,
      'a record that is left may name a text from below',
    ).toBe(1 + 70 * 8 + 3)
    expect(secrets.flatMap((one) => filesWith(directory, one))).toEqual([])

    // The book goes on, is opened again, and is pruned again.
    local.stop()
    const next = startLocal(directory)
    const again: Filled = { ...filled, local: next, gateway: next.open('standard', { act: 'gateway' }) }
    next.drain()
    const second = retain(again, 600)
    expect(second).toBeGreaterThan(point)
    await carryOut(again)
    expect(checkBook(directory).leaves[0]?.seq).toBe(second)
    again.gateway.close('stop')
    next.drain()
    next.stop()
    checkBook(directory, { closed: true })
  })

  test('that is interrupted after any of its steps is finished at the next start', () => {
    const filled = longBook()
    const { directory, local, sids } = filled
    const point = retain(filled, 600)
    for (let last = false; !last; ) {
      const left = crashed(directory)
      const next = startBookkeeper(left)
      next.settle()
      expect(checkBook(left).leaves[0]?.seq).toBe(point)
      expect(secretsOf(left, sids[1] ?? '').payloads.size).toBe(0)
      expect(unfinished(left)).toBe(0)
      next.stop()
      last = local.keeper.turn() === 'idle'
    }
    local.stop()
  })

  test('goes to where a commit begins, within full tiles, and leaves something', () => {
    const directory = newBook()
    using open = openStore(directory)
    const { db } = open.book
    for (const count of [100, 100, 100, 300, 1]) open.store.append(heartbeats(count))
    const at = (wish: number): number | undefined => retentionPoint(db, wish, open.store.head.size)
    expect([0, 99, 100, 199, 255, 300, 500, 599, 600, 601, 5000].map(at)).toEqual([
      undefined,
      undefined,
      100,
      100,
      200,
      300,
      300,
      300,
      300,
      300,
      300,
    ])
    open.store.append(heartbeats(200))
    expect([600, 767, 768, 5000].map(at)).toEqual([600, 601, 601, 601])
  })
})
