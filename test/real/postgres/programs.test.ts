/** PostgreSQL's own programs: through the gateway they print what they print without. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Session } from '../../support/gateway-book.ts'
import { BothWays, type Program, type Ran, run } from './both-ways.ts'
import { EVERY_KIND } from './every-kind.ts'

const folder = mkdtempSync(join(tmpdir(), 'gatebook-programs-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** psql that says everything it can, and stops at nothing. */
function psql(input: string, args: readonly string[] = []): Program {
  return { command: 'psql', args: ['-X', '-a', '-v', 'VERBOSITY=verbose', ...args, '-f', '-'], input }
}

/** Without what differs between any two runs: process and object ids, the port in psql's own words, pg_dump's random key. */
function plain({ code, stdout, stderr }: Ran): Ran {
  const words = (text: string): string =>
    text
      .replace(/PID \d+/g, 'PID')
      .replace(/port "?\d+"?/g, 'port')
      .replace(/pg_temp_\d+/g, 'pg_temp')
      .replace(/lo_unlink \d+/g, 'lo_unlink')
      .replace(/^(\\(?:un)?restrict) \w+$/gm, '$1')
  return { code, stdout: words(stdout), stderr: words(stderr) }
}

interface Same {
  readonly ran: Ran
  /** That came through meanwhile; each of their operations has an outcome. */
  readonly sessions: readonly Session[]
}

async function same(ways: BothWays, program: Program): Promise<Same> {
  const { direct, through } = await ways.run(program)
  expect(plain(through)).toEqual(plain(direct))
  return { ran: direct, sessions: await ended(ways) }
}

async function ended(ways: BothWays): Promise<readonly Session[]> {
  const sessions = await ways.endedSessions()
  for (const { why, operations } of sessions) {
    expect(why).toBe('client')
    expect(operations.filter(({ out }) => out === undefined)).toEqual([])
  }
  return sessions
}

/** Debian 12 has psql 15, which knows no \\bind. */
const RELEASE = Number(/\d+/.exec(spawnSync('psql', ['--version'], { encoding: 'utf8' }).stdout)?.[0])
const BIND = RELEASE < 16 ? '' : "select $1::int + 1, $2::text \\bind 41 'it''s' \\g"

const DESCRIBE = [
  ...[
    '',
    'a',
    'A',
    'b',
    'c',
    'C',
    'd',
    'dp',
    'D',
    'e',
    'E',
    'ew',
    'es',
    'eu',
    'et',
    'f',
    'F',
    'Fd',
    'Fp',
    'Ft',
  ],
  ...[
    'g',
    'i',
    'l',
    'L',
    'm',
    'n',
    'o',
    'O',
    'p',
    'P',
    'rds',
    'Rp',
    'Rs',
    's',
    't',
    'T',
    'u',
    'v',
    'x',
    'X',
    'y',
  ],
].map((letters) => `\\d${letters}`)

