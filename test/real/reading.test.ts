/** A real gateway, a real psql session and a real shell: found, played and proved, and each look is a record first. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { playSession } from '../../src/cli/reading/play.ts'
import { query } from '../../src/cli/reading/query.ts'
import { showSession } from '../../src/cli/reading/sessions.ts'
import type { Row } from '../../src/read/answers.ts'
import { NoAnswer } from '../../src/read/questions.ts'
import { OWN_SESSIONS_ONLY } from '../../src/read/rights.ts'
import { PASSWORD, TestGateway } from '../support/gateway.ts'
import { openShop } from '../support/gateway-shop.ts'
import { captureIo } from '../support/io.ts'
import { type PostgresServer, startServer } from '../support/postgres-server.ts'
import { sshThrough, startSshGateway } from '../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../support/ssh-sshd.ts'

let server: PostgresServer
let gateway: TestGateway

beforeAll(async () => {
  server = await startServer()
  gateway = await TestGateway.start(await openShop(server))
  await asAlice(async (client) => {
    await client.query("select 'zebrafish' as secret from payments where id = 3")
    await client.query('select * from products where id = $1', [1])
  })
})
afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

async function asAlice(work: (client: pg.Client) => Promise<void>): Promise<void> {
  const login = { user: 'alice~orders', password: PASSWORD, database: 'shop' }
  const client = new pg.Client({ host: '127.0.0.1', port: gateway.port(), ...login })
  await client.connect()
  await work(client)
  await client.end()
}

const search = { follow: false, limit: 50, output: 'json' } as const

async function found(text: string): Promise<readonly Row[]> {
  const { io, out } = captureIo()
  await query({ ...search, data: gateway.data, query: text }, io)
  const lines = out()
    .split('\n')
    .filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Row)
}

/** The index follows within a fifth of a second; on a busy machine it may take longer. */
async function foundWhenThere(text: string): Promise<readonly Row[]> {
  for (let look = 0; look < 200; look++) {
    const rows = await found(text)
    if (rows.length > 0) return rows
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`${text} was never found`)
}

describe('a statement', () => {
  test('is found by its words, its table, its verb, and who ran it', async () => {
    const [row] = await foundWhenThere(
      'zebrafish table:payments verb:SELECT actor:alice target:orders -status:error',
    )
    expect(row).toMatchObject({
      text: "select 'zebrafish' as secret from payments where id = 3",
      rows: 1,
      outcome: 'ok',
    })
    expect(row?.tables).toEqual(['payments'])
    const [same] = await found(`record:${row?.record}`)
    expect(same).toEqual(row)
    expect(await found(`fp:${row?.shape} session:${row?.session}`)).toEqual([row])
  })

  test('is shown to nobody who was not recorded first', async () => {
    await foundWhenThere('zebrafish')
    await found('wombat-in-a-search')
    const asked = (await foundWhenThere('action:audit.search "wombat in a search"')).at(-1)
    expect(asked).toMatchObject({ action: 'audit.search', sub: 'local', kind: 'audit.read' })
    expect(asked?.text).toContain('wombat-in-a-search')
  })

  test('is refused to others, and the refusal is recorded too', async () => {
    const { library } = gateway.app
    const stranger = { sub: 'u_stranger', rights: OWN_SESSIONS_ONLY }
    const [row] = await foundWhenThere('zebrafish action:db.*')
    expect((await library.search(stranger, { query: 'zebrafish' })).rows).toEqual([])
    await expect(library.timeline(stranger, { session: row?.session ?? '' })).rejects.toBeInstanceOf(NoAnswer)
    const [refusal] = await foundWhenThere('action:audit.view actor:u_stranger')
    expect(refusal?.text).toContain('there is no session')
  })

  test('is told to whoever follows, when it has been recorded', async () => {
    const { library } = gateway.app
    const asker = { sub: 'local', rights: { ...OWN_SESSIONS_ONLY, all: true } }
    const stop = new AbortController()
    const rows = library.follow(
      asker,
      'capybara action:db.*',
      AbortSignal.any([stop.signal, AbortSignal.timeout(20_000)]),
    )
    const first = rows.next()
    // The following has begun when its own record is there.
    await foundWhenThere('action:audit.search "capybara action"')
    await asAlice(async (client) => {
      await client.query("select 'capybara'")
    })
    expect((await first).value).toMatchObject({ text: "select 'capybara'", actor: 'alice' })
    stop.abort()
    await rows.return(undefined)
  })

  test('is nowhere in clear in the data directory, nor are the words it was searched by', async () => {
    await foundWhenThere('zebrafish')
    await found('wombat-in-a-search')
    await gateway.stop()
    for (const name of readdirSync(gateway.data, { recursive: true, withFileTypes: true })) {
      if (!name.isFile()) continue
      const bytes = readFileSync(join(name.parentPath, name.name))
      for (const word of ['zebrafish', 'wombat', 'payments', 'select']) {
        expect(bytes.includes(word), `${word} in ${name.name}`).toBe(false)
      }
    }
  })
})

describe('a shell', () => {
  let sshd: Sshd
  let ssh: TestGateway

  beforeAll(async () => {
    sshd = await startSshd()
    ssh = await startSshGateway(sshd)
  })
  afterAll(async () => {
    await ssh[Symbol.asyncDispose]()
    await sshd.stop()
  })

  test('is played with its output, and found by its words', async () => {
    await sshThrough(sshd, ssh, ['-tt', 'echo quokka; echo done'])
    const { io, out } = captureIo()
    let sid = ''
    for (let look = 0; look < 200 && sid === ''; look++) {
      const { rows } = await ssh.app.library.search(
        { sub: 'local', rights: { ...OWN_SESSIONS_ONLY, all: true } },
        { query: 'quokka action:ssh.output' },
      )
      sid = rows[0]?.session ?? ''
      if (sid === '') await new Promise((resolve) => setTimeout(resolve, 100))
    }
    const played: Buffer[] = []
    const stdout = { write: (bytes: string | Uint8Array) => played.push(Buffer.from(bytes)) }
    expect(await playSession({ data: ssh.data, session: sid, speed: 1 }, { ...io, stdout })).toBe(0)
    expect(Buffer.concat(played).toString()).toContain('quokka')
    expect(await showSession({ data: ssh.data, session: sid, output: 'table' }, io)).toBe(0)
    expect(out()).toContain('ssh.exec tty')
  })
})
