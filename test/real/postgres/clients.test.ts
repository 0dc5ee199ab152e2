/** Clients in other languages: through the gateway they print what they print without, and the book has what they did. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { front, logIn, openRaw } from '../../support/clients-raw.ts'
import type { Operation } from '../../support/gateway-book.ts'
import { BothWays, clientFile, type Program, type Way } from './both-ways.ts'

const JDBC = '/usr/share/java/postgresql.jar'
const classes = mkdtempSync(join(tmpdir(), 'gatebook-java-'))

beforeAll(() => {
  const made = spawnSync('javac', ['-cp', JDBC, '-d', classes, clientFile('Jdbc.java')], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(made.stderr)
})
afterAll(() => rmSync(classes, { recursive: true }))

/** Debian's own python, whatever stands before it on the path. */
const CLIENTS: readonly (readonly [name: string, program: Program])[] = [
  ['psycopg2', { command: '/usr/bin/python3', args: [clientFile('psycopg2_client.py')] }],
  ['psycopg3', { command: '/usr/bin/python3', args: [clientFile('psycopg3_client.py')] }],
  ['asyncpg', { command: '/usr/bin/python3', args: [clientFile('asyncpg_client.py')] }],
  ['dbd-pg', { command: 'perl', args: [clientFile('dbd.pl')] }],
  ['jdbc', { command: 'java', args: ['-cp', `${classes}:${JDBC}`, 'Jdbc'] }],
]

/** node-postgres by its own means: portions of a portal, rows as they come, named statements, cancelling. */
async function nodePostgres({ port, user, password }: Way): Promise<string[]> {
  const connection = { host: '127.0.0.1', port, user, password, database: 'shop', application_name: 'pg' }
  const client = new pg.Client(connection)
  const told: string[] = []
  const tell = (what: string, value: unknown): number => told.push(`${what} ${JSON.stringify(value)}`)
  const queryThat = <T>(query: pg.Submittable & { on(event: string, heard: (value: T) => void): unknown }) =>
    new Promise<T[]>((resolve) => {
      const rows: T[] = []
      query.on('row', (row) => rows.push(row))
      query.on('error', (error) => resolve([...rows, error]))
      query.on('end', () => resolve(rows))
      client.query(query)
    })
  client.on('notice', ({ severity, message }) => tell('notice', [severity, message]))
  client.on('notification', ({ channel, payload }) => tell('notification', [channel, payload]))
  await client.connect()
  const values = [1, 'naïve 😀', [1, null], { a: [1] }, Buffer.from([0, 255]), new Date(0), null, true, 12.5]
  const casts = ['int', 'text', 'int[]', 'jsonb', 'bytea', 'timestamptz', 'text', 'bool', 'numeric']
  const text = `select ${casts.map((cast, i) => `$${i + 1}::${cast} as c${i}`).join(', ')}`
  for (const binary of [false, true])
    tell('types', (await client.query({ text, values, binary } as pg.QueryConfig)).rows)
  const series = 'select n, $1::text as t from generate_series(1, 25) n'
  tell('portions', await queryThat(new pg.Query({ text: series, values: ['x'], rows: 4 } as pg.QueryConfig)))
  tell('rows', (await queryThat(new pg.Query('select n from generate_series(1, 2000) n'))).length)
  tell(
    'rows, then an error',
    await queryThat(new pg.Query('select 6 / (3 - n) from generate_series(1, 5) n')),
  )
  await client.query('begin; declare c cursor for select n from generate_series(1, 100) n')
  tell('cursor', (await client.query('fetch 3 from c')).rows)
  await client.query('rollback')
  for (let n = 0; n < 3; n++)
    tell('named', (await client.query({ name: 's', text: series, values: [n] })).rows.length)
  tell('several', (await client.query('select 1 as a; select 2 as b')) as unknown)
  await client.query("do $$ begin raise notice 'noted'; end $$; listen news; notify news, 'hello'")
  const refused = await client.query('select $1::int', ['x']).catch((error: unknown) => error)
  tell('refused', refused)
  await client.end()
  return told
}

const isOfTypes = ({ act, text }: Operation): boolean =>
  act === 'db.execute' && text?.startsWith('select $1::int4, $2::int8') === true

/** What the book says of asyncpg's binary parameters, by type; of a range, which it has no words for, the bytes. */
const DECODED = [
  ...[-5, '4611686018427387904', 1.5, '79228162514264337593543950335.000001', 'naïve 😀', '\\x0001fe'],
  ...['1999-12-31', '2026-06-01T12:30:15.25Z', 'P0M3DT7S', '12345678-1234-5678-1234-567812345678'],
  ...[
    [1, null, 3],
    [
      ['a', 'b'],
      ['c', null],
    ],
    '{"k": [1, 2]}',
    true,
    null,
    '10.0.0.7',
  ],
  { oid: 3904, hex: '020000000400000001000000040000000a' },
]

describe.each([15, 18] as const)('against PostgreSQL %i', (release) => {
  let ways: BothWays

  beforeAll(async () => {
    ways = await BothWays.start(release)
  })
  afterAll(() => ways[Symbol.asyncDispose]())

  test.each(CLIENTS)('%s', async (name, program) => {
    const { direct, through } = await ways.run(program)
    expect(direct).toMatchObject({ code: 0, stderr: '' })
    expect(through).toEqual(direct)
    const [session] = await ways.endedSessions()
    expect(session?.why).toBe('client')
    expect(session?.operations.filter(({ out }) => out === undefined)).toEqual([])
    if (name === 'asyncpg') expect(session?.operations.find(isOfTypes)?.args).toEqual(DECODED)
  })

  test('of protocol 3.2, whose longer secret cancels', async () => {
    const { port, user, password } = ways.through
    const session = await logIn({ port, user, password, database: 'shop', version: 0x30002 })
    expect(session.greeting.map(({ tag }) => tag)).not.toContain('v')
    expect(session.secret.length).toBe(32)
    session.send(front.query('select pg_sleep(60)'))
    const asleep = await logIn({ ...ways.direct, database: 'shop' })
    const isAsleep = async (): Promise<string> =>
      JSON.stringify(
        await asleep.query("select 'found' from pg_stat_activity where query = 'select pg_sleep(60)'"),
      )
    await expect.poll(isAsleep).toContain('SELECT 1')
    const cancel = await openRaw({ port })
    cancel.send(front.cancelRequest(session.pid, session.secret))
    await cancel.closed
    expect((await session.until('Z')).map(({ fields }) => fields['C'])).toContain('57014')
    for (const one of [session, asleep]) one.destroy()
    const [told] = await ways.endedSessions()
    expect(told?.operations.map(({ act, out }) => `${act} ${out}`)).toEqual([
      'db.query error',
      'db.cancel ok',
    ])
  })

  test('pg', async () => {
    const direct = await nodePostgres(ways.direct)
    expect(await nodePostgres(ways.through)).toEqual(direct)
    expect(direct.length).toBeGreaterThan(12)
    const [session] = await ways.endedSessions()
    expect(session?.why).toBe('client')
    const portions = session?.operations.filter(
      ({ text, act }) => act === 'db.execute' && text?.includes('25) n'),
    )
    // Six of four rows, the last one, and three named ones.
    expect(portions?.map(({ rows }) => rows)).toEqual([4, 4, 4, 4, 4, 4, 1, 25, 25, 25])
  })
})