describe.each([15, 18] as const)('against PostgreSQL %i', (release) => {
  let ways: BothWays

  beforeAll(async () => {
    ways = await BothWays.start(release)
    const made = await run(psql(EVERY_KIND, ['-q', '-v', 'ON_ERROR_STOP=1']), ways.direct)
    expect(made).toMatchObject({ code: 0 })
  })
  afterAll(() => ways[Symbol.asyncDispose]())

  test('psql: all of \\d, with system objects and with details', async () => {
    const script = [
      ...DESCRIBE,
      ...DESCRIBE.map((command) => `${command}+`),
      ...[
        '\\dS',
        '\\dfS+ lo*',
        '\\doS',
        '\\dTS+',
        '\\dt *.*',
        '\\d kinds.*',
        '\\d+ kinds.*',
        '\\l',
        '\\z',
        '\\sf kinds.twice',
      ],
      ...['\\sv kinds.seen', '\\dconfig', '\\encoding', '\\h select', '\\du+'],
    ].join('\n')
    const { ran } = await same(ways, psql(script))
    expect(ran.stdout).toMatch(/Table "kinds\.item"/)
  })

  test('psql: errors, variables, \\gset, \\gexec, \\crosstabview, \\copy both ways, large objects', async () => {
    const file = join(folder, `copied-${release}`)
    const script = `
      \\set FETCH_COUNT 3
      select n, 'row ' || n as t from generate_series(1, 10) n;
      \\unset FETCH_COUNT
      select 1 as one, 'it''s' as two \\gset
      select :one, :'two', :"one";
      select format('select %L', n) from generate_series(1, 3) n \\gexec
      select 'a' as r, 'b' as c, 1 as v \\crosstabview
      select * from kinds.item where id = 1 \\gx
      create temp table pair (n int primary key, t text);
      \\copy (select n, repeat('x', n) from generate_series(1, 500) n) to '${file}' with (format csv, header)
      \\copy pair from '${file}' with (format csv, header)
      \\copy pair (n) from pstdin
7
\\.
      copy pair from stdin;
1000\tone
1001\t\\N
\\.
      copy (select * from pair where n > 490 order by n) to stdout;
      begin; savepoint s; insert into pair values (1000); rollback to s; select count(*) from pair; commit;
      select 1 / 0; select * from nowhere; insert into pair values ('x');
      \\errverbose
      begin; select 1 / 0; select 1; commit;
      select 1 \\; select 2 \\; select 1 / 0 \\; select 3;
      do $$ begin raise notice 'noted' using hint = 'take care'; raise exception 'thrown' using errcode = 'P0099', detail = 'the detail'; end $$;
      listen news; notify news, 'hello';
      prepare p as select $1::int + 1; execute p(7); deallocate p;
      \\gdesc
      select 1 as a, now() as b \\gdesc
      \\lo_import '${file}' 'imported'
      \\lo_export :LASTOID '${file}-out'
      \\lo_unlink :LASTOID
      set client_encoding = 'LATIN1'; select 'größe', octet_length('größe'); reset client_encoding;
      explain (costs off) select * from kinds.item where id = 1;
      ${BIND}
    `
    const { ran, sessions } = await same(ways, psql(script.replace(/^ +(?=\\)/gm, '')))
    expect(ran.stderr).toContain('ERROR:  22012: division by zero')
    const acts = new Set(sessions.flatMap(({ operations }) => operations.map(({ act }) => act)))
    expect([...acts].sort()).toEqual(['db.call', 'db.copy', 'db.prepare', 'db.query'])
  })

  test('psql: \\watch until ^C, ^C of what runs, statements behind it', async () => {
    const tick = "select 'tick' \\watch 0.05\nselect 'behind';\n"
    const watching = { ...psql(tick), interruptWhen: (told: string) => told.includes('tick\n(1 row)') }
    const watched = await ways.run(watching)
    for (const { stdout } of [watched.direct, watched.through]) expect(stdout).toContain('(every 0.05s)')
    // 3 where ^C met the statement, and 0 where it met the pause behind it: either way, directly too.
    for (const { code } of [watched.direct, watched.through]) expect([0, 3]).toContain(code)
    const isAsleep =
      "select 1 from pg_stat_activity where query = 'select pg_sleep(60);' and state = 'active'"
    const sleeping = {
      ...psql("select pg_sleep(60);\nselect 'behind';\n"),
      interruptWhen: async () =>
        (await run(psql(isAsleep, ['-t', '-A']), ways.direct)).stdout.endsWith('\n1\n'),
    }
    const { ran, sessions } = await same(ways, sleeping)
    expect(ran.stderr).toContain('canceling statement due to user request')
    const operations = sessions.flatMap((session) => session.operations)
    expect(operations.find(({ text }) => text === 'select pg_sleep(60);')).toMatchObject({
      out: 'error',
      code: '57014',
    })
    expect(operations.findLast(({ act }) => act === 'db.cancel')).toMatchObject({ out: 'ok' })
  })

  test('pgbench: -i, simple, extended, prepared and pipelined', async () => {
    const pipeline = join(folder, 'pipeline.sql')
    await run({ command: 'sh', args: ['-c', `cat > ${pipeline}`], input: PIPELINE }, ways.direct)
    const made = await run({ command: 'pgbench', args: ['-i', '-s', '1', '-q'] }, ways.through)
    expect(made).toMatchObject({ code: 0 })
    for (const mode of ['simple', 'extended', 'prepared']) {
      const args = ['-n', '-M', mode, '-c', '4', '-t', '25', '--random-seed=7']
      const { code, stdout, stderr } = await run({ command: 'pgbench', args }, ways.through)
      expect([code, stderr]).toEqual([0, expect.not.stringContaining('error')])
      expect(stdout).toContain('number of transactions actually processed: 100/100')
    }
    const args = ['-n', '-M', 'extended', '-c', '4', '-t', '25', '-f', pipeline]
    const { code, stdout } = await run({ command: 'pgbench', args }, ways.through)
    expect(code).toBe(0)
    expect(stdout).toContain('number of transactions actually processed: 100/100')
    const sum = await run(psql('select count(*), sum(delta) is not null from pgbench_history'), ways.direct)
    expect(sum.stdout).toContain('300 | t')
    const operations = (await ended(ways)).flatMap((session) => session.operations)
    expect(operations.filter(({ out }) => out !== 'ok')).toEqual([])
    const updates = operations.filter(
      ({ act, text }) => act !== 'db.prepare' && text?.startsWith('UPDATE pgbench_tellers'),
    )
    expect(updates).toHaveLength(300)
  })
})

