/** Commands that ask a real gateway by its console, those that matter as processes of their own: what they say and refuse. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startEmbeddedPostgres } from '../../src/cli/demo/postgres.ts'
import type { Row } from '../../src/read/answers.ts'
import { OWN_SESSIONS_ONLY } from '../../src/read/rights.ts'
import { commandWithin, MAIN, startCommand } from '../support/gatebook.ts'
import { PASSWORD, type TestGateway } from '../support/gateway.ts'
import { openShop } from '../support/gateway-shop.ts'
import { type Outcome, run } from '../support/ssh-clients.ts'
import { gatewayOptions, sshThrough, startSshGateway } from '../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../support/ssh-sshd.ts'

const LOOK_EVERY_MS = 100
const LOOKS_MAX = 200

const undo = new AsyncDisposableStack()
let gateway: TestGateway
let folder: string
let sshd: Sshd
/** Of rita, who reads everything, meta, who knows only that something was run, and carol, who has no role at all. */
let rita: string
let meta: string
let carol: string
/** alice's, at the shop and at the host. */
let session: string
let shell: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'gatebook-remote-'))
  undo.defer(() => rmSync(folder, { recursive: true }))
  const server = undo.use(await startEmbeddedPostgres('superuser'))
  const shop = await openShop({ port: server.port, superuser: 'postgres', password: 'superuser' })
  sshd = undo.adopt(await startSshd(), (one) => one.stop())
  gateway = undo.use(
    await startSshGateway(sshd, {
      ...{ targets: shop.targets, files: shop.files ?? {} },
      changes: [
        ['auth:\n', '  console: { type: console, address: "127.0.0.1:0" }\nauth:\n'],
        ['  admin:\n', '  admin:\n    labels: { data: pii }\n'],
        [
          'groups:\n',
          '  rita: { groups: [reviewers] }\n  meta: { groups: [counters] }\ngroups:\n  reviewers: {}\n  counters: {}\n',
        ],
        [
          'roles:\n',
          'roles:\n  reviewer: { read: { targets: ["*"], see: replay, admin: true } }\n  counter: { read: { targets: ["*"] } }\n',
        ],
        [
          'grants:\n',
          'grants:\n  - { group: reviewers, role: reviewer }\n  - { group: counters, role: counter }\n',
        ],
      ],
    }),
  )
  ;[rita = '', meta = '', carol = ''] = ['rita', 'meta', 'carol'].map(
    (user) => gateway.createToken(user).secret,
  )
  const client = await psql()
  await client.query('select * from products where id = $1', [1])
  await client.query("select 'zebrafish'")
  await client.end()
  const sensitive = await psql('admin')
  await sensitive.query("select 'of the sensitive target'")
  await sensitive.end()
  await sshThrough(sshd, gateway, ['-tt', 'echo quokka; echo done'])
  session = await sessionWith('zebrafish action:db.*')
  shell = await sessionWith('quokka action:ssh.output')
}, 120_000)
afterAll(() => undo.disposeAsync())

async function psql(target = 'orders'): Promise<pg.Client> {
  const login = { user: `alice~${target}`, password: PASSWORD, database: 'shop' }
  const client = new pg.Client({ host: '127.0.0.1', port: gateway.port(), ...login })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

const address = (): string => `https://localhost:${gateway.port('console')}`
const where = (): readonly string[] => ['--gateway', address(), '--ca', gateway.caFile]

/** `gatebook` as somebody runs it on another machine: a process of its own. */
function gatebook(args: readonly string[], token = rita): Promise<Outcome> {
  return run('node', [MAIN, ...args, ...where()], { env: { GATEBOOK_TOKEN: token } })
}

/** The same command on the gateway's own machine. */
function here(args: readonly string[]): Promise<Outcome> {
  return commandWithin([...args, '--data', gateway.data])
}

function asRita(args: readonly string[], token = rita): Promise<Outcome> {
  return commandWithin([...args, ...where()], { GATEBOOK_TOKEN: token })
}

async function poll<T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (let looks = 0; looks < LOOKS_MAX; looks++) {
    const found = await look()
    if (found !== undefined) return found
    await new Promise((done) => setTimeout(done, LOOK_EVERY_MS))
  }
  throw new Error('it never came')
}

/** The first that it finds, when the index has it. */
function found(query: string): Promise<Row> {
  const rights = { ...OWN_SESSIONS_ONLY, all: true }
  return poll(async () => (await gateway.app.library.search({ sub: 'local', rights }, { query })).rows[0])
}

async function sessionWith(query: string): Promise<string> {
  return (await found(query)).session ?? ''
}

