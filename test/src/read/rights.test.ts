import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Kek } from '../../../src/book/keys.ts'
import type { Row } from '../../../src/read/answers.ts'
import { Indexing } from '../../../src/read/follow-index.ts'
import type { AnswerTo, Asker, Question } from '../../../src/read/questions.ts'
import { NoAnswer } from '../../../src/read/questions.ts'
import { Reader } from '../../../src/read/reader.ts'
import { OWN_SESSIONS_ONLY, type Rights, readingRights } from '../../../src/read/rights.ts'
import { loadUnderstanding } from '../../../src/wiring/understanding.ts'
import { KEK_BYTES } from '../../support/books.ts'
import { changed, loadGood } from '../../support/config.ts'
import { LABELS, NOW } from '../../support/random-query.ts'
import { type Play, playReading } from '../../support/reading-book.ts'
import { newBookForFile } from '../../support/recorder.ts'
import { type SlowRow, slowRows } from '../../support/slow-search.ts'

const understanding = await loadUnderstanding()
let play: Play
let reader: Reader
let rows: SlowRow[]
let remove: () => void

beforeAll(() => {
  const book = newBookForFile()
  remove = book.remove
  play = playReading(book.directory, 80, 21)
  const kek = new Kek(Buffer.from(KEK_BYTES))
  const indexing = Indexing.open({ directory: book.directory, kek, understanding })
  while (indexing.turn());
  indexing.close()
  reader = new Reader({ directory: book.directory, kek, understanding, now: () => NOW })
  rows = slowRows(book.directory, understanding)
})
afterAll(() => {
  reader.close()
  play.book.stop()
  remove()
})

const METADATA: Rights = { ...OWN_SESSIONS_ONLY, metadata: ['orders*', 'shop'] }
const CONTENT: Rights = { ...METADATA, metadata: ['*'], content: ['orders'], sensitive: ['orders'] }
const ALL: Rights = { ...OWN_SESSIONS_ONLY, all: true, sensitive: ['orders'] }

function as(rights: Rights, sub = 'nobody', reason?: string): Asker {
  return { sub, rights, ...(reason === undefined ? {} : { reason }) }
}

function ask<Q extends Question>(question: Q, asker: Asker): AnswerTo<Q> {
  return reader.answer(question, asker, LABELS)
}

function refusal(question: Question, asker: Asker): string {
  try {
    ask(question, asker)
  } catch (error) {
    if (error instanceof NoAnswer) return error.code
    throw error
  }
  throw new Error(`${question.type} was answered`)
}

function search(query: string, asker: Asker): readonly Row[] {
  return ask({ type: 'search', query, limit: 1000 }, asker).rows
}

/** A session of that target that somebody has done something in, and whose it is. */
function sessionAt(target: string): { sid: string; sub: string } {
  const row = rows.find(
    (one) => one.target === target && one.action.startsWith(target.startsWith('web') ? 'ssh.shell' : 'db.'),
  )
  if (row?.session === undefined || row.sub === undefined) throw new Error(`nobody was at ${target}`)
  return { sid: row.session.sid, sub: row.sub }
}

