/** The API before a real gateway, book and index: what it answers, to whom, and what of that is recorded. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { z } from 'zod'
import { startEmbeddedPostgres } from '../../../src/cli/demo/postgres.ts'
import type { LiveSaid, SearchAnswer, SessionsAnswer } from '../../../src/http/api.ts'
import { Calling } from '../../../src/http/calling.ts'
import { ASKED, SUBSCRIPTIONS_MAX } from '../../../src/http/live.ts'
import { openApi } from '../../../src/http/openapi.ts'
import { isMedia, type Route } from '../../../src/http/route.ts'
import { routesOf } from '../../../src/http/routes.ts'
import { PASSWORD, TestGateway } from '../../support/gateway.ts'
import { openShop } from '../../support/gateway-shop.ts'
import { codeOf, WebClient } from '../../support/web-client.ts'

const undo = new AsyncDisposableStack()
let gateway: TestGateway
/** Reads everything. */
let rita: WebClient
/** Reads what was run at the shop, and ends nothing. */
let otto: WebClient
/** Knows only that something was run. */
let meta: WebClient
/** Has run something herself. */
let alice: WebClient
/** Has no role at all. */
let carol: WebClient
let session: string
let record: string

/** The index follows the book within a fifth of a second. */
const LOOK_EVERY_MS = 100
const LOOKS_MAX = 200

const CHANGES: readonly (readonly [string, string])[] = [
  ['auth:\n', '  console: { type: console, address: "127.0.0.1:0", require_tls: false }\nauth:\n'],
  [
    'groups:\n',
    '  rita: { groups: [admins], password: "file:password" }\n  otto: { groups: [readers2], password: "file:password" }\n  meta: { groups: [counters], password: "file:password" }\ngroups:\n  admins: {}\n  readers2: {}\n  counters: {}\n',
  ],
  [
    'roles:\n',
    'roles:\n  admin: { read: { targets: ["*"], see: replay, admin: true } }\n  look: { read: { targets: [orders], see: content, verify: false } }\n  count: { read: { targets: [orders], verify: false } }\n',
  ],
  [
    'grants:\n',
    'grants:\n  - { group: admins, role: admin }\n  - { group: readers2, role: look }\n  - { group: counters, role: count }\n',
  ],
]

async function psql(user: string, target = 'orders'): Promise<pg.Client> {
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port: gateway.port(), user: `${user}~${target}`, password: PASSWORD },
    database: 'shop',
  })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

beforeAll(async () => {
  const server = undo.use(await startEmbeddedPostgres('superuser'))
  const shop = await openShop({ port: server.port, superuser: 'postgres', password: 'superuser' })
  gateway = undo.use(await TestGateway.start({ ...shop, changes: CHANGES }))
  const client = await psql('alice')
  await client.query("SELECT 'secret word' FROM products WHERE id = $1", [1])
  await client.query('SELECT nothing FROM nowhere').catch(() => undefined)
  await client.end()
  const other = await psql('alice', 'admin')
  await other.query("SELECT 'for admins only'")
  await other.end()
  const clients = ['rita', 'otto', 'meta', 'alice', 'carol'].map(async (user) => {
    const one = new WebClient(gateway, 'console', true)
    await one.signIn(user, PASSWORD)
    return one
  })
  const [a, b, c, d, e] = await Promise.all(clients)
  if (!a || !b || !c || !d || !e) throw new Error('nobody')
  ;[rita, otto, meta, alice, carol] = [a, b, c, d, e]
  const found = async () =>
    ((await rita.get('/search?q=secret')).json as SearchAnswer).rows.find(({ text }) =>
      text?.includes('SELECT'),
    )
  let row = await found()
  for (let look = 0; row === undefined && look < LOOKS_MAX; look++) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    row = await found()
  }
  session = row?.session ?? ''
  record = row?.record ?? ''
}, 120_000)
afterAll(() => undo.disposeAsync())

const rowsOf = async (client: WebClient, query: string) =>
  ((await client.get(`/search?q=${encodeURIComponent(query)}`)).json as SearchAnswer).rows

/** The table as the gateway has it, with nothing behind: what is asked of it here needs no parts. */
const table = (): readonly Route[] => routesOf(new Calling({} as never))

