import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { Accounts } from '../../../src/access/accounts.ts'
import { scramVerifier } from '../../../src/access/verifier.ts'
import { tokenCreate, tokenList, tokenRevoke } from '../../../src/cli/token.ts'
import type { Environment } from '../../../src/system/secret.ts'
import { temporaryFolder } from '../../support/access.ts'
import { TestClock } from '../../support/clock.ts'
import { changed } from '../../support/config.ts'
import { captureIo, exitOf } from '../../support/io.ts'

const HOUR = 3_600_000
const CONFIG = changed([
  ['    groups: [engineering]\n', '    groups: [engineering]\n    password: env:ALICE\n'],
])

let clock: TestClock
let config: string
let database: string

beforeEach(() => {
  clock = new TestClock(Date.UTC(2027, 0, 4, 12))
  const folder = temporaryFolder()
  config = join(folder, 'config.yaml')
  database = join(folder, 'data', 'accounts.db')
  writeFileSync(config, CONFIG)
  mkdirSync(join(folder, 'data'))
  Accounts.create(database, { clock })[Symbol.dispose]()
})

async function create(
  user: string,
  expires = '90d',
  env: Environment = {},
  output: 'text' | 'json' = 'text',
) {
  const { io, out, err } = captureIo()
  const code = await exitOf(
    tokenCreate({ config, output, clock, user, label: 'laptop', expires, env }, io),
    io,
  )
  return { code, out: out(), err: err() }
}

const stored = () => {
  using accounts = Accounts.open(database, { clock })
  return [...accounts.tokensOf('ci'), ...accounts.tokensOf('alice')]
}

describe('a token is made', () => {
  test('with its secret alone on stdout', async () => {
    const { code, out, err } = await create('ci')
    const [token] = stored()
    expect([code, out]).toEqual([0, expect.stringMatching(/^gatebook_[a-z2-7]{32}\n$/)])
    expect(err).toBe(
      `token ${token?.id} of ci (laptop), valid until 2027-04-04T12:00:00Z; it is not shown again\n`,
    )
  })

  test('as JSON', async () => {
    const { out } = await create('ci', '12h', {}, 'json')
    expect(JSON.parse(out)).toEqual({
      id: stored()[0]?.id,
      user: 'ci',
      label: 'laptop',
      created: '2027-01-04T12:00:00Z',
      expires: '2027-01-05T00:00:00Z',
      secret: expect.stringMatching(/^gatebook_/),
    })
  })

  test('under the salt of a SCRAM password, so that one challenge serves both', async () => {
    const salt = Buffer.alloc(16, 5)
    const { storedKey, serverKey } = scramVerifier('pencil', salt)
    const [s, k, v] = [salt, storedKey, serverKey].map((bytes) => Buffer.from(bytes).toString('base64'))
    await create('alice', '1h', { ALICE: `SCRAM-SHA-256$4096:${s}$${k}:${v}` })
    expect(stored()[0]?.salt).toEqual(salt)
  })

  test('even if that password cannot be read here, with a warning', async () => {
    const { code, err } = await create('alice')
    expect(code).toBe(0)
    expect(err).toMatch(
      /^reading the secret env:ALICE: the variable is not set; if it is a SCRAM password, this token will not do for SCRAM\n/,
    )
  })

  test.each([
    ['zoe', '90d', `no user is called "zoe" in `],
    ['ci', 'soon', '"soon": expected a length of time such as 90d, or a date such as 2027-06-30'],
    ['ci', '2026-12-31', '"2026-12-31" is past'],
  ])('not for %s until %s', async (user, expires, message) => {
    const { code, out, err } = await create(user, expires)
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain(message)
    expect(stored()).toEqual([])
  })
})

test('tokens are listed with their state, and revoked by their id', async () => {
  await create('ci', '1h')
  await create('ci', '2h')
  const [first, second] = stored().sort((a, b) => a.expires - b.expires)
  clock.advance(HOUR)
  const revoke = captureIo()
  expect(await tokenRevoke({ config, output: 'text', clock, id: second?.id ?? '' }, revoke.io)).toBe(0)
  expect(revoke.err()).toBe(`token ${second?.id} of ci is revoked since 2027-01-04T13:00:00Z\n`)

  const list = captureIo()
  expect(await tokenList({ config, output: 'text', clock }, list.io)).toBe(0)
  const rows = list
    .out()
    .split('\n')
    .slice(0, -1)
    .map((row) => row.split(/ {2,}/))
  expect(rows[0]).toEqual(['ID', 'USER', 'STATE', 'EXPIRES', 'LAST USED', 'LABEL'])
  expect(rows.slice(1).sort((a, b) => (a[3] ?? '').localeCompare(b[3] ?? ''))).toEqual([
    [first?.id, 'ci', 'expired', '2027-01-04T13:00:00Z', 'never', 'laptop'],
    [second?.id, 'ci', 'revoked', '2027-01-04T14:00:00Z', 'never', 'laptop'],
  ])

  const json = captureIo()
  await tokenList({ config, output: 'json', clock, user: 'alice' }, json.io)
  expect(json.out()).toBe('[]\n')
})

test('what is not there cannot be revoked, nor found without its database', async () => {
  const { io, err } = captureIo()
  expect(await exitOf(tokenRevoke({ config, output: 'text', clock, id: 'nothing' }, io), io)).toBe(2)
  expect(err()).toBe('no token has the id "nothing"\n')
  const bad = captureIo()
  writeFileSync(config, changed([['data_dir: data', 'data_dir: elsewhere']]))
  expect(await exitOf(tokenList({ config, output: 'text', clock }, bad.io), bad.io)).toBe(1)
  expect(bad.err()).toMatch(/^opening .*elsewhere\/accounts\.db: /)
})