describe('whoever may see metadata only', () => {
  test('sees who, where and when, and no text, verb or table', () => {
    const found = search('target:orders', as(METADATA))
    expect(found.length).toBeGreaterThan(10)
    expect(found.some(({ actor }) => actor !== undefined)).toBe(true)
    for (const row of found) {
      expect(row).not.toHaveProperty('text')
      expect(row).not.toHaveProperty('verbs')
      expect(row).not.toHaveProperty('tables')
      expect(row).not.toHaveProperty('shape')
    }
    expect(found.some(({ withheld }) => withheld === 'right')).toBe(true)
  })

  test.each([
    'payments',
    '-payments',
    'verb:DELETE',
    '-table:payments',
    'fp:a*',
    'has:params',
    'has:no-where',
    '/x/',
    '(is:denied OR text:payments)',
  ])('learns nothing by searching for %s', (query) => {
    expect(refusal({ type: 'search', query }, as(METADATA))).toBe('right')
    expect(refusal({ type: 'summary', query }, as(METADATA))).toBe('right')
    expect(refusal({ type: 'sessions', query }, as(METADATA))).toBe('right')
    expect(refusal({ type: 'follow', query, from: 0 }, as(METADATA))).toBe('right')
  })

  test('gets no shares and no completion of what was run', () => {
    const { facets } = ask(
      { type: 'summary', query: '', facets: ['actor', 'verb', 'table', 'fp'] },
      as(METADATA),
    )
    expect(Object.keys(facets)).toEqual(['actor'])
    const completed = (query: string) =>
      ask({ type: 'complete', query, at: query.length }, as(METADATA)).choices
    expect(completed('table:')).toEqual([])
    expect(completed('ta').map(({ text }) => text)).toEqual(['target:'])
    expect(
      completed('target:')
        .map(({ text }) => text)
        .sort(),
    ).toEqual(['orders', 'orders-test', 'shop'])
  })

  test('may not replay, nor open payloads', () => {
    const { sid } = sessionAt('orders')
    const { rows: timeline } = ask({ type: 'timeline', session: sid }, as(METADATA))
    expect(timeline.every(({ text }) => text === undefined)).toBe(true)
    const row = timeline.find(({ withheld }) => withheld === 'right')
    const { payloads } = ask({ type: 'record', record: row?.record ?? '' }, as(METADATA))
    expect(payloads?.filter(({ type }) => type !== 'who').every(({ withheld }) => withheld === 'right')).toBe(
      true,
    )
    expect(ask({ type: 'commands', session: sid }, as(METADATA))).toEqual({ commands: [], withheld: 'right' })
  })
})

describe('rights bind what is counted', () => {
  test('facets of contents are of what may be seen', () => {
    const counted = ask({ type: 'summary', query: '', facets: ['verb'] }, as(CONTENT)).facets.verb ?? []
    const expected = new Map<string, number>()
    for (const row of rows.filter(({ target, quiet }) => target === 'orders' && !quiet)) {
      for (const verb of row.understood?.verbs ?? []) expected.set(verb, (expected.get(verb) ?? 0) + 1)
    }
    expect(new Map(counted.map(({ value, count }) => [value, count]))).toEqual(expected)
  })

  test('somebody without any role sees their own, and as if there were nothing else', () => {
    const { sid, sub } = sessionAt('orders')
    expect(new Set(search('', as(OWN_SESSIONS_ONLY, sub)).map((row) => row.sub))).toEqual(new Set([sub]))
    expect(ask({ type: 'timeline', session: sid }, as(OWN_SESSIONS_ONLY, sub)).rows.length).toBeGreaterThan(0)
    expect(refusal({ type: 'session', session: sid }, as(OWN_SESSIONS_ONLY, 'u_stranger'))).toBe('none')
    expect(refusal({ type: 'timeline', session: 'a'.repeat(16) }, as(OWN_SESSIONS_ONLY, 'u_stranger'))).toBe(
      'none',
    )
    const other = rows.find((row) => row.session?.sid === sid)
    expect(
      ask({ type: 'record', record: String(other?.seq) }, as(OWN_SESSIONS_ONLY, 'u_stranger')).status,
    ).toBe('none')
  })
})

describe('a sensitive target', () => {
  const { stringify } = JSON

  test('shows no text, and opens nothing, without a reason', () => {
    const { sid } = sessionAt('orders')
    const shown = search('target:orders payments', as(ALL))
    expect(shown.length).toBeGreaterThan(0)
    expect(shown.every(({ text, withheld }) => text === undefined && withheld === 'reason')).toBe(true)
    for (const question of [
      { type: 'timeline', session: sid },
      { type: 'commands', session: sid },
      { type: 'files', session: sid },
      { type: 'frames', session: sid, op: 1, stream: 'in' },
      { type: 'evidence', session: sid },
    ] as const) {
      expect(refusal(question, as(ALL)), stringify(question)).toBe('reason')
      expect(() => ask(question, as(ALL, 'local', 'incident 7'))).not.toThrow()
    }
    expect(
      search('target:orders payments', as(ALL, 'local', 'incident 7')).every(
        ({ text }) => text !== undefined,
      ),
    ).toBe(true)
  })
})