describe('the OpenAPI document', () => {
  test('has every route and no other, each with its parameters', async () => {
    const { json } = await new WebClient(gateway, 'console', true).get('/openapi.json')
    expect(json).toEqual(JSON.parse(JSON.stringify(openApi(table(), '0.0.0-test'))))
    const { paths } = json as {
      paths: Record<string, Record<string, { parameters: { name: string; in: string }[] }>>
    }
    const told = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { parameters }]) => {
        const names = parameters.map(({ name, in: place }) => `${place}:${name}`).sort()
        return `${method} ${path} ${names.join(' ')}`
      }),
    )
    const had = table().map(({ method, path, params, query }) => {
      const names = [
        ...Object.keys(params).map((name) => `path:${name}`),
        ...Object.keys(query).map((name) => `query:${name}`),
      ].sort()
      return `${method} ${path} ${names.join(' ')}`
    })
    expect(told.sort()).toEqual(had.sort())
  })

  test('names each operation once', () => {
    const { paths } = openApi(table(), '') as {
      paths: Record<string, Record<string, { operationId: string }>>
    }
    const ids = Object.values(paths).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    )
    expect(new Set(ids).size).toBe(ids.length)
  })

  const FILLED: Readonly<Record<string, () => string>> = {
    '{sid}': () => session,
    '{record}': () => record,
    '{op}': () => '1',
    '{stream}': () => 'tty',
  }
  const QUERIES: Readonly<Record<string, string>> = {
    '/search': '?q=actor:alice&limit=5',
    '/summary': '?q=actor:alice&facets=actor,verb,table,status&bars=10',
    '/complete': '?q=act&at=3',
    '/overview': '?hours=1',
    '/sessions': '?limit=5',
    '/access/why': '?user=alice&target=orders&sql=DELETE%20FROM%20payments',
    '/book/leaves': '?from=0',
  }
  test.each(table().filter(({ method }) => method === 'get'))(
    'tells what $path answers',
    async ({ path, answer }) => {
      const filled = path.replaceAll(/\{\w+\}/g, (name) => FILLED[name]?.() ?? '')
      const { status, json, headers, text } = await rita.get(`${filled}${QUERIES[path] ?? ''}`)
      // The session has no terminal; that too is told in the form of refusals.
      if (path.endsWith('/recordings/{op}/{stream}')) {
        expect([status, codeOf({ status, json, headers, text })]).toEqual([404, 'not-found'])
        return
      }
      expect([path, status]).toEqual([path, 200])
      if (isMedia(answer)) expect(headers['content-type']).toBe(answer.media)
      // Nothing is answered that the form does not have: what it does not know, it would leave out.
      else expect((answer as z.ZodType).parse(json)).toEqual(json)
    },
  )
})

describe('who may see what', () => {
  test('engineers see their own sessions and statements', async () => {
    expect((await rowsOf(alice, 'secret')).length).toBeGreaterThan(0)
    const { sessions } = (await alice.get('/sessions')).json as SessionsAnswer
    expect(new Set(sessions.map(({ actor }) => actor))).toEqual(new Set(['alice']))
    expect((await alice.get(`/sessions/${session}`)).status).toBe(200)
  })

  test('others see nothing of them: not by searching, counting, completing, nor by guessing ids', async () => {
    for (const query of [
      '',
      'actor:alice',
      'target:orders',
      'table:products',
      'secret',
      `session:${session}`,
    ]) {
      const rows = await rowsOf(carol, query)
      expect([query, rows.filter(({ actor }) => actor === 'alice')]).toEqual([query, []])
    }
    const summary = (await carol.get('/summary?q=target:orders&facets=actor,table')).json as { count: number }
    expect(summary.count).toBe(0)
    expect((await carol.get('/complete?q=actor:al&at=8')).text).not.toContain('alice')
    for (const path of ['', '/timeline', '/commands', '/files', '/evidence', '/recordings/1/tty'])
      expect([path, (await carol.get(`/sessions/${session}${path}`)).status]).toEqual([path, 404])
    expect((await carol.get(`/records/${record}/proof`)).status).toBe(404)
    const seen = await carol.get(`/records/${record}`)
    expect(seen.text).not.toContain('secret')
    expect(
      (await carol.get('/sessions/aaaaaaaaaaaaaaaa')).json,
      'what is not there is refused in the same words',
    ).toEqual(
      JSON.parse((await carol.get(`/sessions/${session}`)).text.replaceAll(session, 'aaaaaaaaaaaaaaaa')),
    )
  })

  test('readers see what is run at their targets, and nothing of other targets', async () => {
    expect((await rowsOf(otto, 'secret')).length).toBeGreaterThan(0)
    expect(await rowsOf(otto, 'admins')).toEqual([])
    expect(await rowsOf(otto, 'target:admin')).toEqual([])
  })

  test('whoever counts sees that something was run, and not what', async () => {
    const rows = await rowsOf(meta, 'target:orders action:db.*')
    expect(rows.length).toBeGreaterThan(0)
    expect(rows.map(({ text, tables, withheld }) => [text, tables, withheld])).toEqual(
      rows.map(() => [undefined, undefined, 'right']),
    )
    expect(codeOf(await meta.get('/search?q=secret'))).toBe('forbidden')
    const one = await meta.get(`/records/${record}`)
    expect([one.status, one.text.includes('secret word')]).toEqual([200, false])
  })

  test.each([
    ['the configuration', 'get', '/settings'],
    ["the book's leaves", 'get', '/book/leaves?from=0'],
    ["the book's checkpoints", 'get', '/book/checkpoints'],
    ["others' access", 'get', '/access/why?user=alice&target=admin'],
  ] as const)('%s: refused with a record', async (_, __, path) => {
    const before = (await rowsOf(rita, 'actor:otto is:denied')).length
    const answer = await otto.get(path)
    expect([answer.status, codeOf(answer)]).toEqual([403, 'forbidden'])
    const { error } = answer.json as { error: { record: string; next: string } }
    expect(error).toMatchObject({
      record: expect.stringMatching(/^[a-z2-7]{16}\.\d+$/),
      next: 'Ask the data people.',
    })
    await expect.poll(async () => (await rowsOf(rita, 'actor:otto is:denied')).length).toBe(before + 1)
    expect((await rita.get(`/records/${error.record}`)).json).toMatchObject({ status: 'found' })
  })

  test('the configuration is shown to whoever may see all, without secrets', async () => {
    const { json } = await rita.get('/settings')
    const { effective } = json as { effective: string }
    expect(effective).toContain('file:')
    expect(effective).not.toContain('SCRAM-SHA-256$')
    expect(effective).not.toContain(PASSWORD)
  })
})

