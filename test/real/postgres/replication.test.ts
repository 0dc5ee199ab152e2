/**
 * Replication is refused, unless a role allows it. Then PostgreSQL's own programs do through the gateway what they do
 * without, and the server's log has the commands that the book has.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PASSWORD, TestGateway } from '../../support/gateway.ts'
import type { BookReader, Note, ReadBook, Session } from '../../support/gateway-book.ts'
import { openShop } from '../../support/gateway-shop.ts'
import { type PostgresServer, startServer } from '../../support/postgres-server.ts'
import { type Program, type Ran, run } from './both-ways.ts'
import { compareWithLog } from './witness.ts'

const PROGRAMS = '/usr/lib/postgresql/15/bin'
const folder = mkdtempSync(join(tmpdir(), 'gatebook-replication-'))

let server: PostgresServer
let gateway: TestGateway
let reader: BookReader

beforeAll(async () => {
  const settings = { wal_level: 'logical', log_replication_commands: 'on', wal_keep_size: '64MB' }
  server = await startServer({ settings })
  const changes = [
    ['roles:', 'roles:\n  backup: { targets: [admin], replication: true }'],
    [
      'policies: []',
      'policies:\n  - { id: no-bare-delete, when: { verb: [DELETE], where: none }, then: deny }',
    ],
    ['grants:', 'grants:\n  - { user: carol, role: backup }'],
  ] as const
  gateway = await TestGateway.start({ ...(await openShop(server)), changes })
  reader = gateway.openBook()
})
afterAll(async () => {
  reader[Symbol.dispose]()
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

const through = (user: string, program: Program): Promise<Ran> =>
  run(program, { port: gateway.port(), user, password: PASSWORD })

/** What came through since the last call, once all of it has ended: complete by the server's own word. */
async function witnessed(count: number): Promise<readonly Session[]> {
  const isOver = ({ sessions }: ReadBook): boolean =>
    sessions.length >= count && sessions.every(({ why }) => why !== undefined)
  const { sessions } = await gateway.readWhen(isOver, reader)
  reader.forget()
  for (const session of sessions) {
    const pid = session.operations.find(({ meta }) => meta['pid'] !== undefined)?.meta['pid']
    expect(compareWithLog(session, await server.logOf(Number(pid)))).toEqual([])
  }
  return sessions
}

/** Operations by their first words, with the data that ran within them. */
function told(session: Session | undefined): string[] {
  return (session?.operations ?? []).map(({ act, text = '', out }) =>
    [act, ...(text === '' ? [] : [/^[A-Z_]+/.exec(text)?.[0] ?? text]), out].join(' '),
  )
}