/** alice at a terminal of the host. */
function startTyping(): Disposable & { type(text: string): void } {
  const child = spawn('ssh', ['-tt', ...gatewayOptions(sshd, gateway), 'alice~web@127.0.0.1'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.stdin.on('error', () => undefined)
  return { type: (text) => void child.stdin.write(text), [Symbol.dispose]: () => void child.kill() }
}

function named(args: readonly string[]): readonly string[] {
  return args.map((arg) => (arg === 'SHOP' ? session : arg === 'SHELL' ? shell : arg))
}

const AT_THE_SHOP = 'action:db.* actor:alice target:orders'

/** What one of them says that speaks of the size of the book, which each look makes longer. */
const withoutSize = ({ err }: Outcome): string => err.replace(/book of .*/, '')

describe('what was recorded is told as on the control socket', () => {
  test.each<[string, readonly string[]]>([
    ['found', ['query', AT_THE_SHOP]],
    ['shown', ['sessions', 'show', 'SHOP']],
    ['played', ['sessions', 'play', 'SHELL']],
  ])('when it is %s by a process of its own', async (_, args) => {
    const [there, local] = await Promise.all([gatebook(named(args)), here(named(args))])
    expect(there).toEqual({ ...local, err: there.err })
    expect(withoutSize(there)).toBe(withoutSize(local))
    expect(there.out.length).toBeGreaterThan(30)
  })

  test.each<[string, readonly string[]]>([
    ['query -o json', ['query', AT_THE_SHOP, '-o', 'json']],
    ['query -o csv', ['query', AT_THE_SHOP, '-o', 'csv', '--limit', '1']],
    ['sessions ls', ['sessions', 'ls', 'actor:alice']],
    ['sessions ls -o json', ['sessions', 'ls', 'zebrafish', '-o', 'json']],
    ['sessions show -o json', ['sessions', 'show', 'SHELL', '-o', 'json']],
    ['sessions play', ['sessions', 'play', 'SHOP']],
  ])('%s', async (_, args) => {
    const there = await asRita(named(args))
    const local = await here(named(args))
    expect(there).toEqual({ ...local, err: there.err })
    expect(withoutSize(there)).toBe(withoutSize(local))
    expect(there.out.length).toBeGreaterThan(30)
  })

  test('by the address in GATEBOOK_URL, which gives way to --data', async () => {
    const args = ['query', 'zebrafish action:db.*']
    const env = { GATEBOOK_URL: address(), GATEBOOK_TOKEN: rita }
    expect((await commandWithin([...args, '--ca', gateway.caFile], env)).err).toMatch(/^1 row/)
    const local = await commandWithin([...args, '--data', gateway.data], {
      GATEBOOK_URL: 'https://gw.invalid',
    })
    expect(local.err).toMatch(/^1 row/)
  })

  test('stats', async () => {
    const { out, code } = await asRita(['stats', '--since', '90m', '-o', 'json'])
    expect(code).toBe(0)
    expect(JSON.parse(out.toString())).toMatchObject({ sessions: 3, open: 0, errors: 0, denied: 0 })
  })

  test.each(['text', 'cast', 'evidence'])('sessions export --format %s', async (format) => {
    const written = async (tell: typeof here, name: string): Promise<string> => {
      const output = join(folder, `${format}-${name}`)
      const { code, err } = await tell(['sessions', 'export', shell, '--format', format, '-o', output])
      expect(code, err).toBe(0)
      return output
    }
    const there = await written(asRita, 'there')
    const local = await written(here, 'local')
    if (format !== 'evidence') return expect(readFileSync(there)).toEqual(readFileSync(local))
    expect(recordsOf(there)).toEqual(recordsOf(local))
    expect(readFileSync(join(there, 'book.vkey'))).toEqual(readFileSync(join(local, 'book.vkey')))
  })

  test('a proof, which holds with the key that was kept elsewhere', async () => {
    const { record } = await found('zebrafish action:db.*')
    const output = join(folder, 'proof.json')
    const made = await gatebook(['proof', record, '--payloads', '-o', output])
    expect(made).toMatchObject({ code: 0, err: expect.stringContaining('the key it holds by came from') })
    const key = join(gateway.data, 'book.vkey')
    expect((await commandWithin(['verify', '--proof', output, '--key', key])).code).toBe(0)
    const [index] = record.split('-')
    const another = await asRita(['proof', `${index}-00000000`, '-o', join(folder, 'none')])
    expect(another).toMatchObject({ code: 4, err: expect.stringContaining('has the hash') })
  })
})

/** Each stands under the checkpoint of its own moment, so that their proofs differ. */
function recordsOf(evidence: string): readonly unknown[] {
  const lines = readFileSync(join(evidence, 'evidence.jsonl'), 'utf8').trim().split('\n')
  return lines.slice(1).map((line) => ({ ...JSON.parse(line), proof: undefined }))
}

describe('what comes by itself', () => {
  test('is followed, row by row', async () => {
    const token = join(folder, 'token')
    writeFileSync(token, `${rita}\n`)
    const args = ['query', 'capybara action:db.*', '--follow', '-o', 'json', '--token-file', token]
    using following = startCommand([...args, ...where()])
    // It has begun when its own record is there.
    await found('action:audit.search "capybara action" -actor:local')
    const client = await psql()
    await client.query("select 'capybara', 1")
    await client.query("select 'capybara', 2")
    await client.end()
    const rows = await poll(() => {
      const lines = following.out().split('\n').slice(0, -1)
      return lines.length < 2 ? undefined : lines
    })
    expect(rows.map((row) => (JSON.parse(row) as Row).text)).toEqual([
      "select 'capybara', 1",
      "select 'capybara', 2",
    ])
    expect(await following.interrupted()).toBe(0)
  })

  test('of a terminal is shown while somebody types, and no longer than the token holds', async () => {
    using typing = startTyping()
    const { session: sid } = await poll(async () =>
      (await gateway.live()).find(({ target }) => target === 'web'),
    )
    typing.type('echo first-$((40 + 2))\n')
    await found(`session:${sid} "first-42" action:ssh.output`)
    const lent = gateway.createToken('rita')
    using tail = startCommand(['sessions', 'tail', sid, ...where()], { GATEBOOK_TOKEN: lent.secret })
    await poll(() => tail.out().includes('first-42') || undefined)
    typing.type('echo second-$((40 + 3))\n')
    await poll(() => tail.out().includes('second-43') || undefined)
    gateway.revokeToken(lent.token.id)
    const said = await poll(() => tail.err() || undefined)
    expect(said).toMatch(/does not accept this token/)
  })
})

describe('sessions that are open', () => {
  test('are listed, and ended by those who may', async () => {
    const client = await psql()
    const ended = new Promise<Error>((done) => client.once('error', done))
    const live = await poll(async () => (await gateway.live()).find(({ target }) => target === 'orders'))
    const id = live.session
    const listed = await asRita(['sessions', 'ls', '-o', 'json'])
    expect(listed.out.toString()).toContain(`${JSON.stringify(live)}\n`)
    expect((await asRita(['sessions', 'ls'], carol)).out.toString()).not.toContain('orders')
    const refused = await gatebook(['sessions', 'kill', id], meta)
    expect(refused.code).toBe(3)
    expect(refused.err).toMatch(
      /^You may not end session .*\n {2}why : It is not yours.*\n {2}next: Ask the data people.*\n {2}id {2}: \S+\n$/,
    )
    const killed = await asRita(['sessions', 'kill', id, '--reason', 'time is up'])
    expect(killed).toMatchObject({ code: 0, err: `ended ${id}: alice on orders\n` })
    expect((await ended).message).toContain('time is up')
    await poll(async () => (await gateway.live()).every(({ session: one }) => one !== id) || undefined)
    const again = await asRita(['sessions', 'kill', id])
    expect(again).toMatchObject({ code: 2, err: `No session ${id} is open.\n` })
    const mistyped = await here(['sessions', 'kill', 'zz'])
    expect(mistyped).toMatchObject({ code: 2, err: 'expected the id of a session, 16 characters\n' })
  })
})

describe('what may not be seen', () => {
  test('is not there for others', async () => {
    const nothing = await asRita(['query', 'zebrafish action:db.*', '-o', 'json'], carol)
    expect(nothing).toMatchObject({ code: 0, err: expect.stringMatching(/^0 rows/) })
    expect(nothing.out.toString()).toBe('')
    const shown = await asRita(['sessions', 'show', session], carol)
    const local = await here(['sessions', 'show', 'aaaaaaaaaaaaaaaa'])
    expect(shown).toMatchObject({ code: 1, err: local.err.replace('aaaaaaaaaaaaaaaa', session) })
  })

  test('is refused where it is known of', async () => {
    const refused = await asRita(['query', 'table:products'], meta)
    expect(refused).toMatchObject({
      code: 3,
      err: expect.stringMatching(/this searches in what was run.*\n {2}next: Ask the data/),
    })
  })

  test('is opened for a reason, where one is asked for', async () => {
    const sid = await sessionWith('target:admin action:session.start')
    const without = await asRita(['sessions', 'show', sid])
    expect(without).toMatchObject({ code: 3, err: expect.stringMatching(/reason.*\n {2}next: Say why/) })
    const opened = await asRita(['sessions', 'show', sid, '--reason', 'müde?'])
    expect(opened.out.toString()).toContain('of the sensitive target')
    await found('action:audit.view "müde" -actor:local')
  })

  test('a search that is none is shown with its place', async () => {
    const refused = await asRita(['query', 'acter:alice'])
    expect(refused).toEqual({ ...(await here(['query', 'acter:alice'])), code: 2 })
  })
})
