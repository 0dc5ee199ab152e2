import { statSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { Accounts, TOKENS_MAX } from '../../../src/access/accounts.ts'
import { verifierOf } from '../../../src/access/verifier.ts'
import { temporaryFolder } from '../../support/access.ts'
import { TestClock } from '../../support/clock.ts'

function created(): { path: string; clock: TestClock; accounts: Accounts } {
  const clock = new TestClock()
  const path = join(temporaryFolder(), 'accounts.db')
  return { path, clock, accounts: Accounts.create(path, { clock }) }
}

const HOUR = 3_600_000

describe('a token', () => {
  test('is random, shown once, and kept only as what protocols check', () => {
    const { path, clock, accounts } = created()
    const { secret, token } = accounts.createToken({
      user: 'alice',
      label: 'laptop',
      expires: clock.now() + HOUR,
    })
    expect(secret).toMatch(/^gatebook_[a-z2-7]{32}$/)
    expect(token).toEqual({
      id: expect.stringMatching(/^[a-z2-7]{8}$/),
      user: 'alice',
      label: 'laptop',
      created: clock.now(),
      expires: clock.now() + HOUR,
    })
    const [stored] = accounts.tokensOf('alice')
    expect(stored).toEqual({
      ...token,
      salt: expect.anything(),
      ...verifierOf(secret, accounts.saltOf('alice')),
    })
    const content = new Database(path).serialize()
    expect(content.includes('laptop')).toBe(true)
    expect(content.includes(secret.slice('gatebook_'.length))).toBe(false)
  })

  test('tells whose it is without a name, until it expires or is revoked', () => {
    const { clock, accounts } = created()
    const expires = clock.now() + HOUR
    const make = (user: string) => accounts.createToken({ user, label: 'x', expires })
    const [alice, bob] = [make('alice'), make('bob')]
    expect(accounts.ownerOf(alice.secret)?.user).toBe('alice')
    expect(accounts.ownerOf(bob.secret)?.user).toBe('bob')
    expect(accounts.ownerOf(`${alice.secret}a`)).toBeUndefined()
    expect(accounts.ownerOf(alice.secret.slice('gatebook_'.length))).toBeUndefined()
    accounts.revokeToken(bob.token.id)
    expect(accounts.ownerOf(bob.secret)).toBeUndefined()
    clock.advance(HOUR)
    expect(accounts.ownerOf(alice.secret)).toBeUndefined()
  })

  test('two are never the same', () => {
    const { clock, accounts } = created()
    const make = () => accounts.createToken({ user: 'alice', label: 'x', expires: clock.now() + HOUR })
    const [a, b] = [make(), make()]
    expect(a.secret).not.toBe(b.secret)
    expect(a.token.id).not.toBe(b.token.id)
  })

  test('is gone for logins once revoked, and still listed', () => {
    const { clock, accounts } = created()
    const { token } = accounts.createToken({ user: 'alice', label: 'x', expires: clock.now() + HOUR })
    const revoked = clock.now()
    expect(accounts.revokeToken(token.id)).toEqual({ ...token, revoked })
    clock.advance(1000)
    expect(accounts.revokeToken(token.id)).toEqual({ ...token, revoked })
    expect(accounts.tokensOf('alice')).toEqual([])
    expect(accounts.tokens()).toEqual([{ ...token, revoked }])
    expect(accounts.revokeToken('nothing')).toBeUndefined()
  })

  test('remembers its last use without a write at each', () => {
    const { clock, accounts } = created()
    const { token } = accounts.createToken({ user: 'alice', label: 'x', expires: clock.now() + HOUR })
    const first = clock.now()
    const use = () => accounts.tokenUsed(accounts.tokens()[0] ?? token)
    use()
    clock.advance(60_000)
    use()
    expect(accounts.tokens()).toEqual([{ ...token, lastUsed: first }])
    clock.advance(5 * 60_000)
    use()
    expect(accounts.tokens()).toEqual([{ ...token, lastUsed: clock.now() }])
  })

  test('is one of a bounded number; those that have expired do not count', () => {
    const { clock, accounts } = created()
    const make = () => accounts.createToken({ user: 'alice', label: 'x', expires: clock.now() + HOUR })
    for (let i = 0; i < TOKENS_MAX; i++) make()
    expect(make).toThrow(`alice has ${TOKENS_MAX} tokens already: revoke one`)
    clock.advance(HOUR)
    expect(make().token.user).toBe('alice')
  })
})

describe('a pseudonym', () => {
  test('is random, stays, and leads back to its user', () => {
    const { accounts } = created()
    const sub = accounts.subjectOf('alice')
    expect(sub).toMatch(/^[a-z2-7]{16}$/)
    expect(accounts.subjectOf('alice')).toBe(sub)
    expect(accounts.subjectOf('bob')).not.toBe(sub)
    expect([accounts.userOf(sub), accounts.userOf('aaaa')]).toEqual(['alice', undefined])
    expect(created().accounts.subjectOf('alice')).not.toBe(sub)
  })
})

test('a salt is the same at every asking, for anybody, and differs between users and gateways', () => {
  const { path, clock, accounts } = created()
  const salt = accounts.saltOf('nobody')
  expect(salt).toHaveLength(16)
  expect(accounts.saltOf('nobody')).toEqual(salt)
  expect(Accounts.open(path, { clock }).saltOf('nobody')).toEqual(salt)
  expect(accounts.saltOf('nobody2')).not.toEqual(salt)
  expect(created().accounts.saltOf('nobody')).not.toEqual(salt)
})

describe('what is done to accounts waits for the book', () => {
  test('in order, until it is told', () => {
    const { path, clock, accounts } = created()
    const { token } = accounts.createToken({ user: 'alice', label: 'ci', expires: Date.UTC(2027, 5, 1) })
    clock.advance(1000)
    accounts.revokeToken(token.id, 'sub-of-bob')
    const acts = Accounts.open(path, { clock }).pendingActs()
    expect(acts).toEqual([
      {
        id: 1,
        at: (clock.now() - 1000) * 1000,
        event: {
          type: 'admin',
          act: 'token.create',
          sub: 'local',
          outcome: 'ok',
          private: { token: token.id, user: 'alice', label: 'ci', expires: '2027-06-01T00:00:00.000Z' },
        },
      },
      {
        id: 2,
        at: clock.now() * 1000,
        event: {
          type: 'admin',
          act: 'token.revoke',
          sub: 'sub-of-bob',
          outcome: 'ok',
          private: { token: token.id, user: 'alice' },
        },
      },
    ])
    accounts.actsTold(1)
    expect(accounts.pendingActs().map(({ id }) => id)).toEqual([2])
  })

  test('and nothing is done that cannot be told', () => {
    const { path, clock, accounts } = created()
    const { token } = accounts.createToken({ user: 'alice', label: 'ci', expires: clock.now() + HOUR })
    new Database(path).exec(
      `CREATE TRIGGER broken BEFORE INSERT ON act BEGIN SELECT RAISE(ABORT, 'disk full'); END`,
    )
    expect(() => accounts.createToken({ user: 'bob', label: 'ci', expires: clock.now() + HOUR })).toThrow(
      'disk full',
    )
    expect(() => accounts.revokeToken(token.id)).toThrow('disk full')
    expect(accounts.tokens()).toEqual([token])
  })
})

describe('the file', () => {
  test('and those that SQLite lays beside it are for the gateway alone', () => {
    const { path } = created()
    const modes = [path, `${path}-wal`].map((file) => statSync(file).mode & 0o777)
    expect(modes).toEqual([0o600, 0o600])
  })

  test('is created once and never in silence', () => {
    const { path, clock } = created()
    expect(() => Accounts.create(path, { clock })).toThrow(`creating ${path}: it exists already`)
    expect(() => Accounts.open(`${path}.other`, { clock })).toThrow(
      /^opening .*accounts\.db\.other: unable to open database file$/,
    )
  })

  test('of a newer release is left alone', () => {
    const { path, clock, accounts } = created()
    accounts[Symbol.dispose]()
    const db = new Database(path)
    db.pragma('user_version = 2')
    db.close()
    expect(() => Accounts.open(path, { clock })).toThrow(
      `opening ${path}: its format is 2, and this release knows 1`,
    )
  })

  test('that is no database is told by its name', () => {
    expect(() => Accounts.open('package.json', { clock: new TestClock() })).toThrow(
      'opening package.json: file is not a database',
    )
  })
})
