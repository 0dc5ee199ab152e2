import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { SqlReader } from '../../../protocols/postgres/sql.ts'
import { accessList, accessWhy } from '../../../src/cli/access.ts'
import { temporaryFolder } from '../../support/access.ts'
import { TestClock } from '../../support/clock.ts'
import { changed } from '../../support/config.ts'
import { captureIo, exitOf } from '../../support/io.ts'

const clock = new TestClock(Date.UTC(2027, 0, 4, 12))
const config = join(temporaryFolder(), 'config.yaml')
let reader: SqlReader

beforeAll(async () => {
  reader = await SqlReader.load()
  const text = changed([
    [
      '    max_rows: 100\n',
      '    max_rows: 100\n    statements: { allow: [SELECT, DELETE] }\n  shell:\n    targets: ["w*"]\n    hours: { tz: UTC, days: [sat], from: "08:00", to: "19:00" }\n',
    ],
    [
      '  - { group: engineering, role: reader }\n',
      '  - { group: engineering, role: reader }\n  - { user: ci, role: shell, expires: 2027-06-30 }\n',
    ],
  ])
  writeFileSync(config, text)
})

const readSql = (_: string, sql: string) => Promise.resolve(reader.read(new TextEncoder().encode(sql), true))

async function list(target?: string, output: 'text' | 'json' = 'text') {
  const { io, out, err } = captureIo()
  const code = await exitOf(
    accessList({ config, output, clock, ...(target === undefined ? {} : { target }) }, io),
    io,
  )
  return { code, out: out().replaceAll(config, 'config.yaml'), err: err() }
}

async function why(user: string, target: string, sql?: string) {
  const { io, out, err } = captureIo()
  const code = await exitOf(
    accessWhy(
      { config, output: 'text', clock, user, target, readSql, ...(sql === undefined ? {} : { sql }) },
      io,
    ),
    io,
  )
  return { code, lines: out().replaceAll(config, 'config.yaml').split('\n').slice(0, -1), err: err() }
}

test('everybody’s ways to every target', async () => {
  const rows = (await list()).out.split('\n').slice(0, -1)
  expect(rows.map((row) => row.split(/ {2,}/))).toEqual([
    ['USER', 'TARGET', 'TYPE', 'ROLE', 'THROUGH', 'NOW', 'LIMITS', 'LINE'],
    [
      ...['alice', 'orders', 'postgres', 'reader', 'group engineering', 'holds'],
      ...['SELECT, DELETE; at most 100 rows', 'config.yaml:38'],
    ],
    [
      ...['ci', 'web', 'ssh', 'shell', 'own grant', 'outside-hours'],
      ...['sat 08:00-19:00 UTC; until 2027-07-01T00:00Z', 'config.yaml:39'],
    ],
  ])
  expect(new Set(rows.map((row) => row.search(/LINE|config\.yaml/))).size, 'the columns stand straight').toBe(
    1,
  )
})

test('the ways to one, also as JSON', async () => {
  expect(JSON.parse((await list('web', 'json')).out)).toEqual([
    {
      user: 'ci',
      target: 'web',
      type: 'ssh',
      role: 'shell',
      standing: 'outside-hours',
      limits: 'sat 08:00-19:00 UTC; until 2027-07-01T00:00Z',
      line: 'config.yaml:39',
    },
  ])
  expect(await list('nothing')).toEqual({
    code: 2,
    out: '',
    err: 'no target is called "nothing"\n',
  })
})

test('why somebody may', async () => {
  expect(await why('alice', 'orders')).toEqual({
    code: 0,
    lines: ['ALLOWED as reader', '  group engineering → reader (config.yaml:38): holds'],
    err: '',
  })
  expect(await why('alice', 'orders', 'DELETE FROM t WHERE id = 1')).toMatchObject({
    code: 0,
    lines: [
      'ALLOWED by role reader',
      '  the statement does: DELETE t (write)',
      '  group engineering → reader (config.yaml:38): holds',
    ],
  })
})

test('why somebody may not', async () => {
  expect(await why('alice', 'orders', 'DELETE FROM payments')).toEqual({
    code: 3,
    lines: [
      'DENIED: DELETE on payments is not allowed by policy "no-bare-delete". Refused here: DELETE without a WHERE.',
      '  policy no-bare-delete (config.yaml:41): Refused here: DELETE without a WHERE.',
      '  the statement does: DELETE payments without WHERE (write)',
      '  group engineering → reader (config.yaml:38): holds',
      '  next: Ask whoever administers this gateway.',
    ],
    err: '',
  })
  expect(await why('alice', 'orders', 'DROP TABLE t')).toMatchObject({
    code: 3,
    lines: expect.arrayContaining([
      '  role reader (config.yaml:30): allows SELECT, DELETE',
      '  the statement does: DROP t (define)',
    ]),
  })
  expect(await why('ci', 'web')).toMatchObject({
    code: 3,
    lines: [
      'DENIED: Your role shell holds sat 08:00-19:00 UTC.',
      '  user ci → shell (config.yaml:39): is outside its hours',
      '  next: Ask whoever administers this gateway.',
    ],
  })
})

test('names that are none are told, and SSH takes no SQL', async () => {
  expect(await why('zoe', 'orders')).toMatchObject({ code: 3, lines: ['no user is called "zoe"'] })
  expect(await why('alice', 'nothing', 'SELECT 1')).toMatchObject({
    code: 3,
    lines: ['no target is called "nothing"'],
  })
  expect(await why('ci', 'web', 'SELECT 1')).toMatchObject({
    code: 2,
    err: '"web" is an SSH target: it takes no SQL\n',
  })
})

test('what was typed moves no cursor', async () => {
  const { lines } = await why('alice', 'orders', 'DELETE FROM "\u001b[2J\u202e"')
  expect(lines.join('')).toContain('␛[2J<U+202E>')
})