describe('by a role with `replication`', () => {
  test('pg_basebackup makes a backup that its own verification accepts', async () => {
    const to = join(folder, 'backup')
    const args = ['-D', to, '-X', 'stream', '-c', 'fast', '--no-sync']
    expect(await through('carol~admin', { command: `${PROGRAMS}/pg_basebackup`, args })).toMatchObject({
      code: 0,
    })
    const verified = await through('', { command: `${PROGRAMS}/pg_verifybackup`, args: [to] })
    expect(verified.stderr + verified.stdout).toContain('backup successfully verified')

    const sessions = await witnessed(2)
    const base = sessions.find(({ operations }) => operations.some(({ text }) => text?.startsWith('BASE_')))
    const wal = sessions.find((one) => one !== base)
    expect(told(base)).toContain('db.query BASE_BACKUP ok')
    expect(told(wal)).toContain('db.query START_REPLICATION ok')
    const copy = base?.operations.find(({ act }) => act === 'db.copy')
    expect(copy).toMatchObject({ out: 'ok', meta: { content: 'not recorded' } })
    expect(copy?.bytes).toBeGreaterThan(10 << 20)
    const stream = wal?.operations.find(({ act }) => act === 'db.copy')
    const { in: sent, out: received } = (stream?.meta ?? {}) as Record<string, { bytes: number }>
    expect(stream?.meta['content']).toBe('not recorded')
    expect(sent?.bytes).toBeGreaterThan(0)
    expect(received?.bytes).toBeGreaterThan(0)
  })

  test('pg_receivewal writes the same log as the server has', async () => {
    const to = mkdtempSync(join(folder, 'wal-'))
    const first = String((await server.query('select pg_walfile_name(pg_current_wal_lsn()) as f'))[0]?.['f'])
    const ran = await through('carol~admin', {
      command: `${PROGRAMS}/pg_receivewal`,
      args: ['-D', to, '--no-sync', '-s', '1', '-v'],
      interruptWhen: async () => {
        await server.query('create table if not exists t (); drop table t; select pg_switch_wal()')
        return readdirSync(to).some((name) => name > first && !name.endsWith('.partial'))
      },
    })
    expect(ran).toMatchObject({ code: 0 })
    const whole = readdirSync(to).filter((name) => !name.endsWith('.partial'))
    const data = String((await server.query('show data_directory'))[0]?.['data_directory'])
    const same = whole.filter((name) =>
      readFileSync(join(to, name)).equals(readFileSync(join(data, 'pg_wal', name))),
    )
    expect(same).toEqual(whole)
    const [session] = await witnessed(1)
    expect(told(session)).toEqual(expect.arrayContaining(['db.query START_REPLICATION ok', 'db.copy ok']))
  })

  test('pg_recvlogical gets each change; T-PG-12: SQL on its connection is judged like any', async () => {
    const slot = ['-d', 'shop', '-S', 'changes']
    const recvlogical = (args: readonly string[], more: Partial<Program> = {}): Promise<Ran> =>
      through('carol~admin', { command: `${PROGRAMS}/pg_recvlogical`, args: [...slot, ...args], ...more })
    expect(await recvlogical(['--create-slot', '-P', 'test_decoding'])).toMatchObject({ code: 0 })
    await server.query('create table changed (i int); insert into changed values (41), (42)', 'shop')
    const got = await recvlogical(['--start', '-f', '-', '-s', '1'], {
      interruptWhen: (text) => text.includes('COMMIT') && text.includes('42'),
    })
    expect(got.stdout).toContain('table public.changed: INSERT: i[integer]:42')
    expect(await recvlogical(['--drop-slot'])).toMatchObject({ code: 0 })
    const sessions = await witnessed(3)
    const texts = sessions.flatMap(({ operations }) => operations.map(({ text }) => text ?? ''))
    for (const command of [
      'CREATE_REPLICATION_SLOT "changes"',
      'START_REPLICATION SLOT',
      'DROP_REPLICATION_SLOT',
    ])
      expect(texts.filter((text) => text.startsWith(command)).length, command).toBe(1)

    const sql = await through('carol~admin', {
      command: 'psql',
      args: [
        '-X',
        '-d',
        'dbname=shop replication=database',
        '-c',
        'delete from changed',
        '-c',
        'IDENTIFY_SYSTEM',
      ],
    })
    expect(sql.stderr).toContain('not allowed by policy "no-bare-delete"')
    expect(sql.stdout).toContain('shop')
    const [session] = await witnessed(1)
    expect(session?.operations.map(({ out }) => out)).toEqual(['denied', 'error', 'ok'])
    expect(session?.who['claims']).toMatchObject({ replication: 'database' })
  })

  test('a session ends with the right to replicate, and one without replication does not', async () => {
    const to = mkdtempSync(join(folder, 'wal-'))
    const ended = through('carol~admin', {
      command: `${PROGRAMS}/pg_receivewal`,
      args: ['-D', to, '--no-sync', '-n'],
    })
    await gateway.readWhen(({ sessions }) =>
      sessions.some(({ operations }) =>
        operations.some(({ act, out }) => act === 'db.copy' && out === undefined),
      ),
    )
    await gateway.reload([['replication: true', 'replication: false']])
    const { code, stderr } = await ended
    await gateway.reload([['replication: false', 'replication: true']])
    expect(code).toBe(1)
    expect(stderr).toContain('replication of "admin" is not allowed for carol')
    const [session] = await witnessed(1)
    expect(session?.why).toBe('admin')
  })
})

describe('without such a role', () => {
  test.each(['true', 'database'])(
    'replication=%s is refused, and the operator is told where',
    async (asked) => {
      const { code, stderr } = await through('alice~admin', {
        command: 'psql',
        args: ['-X', '-d', `dbname=shop replication=${asked}`, '-c', 'IDENTIFY_SYSTEM'],
      })
      expect(code).toBe(2)
      expect(stderr).toContain('replication of "admin" is not allowed for alice')
      expect(stderr).toContain('no role of yours (writer) has "replication"')
      expect(stderr).toMatch(/Record [a-z2-7]{16}\.\d+\./)
      const isTold = ({ kind, who }: Note): boolean =>
        kind === 'decision' && JSON.stringify(who).includes(`"replication":"${asked}"`)
      const { notes } = await gateway.readWhen((book) => book.notes.some(isTold))
      const denied = notes.find(isTold)
      expect(denied?.who['name']).toBe('alice')
      expect(JSON.stringify(denied?.note)).toMatch(/gatebook.yaml:\d+.*without replication/)
    },
  )

  test('pg_basebackup says why', async () => {
    const ran = await through('alice~admin', {
      command: `${PROGRAMS}/pg_basebackup`,
      args: ['-D', join(folder, 'none')],
    })
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain('replication of "admin" is not allowed for alice')
  })
})