const PIPELINE = `\\set a random(1, 100000)
\\startpipeline
begin;
select abalance from pgbench_accounts where aid = :a;
update pgbench_accounts set abalance = abalance + 1 where aid = :a;
commit;
\\endpipeline
`

describe('pg_dump and pg_restore', () => {
  let ways: BothWays

  beforeAll(async () => {
    ways = await BothWays.start(15)
    const made = await run(psql(EVERY_KIND, ['-q', '-v', 'ON_ERROR_STOP=1']), ways.direct)
    expect(made).toMatchObject({ code: 0 })
  })
  afterAll(() => ways[Symbol.asyncDispose]())

  test('a plain dump is the same byte for byte, and so is pg_dumpall', async () => {
    const { ran } = await same(ways, { command: 'pg_dump', args: ['--blobs', '--inserts', '--create'] })
    expect(ran.stdout).toContain('lowrite')
    await same(ways, { command: 'pg_dump', args: [] })
    await same(ways, { command: 'pg_dumpall', args: ['--globals-only', '--no-role-passwords'] })
  })

  test('a directory dumped and restored by several connections gives the same database', async () => {
    const dump = join(folder, 'dump')
    const dumped = await run({ command: 'pg_dump', args: ['-Fd', '-j', '3', '-f', dump] }, ways.through)
    expect(dumped).toEqual({ code: 0, stdout: '', stderr: '' })
    await run({ command: 'createdb', args: ['restored'] }, ways.direct)
    const args = ['-d', 'restored', '-j', '3', '--exit-on-error', dump]
    const restored = await run({ command: 'pg_restore', args }, ways.through)
    expect(restored).toEqual({ code: 0, stdout: '', stderr: '' })
    const original = await run({ command: 'pg_dump', args: [] }, ways.direct)
    const copy = await run({ command: 'pg_dump', args: ['restored'] }, ways.direct)
    expect(plain(copy)).toEqual(plain(original))
    const sessions = await ended(ways)
    expect(sessions.length).toBeGreaterThan(6)
    const acts = new Set(sessions.flatMap(({ operations }) => operations.map(({ act }) => act)))
    expect([...acts].sort()).toEqual(expect.arrayContaining(['db.call', 'db.copy', 'db.query']))
  })
})