describe('looking is recorded', () => {
  test('with the words searched for, before the answer', async () => {
    const word = 'rhinoceros'
    await rowsOf(rita, word)
    const { notes } = gateway.read()
    expect(
      notes.filter(({ kind }) => kind === 'audit.read').map(({ note }) => JSON.stringify(note)),
    ).toContainEqual(expect.stringContaining(word))
  })

  test('whether or not something may be seen', async () => {
    await carol.get(`/sessions/${session}`)
    const { notes } = gateway.read()
    const refused = notes.filter(
      ({ kind, note }) => kind === 'audit.read' && JSON.stringify(note).includes('refused'),
    )
    expect(refused.length).toBeGreaterThan(0)
  })
})

describe('open sessions', () => {
  const live = async (client: WebClient) =>
    ((await client.get('/live')).json as { sessions: { session: string; user: string; mayEnd: boolean }[] })
      .sessions

  test('T-PG-07: are shown to whoever may know of them, and ended by whoever may', async () => {
    const client = await psql('alice')
    const ended = new Promise<Error>((resolve) => client.once('error', resolve))
    await expect.poll(() => live(rita)).toMatchObject([{ user: 'alice', mayEnd: true }])
    const [shown] = await live(rita)
    const sid = shown?.session ?? ''
    expect(await live(otto)).toMatchObject([{ session: sid, mayEnd: false }])
    expect(await live(alice)).toMatchObject([{ session: sid, mayEnd: true }])
    expect(await live(carol)).toEqual([])

    expect(codeOf(await carol.post(`/live/${sid}/end`, {}))).toBe('not-found')
    const refused = await otto.post(`/live/${sid}/end`, {})
    expect([refused.status, codeOf(refused)]).toEqual([403, 'forbidden'])
    expect((await rita.post(`/live/${sid}/end`, { reason: 'lunch' })).status).toBe(200)
    expect(await ended).toMatchObject({ message: expect.stringContaining('lunch') })
    await expect.poll(() => live(rita)).toEqual([])
    const { notes } = await gateway.readWhen((book) => book.notes.some(({ act }) => act === 'session.kill'))
    expect(notes).toContainEqual(
      expect.objectContaining({ kind: 'admin', act: 'session.kill', about: sid, note: { reason: 'lunch' } }),
    )
  })
})

describe('watching a terminal', () => {
  const watch = (client: WebClient, path: string) =>
    new Promise<number | string>((resolve) => {
      const { host, origin, cookie } = client
      const socket = new WebSocket(
        `ws://127.0.0.1:${gateway.port('console')}/api/v1/sessions/${path}`,
        'v3.asciicast',
        { headers: { host, origin, cookie } },
      )
      socket.once('close', resolve)
      socket.once('error', (error) => resolve(error.message))
    })

  test('is refused for what is no terminal, and for what is not theirs to know of, alike', async () => {
    expect(await watch(rita, `${session}/watch/1`)).toBe(1008)
    expect(await watch(carol, `${session}/watch/1`)).toBe(1008)
    expect(await watch(carol, 'aaaaaaaaaaaaaaaa/watch/1')).toBe(1008)
    const nobody = new WebClient(gateway, 'console', true)
    expect(await watch(nobody, `${session}/watch/1`)).toBe('Unexpected server response: 401')
  })
})