describe('a terminal', () => {
  test('is replayed by those who may, frame by frame, and its commands stand where they were entered', () => {
    const { sid } = sessionAt('web-1')
    const may = as({ ...OWN_SESSIONS_ONLY, content: ['web-1'], replay: ['web-1'] })
    expect(
      refusal(
        { type: 'frames', session: sid, op: 1, stream: 'tty' },
        as({ ...OWN_SESSIONS_ONLY, content: ['web-1'] }),
      ),
    ).toBe('right')
    const { recordings } = ask({ type: 'session', session: sid }, may)
    const recording = recordings.find(({ stream }) => stream === 'tty')
    expect(recording).toMatchObject({ columns: 80, lines: 24 })
    const { op = 0 } = recording ?? {}
    const { frames } = ask({ type: 'frames', session: sid, op, stream: 'tty' }, may)
    expect(frames[0]).toMatchObject({ at: 0, kind: 'r' })
    const { commands } = ask({ type: 'commands', session: sid, op }, may)
    const markers = frames.filter(({ kind }) => kind === 'm')
    expect(commands.map(({ at, text }) => [at, text])).toEqual(
      markers.map(({ at, data }) => [
        at,
        (JSON.parse(Buffer.from(data, 'base64').toString()) as { command: string }).command,
      ]),
    )
    expect(commands.length).toBeGreaterThan(0)
  })
})

describe('a record', () => {
  test('is found by its link, its index and the id that was told; a wrong link is said to be one', () => {
    const row = rows.find(({ action, target }) => action === 'db.query' && target === 'shop')
    const record = `${row?.seq}-${row?.hash.slice(0, 8)}`
    const found = ask({ type: 'record', record }, as(ALL))
    expect(found).toMatchObject({ status: 'found', row: { seq: row?.seq, hash: row?.hash } })
    const told = `${found.row?.session}.${found.row?.op}`
    expect(ask({ type: 'record', record: told }, as(ALL)).row).toEqual(found.row)
    expect(ask({ type: 'record', record: String(row?.seq) }, as(ALL)).row).toEqual(found.row)
    expect(ask({ type: 'record', record: `${row?.seq}-00000000` }, as(ALL)).status).toBe('differs')
    expect(ask({ type: 'record', record: '99999999' }, as(ALL)).status).toBe('pending')
    expect(refusal({ type: 'record', record: 'x; DROP TABLE entry' }, as(ALL))).toBe('query')
  })

  test('questions of another form are refused', () => {
    const wrong = { type: 'search', query: '', cursor: '0 OR 1' } as unknown as Question
    expect(refusal(wrong, as(OWN_SESSIONS_ONLY))).toBe('query')
  })
})

describe('roles of the configuration', () => {
  const loaded = loadGood(
    changed([
      [
        'roles:\n',
        'roles:\n  auditor: { read: { targets: { env: prod }, see: content } }\n  chief: { read: { targets: ["*"], see: replay, admin: true } }\n',
      ],
      [
        'grants:\n',
        'grants:\n  - { group: security, role: auditor, expires: 2027-01-01 }\n  - { user: ci, role: chief }\n',
      ],
    ]),
  )
  const before = Date.UTC(2026, 11, 1)

  test('grants with a role that reads give its rights, until they expire', () => {
    const rights = readingRights(loaded.config, { user: 'carol', groups: ['security'] }, before)
    expect(rights).toMatchObject({
      all: false,
      metadata: ['orders'],
      content: ['orders'],
      replay: [],
      verify: true,
    })
    const after = readingRights(loaded.config, { user: 'carol', groups: ['security'] }, Date.UTC(2027, 5, 1))
    expect(after).toMatchObject({ metadata: [], content: [], verify: false })
    expect(readingRights(loaded.config, { user: 'ci', groups: [] }, before)).toMatchObject({
      all: true,
      end: true,
      replay: ['*'],
    })
    expect(readingRights(loaded.config, { user: 'alice', groups: ['engineering'] }, before)).toMatchObject({
      all: false,
      metadata: [],
    })
  })
})