describe('what comes by itself', () => {
  class Live implements Disposable {
    readonly said: LiveSaid[] = []
    readonly closed: Promise<number>
    readonly #socket: WebSocket

    private constructor(socket: WebSocket) {
      this.#socket = socket
      socket.on('message', (data) => this.said.push(JSON.parse(String(data)) as LiveSaid))
      this.closed = new Promise((resolve) => socket.once('close', resolve))
    }

    static open(client: WebClient): Promise<Live> {
      const { host, origin, cookie } = client
      const socket = new WebSocket(`ws://127.0.0.1:${gateway.port('console')}/api/v1/live`, {
        headers: { host, origin, cookie },
      })
      const live = new Live(socket)
      return new Promise((resolve, reject) => {
        socket.once('open', () => resolve(live)).once('error', reject)
      })
    }

    ask(asked: unknown): void {
      this.#socket.send(typeof asked === 'string' ? asked : JSON.stringify(asked))
    }

    rows(id: number) {
      return this.said.flatMap((one) => (one.type === 'rows' && one.id === id ? one.rows : []))
    }

    [Symbol.dispose](): void {
      this.#socket.terminate()
    }
  }

  test('new rows of a search, and open sessions, only those that the person may see', async () => {
    using readers = await Live.open(rita)
    using nobody = await Live.open(carol)
    for (const page of [readers, nobody]) {
      page.ask({ type: 'sessions', id: 1 })
      page.ask({ type: 'follow', id: 2, query: 'table:customers' })
    }
    await expect.poll(() => readers.said).toContainEqual({ type: 'sessions', id: 1, sessions: [] })
    await expect.poll(() => nobody.said).toContainEqual({ type: 'sessions', id: 1, sessions: [] })
    const client = await psql('alice')
    // A following begins where the book ends when it is asked for: what is run until one comes is run again.
    await expect
      .poll(async () => {
        await client.query('SELECT count(*) FROM customers')
        return readers.rows(2).length
      })
      .toBeGreaterThan(0)
    await expect
      .poll(() => readers.said)
      .toContainEqual(
        expect.objectContaining({ type: 'sessions', sessions: [expect.objectContaining({ user: 'alice' })] }),
      )
    await client.end()
    expect(nobody.rows(2)).toEqual([])
    expect(nobody.said.every((one) => one.type === 'sessions' && one.sessions.length === 0)).toBe(true)
  })

  test('a search that is none is told with its column, and the socket goes on', async () => {
    using page = await Live.open(rita)
    page.ask({ type: 'follow', id: 7, query: 'acter:alice' })
    await expect
      .poll(() => page.said)
      .toContainEqual(
        expect.objectContaining({
          type: 'problem',
          id: 7,
          error: expect.objectContaining({ code: 'bad-query', column: 1 }),
        }),
      )
    page.ask({ type: 'sessions', id: 8 })
    await expect.poll(() => page.said.some(({ id }) => id === 8)).toBe(true)
  })

  test.each([
    ['what is no JSON', 'hello'],
    ['what is not understood', { type: 'shell', id: 1 }],
    ['a message that is too long', { type: 'follow', id: 1, query: 'x'.repeat(20_000) }],
  ])('%s ends the socket', async (_, asked) => {
    using page = await Live.open(rita)
    page.ask(asked)
    expect([1008, 1009]).toContain(await page.closed)
  })

  test('so do too many subscriptions', async () => {
    using page = await Live.open(rita)
    for (let id = 0; id <= SUBSCRIPTIONS_MAX; id++) page.ask({ type: 'follow', id, query: `x${id}` })
    expect(await page.closed).toBe(1008)
  })

  test('and signing out: nothing more comes to a page that was left open', async () => {
    const leaving = new WebClient(gateway, 'console', true)
    await leaving.signIn('rita', PASSWORD)
    using page = await Live.open(leaving)
    page.ask({ type: 'sessions', id: 1 })
    await expect.poll(() => page.said.length).toBeGreaterThan(0)
    await leaving.post('/sign-out', {})
    expect(await page.closed).toBe(1008)
  })

  test('the forms are closed', () => {
    expect(ASKED.safeParse({ type: 'stop', id: 1, more: 1 }).success).toBe(false)
  })
})
